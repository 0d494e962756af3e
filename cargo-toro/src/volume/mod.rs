//! File systems in image files, without mounting them: what `cargo toro disk` and the making of disks stand on.
//!
//! `device` is the file, `partitions` what is around a file system, `ext2` and `fat` the file systems behind one face,
//! [`Volume`]. `stream` is for the crates that want one.

pub mod device;
mod ext2;
mod fat;
mod fat_make;
pub mod partitions;
mod stream;

use crate::failure::Failure;
use ::ext2::BlockDevice as _;
use anyhow::{Context, Result, bail};
use device::{Access, FileDevice};
use std::io::{Read, Write};
use std::path::Path;

pub use self::ext2::{Ext2, letter};
pub use ::ext2::FileType;
pub use fat::Fat;
pub(crate) use fat_make::{FatRequest, fat_bits, fat_size, make_fat};
pub(crate) use stream::{Shared, Stream};

/// What is known about something in a volume. What its file system has not is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileType,
    /// Bytes in it.
    pub len_bytes: u64,
    /// The lower twelve bits of `st_mode`.
    pub permissions: u16,
    /// The user who owns it.
    pub uid: u32,
    /// The group that owns it.
    pub gid: u32,
    /// Its names.
    pub links: u16,
    /// When its content was changed last, in seconds since 1970.
    pub modified: i64,
    /// When anything about it was changed last, in seconds since 1970.
    pub changed: i64,
}

/// What something new gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewMetadata {
    /// The lower twelve bits of `st_mode`.
    pub permissions: u16,
    /// When it was changed last, in seconds since 1970.
    pub modified: i64,
}

