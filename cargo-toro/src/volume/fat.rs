//! FAT as a [`Volume`], by the crate `fatfs`. FAT has no owners, permissions or links, names that are text, and times of two seconds.
//! Unlike ext2 it has no order of writes that makes it safe to stop at any time: `fsck.fat` mends it then.

use super::device::FileDevice;
use super::ext2::read_full;
use super::{FileType, Metadata, NewMetadata, Shared, Volume, shown, split};
use crate::failure::Failure;
use anyhow::{Context, Result, anyhow, bail};
use fatfs::{Date, DateTime, Dir, DirEntry, FatType, FileSystem, FsOptions, Time};
use std::io::{Read, Seek, SeekFrom, Write};

/// Bytes that are read or written at once.
const PIECE: usize = 1 << 20;
/// The largest file, in bytes.
pub(super) const FILE_MAX: u64 = u32::MAX as u64;
/// The name of a file that is not whole yet.
const UNFINISHED: &str = "toro-unfinished.tmp";
const DAY: i64 = 86_400;

/// A mounted FAT.
pub struct Fat {
    disk: FileSystem<Shared>,
    /// What `disk` stands on.
    stream: Shared,
}

impl Fat {
    /// Mounts the file system on a device.
    pub fn open(device: FileDevice) -> Result<Self> {
        let stream = Shared::new(device);
        let disk = FileSystem::new(stream.clone(), FsOptions::new());
        Ok(Self {
            disk: disk.context("the FAT file system")?,
            stream,
        })
    }

    fn entry(&self, path: &[u8]) -> Result<Option<DirEntry<'_, Shared>>> {
        let Some((directory, name)) = split(path) else {
            return Ok(None);
        };
        let (Ok(directory), name) = (self.directory(directory), text(name)?) else {
            return Ok(None);
        };
        for entry in directory.iter() {
            let entry = entry.with_context(|| shown(path))?;
            // Names are equal whatever the case of their letters.
            if entry.file_name().to_lowercase() == name.to_lowercase() {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn existing(&self, path: &[u8]) -> Result<DirEntry<'_, Shared>> {
        self.entry(path)?
            .with_context(|| format!("there is no {}", shown(path)))
    }

    fn directory(&self, path: &[u8]) -> Result<Dir<'_, Shared>> {
        let root = self.disk.root_dir();
        let names = text(path)?;
        let names: Vec<_> = names.split('/').filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return Ok(root);
        }
        root.open_dir(&names.join("/"))
            .map_err(|_| anyhow!("there is no directory {}", shown(path)))
    }
}

fn text(name: &[u8]) -> Result<&str> {
    std::str::from_utf8(name).map_err(|_| {
        let message = format!("{} is not text, as names are in FAT", shown(name));
        Failure::new(message, "rename it, or use ext2").into()
    })
}

fn metadata(entry: &DirEntry<'_, Shared>) -> Metadata {
    let is_directory = entry.is_dir();
    let modified = seconds(entry.modified());
    Metadata {
        kind: if is_directory {
            FileType::Directory
        } else {
            FileType::File
        },
        len_bytes: if is_directory { 0 } else { entry.len() },
        permissions: if is_directory { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        links: 1,
        modified,
        changed: modified,
    }
}

#[expect(
    deprecated,
    reason = "there is no other way to give a file a time that is not now"
)]
pub(super) fn set_times(file: &mut fatfs::File<'_, Shared>, time: DateTime) {
    file.set_modified(time);
    file.set_created(time);
}

