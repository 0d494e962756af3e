//! A folder of the host, as it goes into an ext2 image: a sorted list of what is in it, without following links.

use crate::host;
use anyhow::{Context, Result};
use ext2::FileType;
use ext2::make::{Attributes, Builder, Content, Options};
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Everything in a folder.
#[derive(Debug)]
pub struct Listing {
    entries: Vec<Entry>,
    /// What is no file, directory or symbolic link, and is left out.
    pub left_out: Vec<PathBuf>,
}

#[derive(Debug)]
struct Entry {
    /// Path in the image, without a leading slash; the parts are the host's bytes.
    name: Vec<u8>,
    path: PathBuf,
    kind: FileType,
    len_bytes: u64,
    attributes: Attributes,
    modified_ns: u128,
}

impl Listing {
    /// Lists `folder`, without the paths in `without`.
    pub fn read(folder: &Path, without: &[PathBuf]) -> Result<Self> {
        let mut listing = Self {
            entries: Vec::new(),
            left_out: Vec::new(),
        };
        listing.add_folder(folder, &[], without)?;
        Ok(listing)
    }

    /// How many files there are.
    pub fn file_count(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.kind == FileType::File)
            .count()
    }

    /// A number that changes when anything in the folder does.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        for entry in &self.entries {
            fingerprint.add(&entry.name);
            fingerprint.add(&entry.len_bytes.to_le_bytes());
            fingerprint.add(&entry.modified_ns.to_le_bytes());
            fingerprint.add(&entry.attributes.permissions.to_le_bytes());
        }
        fingerprint
    }

    /// Puts everything into a new file system.
    pub fn builder(&self, options: Options) -> Result<Builder<'_>> {
        let mut builder = Builder::new(options);
        for entry in &self.entries {
            let (name, attributes) = (&entry.name, entry.attributes);
            match entry.kind {
                FileType::Directory => builder.add_directory(name, attributes)?,
                FileType::Symlink => {
                    let target = std::fs::read_link(&entry.path);
                    let target =
                        target.with_context(|| format!("cannot read {}", entry.path.display()))?;
                    builder.add_symlink(name, attributes, target.as_os_str().as_encoded_bytes())?;
                }
                _ => builder.add_file(
                    name,
                    attributes,
                    entry.len_bytes,
                    Lazy::Closed(&entry.path),
                )?,
            }
        }
        Ok(builder)
    }

    fn add_folder(&mut self, folder: &Path, prefix: &[u8], without: &[PathBuf]) -> Result<()> {
        let unreadable = || format!("cannot read the folder {}", folder.display());
        let children = std::fs::read_dir(folder).with_context(unreadable)?;
        let mut children = children
            .collect::<Result<Vec<_>, _>>()
            .with_context(unreadable)?;
        children.sort_by_key(std::fs::DirEntry::file_name);
        for child in children {
            let path = child.path();
            if without.contains(&path) {
                continue;
            }
            let metadata = path
                .symlink_metadata()
                .with_context(|| format!("cannot read {}", path.display()))?;
            let mut name = prefix.to_vec();
            name.extend_from_slice(child.file_name().as_encoded_bytes());
            let kind = match metadata.file_type() {
                kind if kind.is_dir() => FileType::Directory,
                kind if kind.is_file() => FileType::File,
                kind if kind.is_symlink() => FileType::Symlink,
                _ => {
                    self.left_out.push(path);
                    continue;
                }
            };
            self.entries
                .push(Entry::new(name.clone(), path.clone(), kind, &metadata));
            if kind == FileType::Directory {
                name.push(b'/');
                self.add_folder(&path, &name, without)?;
            }
        }
        Ok(())
    }
}

impl Entry {
    fn new(name: Vec<u8>, path: PathBuf, kind: FileType, metadata: &Metadata) -> Self {
        let default = match kind {
            FileType::Directory => Attributes::directory(),
            FileType::Symlink => Attributes::symlink(),
            _ => Attributes::file(),
        };
        let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
        let since_epoch = modified
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let attributes = Attributes {
            permissions: host::permissions(metadata).unwrap_or(default.permissions),
            modified: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
            ..default
        };
        // A directory's own length and time say nothing about what goes into the image.
        let is_directory = kind == FileType::Directory;
        let len_bytes = if is_directory { 0 } else { metadata.len() };
        let modified_ns = if is_directory {
            0
        } else {
            since_epoch.as_nanos()
        };
        Self {
            name,
            path,
            kind,
            len_bytes,
            attributes,
            modified_ns,
        }
    }
}

/// A file that is opened when it is first read, so that never more than one is open.
enum Lazy<'a> {
    Closed(&'a Path),
    Open(File),
}

impl Content for Lazy<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        loop {
            match self {
                Self::Open(file) => return file.read(buffer).map_err(|error| error.to_string()),
                Self::Closed(path) => {
                    *self = Self::Open(File::open(path).map_err(|error| error.to_string())?)
                }
            }
        }
    }
}

/// FNV-1a in 64 bits: the same on every host and with every version of the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Takes in `bytes` and where they end.
    pub fn add(&mut self, bytes: &[u8]) {
        let len = bytes.len().to_le_bytes();
        for &byte in bytes.iter().chain(&len) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The number.
    pub fn value(self) -> u64 {
        self.0
    }
}
