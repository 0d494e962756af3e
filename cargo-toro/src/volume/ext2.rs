//! ext2 as a [`Volume`]. The crate orders its writes: what is stopped half way leaves a file system that holds.

use super::device::{Access, FileDevice};
use super::{Metadata, NewMetadata, Volume, shown, split};
use crate::failure::Failure;
use anyhow::{Context, Result, anyhow, bail};
use ext2::{
    Changes, Error, FileSystem, FileType, Inode, InodeNumber, MountOptions, NewAttributes, Time,
};
use std::io::{Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes that are read or written at once.
const PIECE: usize = 1 << 20;
/// Begins the name of a file that is not whole yet.
const UNFINISHED: &[u8] = b".toro-unfinished-";

/// A mounted ext2.
#[derive(Debug)]
pub struct Ext2 {
    disk: FileSystem<FileDevice>,
}

impl Ext2 {
    /// Mounts the file system on a device.
    pub fn open(device: FileDevice, access: Access) -> Result<Self> {
        let read_only = access == Access::Read;
        let mut disk = FileSystem::mount(device, MountOptions { read_only })?;
        if let (Access::Write, Some(reason)) = (access, disk.facts().read_only) {
            bail!(Failure::new(
                format!("it can only be read: {reason}"),
                "`e2fsck -f` may mend it; one with a journal or features of ext4 can be made anew by `cargo toro mkfs`"
            ));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        disk.set_time(Time {
            seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: now.subsec_nanos(),
        });
        Ok(Self { disk })
    }

    /// The number that the file system is known by.
    pub fn uuid(&self) -> [u8; 16] {
        self.disk.facts().uuid
    }

    /// Changes the permissions and the time of something, not following a link.
    pub fn set_metadata(&mut self, path: &[u8], metadata: NewMetadata) -> Result<()> {
        let found = self.find(path)?;
        let inode = found.with_context(|| format!("there is no {}", shown(path)))?;
        self.set(inode.number(), metadata, path)
    }

    /// What is at a path, not following a link there.
    fn find(&self, path: &[u8]) -> Result<Option<Inode>> {
        let found = match split(path) {
            None => self.disk.inode(self.disk.root()),
            Some((_, b"." | b"..")) => self.disk.resolve(path),
            Some((directory, name)) => self
                .disk
                .resolve(directory)
                .and_then(|directory| self.disk.find(&directory, name)),
        };
        match found {
            Ok(inode) => Ok(Some(inode)),
            Err(Error::NotFound | Error::NotADirectory) => Ok(None),
            Err(error) => Err(error).with_context(|| shown(path)),
        }
    }

    /// The directory something is to be made in, and the name it gets.
    fn place<'p>(&self, path: &'p [u8]) -> Result<(InodeNumber, &'p [u8])> {
        let (directory, name) = split(path).context("/ is there already")?;
        let inode = self
            .disk
            .resolve(directory)
            .map_err(|error| missing(error, directory))?;
        if !inode.is_directory() {
            bail!("{} is not a directory", shown(directory));
        }
        Ok((inode.number(), name))
    }

    fn set(&mut self, number: InodeNumber, metadata: NewMetadata, path: &[u8]) -> Result<()> {
        let time = Time {
            seconds: metadata.modified,
            nanoseconds: 0,
        };
        let changes = Changes {
            permissions: Some(metadata.permissions),
            accessed: Some(time),
            modified: Some(time),
            ..Changes::default()
        };
        self.disk
            .change(number, &changes)
            .with_context(|| shown(path))
    }

    /// Makes something under a name of its own and then moves it to where it belongs.
    fn replace(
        &mut self,
        path: &[u8],
        make: impl FnOnce(&mut Self, InodeNumber, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let (directory, name) = self.place(path)?;
        let is_there = match self.find(path)? {
            Some(inode) if inode.is_directory() => bail!("{} is a directory", shown(path)),
            found => found.is_some(),
        };
        if !is_there {
            let result = make(self, directory, name);
            return self.or_remove(result, directory, name);
        }
        let unfinished = [UNFINISHED, &name[..name.len().min(200)]].concat();
        // One that was left by a command that was killed.
        let _ = self.disk.unlink(directory, &unfinished);
        let result = make(self, directory, &unfinished).and_then(|()| {
            self.disk
                .rename(directory, &unfinished, directory, name, true)
                .with_context(|| shown(path))
        });
        self.or_remove(result, directory, &unfinished)
    }

    /// Removes what is not whole.
    fn or_remove(&mut self, result: Result<()>, directory: InodeNumber, name: &[u8]) -> Result<()> {
        if result.is_err() {
            // The first error says more.
            let _ = self.disk.unlink(directory, name);
        }
        result
    }

    fn fill(&mut self, number: InodeNumber, from: &mut dyn Read, path: &[u8]) -> Result<()> {
        let mut piece = vec![0; PIECE];
        let mut offset = 0;
        loop {
            let len = read_full(from, &mut piece).context("cannot read the content")?;
            let mut rest = &piece[..len];
            while !rest.is_empty() {
                let done = self.disk.write(number, offset, rest);
                let done = done.with_context(|| shown(path))?;
                if done == 0 {
                    return Err(Error::NoSpace).with_context(|| shown(path));
                }
                offset += done as u64;
                rest = &rest[done..];
            }
            if len < piece.len() {
                return Ok(());
            }
        }
    }
}

/// Reads until `buf` is full or there is no more; returns how much there was.
pub(super) fn read_full(from: &mut dyn Read, buf: &mut [u8]) -> std::io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match from.read(&mut buf[done..]) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn missing(error: Error, path: &[u8]) -> anyhow::Error {
    match error {
        Error::NotFound | Error::NotADirectory => anyhow!("there is no {}", shown(path)),
        error => anyhow::Error::new(error).context(shown(path)),
    }
}

fn attributes(metadata: NewMetadata) -> NewAttributes {
    NewAttributes {
        permissions: metadata.permissions,
        ..NewAttributes::default()
    }
}

fn metadata(inode: &Inode) -> Metadata {
    Metadata {
        kind: inode.file_type(),
        len_bytes: inode.size(),
        permissions: inode.mode() & 0o7777,
        uid: inode.uid(),
        gid: inode.gid(),
        links: inode.links(),
        modified: inode.modified(),
        changed: inode.changed(),
    }
}

impl Volume for Ext2 {
    fn metadata(&self, path: &[u8]) -> Result<Option<Metadata>> {
        Ok(self.find(path)?.as_ref().map(metadata))
    }

    fn list(&self, path: &[u8]) -> Result<Vec<(Vec<u8>, Metadata)>> {
        let directory = self
            .disk
            .resolve(path)
            .map_err(|error| missing(error, path))?;
        let mut found = Vec::new();
        for entry in self
            .disk
            .read_dir(&directory, 0)
            .with_context(|| shown(path))?
        {
            let entry = entry.with_context(|| shown(path))?;
            if entry.is_dot() {
                continue;
            }
            let inode = self.disk.inode(entry.inode).with_context(|| shown(path))?;
            found.push((entry.name().to_vec(), metadata(&inode)));
        }
        found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    fn read(&self, path: &[u8], to: &mut dyn Write) -> Result<()> {
        let inode = self
            .disk
            .resolve(path)
            .map_err(|error| missing(error, path))?;
        let mut piece = vec![0; PIECE];
        let mut offset = 0;
        loop {
            let len = self.disk.read(&inode, offset, &mut piece);
            match len.with_context(|| shown(path))? {
                0 => return Ok(()),
                len => {
                    to.write_all(&piece[..len])?;
                    offset += len as u64;
                }
            }
        }
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>> {
        let inode = self.find(path)?;
        let inode = inode.with_context(|| format!("there is no {}", shown(path)))?;
        self.disk.read_link(&inode).with_context(|| shown(path))
    }

    fn write(&mut self, path: &[u8], metadata: NewMetadata, from: &mut dyn Read) -> Result<()> {
        self.replace(path, |volume, directory, name| {
            let inode = volume.disk.create(directory, name, attributes(metadata));
            let number = inode.with_context(|| shown(path))?.number();
            volume.fill(number, from, path)?;
            volume.set(number, metadata, path)
        })
    }

    fn make_directory(&mut self, path: &[u8], metadata: NewMetadata) -> Result<()> {
        let (directory, name) = self.place(path)?;
        let inode = self
            .disk
            .create_directory(directory, name, attributes(metadata));
        let number = inode.with_context(|| shown(path))?.number();
        self.set(number, metadata, path)
    }

    fn make_link(&mut self, path: &[u8], target: &[u8], metadata: NewMetadata) -> Result<()> {
        self.replace(path, |volume, directory, name| {
            let inode = volume
                .disk
                .create_symlink(directory, name, target, attributes(metadata));
            let number = inode.with_context(|| shown(path))?.number();
            volume.set(number, metadata, path)
        })
    }

    fn remove(&mut self, path: &[u8]) -> Result<()> {
        let found = self.find(path)?;
        let inode = found.with_context(|| format!("there is no {}", shown(path)))?;
        let (directory, name) = self.place(path)?;
        let result = if inode.is_directory() {
            self.disk.remove_directory(directory, name)
        } else {
            self.disk.unlink(directory, name)
        };
        result.with_context(|| shown(path))
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let (directory, name) = self.place(from)?;
        let (to_directory, to_name) = self.place(to)?;
        self.disk
            .rename(directory, name, to_directory, to_name, false)
            .map_err(|error| match error {
                Error::Exists => anyhow!("{} is there already", shown(to)),
                error => missing(error, from),
            })
    }

    fn facts(&self) -> Result<Vec<(&'static str, String)>> {
        let facts = self.disk.facts();
        let block = u64::from(facts.block_size);
        let size = |blocks: u32| crate::values::Size {
            bytes: u64::from(blocks) * block,
        };
        let state = match (facts.is_clean, facts.read_only) {
            (false, _) => "not unmounted".to_owned(),
            (true, Some(reason)) if reason != ext2::ReadOnlyReason::Asked => reason.to_string(),
            (true, _) => "clean".to_owned(),
        };
        let mut all = vec![
            ("file system", format!("ext2, revision {}", facts.revision)),
            ("label", String::from_utf8_lossy(facts.label()).into_owned()),
            ("UUID", uuid::Uuid::from_bytes(facts.uuid).to_string()),
            ("state", state),
            ("block size", facts.block_size.to_string()),
            ("size", size(facts.blocks).to_string()),
            ("free", size(facts.free_blocks).to_string()),
            ("inodes", facts.inodes.to_string()),
            ("free inodes", facts.free_inodes.to_string()),
        ];
        if facts.revision == 0 {
            all.retain(|(name, _)| !matches!(*name, "label" | "UUID"));
        }
        Ok(all)
    }

    fn check(&self) -> Result<Option<Vec<String>>> {
        let problems = self.disk.check()?;
        Ok(Some(problems.iter().map(ToString::to_string).collect()))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        if self.disk.facts().read_only.is_none() {
            self.disk.unmount().context("cannot unmount")?;
        }
        Ok(())
    }
}

/// A file type as `ls -l` shows it.
pub fn letter(kind: FileType) -> char {
    match kind {
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::File => '-',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
    }
}
