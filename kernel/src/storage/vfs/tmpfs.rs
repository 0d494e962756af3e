//! A file system in memory: `/` when no disk is mounted there (Linux: tmpfs(5)).
//!
//! Content lies in pages of 4 KiB, so files can have holes. What it may take is limited, so that a program that fills it gets
//! `ENOSPC` and not the end of all memory. Whoever changes names holds the file system's `tree` lock, and only under it may two
//! nodes be locked at once; so there is no order of locks to keep.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use super::node::{
    self, Changes, DirEntry, FileSystem, Metadata, NewNode, Node, NodeKind, NodeRef, Part,
    TakeEntry, Timestamp, Usage,
};
use crate::error::{Errno, Result};
use crate::memory::heap;
use crate::sync::SpinLock;

const PAGE_LEN: usize = 4096;
const PAGE_LEN_U64: u64 = PAGE_LEN as u64;
/// What a node is charged, besides its pages.
const NODE_CHARGE: u64 = 512;
const MAX_LEN: u64 = i64::MAX as u64;
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// A file system in memory.
pub struct Tmpfs {
    root: Arc<TmpNode>,
}

/// What all nodes of one file system share.
struct Shared {
    limit_bytes: u64,
    used_bytes: AtomicU64,
    next_number: AtomicU64,
    tree: SpinLock<()>,
}

impl Shared {
    fn charge(&self, bytes: u64) -> Result<()> {
        let used = self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        if used.saturating_add(bytes) <= self.limit_bytes && !heap::is_short() {
            return Ok(());
        }
        self.refund(bytes);
        Err(Errno(libc::ENOSPC))
    }

