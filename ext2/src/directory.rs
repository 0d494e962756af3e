//! Directories: reading their entries, and finding a name.
//!
//! "Directory Structure", linked entry lists. Hashed directories (`dir_index`) are made so that
//! they read as lists too. Changing them is in `directory_write.rs`.
//!
//! Every entry is checked before it is handed out, and [`FileSystem::find`] checks that a
//! directory's `..` leads back to where it was found. So what is reached by name from the root is a
//! tree, whatever is on the disk: a loop shows as a wrong `..`.

use alloc::vec::Vec;
use core::fmt;

use zerocopy::FromBytes;

use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::layout::{DIR_ENTRY_HEADER_LEN, DirEntryHeader, NAME_LEN_MAX, ROOT_INODE};
use crate::records::Sought;
use crate::{BlockDevice, Error, FileType, Inode, InodeNumber, Place};

/// How much of a directory is read at once; the longest entry that matters fits in.
const WINDOW: usize = 512;
/// The longest entry that matters.
const ENTRY_LEN_MAX: usize = DIR_ENTRY_HEADER_LEN + NAME_LEN_MAX;

/// An entry of a directory.
#[derive(Clone, Copy)]
pub struct DirEntry {
    /// The inode it leads to.
    pub inode: InodeNumber,
    /// What kind of inode that is; none on file systems that do not record it in directories.
    pub file_type: Option<FileType>,
    /// Where to go on reading after this entry.
    pub next_cookie: u64,
    name: [u8; NAME_LEN_MAX],
    name_len: u8,
}

impl DirEntry {
    /// The name: 1 to 255 bytes, in no particular encoding, without `/` and NUL.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.name
            .get(..usize::from(self.name_len))
            .unwrap_or_default()
    }

    /// Is it `.` or `..`?
    #[must_use]
    pub fn is_dot(&self) -> bool {
        is_dot(self.name())
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirEntry")
            .field("name", &self.name().escape_ascii())
            .field("inode", &self.inode)
            .field("file_type", &self.file_type)
            .field("next_cookie", &self.next_cookie)
            .finish()
    }
}

/// The entries of a directory, `.` and `..` too, in the order of the disk. It ends after the first
/// error.
pub struct ReadDir<'a, D> {
    file_system: &'a FileSystem<D>,
    directory: &'a Inode,
    /// Offset of the next entry in bytes.
    position: u64,
    /// Entries before this one were seen before.
    skip_to: u64,
    /// What was read of the directory, from `window_start` on; all of it in one block.
    window: [u8; WINDOW],
    window_start: u64,
    window_len: usize,
}

impl<D> fmt::Debug for ReadDir<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir")
            .field("directory", &self.directory.number)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// An entry of a directory, where it was read. See [`DirEntry`].
#[derive(Clone, Copy, Debug)]
pub struct DirEntryRef<'a> {
    /// The inode it leads to.
    pub inode: InodeNumber,
    /// What kind of inode that is, if directories say so.
    pub file_type: Option<FileType>,
    /// Its name.
    pub name: &'a [u8],
    /// Where to go on reading after this entry.
    pub next_cookie: u64,
}

impl DirEntryRef<'_> {
    /// Is it `.` or `..`?
    #[must_use]
    pub fn is_dot(&self) -> bool {
        is_dot(self.name)
    }
}

/// Why a row of records was left.
enum Stop {
    /// At one that is wanted, or that cannot be.
    Judge,
    /// At one whose name goes on behind the window.
    CutOff,
    /// Behind one that leads out of the window.
    End,
}

