//! Strings, patterns, options, dates that are read, services by name: what needs neither files nor threads.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::{null, null_mut};

unsafe extern "C" {
    fn strcasestr(text: *const c_char, part: *const c_char) -> *mut c_char;
    fn strverscmp(first: *const c_char, second: *const c_char) -> c_int;
    fn stpncpy(to: *mut c_char, from: *const c_char, len: usize) -> *mut c_char;
    fn memccpy(to: *mut u8, from: *const u8, byte: c_int, len: usize) -> *mut u8;
    fn reallocarray(old: *mut u8, count: usize, size: usize) -> *mut u8;
    fn strsignal(signal: c_int) -> *const c_char;
    fn __xpg_basename(path: *mut c_char) -> *mut c_char;
    fn dirname(path: *mut c_char) -> *mut c_char;
    fn fnmatch(pattern: *const c_char, name: *const c_char, flags: c_int) -> c_int;
    fn getopt_long(
        count: c_int,
        arguments: *mut *mut c_char,
        letters: *const c_char,
        long: *const Long,
        index: *mut c_int,
    ) -> c_int;
    fn strptime(text: *const c_char, format: *const c_char, date: *mut libc::tm) -> *mut c_char;
    static mut optarg: *mut c_char;
    static mut optind: c_int;
    static mut opterr: c_int;
    static mut optopt: c_int;
}

