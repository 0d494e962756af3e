//! Open files: a place in the tree, with an offset (POSIX: an open file description).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::content;
use super::lock::{self, NodeKey};
use super::namespace::Entry;
use super::node::{DirEntry, NodeKind, Part, TakeEntry};
use super::ranges::{self, Owner};
use super::watch;
use crate::error::{Errno, Result};
use crate::scheduler::Turn;

/// What [`OpenFile::allocate`] writes at once.
const ALLOCATE_LEN: usize = 64 << 10;

/// What an open file may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Reading.
    pub can_read: bool,
    /// Writing.
    pub can_write: bool,
}

/// An open file or directory.
pub struct OpenFile {
    entry: Arc<Entry>,
    access: Access,
    is_append: AtomicBool,
    /// Calls that use the offset take turns, so that each sees the offset that the one before left.
    turn: Turn,
    /// Bytes; in a directory, a cookie: 0 is `.`, 1 is `..`, from 2 on the file system's cookies, plus 2.
    offset: AtomicU64,
    is_locked: AtomicBool,
    /// For threads that lock through this open file.
    locking: Turn,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.unlock();
        ranges::release(self.lock_key(), self.owner());
        match self.access {
            access if access.can_write => watch::closed(&self.entry, libc::IN_CLOSE_WRITE),
            access if access.can_read => watch::closed(&self.entry, libc::IN_CLOSE_NOWRITE),
            _ => {}
        }
    }
}

impl OpenFile {
    /// Opens what is there, without looking whether that is allowed; see [`super::operations::open`].
    pub fn new(entry: Arc<Entry>, access: Access, is_append: bool) -> Self {
        Self {
            entry,
            access,
            is_append: AtomicBool::new(is_append),
            turn: Turn::new(),
            offset: AtomicU64::new(0),
            is_locked: AtomicBool::new(false),
            locking: Turn::new(),
        }
    }

    /// Where it is.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// What it may be used for.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Whether all writes go to the end (`O_APPEND`).
    pub fn set_append(&self, is_append: bool) {
        self.is_append.store(is_append, Ordering::Relaxed);
    }

    /// Reads from the offset on, and moves it.
    ///
    /// # Errors
    /// `EBADF` when not open for reading; see [`super::node::Node::read_at`].
    pub fn read(&self, buf: &mut [u8]) -> Result<usize> {
        let _turn = self.turn.take();
        let offset = self.offset.load(Ordering::Relaxed);
        let count = self.read_at(offset, buf)?;
        self.offset.store(offset + count as u64, Ordering::Relaxed);
        Ok(count)
    }

