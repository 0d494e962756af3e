//! Collecting what is to go into a file system.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::MakeError;
use crate::FileType;
use crate::layout::NAME_LEN_MAX;

/// How many links Linux allows an ext2 inode.
const LINKS_MAX: u32 = 32_000;

/// How the file system is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of the image in bytes; without it, what is needed and a quarter more, at least 1 MiB,
    /// as room to write.
    pub size_bytes: Option<u64>,
    /// 1024, 2048 or 4096 bytes. The default is 4096: what is read at once is longer, and it is the
    /// size of a page. Smaller ones waste less on many small files.
    pub block_size: u32,
    /// How many inodes there are to be; without it, one for each 16 KiB of the image, and at least
    /// a quarter more than are used.
    pub inode_count: Option<u32>,
    /// 1, or 0 for readers of before 1995: without a label, UUID, types in directories and files of
    /// 2 GiB.
    pub revision: u32,
    /// Name of the file system; the first 16 bytes of it count.
    pub label: String,
    /// Number of the file system; without it, one that follows from all that is added but the
    /// content of files.
    pub uuid: Option<[u8; 16]>,
    /// When the file system was made, in seconds since 1970.
    pub timestamp: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            size_bytes: None,
            block_size: 4096,
            inode_count: None,
            revision: 1,
            label: String::new(),
            uuid: None,
            timestamp: 0,
        }
    }
}

/// Owner, permissions and time of a file, directory or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The lower 12 bits of `st_mode`.
    pub permissions: u16,
    /// The user who owns it.
    pub uid: u32,
    /// The group that owns it.
    pub gid: u32,
    /// When it was last changed, in seconds since 1970. The file system holds years 1901 to 2446;
    /// other times become the nearest of these.
    pub modified: i64,
}

impl Attributes {
    const fn new(permissions: u16) -> Self {
        Self {
            permissions,
            uid: 0,
            gid: 0,
            modified: 0,
        }
    }

    /// Permissions `rwxr-xr-x`, owner root, time 0.
    #[must_use]
    pub const fn directory() -> Self {
        Self::new(0o755)
    }

    /// Permissions `rw-r--r--`, owner root, time 0.
    #[must_use]
    pub const fn file() -> Self {
        Self::new(0o644)
    }

    /// Permissions `rwxrwxrwx`, owner root, time 0.
    #[must_use]
    pub const fn symlink() -> Self {
        Self::new(0o777)
    }
}

/// The bytes of a file, from first to last.
pub trait Content {
    /// Puts the next bytes into `buf` and returns how many; 0 means that there are no more.
    ///
    /// # Errors
    /// A message for people, without the path.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, String>;

    /// Goes past zeros that come next, as far as they are known without reading: a multiple of `unit`
    /// bytes, which is returned. Reading them as zeros does as well.
    ///
    /// # Errors
    /// A message for people, without the path.
    fn skip_zeros(&mut self, unit: u64) -> Result<u64, String> {
        let _ = unit;
        Ok(0)
    }
}

impl Content for &[u8] {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, String> {
        let len = self.len().min(buf.len());
        let (now, later) = self.split_at(len);
        if let Some(target) = buf.get_mut(..len) {
            target.copy_from_slice(now);
        }
        *self = later;
        Ok(len)
    }
}

/// What a node is.
pub(super) enum Body<'a> {
    Directory {
        parent: usize,
        children: BTreeMap<Vec<u8>, usize>,
    },
    File {
        len_bytes: u64,
        /// Most blocks that are not all zeros, if fewer than there are.
        data_blocks: Option<u64>,
        content: Option<Box<dyn Content + 'a>>,
    },
    Symlink {
        target: Vec<u8>,
    },
}

/// Something that gets an inode.
pub(super) struct Node<'a> {
    /// The path it was added by, for messages.
    pub(super) path: Vec<u8>,
    pub(super) attributes: Attributes,
    pub(super) links: u32,
    pub(super) body: Body<'a>,
}

impl Node<'_> {
    pub(super) fn file_type(&self) -> FileType {
        match self.body {
            Body::Directory { .. } => FileType::Directory,
            Body::File { .. } => FileType::File,
            Body::Symlink { .. } => FileType::Symlink,
        }
    }
}