    fn refund(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A file, directory or link.
struct TmpNode {
    this: Weak<TmpNode>,
    shared: Arc<Shared>,
    number: u64,
    kind: NodeKind,
    created: Timestamp,
    body: SpinLock<Body>,
}

struct Body {
    permissions: u32,
    uid: u32,
    gid: u32,
    links: u64,
    accessed: Timestamp,
    modified: Timestamp,
    changed: Timestamp,
    content: Content,
}

enum Content {
    File(Pages),
    Directory(Directory),
    Symlink(Box<[u8]>),
    /// A name only, of a socket or a pipe.
    Nothing,
}

/// The content of a file. A page that is missing, and the rest of one that is short, are zeros.
#[derive(Default)]
struct Pages {
    len_bytes: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

/// The content of a directory. Each entry has a number by which `read_dir` goes on after others were removed.
struct Directory {
    parent: Weak<TmpNode>,
    entries: BTreeMap<Box<[u8]>, (u64, Arc<TmpNode>)>,
    order: BTreeMap<u64, Box<[u8]>>,
    next_cookie: u64,
    is_removed: bool,
}

impl Directory {
    fn insert(&mut self, name: &[u8], node: Arc<TmpNode>) -> Result<()> {
        if self.is_removed {
            return Err(Errno(libc::ENOENT));
        }
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        self.order.insert(cookie, Box::from(name));
        if let Some((old, _)) = self.entries.insert(Box::from(name), (cookie, node)) {
            self.order.remove(&old);
        }
        Ok(())
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some((cookie, _)) = self.entries.remove(name) {
            self.order.remove(&cookie);
        }
    }
}

impl Body {
    fn directory(&mut self) -> Result<&mut Directory> {
        match &mut self.content {
            Content::Directory(directory) => Ok(directory),
            _ => Err(Errno(libc::ENOTDIR)),
        }
    }

    fn pages(&mut self) -> Result<&mut Pages> {
        match &mut self.content {
            Content::File(pages) => Ok(pages),
            Content::Directory(_) => Err(Errno(libc::EISDIR)),
            Content::Symlink(_) | Content::Nothing => Err(Errno(libc::EINVAL)),
        }
    }

    /// Content has changed.
    fn touch(&mut self) {
        self.modified = Timestamp::now();
        self.changed = self.modified;
    }
}

impl Tmpfs {
    /// An empty file system that takes at most about `limit_bytes` of memory.
    pub fn new(limit_bytes: u64) -> Self {
        let shared = Arc::new(Shared {
            limit_bytes,
            used_bytes: AtomicU64::new(NODE_CHARGE),
            next_number: AtomicU64::new(1),
            tree: SpinLock::new(()),
        });
        let root = TmpNode::new(&shared, NewNode::Directory, 0o755, Weak::new());
        Self { root }
    }
}

impl FileSystem for Tmpfs {
    fn root(&self) -> Result<NodeRef> {
        Ok(self.root.clone())
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn usage(&self) -> Usage {
        let shared = &self.root.shared;
        let used = shared
            .used_bytes
            .load(Ordering::Relaxed)
            .min(shared.limit_bytes);
        Usage {
            block_len_bytes: PAGE_LEN_U64,
            blocks: shared.limit_bytes / PAGE_LEN_U64,
            free_blocks: (shared.limit_bytes - used) / PAGE_LEN_U64,
            nodes: shared.limit_bytes / NODE_CHARGE,
            free_nodes: (shared.limit_bytes - used) / NODE_CHARGE,
            magic: TMPFS_MAGIC,
        }
    }
}

impl Drop for TmpNode {
    fn drop(&mut self) {
        let pages = self
            .body
            .lock()
            .pages()
            .map_or(0, |pages| pages.pages.len());
        self.shared
            .refund(NODE_CHARGE + pages as u64 * PAGE_LEN_U64);
    }
}

impl TmpNode {
    /// A node without a name; the caller has charged for it.
    fn new(
        shared: &Arc<Shared>,
        new: NewNode<'_>,
        permissions: u32,
        parent: Weak<TmpNode>,
    ) -> Arc<Self> {
        let now = Timestamp::now();
        let (kind, links, content) = match new {
            NewNode::File => (NodeKind::File, 1, Content::File(Pages::default())),
            NewNode::Symlink(target) => (NodeKind::Symlink, 1, Content::Symlink(Box::from(target))),
            NewNode::Socket => (NodeKind::Socket, 1, Content::Nothing),
            NewNode::Fifo => (NodeKind::Fifo, 1, Content::Nothing),
            NewNode::Directory => {
                let directory = Directory {
                    parent,
                    entries: BTreeMap::new(),
                    order: BTreeMap::new(),
                    next_cookie: 0,
                    is_removed: false,
                };
                (NodeKind::Directory, 2, Content::Directory(directory))
            }
        };
        let (uid, gid) = node::owner();
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            shared: shared.clone(),
            number: shared.next_number.fetch_add(1, Ordering::Relaxed),
            kind,
            created: now,
            body: SpinLock::new(Body {
                permissions,
                uid,
                gid,
                links,
                accessed: now,
                modified: now,
                changed: now,
                content,
            }),
        })
    }

    fn is_directory(&self) -> bool {
        self.kind == NodeKind::Directory
    }

    fn entry(&self, name: &[u8]) -> Result<Arc<TmpNode>> {
        let mut body = self.body.lock();
        let entry = body.directory()?.entries.get(name);
        entry
            .map(|(_, node)| node.clone())
            .ok_or(Errno(libc::ENOENT))
    }

    fn has(&self, name: &[u8]) -> Result<bool> {
        Ok(self.body.lock().directory()?.entries.contains_key(name))
    }

    /// Takes a name away; the `tree` lock is held.
    fn remove_name(&self, name: &[u8], node: &TmpNode) -> Result<()> {
        let mut body = self.body.lock();
        body.directory()?.remove(name);
        body.touch();
        if node.is_directory() {
            body.links -= 1;
        }
        drop(body);
        let mut body = node.body.lock();
        body.changed = Timestamp::now();
        body.links = body.links.saturating_sub(1);
        if let Ok(directory) = body.directory() {
            directory.is_removed = true;
            body.links = 0;
        }
        Ok(())
    }

    /// Gives a node a name; the `tree` lock is held.
    fn add_name(&self, name: &[u8], node: Arc<TmpNode>) -> Result<()> {
        let mut body = self.body.lock();
        let is_directory = node.is_directory();
        body.directory()?.insert(name, node)?;
        body.touch();
        if is_directory {
            body.links += 1;
        }
        Ok(())
    }

    /// Lets a name of this directory lead from `old`, which has another name as well or gets one, to `new`; the `tree` lock is held.
    fn replace_name(&self, name: &[u8], old: &TmpNode, new: Arc<TmpNode>) -> Result<()> {
        let mut body = self.body.lock();
        body.links -= u64::from(old.is_directory());
        drop(body);
        self.add_name(name, new.clone())?;
        let mut body = new.body.lock();
        body.changed = Timestamp::now();
        if let Ok(directory) = body.directory() {
            directory.parent = self.this.clone();
        }
        Ok(())
    }

    /// Whether a directory, which is not locked, has no entries.
    fn is_empty(&self) -> bool {
        self.body
            .lock()
            .directory()
            .is_ok_and(|directory| directory.entries.is_empty())
    }

    /// Whether this directory is `other`, or somewhere in it; the `tree` lock is held.
    fn is_inside(&self, other: &TmpNode) -> bool {
        let mut here = self.this.upgrade();
        while let Some(node) = here {
            if node.number == other.number {
                return true;
            }
            here = node
                .body
                .lock()
                .directory()
                .ok()
                .and_then(|d| d.parent.upgrade());
        }
        false
    }

    fn write(&self, offset: Option<u64>, data: &[u8]) -> Result<(usize, u64)> {
        let mut body = self.body.lock();
        let pages = body.pages()?;
        let offset = offset.unwrap_or(pages.len_bytes);
        let end = offset
            .checked_add(data.len() as u64)
            .filter(|end| *end <= MAX_LEN);
        if end.is_none() {
            return Err(Errno(libc::EFBIG));
        }
        let written = pages.write(&self.shared, offset, data)?;
        if written != 0 {
            body.touch();
        }
        Ok((written, offset + written as u64))
    }
}

impl Pages {
    fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let left = self.len_bytes.saturating_sub(offset);
        let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = (at % PAGE_LEN_U64) as usize;
            let out = &mut buf[done..len];
            let count = out.len().min(PAGE_LEN - within);
            let page = self.pages.get(&(at / PAGE_LEN_U64));
            let from = page.and_then(|page| page.get(within..)).unwrap_or_default();
            let there = from.len().min(count);
            out[..there].copy_from_slice(&from[..there]);
            out[there..count].fill(0);
            done += count;
        }
        len
    }