impl<D: BlockDevice> ReadDir<'_, D> {
    /// The next entry, without a copy of its name; none at the end. After an error there is nothing more to ask for.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Device`].
    pub fn next_entry(&mut self) -> Result<Option<DirEntryRef<'_>>, Error> {
        let skip_to = self.skip_to;
        while self.position < self.directory.size {
            let start = self.position;
            let header = self.header()?;
            self.position = start.saturating_add(header.record_len.get().into());
            if header.inode.get() != 0 && start >= skip_to {
                return self.view(start, &header).map(Some);
            }
            self.skip_unless(|start, header, _| start >= skip_to && is_used(header))?;
        }
        Ok(None)
    }

    /// Gets to the next entry of a name quickly, or to what cannot be an entry.
    fn skip_others(&mut self, name: &[u8]) -> Result<(), Error> {
        let sought = Sought::new(name);
        self.skip_unless(|_, header, name_on| {
            let [.., name_len, _] = header;
            usize::from(*name_len) == name.len()
                && is_used(header)
                && name_on.get(..name.len()).is_some_and(|own| sought.is(own))
        })
    }

    /// Gets past records that are not wanted quickly, as far as their lengths hold. `is_wanted` is given the offset of a record, its
    /// header, and what follows, with its name. What stands there then is for [`ReadDir::header`] to judge.
    fn skip_unless(
        &mut self,
        is_wanted: impl Fn(u64, &[u8; DIR_ENTRY_HEADER_LEN], &[u8]) -> bool,
    ) -> Result<(), Error> {
        while self.position < self.directory.size {
            let left = self.left_in_block();
            if left < DIR_ENTRY_HEADER_LEN as u64 {
                return Ok(());
            }
            self.bytes(self.position, DIR_ENTRY_HEADER_LEN, left)?;
            let block_end = self.position.saturating_add(left);
            let window_end = self.window_start.saturating_add(self.window_len as u64);
            let from = self.position.saturating_sub(self.window_start);
            let window = self.window.get(..self.window_len).unwrap_or_default();
            let mut tail = window
                .get(usize::try_from(from).unwrap_or(0)..)
                .unwrap_or_default();
            let offset_of = |tail: &[u8], more: u16| {
                window_end
                    .saturating_sub(tail.len() as u64)
                    .saturating_add(more.into())
            };
            let (stop, at) = loop {
                let Some((header, name_on)) = tail.split_first_chunk() else {
                    let at = offset_of(tail, 0);
                    let stop = if at < block_end {
                        Stop::CutOff
                    } else {
                        Stop::End
                    };
                    break (stop, at);
                };
                let [_, _, _, _, low, high, name_len, _] = *header;
                let record_len = u16::from_le_bytes([low, high]);
                if record_len < 12 || record_len & 3 != 0 {
                    break (Stop::Judge, offset_of(tail, 0));
                }
                if usize::from(name_len) > name_on.len() {
                    break (Stop::CutOff, offset_of(tail, 0));
                }
                if is_wanted(offset_of(tail, 0), header, name_on) {
                    break (Stop::Judge, offset_of(tail, 0));
                }
                match tail.get(usize::from(record_len)..) {
                    Some(rest) => tail = rest,
                    None if offset_of(tail, record_len) > block_end => {
                        break (Stop::Judge, offset_of(tail, 0));
                    }
                    None => break (Stop::End, offset_of(tail, record_len)),
                }
            };
            let is_at_start = at == self.window_start && window_end > at;
            self.position = at;
            match stop {
                Stop::Judge => return Ok(()),
                // The window has room for the longest: its block has not.
                Stop::CutOff if is_at_start => return Ok(()),
                Stop::CutOff => self.fill(at, block_end.saturating_sub(at))?,
                Stop::End => {}
            }
        }
        Ok(())
    }

    /// How much of its block lies behind the current position.
    fn left_in_block(&self) -> u64 {
        let block_size = u64::from(self.file_system.geometry.block_size);
        let in_block = self.position.checked_rem(block_size).unwrap_or(0);
        block_size.saturating_sub(in_block)
    }

    /// The header at the current position, with a length that leads on within the block.
    fn header(&mut self) -> Result<DirEntryHeader, Error> {
        let offset = self.position;
        let left = self.left_in_block();
        let directory = self.directory.number;
        // With its name, however long that is.
        let len = ENTRY_LEN_MAX.min(usize::try_from(left).unwrap_or(ENTRY_LEN_MAX));
        let bytes = self.bytes(offset, len, left)?;
        check_record(directory, offset, bytes, left)
    }

    /// Checks an entry that is in use, and whose header was read just now.
    fn view(&self, start: u64, header: &DirEntryHeader) -> Result<DirEntryRef<'_>, Error> {
        let from = usize::try_from(start.saturating_sub(self.window_start)).unwrap_or(usize::MAX);
        let record = self.window.get(from..).unwrap_or_default();
        self.file_system
            .check_entry(self.directory.number, start, header, record)
    }

    /// `len` bytes at an offset, of which at least `left` lie in the same block. Reads on only if
    /// they are not in the window.
    #[inline]
    fn bytes(&mut self, offset: u64, len: usize, left: u64) -> Result<&[u8], Error> {
        let in_window = |start: u64, window_len: usize| {
            usize::try_from(offset.checked_sub(start)?)
                .ok()
                .filter(|from| from.saturating_add(len) <= window_len)
        };
        let from = match in_window(self.window_start, self.window_len) {
            Some(from) => from,
            None => {
                self.fill(offset, left)?;
                0
            }
        };
        Ok(self
            .window
            .get(from..)
            .and_then(|tail| tail.get(..len))
            .unwrap_or_default())
    }

    fn fill(&mut self, offset: u64, left: u64) -> Result<(), Error> {
        let block_size = u64::from(self.file_system.geometry.block_size);
        let logical = offset.checked_div(block_size).unwrap_or(0);
        let in_block = u32::try_from(offset.checked_rem(block_size).unwrap_or(0)).unwrap_or(0);
        let Some(block) = self.file_system.run(self.directory, logical, 1)?.start else {
            let place = Place::Directory(self.directory.number.0);
            return Err(corrupt!(
                place,
                "block {logical} of the directory is missing"
            ));
        };
        self.window_len = WINDOW.min(usize::try_from(left).unwrap_or(WINDOW));
        self.window_start = offset;
        let window = self.window.get_mut(..self.window_len).unwrap_or_default();
        Ok(self.file_system.read_block(block, in_block, window)?)
    }
}

