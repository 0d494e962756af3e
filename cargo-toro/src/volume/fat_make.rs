//! Making a FAT file system with what is in a folder.

use super::device::FileDevice;
use super::ext2::read_full;
use super::fat::{FILE_MAX, date_time, mend_new_directory, set_times};
use super::{FileType, Shared, shown};
use crate::failure::Failure;
use crate::folder::{Entry, Listing};
use crate::values::Size;
use anyhow::{Context, Result, bail};
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use std::io::Write;

/// Bytes that are read and written at once.
const PIECE: usize = 1 << 20;
/// Bytes of an entry of a directory, and letters of a long name in one.
const ENTRY: u64 = 32;
const LETTERS: usize = 13;
/// Entries of the root directory, which has a fixed size but in FAT32.
const ROOT_ENTRIES: std::ops::RangeInclusive<u64> = 512..=65_520;

/// How a FAT is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FatRequest<'a> {
    /// The name of the volume.
    pub(crate) label: Option<&'a str>,
    /// Its serial number.
    pub(crate) id: u32,
}

/// The bits of an entry of the table in a FAT of so many bytes, as `fatfs` chooses.
pub(crate) fn fat_bits(len_bytes: u64) -> u8 {
    match len_bytes >> 20 {
        0..4 => 12,
        4..512 => 16,
        _ => 32,
    }
}

/// Bytes that a FAT needs at least for a folder, and bytes with room to write.
pub(crate) fn fat_size(listing: &Listing) -> Result<(u64, u64)> {
    let mut content = 0u64;
    for entry in &listing.entries {
        if entry.kind == FileType::Symlink {
            let message = format!("{}: FAT has no symbolic links", entry.path.display());
            bail!(Failure::new(message, "leave it away, or use ext2"));
        }
        if entry.len_bytes > FILE_MAX {
            let message = format!("{} is larger than FAT can hold", entry.path.display());
            bail!(Failure::new(message, "use ext2"));
        }
        name(entry)?;
        // Clusters are at least a sector, and a directory has one.
        content += entry.len_bytes.max(1).next_multiple_of(512) + entries_of(entry) * ENTRY;
    }
    let clusters = content + listing.entries.len() as u64 * 4096;
    Ok((
        content,
        (clusters + clusters / 4).next_multiple_of(1 << 20) + (1 << 20),
    ))
}

fn entries_of(entry: &Entry) -> u64 {
    let name = entry.name.rsplit(|byte| *byte == b'/').next();
    name.map_or(0, |name| name.len().div_ceil(LETTERS) as u64 + 1)
}

fn name(entry: &Entry) -> Result<&str> {
    let name = std::str::from_utf8(&entry.name);
    name.map_err(|_| {
        let message = format!("{} is not text, as names are in FAT", shown(&entry.name));
        Failure::new(message, "rename it, or use ext2").into()
    })
}

/// Makes a FAT on a device that reads as zeros, with all that is in a folder.
pub(crate) fn make_fat(
    device: FileDevice,
    listing: &Listing,
    request: &FatRequest<'_>,
) -> Result<()> {
    let mut options = FormatVolumeOptions::new().volume_id(request.id);
    if let Some(label) = request.label {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_ ".contains(c);
        if label.len() > 11 || !label.chars().all(is_plain) {
            let message = format!("the label `{label}` is not one of FAT");
            bail!(Failure::new(
                message,
                "choose at most 11 letters and digits"
            ));
        }
        let mut bytes = [b' '; 11];
        bytes[..label.len()].copy_from_slice(label.to_ascii_uppercase().as_bytes());
        options = options.volume_label(bytes);
    }
    let in_root = listing
        .entries
        .iter()
        .filter(|entry| !entry.name.contains(&b'/'));
    let root = in_root.map(entries_of).sum::<u64>() + 16;
    let len_bytes = ::ext2::BlockDevice::len_bytes(&device);
    if fat_bits(len_bytes) < 32 {
        if root > *ROOT_ENTRIES.end() {
            let message =
                "the folder has more entries than the root directory of a small FAT can hold";
            let help = format!(
                "put them into folders, or give it --size {} or more",
                Size::mib(512).option()
            );
            bail!(Failure::new(message, help));
        }
        let entries = root.max(*ROOT_ENTRIES.start()).next_multiple_of(16);
        options = options.max_root_dir_entries(u16::try_from(entries).unwrap_or(512));
    }
    let mut stream = Shared::new(device);
    fatfs::format_volume(&mut stream, options).context("cannot make a FAT of this size")?;
    std::io::Seek::rewind(&mut stream)?;
    let disk = FileSystem::new(stream.clone(), FsOptions::new())?;
    let mut piece = vec![0; PIECE];
    for entry in &listing.entries {
        add(&disk, &stream, entry, &mut piece).with_context(|| entry.path.display().to_string())?;
    }
    disk.unmount()?;
    Ok(stream.flush()?)
}

fn add(disk: &FileSystem<Shared>, stream: &Shared, entry: &Entry, piece: &mut [u8]) -> Result<()> {
    let path = name(entry)?;
    let root = disk.root_dir();
    if entry.kind == FileType::Directory {
        root.create_dir(path)?;
        return mend_new_directory(stream, !path.contains('/'));
    }
    let mut from = std::fs::File::open(&entry.path)?;
    let mut file = root.create_file(path)?;
    let mut len = 0;
    loop {
        match read_full(&mut from, piece)? {
            0 => break,
            count => file.write_all(&piece[..count])?,
        }
        len += piece.len() as u64;
        if len > entry.len_bytes + piece.len() as u64 {
            bail!("it changed while it was read");
        }
    }
    set_times(&mut file, date_time(entry.attributes.modified));
    file.flush()?;
    Ok(())
}
