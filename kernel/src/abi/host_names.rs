//! Names of hosts as older programs ask for them (`gethostbyname` and its kin; Linux: gethostbyname(3)), and addresses to names
//! (`getnameinfo`, POSIX.1-2017). There is no asking of servers for the name of an address: addresses stay numbers.

use alloc::borrow::ToOwned;
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::net::IpAddr;
use core::ptr::null_mut;

use libc::{hostent, sockaddr, socklen_t};

use super::addresses::write_address;
use super::databases::service_name;
use super::resolve::addresses_of;
use super::socket::address;

/// Why [`gethostbyname`] failed (`netdb.h`).
const HOST_NOT_FOUND: c_int = 1;
const TRY_AGAIN: c_int = 2;
const NO_RECOVERY: c_int = 3;
const NO_DATA: c_int = 4;
/// The caller's room is too small (`EAI_OVERFLOW`).
const EAI_OVERFLOW: c_int = -12;

/// What calls that are not for threads answer with, and what went wrong last; the next call overwrites both.
struct Shared {
    entry: UnsafeCell<hostent>,
    room: UnsafeCell<[u64; 256]>,
    error: UnsafeCell<c_int>,
}

// SAFETY: only functions whose contract is that one thread calls them use it.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared {
    entry: UnsafeCell::new(hostent {
        h_name: null_mut(),
        h_aliases: null_mut(),
        h_addrtype: 0,
        h_length: 0,
        h_addr_list: null_mut(),
    }),
    room: UnsafeCell::new([0; 256]),
    error: UnsafeCell::new(0),
};

/// Where the last error is.
#[unsafe(no_mangle)]
extern "C" fn __h_errno_location() -> *mut c_int {
    SHARED.error.get()
}

/// Lays an entry out in `room`: lists, addresses, then the name. None when it is too small.
///
/// # Safety
/// `room` is aligned for pointers.
unsafe fn lay_out(
    name: &CStr,
    family: c_int,
    found: &[IpAddr],
    room: &mut [u8],
) -> Option<hostent> {
    const POINTER: usize = size_of::<*mut c_char>();
    let name = name.to_bytes_with_nul();
    let len = if family == libc::AF_INET6 { 16 } else { 4 };
    // The list of addresses and its end; the list of other names is that end alone.
    let list = (found.len() + 1) * POINTER;
    let (lists, rest) = room.split_at_mut_checked(list)?;
    let (addresses, rest) = rest.split_at_mut_checked(found.len() * len)?;
    rest.get_mut(..name.len())?.copy_from_slice(name);
    for ((ip, bytes), place) in found
        .iter()
        .zip(addresses.chunks_exact_mut(len))
        .zip(lists.chunks_exact_mut(POINTER))
    {
        match ip {
            IpAddr::V4(ip) => bytes.copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes.copy_from_slice(&ip.octets()),
        }
        place.copy_from_slice(&(bytes.as_mut_ptr() as usize).to_ne_bytes());
    }
    let end = lists.len() - POINTER;
    lists.get_mut(end..)?.fill(0);
    let lists = lists.as_mut_ptr();
    Some(hostent {
        h_name: rest.as_mut_ptr().cast(),
        // SAFETY: inside of the list.
        h_aliases: unsafe { lists.add(end) }.cast(),
        h_addrtype: family,
        h_length: len as c_int,
        h_addr_list: lists.cast(),
    })
}

/// The addresses of a name in a family.
fn find(name: &CStr, family: c_int) -> Result<Vec<IpAddr>, c_int> {
    let text = name.to_str().map_err(|_| HOST_NOT_FOUND)?;
    if !matches!(family, libc::AF_INET | libc::AF_INET6) {
        return Err(NO_RECOVERY);
    }
    let found = addresses_of(text, family).map_err(|error| match error {
        libc::EAI_AGAIN => TRY_AGAIN,
        libc::EAI_NODATA => NO_DATA,
        _ => HOST_NOT_FOUND,
    })?;
    let mut found: Vec<IpAddr> = found.into_iter().map(|address| address.ip()).collect();
    found.dedup();
    Ok(found)
}

/// # Safety
/// As of `gethostbyname2_r`.
#[unsafe(no_mangle)]
unsafe extern "C" fn gethostbyname2_r(
    name: *const c_char,
    family: c_int,
    entry: *mut hostent,
    room: *mut c_char,
    len: usize,
    result: *mut *mut hostent,
    error: *mut c_int,
) -> c_int {
    // SAFETY: the caller's string and places, for all that follows.
    unsafe {
        *result = null_mut();
        let name = CStr::from_ptr(name);
        let found = match find(name, family) {
            Ok(found) => found,
            Err(reason) => {
                *error = reason;
                return if reason == TRY_AGAIN { libc::EAGAIN } else { 0 };
            }
        };
        let skipped = room.align_offset(align_of::<*mut c_char>()).min(len);
        let room = core::slice::from_raw_parts_mut(room.add(skipped).cast(), len - skipped);
        match lay_out(name, family, &found, room) {
            Some(laid_out) => {
                *entry = laid_out;
                *result = entry;
                0
            }
            None => {
                *error = NO_RECOVERY;
                libc::ERANGE
            }
        }
    }
}

