//! `disk ls` and `disk info`.

use super::join;
use super::options::Place;
use crate::values::Size;
use crate::volume::device::{Access, FileDevice};
use crate::volume::{self, FileType, Metadata, Volume, partitions, shown};
use anyhow::{Context, Result};
use std::io::{self, Write};
use std::path::Path;

/// Directories in directories that are followed.
pub(super) const DEPTH_MAX: usize = 500;

pub(super) fn list(
    place: &Place,
    partition: Option<u32>,
    is_long: bool,
    is_recursive: bool,
) -> Result<()> {
    let path = place.path.as_deref().unwrap_or(b"/");
    let volume = volume::open(&place.file, partition, Access::Read)?;
    let mut output = io::BufWriter::new(io::stdout().lock());
    let metadata = volume.metadata(path)?;
    let metadata = metadata.with_context(|| format!("there is no {}", shown(path)))?;
    // A link to a directory is listed when it is named with a slash behind it, as `ls` does.
    if metadata.kind == FileType::Directory || path.ends_with(b"/") {
        let mut lister = Lister {
            volume: &*volume,
            output: &mut output,
            is_long,
            is_recursive,
        };
        lister.directory(path, b"", 0)?;
    } else {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        line(&*volume, &mut output, path, name, &metadata, is_long)?;
    }
    Ok(output.flush()?)
}

struct Lister<'a> {
    volume: &'a dyn Volume,
    output: &'a mut dyn Write,
    is_long: bool,
    is_recursive: bool,
}

impl Lister<'_> {
    fn directory(&mut self, path: &[u8], prefix: &[u8], depth: usize) -> Result<()> {
        for (name, metadata) in self.volume.list(path)? {
            let name = [prefix, &name].concat();
            let inner = join(
                path,
                name.rsplit(|byte| *byte == b'/').next().unwrap_or(&name),
            );
            line(
                self.volume,
                self.output,
                &inner,
                &name,
                &metadata,
                self.is_long,
            )?;
            if self.is_recursive && metadata.kind == FileType::Directory && depth < DEPTH_MAX {
                self.directory(&inner, &[&name, b"/".as_slice()].concat(), depth + 1)?;
            }
        }
        Ok(())
    }
}

fn line(
    volume: &dyn Volume,
    output: &mut dyn Write,
    path: &[u8],
    name: &[u8],
    metadata: &Metadata,
    is_long: bool,
) -> Result<()> {
    let name = match std::str::from_utf8(name) {
        Ok(name) if !name.contains(char::is_control) => name.to_owned(),
        _ => name.escape_ascii().to_string(),
    };
    if !is_long {
        return Ok(writeln!(output, "{name}")?);
    }
    let bits = (0..9).rev().map(|bit| {
        let is_set = metadata.permissions >> bit & 1 != 0;
        if is_set {
            ['x', 'w', 'r'][bit % 3]
        } else {
            '-'
        }
    });
    let permissions: String = std::iter::once(volume::letter(metadata.kind))
        .chain(bits)
        .collect();
    let target = match metadata.kind {
        FileType::Symlink => format!(" -> {}", String::from_utf8_lossy(&volume.read_link(path)?)),
        _ => String::new(),
    };
    let Metadata {
        links,
        uid,
        gid,
        len_bytes,
        ..
    } = metadata;
    let time = date(metadata.modified);
    writeln!(
        output,
        "{permissions} {links:>3} {uid:>5} {gid:>5} {len_bytes:>12} {time} {name}{target}"
    )?;
    Ok(())
}

/// Seconds since 1970 as a date and a time in UTC.
fn date(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Eras of 400 years that begin on the 1st of March, so that the leap day is the last of a year.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, year) = match month {
        0..10 => (month + 3, year),
        _ => (month - 9, year + 1),
    };
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{:04}-{month:02}-{day_of_month:02} {hour:02}:{minute:02}",
        era * 400 + year
    )
}

pub(super) fn info(image: &Path, partition: Option<u32>) -> Result<()> {
    let device = FileDevice::open(image, Access::Read)?;
    let size = |bytes| Size { bytes };
    let is_whole = volume::kind_of(&device)?.is_some();
    let mut output = io::stdout().lock();
    let len = ext2::BlockDevice::len_bytes(&device);
    writeln!(output, "{:<13} {}", "image", size(len))?;
    if !is_whole {
        for found in partitions::read(&device).with_context(|| image.display().to_string())? {
            let (start, len) = (
                found.first_sector * partitions::SECTOR,
                found.sector_count * partitions::SECTOR,
            );
            let part = partitions::open(device.try_clone()?, found.number)?;
            let kind = match volume::kind_of(&part)? {
                Some(volume::Kind::Ext2) => "ext2",
                Some(volume::Kind::Fat) => "FAT",
                None => "unknown",
            };
            writeln!(
                output,
                "partition {:<3} {kind}, {} from {}",
                found.number,
                size(len),
                size(start)
            )?;
        }
    }
    drop(device);
    let volume = volume::open(image, partition, Access::Read)?;
    for (name, value) in volume.facts()? {
        writeln!(output, "{name:<13} {value}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00");
        assert_eq!(date(-60), "1969-12-31 23:59");
        assert_eq!(date(951_782_400), "2000-02-29 00:00");
        assert_eq!(date(4_107_542_340), "2100-02-28 23:59");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00");
    }
}
