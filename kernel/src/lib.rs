//! The Toro unikernel: the C library that `std` asks for, made of a kernel.
//!
//! Rooms, from the bottom up: [`arch`] (the processor), [`memory`], [`scheduler`], [`devices`], [`storage`] and
//! [`network`], and `abi`, the C symbols that programs link against. Arrows point down only. [`start`](crate) leads from the
//! boot code to the program's `main`.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

#[cfg(not(test))]
pub mod abi;
pub mod arch;
pub mod command_line;
pub mod devices;
#[cfg(not(test))]
pub mod epitaph;
pub mod error;
pub mod fault;
pub mod image;
pub mod log;
pub mod memory;
pub mod network;
pub mod scheduler;
mod sorted_map;
#[cfg(not(test))]
pub mod start;
pub mod storage;
pub mod sync;

#[cfg(not(test))]
#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    match info.location() {
        Some(place) => epitaph::panic(&info.message(), place),
        None => epitaph::panic(&info.message(), &"an unknown place"),
    }
}