/// Mends a directory that `fatfs` has just made: it gives long names to `.` and `..`, which must have none and come first
/// (Microsoft, "FAT: General Overview of On-Disk Format"). They are the last that it wrote. Where it is in the root, `..` has the
/// cluster 0, also in FAT32, whose root has another.
pub(super) fn mend_new_directory(stream: &Shared, is_in_root: bool) -> Result<()> {
    const LEN: usize = 32;
    const LONG_NAME: u8 = 0x0F;
    let mut stream = stream.clone();
    let start = stream.written_to().checked_sub(4 * LEN as u64);
    let start = start.context("fatfs wrote less than a directory has")?;
    let mut entries = [0; 4 * LEN];
    stream.seek(SeekFrom::Start(start))?;
    stream.read_exact(&mut entries)?;
    let (one, two) = (&entries[LEN..][..LEN], &entries[3 * LEN..]);
    let is_known = entries[11] == LONG_NAME
        && entries[2 * LEN + 11] == LONG_NAME
        && one.starts_with(b".          ")
        && two.starts_with(b"..         ");
    if !is_known {
        bail!("fatfs did not make a directory as it does");
    }
    let mut mended = [one, two, &[0; 2 * LEN]].concat();
    if is_in_root {
        mended[LEN + 20..LEN + 22].fill(0);
        mended[LEN + 26..LEN + 28].fill(0);
    }
    stream.seek(SeekFrom::Start(start))?;
    Ok(stream.write_all(&mended)?)
}

/// Seconds since 1970 of a date, which counts as UTC.
fn seconds(time: DateTime) -> i64 {
    let (date, time) = (time.date, time.time);
    // Years begin in March, so that the leap day is the last one.
    let (year, month) = (i64::from(date.year), i64::from(date.month));
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100
        + year / 400
        + (153 * month + 2) / 5
        + i64::from(date.day)
        - 719_469;
    days * DAY + i64::from(time.hour) * 3600 + i64::from(time.min) * 60 + i64::from(time.sec)
}

/// The date of so many seconds since 1970, in UTC; FAT has years 1980 to 2107.
pub(super) fn date_time(seconds_since: i64) -> DateTime {
    let date = |year, month, day| Date { year, month, day };
    let first = DateTime {
        date: date(1980, 1, 1),
        time: Time {
            hour: 0,
            min: 0,
            sec: 0,
            millis: 0,
        },
    };
    let last = DateTime {
        date: date(2107, 12, 31),
        time: first.time,
    };
    let since = seconds_since.clamp(seconds(first), seconds(last));
    let (mut days, second) = (since.div_euclid(DAY), since.rem_euclid(DAY));
    // At most 47,482 days: counting them down is quick enough, and plain.
    let mut year = 1970u16;
    let is_leap = |year: u16| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + i64::from(is_leap(year));
    let mut month = 1;
    for len in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < len {
            break;
        }
        days -= len;
        month += 1;
    }
    let part = |value: i64| u16::try_from(value).unwrap_or(0);
    DateTime {
        date: date(year, month, part(days) + 1),
        time: Time {
            hour: part(second / 3600),
            min: part(second / 60 % 60),
            sec: part(second % 60),
            millis: 0,
        },
    }
}

impl Volume for Fat {
    fn metadata(&self, path: &[u8]) -> Result<Option<Metadata>> {
        if split(path).is_none() {
            return Ok(Some(Metadata {
                kind: FileType::Directory,
                len_bytes: 0,
                permissions: 0o755,
                uid: 0,
                gid: 0,
                links: 1,
                modified: 0,
                changed: 0,
            }));
        }
        Ok(self.entry(path)?.as_ref().map(metadata))
    }

