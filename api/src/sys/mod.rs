//! The functions of the kernel, one file a family, each behind a safe one. All `unsafe` of this crate is here.
//!
//! Functions that can fail return a negative `errno` (Linux's numbers); the modules above make a typed error of it, which names what
//! it is about.

pub(crate) mod console;
pub(crate) mod core;
pub(crate) mod exception;
pub(crate) mod message;
pub(crate) mod net;
pub(crate) mod power;
pub(crate) mod storage;
pub(crate) mod thread;