    /// Writes what there is room for.
    fn write(&mut self, shared: &Shared, offset: u64, data: &[u8]) -> Result<usize> {
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let within = (at % PAGE_LEN_U64) as usize;
            let count = (data.len() - done).min(PAGE_LEN - within);
            match self.page(shared, at / PAGE_LEN_U64, within + count) {
                Ok(page) => page[within..within + count].copy_from_slice(&data[done..done + count]),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            done += count;
            self.len_bytes = self.len_bytes.max(at + count as u64);
        }
        Ok(done)
    }

    /// The page of this index, at least `len` bytes of it.
    fn page(&mut self, shared: &Shared, index: u64, len: usize) -> Result<&mut Vec<u8>> {
        let no_space = Errno(libc::ENOSPC);
        let page = match self.pages.entry(index) {
            Entry::Occupied(page) => page.into_mut(),
            Entry::Vacant(place) => {
                shared.charge(PAGE_LEN_U64)?;
                place.insert(Vec::new())
            }
        };
        if page.len() < len {
            page.try_reserve(len - page.len()).map_err(|_| no_space)?;
            page.resize(len, 0);
        }
        Ok(page)
    }

    fn set_len(&mut self, shared: &Shared, len_bytes: u64) {
        let first_gone = len_bytes.div_ceil(PAGE_LEN_U64);
        let gone = self.pages.split_off(&first_gone);
        shared.refund(gone.len() as u64 * PAGE_LEN_U64);
        if let Some(page) = self.pages.get_mut(&(len_bytes / PAGE_LEN_U64)) {
            page.truncate((len_bytes % PAGE_LEN_U64) as usize);
        }
        self.len_bytes = len_bytes;
    }
}

