//! The environment (POSIX.1-2017, `environ`, `getenv`, `setenv`): an array of C strings that ends with a null.
//!
//! A change makes a new array or a new string; what was there before stays in memory, as programs may still look at it. A
//! program may also replace the array itself.

use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::convert::{c_status, text};
use crate::error::{Errno, Result};
use crate::sync::SpinLock;

/// The environment, as C programs see it.
#[unsafe(no_mangle)]
pub(super) static environ: AtomicPtr<*mut c_char> = AtomicPtr::new(null_mut());

/// Held while the array is changed.
static CHANGING: SpinLock<()> = SpinLock::new(());

/// The entries, without the null.
fn entries() -> &'static [*mut c_char] {
    let start = environ.load(Ordering::Acquire);
    if start.is_null() {
        return &[];
    }
    let mut len = 0;
    // SAFETY: the array ends with a null.
    unsafe {
        while !(*start.add(len)).is_null() {
            len += 1;
        }
        core::slice::from_raw_parts(start, len)
    }
}

/// The value of an entry, if it is of the variable `name`.
fn value_in(entry: *mut c_char, name: &[u8]) -> Option<&'static CStr> {
    // SAFETY: entries are C strings that are never freed.
    let text = unsafe { CStr::from_ptr(entry) };
    let rest = text.to_bytes().strip_prefix(name)?;
    if rest.first() != Some(&b'=') {
        return None;
    }
    // SAFETY: the text goes on to its closing zero behind the name.
    Some(unsafe { CStr::from_ptr(entry.add(name.len() + 1)) })
}

fn find(name: &[u8]) -> Option<(usize, &'static CStr)> {
    let mut entries = entries().iter().enumerate();
    entries.find_map(|(index, &entry)| Some((index, value_in(entry, name)?)))
}

/// The value of a variable.
pub(super) fn value(name: &[u8]) -> Option<&'static [u8]> {
    find(name).map(|(_, value)| value.to_bytes())
}

/// The value of a variable; null if there is none.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getenv(name: *const c_char) -> *mut c_char {
    // SAFETY: the caller's C string.
    match unsafe { text(name) }.ok().and_then(find) {
        Some((_, value)) => value.as_ptr().cast_mut(),
        None => null_mut(),
    }
}

/// See [`getenv`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn secure_getenv(name: *const c_char) -> *mut c_char {
    // SAFETY: the same contract.
    unsafe { getenv(name) }
}

/// Makes the array anew.
fn install(entries: Vec<*mut c_char>) {
    environ.store(entries.leak().as_mut_ptr(), Ordering::Release);
}

fn valid_name(name: Result<&[u8]>) -> Result<&[u8]> {
    name.ok()
        .filter(|name| !name.is_empty() && !name.contains(&b'='))
        .ok_or(Errno(libc::EINVAL))
}

/// Puts an entry for a variable in the place of the one there is, or at the end. Called with the lock held.
fn put_entry(name: &[u8], entry: *mut c_char) -> Result<()> {
    let old = entries();
    if let Some((index, _)) = find(name) {
        // SAFETY: an element of the array; it is replaced at once, so that readers see the old string or the new one.
        unsafe { AtomicPtr::from_ptr(environ.load(Ordering::Acquire).add(index)) }
            .store(entry, Ordering::Release);
        return Ok(());
    }
    let mut new = Vec::new();
    new.try_reserve_exact(old.len() + 2)
        .map_err(|_| Errno(libc::ENOMEM))?;
    new.extend_from_slice(old);
    new.extend([entry, null_mut()]);
    install(new);
    Ok(())
}

/// Sets a variable; one that is there only if `is_replaced`.
///
/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn setenv(
    name: *const c_char,
    value: *const c_char,
    is_replaced: c_int,
) -> c_int {
    c_status((|| {
        // SAFETY: the caller's C strings.
        let (name, value) = unsafe { (valid_name(text(name))?, text(value)?) };
        let _changing = CHANGING.lock();
        if is_replaced == 0 && find(name).is_some() {
            return Ok(());
        }
        let mut entry = Vec::new();
        entry
            .try_reserve_exact(name.len() + value.len() + 2)
            .map_err(|_| Errno(libc::ENOMEM))?;
        for part in [name, b"=", value, b"\0"] {
            entry.extend_from_slice(part);
        }
        put_entry(name, entry.leak().as_mut_ptr().cast())
    })())
}

/// Puts the string itself, `NAME=VALUE`, into the environment; a string without `=` takes the variable out.
///
/// # Safety
/// A C string that stays.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn putenv(string: *mut c_char) -> c_int {
    // SAFETY: the caller's C string.
    let entry = match unsafe { text(string) } {
        Ok(entry) => entry,
        Err(error) => return c_status(Err(error)),
    };
    match entry.iter().position(|&byte| byte == b'=') {
        // SAFETY: the same contract.
        None => unsafe { unsetenv(string) },
        Some(end) => {
            let _changing = CHANGING.lock();
            c_status(valid_name(Ok(&entry[..end])).and_then(|name| put_entry(name, string)))
        }
    }
}

/// Takes a variable out.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn unsetenv(name: *const c_char) -> c_int {
    c_status((|| {
        // SAFETY: the caller's C string.
        let name = valid_name(unsafe { text(name) })?;
        let _changing = CHANGING.lock();
        if find(name).is_none() {
            return Ok(());
        }
        let kept = entries().iter().copied();
        let kept = kept.filter(|&entry| value_in(entry, name).is_none());
        install(kept.chain([null_mut()]).collect());
        Ok(())
    })())
}

/// Takes all variables out.
#[unsafe(no_mangle)]
pub(super) extern "C" fn clearenv() -> c_int {
    let _changing = CHANGING.lock();
    install(Vec::from([null_mut()]));
    0
}
