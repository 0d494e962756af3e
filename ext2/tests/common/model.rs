//! A file system as plain data, with the same operations: what the crate must do.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::collections::BTreeMap;

use ext2::{BlockDevice, Changes, Error, FileSystem, FileType, InodeNumber, NewAttributes, Time};
use proptest::prelude::*;
use proptest::sample::Index;

/// What happens. Directories and files are chosen among those that are there; names from a small set,
/// so that they meet.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create(Index, usize),
    CreateDirectory(Index, usize),
    Symlink(Index, usize, usize),
    Link(Index, Index, usize),
    Unlink(Index, Index),
    RemoveDirectory(Index),
    Rename(Index, Index, Index, usize, bool),
    /// Moves the newest file over another one, as programs do that replace a file.
    Replace(Index, Index),
    Write(Index, u64, usize),
    SetLen(Index, u64),
    Change(Index, u16),
    /// Removes a file that is in use, and goes on writing to it.
    UnlinkOpen(Index, Index, usize),
    /// Closes such a file.
    Close(Index),
    Fsync(Index),
    Sync,
    Remount,
}

/// How many names there are to choose from.
const NAMES: usize = 40;

pub(crate) fn name(index: usize) -> Vec<u8> {
    let index = index % NAMES;
    if index < 6 {
        vec![b'A' + index as u8; 200 + index * 11]
    } else {
        format!("name-{}", "x".repeat(index)).into_bytes()
    }
}

/// Sequences of operations. Files become as large as 5 times `large`.
pub(crate) fn operations(most: usize, large: usize) -> impl Strategy<Value = Vec<Op>> {
    let index = any::<Index>;
    let names = 0..NAMES;
    let most_offset = large as u64 * 4 / 3;
    let offset = prop_oneof![4 => 0..6000u64, 2 => 0..60_000u64, 1 => 0..most_offset];
    let len = prop_oneof![4 => 0..3000usize, 2 => 0..30_000usize, 1 => 0..large];
    let op = prop_oneof![
        8 => (index(), names.clone()).prop_map(|(d, n)| Op::Create(d, n)),
        4 => (index(), names.clone()).prop_map(|(d, n)| Op::CreateDirectory(d, n)),
        2 => (index(), names.clone(), 1..1500usize).prop_map(|(d, n, l)| Op::Symlink(d, n, l % 1100)),
        3 => (index(), index(), names.clone()).prop_map(|(f, d, n)| Op::Link(f, d, n)),
        6 => (index(), index()).prop_map(|(d, e)| Op::Unlink(d, e)),
        2 => index().prop_map(Op::RemoveDirectory),
        7 => (index(), index(), index(), names.clone(), any::<bool>())
            .prop_map(|(d, e, t, n, r)| Op::Rename(d, e, t, n, r)),
        6 => (index(), index()).prop_map(|(t, e)| Op::Replace(t, e)),
        12 => (index(), offset.clone(), len).prop_map(|(f, o, l)| Op::Write(f, o, l)),
        4 => (index(), offset).prop_map(|(f, l)| Op::SetLen(f, l)),
        2 => (index(), any::<u16>()).prop_map(|(f, m)| Op::Change(f, m)),
        2 => (index(), index(), 0..20_000usize).prop_map(|(d, e, l)| Op::UnlinkOpen(d, e, l)),
        2 => index().prop_map(Op::Close),
        4 => index().prop_map(Op::Fsync),
        1 => Just(Op::Sync),
        1 => Just(Op::Remount),
    ];
    prop::collection::vec(op, 0..most)
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, u32>),
    Symlink(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) body: Body,
    pub(crate) permissions: u16,
    pub(crate) uid: u32,
    pub(crate) modified: i64,
    /// Of a directory; the root is its own.
    pub(crate) parent: u32,
}

/// All nodes by the number of their inode.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) nodes: BTreeMap<u32, Node>,
    now: i64,
    seed: u64,
    /// Files without a name that are in use.
    open: Vec<u32>,
    /// Directory, name and number of what was created last.
    newest: Option<(u32, Vec<u8>, u32)>,
    /// How many operations ended for want of space.
    pub(crate) out_of_space: usize,
}

