//! File systems whose files are made when they are opened, as `/proc` is. They can only be read.
//!
//! What there is is a table ([`Item`]); whoever mounts it brings the functions that make the content. An open file keeps what was made for
//! it, so that it reads as one piece however often it is read. Sizes are told as 0: nobody knows before it is made.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::node::{DirEntry, FileSystem, Metadata, Node, NodeKind, NodeRef, TakeEntry, Usage};
use crate::error::{Errno, Result};

/// Makes the content of a file, or the target of a link. It is told the number of the innermost [`Item::Numbers`] on the way, or 0.
pub type Make = fn(u64) -> Result<Vec<u8>>;

/// What a name stands for.
pub enum Item {
    /// A file.
    File(Make),
    /// A symbolic link.
    Link(Make),
    /// A directory of names that are always the same.
    Directory(&'static [(&'static str, Item)]),
    /// A directory of names that are not always the same, and what each of them stands for, which is told its place among them.
    Named(fn() -> Vec<String>, &'static Item),
    /// A directory whose names are numbers, and what each of them stands for.
    Numbers(fn() -> Vec<u64>, &'static Item),
}

/// The file system.
pub struct Made {
    /// Its root.
    pub root: &'static Item,
    /// Linux's number for this kind of file system.
    pub magic: i64,
}

impl FileSystem for Made {
    fn root(&self) -> Result<NodeRef> {
        Ok(Arc::new(Place {
            item: self.root,
            argument: 0,
            number: 1,
        }))
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn usage(&self) -> Usage {
        Usage {
            block_len_bytes: 4096,
            magic: self.magic,
            ..Usage::default()
        }
    }
}

/// An item at its place in the tree.
#[derive(Clone, Copy)]
struct Place {
    item: &'static Item,
    argument: u64,
    number: u64,
}

impl Place {
    /// What a name in this directory stands for.
    fn child(&self, name: &[u8]) -> Result<Self> {
        let (item, argument) = match self.item {
            Item::Directory(rows) => {
                let mut rows = rows.iter();
                let row = rows.find(|row| row.0.as_bytes() == name);
                (&row.ok_or(Errno(libc::ENOENT))?.1, self.argument)
            }
            Item::Numbers(all, item) => {
                let mut all = all().into_iter();
                let number = all.find(|number| number.to_string().as_bytes() == name);
                (*item, number.ok_or(Errno(libc::ENOENT))?)
            }
            Item::Named(all, item) => {
                let place = all().iter().position(|known| known.as_bytes() == name);
                (*item, place.ok_or(Errno(libc::ENOENT))? as u64)
            }
            _ => return Err(Errno(libc::ENOTDIR)),
        };
        Ok(Self {
            item,
            argument,
            number: self.number_of(name),
        })
    }

    /// The number of the node of a name: always the same for the same path (FNV-1a of 64 bits).
    fn number_of(&self, name: &[u8]) -> u64 {
        let start = self.number ^ 0xCBF2_9CE4_8422_2325;
        name.iter().fold(start, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
        })
    }

    fn entry<'a>(&self, name: &'a [u8], item: &Item, next_cookie: u64) -> DirEntry<'a> {
        DirEntry {
            number: self.number_of(name),
            kind: Some(kind_of(item)),
            name,
            next_cookie,
        }
    }
}

fn kind_of(item: &Item) -> NodeKind {
    match item {
        Item::File(_) => NodeKind::File,
        Item::Link(_) => NodeKind::Symlink,
        Item::Directory(_) | Item::Named(..) | Item::Numbers(..) => NodeKind::Directory,
    }
}

