//! What the crate `toro` (`api/`) calls: symbols `toro_…`, one file for each of its families.
//!
//! What can fail returns a negative `errno`; the C library's `errno` stays as it is.

mod console;
mod core;
mod exception;
mod message;
mod net;
mod power;
mod storage;
mod thread;