fn is_directory(node: &Node) -> bool {
    matches!(node.body, Body::Directory(_))
}

impl Model {
    /// What a file system holds now.
    pub(crate) fn read<D: BlockDevice>(disk: &FileSystem<D>) -> Result<Self, Error> {
        let mut model = Self {
            now: 1_500_000_000,
            ..Self::default()
        };
        let root = disk.inode(disk.root())?;
        let mut to_read = vec![(root.clone(), root.number().0)];
        while let Some((inode, parent)) = to_read.pop() {
            let body = match inode.file_type() {
                FileType::Directory => {
                    let mut entries = BTreeMap::new();
                    for entry in disk.read_dir(&inode, 0)? {
                        let entry = entry?;
                        let inner = match disk.find(&inode, entry.name()) {
                            // A name behind which the power was cut.
                            Err(Error::NotFound) => continue,
                            inner => inner?,
                        };
                        if !entry.is_dot() {
                            let old = entries.insert(entry.name().to_vec(), entry.inode.0);
                            assert_eq!(old, None, "two entries {:?}", entry.name());
                            to_read.push((inner, inode.number().0));
                        }
                    }
                    Body::Directory(entries)
                }
                FileType::File => {
                    let mut content = vec![0; inode.size() as usize];
                    disk.read(&inode, 0, &mut content)?;
                    Body::File(content)
                }
                _ => Body::Symlink(disk.read_link(&inode)?),
            };
            let node = Node {
                parent: if matches!(body, Body::Directory(_)) {
                    parent
                } else {
                    0
                },
                body,
                permissions: inode.mode() & 0o7777,
                uid: inode.uid(),
                modified: inode.modified(),
            };
            model.nodes.insert(inode.number().0, node);
        }
        Ok(model)
    }

    fn pick(&self, index: Index, is_wanted: impl Fn(&Node) -> bool) -> Option<u32> {
        let all: Vec<u32> = self
            .nodes
            .iter()
            .filter(|(_, node)| is_wanted(node))
            .map(|(number, _)| *number)
            .collect();
        (!all.is_empty()).then(|| *index.get(&all))
    }

    fn directory(&self, index: Index) -> u32 {
        self.pick(index, is_directory).expect("there is a root")
    }

    fn entries(&mut self, directory: u32) -> &mut BTreeMap<Vec<u8>, u32> {
        match &mut self.nodes.get_mut(&directory).expect("is there").body {
            Body::Directory(entries) => entries,
            _ => panic!("not a directory"),
        }
    }

    fn touch(&mut self, number: u32) {
        self.nodes.get_mut(&number).expect("is there").modified = self.now;
    }

    pub(crate) fn links(&self, number: u32) -> usize {
        let node = &self.nodes[&number];
        let entries = self.nodes.values().filter_map(|node| match &node.body {
            Body::Directory(entries) => Some(entries),
            _ => None,
        });
        if is_directory(node) {
            let subdirectories = self
                .nodes
                .iter()
                .filter(|(n, node)| is_directory(node) && node.parent == number && **n != number);
            2 + subdirectories.count()
        } else {
            entries
                .flat_map(BTreeMap::values)
                .filter(|n| **n == number)
                .count()
        }
    }

    /// Forgets nodes that have no name.
    fn sweep(&mut self, number: u32) {
        if !is_directory(&self.nodes[&number]) && self.links(number) == 0 {
            self.nodes.remove(&number);
        }
    }

    fn is_below(&self, mut directory: u32, top: u32) -> bool {
        loop {
            if directory == top {
                return true;
            }
            let parent = self.nodes[&directory].parent;
            if parent == directory {
                return false;
            }
            directory = parent;
        }
    }

