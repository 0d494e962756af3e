//! The second extended file system (ext2), without `std`: the kernel reads and writes it on a disk, the
//! host tool makes it from a folder.
//!
//! [`FileSystem`] mounts what lies on a [`BlockDevice`]; [`make`] puts a new file system onto one.
//! What was synced survives a power cut: the module `writeback` says how.
//! What is on the disk is not trusted: every number is checked before it is used, no loop and no
//! allocation is bounded by the disk alone, and an [`Error`] says which field is wrong.
//!
//! Standards: "The Second Extended File System: Internal Layout" (Dave Poirier) and Linux,
//! Documentation/filesystems/ext2.rst. Read and written are revisions 0 and 1, blocks of 1, 2 and 4 KiB, and
//! inodes of any size.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "a test that goes wrong may panic"
    )
)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

extern crate alloc;

mod alloc_blocks;
mod alloc_inodes;
mod attributes;
mod bitmap;
mod blocks;
mod buffers;
mod bytes;
mod check;
mod compose;
mod create;
mod device;
mod directory;
mod directory_write;
mod error;
mod features;
mod file;
mod file_write;
mod filesystem;
mod geometry;
mod inode;
mod inode_write;
mod layout;
mod link_counts;
pub mod make;
mod map_write;
mod names;
mod numbered;
mod order;
mod orphan;
mod path;
mod records;
mod remove;
mod rename;
mod runs;
mod superblock;
mod symlink;
mod sync;
mod time;
mod truncate;
mod walk;
mod write_state;
mod writeback;

pub use attributes::Changes;
pub use check::Problem;
pub use create::NewAttributes;
pub use device::{BlockDevice, DeviceError};
pub use directory::{DirEntry, DirEntryRef, ReadDir};
pub use error::{Error, Place};
pub use features::{IncompatibleFeatures, ReadOnlyFeatures};
pub use filesystem::{FileSystem, MountOptions};
pub use inode::{FileType, Inode, InodeNumber};
pub use superblock::{Facts, ReadOnlyReason};
pub use time::Time;
