//! Bringing what changed in a folder into an image that a guest has written to.

use super::state::{InImage, OnHost, Record, State, key};
use crate::failure::Failure;
use crate::folder::{Entry, Listing};
use crate::settings::Disk;
use crate::shell::Shell;
use crate::volume::device::{Access, FileDevice};
use crate::volume::{Ext2, FileType, NewMetadata, Volume, shown};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs::File;

#[derive(Default)]
struct Counts {
    new: usize,
    changed: usize,
    removed: usize,
}

struct Update<'a> {
    volume: Ext2,
    state: State,
    counts: Counts,
    shell: &'a Shell,
}

/// Changes the image as its folder changed, and says so.
pub(super) fn update(
    device: FileDevice,
    disk: &Disk,
    listing: &Listing,
    state: State,
    shell: &Shell,
) -> Result<()> {
    let image = disk.image.display();
    let from = disk.from.as_deref().unwrap_or(&disk.image).display();
    let volume = Ext2::open(device, Access::Write).with_context(|| image.to_string())?;
    let mut update = Update {
        volume,
        state,
        counts: Counts::default(),
        shell,
    };
    shell.status("Updating", format_args!("{image} from {from}"));
    let result = update.remove(listing).and_then(|()| update.add(listing));
    let Update {
        volume,
        state,
        counts,
        ..
    } = update;
    // What was done counts, also when not all could be.
    Box::new(volume)
        .finish()
        .with_context(|| image.to_string())?;
    state.save(&disk.image)?;
    match result {
        Ok(()) => {
            let Counts {
                new,
                changed,
                removed,
            } = counts;
            shell.status(
                "Updated",
                format_args!("{image}: {new} new, {changed} changed, {removed} removed"),
            );
            Ok(())
        }
        Err(error) if is_full(&error) => {
            let message = format!("{image} has no room for what is in {from} now: {error:#}");
            let help = format!(
                "set a larger `size` and delete {image}, to have it made anew; `cargo toro disk cp -r {image}:/ FOLDER` saves what the guest wrote"
            );
            bail!(Failure::new(message, help))
        }
        Err(error) => Err(error.context(format!("cannot update {image} from {from}"))),
    }
}

fn is_full(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| cause.downcast_ref() == Some(&ext2::Error::NoSpace))
}

impl Update<'_> {
    /// Removes what is no longer in the folder, unless the guest has made it its own.
    fn remove(&mut self, listing: &Listing) -> Result<()> {
        let there: BTreeMap<String, &Entry> = listing
            .entries
            .iter()
            .map(|entry| (key(&entry.name), entry))
            .collect();
        let gone = self.state.entries.iter();
        let gone = gone.filter(|(key, record)| {
            // What is of another kind now makes room.
            there.get(*key).is_none_or(|entry| {
                record.host.is_directory() != (entry.kind == FileType::Directory)
            })
        });
        let gone: Vec<(String, Record)> = gone
            .map(|(key, record)| (key.clone(), record.clone()))
            .collect();
        // What is in a directory comes after it, so it goes before it.
        for (key, record) in gone.into_iter().rev() {
            let path = unescape(&key);
            if let Some(metadata) = self.volume.metadata(&path)? {
                if record.host.is_directory() {
                    if metadata.kind == FileType::Directory && self.volume.list(&path)?.is_empty() {
                        self.volume.remove(&path)?;
                        self.counts.removed += 1;
                    }
                } else if record.image == Some(InImage::of(&metadata)) {
                    self.volume.remove(&path)?;
                    self.counts.removed += 1;
                } else {
                    self.stays(&path);
                }
            }
            self.state.entries.remove(&key);
        }
        Ok(())
    }

    fn add(&mut self, listing: &Listing) -> Result<()> {
        for entry in &listing.entries {
            let host = OnHost::of(entry);
            let record = self.state.entries.get(&key(&entry.name)).cloned();
            if record.as_ref().is_some_and(|record| record.host == host) {
                continue;
            }
            let image = self
                .copy(entry, record.as_ref())
                .with_context(|| format!("cannot copy {}", entry.path.display()))?;
            let record = Record { host, image };
            self.state.entries.insert(key(&entry.name), record);
        }
        Ok(())
    }

    /// Copies something into the image, unless the guest has something of its own there.
    fn copy(&mut self, entry: &Entry, record: Option<&Record>) -> Result<Option<InImage>> {
        let path = &entry.name;
        let found = self.volume.metadata(path)?;
        let metadata = NewMetadata {
            permissions: entry.attributes.permissions,
            modified: entry.attributes.modified,
        };
        let parent = path.iter().rposition(|byte| *byte == b'/');
        let parent = self.volume.metadata(&path[..parent.unwrap_or(0)])?;
        let has_place = parent.is_some_and(|parent| parent.kind == FileType::Directory);
        if entry.kind == FileType::Directory {
            match found {
                None if has_place => {
                    self.volume.make_directory(path, metadata)?;
                    self.counts.new += 1;
                }
                Some(found) if found.kind == FileType::Directory => {
                    if record.is_some() {
                        let modified = found.modified;
                        let metadata = NewMetadata {
                            modified,
                            ..metadata
                        };
                        self.volume.set_metadata(path, metadata)?;
                        self.counts.changed += 1;
                    }
                }
                _ => self.stays(path),
            }
            return Ok(None);
        }
        let is_ours = found.is_none_or(|found| {
            let image = record.and_then(|record| record.image.as_ref());
            image == Some(&InImage::of(&found)) && found.kind != FileType::Directory
        });
        if !is_ours || !has_place {
            self.stays(path);
            return Ok(None);
        }
        if entry.kind == FileType::Symlink {
            self.volume.make_link(path, &entry.target()?, metadata)?;
        } else {
            self.volume
                .write(path, metadata, &mut File::open(&entry.path)?)?;
        }
        match found {
            None => self.counts.new += 1,
            Some(_) => self.counts.changed += 1,
        }
        Ok(self.volume.metadata(path)?.as_ref().map(InImage::of))
    }

    fn stays(&self, path: &[u8]) {
        self.shell.note(format_args!(
            "{} stays as the guest has it, though the folder changed there",
            shown(path)
        ));
    }
}

/// The path of a key, which was made by `escape_ascii`.
fn unescape(key: &str) -> Vec<u8> {
    let mut path = Vec::new();
    let mut rest = key.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if *first != b'\\' {
            path.push(*first);
            continue;
        }
        let Some((kind, others)) = rest.split_first() else {
            break;
        };
        rest = others;
        match kind {
            b't' => path.push(b'\t'),
            b'r' => path.push(b'\r'),
            b'n' => path.push(b'\n'),
            b'x' => {
                let digits = rest
                    .get(..2)
                    .and_then(|digits| std::str::from_utf8(digits).ok());
                path.extend(digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()));
                rest = rest.get(2..).unwrap_or_default();
            }
            other => path.push(*other),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_back_to_its_path() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&key(&all)), all);
        assert_eq!(unescape("a\\"), b"a");
    }
}
