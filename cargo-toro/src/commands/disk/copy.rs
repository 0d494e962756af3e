//! `disk cp` and `disk cat`.

use super::change::new_directory;
use super::list::DEPTH_MAX;
use super::options::Place;
use super::{change, image_of, join, path_of};
use crate::failure::Failure;
use crate::folder::Listing;
use crate::host;
use crate::volume::device::Access;
use crate::volume::{self, FileType, Metadata, NewMetadata, Volume, shown};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

pub(super) fn print(places: &[Place], partition: Option<u32>) -> Result<()> {
    let image = image_of(places)?;
    let volume = volume::open(image, partition, Access::Read)?;
    let mut output = io::stdout().lock();
    for place in places {
        volume.read(path_of(place)?, &mut output)?;
    }
    Ok(output.flush()?)
}

pub(super) fn copy(places: &[Place], partition: Option<u32>, is_recursive: bool) -> Result<()> {
    let Some((target, sources)) = places.split_last() else {
        bail!("nothing is named");
    };
    let in_image = sources
        .iter()
        .filter(|source| source.path.is_some())
        .count();
    match (&target.path, in_image) {
        (Some(path), 0) => {
            let copy = CopyIn { is_recursive };
            change(&target.file, partition, |volume| {
                copy.all(volume, sources, path)
            })
        }
        (None, count) if count == sources.len() => {
            let volume = volume::open(image_of(sources)?, partition, Access::Read)?;
            let copy = CopyOut {
                volume: &*volume,
                is_recursive,
            };
            copy.all(sources, &target.file)
        }
        _ => bail!(Failure::new(
            "one side must be in an image and the other on the host",
            "write files of an image as IMAGE:/PATH"
        )),
    }
}

fn needs_recursion<T>(path: impl std::fmt::Display) -> Result<T> {
    let message = format!("{path} is a directory");
    bail!(Failure::new(
        message,
        "copy it and all that is in it with -r"
    ))
}

/// From the host into an image.
struct CopyIn {
    is_recursive: bool,
}

impl CopyIn {
    fn all(&self, volume: &mut dyn Volume, sources: &[Place], target: &[u8]) -> Result<()> {
        let is_directory = is_directory(volume, target)?;
        if !is_directory && sources.len() > 1 {
            bail!(
                "{} is not a directory, so only one file can go there",
                shown(target)
            );
        }
        for source in sources {
            let source = &source.file;
            if source == Path::new("-") {
                if is_directory {
                    bail!("{} is a directory: name the file in it", shown(target));
                }
                let metadata = NewMetadata {
                    permissions: 0o644,
                    ..new_directory()
                };
                volume.write(target, metadata, &mut io::stdin().lock())?;
                continue;
            }
            let metadata = source
                .metadata()
                .with_context(|| format!("cannot read {}", source.display()))?;
            let to = match source.file_name() {
                Some(name) if is_directory => join(target, name.as_encoded_bytes()),
                // Such as `.`: its content goes there.
                _ => target.to_vec(),
            };
            if metadata.is_dir() {
                self.folder(volume, source, &to)?;
            } else {
                self.file(volume, source, &metadata, &to)?;
            }
        }
        Ok(())
    }

    fn file(
        &self,
        volume: &mut dyn Volume,
        source: &Path,
        metadata: &std::fs::Metadata,
        to: &[u8],
    ) -> Result<()> {
        let cannot = || format!("cannot copy {}", source.display());
        let modified = metadata.modified().ok();
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let new = NewMetadata {
            permissions: host::permissions(metadata).unwrap_or(0o644),
            modified: since.map_or(0, |since| {
                i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
            }),
        };
        let mut file = File::open(source).with_context(cannot)?;
        volume.write(to, new, &mut file).with_context(cannot)
    }

    fn folder(&self, volume: &mut dyn Volume, source: &Path, to: &[u8]) -> Result<()> {
        if !self.is_recursive {
            return needs_recursion(source.display());
        }
        let listing = Listing::read(source)?;
        listing.tell_left_out(&crate::shell::Shell::default());
        if !is_directory(volume, to)? {
            volume.make_directory(to, new_directory())?;
        }
        for entry in &listing.entries {
            let to = join(to, &entry.name);
            let metadata = NewMetadata {
                permissions: entry.attributes.permissions,
                modified: entry.attributes.modified,
            };
            let copy = |volume: &mut dyn Volume| match entry.kind {
                FileType::Directory if is_directory(volume, &to)? => Ok(()),
                FileType::Directory => volume.make_directory(&to, metadata),
                FileType::Symlink => volume.make_link(&to, &entry.target()?, metadata),
                _ => volume.write(&to, metadata, &mut File::open(&entry.path)?),
            };
            copy(volume).with_context(|| format!("cannot copy {}", entry.path.display()))?;
        }
        Ok(())
    }
}

