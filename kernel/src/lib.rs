//! The Toro unikernel: the C library that `std` asks for, made of a kernel.
//!
//! Rooms, from the bottom up: [`arch`] (the processor), [`memory`], [`scheduler`], [`devices`], [`storage`] and
//! [`network`], and `abi`, the C symbols that programs link against. Arrows point down only.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

#[cfg(not(test))]
pub mod abi;
pub mod arch;
pub mod devices;
pub mod error;
pub mod memory;
pub mod network;
pub mod scheduler;
pub mod storage;
pub mod sync;
