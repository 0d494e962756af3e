//! Dates as text, sorting, temporary names.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

pub(crate) fn steps() {
    // SAFETY: no other thread reads the environment.
    unsafe { std::env::set_var("TZ", "UTC") };
    let formats = [
        "%a %A %b %B %c",
        "%C %d %D %e %F",
        "%g %G %V %u %w",
        "%H %I %j %k %l",
        "%m %M %n %p %P",
        "%r %R %s %S",
        "%T %U %W %x %X",
        "%y %Y %z %%",
        "%-d %_m %0e",
    ];
    // 1970, leap days, the turns of years whose weeks belong to others, before 1970.
    let times = [
        0,
        951_782_400,
        1_230_768_000,
        1_419_984_000,
        1_451_606_399,
        1_483_228_800,
        1_735_689_599,
        -86_401,
        4_102_444_799,
    ];
    for time in times {
        for format in formats {
            let format = CString::new(format).unwrap();
            let mut out = [0 as c_char; 200];
            // SAFETY: a date, and places.
            let len = unsafe {
                let mut date: libc::tm = std::mem::zeroed();
                libc::gmtime_r(&raw const time, &raw mut date);
                libc::strftime(
                    out.as_mut_ptr(),
                    out.len(),
                    format.as_ptr(),
                    &raw const date,
                )
            };
            // SAFETY: ended with a zero.
            println!("{time} {len} {:?}", unsafe { CStr::from_ptr(out.as_ptr()) });
        }
    }

    extern "C" fn compare(a: *const c_void, b: *const c_void) -> c_int {
        // SAFETY: elements of the array below.
        unsafe { (*a.cast::<c_int>()).cmp(&*b.cast()) as c_int }
    }
    let mut numbers: [c_int; 7] = [5, -3, 9, 0, 5, 1, -8];
    // SAFETY: seven elements of four bytes.
    unsafe { libc::qsort(numbers.as_mut_ptr().cast(), 7, 4, Some(compare)) };
    println!("{numbers:?}");

    let mut name = *b"name-XXXXXX\0";
    // SAFETY: a C string that can be written.
    let descriptor = unsafe { libc::mkstemp(name.as_mut_ptr().cast()) };
    println!("{} {}", descriptor >= 0, &name[5..11] != b"XXXXXX");
    // SAFETY: as above.
    println!("{}", unsafe { libc::mkstemp(name.as_mut_ptr().cast()) });
    let mut name = *b"folder-XXXXXX\0";
    // SAFETY: as above.
    println!("{}", unsafe {
        !libc::mkdtemp(name.as_mut_ptr().cast()).is_null()
    });
    // SAFETY: a C string.
    println!("{:?}", unsafe {
        CStr::from_ptr(libc::setlocale(libc::LC_ALL, c"C".as_ptr()))
    });
}
