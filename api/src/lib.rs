//! What a program can do because it runs on Toro, and what `std` has no words for.
//!
//! A program that depends on this crate runs on Toro alone: its calls are functions of the kernel that the program is linked with.
//! Build and start it with `cargo toro run`; a build by plain `cargo build` ends with undefined symbols `toro_…`.
//!
//! | module | what it gives |
//! |---|---|
//! | [`core`](mod@core) | the cores: how many there are, threads started on one, what each has done |
//! | [`thread`] | suspend, resume and kill threads; hints of threads that poll |
//! | [`message`] | messages between cores |
//! | [`exception`] | handlers of the processor's exceptions |
//! | [`console`] | colours, the cursor, single keys |
//! | [`power`] | power off, reset, the power button |
//! | [`net`] | network interfaces that belong to cores, services with callbacks, ping |
//! | [`storage`] | disks that belong to cores, mounts while the program runs, blocks without a file system |
//! | [`error`] | why a call failed |

pub mod console;
pub mod core;
pub mod error;
pub mod exception;
pub mod message;
pub mod net;
pub mod power;
pub mod storage;
mod sys;
pub mod thread;

pub use error::{Error, Result};
