//! `sscanf` and the functions that read numbers.

use std::ffi::{CStr, CString, c_char, c_int};

fn integers(text: &str, format: &str) {
    let (text, format) = (CString::new(text).unwrap(), CString::new(format).unwrap());
    let mut found: [c_int; 4] = [-99; 4];
    let [a, b, c, d] = found.each_mut().map(|place| &raw mut *place);
    // SAFETY: the formats ask for up to four integers.
    let count = unsafe { libc::sscanf(text.as_ptr(), format.as_ptr(), a, b, c, d) };
    println!("{text:?} {format:?} -> {count} {found:?}");
}

fn words(text: &str, format: &str) {
    let (text, format) = (CString::new(text).unwrap(), CString::new(format).unwrap());
    let mut found = [[0 as c_char; 32]; 2];
    let [a, b] = found.each_mut().map(|place| place.as_mut_ptr());
    // SAFETY: the formats ask for up to two strings, which are short.
    let count = unsafe { libc::sscanf(text.as_ptr(), format.as_ptr(), a, b) };
    // SAFETY: zeroed, and the strings are shorter.
    let found = found
        .each_ref()
        .map(|word| unsafe { CStr::from_ptr(word.as_ptr()) });
    println!("{text:?} {format:?} -> {count} {found:?}");
}

pub(crate) fn steps() {
    integers("12 -34", "%d%d");
    integers("12:34:56", "%d:%d:%d");
    integers("0x1F 017 9", "%i %i %i");
    integers("ff,FF", "%x,%X");
    integers("123456", "%2d%3d%d");
    integers("abc", "%d");
    integers("", "%d");
    integers("  ", "%d");
    integers("7 x", "%d%d");
    integers("1 2", "%*d %d%n");
    integers("50%", "%d%%");
    integers("+5 -", "%d %d");
    words("hello world", "%s %s");
    words("key=value", "%[^=]=%s");
    words("abc123", "%[a-z]%[0-9]");
    words("a]b", "%[]a]%s");
    words("abcdef", "%3c%s");
    words("long word", "%2s%s");
    for text in ["1.5", "-2e3x", "inf", "nan", ".5", "5.", "0x1p4", "1e", "+"] {
        let c = CString::new(text).unwrap();
        let mut value = -99.0_f64;
        // SAFETY: one double.
        let count = unsafe { libc::sscanf(c.as_ptr(), c"%lf".as_ptr(), &raw mut value) };
        let mut end = std::ptr::null_mut();
        // SAFETY: a C string, and a place.
        let number = unsafe { libc::strtod(c.as_ptr(), &raw mut end) };
        // SAFETY: the end is inside of the string.
        let rest = unsafe { CStr::from_ptr(end) };
        if text == "1e" {
            // How much of this is a number for scanf differs among C libraries.
            println!("{text} -> {number} {rest:?}");
        } else {
            println!("{text} -> {count} {value} {number} {rest:?}");
        }
    }
    for text in [
        "0x1.8p1",
        "0x.8",
        "-0x1p-1074",
        "0x1.fffffffffffff8p0",
        "0xZ",
        "0x1p",
        "1e400",
        "-1e-400",
    ] {
        let c = CString::new(text).unwrap();
        let mut end = std::ptr::null_mut();
        // SAFETY: as above.
        let (number, rest) =
            unsafe { (libc::strtod(c.as_ptr(), &raw mut end), CStr::from_ptr(end)) };
        println!("{text} -> {number:e} {rest:?}");
    }
}