/// A file system of an image. Paths are bytes with `/` between names; one at the beginning or end does not matter.
pub trait Volume {
    /// What is at a path, not following a link there; `None` if there is nothing.
    fn metadata(&self, path: &[u8]) -> Result<Option<Metadata>>;
    /// What is in a directory, sorted by name.
    fn list(&self, path: &[u8]) -> Result<Vec<(Vec<u8>, Metadata)>>;
    /// Writes a file's content to `to`, following links.
    fn read(&self, path: &[u8], to: &mut dyn Write) -> Result<()>;
    /// Where a symbolic link leads.
    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>>;
    /// Makes a file. What had the name before goes when the new file is whole; a directory is an error.
    fn write(&mut self, path: &[u8], metadata: NewMetadata, from: &mut dyn Read) -> Result<()>;
    /// Makes a directory; an error if there is something.
    fn make_directory(&mut self, path: &[u8], metadata: NewMetadata) -> Result<()>;
    /// Makes a symbolic link, as [`Volume::write`] makes a file.
    fn make_link(&mut self, path: &[u8], target: &[u8], metadata: NewMetadata) -> Result<()>;
    /// Removes a file, a link, or an empty directory.
    fn remove(&mut self, path: &[u8]) -> Result<()>;
    /// Gives something another name, which must be free.
    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<()>;
    /// What it is and what is free, each with what it is called.
    fn facts(&self) -> Result<Vec<(&'static str, String)>>;
    /// Everything that is wrong, as lines for people; `None` if this kind of file system cannot be checked.
    fn check(&self) -> Result<Option<Vec<String>>>;
    /// Makes everything durable and leaves the file system as unmounted.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Opens the file system of an image, or of a partition of it. Without a number it is the whole disk, or its only partition with a
/// file system.
pub fn open(image: &Path, partition: Option<u32>, access: Access) -> Result<Box<dyn Volume>> {
    let shown = image.display();
    let device = FileDevice::open(image, access)?;
    let device = match partition {
        Some(number) => partitions::open(device, number).with_context(|| shown.to_string())?,
        None => whole_or_only(device).with_context(|| shown.to_string())?,
    };
    open_device(device, access).with_context(|| shown.to_string())
}

fn whole_or_only(device: FileDevice) -> Result<FileDevice> {
    if kind_of(&device)?.is_some() {
        return Ok(device);
    }
    let mut found = Vec::new();
    for partition in partitions::read(&device)? {
        let part = partitions::open(device.try_clone()?, partition.number)?;
        if kind_of(&part)?.is_some() {
            found.push((partition.number, part));
        }
    }
    let numbers: Vec<_> = found.iter().map(|(number, _)| number.to_string()).collect();
    match found.pop() {
        Some((_, part)) if found.is_empty() => Ok(part),
        Some(_) => {
            let message = format!(
                "there are file systems in partitions {}",
                numbers.join(", ")
            );
            bail!(Failure::new(message, "choose one with --partition"));
        }
        None => bail!(Failure::new(
            "there is no file system that the tool knows",
            "it knows ext2 (ext3 and ext4 as far as they are ext2) and FAT; `cargo toro mkfs` makes them"
        )),
    }
}

/// A kind of file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The file system of Linux's first years: all of Unix, and no journal
    #[default]
    Ext2,
    /// What every system reads: no owners, permissions or links (12, 16 or 32 bits an entry, by size)
    Fat,
}

/// The kind of file system on a device, by its marks.
pub fn kind_of(device: &FileDevice) -> Result<Option<Kind>> {
    let mut magic = [0; 2];
    // The superblock's magic (ext2), and the jump, the sector's length and the signature (FAT).
    if device.len_bytes() >= 2048 && device.read(1080, &mut magic).is_ok() && magic == [0x53, 0xEF]
    {
        return Ok(Some(Kind::Ext2));
    }
    let mut sector = [0; 512];
    if device.len_bytes() < 512 {
        return Ok(None);
    }
    device.read(0, &mut sector)?;
    let len = u16::from_le_bytes([sector[11], sector[12]]);
    let is_fat = matches!(sector[0], 0xEB | 0xE9)
        && sector[510..] == [0x55, 0xAA]
        && len.is_power_of_two()
        && (512..=4096).contains(&len)
        && sector[13].is_power_of_two()
        && matches!(sector[16], 1 | 2);
    Ok(is_fat.then_some(Kind::Fat))
}

/// Whether there is a FAT in an image, on the whole of it or in a partition.
pub fn has_fat(image: &Path) -> Result<bool> {
    let device = FileDevice::open(image, Access::Read)?;
    if let Some(kind) = kind_of(&device)? {
        return Ok(kind == Kind::Fat);
    }
    for partition in partitions::read(&device)? {
        let part = partitions::open(device.try_clone()?, partition.number)?;
        if kind_of(&part)? == Some(Kind::Fat) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Opens the file system on a device.
pub fn open_device(device: FileDevice, access: Access) -> Result<Box<dyn Volume>> {
    match kind_of(&device)? {
        Some(Kind::Ext2) => Ok(Box::new(Ext2::open(device, access)?)),
        Some(Kind::Fat) => Ok(Box::new(Fat::open(device)?)),
        None => bail!("there is no file system that the tool knows"),
    }
}

/// The directory that a path is in, and its name there; none for the root.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = path.iter().rposition(|byte| *byte != b'/')? + 1;
    let path = &path[..end];
    let start = path.iter().rposition(|byte| *byte == b'/');
    Some(start.map_or((b"".as_slice(), path), |at| (&path[..at], &path[at + 1..])))
}

/// A path as it is shown: from the root, with what is not text escaped.
pub fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let text = text.trim_matches('/');
    match std::str::from_utf8(path) {
        Ok(_) if !text.contains(char::is_control) => format!("/{text}"),
        _ => format!("/{}", path.escape_ascii().to_string().trim_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_directory_and_a_name() {
        assert_eq!(split(b"/"), None);
        assert_eq!(split(b""), None);
        assert_eq!(split(b"/a"), Some((b"".as_slice(), b"a".as_slice())));
        assert_eq!(split(b"a/b//"), Some((b"a".as_slice(), b"b".as_slice())));
        assert_eq!(shown(b"a/b/"), "/a/b");
        assert_eq!(shown(b"\xFF"), "/\\xff");
    }
}