    fn list(&self, path: &[u8]) -> Result<Vec<(Vec<u8>, Metadata)>> {
        let mut found = Vec::new();
        for entry in self.directory(path)?.iter() {
            let entry = entry.with_context(|| shown(path))?;
            let name = entry.file_name();
            if !matches!(&*name, "." | "..") {
                found.push((name.into_bytes(), metadata(&entry)));
            }
        }
        found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    fn read(&self, path: &[u8], to: &mut dyn Write) -> Result<()> {
        let entry = self.existing(path)?;
        if entry.is_dir() {
            bail!("{} is a directory", shown(path));
        }
        let mut file = entry.to_file();
        let mut piece = vec![0; PIECE];
        loop {
            match read_full(&mut file, &mut piece).with_context(|| shown(path))? {
                0 => return Ok(()),
                len => to.write_all(&piece[..len])?,
            }
        }
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>> {
        bail!("{} is no symbolic link", shown(path))
    }

    fn write(&mut self, path: &[u8], metadata: NewMetadata, from: &mut dyn Read) -> Result<()> {
        let (directory, name) = split(path).context("/ is a directory")?;
        let is_there = match self.entry(path)? {
            Some(entry) if entry.is_dir() => bail!("{} is a directory", shown(path)),
            found => found.is_some(),
        };
        let (directory, name) = (self.directory(directory)?, text(name)?);
        let now = if is_there { UNFINISHED } else { name };
        let mut write = || -> std::io::Result<()> {
            let mut file = directory.create_file(now)?;
            file.truncate()?;
            let mut piece = vec![0; PIECE];
            loop {
                match read_full(from, &mut piece)? {
                    0 => break,
                    len => file.write_all(&piece[..len])?,
                }
            }
            let time = date_time(metadata.modified);
            set_times(&mut file, time);
            file.flush()
        };
        let result = write();
        if result.is_err() {
            // The first error says more.
            let _ = directory.remove(now);
        }
        result.with_context(|| shown(path))?;
        if is_there {
            directory.remove(name)?;
            directory.rename(now, &directory, name)?;
        }
        Ok(())
    }

    fn make_directory(&mut self, path: &[u8], metadata: NewMetadata) -> Result<()> {
        let _ = metadata;
        if self.metadata(path)?.is_some() {
            bail!("{} is there already", shown(path));
        }
        let (directory, name) = split(path).context("/ is there already")?;
        let made = self.directory(directory)?.create_dir(text(name)?);
        made.map(drop).with_context(|| shown(path))?;
        mend_new_directory(&self.stream, split(directory).is_none())
    }

    fn make_link(&mut self, path: &[u8], target: &[u8], metadata: NewMetadata) -> Result<()> {
        let _ = (target, metadata);
        let message = format!("{}: FAT has no symbolic links", shown(path));
        bail!(Failure::new(message, "leave it away, or use ext2"))
    }

    fn remove(&mut self, path: &[u8]) -> Result<()> {
        drop(self.existing(path)?);
        let (directory, name) = split(path).context("/ cannot be removed")?;
        let removed = self.directory(directory)?.remove(text(name)?);
        removed.with_context(|| shown(path))
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let entry = self.existing(from)?;
        if self.entry(to)?.is_some() {
            bail!("{} is there already", shown(to));
        }
        let (Some((from_in, name)), Some((to_in, to_name))) = (split(from), split(to)) else {
            bail!("/ cannot be moved");
        };
        if entry.is_dir() && from_in != to_in {
            let help = "make the directory there and copy what is in it";
            let message = "in FAT a directory can get another name, but not another place";
            bail!(Failure::new(message, help));
        }
        let (source, target) = (self.directory(from_in)?, self.directory(to_in)?);
        let moved = source.rename(text(name)?, &target, text(to_name)?);
        moved.with_context(|| shown(from))
    }

    fn facts(&self) -> Result<Vec<(&'static str, String)>> {
        let stats = self.disk.stats()?;
        let size = |clusters: u32| crate::values::Size {
            bytes: u64::from(clusters) * u64::from(stats.cluster_size()),
        };
        let bits = match self.disk.fat_type() {
            FatType::Fat12 => 12,
            FatType::Fat16 => 16,
            FatType::Fat32 => 32,
        };
        let id = self.disk.volume_id();
        let is_dirty = self.disk.read_status_flags()?.dirty();
        Ok(vec![
            ("file system", format!("FAT{bits}")),
            ("label", self.disk.volume_label()),
            ("ID", format!("{:04X}-{:04X}", id >> 16, id & 0xFFFF)),
            (
                "state",
                if is_dirty { "not unmounted" } else { "clean" }.into(),
            ),
            ("cluster size", stats.cluster_size().to_string()),
            ("size", size(stats.total_clusters()).to_string()),
            ("free", size(stats.free_clusters()).to_string()),
        ])
    }

    fn check(&self) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { disk, mut stream } = *self;
        disk.unmount().context("cannot unmount")?;
        stream.flush().context("cannot unmount")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_and_back() {
        for time in [
            315_532_800,
            951_782_400,
            1_709_164_800,
            1_735_689_598,
            4_102_444_800,
        ] {
            assert_eq!(seconds(date_time(time)), time);
        }
        let leap = date_time(1_709_164_800).date;
        assert_eq!((leap.year, leap.month, leap.day), (2024, 2, 29));
        assert_eq!(date_time(0).date.year, 1980);
        assert_eq!(date_time(i64::MAX).date.year, 2107);
    }
}