impl Node for Place {
    fn kind(&self) -> NodeKind {
        kind_of(self.item)
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn metadata(&self) -> Result<Metadata> {
        let kind = self.kind();
        let permissions = match kind {
            NodeKind::Directory => 0o555,
            NodeKind::Symlink => 0o777,
            _ => 0o444,
        };
        Ok(Metadata::of_kernel(kind, self.number, permissions))
    }

    fn opened(&self) -> Result<Option<NodeRef>> {
        let Item::File(make) = self.item else {
            return Ok(None);
        };
        Ok(Some(Arc::new(Opened {
            place: *self,
            content: make(self.argument)?,
        })))
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        match self.item {
            Item::Link(make) => make(self.argument),
            _ => Err(Errno(libc::EINVAL)),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<NodeRef> {
        Ok(Arc::new(self.child(name)?))
    }

    fn read_dir(&self, cookie: u64, take: &mut TakeEntry<'_>) -> Result<()> {
        match self.item {
            Item::Directory(rows) => {
                let first = usize::try_from(cookie).unwrap_or(usize::MAX);
                let mut rows = rows.iter().zip(1..).skip(first);
                rows.all(|((name, item), next)| take(&self.entry(name.as_bytes(), item, next)));
            }
            Item::Named(all, item) => {
                let first = usize::try_from(cookie).unwrap_or(usize::MAX);
                let all = all();
                let mut rest = all.iter().zip(1..).skip(first);
                rest.all(|(name, next)| take(&self.entry(name.as_bytes(), item, next)));
            }
            // Cookies are the numbers themselves, plus 1: they stay right when others come and go.
            Item::Numbers(all, item) => {
                let mut all = all();
                all.sort_unstable();
                let mut rest = all.into_iter().filter(|number| *number >= cookie);
                rest.all(|number| {
                    let next = number.saturating_add(1);
                    take(&self.entry(number.to_string().as_bytes(), item, next))
                });
            }
            _ => return Err(Errno(libc::ENOTDIR)),
        }
        Ok(())
    }
}

/// A file with what was made when it was opened.
struct Opened {
    place: Place,
    content: Vec<u8>,
}

impl Node for Opened {
    fn kind(&self) -> NodeKind {
        NodeKind::File
    }

    fn number(&self) -> u64 {
        self.place.number
    }

    fn metadata(&self) -> Result<Metadata> {
        self.place.metadata()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.content.get(offset..))
            .unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::{Item, Made};
    use crate::error::{Errno, Result};
    use crate::storage::vfs::file::OpenFile;
    use crate::storage::vfs::namespace::{LastLink, Namespace};
    use crate::storage::vfs::operations;

    static OPENED: AtomicU8 = AtomicU8::new(b'a');

    fn next(_: u64) -> Result<Vec<u8>> {
        let letter = OPENED.fetch_add(1, Ordering::Relaxed);
        Ok([letter; 100].into())
    }

    static ROOT: Item = Item::Directory(&[
        (
            "named",
            Item::Named(
                || ["lo", "net0"].map(String::from).into(),
                &Item::Directory(&[(
                    "place",
                    Item::File(|place| Ok(Vec::from(place.to_string()))),
                )]),
            ),
        ),
        ("letters", Item::File(next)),
        ("self", Item::Link(|_| Ok(Vec::from(b"7/name")))),
        (
            "numbers",
            Item::Numbers(
                || Vec::from([12, 7, 300]),
                &Item::Directory(&[(
                    "name",
                    Item::File(|number| Ok(Vec::from(number.to_string()))),
                )]),
            ),
        ),
    ]);

    fn names() -> Namespace {
        let made = Made {
            root: &ROOT,
            magic: 1,
        };
        Namespace::new(Arc::new(made)).expect("a root")
    }

    fn open(names: &Namespace, path: &str, flags: i32) -> Result<OpenFile> {
        operations::open(names, names.root(), path.as_bytes(), flags, 0o644)
    }

    fn read(names: &Namespace, path: &str) -> Result<String> {
        let file = open(names, path, libc::O_RDONLY)?;
        let mut buf = [0; 200];
        let len = file.read(&mut buf)?;
        Ok(String::from_utf8_lossy(&buf[..len]).into_owned())
    }

    #[test]
    fn an_open_file_stays_as_it_was_made_and_the_next_one_is_made_anew() {
        let names = names();
        let first = open(&names, "letters", libc::O_RDONLY).expect("a file");
        let second = open(&names, "letters", libc::O_RDONLY).expect("a file");
        let (mut early, mut late, mut other) = ([0; 10], [0; 200], [0; 1]);
        assert_eq!(first.read(&mut early), Ok(10));
        assert_eq!(second.read(&mut other), Ok(1));
        assert_eq!(first.read(&mut late), Ok(90));
        assert!(late[..90].iter().all(|letter| *letter == early[0]));
        assert_eq!(other[0], early[0] + 1);
        assert_eq!(first.read(&mut late), Ok(0));
    }

    #[test]
    fn numbers_are_names_and_are_listed_in_order() {
        let names = names();
        assert_eq!(read(&names, "numbers/300/name").as_deref(), Ok("300"));
        for missing in [
            "numbers/8",
            "numbers/007",
            "numbers/+7",
            "numbers/x",
            "other",
        ] {
            assert_eq!(read(&names, missing), Err(Errno(libc::ENOENT)), "{missing}");
        }
        assert_eq!(read(&names, "letters/x"), Err(Errno(libc::ENOTDIR)));
        let numbers = names
            .resolve(names.root(), b"numbers", LastLink::Follow)
            .expect("there");
        let mut listed = Vec::new();
        let mut cookie = Some(0);
        // One at a time.
        while let Some(from) = cookie.take() {
            let mut take = |entry: &super::DirEntry<'_>| {
                let is_first = cookie.is_none();
                if is_first {
                    cookie = Some(entry.next_cookie);
                    let child = numbers.node.lookup(entry.name).expect("there");
                    assert_eq!(child.number(), entry.number);
                    listed.push(String::from_utf8_lossy(entry.name).into_owned());
                }
                is_first
            };
            numbers.node.read_dir(from, &mut take).expect("a list");
        }
        assert_eq!(listed, ["7", "12", "300"]);
    }

    #[test]
    fn names_that_are_found_out_are_told_their_place() {
        let names = names();
        assert_eq!(read(&names, "named/net0/place").as_deref(), Ok("1"));
        assert_eq!(read(&names, "named/net1/place"), Err(Errno(libc::ENOENT)));
        let folder = names
            .resolve(names.root(), b"named", LastLink::Follow)
            .expect("there");
        let mut listed = Vec::new();
        let mut take = |entry: &super::DirEntry<'_>| {
            listed.push(String::from_utf8_lossy(entry.name).into_owned());
            true
        };
        folder.node.read_dir(1, &mut take).expect("a list");
        assert_eq!(listed, ["net0"]);
    }

    #[test]
    fn nothing_can_be_written_or_created() {
        let names = names();
        for (path, flags) in [
            ("letters", libc::O_WRONLY),
            ("letters", libc::O_RDWR | libc::O_TRUNC),
            ("new", libc::O_WRONLY | libc::O_CREAT),
            ("numbers/new", libc::O_WRONLY | libc::O_CREAT),
        ] {
            let result = open(&names, path, flags).map(drop);
            assert_eq!(result, Err(Errno(libc::EROFS)), "{path}");
        }
    }
}
