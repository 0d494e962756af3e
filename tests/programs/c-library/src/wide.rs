//! Wide characters: text with numbers and dates, `swprintf`, streams; what the locale says.

use std::ffi::{CStr, c_char, c_int, c_ulong};
use std::ptr::null_mut;

type Wide = libc::wchar_t;

unsafe extern "C" {
    fn swprintf(out: *mut Wide, len: usize, format: *const Wide, ...) -> c_int;
    fn fwprintf(file: *mut libc::FILE, format: *const Wide, ...) -> c_int;
    fn fputws(string: *const Wide, file: *mut libc::FILE) -> c_int;
    fn fgetws(out: *mut Wide, len: c_int, file: *mut libc::FILE) -> *mut Wide;
    fn fputwc(wide: Wide, file: *mut libc::FILE) -> u32;
    fn fgetwc(file: *mut libc::FILE) -> u32;
    fn ungetwc(wide: u32, file: *mut libc::FILE) -> u32;
    fn fwide(file: *mut libc::FILE, mode: c_int) -> c_int;
    fn wcstod(string: *const Wide, end: *mut *mut Wide) -> f64;
    fn wcstol(string: *const Wide, end: *mut *mut Wide, base: c_int) -> i64;
    fn wcstoul(string: *const Wide, end: *mut *mut Wide, base: c_int) -> u64;
    fn wcsftime(out: *mut Wide, len: usize, format: *const Wide, date: *const libc::tm) -> usize;
    fn wcstok(string: *mut Wide, separators: *const Wide, state: *mut *mut Wide) -> *mut Wide;
    fn wcsspn(string: *const Wide, wanted: *const Wide) -> usize;
    fn wcscspn(string: *const Wide, unwanted: *const Wide) -> usize;
    fn wcsncat(to: *mut Wide, from: *const Wide, most: usize) -> *mut Wide;
    fn wcscasecmp(first: *const Wide, second: *const Wide) -> c_int;
    fn wcsxfrm(to: *mut Wide, from: *const Wide, len: usize) -> usize;
    fn wctrans(name: *const c_char) -> c_ulong;
    fn towctrans(wide: u32, change: c_ulong) -> u32;
    fn mbsnrtowcs(
        to: *mut Wide,
        from: *mut *const c_char,
        bytes: usize,
        len: usize,
        state: *mut u64,
    ) -> usize;
    fn wcsnrtombs(
        to: *mut c_char,
        from: *mut *const Wide,
        characters: usize,
        len: usize,
        state: *mut u64,
    ) -> usize;
}

fn wide(text: &str) -> Vec<Wide> {
    let characters = text.chars().map(|character| character as Wide);
    characters.chain([0]).collect()
}

fn text(wide: &[Wide]) -> String {
    let characters = wide.iter().take_while(|&&wide| wide != 0);
    characters
        .map(|&wide| char::from_u32(wide as u32).unwrap_or('?'))
        .collect()
}

macro_rules! show {
    ($len:expr, $format:expr $(, $argument:expr)*) => {{
        let mut out = [7 as Wide; 80];
        // SAFETY: the arguments are what the format says, and the length is within the array.
        let len = unsafe { swprintf(out.as_mut_ptr(), $len, wide($format).as_ptr() $(, $argument)*) };
        println!("{:?} -> {len} {:?}", $format, text(&out[..if len < 0 { 0 } else { 80 }]));
    }};
}

pub(crate) fn steps() {
    formats();
    numbers();
    strings();
    streams();
    facts();
}

fn formats() {
    let word = wide("Wörter €");
    show!(80, "plain");
    show!(
        80,
        "%d %5u|%-6x|%08.3f %e",
        5,
        6_u32,
        0xAB,
        2.5_f64,
        1e10_f64
    );
    show!(
        80,
        "größer: %ls|%12ls|%-12ls|%.3ls|",
        word.as_ptr(),
        word.as_ptr(),
        word.as_ptr(),
        word.as_ptr()
    );
    show!(
        80,
        "%s|%8s|%.2s|",
        c"bytes".as_ptr(),
        c"six".as_ptr(),
        c"seven".as_ptr()
    );
    show!(80, "%lc%c%%", 'é' as u32, c_int::from(b'x'));
    show!(80, "%2$ls %1$d", 3, word.as_ptr());
    show!(5, "fits");
    show!(4, "fits");
    show!(0, "");
    show!(80, "%s", c"\xC3\xA9".as_ptr());
}

fn numbers() {
    for number in [
        "12",
        " -0x1fz",
        "1e3x",
        "nothing",
        "077",
        "99999999999999999999",
        "inf",
        "١٢",
    ] {
        let number_wide = wide(number);
        let mut end = null_mut();
        // SAFETY: a wide string, and a pointer into it.
        unsafe {
            let double = wcstod(number_wide.as_ptr(), &raw mut end);
            let read = end.offset_from(number_wide.as_ptr());
            let long = wcstol(number_wide.as_ptr(), &raw mut end, 0);
            let read_too = end.offset_from(number_wide.as_ptr());
            let unsigned = wcstoul(number_wide.as_ptr(), null_mut(), 10);
            println!("{number:?}: {double} {read} {long} {read_too} {unsigned}");
        }
    }
    // SAFETY: integers, for which zero is a value.
    let mut date: libc::tm = unsafe { std::mem::zeroed() };
    (date.tm_year, date.tm_mon, date.tm_mday, date.tm_wday) = (99, 11, 31, 5);
    for len in [80, 24, 23] {
        let mut out = [0; 80];
        // SAFETY: there is so much room, and the date can be read.
        let count = unsafe {
            wcsftime(
                out.as_mut_ptr(),
                len,
                wide("%A, %d %B %Y").as_ptr(),
                &raw const date,
            )
        };
        println!(
            "date {count} {:?}",
            if count == 0 {
                String::new()
            } else {
                text(&out)
            }
        );
    }
}