fn is_directory(volume: &dyn Volume, path: &[u8]) -> Result<bool> {
    let found = volume.metadata(path)?;
    Ok(found.is_some_and(|found| found.kind == FileType::Directory))
}

/// From an image to the host.
struct CopyOut<'a> {
    volume: &'a dyn Volume,
    is_recursive: bool,
}

impl CopyOut<'_> {
    fn all(&self, sources: &[Place], target: &Path) -> Result<()> {
        let is_stream = target == Path::new("-");
        let is_directory = !is_stream && target.is_dir();
        if !is_directory && !is_stream && sources.len() > 1 {
            bail!(
                "{} is not a folder, so only one file can go there",
                target.display()
            );
        }
        for source in sources {
            let path = path_of(source)?;
            if is_stream {
                let mut output = io::stdout().lock();
                self.volume.read(path, &mut output)?;
                output.flush()?;
                continue;
            }
            let found = self.volume.metadata(path)?;
            let found = found.with_context(|| format!("there is no {}", shown(path)))?;
            let mut names = path.split(|byte| *byte == b'/');
            let name = names.rfind(|name| !name.is_empty());
            let to = match name {
                Some(name) if is_directory => target.join(host::file_name(name)?),
                _ => target.to_owned(),
            };
            match found.kind {
                FileType::Directory if !self.is_recursive => return needs_recursion(shown(path)),
                FileType::Directory => self.directory(path, &to, 0)?,
                // One that is named is followed.
                FileType::Symlink if !self.is_recursive => self.file(path, None, &to)?,
                _ => self.other(path, &found, &to)?,
            }
        }
        Ok(())
    }

    fn directory(&self, path: &[u8], to: &Path, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            bail!("{}: directories lie too deep in each other", shown(path));
        }
        // What the image says must not lead elsewhere on the host by a link that it made before.
        match to.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(found) if found.is_symlink() && depth == 0 => {}
            Ok(_) => bail!("{} is there, and is no folder", to.display()),
            Err(_) => std::fs::create_dir(to)
                .with_context(|| format!("cannot make the folder {}", to.display()))?,
        }
        for (name, metadata) in self.volume.list(path)? {
            let (inner, to) = (join(path, &name), to.join(host::file_name(&name)?));
            match metadata.kind {
                FileType::Directory => self.directory(&inner, &to, depth + 1)?,
                _ => self.other(&inner, &metadata, &to)?,
            }
        }
        Ok(())
    }

    fn other(&self, path: &[u8], metadata: &Metadata, to: &Path) -> Result<()> {
        match metadata.kind {
            FileType::File => self.file(path, Some(metadata), to),
            FileType::Symlink => {
                remove_link(to)?;
                let target = host::file_name(&self.volume.read_link(path)?)?;
                host::make_link(&target, to)
                    .with_context(|| format!("cannot make {}", to.display()))
            }
            _ => {
                let shell = crate::shell::Shell::default();
                shell.note(format_args!(
                    "{} is left out: no file, directory or link",
                    shown(path)
                ));
                Ok(())
            }
        }
    }

    fn file(&self, path: &[u8], metadata: Option<&Metadata>, to: &Path) -> Result<()> {
        let cannot = || format!("cannot write {}", to.display());
        if metadata.is_some() {
            remove_link(to)?;
        }
        let mut file = Sparse {
            file: File::create(to).with_context(cannot)?,
            len: 0,
        };
        let whole = self.volume.read(path, &mut file);
        let whole = whole.and_then(|()| Ok(file.file.set_len(file.len)?));
        if whole.is_err() && to.is_file() {
            // What is not whole is not left. The first error says more.
            let _ = std::fs::remove_file(to);
        }
        whole.with_context(cannot)?;
        if let Some(metadata) = metadata {
            let since = Duration::from_secs(u64::try_from(metadata.modified).unwrap_or(0));
            file.file
                .set_modified(UNIX_EPOCH + since)
                .with_context(cannot)?;
            host::set_permissions(&file.file, metadata.permissions).with_context(cannot)?;
        }
        Ok(())
    }
}

/// Removes a link, so that nothing is written through it.
fn remove_link(to: &Path) -> Result<()> {
    let is_link = to.symlink_metadata().is_ok_and(|found| found.is_symlink());
    if is_link {
        std::fs::remove_file(to).with_context(|| format!("cannot remove {}", to.display()))?;
    }
    Ok(())
}

/// A file into which pieces of zeros are not written.
struct Sparse {
    file: File,
    len: u64,
}

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.len += bytes.len() as u64;
        for piece in bytes.chunks(64 << 10) {
            if piece.iter().all(|byte| *byte == 0) {
                self.file.seek(SeekFrom::Current(piece.len() as i64))?;
            } else {
                self.file.write_all(piece)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
