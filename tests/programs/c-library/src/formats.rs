//! `snprintf`: every conversion with the flags, widths and precisions that change it.

use std::ffi::{CStr, CString, c_char, c_int};

/// What `snprintf` makes of one argument.
macro_rules! show {
    ($format:expr $(, $argument:expr)*) => {{
        let format = CString::new($format).expect("no zero inside");
        let mut out = [0 as c_char; 600];
        // SAFETY: the arguments are what the format says, and the length is the array's.
        let len = unsafe { libc::snprintf(out.as_mut_ptr(), out.len(), format.as_ptr() $(, $argument)*) };
        // SAFETY: `snprintf` ends what it writes with a zero.
        let text = unsafe { CStr::from_ptr(out.as_ptr()) };
        println!("{:?} -> {len} {:?}", format, text);
    }};
}

const FLAGS: [&str; 9] = ["", "-", "+", " ", "#", "0", "-+", "+0", "#0"];
const SIZES: [&str; 6] = ["", "9", ".0", ".3", "12.5", "1.12"];

pub(crate) fn steps() {
    positions();
    for flags in FLAGS {
        for size in SIZES {
            for value in [0, 1, -1, 42, -123_456, c_int::MAX, c_int::MIN] {
                show!(format!("%{flags}{size}d"), value);
                show!(format!("%{flags}{size}u"), value);
                show!(format!("%{flags}{size}x"), value);
                show!(format!("%{flags}{size}X"), value);
                show!(format!("%{flags}{size}o"), value);
            }
            let doubles = [
                0.0,
                -0.0,
                1.0,
                -2.5,
                0.5,
                1.5,
                123_456.789,
                1e100,
                1.0 / 3.0,
                5e-324,
                f64::MAX,
                0.0001,
                0.000_01,
                999_999.4,
                9.999_999_9,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::NAN,
            ];
            for value in doubles {
                for letter in ["f", "e", "g", "a", "G", "E"] {
                    show!(format!("%{flags}{size}{letter}"), value);
                }
            }
            show!(
                format!("%{}{size}s", flags.replace(['+', '0', '#', ' '], "")),
                c"text".as_ptr()
            );
        }
    }
    show!(
        "%hhd %hd %ld %lld %zu %jd",
        300,
        70_000,
        i64::MIN,
        i64::MAX,
        usize::MAX,
        -1_i64
    );
    show!(
        "%c%c|%5c|%-5c|",
        c_int::from(b'a'),
        c_int::from(b'b'),
        c_int::from(b'c'),
        c_int::from(b'd')
    );
    show!("%*d|%-*d|%.*f", 6, 42, 6, 42, 2, 2.71999);
    show!("%*d|%.*s", -6, 42, -1, c"all".as_ptr());
    show!("%s %.2s", std::ptr::null::<c_char>(), c"abc".as_ptr());
    show!("%p %p", std::ptr::null::<u8>(), 0x1234_usize as *const u8);
    show!("100%% %ls", [0x61_i32, 0x62, 0].as_ptr());
    // More arguments than there are registers.
    show!("%d %d %d %d %d %d %d %d", 1, 2, 3, 4, 5, 6, 7, 8);
    show!(
        "%.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f %d",
        1.0,
        2.0,
        3.0,
        4.0,
        5.0,
        6.0,
        7.0,
        8.0,
        9.0,
        10
    );
    let mut count: c_int = 0;
    show!("four%n", &raw mut count);
    println!("counted {count}");

    // What does not fit is counted, and the rest ends with a zero.
    let mut out = [b'#' as c_char; 6];
    // SAFETY: as above.
    let len = unsafe { libc::snprintf(out.as_mut_ptr(), 4, c"%d".as_ptr(), 123_456) };
    println!("{len} {:?}", out.map(|byte| byte as u8 as char));
    // SAFETY: nothing is written.
    let len = unsafe { libc::snprintf(std::ptr::null_mut(), 0, c"%s".as_ptr(), c"long".as_ptr()) };
    println!("{len}");
}

/// Arguments by position, as translated texts have them.
fn positions() {
    show!("%2$s is %1$d", 5, c"five".as_ptr());
    show!("%1$s %1$s %2$05.1f %1$.2s", c"again".as_ptr(), 2.25);
    show!("%3$*1$d|%3$-*1$d|%4$.*2$f", 6, 2, 42, 1.5);
    show!(
        "%9$d%1$d %2$s %3$c %4$ld %5$x %6$g %7$u %8$p",
        1,
        c"two".as_ptr(),
        c_int::from(b'3'),
        4_i64,
        5,
        6.0,
        7,
        std::ptr::null::<u8>(),
        9
    );
    show!("%1$d%%%2$s", 1, c"per cent".as_ptr());
}
