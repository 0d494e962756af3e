//! Addresses as text and in the order of the network (POSIX.1-2017, `arpa/inet.h`; Linux: inet(3), inet_pton(3)).

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::fmt::Write;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ptr::null;

use libc::{in_addr, socklen_t};

use super::errno;
use crate::error::Errno;

/// `::` and `::1`, as C programs know them.
#[unsafe(no_mangle)]
static in6addr_any: [u8; 16] = Ipv6Addr::UNSPECIFIED.octets();
#[unsafe(no_mangle)]
static in6addr_loopback: [u8; 16] = Ipv6Addr::LOCALHOST.octets();

macro_rules! orders {
    ($($name:ident $kind:ty;)*) => {$(
        /// Turns a number into the order of the network, or back.
        #[unsafe(no_mangle)]
        extern "C" fn $name(number: $kind) -> $kind {
            number.swap_bytes()
        }
    )*};
}

orders! { htons u16; ntohs u16; htonl u32; ntohl u32; }

/// A text that is written into a caller's room, with a zero behind it; whether it fits.
struct Room<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Write for Room<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Writes an address with a zero behind it; whether there was room.
pub(super) fn write_address(address: IpAddr, bytes: &mut [u8]) -> bool {
    let mut room = Room { bytes, len: 0 };
    write!(room, "{address}\0").is_ok()
}

/// An address as text.
///
/// # Safety
/// `address` is one of the family, and `len` bytes at `to` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn inet_ntop(
    family: c_int,
    address: *const c_void,
    to: *mut c_char,
    len: socklen_t,
) -> *const c_char {
    let ip = match family {
        // SAFETY: the caller's address.
        libc::AF_INET => unsafe { IpAddr::from(address.cast::<[u8; 4]>().read()) },
        // SAFETY: the caller's address.
        libc::AF_INET6 => unsafe { IpAddr::from(address.cast::<[u8; 16]>().read()) },
        _ => {
            errno::set(Errno(libc::EAFNOSUPPORT));
            return null();
        }
    };
    // SAFETY: the caller's room.
    let bytes = unsafe { core::slice::from_raw_parts_mut(to.cast::<u8>(), len as usize) };
    match write_address(ip, bytes) {
        true => to,
        false => {
            errno::set(Errno(libc::ENOSPC));
            null()
        }
    }
}

/// Reads an address: 1, or 0 when it is none of the family.
///
/// # Safety
/// `text` is a C string, and an address of the family can be written to `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn inet_pton(family: c_int, text: *const c_char, to: *mut c_void) -> c_int {
    // SAFETY: the caller's string.
    let text = unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default();
    match family {
        libc::AF_INET => text.parse::<Ipv4Addr>().map_or(0, |ip| {
            // SAFETY: the caller's place.
            unsafe { to.cast::<[u8; 4]>().write(ip.octets()) };
            1
        }),
        libc::AF_INET6 => text.parse::<Ipv6Addr>().map_or(0, |ip| {
            // SAFETY: the caller's place.
            unsafe { to.cast::<[u8; 16]>().write(ip.octets()) };
            1
        }),
        _ => errno::set(Errno(libc::EAFNOSUPPORT)),
    }
}

/// Reads an address of one to four numbers, decimal, octal or hexadecimal, of which the last fills the rest.
fn read_parts(text: &str) -> Option<u32> {
    let text = text.split_ascii_whitespace().next()?;
    let mut numbers = [0u64; 4];
    let mut count = 0;
    for part in text.split('.') {
        let place = numbers.get_mut(count)?;
        let hexadecimal = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"));
        *place = match hexadecimal {
            Some(digits) => u64::from_str_radix(digits, 16).ok()?,
            None if part.len() > 1 && part.starts_with('0') => u64::from_str_radix(part, 8).ok()?,
            None => part.parse().ok()?,
        };
        count += 1;
    }
    let (last, first) = numbers.get(..count)?.split_last()?;
    let mut address = 0;
    for (at, number) in first.iter().enumerate() {
        let byte = u8::try_from(*number).ok()?;
        address |= u32::from(byte) << (24 - 8 * at);
    }
    let most = u64::from(u32::MAX) >> (8 * first.len());
    (*last <= most).then_some(address | *last as u32)
}

/// Reads an address of IPv4 in any of its notations: 1, or 0 when it is none.
///
/// # Safety
/// `text` is a C string, and `to` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn inet_aton(text: *const c_char, to: *mut in_addr) -> c_int {
    // SAFETY: the caller's string.
    let text = unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default();
    match read_parts(text) {
        Some(address) => {
            let s_addr = address.to_be();
            // SAFETY: the caller's place, which may be null.
            let _ = unsafe { super::convert::put(to, in_addr { s_addr }) };
            1
        }
        None => 0,
    }
}

/// Reads an address of IPv4; `INADDR_NONE` when it is none.
///
/// # Safety
/// `text` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn inet_addr(text: *const c_char) -> u32 {
    // SAFETY: the caller's string.
    let text = unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default();
    read_parts(text).map_or(u32::MAX, u32::to_be)
}

/// Where [`inet_ntoa`] writes; the next call overwrites it, so threads that share it are the program's fault, as in C.
struct Answer(UnsafeCell<[u8; 16]>);

// SAFETY: only a function whose contract is that one thread calls it uses it.
unsafe impl Sync for Answer {}

static TEXT: Answer = Answer(UnsafeCell::new([0; 16]));

/// An address of IPv4 as text; one thread asks.
#[unsafe(no_mangle)]
extern "C" fn inet_ntoa(address: in_addr) -> *mut c_char {
    let ip = Ipv4Addr::from(address.s_addr.to_ne_bytes());
    // SAFETY: one thread calls this.
    let bytes = unsafe { &mut *TEXT.0.get() };
    write_address(ip.into(), bytes);
    bytes.as_mut_ptr().cast()
}
