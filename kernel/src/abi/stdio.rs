//! Descriptors 0, 1 and 2: the console.

use alloc::boxed::Box;

use super::object::{self, Object};
use crate::devices::console;
use crate::error::{Errno, Result};
use crate::scheduler::{Notifier, Readiness};

/// Standard input, output or error.
struct Terminal;

impl Object for Terminal {
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        console::input::read(buf, is_nonblocking).ok_or(Errno(libc::EAGAIN))
    }

    fn write(&self, buf: &[u8], _is_nonblocking: bool) -> Result<usize> {
        // Who is shown something may answer it before the program asks.
        console::input::start();
        console::write_of_program(buf);
        Ok(buf.len())
    }

    fn readiness(&self) -> Readiness {
        let input = if console::input::is_ready() {
            Readiness::READABLE
        } else {
            Readiness::empty()
        };
        Readiness::WRITABLE | input
    }

    /// Nothing is looked at for who asks for nothing, as std does at its start to see whether the descriptors are open.
    fn readiness_of(&self, wanted: Readiness) -> Readiness {
        match wanted.contains(Readiness::READABLE) {
            true => self.readiness() & wanted,
            false => Readiness::WRITABLE & wanted,
        }
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(console::input::notifier())
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        stat.st_mode = libc::S_IFCHR | 0o620;
        stat.st_rdev = 5 << 8 | 1;
        stat.st_blksize = 1024;
        stat.st_nlink = 1;
        Ok(())
    }
}

/// Opens descriptors 0, 1 and 2.
pub(super) fn open() {
    for &flags in &[libc::O_RDONLY, libc::O_WRONLY, libc::O_WRONLY] {
        if object::insert(Box::new(Terminal), flags as u32).is_err() {
            panic!("no room for the standard descriptors");
        }
    }
}
