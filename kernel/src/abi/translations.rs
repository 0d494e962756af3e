//! Translations of messages (glibc: gettext(3), ngettext(3), bindtextdomain(3)). The only locale is `C`, in which every message is its own translation; what
//! domain and folder a program chooses is kept.

use alloc::ffi::CString;
use core::ffi::{CStr, c_char, c_int, c_ulong};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::errno;
use crate::error::Errno;

/// Where translations are looked for, if the program does not choose.
const FOLDER: &CStr = c"/usr/share/locale";
const DOMAIN: &CStr = c"messages";

/// What a program chose last. Earlier strings stay: the program may have them.
static CHOSEN_DOMAIN: AtomicPtr<c_char> = AtomicPtr::new(null_mut());
static CHOSEN_FOLDER: AtomicPtr<c_char> = AtomicPtr::new(null_mut());
static CHOSEN_SET: AtomicPtr<c_char> = AtomicPtr::new(null_mut());

/// Keeps a copy of `name`, if it is given; what is kept then.
///
/// # Safety
/// `name` is null or a C string.
unsafe fn choose(
    place: &AtomicPtr<c_char>,
    name: *const c_char,
    default: *const c_char,
) -> *mut c_char {
    if !name.is_null() {
        // SAFETY: the caller's string.
        let copy = CString::from(unsafe { CStr::from_ptr(name) });
        place.store(copy.into_raw(), Ordering::Release);
    }
    match place.load(Ordering::Acquire) {
        chosen if chosen.is_null() => default.cast_mut(),
        chosen => chosen,
    }
}

/// # Safety
/// `message` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn gettext(message: *const c_char) -> *mut c_char {
    message.cast_mut()
}

/// # Safety
/// `message` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn dgettext(_: *const c_char, message: *const c_char) -> *mut c_char {
    message.cast_mut()
}

/// # Safety
/// `message` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn dcgettext(_: *const c_char, message: *const c_char, _: c_int) -> *mut c_char {
    message.cast_mut()
}

/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngettext(
    one: *const c_char,
    more: *const c_char,
    count: c_ulong,
) -> *mut c_char {
    (if count == 1 { one } else { more }).cast_mut()
}

/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn dngettext(
    _: *const c_char,
    one: *const c_char,
    more: *const c_char,
    count: c_ulong,
) -> *mut c_char {
    // SAFETY: the same contract.
    unsafe { ngettext(one, more, count) }
}

/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn dcngettext(
    _: *const c_char,
    one: *const c_char,
    more: *const c_char,
    count: c_ulong,
    _: c_int,
) -> *mut c_char {
    // SAFETY: the same contract.
    unsafe { ngettext(one, more, count) }
}

/// # Safety
/// `domain` is null or a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn textdomain(domain: *const c_char) -> *mut c_char {
    // SAFETY: the caller's string.
    match !domain.is_null() && unsafe { *domain } == 0 {
        true => {
            CHOSEN_DOMAIN.store(null_mut(), Ordering::Release);
            DOMAIN.as_ptr().cast_mut()
        }
        // SAFETY: the same contract.
        false => unsafe { choose(&CHOSEN_DOMAIN, domain, DOMAIN.as_ptr()) },
    }
}

/// Fails for a domain without a name, with `EINVAL`.
///
/// # Safety
/// Both are null or C strings.
unsafe fn bind(
    place: &AtomicPtr<c_char>,
    domain: *const c_char,
    name: *const c_char,
    default: *const c_char,
) -> *mut c_char {
    // SAFETY: the caller's string.
    if domain.is_null() || unsafe { *domain } == 0 {
        errno::set(Errno(libc::EINVAL));
        return null_mut();
    }
    // SAFETY: the same contract.
    unsafe { choose(place, name, default) }
}

/// # Safety
/// Both are null or C strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn bindtextdomain(domain: *const c_char, folder: *const c_char) -> *mut c_char {
    // SAFETY: the same contract.
    unsafe { bind(&CHOSEN_FOLDER, domain, folder, FOLDER.as_ptr()) }
}

/// # Safety
/// Both are null or C strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn bind_textdomain_codeset(
    domain: *const c_char,
    set: *const c_char,
) -> *mut c_char {
    // SAFETY: the same contract.
    unsafe { bind(&CHOSEN_SET, domain, set, core::ptr::null()) }
}
