//! Messages: bytes in several parts, with what goes along (`sendmsg`, `recvmsg`, and many at once: `sendmmsg`, `recvmmsg`).

use alloc::vec;
use alloc::vec::Vec;
use core::ffi::{c_int, c_uint};

use libc::{iovec, mmsghdr, msghdr, timespec};

use super::control;
use super::transfer::{Parcel, Received, Sender, bytes, bytes_mut, receive_bytes, send_bytes};
use crate::abi::errno;
use crate::arch::clock;
use crate::error::{Errno, Result};

/// Messages that one call sends or receives (Linux's `UIO_MAXIOV`).
const MAX_MESSAGES: c_uint = 1024;

/// The parts of a message.
///
/// # Safety
/// 1. `message` is null or points to a message header whose parts are valid.
unsafe fn parts<'a>(message: *const msghdr) -> Result<&'a [iovec]> {
    if message.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: (1).
    let message = unsafe { &*message };
    if message.msg_iovlen > libc::UIO_MAXIOV as usize {
        return Err(Errno(libc::EMSGSIZE));
    }
    if message.msg_iovlen == 0 {
        return Ok(&[]);
    }
    // SAFETY: (1).
    Ok(unsafe { core::slice::from_raw_parts(message.msg_iov, message.msg_iovlen) })
}

/// # Safety
/// 1. `message` is null or points to a message header whose parts are valid.
unsafe fn send_one(descriptor: c_int, message: *const msghdr, flags: c_int) -> Result<usize> {
    // SAFETY: (1).
    let parts = unsafe { parts(message)? };
    // SAFETY: `parts` found it not to be null (1).
    let message = unsafe { &*message };
    // SAFETY: (1).
    let mut parcel = unsafe { Parcel::to(message.msg_name.cast(), message.msg_namelen) };
    // SAFETY: (1).
    unsafe { control::read(message, &mut parcel)? };
    if let [part] = parts {
        // SAFETY: (1).
        let data = unsafe { bytes(part.iov_base.cast(), part.iov_len)? };
        return send_bytes(descriptor, data, flags, parcel);
    }
    // The parts of a datagram belong together, and a stream's go out in fewer segments.
    let mut data = Vec::new();
    for part in parts {
        // SAFETY: (1).
        let bytes = unsafe { bytes(part.iov_base.cast(), part.iov_len)? };
        data.try_reserve(bytes.len())
            .map_err(|_| Errno(libc::ENOBUFS))?;
        data.extend_from_slice(bytes);
    }
    send_bytes(descriptor, &data, flags, parcel)
}

