//! The root of a program that opens no files: an empty directory, in which `/dev` is mounted.

use alloc::sync::Arc;

use super::node::{FileSystem, Metadata, Node, NodeKind, NodeRef, TakeEntry, Usage};
use crate::error::{Errno, Result};

/// The file system.
pub struct Bare;

/// Its only directory.
struct Root;

impl FileSystem for Bare {
    fn root(&self) -> Result<NodeRef> {
        Ok(Arc::new(Root))
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn usage(&self) -> Usage {
        Usage {
            block_len_bytes: 4096,
            ..Usage::default()
        }
    }
}

impl Node for Root {
    fn kind(&self) -> NodeKind {
        NodeKind::Directory
    }

    fn number(&self) -> u64 {
        1
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(Metadata::of_kernel(
            NodeKind::Directory,
            self.number(),
            0o755,
        ))
    }

    fn lookup(&self, _name: &[u8]) -> Result<NodeRef> {
        Err(Errno(libc::ENOENT))
    }

    fn read_dir(&self, _cookie: u64, _take: &mut TakeEntry<'_>) -> Result<()> {
        Ok(())
    }
}
