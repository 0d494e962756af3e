//! Why a file system could not be made.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::DeviceError;

/// What making a file system can fail with. Paths are as they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MakeError {
    /// The device failed.
    Device(DeviceError),
    /// The image is too small for what is to go in, or for the inodes that were asked for.
    TooSmall {
        /// The size that would do.
        needed_bytes: u64,
        /// The size there is.
        size_bytes: u64,
    },
    /// More is to go in than an ext2 file system can hold with this block size.
    TooLarge,
    /// Fewer inodes were asked for than there are things to go in.
    TooFewInodes {
        /// The number that would do.
        needed: u64,
        /// The number asked for.
        asked: u32,
    },
    /// Blocks can only have 1024, 2048 or 4096 bytes.
    BlockSize(u32),
    /// There are only revisions 0 and 1.
    Revision(u32),
    /// A name is empty, `.` or `..`, longer than 255 bytes, or holds a NUL.
    Name(Vec<u8>),
    /// The directory that this should go in was not added.
    NoParent(Vec<u8>),
    /// Something of that name is already there.
    Exists(Vec<u8>),
    /// A hard link was to lead to something that was not added, or to a directory.
    LinkTarget(Vec<u8>),
    /// More than 32000 names for one inode, or directories in one directory.
    TooManyLinks(Vec<u8>),
    /// A symbolic link's target is empty, holds a NUL, or does not fit in a block.
    SymlinkTarget(Vec<u8>),
    /// A file is larger than block pointers can reach.
    FileTooLarge(Vec<u8>),
    /// The content of a file could not be read.
    Content {
        /// The file.
        path: Vec<u8>,
        /// What its reader said.
        message: String,
    },
    /// A file had more or fewer bytes, or blocks that are not zeros, than was said when it was added.
    LengthChanged(Vec<u8>),
}

impl fmt::Display for MakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::TooSmall {
                needed_bytes,
                size_bytes,
            } => write!(
                f,
                "an image of {needed_bytes} bytes is needed, this one has {size_bytes}"
            ),
            Self::TooLarge => f.write_str("the content is larger than ext2 can hold"),
            Self::TooFewInodes { needed, asked } => {
                write!(
                    f,
                    "the content needs {needed} inodes, {asked} were asked for"
                )
            }
            Self::BlockSize(size) => {
                write!(
                    f,
                    "blocks of {size} bytes are not possible, only 1024, 2048 and 4096"
                )
            }
            Self::Revision(revision) => {
                write!(f, "there is no revision {revision} of ext2, only 0 and 1")
            }
            Self::Name(path) => write!(f, "{}: not a valid name", path.escape_ascii()),
            Self::NoParent(path) => {
                write!(
                    f,
                    "{}: the directory it is in was not added",
                    path.escape_ascii()
                )
            }
            Self::Exists(path) => write!(f, "{}: was added before", path.escape_ascii()),
            Self::LinkTarget(path) => {
                write!(
                    f,
                    "{}: a hard link must lead to a file added before",
                    path.escape_ascii()
                )
            }
            Self::TooManyLinks(path) => {
                write!(f, "{}: has more than 32000 links", path.escape_ascii())
            }
            Self::SymlinkTarget(path) => write!(
                f,
                "{}: the target of the symbolic link is empty, holds a NUL, or does not fit in a block",
                path.escape_ascii()
            ),
            Self::FileTooLarge(path) => {
                write!(f, "{}: is larger than ext2 can hold", path.escape_ascii())
            }
            Self::Content { path, message } => write!(f, "{}: {message}", path.escape_ascii()),
            Self::LengthChanged(path) => {
                write!(f, "{}: it changed while it was read", path.escape_ascii())
            }
        }
    }
}

impl core::error::Error for MakeError {}

impl From<DeviceError> for MakeError {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}
