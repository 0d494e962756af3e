//! Waits for descriptors, sends itself signals and asks for processes, through the C functions; each line is a promise and
//! what came of it, the same on Linux.

mod credentials;
mod epoll;
mod fifos;
mod locks;
mod pipes;
mod process;
mod signals;
mod splices;
mod timers;
mod watches;

use std::fmt::Debug;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

fn main() {
    epoll::steps();
    pipes::steps();
    fifos::steps();
    splices::steps();
    locks::steps();
    credentials::steps();
    timers::steps();
    watches::steps();
    signals::steps();
    process::steps();
    println!("all steps done");
}

/// Shows what came of a promise.
fn show(promise: &str, found: impl Debug) {
    println!("{promise}: {found:?}");
}

/// The result of a C function; an error as its number.
fn check(result: i32) -> Result<i32, i32> {
    match result {
        -1 => Err(last_error()),
        result => Ok(result),
    }
}

fn last_error() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// The descriptor that a C function returned.
fn owned(result: i32) -> OwnedFd {
    let descriptor = check(result).expect("a descriptor");
    // SAFETY: it was made just now and belongs to nobody.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Two descriptors that a C function made.
fn pair(make: impl FnOnce(*mut RawFd) -> i32) -> (OwnedFd, OwnedFd) {
    let mut both = [0; 2];
    check(make(both.as_mut_ptr())).expect("two descriptors");
    (owned(both[0]), owned(both[1]))
}

/// Reads at most 64 bytes.
fn read(descriptor: &impl AsRawFd) -> Result<Vec<u8>, i32> {
    let mut buf = [0_u8; 64];
    // SAFETY: the buffer is that long.
    let count = unsafe { libc::read(descriptor.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
    usize::try_from(count)
        .map(|count| buf[..count].to_vec())
        .map_err(|_| last_error())
}

fn write(descriptor: &impl AsRawFd, data: &[u8]) -> Result<usize, i32> {
    // SAFETY: the data is that long.
    let count = unsafe { libc::write(descriptor.as_raw_fd(), data.as_ptr().cast(), data.len()) };
    usize::try_from(count).map_err(|_| last_error())
}

/// Reads a number, as counters have it.
fn read_number(descriptor: &impl AsRawFd) -> Result<u64, i32> {
    read(descriptor).map(|bytes| u64::from_ne_bytes(bytes.try_into().expect("eight bytes")))
}
