//! `iconv`: texts from one character set to another, what is none, and what the other set does not have; messages without translations.

use std::ffi::{CStr, CString, c_char, c_int, c_ulong};
use std::io::Error;

const SETS: [&str; 9] = [
    "UTF-8",
    "UTF-16LE",
    "UTF-16BE",
    "UTF-16",
    "UTF-32LE",
    "UTF-32BE",
    "UTF-32",
    "ISO-8859-1",
    "ASCII",
];

/// What becomes of bytes, in so much room; the error, what was left and how much room.
fn convert(to: &str, from: &str, bytes: &[u8], room: usize) -> String {
    let (to_name, from_name) = (CString::new(to), CString::new(from));
    let (to_name, from_name) = (to_name.expect("a name"), from_name.expect("a name"));
    // SAFETY: places and lengths are the arrays', and the conversion is open until it is closed.
    unsafe {
        let conversion = libc::iconv_open(to_name.as_ptr(), from_name.as_ptr());
        if conversion.addr() == usize::MAX {
            return format!("none: {:?}", Error::last_os_error().raw_os_error());
        }
        let mut input = bytes.to_vec();
        let mut output = vec![0u8; room];
        let mut from: *mut c_char = input.as_mut_ptr().cast();
        let mut to: *mut c_char = output.as_mut_ptr().cast();
        let (mut from_len, mut to_len) = (input.len(), output.len());
        let count = libc::iconv(
            conversion,
            &raw mut from,
            &raw mut from_len,
            &raw mut to,
            &raw mut to_len,
        );
        let error = match count {
            usize::MAX => Error::last_os_error().raw_os_error(),
            _ => None,
        };
        libc::iconv_close(conversion);
        let written = &output[..room - to_len];
        format!(
            "{} {error:?} {written:02x?} left {from_len}",
            count as isize
        )
    }
}

unsafe extern "C" {
    fn gettext(message: *const c_char) -> *mut c_char;
    fn dcgettext(domain: *const c_char, message: *const c_char, category: c_int) -> *mut c_char;
    fn ngettext(one: *const c_char, more: *const c_char, count: c_ulong) -> *mut c_char;
    fn textdomain(domain: *const c_char) -> *mut c_char;
    fn bindtextdomain(domain: *const c_char, folder: *const c_char) -> *mut c_char;
}

pub(crate) fn steps() {
    let text = "a\u{e9}\u{20ac}\u{1f600}z";
    for to in SETS {
        println!("to {to}: {}", convert(to, "UTF-8", text.as_bytes(), 64));
        println!("latin to {to}: {}", convert(to, "latin1", b"a\xe9z", 64));
        println!(
            "little room for {to}: {}",
            convert(to, "UTF-8", "ab\u{e9}cd".as_bytes(), 5)
        );
    }
    for from in SETS {
        for bytes in [
            &b"abcd"[..],
            b"\xff\xfea\0\xac\x20",
            b"\xfe\xff\0a\x20\xac",
            b"\xc3",
            b"\xc3\x28",
            b"\xed\xa0\x80",
            b"\0\xd8\0\0",
            b"\x3d\xd8\0\xde",
            b"\xf0\x9f\x98",
        ] {
            println!(
                "{bytes:02x?} from {from}: {}",
                convert("UTF-8", from, bytes, 64)
            );
        }
    }
    println!(
        "left out {}",
        convert("ASCII//IGNORE", "UTF-8", "a\u{e9}b\u{3b1}c".as_bytes(), 64)
    );
    println!("unknown {}", convert("nonsense", "UTF-8", b"a", 64));
    println!(
        "wide {}",
        convert("WCHAR_T", "UTF-8", "a\u{e9}".as_bytes(), 64)
    );
    // SAFETY: C strings; what comes back are such too.
    unsafe {
        let shown = |text: *mut c_char| CStr::from_ptr(text).to_string_lossy().into_owned();
        println!("{}", shown(gettext(c"a message".as_ptr())));
        println!(
            "{}",
            shown(dcgettext(
                c"there".as_ptr(),
                c"another".as_ptr(),
                libc::LC_MESSAGES
            ))
        );
        for count in 0..3 {
            println!(
                "{}",
                shown(ngettext(c"one file".as_ptr(), c"files".as_ptr(), count))
            );
        }
        println!("{}", shown(textdomain(std::ptr::null())));
        println!("{}", shown(textdomain(c"mine".as_ptr())));
        println!(
            "{}",
            shown(bindtextdomain(c"mine".as_ptr(), c"/somewhere".as_ptr()))
        );
    }
}