    /// Reads from a given offset on.
    ///
    /// # Errors
    /// As [`OpenFile::read`].
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        if !self.access.can_read {
            return Err(Errno(libc::EBADF));
        }
        // Nothing is read beyond what an offset can say.
        let room = (i64::MAX as u64).saturating_sub(offset);
        let len = usize::try_from(room).map_or(buf.len(), |room| room.min(buf.len()));
        let count = content::read_at(&self.entry.node, offset, &mut buf[..len])?;
        if count != 0 {
            watch::at(&self.entry, libc::IN_ACCESS);
        }
        Ok(count)
    }

    /// Writes at the offset, or at the end, and moves the offset behind it.
    ///
    /// # Errors
    /// `EBADF` when not open for writing; see [`super::node::Node::write_at`].
    pub fn write(&self, data: &[u8]) -> Result<usize> {
        let _turn = self.turn.take();
        self.check_write()?;
        if self.is_append.load(Ordering::Relaxed) {
            let (count, end) = self.append(data)?;
            self.offset.store(end, Ordering::Relaxed);
            return Ok(count);
        }
        let offset = self.offset.load(Ordering::Relaxed);
        let count = self.put(offset, data)?;
        self.offset.store(offset + count as u64, Ordering::Relaxed);
        Ok(count)
    }

    /// Writes at a given offset; in append mode at the end all the same, as Linux does.
    ///
    /// # Errors
    /// As [`OpenFile::write`].
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize> {
        self.check_write()?;
        if self.is_append.load(Ordering::Relaxed) {
            return self.append(data).map(|(count, _)| count);
        }
        self.put(offset, data)
    }

    fn append(&self, data: &[u8]) -> Result<(usize, u64)> {
        let written = content::append(&self.entry.node, data)?;
        self.tell_written(written.0);
        Ok(written)
    }

    fn put(&self, offset: u64, data: &[u8]) -> Result<usize> {
        let count = content::write_at(&self.entry.node, offset, data)?;
        self.tell_written(count);
        Ok(count)
    }

    fn tell_written(&self, count: usize) {
        if count != 0 {
            watch::at(&self.entry, libc::IN_MODIFY);
        }
    }

    /// Sets the file's size.
    ///
    /// # Errors
    /// `EINVAL` when not open for writing, or not a regular file.
    pub fn set_len(&self, len_bytes: u64) -> Result<()> {
        if !self.access.can_write || self.entry.node.kind() != NodeKind::File {
            return Err(Errno(libc::EINVAL));
        }
        content::set_len(&self.entry.node, len_bytes)?;
        watch::at(&self.entry, libc::IN_MODIFY);
        Ok(())
    }

    /// Makes sure that a range of the file has its place in storage, and makes the file longer if it ends before the range does.
    ///
    /// # Errors
    /// `EBADF` when not open for writing, `ENODEV` when not a regular file, `EFBIG` beyond the largest size, `ENOSPC` when the storage is full.
    pub fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        let _turn = self.turn.take();
        self.check_write()?;
        let node = &self.entry.node;
        if node.kind() != NodeKind::File {
            return Err(Errno(libc::ENODEV));
        }
        let end = offset
            .checked_add(len)
            .filter(|end| *end <= i64::MAX as u64);
        let end = end.ok_or(Errno(libc::EFBIG))?;
        let mut content = Vec::new();
        content
            .try_reserve_exact(ALLOCATE_LEN)
            .map_err(|_| Errno(libc::ENOMEM))?;
        let mut at = offset;
        while at < end {
            // What is there is written again, so that a hole gets its blocks; behind the end there are zeros.
            let step = (end - at).min(ALLOCATE_LEN as u64) as usize;
            content.clear();
            content.resize(step, 0);
            content::read_at(node, at, &mut content)?;
            let written = content::write_at(node, at, &content)?;
            if written < step {
                return Err(Errno(libc::ENOSPC));
            }
            at += written as u64;
        }
        self.tell_written((end - offset) as usize);
        Ok(())
    }

    /// Moves the offset (`whence` is `SEEK_SET`, …), and returns it.
    ///
    /// # Errors
    /// `EINVAL` when it would be negative, `ENXIO` when there is no such data or hole.
    pub fn seek(&self, delta: i64, whence: i32) -> Result<u64> {
        let _turn = self.turn.take();
        let kind = self.entry.node.kind();
        if kind == NodeKind::CharacterDevice {
            return Ok(0);
        }
        let len = || self.entry.node.metadata().map(|facts| facts.len_bytes);
        let invalid = Errno(libc::EINVAL);
        let start = match whence {
            libc::SEEK_SET => 0,
            libc::SEEK_CUR => self.offset.load(Ordering::Relaxed),
            libc::SEEK_END => len()?,
            libc::SEEK_DATA | libc::SEEK_HOLE => {
                let none = Errno(libc::ENXIO);
                let len = len()?;
                let from = u64::try_from(delta).ok().filter(|from| *from < len);
                let part = match whence {
                    libc::SEEK_DATA => Part::Data,
                    _ => Part::Hole,
                };
                let found = content::find_part(&self.entry.node, part, from.ok_or(none)?, len)?;
                let offset = found.ok_or(none)?.min(len);
                self.offset.store(offset, Ordering::Relaxed);
                return Ok(offset);
            }
            _ => return Err(invalid),
        };
        let offset = start
            .checked_add_signed(delta)
            .filter(|at| *at <= i64::MAX as u64);
        let offset = offset.ok_or(invalid)?;
        self.offset.store(offset, Ordering::Relaxed);
        Ok(offset)
    }

    /// Hands the next entries of a directory, with `.` and `..`, to `take`, until it does not take one; that will be the next.
    ///
    /// # Errors
    /// `ENOTDIR` when it is none, `EIO` when it cannot be read; what comes before damage is handed out first.
    pub fn next_entries(&self, take: &mut TakeEntry<'_>) -> Result<()> {
        if !self.entry.is_directory() {
            return Err(Errno(libc::ENOTDIR));
        }
        let _turn = self.turn.take();
        let start = self.offset.load(Ordering::Relaxed);
        let mut next = start;
        let mut take_next = |entry: &DirEntry<'_>, next_cookie| {
            let is_taken = take(&DirEntry {
                next_cookie,
                ..*entry
            });
            if is_taken {
                next = next_cookie;
            }
            is_taken
        };
        // Two cookies are for `.` and `..`.
        let dots = [
            (".", &self.entry, 0),
            ("..", self.entry.parent_or_self(), 1),
        ];
        let are_taken = dots.into_iter().filter(|dot| dot.2 >= start).all(|dot| {
            let entry = DirEntry {
                number: dot.1.node.number(),
                kind: Some(NodeKind::Directory),
                name: dot.0.as_bytes(),
                next_cookie: 0,
            };
            take_next(&entry, dot.2 + 1)
        });
        let cookie = start.saturating_sub(2);
        let listed = if are_taken {
            let mut take_more =
                |entry: &DirEntry<'_>| take_next(entry, entry.next_cookie.saturating_add(2));
            self.entry.node.read_dir(cookie, &mut take_more)
        } else {
            Ok(())
        };
        self.offset.store(next, Ordering::Relaxed);
        watch::at(&self.entry, libc::IN_ACCESS);
        if next == start { listed } else { Ok(()) }
    }

    /// The next entry of a directory: its name and kind.
    #[cfg(test)]
    pub fn next_entry(&self) -> Result<Option<(Vec<u8>, Option<NodeKind>)>> {
        let mut found = None;
        self.next_entries(&mut |entry| {
            let is_first = found.is_none();
            if is_first {
                found = Some((entry.name.to_vec(), entry.kind));
            }
            is_first
        })?;
        Ok(found)
    }

    /// Locks the file against others who lock it; an older lock of this open file is given back before.
    ///
    /// # Errors
    /// `EWOULDBLOCK` when others hold it and the caller may not wait.
    pub fn lock(&self, is_exclusive: bool, may_wait: bool) -> Result<()> {
        let _turn = self.locking.take();
        self.unlock();
        lock::acquire(self.lock_key(), is_exclusive, may_wait)?;
        self.is_locked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Gives the lock back, if this open file has one.
    pub fn unlock(&self) {
        if self.is_locked.swap(false, Ordering::Relaxed) {
            lock::release(self.lock_key());
        }
    }

    /// Gives back the locks that the process has on ranges of the file: one of its descriptors was closed.
    pub fn release_process(&self) {
        ranges::release(self.lock_key(), Owner::Process);
    }

    /// Who has the locks on ranges that belong to this open file.
    pub fn owner(&self) -> Owner {
        Owner::File(core::ptr::from_ref(self).addr())
    }

    /// By what the file is known to those who lock it.
    pub fn lock_key(&self) -> NodeKey {
        (self.entry.mount.device, self.entry.node.number())
    }

    fn check_write(&self) -> Result<()> {
        if self.access.can_write {
            Ok(())
        } else {
            Err(Errno(libc::EBADF))
        }
    }
}
