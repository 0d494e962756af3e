//! Files that are built into the image, in its hold (ARCHITECTURE.md, "The hold"): they are read where they lie, and cannot be changed.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::node::{
    DirEntry, FileSystem, Metadata, Node, NodeKind, NodeRef, TakeEntry, Timestamp, Usage,
};
use crate::error::{Errno, Result};

/// Bytes in front of an object's path.
const HEADER_LEN: usize = 24;
const BLOCK_LEN: u64 = 4096;
/// Linux's number of such a file system: cramfs, which is in the image too.
const MAGIC: i64 = 0x28CD_3D45;

/// A file, directory or link in the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Object {
    path: &'static [u8],
    kind: NodeKind,
    permissions: u32,
    modified_seconds: i64,
    content: &'static [u8],
}

impl Object {
    /// Reads an entry of the hold, of kind 3; `None` if it is none.
    pub fn parse(entry: &'static [u8]) -> Option<Self> {
        let word = |at: usize| {
            entry
                .get(at..at + 4)?
                .try_into()
                .ok()
                .map(u32::from_le_bytes)
        };
        let long = |at: usize| {
            entry
                .get(at..at + 8)?
                .try_into()
                .ok()
                .map(u64::from_le_bytes)
        };
        let path_end = HEADER_LEN.checked_add(usize::try_from(word(0)?).ok()?)?;
        let path = entry.get(HEADER_LEN..path_end)?;
        let mode = word(4)?;
        let content = entry.get(path_end.checked_next_multiple_of(8)?..)?;
        let content = content.get(..usize::try_from(long(16)?).ok()?)?;
        Some(Self {
            path,
            kind: match mode & libc::S_IFMT {
                libc::S_IFREG => NodeKind::File,
                libc::S_IFDIR => NodeKind::Directory,
                libc::S_IFLNK => NodeKind::Symlink,
                _ => return None,
            },
            permissions: mode & 0o7777,
            modified_seconds: long(8)? as i64,
            content,
        })
    }

    /// The name in a directory with this path, if it is in there, and not further below.
    fn name_in(&self, directory: &[u8]) -> Option<&'static [u8]> {
        let name = self.path.strip_prefix(directory)?.strip_prefix(b"/")?;
        (!name.contains(&b'/')).then_some(name)
    }
}

/// How a path compares with that of `name` in `directory`.
fn compare(path: &[u8], directory: &[u8], name: &[u8]) -> Ordering {
    let wanted = directory.iter().chain(b"/").chain(name);
    path.iter().cmp(wanted)
}

/// One folder of the image, with what is in it.
pub struct Embedded {
    root: Arc<EmbeddedNode>,
}

struct EmbeddedNode {
    /// All objects of the image, by path.
    all: Arc<[Object]>,
    index: usize,
}

impl Embedded {
    /// The file system of the folder `path` among `all`, which are in byte order of path; `None` if there is no such folder.
    pub fn new(all: Arc<[Object]>, path: &[u8]) -> Option<Self> {
        // The root has no slash of its own.
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let found = all.binary_search_by(|object| {
            object
                .path
                .strip_suffix(b"/")
                .unwrap_or(object.path)
                .cmp(path)
        });
        let index = found.ok()?;
        let root = EmbeddedNode { all, index };
        (root.object().kind == NodeKind::Directory).then(|| Self {
            root: Arc::new(root),
        })
    }
}

impl FileSystem for Embedded {
    fn root(&self) -> Result<NodeRef> {
        Ok(self.root.clone())
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn usage(&self) -> Usage {
        let all = self.root.all.iter();
        Usage {
            block_len_bytes: BLOCK_LEN,
            blocks: all
                .map(|object| (object.content.len() as u64).div_ceil(BLOCK_LEN))
                .sum(),
            nodes: self.root.all.len() as u64,
            magic: MAGIC,
            ..Usage::default()
        }
    }
}

impl EmbeddedNode {
    fn object(&self) -> &Object {
        &self.all[self.index]
    }

    /// The path without a slash at the end, which only the root has.
    fn path(&self) -> &'static [u8] {
        let path = self.object().path;
        path.strip_suffix(b"/").unwrap_or(path)
    }

    /// What is in this directory, from an index on.
    fn children(&self, from: usize) -> impl Iterator<Item = (usize, &'static [u8], &Object)> {
        let path = self.path();
        let first = from.max(self.index + 1);
        let rest = self.all.iter().enumerate().skip(first);
        // Names that go on where this one ends, such as `a.b` behind `a`, may lie in between.
        rest.take_while(move |(_, object)| object.path.starts_with(path))
            .filter_map(move |(index, object)| Some((index, object.name_in(path)?, object)))
    }
}

impl Node for EmbeddedNode {
    fn kind(&self) -> NodeKind {
        self.object().kind
    }

    fn number(&self) -> u64 {
        self.index as u64 + 1
    }

