//! Why a file system could not be mounted, read or written.

use alloc::string::String;
use core::fmt;

use crate::DeviceError;
use crate::features::IncompatibleFeatures;
use crate::superblock::ReadOnlyReason;

/// What a call can fail with. Turn it into an errno at the edge; its text is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The device failed.
    Device(DeviceError),
    /// Something on the disk cannot be: `detail` names the field and its value.
    Corrupt {
        /// The structure that is wrong.
        place: Place,
        /// The field that is wrong and why, in plain words.
        detail: String,
    },
    /// The device ends before the file system does.
    Truncated {
        /// Size of the device.
        device_bytes: u64,
        /// Size of the file system, as its superblock says.
        file_system_bytes: u64,
    },
    /// The file system has features that this crate cannot read.
    UnknownFeatures(IncompatibleFeatures),
    /// The file system was not unmounted and its journal must be replayed first.
    NeedsRecovery,
    /// A field has a value that is valid, but not one that this crate can read.
    Unsupported {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The values that would do, in words.
        supported: &'static str,
    },
    /// The directory has no entry of that name.
    NotFound,
    /// A directory was needed.
    NotADirectory,
    /// A regular file was needed, and this is a directory.
    IsADirectory,
    /// A regular file was needed, and this is something else, not a directory.
    NotAFile,
    /// A symbolic link was needed.
    NotASymlink,
    /// A name of a path is longer than 255 bytes.
    NameTooLong,
    /// A path leads through more than 40 symbolic links.
    TooManySymlinks,
    /// There is no memory for the table of block groups.
    OutOfMemory,
    /// The file system may not be written.
    ReadOnly(ReadOnlyReason),
    /// The name is taken.
    Exists,
    /// The directory has entries.
    NotEmpty,
    /// No block or no inode is free; or a directory cannot grow.
    NoSpace,
    /// It has 32,000 links already.
    TooManyLinks,
    /// The file would be larger than can be recorded.
    FileTooLarge,
    /// A name is empty, `.` or `..`, or has a `/` or NUL in it; or a link has such a target.
    InvalidName,
    /// A directory cannot be moved into itself.
    IntoItself,
}

/// Where on the disk something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The superblock.
    Superblock,
    /// A block group's descriptor, by the group's number.
    Group(u32),
    /// An inode, by its number.
    Inode(u32),
    /// The content of a directory, by its inode's number.
    Directory(u32),
}

/// Makes an [`Error::Corrupt`] with a formatted text.
macro_rules! corrupt {
    ($place:expr, $($text:tt)*) => {
        $crate::Error::Corrupt { place: $place, detail: alloc::format!($($text)*) }
    };
}
pub(crate) use corrupt;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock => f.write_str("superblock"),
            Self::Group(number) => write!(f, "group {number}"),
            Self::Inode(number) => write!(f, "inode {number}"),
            Self::Directory(number) => write!(f, "directory inode {number}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::Corrupt { place, detail } => write!(f, "{place}: {detail}"),
            Self::Truncated {
                device_bytes,
                file_system_bytes,
            } => write!(
                f,
                "superblock: the file system has {file_system_bytes} bytes, \
                 but the device only {device_bytes}"
            ),
            Self::UnknownFeatures(features) => {
                write!(f, "superblock: has features that ext2 has not: {features}")
            }
            Self::NeedsRecovery => f.write_str(
                "superblock: the journal must be replayed first (feature needs_recovery); \
                 e2fsck does it",
            ),
            Self::Unsupported {
                field,
                value,
                supported,
            } => {
                write!(
                    f,
                    "superblock: {field} is {value}, supported is {supported}"
                )
            }
            Self::NotFound => f.write_str("no such file or directory"),
            Self::NotADirectory => f.write_str("not a directory"),
            Self::IsADirectory => f.write_str("is a directory"),
            Self::NotAFile => f.write_str("not a regular file"),
            Self::NotASymlink => f.write_str("not a symbolic link"),
            Self::NameTooLong => f.write_str("name is longer than 255 bytes"),
            Self::TooManySymlinks => f.write_str("more than 40 symbolic links on the way"),
            Self::ReadOnly(reason) => write!(f, "read-only file system: {reason}"),
            Self::Exists => f.write_str("the name exists"),
            Self::NotEmpty => f.write_str("directory is not empty"),
            Self::NoSpace => f.write_str("no space left"),
            Self::TooManyLinks => f.write_str("too many links"),
            Self::FileTooLarge => f.write_str("file too large"),
            Self::InvalidName => f.write_str("name is not allowed"),
            Self::IntoItself => f.write_str("a directory cannot be moved into itself"),
            Self::OutOfMemory => f.write_str("no memory for the table of block groups"),
        }
    }
}

impl core::error::Error for Error {}

impl From<DeviceError> for Error {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}