    fn add(&mut self, directory: u32, name: Vec<u8>, number: u32, body: Body) {
        let node = Node {
            parent: if matches!(body, Body::Directory(_)) {
                directory
            } else {
                0
            },
            body,
            permissions: 0o640,
            uid: 70_000,
            modified: self.now,
        };
        assert!(!self.open.contains(&number), "inode {number} was in use");
        assert_eq!(
            self.nodes.insert(number, node),
            None,
            "inode {number} was in use"
        );
        self.entries(directory).insert(name.clone(), number);
        self.touch(directory);
        self.newest = Some((directory, name, number));
    }

    /// Does an operation on both, and checks that they agree on its result. Returns whether the crate
    /// asked for a remount.
    pub(crate) fn apply<D: BlockDevice>(&mut self, disk: &mut FileSystem<D>, op: &Op) {
        self.seed += 1;
        // Some things happen in the same second.
        self.now += i64::from(!self.seed.is_multiple_of(3));
        disk.set_time(Time {
            seconds: self.now,
            nanoseconds: 0,
        });
        let attributes = NewAttributes {
            permissions: 0o640,
            uid: 70_000,
            gid: 5,
        };
        let number = InodeNumber;
        match op {
            Op::Create(d, n) => {
                let (d, n) = (self.directory(*d), name(*n));
                let result = disk.create(number(d), &n, attributes);
                self.created(d, n, result, Body::File(Vec::new()));
            }
            Op::CreateDirectory(d, n) => {
                let (d, n) = (self.directory(*d), name(*n));
                let result = disk.create_directory(number(d), &n, attributes);
                self.created(d, n, result, Body::Directory(BTreeMap::new()));
            }
            Op::Symlink(d, n, len) => {
                let (d, n) = (self.directory(*d), name(*n));
                let target = vec![b't'; *len];
                let result = disk.create_symlink(number(d), &n, &target, attributes);
                let block_size = disk.facts().block_size as usize;
                if *len == 0 {
                    assert_eq!(result.err(), Some(Error::InvalidName));
                } else if *len >= block_size {
                    assert_eq!(result.err(), Some(Error::NameTooLong));
                } else {
                    self.created(d, n, result, Body::Symlink(target));
                }
            }
            Op::Link(f, d, n) => {
                let Some(f) = self.pick(*f, |node| !is_directory(node)) else {
                    return;
                };
                let (d, n) = (self.directory(*d), name(*n));
                let is_there = self.entries(d).contains_key(&n);
                match disk.link(number(d), &n, number(f)) {
                    Ok(()) => {
                        assert!(!is_there);
                        self.entries(d).insert(n, f);
                        self.touch(d);
                    }
                    Err(Error::NoSpace) => self.out_of_space += 1,
                    Err(error) => assert!(error == Error::Exists && is_there, "{error}"),
                }
            }
            Op::Unlink(d, e) => {
                let d = self.directory(*d);
                let Some((n, f)) = self.entry(d, *e) else {
                    assert_eq!(disk.unlink(number(d), b"gone"), Err(Error::NotFound));
                    return;
                };
                let result = disk.unlink(number(d), &n);
                if is_directory(&self.nodes[&f]) {
                    assert_eq!(result, Err(Error::IsADirectory));
                } else {
                    assert_eq!(result, Ok(()));
                    self.entries(d).remove(&n);
                    self.touch(d);
                    self.sweep(f);
                }
            }
            Op::RemoveDirectory(d) => {
                let f = self.directory(*d);
                let d = self.nodes[&f].parent;
                let Some(n) = self.name_of(d, f) else { return };
                let result = disk.remove_directory(number(d), &n);
                if self.entries(f).is_empty() {
                    assert_eq!(result, Ok(()));
                    self.entries(d).remove(&n);
                    self.touch(d);
                    self.nodes.remove(&f);
                } else {
                    assert_eq!(result, Err(Error::NotEmpty));
                }
            }
            Op::Rename(d, e, t, n, may_replace) => {
                let (d, t) = (self.directory(*d), self.directory(*t));
                let Some((from, f)) = self.entry(d, *e) else {
                    return;
                };
                let n = name(*n);
                let result = disk.rename(number(d), &from, number(t), &n, *may_replace);
                if result == Err(Error::NoSpace) {
                    self.out_of_space += 1;
                } else {
                    assert_eq!(result, self.rename(d, &from, f, t, n, *may_replace));
                }
            }
            Op::Replace(t, e) => {
                let Some((d, from, f)) = self.newest.take() else {
                    return;
                };
                let is_there = self.nodes.get(&d).is_some_and(|node| match &node.body {
                    Body::Directory(entries) => entries.get(&from) == Some(&f),
                    _ => false,
                });
                let t = self.directory(*t);
                let Some((n, _)) = self.entry(t, *e) else {
                    return;
                };
                if is_there {
                    let result = disk.rename(number(d), &from, number(t), &n, true);
                    assert_eq!(result, self.rename(d, &from, f, t, n, true));
                }
            }
            Op::Write(f, offset, len) => {
                let Some(f) = self.file(*f) else { return };
                let data = crate::common::noise(self.seed, *len);
                match disk.write(number(f), *offset, &data) {
                    Ok(done) => {
                        if done < *len {
                            self.out_of_space += 1;
                        }
                        let now = self.now;
                        let node = self.nodes.get_mut(&f).expect("is there");
                        if let Body::File(content) = &mut node.body
                            && done > 0
                        {
                            let start = *offset as usize;
                            let size = content.len().max(start + done);
                            content.resize(size, 0);
                            content[start..start + done].copy_from_slice(&data[..done]);
                            node.modified = now;
                        }
                    }
                    Err(error) => {
                        assert_eq!(error, Error::NoSpace);
                        self.out_of_space += 1;
                    }
                }
            }
            Op::SetLen(f, len) => {
                let Some(f) = self.file(*f) else { return };
                disk.set_len(number(f), *len).expect("set a length");
                self.touch(f);
                let node = self.nodes.get_mut(&f).expect("is there");
                if let Body::File(content) = &mut node.body {
                    content.resize(*len as usize, 0);
                }
            }
            Op::Change(f, permissions) => {
                let f = self.pick(*f, |_| true).expect("there is a root");
                let modified = Time {
                    seconds: i64::from(*permissions) * 1000,
                    nanoseconds: 5,
                };
                let changes = Changes {
                    permissions: Some(*permissions),
                    uid: Some(u32::from(*permissions) * 3),
                    modified: Some(modified),
                    ..Changes::default()
                };
                disk.change(number(f), &changes).expect("change");
                let node = self.nodes.get_mut(&f).expect("is there");
                node.permissions = permissions & 0o7777;
                node.uid = u32::from(*permissions) * 3;
                node.modified = modified.seconds;
            }
            Op::UnlinkOpen(d, e, len) => {
                let d = self.directory(*d);
                let Some((n, f)) = self.entry(d, *e) else {
                    return;
                };
                if !matches!(self.nodes[&f].body, Body::File(_)) || self.links(f) > 1 {
                    return;
                }
                disk.pin(number(f));
                disk.unlink(number(d), &n).expect("unlink");
                self.entries(d).remove(&n);
                self.touch(d);
                self.nodes.remove(&f);
                self.open.push(f);
                let data = crate::common::noise(self.seed, *len);
                let size = disk.inode(number(f)).expect("is there").size();
                let done = disk.write(number(f), size, &data).unwrap_or(0);
                let mut back = vec![0; done];
                let inode = disk.inode(number(f)).expect("is there");
                assert_eq!(disk.read(&inode, size, &mut back), Ok(done));
                assert!(back == data[..done]);
            }
            Op::Close(index) => {
                if !self.open.is_empty() {
                    let f = self.open.remove(index.index(self.open.len()));
                    disk.unpin(number(f)).expect("close");
                }
            }
            Op::Fsync(f) => {
                let f = self.pick(*f, |_| true).expect("there is a root");
                disk.fsync(number(f)).expect("sync");
            }
            Op::Sync if self.seed.is_multiple_of(2) => disk.mark_clean().expect("sync"),
            Op::Sync | Op::Remount => disk.sync().expect("sync"),
        }
    }

