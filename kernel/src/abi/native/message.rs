//! Messages between cores (`api/src/sys/message.rs`).

use alloc::boxed::Box;
use core::alloc::Layout;
use core::ffi::c_int;
use core::ptr::null_mut;

use crate::arch::clock;
use crate::scheduler::message::{Channel, MessageError, Patience};

/// A wait of so many nanoseconds: 0 is none, `u64::MAX` endless.
fn patience(ns: u64) -> Patience {
    match ns {
        0 => Patience::None,
        u64::MAX => Patience::Endless,
        _ => Patience::Until(clock::now_ns().saturating_add(ns)),
    }
}

fn code(result: Result<(), MessageError>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(MessageError::WouldBlock) => -libc::EAGAIN,
        Err(MessageError::TimedOut) => -libc::ETIMEDOUT,
        Err(MessageError::Disconnected) => -libc::EPIPE,
        Err(MessageError::Killed) => -libc::EINTR,
        Err(MessageError::OutOfMemory) => -libc::ENOMEM,
    }
}

/// A channel for messages of so many bytes; null where these do not fit into an address space, or `align` is no power of two.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_message_channel(
    len_bytes: usize,
    align: usize,
    capacity: usize,
) -> *mut Channel {
    Layout::from_size_align(len_bytes, align)
        .ok()
        .and_then(|layout| Channel::new(layout, capacity))
        .map_or(null_mut(), |channel| Box::into_raw(Box::new(channel)))
}

/// Frees a channel that nobody uses any more; messages in it are forgotten.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_message_free(channel: *mut Channel) {
    // SAFETY: of `toro_message_channel`, and freed once.
    drop(unsafe { Box::from_raw(channel) });
}

/// Sends a message, waiting up to `wait_ns`: `EAGAIN`, `ETIMEDOUT`, `EPIPE` (no receiver), `EINTR` (the thread shall end), `ENOMEM`.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_message_send(
    channel: *const Channel,
    message: *const u8,
    wait_ns: u64,
) -> c_int {
    // SAFETY: a live channel, and a message of it.
    code(unsafe { (*channel).send(message, patience(wait_ns)) })
}

/// Receives a message, waiting up to `wait_ns`: errors as for sending.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_message_receive(
    channel: *const Channel,
    out: *mut u8,
    wait_ns: u64,
) -> c_int {
    // SAFETY: a live channel, room for a message of it, and one receiver.
    code(unsafe { (*channel).receive(out, patience(wait_ns)) })
}

/// The last sender is gone.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_message_close_sending(channel: *const Channel) {
    // SAFETY: a live channel.
    unsafe { &*channel }.close_sending();
}

/// The receiver is gone.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_message_close_receiving(channel: *const Channel) {
    // SAFETY: a live channel.
    unsafe { &*channel }.close_receiving();
}