/// The header of a record, which begins with `bytes`, with a length that leads on within its block, of which `left` bytes are left.
#[inline(always)]
fn check_record(
    directory: InodeNumber,
    offset: u64,
    bytes: &[u8],
    left: u64,
) -> Result<DirEntryHeader, Error> {
    if let Ok((header, _)) = DirEntryHeader::read_from_prefix(bytes) {
        let record_len = header.record_len.get();
        if record_len >= 12 && record_len & 3 == 0 && u64::from(record_len) <= left {
            return Ok(header);
        }
    }
    Err(wrong_record(directory, offset, bytes, left))
}

/// What is wrong with a record that [`check_record`] refused.
#[cold]
fn wrong_record(directory: InodeNumber, offset: u64, bytes: &[u8], left: u64) -> Error {
    let place = Place::Directory(directory.0);
    let Ok((header, _)) = DirEntryHeader::read_from_prefix(bytes) else {
        return corrupt!(place, "entry at offset {offset} does not fit in its block");
    };
    let record_len = u64::from(header.record_len.get());
    if record_len > left {
        return corrupt!(
            place,
            "entry at offset {offset} has record length {record_len}, but its block ends after {left}"
        );
    }
    corrupt!(
        place,
        "entry at offset {offset} has record length {record_len}"
    )
}

impl<D: BlockDevice> Iterator for ReadDir<'_, D> {
    type Item = Result<DirEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = match self.next_entry() {
            Ok(None) => return None,
            Ok(Some(view)) => {
                let mut name = [0; NAME_LEN_MAX];
                crate::bytes::put(&mut name, 0, view.name);
                Ok(DirEntry {
                    inode: view.inode,
                    file_type: view.file_type,
                    next_cookie: view.next_cookie,
                    name,
                    name_len: u8::try_from(view.name.len()).unwrap_or(u8::MAX),
                })
            }
            Err(error) => Err(error),
        };
        if entry.is_err() {
            self.position = u64::MAX;
        }
        Some(entry)
    }
}