    fn created(
        &mut self,
        directory: u32,
        name: Vec<u8>,
        result: Result<ext2::Inode, Error>,
        body: Body,
    ) {
        let is_there = self.entries(directory).contains_key(&name);
        match result {
            Ok(inode) => {
                assert!(!is_there, "created over an entry");
                self.add(directory, name, inode.number().0, body);
            }
            Err(Error::NoSpace) => self.out_of_space += 1,
            Err(error) => assert!(error == Error::Exists && is_there, "{error}"),
        }
    }

    fn rename(
        &mut self,
        d: u32,
        from: &[u8],
        f: u32,
        t: u32,
        n: Vec<u8>,
        may_replace: bool,
    ) -> Result<(), Error> {
        let is_dir = is_directory(&self.nodes[&f]);
        if is_dir && self.is_below(t, f) {
            return Err(Error::IntoItself);
        }
        let old = self.entries(t).get(&n).copied();
        if let Some(old) = old {
            if !may_replace {
                return Err(Error::Exists);
            }
            if old == f {
                return Ok(());
            }
            match (is_dir, is_directory(&self.nodes[&old])) {
                (true, false) => return Err(Error::NotADirectory),
                (false, true) => return Err(Error::IsADirectory),
                (true, true) if !self.entries(old).is_empty() => return Err(Error::NotEmpty),
                _ => {}
            }
        }
        self.entries(d).remove(from);
        self.entries(t).insert(n, f);
        self.touch(d);
        self.touch(t);
        if is_dir {
            self.nodes.get_mut(&f).expect("is there").parent = t;
        }
        match old {
            Some(old) if is_directory(&self.nodes[&old]) => drop(self.nodes.remove(&old)),
            Some(old) => self.sweep(old),
            None => {}
        }
        Ok(())
    }

