//! The C symbols that programs link against, one file per family, and the table of objects behind small integers.
//!
//! The functions of a C library have contracts of their own (POSIX.1-2017, the Linux manual pages): pointers are what these say they
//! are. That is what the `SAFETY` comments here call "the caller's".

mod calendar;
mod channel;
mod characters;
mod clock;
mod convert;
mod date_text;
mod deadlock;
pub mod descriptor;
pub mod directory;
mod environment;
mod epoll;
pub mod errno;
mod event;
pub mod file;
mod format;
mod fortify;
mod generated;
mod jump;
mod locale;
mod lock;
mod machine;
mod math;
mod memfd;
mod memory;
pub mod metadata;
mod native;
mod numbers;
pub mod object;
pub mod path;
mod pipe;
mod poll;
mod print;
pub mod process;
pub mod program;
mod random;
mod resolve;
mod scan;
mod select;
mod signal;
mod signal_calls;
mod socket;
pub mod space;
mod stdio;
mod stream;
mod strings;
mod syscall;
mod temporary;
mod text;
mod thread;
mod timer;
mod trap;
mod unix;
mod unwind;
mod variadic;