/// # Safety
/// As of `gethostbyname_r`.
#[unsafe(no_mangle)]
unsafe extern "C" fn gethostbyname_r(
    name: *const c_char,
    entry: *mut hostent,
    room: *mut c_char,
    len: usize,
    result: *mut *mut hostent,
    error: *mut c_int,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { gethostbyname2_r(name, libc::AF_INET, entry, room, len, result, error) }
}

/// # Safety
/// `name` is a C string; one thread asks.
#[unsafe(no_mangle)]
unsafe extern "C" fn gethostbyname2(name: *const c_char, family: c_int) -> *mut hostent {
    let mut result = null_mut();
    // SAFETY: the caller's string, and places of our own that this thread alone uses.
    unsafe {
        gethostbyname2_r(
            name,
            family,
            SHARED.entry.get(),
            SHARED.room.get().cast(),
            size_of_val(&SHARED.room),
            &raw mut result,
            SHARED.error.get(),
        );
    }
    result
}

/// # Safety
/// `name` is a C string; one thread asks.
#[unsafe(no_mangle)]
unsafe extern "C" fn gethostbyname(name: *const c_char) -> *mut hostent {
    // SAFETY: the same contract.
    unsafe { gethostbyname2(name, libc::AF_INET) }
}

/// The host of an address: none is known, as servers are not asked.
///
/// # Safety
/// As of `gethostbyaddr_r`.
#[unsafe(no_mangle)]
unsafe extern "C" fn gethostbyaddr_r(
    _address: *const c_void,
    _len: socklen_t,
    _family: c_int,
    _entry: *mut hostent,
    _room: *mut c_char,
    _room_len: usize,
    result: *mut *mut hostent,
    error: *mut c_int,
) -> c_int {
    // SAFETY: the caller's places.
    unsafe {
        *result = null_mut();
        *error = HOST_NOT_FOUND;
    }
    0
}

/// See [`gethostbyaddr_r`]; one thread asks.
#[unsafe(no_mangle)]
extern "C" fn gethostbyaddr(
    _address: *const c_void,
    _len: socklen_t,
    _family: c_int,
) -> *mut hostent {
    // SAFETY: one thread asks.
    unsafe { *SHARED.error.get() = HOST_NOT_FOUND };
    null_mut()
}

/// Writes a text with a zero behind it; nothing when nothing is wanted.
///
/// # Safety
/// `room` is null or has `len` bytes.
unsafe fn give(text: &[u8], room: *mut c_char, len: socklen_t) -> Result<(), c_int> {
    if room.is_null() || len == 0 {
        return Ok(());
    }
    // SAFETY: the caller's room.
    let room = unsafe { core::slice::from_raw_parts_mut(room.cast::<u8>(), len as usize) };
    let (place, rest) = room.split_at_mut_checked(text.len()).ok_or(EAI_OVERFLOW)?;
    place.copy_from_slice(text);
    *rest.first_mut().ok_or(EAI_OVERFLOW)? = 0;
    Ok(())
}

/// An address as texts: the host as a number (a name, where one is required, is not known: `EAI_NONAME`), the port as a service.
///
/// # Safety
/// `address` has `len` bytes; `host` and `service` are null or have as many as their lengths say.
#[unsafe(no_mangle)]
unsafe extern "C" fn getnameinfo(
    address: *const sockaddr,
    len: socklen_t,
    host: *mut c_char,
    host_len: socklen_t,
    service: *mut c_char,
    service_len: socklen_t,
    flags: c_int,
) -> c_int {
    let tell = || {
        // SAFETY: the caller's address; either family is read for one of IPv6.
        let address =
            unsafe { address::load(address, len, true, true) }.map_err(|_| libc::EAI_FAMILY)?;
        if flags & libc::NI_NAMEREQD != 0 {
            return Err(libc::EAI_NONAME);
        }
        let mut text = [0; 64];
        write_address(address.ip(), &mut text);
        let text = CStr::from_bytes_until_nul(&text).unwrap_or_default();
        // SAFETY: the caller's room.
        unsafe { give(text.to_bytes(), host, host_len)? };
        let protocol = match flags & libc::NI_DGRAM {
            0 => c"tcp",
            _ => c"udp",
        };
        let name = match flags & libc::NI_NUMERICSERV {
            0 => service_name(address.port(), protocol).map(CStr::to_owned),
            _ => None,
        };
        let number = || CString::new(alloc::format!("{}", address.port())).unwrap_or_default();
        let name = name.unwrap_or_else(number);
        // SAFETY: the caller's room.
        unsafe { give(name.as_bytes(), service, service_len) }
    };
    tell().err().unwrap_or(0)
}