    fn metadata(&self) -> Result<Metadata> {
        let object = self.object();
        let len_bytes = object.content.len() as u64;
        let folders = |node: &Self| {
            let children = node.children(0);
            children
                .filter(|(_, _, object)| object.kind == NodeKind::Directory)
                .count()
        };
        let time = Timestamp {
            seconds: object.modified_seconds,
            nanoseconds: 0,
        };
        Ok(Metadata {
            number: self.number(),
            kind: object.kind,
            permissions: object.permissions,
            links: match object.kind {
                NodeKind::Directory => 2 + folders(self) as u64,
                _ => 1,
            },
            uid: 0,
            gid: 0,
            len_bytes,
            blocks_of_512: len_bytes.div_ceil(512),
            accessed: time,
            modified: time,
            changed: time,
            created: None,
            device: (0, 0),
        })
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        if self.object().kind != NodeKind::File {
            return Err(Errno(self.not_a_file()));
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.object().content.get(start..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        match self.object().kind {
            NodeKind::Symlink => Ok(self.object().content.to_vec()),
            _ => Err(Errno(libc::EINVAL)),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<NodeRef> {
        if self.object().kind != NodeKind::Directory {
            return Err(Errno(libc::ENOTDIR));
        }
        let path = self.path();
        let found = self
            .all
            .binary_search_by(|object| compare(object.path, path, name));
        let index = found.map_err(|_| Errno(libc::ENOENT))?;
        let all = self.all.clone();
        Ok(Arc::new(Self { all, index }))
    }

    fn read_dir(&self, cookie: u64, take: &mut TakeEntry<'_>) -> Result<()> {
        if self.object().kind != NodeKind::Directory {
            return Err(Errno(libc::ENOTDIR));
        }
        // A cookie is the index of the object to begin with.
        let mut entries = self
            .children(usize::try_from(cookie).unwrap_or(usize::MAX - 1))
            .map(|(index, name, object)| DirEntry {
                number: index as u64 + 1,
                kind: Some(object.kind),
                name,
                next_cookie: index as u64 + 1,
            });
        entries.all(|entry| take(&entry));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Embedded, NodeRef, Object};
    use crate::error::{Errno, Result};
    use crate::storage::vfs::namespace::Namespace;
    use crate::storage::vfs::operations;
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;

    fn entry(path: &str, mode: u32, content: &[u8]) -> &'static [u8] {
        let mut bytes = (path.len() as u32).to_le_bytes().to_vec();
        bytes.extend(mode.to_le_bytes());
        bytes.extend(1_000_000_000i64.to_le_bytes());
        bytes.extend((content.len() as u64).to_le_bytes());
        bytes.extend(path.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend(content);
        bytes.leak()
    }

    fn sample() -> Arc<[Object]> {
        let entries = [
            entry("/www", 0o040_755, b""),
            entry("/www.old", 0o040_755, b""),
            entry("/www/a", 0o040_755, b""),
            entry("/www/a.txt", 0o100_644, b"text"),
            entry("/www/a/b", 0o100_600, b"inner"),
            entry("/www/link", 0o120_777, b"a/b"),
        ];
        let objects = entries.map(|entry| Object::parse(entry).expect("sound"));
        assert!(objects.is_sorted_by_key(|object| object.path));
        Arc::new(objects)
    }

    fn tree() -> Namespace {
        let root = Embedded::new(sample(), b"/www").expect("there");
        Namespace::new(Arc::new(root)).expect("a root")
    }

    fn read(names: &Namespace, path: &str) -> Result<Vec<u8>> {
        let file = operations::open(names, names.root(), path.as_bytes(), libc::O_RDONLY, 0)?;
        let mut content = vec![0; 100];
        let len = file.read(&mut content)?;
        content.truncate(len);
        Ok(content)
    }

    #[test]
    fn files_are_found_and_read() {
        let names = tree();
        assert_eq!(read(&names, "/a.txt").as_deref(), Ok(&b"text"[..]));
        assert_eq!(read(&names, "/link").as_deref(), Ok(&b"inner"[..]));
        assert_eq!(read(&names, "/b"), Err(Errno(libc::ENOENT)));
        assert_eq!(read(&names, "/a.txt/x"), Err(Errno(libc::ENOTDIR)));
        assert_eq!(read(&names, "/a"), Err(Errno(libc::EISDIR)));
        let root = names.root();
        let facts = root.node.metadata().expect("readable");
        assert_eq!((facts.links, facts.permissions), (3, 0o755));
        assert_eq!(facts.modified.seconds, 1_000_000_000);
    }

    #[test]
    fn folders_are_listed_without_what_lies_beside_or_below() {
        let root = tree().root().node.clone();
        let names = |node: &NodeRef, cookie, max| {
            let (mut names, mut next) = (Vec::new(), cookie);
            let listed = node.read_dir(cookie, &mut |entry| {
                let is_taken = names.len() < max;
                if is_taken {
                    names.push(entry.name.to_vec());
                    next = entry.next_cookie;
                }
                is_taken
            });
            listed.expect("a folder");
            (names, next)
        };
        let (all, _) = names(&root, 0, 100);
        assert_eq!(all, [&b"a"[..], b"a.txt", b"link"]);
        let (first, next) = names(&root, 0, 1);
        assert_eq!(first, [b"a"]);
        let (rest, _) = names(&root, next, 100);
        assert_eq!(rest, [&b"a.txt"[..], b"link"]);
        let inner = root.lookup(b"a").expect("there");
        assert_eq!(names(&inner, 0, 100).0, [b"b"]);
    }

    #[test]
    fn nothing_can_be_changed() {
        let names = tree();
        let open = |path: &str, flags| {
            operations::open(&names, names.root(), path.as_bytes(), flags, 0o644).map(|_| ())
        };
        let read_only = Err(Errno(libc::EROFS));
        assert_eq!(open("/a.txt", libc::O_WRONLY), read_only);
        assert_eq!(open("/new", libc::O_WRONLY | libc::O_CREAT), read_only);
        assert_eq!(
            operations::unlink(&names, names.root(), b"/a.txt"),
            read_only
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let good = entry("/a", 0o100_644, b"content");
        assert!(Object::parse(good).is_some());
        for len in 0..good.len() {
            assert_eq!(Object::parse(&good[..len]), None, "{len}");
        }
        assert_eq!(Object::parse(entry("/a", 0o020_644, b"")), None);
        assert!(Embedded::new(sample(), b"/none").is_none());
        assert!(Embedded::new(sample(), b"/www/a.txt").is_none());
    }
}