fn strings() {
    let mut words = wide(",,one,two;;three");
    let mut state = null_mut();
    // SAFETY: wide strings with their ends, and room for what is written.
    unsafe {
        let mut next = wcstok(words.as_mut_ptr(), wide(",;").as_ptr(), &raw mut state);
        while !next.is_null() {
            println!("word {:?}", text(std::slice::from_raw_parts(next, 6)));
            next = wcstok(null_mut(), wide(",;").as_ptr(), &raw mut state);
        }
        let long = wide("abcab-x");
        println!(
            "{} {}",
            wcsspn(long.as_ptr(), wide("abc").as_ptr()),
            wcscspn(long.as_ptr(), wide("x-").as_ptr())
        );
        let mut both = wide("ab");
        both.resize(10, 9);
        wcsncat(both.as_mut_ptr(), wide("cdefg").as_ptr(), 3);
        println!("{:?}", text(&both));
        println!(
            "{}",
            wcscasecmp(wide("HeLLo").as_ptr(), wide("hEllO").as_ptr())
        );
        let mut copy = [0; 8];
        println!(
            "{} {:?}",
            wcsxfrm(copy.as_mut_ptr(), wide("copied").as_ptr(), 8),
            text(&copy)
        );
        let change = wctrans(c"toupper".as_ptr());
        println!(
            "{:?} {}",
            char::from_u32(towctrans('q'.into(), change)),
            wctrans(c"sideways".as_ptr())
        );
        let mut state = 0;
        let bytes = c"some bytes".as_ptr();
        let (mut from, mut out) = (bytes, [0; 16]);
        let count = mbsnrtowcs(out.as_mut_ptr(), &raw mut from, 4, 16, &raw mut state);
        println!("{count} {:?} {}", text(&out), from.offset_from(bytes));
        let count = mbsnrtowcs(out.as_mut_ptr(), &raw mut from, 40, 16, &raw mut state);
        println!("{count} {:?} {}", text(&out), from.is_null());
        let characters = wide("wide");
        let (mut from, mut out) = (characters.as_ptr(), [0_u8; 16]);
        let count = wcsnrtombs(
            out.as_mut_ptr().cast(),
            &raw mut from,
            3,
            16,
            &raw mut state,
        );
        println!(
            "{count} {:?} {}",
            &out[..5],
            from.offset_from(characters.as_ptr())
        );
        println!(
            "{}",
            wcsnrtombs(null_mut(), &raw mut from, 30, 0, &raw mut state)
        );
    }
}

fn streams() {
    // SAFETY: a stream of our own, open until the end; wide strings; room for what is read.
    unsafe {
        let file = libc::tmpfile();
        println!("orientation {}", fwide(file, 0));
        println!("{}", fputws(wide("first line\nsecond").as_ptr(), file) >= 0);
        println!(
            "{}",
            fwprintf(file, wide(" %d %ls\n").as_ptr(), 5, wide("words").as_ptr())
        );
        println!(
            "{} {}",
            fputwc('!' as Wide, file),
            fputwc('é' as Wide, file) == u32::MAX
        );
        println!(
            "error {} orientation {} {}",
            libc::ferror(file) != 0,
            fwide(file, 0),
            fwide(file, -1)
        );
        libc::rewind(file);
        let mut out = [0; 32];
        for room in [32, 5, 32, 32, 32] {
            let line = fgetws(out.as_mut_ptr(), room, file);
            println!("line {} {:?}", line.is_null(), text(&out));
        }
        println!("end {}", libc::feof(file) != 0);
        println!(
            "back {} {} {}",
            ungetwc('z'.into(), file),
            fgetwc(file),
            fgetwc(file) == u32::MAX
        );
        libc::fclose(file);
        let file = libc::tmpfile();
        println!(
            "bytes {}",
            libc::fputs(c"caf\xC3\xA9\n".as_ptr(), file) >= 0
        );
        println!(
            "not wide {} {}",
            fwide(file, 1),
            fputwc('x' as Wide, file) == u32::MAX
        );
        libc::fclose(file);
    }
}

fn facts() {
    let items = (0..46).map(|at| libc::ABDAY_1 + at);
    let others = [
        libc::CODESET,
        libc::RADIXCHAR,
        libc::THOUSEP,
        libc::YESEXPR,
        libc::NOEXPR,
        libc::CRNCYSTR,
    ];
    for item in items.chain(others) {
        // SAFETY: it gives a C string for any number.
        let fact = unsafe { CStr::from_ptr(libc::nl_langinfo(item)) };
        println!("fact {item:#x} {fact:?}");
    }
}