/// # Safety
/// 1. `message` is null or points to a message header whose parts are valid.
unsafe fn receive_one(descriptor: c_int, message: *mut msghdr, flags: c_int) -> Result<usize> {
    // SAFETY: (1).
    let parts = unsafe { parts(message)? };
    let lens = parts.iter().map(|part| part.iov_len);
    let total = lens.fold(0, usize::saturating_add);
    let received = if let [part] = parts {
        // SAFETY: (1).
        let buf = unsafe { bytes_mut(part.iov_base.cast(), part.iov_len)? };
        receive_bytes(descriptor, buf, flags)?
    } else {
        // More than a datagram or a connection's buffer holds cannot come at once.
        let mut buf = vec![0; total.min(64 << 10)];
        let received = receive_bytes(descriptor, &mut buf, flags)?;
        let mut rest = &buf[..received.len];
        for part in parts {
            let (now, later) = rest.split_at(rest.len().min(part.iov_len));
            // SAFETY: (1).
            unsafe { bytes_mut(part.iov_base.cast(), now.len())?.copy_from_slice(now) };
            rest = later;
        }
        received
    };
    // SAFETY: `parts` found it not to be null (1).
    let message = unsafe { &mut *message };
    // SAFETY: (1).
    unsafe {
        let (name, len) = (message.msg_name.cast(), &mut message.msg_namelen);
        received.sender.store(name, len);
    }
    let Received { len, full_len, .. } = received;
    message.msg_flags = match full_len > len {
        true => libc::MSG_TRUNC,
        false => 0,
    };
    if matches!(received.sender, Sender::Undelivered(..)) {
        message.msg_flags |= libc::MSG_ERRQUEUE;
    }
    if flags & libc::MSG_OOB != 0 {
        message.msg_flags |= libc::MSG_OOB;
    }
    let is_close_on_exec = flags & libc::MSG_CMSG_CLOEXEC != 0;
    // SAFETY: (1).
    unsafe { control::write(descriptor, message, received, is_close_on_exec) };
    Ok(match flags & libc::MSG_TRUNC != 0 {
        true => full_len,
        false => len,
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendmsg(descriptor: c_int, message: *const msghdr, flags: c_int) -> isize {
    // SAFETY: the caller's.
    errno::count(unsafe { send_one(descriptor, message, flags) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn recvmsg(descriptor: c_int, message: *mut msghdr, flags: c_int) -> isize {
    // SAFETY: the caller's.
    errno::count(unsafe { receive_one(descriptor, message, flags) })
}

/// Does `one` for each message until one fails or `is_enough`; how many went well. Only if none did, the call fails.
///
/// # Safety
/// 1. `messages` points to `count` messages.
unsafe fn for_each(
    messages: *mut mmsghdr,
    count: c_uint,
    mut one: impl FnMut(&mut msghdr, c_uint) -> Result<usize>,
    mut is_enough: impl FnMut() -> bool,
) -> c_int {
    if messages.is_null() && count != 0 {
        return errno::set(Errno(libc::EFAULT));
    }
    for done in 0..count.min(MAX_MESSAGES) {
        // SAFETY: (1).
        let message = unsafe { &mut *messages.add(done as usize) };
        match one(&mut message.msg_hdr, done) {
            Ok(len) => message.msg_len = len as c_uint,
            Err(error) if done == 0 => return errno::set(error),
            Err(_) => return done as c_int,
        }
        if is_enough() {
            return done as c_int + 1;
        }
    }
    count.min(MAX_MESSAGES) as c_int
}

/// Sends messages (Linux: sendmmsg(2)).
#[unsafe(no_mangle)]
unsafe extern "C" fn sendmmsg(
    descriptor: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's.
    let send = |message: &mut msghdr, _| unsafe { send_one(descriptor, message, flags) };
    // SAFETY: the caller's.
    unsafe { for_each(messages, count, send, || false) }
}

/// Receives messages (Linux: recvmmsg(2)). The time is looked at after each message, as there.
#[unsafe(no_mangle)]
unsafe extern "C" fn recvmmsg(
    descriptor: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> c_int {
    let mut deadline_ns = None;
    if !timeout.is_null() {
        // SAFETY: the caller's.
        let timeout = unsafe { &*timeout };
        let (Ok(seconds), Ok(nanos @ 0..1_000_000_000)) = (
            u64::try_from(timeout.tv_sec),
            u64::try_from(timeout.tv_nsec),
        ) else {
            return errno::set(Errno(libc::EINVAL));
        };
        let timeout_ns = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        deadline_ns = Some(clock::now_ns().saturating_add(timeout_ns));
    }
    let waits_for_one = flags & libc::MSG_WAITFORONE != 0;
    let receive = |message: &mut msghdr, done| {
        let wait = match waits_for_one && done != 0 {
            true => libc::MSG_DONTWAIT,
            false => 0,
        };
        // SAFETY: the caller's.
        unsafe { receive_one(descriptor, message, flags & !libc::MSG_WAITFORONE | wait) }
    };
    let is_over = || deadline_ns.is_some_and(|deadline_ns| deadline_ns <= clock::now_ns());
    // SAFETY: the caller's.
    unsafe { for_each(messages, count, receive, is_over) }
}
