//! What can go wrong, with the name of what it is about.
//!
//! Functions of the kernel answer with a negative `errno`; the module that called makes one of these of it.

use std::fmt;
use std::io;

/// Result of the functions of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is no core of this number.
    NoSuchCore {
        /// The number that was asked for.
        core: usize,
        /// How many cores there are.
        count: usize,
    },
    /// There is no device of this name.
    NoSuchDevice(String),
    /// The device belongs to a core already.
    AlreadyDedicated {
        /// The device's name.
        device: String,
        /// The core it belongs to.
        core: usize,
    },
    /// The device belongs to another core than the one that asked, and cannot be used from here.
    WrongCore {
        /// The device's name.
        device: String,
        /// The core it belongs to.
        core: usize,
    },
    /// The device, volume or address is in use: by a mount, by another service.
    Busy(String),
    /// Somebody listens on the port already.
    PortTaken(u16),
    /// The thread has ended.
    ThreadEnded,
    /// The thread holds a lock (or another thing that only it can give back), so it cannot be ended from outside.
    HoldsLock,
    /// A thread needs a larger stack.
    StackTooSmall {
        /// What was asked for, in bytes.
        bytes: usize,
        /// The least there must be, in bytes.
        least: usize,
    },
    /// The memory does not suffice.
    OutOfMemory,
    /// A queue, table or window is full; try again when there is room.
    Full,
    /// The other side is gone: nobody receives, or nobody sends any more.
    Disconnected,
    /// The time is up.
    TimedOut,
    /// A value that makes no sense; the text says which and why.
    Invalid(String),
    /// This machine, or this image, does not have what the call needs; the text says what.
    Unsupported(String),
    /// A place behind the end of a device or volume.
    OutOfRange {
        /// Where the access begins, in bytes.
        offset: u64,
        /// How many bytes the device has.
        len_bytes: u64,
    },
    /// The device failed.
    Device {
        /// The device's name.
        device: String,
        /// The number (`errno`) that the kernel gave.
        errno: i32,
    },
    /// An error that has no variant of its own: what was tried, and the number (`errno`) that the kernel gave.
    Other {
        /// What was tried.
        what: String,
        /// The number.
        errno: i32,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchCore { core, count } => {
                write!(
                    f,
                    "there is no core {core}: the machine has {count}, numbered from 0"
                )
            }
            Self::NoSuchDevice(name) => write!(f, "there is no device `{name}`"),
            Self::AlreadyDedicated { device, core } => {
                write!(f, "`{device}` is dedicated to core {core} already")
            }
            Self::WrongCore { device, core } => {
                write!(
                    f,
                    "`{device}` belongs to core {core} and cannot be used from this one"
                )
            }
            Self::Busy(name) => write!(f, "`{name}` is in use"),
            Self::PortTaken(port) => write!(f, "port {port} is taken"),
            Self::ThreadEnded => f.write_str("the thread has ended"),
            Self::HoldsLock => f.write_str("the thread holds a lock"),
            Self::StackTooSmall { bytes, least } => {
                write!(
                    f,
                    "a stack of {bytes} bytes is too small: {least} is the least"
                )
            }
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Full => f.write_str("there is no room"),
            Self::Disconnected => f.write_str("the other side is gone"),
            Self::TimedOut => f.write_str("the time is up"),
            Self::Invalid(what) => f.write_str(what),
            Self::Unsupported(what) => write!(f, "{what} is not supported here"),
            Self::OutOfRange { offset, len_bytes } => {
                write!(
                    f,
                    "offset {offset} is out of range: there are {len_bytes} bytes"
                )
            }
            Self::Device { device, errno } => {
                write!(
                    f,
                    "`{device}` failed: {}",
                    io::Error::from_raw_os_error(*errno)
                )
            }
            Self::Other { what, errno } => {
                write!(f, "{what}: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::NoSuchCore { .. } | Error::NoSuchDevice(_) => io::ErrorKind::NotFound,
            Error::AlreadyDedicated { .. } | Error::WrongCore { .. } | Error::Busy(_) => {
                io::ErrorKind::ResourceBusy
            }
            Error::PortTaken(_) => io::ErrorKind::AddrInUse,
            Error::StackTooSmall { .. } | Error::Invalid(_) | Error::OutOfRange { .. } => {
                io::ErrorKind::InvalidInput
            }
            Error::OutOfMemory => io::ErrorKind::OutOfMemory,
            Error::Full => io::ErrorKind::WouldBlock,
            Error::Disconnected | Error::ThreadEnded => io::ErrorKind::BrokenPipe,
            Error::TimedOut => io::ErrorKind::TimedOut,
            Error::Unsupported(_) => io::ErrorKind::Unsupported,
            Error::HoldsLock => io::ErrorKind::Other,
            Error::Device { errno, .. } | Error::Other { errno, .. } => {
                io::Error::from_raw_os_error(errno).kind()
            }
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::Error;
    use std::io;

    #[test]
    fn an_error_names_what_it_is_about_and_becomes_one_of_std() {
        let error = Error::NoSuchCore { core: 7, count: 2 };
        assert_eq!(
            error.to_string(),
            "there is no core 7: the machine has 2, numbered from 0"
        );
        let error = io::Error::from(Error::PortTaken(80));
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("80"));
    }
}