    pub(crate) fn file(&self, index: Index) -> Option<u32> {
        self.pick(index, |node| matches!(node.body, Body::File(_)))
    }

    fn entry(&mut self, directory: u32, index: Index) -> Option<(Vec<u8>, u32)> {
        let entries = self.entries(directory);
        let all: Vec<_> = entries
            .iter()
            .filter(|(n, _)| n.as_slice() != b"lost+found")
            .collect();
        (!all.is_empty()).then(|| {
            let (name, number) = index.get(&all);
            ((*name).clone(), **number)
        })
    }

    fn name_of(&mut self, directory: u32, number: u32) -> Option<Vec<u8>> {
        let mut entries = self.entries(directory).iter();
        let found = entries.find(|(n, f)| **f == number && n.as_slice() != b"lost+found");
        found.map(|(name, _)| name.clone())
    }

    /// Says that everything was unmounted.
    pub(crate) fn unmounted(&mut self) {
        self.open.clear();
    }

    /// Checks that a file system holds exactly this.
    pub(crate) fn assert_same<D: BlockDevice>(&self, disk: &FileSystem<D>) {
        let found = Self::read(disk).expect("read everything");
        let numbers = |model: &Self| model.nodes.keys().copied().collect::<Vec<_>>();
        assert_eq!(numbers(&found), numbers(self), "inodes that are reached");
        for (number, node) in &self.nodes {
            let other = &found.nodes[number];
            if let (Body::File(a), Body::File(b)) = (&other.body, &node.body) {
                assert_eq!(a.len(), b.len(), "size of {number}");
                let differ = a.iter().zip(b).position(|(a, b)| a != b);
                assert_eq!(differ, None, "content of {number}");
            }
            assert!(other == node, "inode {number}: {other:?} is not {node:?}");
            let inode = disk.inode(InodeNumber(*number)).expect("read an inode");
            assert_eq!(
                usize::from(inode.links()),
                self.links(*number),
                "links of {number}"
            );
        }
    }
}