/// The node behind a reference, if it is of this kind of file system.
fn own(node: &NodeRef) -> Result<Arc<TmpNode>> {
    let any: &dyn Any = &**node;
    any.downcast_ref::<TmpNode>()
        .and_then(|node| node.this.upgrade())
        .ok_or(Errno(libc::EXDEV))
}

impl Node for TmpNode {
    fn kind(&self) -> NodeKind {
        self.kind
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn metadata(&self) -> Result<Metadata> {
        let body = self.body.lock();
        let (len_bytes, pages) = match &body.content {
            Content::File(pages) => (pages.len_bytes, pages.pages.len() as u64),
            Content::Directory(directory) => (20 * (2 + directory.entries.len() as u64), 0),
            Content::Symlink(target) => (target.len() as u64, 0),
            Content::Nothing => (0, 0),
        };
        Ok(Metadata {
            number: self.number,
            kind: self.kind,
            permissions: body.permissions,
            links: body.links,
            uid: body.uid,
            gid: body.gid,
            len_bytes,
            blocks_of_512: pages * (PAGE_LEN_U64 / 512),
            accessed: body.accessed,
            modified: body.modified,
            changed: body.changed,
            created: Some(self.created),
            device: (0, 0),
        })
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        Ok(self.body.lock().pages()?.read(offset, buf))
    }

    fn find(&self, part: Part, offset: u64, _len_bytes: u64) -> Result<Option<u64>> {
        let mut body = self.body.lock();
        let pages = &body.pages()?.pages;
        let page = offset / PAGE_LEN_U64;
        let is_there = pages.contains_key(&page);
        Ok(match part {
            Part::Data if is_there => Some(offset),
            Part::Data => pages
                .range(page..)
                .next()
                .map(|(index, _)| index * PAGE_LEN_U64),
            Part::Hole if !is_there => Some(offset),
            Part::Hole => {
                let follow = (page..).zip(pages.range(page..));
                let count = follow.take_while(|(next, (index, _))| next == *index);
                Some((page + count.count() as u64) * PAGE_LEN_U64)
            }
        })
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize> {
        self.write(Some(offset), data).map(|(written, _)| written)
    }

    fn append(&self, data: &[u8]) -> Result<(usize, u64)> {
        self.write(None, data)
    }

    fn set_len(&self, len_bytes: u64) -> Result<()> {
        if len_bytes > MAX_LEN {
            return Err(Errno(libc::EFBIG));
        }
        let mut body = self.body.lock();
        body.pages()?.set_len(&self.shared, len_bytes);
        body.touch();
        Ok(())
    }

    fn change(&self, changes: &Changes) -> Result<()> {
        let mut body = self.body.lock();
        body.permissions = changes.permissions.unwrap_or(body.permissions);
        body.uid = changes.uid.unwrap_or(body.uid);
        body.gid = changes.gid.unwrap_or(body.gid);
        body.accessed = changes.accessed.unwrap_or(body.accessed);
        body.modified = changes.modified.unwrap_or(body.modified);
        body.changed = Timestamp::now();
        Ok(())
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        match &self.body.lock().content {
            Content::Symlink(target) => Ok(target.to_vec()),
            _ => Err(Errno(libc::EINVAL)),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<NodeRef> {
        Ok(self.entry(name)?)
    }

    fn read_dir(&self, cookie: u64, take: &mut TakeEntry<'_>) -> Result<()> {
        let mut body = self.body.lock();
        let directory = body.directory()?;
        let mut entries = directory
            .order
            .range(cookie..)
            .filter_map(|(cookie, name)| {
                let (_, node) = directory.entries.get(name)?;
                Some(DirEntry {
                    number: node.number,
                    kind: Some(node.kind),
                    name,
                    next_cookie: cookie + 1,
                })
            });
        entries.all(|entry| take(&entry));
        Ok(())
    }

    fn create(&self, name: &[u8], new: NewNode<'_>, permissions: u32) -> Result<NodeRef> {
        let _tree = self.shared.tree.lock();
        if self.has(name)? {
            return Err(Errno(libc::EEXIST));
        }
        self.shared.charge(NODE_CHARGE)?;
        let node = TmpNode::new(&self.shared, new, permissions, self.this.clone());
        self.add_name(name, node.clone())?;
        Ok(node)
    }

    fn link(&self, name: &[u8], node: &NodeRef) -> Result<()> {
        let node = own(node)?;
        let _tree = self.shared.tree.lock();
        if self.has(name)? {
            return Err(Errno(libc::EEXIST));
        }
        if node.body.lock().links == 0 {
            return Err(Errno(libc::ENOENT));
        }
        self.add_name(name, node.clone())?;
        let mut body = node.body.lock();
        body.links += 1;
        body.changed = Timestamp::now();
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        // Dropped last, outside the lock.
        let node;
        let _tree = self.shared.tree.lock();
        node = self.entry(name)?;
        if node.is_directory() {
            return Err(Errno(libc::EISDIR));
        }
        self.remove_name(name, &node)
    }

    fn remove_dir(&self, name: &[u8]) -> Result<()> {
        let _tree = self.shared.tree.lock();
        let node = self.entry(name)?;
        if !node.is_directory() {
            return Err(Errno(libc::ENOTDIR));
        }
        if !node.is_empty() {
            return Err(Errno(libc::ENOTEMPTY));
        }
        self.remove_name(name, &node)
    }

    fn rename(&self, name: &[u8], to: &NodeRef, to_name: &[u8], may_replace: bool) -> Result<()> {
        let to = own(to)?;
        let _tree = self.shared.tree.lock();
        let node = self.entry(name)?;
        if node.is_directory() && to.is_inside(&node) {
            return Err(Errno(libc::EINVAL));
        }
        let replaced = match to.entry(to_name) {
            Ok(old) => Some(old),
            Err(Errno(libc::ENOENT)) => None,
            Err(error) => return Err(error),
        };
        if let Some(old) = &replaced {
            if !may_replace {
                return Err(Errno(libc::EEXIST));
            }
            if old.number == node.number {
                return Ok(());
            }
            match (node.is_directory(), old.is_directory()) {
                (true, false) => return Err(Errno(libc::ENOTDIR)),
                (false, true) => return Err(Errno(libc::EISDIR)),
                (true, true) if !old.is_empty() => return Err(Errno(libc::ENOTEMPTY)),
                _ => {}
            }
            to.remove_name(to_name, old)?;
        }
        to.add_name(to_name, node.clone())?;
        let mut body = self.body.lock();
        body.directory()?.remove(name);
        body.touch();
        if node.is_directory() {
            body.links -= 1;
        }
        drop(body);
        let mut body = node.body.lock();
        body.changed = Timestamp::now();
        if let Ok(directory) = body.directory() {
            directory.parent = to.this.clone();
        }
        Ok(())
    }

    fn exchange(&self, name: &[u8], to: &NodeRef, to_name: &[u8]) -> Result<()> {
        let to = own(to)?;
        let _tree = self.shared.tree.lock();
        let (node, other) = (self.entry(name)?, to.entry(to_name)?);
        if (node.is_directory() && to.is_inside(&node))
            || (other.is_directory() && self.is_inside(&other))
        {
            return Err(Errno(libc::EINVAL));
        }
        self.replace_name(name, &node, other.clone())?;
        to.replace_name(to_name, &other, node)
    }
}