/// The index of the root directory among the nodes.
pub(super) const ROOT: usize = 0;
/// The index of `lost+found`, where e2fsck puts what it finds.
pub(super) const LOST_AND_FOUND: usize = 1;

/// Collects what is to go into a new file system.
///
/// Paths are bytes, with `/` between the names; one at the beginning or the end does not matter. A
/// directory is added before what is in it; apart from that, the order does not matter.
pub struct Builder<'a> {
    pub(super) options: Options,
    pub(super) nodes: Vec<Node<'a>>,
}

impl core::fmt::Debug for Builder<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Builder")
            .field("options", &self.options)
            .field("inodes", &self.nodes.len())
            .finish()
    }
}

impl<'a> Builder<'a> {
    /// Begins with a root directory and `lost+found` in it.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let directory = |path: &[u8], permissions, links, children| Node {
            path: path.to_vec(),
            attributes: Attributes {
                permissions,
                ..Attributes::directory()
            },
            links,
            body: Body::Directory {
                parent: ROOT,
                children,
            },
        };
        let in_root = BTreeMap::from([(b"lost+found".to_vec(), LOST_AND_FOUND)]);
        let nodes = vec![
            directory(b"/", 0o755, 3, in_root),
            directory(b"lost+found", 0o700, 2, BTreeMap::new()),
        ];
        Self { options, nodes }
    }

    /// Adds a directory. If it is already there (as `/` and `lost+found` are), it gets these
    /// attributes.
    ///
    /// # Errors
    /// [`MakeError::Name`], [`MakeError::NoParent`], [`MakeError::Exists`],
    /// [`MakeError::TooManyLinks`].
    pub fn add_directory(
        &mut self,
        path: impl AsRef<[u8]>,
        attributes: Attributes,
    ) -> Result<(), MakeError> {
        let path = path.as_ref();
        if let Some(node) = self.find(path).and_then(|index| self.nodes.get_mut(index))
            && let Body::Directory { .. } = node.body
        {
            node.attributes = attributes;
            return Ok(());
        }
        let (parent, name) = self.place(path)?;
        let body = Body::Directory {
            parent,
            children: BTreeMap::new(),
        };
        self.add(
            parent,
            name,
            Node {
                path: path.to_vec(),
                attributes,
                links: 1,
                body,
            },
        );
        // The directory's own "." and its "..".
        let index = self.nodes.len().saturating_sub(1);
        self.link(index, path)?;
        self.link(parent, path)
    }

    /// Adds a file of `len_bytes`, which are read when the file system is written. Blocks of zeros take
    /// no room in it.
    ///
    /// # Errors
    /// [`MakeError::Name`], [`MakeError::NoParent`], [`MakeError::Exists`].
    pub fn add_file(
        &mut self,
        path: impl AsRef<[u8]>,
        attributes: Attributes,
        len_bytes: u64,
        content: impl Content + 'a,
    ) -> Result<(), MakeError> {
        self.add_content(
            path.as_ref(),
            attributes,
            len_bytes,
            None,
            Box::new(content),
        )
    }

    /// Adds a file of which it is known how many of its blocks are not zeros, so that the plan
    /// makes no room for the others.
    ///
    /// # Errors
    /// As [`Builder::add_file`].
    pub fn add_sparse_file(
        &mut self,
        path: impl AsRef<[u8]>,
        attributes: Attributes,
        len_bytes: u64,
        data_blocks: u64,
        content: impl Content + 'a,
    ) -> Result<(), MakeError> {
        let content = Box::new(content);
        self.add_content(
            path.as_ref(),
            attributes,
            len_bytes,
            Some(data_blocks),
            content,
        )
    }

    fn add_content(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        len_bytes: u64,
        data_blocks: Option<u64>,
        content: Box<dyn Content + 'a>,
    ) -> Result<(), MakeError> {
        let (parent, name) = self.place(path)?;
        let body = Body::File {
            len_bytes,
            data_blocks,
            content: Some(content),
        };
        self.add(
            parent,
            name,
            Node {
                path: path.to_vec(),
                attributes,
                links: 1,
                body,
            },
        );
        Ok(())
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// [`MakeError::Name`], [`MakeError::NoParent`], [`MakeError::Exists`],
    /// [`MakeError::SymlinkTarget`].
    pub fn add_symlink(
        &mut self,
        path: impl AsRef<[u8]>,
        attributes: Attributes,
        target: impl AsRef<[u8]>,
    ) -> Result<(), MakeError> {
        let (path, target) = (path.as_ref(), target.as_ref());
        let is_too_long = target.len() >= self.options.block_size as usize;
        if target.is_empty() || is_too_long || target.contains(&0) {
            return Err(MakeError::SymlinkTarget(path.to_vec()));
        }
        let (parent, name) = self.place(path)?;
        let body = Body::Symlink {
            target: target.to_vec(),
        };
        self.add(
            parent,
            name,
            Node {
                path: path.to_vec(),
                attributes,
                links: 1,
                body,
            },
        );
        Ok(())
    }

    /// Adds one more name for a file or symbolic link that was added before.
    ///
    /// # Errors
    /// [`MakeError::LinkTarget`], [`MakeError::TooManyLinks`], [`MakeError::Name`],
    /// [`MakeError::NoParent`], [`MakeError::Exists`].
    pub fn add_hard_link(
        &mut self,
        path: impl AsRef<[u8]>,
        target: impl AsRef<[u8]>,
    ) -> Result<(), MakeError> {
        let path = path.as_ref();
        let index = self
            .find(target.as_ref())
            .filter(|index| self.children(*index).is_none())
            .ok_or_else(|| MakeError::LinkTarget(path.to_vec()))?;
        let (parent, name) = self.place(path)?;
        self.link(index, path)?;
        if let Some(children) = self.children_mut(parent) {
            children.insert(name, index);
        }
        Ok(())
    }

    fn link(&mut self, index: usize, path: &[u8]) -> Result<(), MakeError> {
        if let Some(node) = self.nodes.get_mut(index) {
            if node.links >= LINKS_MAX {
                return Err(MakeError::TooManyLinks(path.to_vec()));
            }
            node.links = node.links.saturating_add(1);
        }
        Ok(())
    }

    fn add(&mut self, parent: usize, name: Vec<u8>, node: Node<'a>) {
        let index = self.nodes.len();
        self.nodes.push(node);
        if let Some(children) = self.children_mut(parent) {
            children.insert(name, index);
        }
    }

    /// The directory that a path is in and the name it has there, which must be free.
    fn place(&self, path: &[u8]) -> Result<(usize, Vec<u8>), MakeError> {
        let mut names: Vec<&[u8]> = names(path).collect();
        let name = names.pop().unwrap_or_default();
        let is_valid =
            !matches!(name, b"" | b"." | b"..") && name.len() <= NAME_LEN_MAX && !name.contains(&0);
        if !is_valid {
            return Err(MakeError::Name(path.to_vec()));
        }
        let no_parent = || MakeError::NoParent(path.to_vec());
        let parent = self.descend(names.into_iter()).ok_or_else(no_parent)?;
        let children = self.children(parent).ok_or_else(no_parent)?;
        if children.contains_key(name) {
            return Err(MakeError::Exists(path.to_vec()));
        }
        Ok((parent, name.to_vec()))
    }

    fn find(&self, path: &[u8]) -> Option<usize> {
        self.descend(names(path))
    }

    fn descend<'n>(&self, mut names: impl Iterator<Item = &'n [u8]>) -> Option<usize> {
        names.try_fold(ROOT, |index, name| self.children(index)?.get(name).copied())
    }

    fn children(&self, index: usize) -> Option<&BTreeMap<Vec<u8>, usize>> {
        match &self.nodes.get(index)?.body {
            Body::Directory { children, .. } => Some(children),
            _ => None,
        }
    }

    fn children_mut(&mut self, index: usize) -> Option<&mut BTreeMap<Vec<u8>, usize>> {
        match &mut self.nodes.get_mut(index)?.body {
            Body::Directory { children, .. } => Some(children),
            _ => None,
        }
    }
}

/// The names that a path is made of.
pub(super) fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
}
