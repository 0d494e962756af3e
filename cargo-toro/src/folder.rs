//! A folder of the host, as it goes into an ext2 image: a sorted list of what is in it, without following links.

use crate::host;
use crate::shell::Shell;
use anyhow::{Context, Result, anyhow};
use ext2::FileType;
use ext2::make::{Attributes, Builder, Content, Options};
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Everything in a folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// In the order of their names, directories before what is in them.
    pub entries: Vec<Entry>,
    /// What is no file, directory or symbolic link, and is left out.
    pub left_out: Vec<PathBuf>,
}

/// A file, directory or symbolic link of a folder.
#[derive(Debug)]
pub struct Entry {
    /// Path in the image, without a leading slash; the parts are the host's bytes.
    pub name: Vec<u8>,
    /// Path on the host.
    pub path: PathBuf,
    /// What it is.
    pub kind: FileType,
    /// Bytes in it; 0 for a directory.
    pub len_bytes: u64,
    /// Permissions and time. The owner is root.
    pub attributes: Attributes,
    /// When it was changed, in nanoseconds since 1970; 0 for a directory.
    pub modified_ns: u128,
    /// The entry before this one that is another name of the same file.
    pub same_as: Option<usize>,
    /// Bytes that the host stores for it, where it stores fewer than there are: the rest is zeros.
    pub stored_bytes: Option<u64>,
}

impl Listing {
    /// Lists `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        Self::read_without(folder, &[])
    }

    /// Lists `folder` as if the paths in `without` were not there.
    pub fn read_without(folder: &Path, without: &[PathBuf]) -> Result<Self> {
        let mut listing = Self::default();
        listing.add_folder(folder, &[], without, &mut HashMap::new())?;
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
        let block_size = u64::from(options.block_size);
        let mut builder = Builder::new(options);
        for entry in &self.entries {
            let (name, attributes) = (&entry.name, entry.attributes);
            match entry.kind {
                _ if entry.same_as.is_some() => {
                    let first = entry.same_as.and_then(|index| self.entries.get(index));
                    let first = first.context("a link to a file that is not in the list")?;
                    builder.add_hard_link(name, &first.name)?;
                }
                FileType::Directory => builder.add_directory(name, attributes)?,
                FileType::Symlink => builder.add_symlink(name, attributes, entry.target()?)?,
                _ => {
                    let (len, content) = (entry.len_bytes, HostFile::new(entry));
                    if entry.stored_bytes.is_none() {
                        builder.add_file(name, attributes, len, content)?;
                        continue;
                    }
                    let blocks = HostFile::new(entry).count_data(len, block_size);
                    let blocks =
                        blocks.map_err(|error| anyhow!("{}: {error}", entry.path.display()))?;
                    builder.add_sparse_file(name, attributes, len, blocks, content)?;
                }
            }
        }
        Ok(builder)
    }

    /// Says what is left out.
    pub fn tell_left_out(&self, shell: &Shell) {
        for left_out in &self.left_out {
            shell.note(format_args!(
                "{} is left out: no file, folder or link",
                left_out.display()
            ));
        }
    }

    fn add_folder(
        &mut self,
        folder: &Path,
        prefix: &[u8],
        without: &[PathBuf],
        seen: &mut HashMap<(u64, u64), usize>,
    ) -> Result<()> {
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
            let mut entry = Entry::new(name.clone(), path.clone(), kind, &metadata);
            if let Some(identity) = host::identity_of_linked(&metadata)
                && kind != FileType::Directory
            {
                let index = self.entries.len();
                let first = *seen.entry(identity).or_insert(index);
                entry.same_as = (first != index).then_some(first);
            }
            self.entries.push(entry);
            if kind == FileType::Directory {
                name.push(b'/');
                self.add_folder(&path, &name, without, seen)?;
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
            same_as: None,
            stored_bytes: host::stored_bytes(metadata).filter(|stored| *stored < len_bytes),
        }
    }

    /// The target of a symbolic link.
    pub fn target(&self) -> Result<Vec<u8>> {
        let target = std::fs::read_link(&self.path);
        let target = target.with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(target.into_os_string().into_encoded_bytes())
    }
}

/// A file that is opened when it is first read, so that never more than one is open.
struct HostFile<'a> {
    path: &'a Path,
    file: Option<File>,
    /// The host stores fewer bytes than there are: looking for what it leaves out is worth it.
    is_sparse: bool,
}

impl<'a> HostFile<'a> {
    fn new(entry: &'a Entry) -> Self {
        Self {
            path: &entry.path,
            file: None,
            is_sparse: entry.stored_bytes.is_some(),
        }
    }

    fn open(&mut self) -> Result<&mut File, String> {
        if self.file.is_none() {
            self.file = Some(File::open(self.path).map_err(|error| error.to_string())?);
        }
        self.file.as_mut().ok_or_else(String::new)
    }

    /// How many of its blocks, which are of `unit` bytes, are not all zeros.
    fn count_data(mut self, len_bytes: u64, unit: u64) -> Result<u64, String> {
        let mut block = vec![0; usize::try_from(unit).unwrap_or(4096)];
        let (mut place, mut count) = (0, 0);
        while place < len_bytes {
            place += self.skip_zeros(unit)?;
            let mut len = 0;
            while len < block.len() {
                match self.read(&mut block[len..])? {
                    0 => break,
                    now => len += now,
                }
            }
            count += u64::from(block[..len].iter().any(|byte| *byte != 0));
            place += unit;
        }
        Ok(count)
    }
}

impl Content for HostFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        self.open()?.read(buffer).map_err(|error| error.to_string())
    }

    fn skip_zeros(&mut self, unit: u64) -> Result<u64, String> {
        if !self.is_sparse {
            return Ok(0);
        }
        let file = self.open()?;
        let skip = |file: &mut File| -> std::io::Result<u64> {
            let place = file.stream_position()?;
            let data = host::next_data(file, place)?;
            let skipped = (data - place) / unit * unit;
            file.seek(SeekFrom::Start(place + skipped))?;
            Ok(skipped)
        };
        skip(file).map_err(|error| error.to_string())
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