impl<D: BlockDevice> FileSystem<D> {
    /// Reads the entries of a directory from a cookie on: 0, or [`DirEntry::next_cookie`] of the
    /// last entry that was seen. A cookie from anywhere else is as good: it continues with the next
    /// entry after that offset.
    ///
    /// # Errors
    /// [`Error::NotADirectory`].
    pub fn read_dir<'a>(
        &'a self,
        directory: &'a Inode,
        cookie: u64,
    ) -> Result<ReadDir<'a, D>, Error> {
        if !directory.is_directory() {
            return Err(Error::NotADirectory);
        }
        // Entries can only be told apart from the start of a block.
        let block_size = u64::from(self.geometry.block_size);
        let in_block = cookie.checked_rem(block_size).unwrap_or(0);
        Ok(ReadDir {
            file_system: self,
            directory,
            position: cookie.saturating_sub(in_block),
            skip_to: cookie,
            window: [0; WINDOW],
            window_start: 0,
            window_len: 0,
        })
    }

    /// Hands the entries of a directory from a cookie on, as [`FileSystem::read_dir`] has them, to `take`, until that says that it did
    /// not take one. Names that lead to nothing after a power cut are left out.
    ///
    /// # Errors
    /// [`Error::NotADirectory`], [`Error::Corrupt`], [`Error::Device`].
    pub fn list(
        &self,
        directory: &Inode,
        cookie: u64,
        mut take: impl FnMut(&DirEntryRef<'_>) -> bool,
    ) -> Result<(), Error> {
        if !directory.is_directory() {
            return Err(Error::NotADirectory);
        }
        let block_size = u64::from(self.geometry.block_size);
        let may_be_dead = !self.facts.is_clean;
        let mut scratch = Vec::new();
        let first = cookie.checked_div(block_size).unwrap_or(0);
        for logical in first..self.directory_blocks(directory) {
            let block = self.directory_block(directory, logical)?;
            let mut tail = self.look(block, &mut scratch)?;
            let end = logical.saturating_add(1).saturating_mul(block_size);
            while !tail.is_empty() {
                let left = tail.len() as u64;
                let offset = end.saturating_sub(left);
                let header = check_record(directory.number, offset, tail, left)?;
                let (record, rest) = tail
                    .split_at_checked(usize::from(header.record_len.get()))
                    .unwrap_or((tail, &[]));
                tail = rest;
                if header.inode.get() == 0 || offset < cookie {
                    continue;
                }
                let entry = self.check_entry(directory.number, offset, &header, record)?;
                if may_be_dead && self.is_dead(entry.inode)? {
                    continue;
                }
                if !take(&entry) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Checks an entry that is in use: its header, and the bytes of its record.
    #[inline(always)]
    fn check_entry<'a>(
        &self,
        directory: InodeNumber,
        start: u64,
        header: &DirEntryHeader,
        record: &'a [u8],
    ) -> Result<DirEntryRef<'a>, Error> {
        let record_len = u64::from(header.record_len.get());
        let inode = header.inode.get();
        let name_len = self.name_len(header);
        let entry_end = name_len.saturating_add(DIR_ENTRY_HEADER_LEN);
        let is_sound = name_len != 0
            && name_len <= NAME_LEN_MAX
            && entry_end as u64 <= record_len
            && inode <= self.facts.inodes
            && (inode >= self.first_inode || inode == ROOT_INODE);
        match record.get(DIR_ENTRY_HEADER_LEN..entry_end) {
            Some(name) if is_sound && can_be_name(name) => Ok(DirEntryRef {
                inode: InodeNumber(inode),
                file_type: if self.has_file_types {
                    FileType::from_entry(header.file_type)
                } else {
                    None
                },
                name,
                next_cookie: start.saturating_add(record_len),
            }),
            name => Err(self.wrong_entry(directory, start, header, name)),
        }
    }

    fn name_len(&self, header: &DirEntryHeader) -> usize {
        let high = if self.has_file_types {
            0
        } else {
            usize::from(header.file_type) << 8
        };
        usize::from(header.name_len) | high
    }

    /// What is wrong with an entry that [`FileSystem::check_entry`] refused; its name, if there is room for that.
    #[cold]
    fn wrong_entry(
        &self,
        directory: InodeNumber,
        start: u64,
        header: &DirEntryHeader,
        name: Option<&[u8]>,
    ) -> Error {
        let place = Place::Directory(directory.0);
        let record_len = header.record_len.get();
        let name_len = self.name_len(header);
        let inode = header.inode.get();
        let entry_end = name_len.saturating_add(DIR_ENTRY_HEADER_LEN);
        if name_len == 0 || name_len > NAME_LEN_MAX || entry_end > usize::from(record_len) {
            return corrupt!(
                place,
                "entry at offset {start} has a name of {name_len} bytes in a record of {record_len}"
            );
        }
        if inode > self.facts.inodes {
            return corrupt!(
                place,
                "entry at offset {start} leads to inode {inode}, beyond the end ({} inodes)",
                self.facts.inodes
            );
        }
        if inode != ROOT_INODE && inode < self.first_inode {
            return corrupt!(
                place,
                "entry at offset {start} leads to inode {inode}, which is reserved"
            );
        }
        match name {
            Some(name) => corrupt!(
                place,
                "entry at offset {start} has the name \"{}\"",
                name.escape_ascii()
            ),
            None => corrupt!(place, "entry at offset {start} is cut off"),
        }
    }

    /// Finds a name in a directory.
    ///
    /// # Errors
    /// See [`FileSystem::find`].
    pub fn lookup(&self, directory: InodeNumber, name: &[u8]) -> Result<InodeNumber, Error> {
        Ok(self.find(&self.inode(directory)?, name)?.number)
    }

    /// Finds a name in a directory and reads its inode. (It has to be read anyway to be checked.)
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::NameTooLong`]; [`Error::Corrupt`]
    /// if the entry or the inode is wrong, or the directory found does not have `directory` as its
    /// parent.
    pub fn find(&self, directory: &Inode, name: &[u8]) -> Result<Inode, Error> {
        if !directory.is_directory() {
            return Err(Error::NotADirectory);
        }
        if name.len() > NAME_LEN_MAX {
            return Err(Error::NameTooLong);
        }
        let found = if self.write.names.blocks(directory.number.0, name).is_some() {
            let entry = self.find_entry(directory, name)?;
            entry.map(|entry| (entry.inode, None))
        } else {
            self.find_in_order(directory, name)?
        };
        let (number, stated_type) = found.ok_or(Error::NotFound)?;
        if self.is_dead(number)? {
            return Err(Error::NotFound);
        }
        self.enter(directory, name, number, stated_type)
    }

    /// Finds a name by passing all entries before it.
    fn find_in_order(
        &self,
        directory: &Inode,
        name: &[u8],
    ) -> Result<Option<(InodeNumber, Option<FileType>)>, Error> {
        let mut entries = self.read_dir(directory, 0)?;
        loop {
            entries.skip_others(name)?;
            match entries.next_entry()? {
                None => return Ok(None),
                Some(entry) if entry.name == name => {
                    return Ok(Some((entry.inode, entry.file_type)));
                }
                Some(_) => {}
            }
        }
    }

    /// Reads the inode that an entry leads to, and checks that the two agree.
    pub(crate) fn enter(
        &self,
        directory: &Inode,
        name: &[u8],
        number: InodeNumber,
        stated_type: Option<FileType>,
    ) -> Result<Inode, Error> {
        let inode = self.inode(number)?;
        let place = Place::Directory(directory.number.0);
        let shown = name.escape_ascii();
        if let Some(stated) = stated_type.filter(|stated| *stated != inode.file_type) {
            return Err(corrupt!(
                place,
                "entry \"{shown}\" says {stated}, but inode {number} is a {}",
                inode.file_type
            ));
        }
        if is_dot(name) {
            if !inode.is_directory() {
                return Err(corrupt!(
                    place,
                    "entry \"{shown}\" leads to a {}",
                    inode.file_type
                ));
            }
        } else if inode.is_directory() {
            self.check_parent(directory, &inode, name)?;
        }
        Ok(inode)
    }

    /// Checks that a directory has the one it was found in as its parent.
    fn check_parent(&self, parent: &Inode, child: &Inode, name: &[u8]) -> Result<(), Error> {
        let place = Place::Directory(parent.number.0);
        let shown = name.escape_ascii();
        let number = child.number;
        if number.0 == ROOT_INODE || number == parent.number {
            return Err(corrupt!(
                place,
                "entry \"{shown}\" makes a loop back to inode {number}"
            ));
        }
        let mut entries = self.read_dir(child, 0)?;
        entries.skip_others(b"..")?;
        if let Some(entry) = entries.next_entry()?.filter(|entry| entry.name == b"..") {
            if entry.inode == parent.number {
                return Ok(());
            }
            return Err(corrupt!(
                place,
                "entry \"{shown}\" makes a loop or a second way: the parent of directory \
                 {number} is inode {}",
                entry.inode
            ));
        }
        Err(corrupt!(
            Place::Directory(number.0),
            "has no entry \"..\" where it belongs"
        ))
    }
}

/// Does a record lead to an inode?
fn is_used(header: &[u8; DIR_ENTRY_HEADER_LEN]) -> bool {
    let [a, b, c, d, ..] = header;
    *a | *b | *c | *d != 0
}

fn is_dot(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

/// Is there neither `/` nor NUL in a name? Eight bytes are looked at at once.
#[inline]
fn can_be_name(name: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const SLASHES: u64 = u64::from_ne_bytes([b'/'; 8]);
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7) != 0;
    let is_odd = |chunk: &[u8; 8]| {
        let word = u64::from_ne_bytes(*chunk);
        has_zero(word) || has_zero(word ^ SLASHES)
    };
    let (chunks, rest) = name.as_chunks();
    let is_rest_odd = match name.last_chunk() {
        Some(last) => is_odd(last),
        None => rest.iter().any(|byte| matches!(byte, b'/' | 0)),
    };
    !is_rest_odd && !chunks.iter().any(is_odd)
}

#[cfg(test)]
mod tests {
    use super::can_be_name;

    #[test]
    fn a_name_has_no_slash_and_no_nul_wherever() {
        for len in 0..40 {
            let mut name = alloc::vec![0x80u8; len];
            assert!(can_be_name(&name));
            for at in 0..len {
                for odd in [b'/', 0] {
                    name[at] = odd;
                    assert!(!can_be_name(&name), "{odd} at {at} of {len}");
                }
                name[at] = b'0';
                assert!(can_be_name(&name), "{at} of {len}");
            }
        }
    }
}
