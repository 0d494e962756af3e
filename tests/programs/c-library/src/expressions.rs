//! `regcomp` and `regexec`: what patterns match and where, what is none, and how searches are limited.

use std::ffi::{CStr, CString, c_int};

/// Patterns that are the same to `regcomp` in both ways of writing them, or not.
const PATTERNS: [&str; 62] = [
    "abc",
    "a.c",
    "^abc$",
    "a*b",
    "a\\*b",
    "*a",
    "^*a",
    "a^b",
    "a$b",
    "(a|ab)(c|bcd)(d*)",
    "\\(a\\|ab\\)\\(c\\|bcd\\)\\(d*\\)",
    "(a*)*",
    "(a*)+",
    "(a|b)*c|(a|ab)*c",
    "(ab|cd)+e?",
    "\\(ab\\)*\\1",
    "(.)(.)\\2\\1",
    "x{2,3}y",
    "x\\{2,3\\}y",
    "x{2}",
    "x{,2}y",
    "x{2,}",
    "[abc]+",
    "[^abc]+",
    "[]a]+",
    "[^]a]+",
    "[a-c]x",
    "[c-a]",
    "[a-]",
    "[[:alpha:]_][[:alnum:]_]*",
    "[[:nonsense:]]",
    "[[.a.]]",
    "[[=b=]]c",
    "[[.ab.]]",
    "[",
    "[a",
    "a\\",
    "(a",
    "a)",
    "\\(a",
    "a\\)",
    "\\1",
    "(a)\\2",
    "a{",
    "a{x",
    "a{3,2}",
    "a{40000}",
    "()",
    "a||b",
    "|a",
    "+a",
    "?",
    "(*a)",
    "\\w+\\W\\w+",
    "\\bab\\b",
    "\\<ab\\>",
    "\\Bb",
    "a\\+b\\?",
    "",
    ".*",
    "^$",
    "(foo|foobar)(bar)?",
];

const TEXTS: [&str; 16] = [
    "",
    "abc",
    "abcd",
    "xxabcxx",
    "a*b",
    "*a",
    "a^b a$b",
    "ababcdcde",
    "abba",
    "xxxxy",
    "ABC",
    "foobarbar",
    "line\nabc\nab",
    "]a-",
    "ab ab",
    "_x9 y+",
];

fn errors(code: c_int, regex: &libc::regex_t) -> String {
    let mut words = [0; 100];
    // SAFETY: the room is the array's; `regerror` ends what it writes with a zero.
    unsafe {
        libc::regerror(code, regex, words.as_mut_ptr(), words.len());
        CStr::from_ptr(words.as_ptr())
            .to_string_lossy()
            .into_owned()
    }
}

fn try_all(pattern: &str, flags: c_int, flags_of_search: c_int) {
    let text = CString::new(pattern).expect("no zero inside");
    // SAFETY: a structure of integers and pointers, for which zeros are values; it is compiled before it is used.
    unsafe {
        let mut regex: libc::regex_t = std::mem::zeroed();
        let code = libc::regcomp(&raw mut regex, text.as_ptr(), flags);
        if code != 0 {
            println!("{pattern:?} {flags}: {code} {}", errors(code, &regex));
            return;
        }
        let mut found = Vec::new();
        for text in TEXTS {
            let string = CString::new(text).expect("no zero inside");
            let mut places: [libc::regmatch_t; 5] = std::mem::zeroed();
            let code = libc::regexec(
                &raw const regex,
                string.as_ptr(),
                places.len(),
                places.as_mut_ptr(),
                flags_of_search,
            );
            found.push(match code {
                0 => places
                    .map(|place| format!("{},{}", place.rm_so, place.rm_eo))
                    .join(" "),
                code => errors(code, &regex),
            });
        }
        println!(
            "{pattern:?} {flags} {flags_of_search}: {}",
            found.join(" | ")
        );
        libc::regfree(&raw mut regex);
    }
}

pub(crate) fn steps() {
    for pattern in PATTERNS {
        try_all(pattern, 0, 0);
        try_all(pattern, libc::REG_EXTENDED, 0);
    }
    for pattern in [
        "^ab", "b$", "[^x]b", "c.ab", "^$", "AB", "[A-B]+", "(A)b\\1",
    ] {
        try_all(pattern, libc::REG_EXTENDED | libc::REG_NEWLINE, 0);
        try_all(pattern, libc::REG_EXTENDED | libc::REG_ICASE, 0);
        try_all(pattern, libc::REG_EXTENDED, libc::REG_NOTBOL);
        try_all(pattern, libc::REG_EXTENDED, libc::REG_NOTEOL);
    }
    // What takes for ever if every way is tried ends all the same.
    // SAFETY: as above.
    unsafe {
        let mut regex: libc::regex_t = std::mem::zeroed();
        let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
        let code = libc::regcomp(&raw mut regex, c"(a|aa)*(a|aa)*(a|aa)*b".as_ptr(), flags);
        let text = CString::new("a".repeat(3000)).expect("no zero inside");
        let found = libc::regexec(&raw const regex, text.as_ptr(), 0, std::ptr::null_mut(), 0);
        println!("many ways {code} {found}");
        libc::regfree(&raw mut regex);
    }
}
