//! The C symbols that programs link against, one file per family, and the table of objects behind small integers.
//!
//! The functions of a C library have contracts of their own (POSIX.1-2017, the Linux manual pages): pointers are what these say they
//! are. That is what the `SAFETY` comments here call "the caller's".

mod clock;
mod descriptors_until_files;
pub mod errno;
mod memory;
pub mod object;
mod poll;
pub mod program;
mod resolve;
mod signal;
mod socket;
mod stdio;
mod system;
mod text;
mod thread;
mod unwind;
