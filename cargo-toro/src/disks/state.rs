//! What an image was made from, file by file: so it is known later what changed in the folder, and what the guest changed.
//! It is a JSON file beside the image, `.IMAGE.toro`.

use crate::folder::{Entry, Listing};
use crate::mkfs::Id;
use crate::parts;
use crate::volume::{FileType, Metadata};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;

/// A file, directory or link of the folder, as it was when it was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OnHost {
    /// As `ls -l` has it.
    kind: char,
    len_bytes: u64,
    modified_ns: u64,
    permissions: u16,
}

/// A file or link in the image, as it was when it was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InImage {
    len_bytes: u64,
    modified: i64,
    changed: i64,
}

/// Something that came from the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) host: OnHost,
    /// None for a directory, and for what the guest has made its own.
    pub(super) image: Option<InImage>,
}

/// What an image was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    version: u32,
    /// The image's, in hexadecimal.
    uuid: String,
    /// By path, with bytes that are not plain text escaped.
    pub(super) entries: BTreeMap<String, Record>,
}

impl OnHost {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            kind: match entry.kind {
                FileType::Directory => 'd',
                FileType::Symlink => 'l',
                _ => '-',
            },
            len_bytes: entry.len_bytes,
            modified_ns: u64::try_from(entry.modified_ns).unwrap_or(u64::MAX),
            permissions: entry.attributes.permissions,
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == 'd'
    }
}

impl InImage {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            len_bytes: metadata.len_bytes,
            modified: metadata.modified,
            changed: metadata.changed,
        }
    }
}

/// The key of a path.
pub(super) fn key(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

fn hex(uuid: Id) -> String {
    uuid.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn place(image: &Path) -> PathBuf {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    image.with_file_name(format!(".{name}.toro"))
}

impl State {
    /// Of an image that was just made of all that is in `listing`.
    pub(super) fn of_new(listing: &Listing, uuid: Id) -> Self {
        let entries = listing.entries.iter().map(|entry| {
            // Making sets both times to that of the file.
            let image = InImage {
                len_bytes: entry.len_bytes,
                modified: entry.attributes.modified,
                changed: entry.attributes.modified,
            };
            let record = Record {
                host: OnHost::of(entry),
                image: (entry.kind != FileType::Directory).then_some(image),
            };
            (key(&entry.name), record)
        });
        Self {
            version: VERSION,
            uuid: hex(uuid),
            entries: entries.collect(),
        }
    }

    /// The one beside an image; `None` if there is none, or one of another version.
    pub(super) fn load(image: &Path) -> Result<Option<Self>> {
        let place = place(image);
        let content = match std::fs::read(&place) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", place.display()));
            }
        };
        let state: Option<Self> = serde_json::from_slice(&content).ok();
        Ok(state.filter(|state| state.version == VERSION))
    }

    pub(super) fn save(&self, image: &Path) -> Result<()> {
        parts::replace(&place(image), &serde_json::to_vec(self)?)
    }

    /// Is it of the image with this UUID?
    pub(super) fn is_of(&self, uuid: Id) -> bool {
        self.uuid == hex(uuid)
    }

    /// Is everything of the folder in it as it is now, and nothing else?
    pub(super) fn is_up_to_date(&self, listing: &Listing) -> bool {
        self.entries.len() == listing.entries.len()
            && listing.entries.iter().all(|entry| {
                let record = self.entries.get(&key(&entry.name));
                record.is_some_and(|record| record.host == OnHost::of(entry))
            })
    }
}