#[repr(C)]
struct Long {
    name: *const c_char,
    has_argument: c_int,
    flag: *mut c_int,
    value: c_int,
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// # Safety
/// 1. Null or a C string.
unsafe fn shown(text: *const c_char) -> Option<String> {
    (!text.is_null()).then(|| {
        // SAFETY: (1).
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned()
    })
}

pub(crate) fn steps() {
    strings();
    patterns();
    options();
    dates();
    services();
    users();
}

fn strings() {
    // SAFETY: C strings, and places that are long enough.
    unsafe {
        for (text, part) in [
            ("Hello World", "WORLD"),
            ("abc", ""),
            ("abc", "abcd"),
            ("aaab", "AB"),
        ] {
            println!(
                "{:?}",
                shown(strcasestr(c(text).as_ptr(), c(part).as_ptr()))
            );
        }
        for (first, second) in [
            ("a9", "a10"),
            ("a010", "a10"),
            ("a", "b"),
            ("x1.2", "x1.10"),
            ("7", "7"),
        ] {
            println!(
                "{first} {second} {}",
                strverscmp(c(first).as_ptr(), c(second).as_ptr()).signum()
            );
        }
        let mut field = [1_i8; 8];
        let end = stpncpy(field.as_mut_ptr(), c"abc".as_ptr(), 6);
        println!("{} {field:?}", end.offset_from(field.as_ptr()));
        let mut bytes = [0_u8; 8];
        let behind = memccpy(bytes.as_mut_ptr(), b"one,two".as_ptr(), b','.into(), 7);
        println!("{} {bytes:?}", behind.offset_from(bytes.as_ptr()));
        println!(
            "{}",
            memccpy(bytes.as_mut_ptr(), b"one".as_ptr(), b','.into(), 3).is_null()
        );
        println!("{}", reallocarray(null_mut(), usize::MAX / 2, 3).is_null());
        libc::free(reallocarray(null_mut(), 3, 5).cast());
        for signal in [1, 2, 11, 14, 15, 17] {
            println!("{:?}", shown(strsignal(signal)));
        }
        for path in ["/usr/lib", "/usr/", "usr", "/", ".", "..", "a//b//", ""] {
            let (one, other) = (c(path).into_raw(), c(path).into_raw());
            println!(
                "{path:?} {:?} {:?}",
                shown(__xpg_basename(one)),
                shown(dirname(other))
            );
            drop((CString::from_raw(one), CString::from_raw(other)));
        }
    }
}

fn patterns() {
    let cases = [
        ("*.c", "main.c", 0),
        ("*.c", ".c", 4),
        ("*", "a/b", 0),
        ("*", "a/b", 1),
        ("a/*/c", "a/b/c", 1),
        ("a/*/c", "a/b/b/c", 1),
        ("[a-c]x", "bx", 0),
        ("[!a-c]x", "bx", 0),
        ("[]x]", "]", 0),
        ("[[:digit:]]*", "5th", 0),
        ("\\*", "*", 0),
        ("\\*", "\\x", 2),
        ("?", "/", 1),
        ("?", ".", 4),
        ("*/.x", "a/.x", 5),
        ("*/*x", "a/.x", 5),
        ("*a*b*c", "xxaxxbxxcxxc", 0),
        ("*a*b*c", "xxaxxcxxb", 0),
        ("ABC", "abc", 16),
        ("foo", "foo/bar", 8),
        ("[a", "[a", 0),
        ("", "", 0),
        ("*", "", 0),
    ];
    for (pattern, name, flags) in cases {
        // SAFETY: C strings.
        let result = unsafe { fnmatch(c(pattern).as_ptr(), c(name).as_ptr(), flags) };
        println!("{pattern:?} {name:?} {flags}: {result}");
    }
}

fn options() {
    let long = [
        Long {
            name: c"verbose".as_ptr(),
            has_argument: 0,
            flag: null_mut(),
            value: b'v'.into(),
        },
        Long {
            name: c"value".as_ptr(),
            has_argument: 1,
            flag: null_mut(),
            value: 300,
        },
        Long {
            name: c"may".as_ptr(),
            has_argument: 2,
            flag: null_mut(),
            value: 301,
        },
        Long {
            name: null(),
            has_argument: 0,
            flag: null_mut(),
            value: 0,
        },
    ];
    let lines = [
        ("ab:c::", "p -a first -b B second -cC -c third"),
        (
            "ab:c::",
            "p -abB --verbose --value=7 --value 8 --may --may=9 x -- -a",
        ),
        ("+ab:", "p -a x -b B"),
        ("-ab:", "p -a x -b B y"),
        (":ab:", "p -x -b"),
        ("ab:", "p --v --verb --nothing --verbose=1"),
        ("ab:", "p one two three -a"),
        ("ab:", "p"),
    ];
    for (letters, line) in lines {
        let mut all: Vec<*mut c_char> = line.split(' ').map(|word| c(word).into_raw()).collect();
        // SAFETY: C strings; one thread.
        unsafe {
            (optind, opterr) = (0, 0);
            println!("{letters} {line}");
            loop {
                let mut index = -1;
                let found = getopt_long(
                    all.len() as c_int,
                    all.as_mut_ptr(),
                    c(letters).as_ptr(),
                    long.as_ptr(),
                    &raw mut index,
                );
                let argument = shown(optarg);
                let next = optind;
                if found == -1 {
                    println!("  end {next}");
                    break;
                }
                let unknown = if found == b'?'.into() || found == b':'.into() {
                    optopt
                } else {
                    0
                };
                println!("  {found} {argument:?} {index} {unknown} {next}");
            }
            let order: Vec<_> = all.iter().map(|&word| shown(word).unwrap()).collect();
            println!("  {order:?}");
            all.drain(..).for_each(|word| drop(CString::from_raw(word)));
        }
    }
}

fn dates() {
    let cases = [
        ("2024-02-29 23:59:58", "%Y-%m-%d %H:%M:%S"),
        ("Thu Feb 29 2024", "%a %b %d %Y"),
        ("thursday february 9 99", "%A %B %e %y"),
        ("12:30:01 AM", "%I:%M:%S %p"),
        ("12:30 pm", "%I:%M %p"),
        ("060 2024", "%j %Y"),
        ("02/03/68", "%D"),
        ("1700000000", "%s"),
        ("10:20 rest", "%R"),
        ("+0530", "%z"),
        ("25:00", "%H:%M"),
        ("x", "%Y"),
        ("20 24", "%C %y"),
        ("5%", "%d%%"),
    ];
    for (text, format) in cases {
        let text = c(text);
        // SAFETY: C strings, a structure of integers.
        unsafe {
            let mut date: libc::tm = std::mem::zeroed();
            let rest = shown(strptime(text.as_ptr(), c(format).as_ptr(), &raw mut date));
            println!("{text:?} {format}: {rest:?}");
            if rest.is_some() {
                println!(
                    "  {} {} {} {} {} {} {} {} {}",
                    date.tm_year,
                    date.tm_mon,
                    date.tm_mday,
                    date.tm_hour,
                    date.tm_min,
                    date.tm_sec,
                    date.tm_wday,
                    date.tm_yday,
                    date.tm_gmtoff
                );
            }
        }
    }
}

fn services() {
    // SAFETY: C strings; one thread. What there is none of is null.
    unsafe {
        for (name, by) in [
            ("http", "tcp"),
            ("domain", "udp"),
            ("ssh", "tcp"),
            ("nothing-of-this-name", "tcp"),
        ] {
            let found = libc::getservbyname(c(name).as_ptr(), c(by).as_ptr()).as_ref();
            println!(
                "{name} {:?}",
                found.map(|found| u16::from_be(found.s_port as u16))
            );
        }
        for name in ["tcp", "udp", "icmp"] {
            let found = libc::getprotobyname(c(name).as_ptr()).as_ref();
            println!("{name} {:?}", found.map(|found| found.p_proto));
        }
    }
}

fn users() {
    let named = |name: &str, room: usize| {
        let mut buffer = vec![0; room];
        let mut found = null_mut();
        // SAFETY: integers and pointers, for which zeros are values; places that are long enough, and C strings in them.
        unsafe {
            let mut entry: libc::passwd = std::mem::zeroed();
            let (out, len) = (&raw mut entry, buffer.len());
            let error =
                libc::getpwnam_r(c(name).as_ptr(), out, buffer.as_mut_ptr(), len, &mut found);
            let told = (!found.is_null()).then(|| {
                let home = shown(entry.pw_dir).is_some_and(|home| home.starts_with('/'));
                (shown(entry.pw_name), entry.pw_uid, entry.pw_gid, home)
            });
            println!("user {name} in {room}: {error} {told:?}");
        }
    };
    named("root", 1024);
    named("root", 6);
    named("root", 0);
    named("nobody-of-this-name", 1024);
    // SAFETY: C strings; one thread, which asks anew only when it has shown the last answer.
    unsafe {
        for number in [0, 54_321] {
            let user = libc::getpwuid(number).as_ref();
            println!("user {number} {:?}", user.map(|user| shown(user.pw_name)));
            let group = libc::getgrgid(number).as_ref();
            println!(
                "group {number} {:?}",
                group.map(|group| shown(group.gr_name))
            );
        }
        let group = libc::getgrnam(c"root".as_ptr()).as_ref();
        let of = |group: &libc::group| (group.gr_gid, (*group.gr_mem).is_null());
        println!("group root {:?}", group.map(of));
        for _ in 0..2 {
            libc::setpwent();
            let first = libc::getpwent().as_ref();
            println!(
                "first {:?}",
                first.map(|user| (shown(user.pw_name), user.pw_uid))
            );
        }
        while !libc::getpwent().is_null() {}
        println!("behind {}", libc::getpwent().is_null());
        libc::endpwent();
    }
}
