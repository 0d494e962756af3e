//! Addresses as text, tables that are searched, wide characters, and what else C code finds beside the standard functions.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_void};
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ptr::{null, null_mut};

type Compare = extern "C" fn(*const c_int, *const c_int) -> c_int;

unsafe extern "C" {
    fn inet_pton(family: c_int, text: *const c_char, to: *mut c_void) -> c_int;
    fn inet_ntop(family: c_int, from: *const c_void, to: *mut c_char, len: u32) -> *const c_char;
    fn inet_aton(text: *const c_char, to: *mut u32) -> c_int;
    fn inet_addr(text: *const c_char) -> u32;
    fn inet_ntoa(address: u32) -> *const c_char;
    safe fn htons(number: u16) -> u16;
    safe fn ntohl(number: u32) -> u32;
    fn getnameinfo(
        address: *const c_void,
        len: u32,
        host: *mut c_char,
        host_len: u32,
        service: *mut c_char,
        service_len: u32,
        flags: c_int,
    ) -> c_int;
    fn gethostbyname(name: *const c_char) -> *const HostEntry;
    fn lfind(
        key: *const c_int,
        base: *const c_int,
        count: *mut usize,
        size: usize,
        compare: Compare,
    ) -> *const c_int;
    fn lsearch(
        key: *const c_int,
        base: *mut c_int,
        count: *mut usize,
        size: usize,
        compare: Compare,
    ) -> *const c_int;
    fn tsearch(key: *const c_int, root: *mut *mut c_void, compare: Compare) -> *const *const c_int;
    fn tfind(key: *const c_int, root: *const *mut c_void, compare: Compare) -> *const *const c_int;
    fn tdelete(key: *const c_int, root: *mut *mut c_void, compare: Compare) -> *const c_void;
    fn twalk(root: *const c_void, visit: extern "C" fn(*const *const c_int, c_int, c_int));
    fn hcreate(count: usize) -> c_int;
    fn hsearch(entry: Entry, action: c_int) -> *const Entry;
    fn hdestroy();
    fn mbrtowc(to: *mut i32, from: *const c_char, len: usize, state: *mut c_void) -> usize;
    fn wcrtomb(to: *mut c_char, wide: i32, state: *mut c_void) -> usize;
    fn wcscmp(first: *const i32, second: *const i32) -> c_int;
    fn wcsstr(text: *const i32, part: *const i32) -> *const i32;
    fn wcschr(text: *const i32, wide: i32) -> *const i32;
    safe fn iswalpha(wide: c_uint) -> c_int;
    safe fn towupper(wide: c_uint) -> c_uint;
    fn wctype(name: *const c_char) -> u64;
    safe fn iswctype(wide: c_uint, kind: u64) -> c_int;
    fn nrand48(state: *mut u16) -> c_long;
    fn jrand48(state: *mut u16) -> c_long;
    fn erand48(state: *mut u16) -> f64;
    fn getsubopt(
        text: *mut *mut c_char,
        tokens: *const *const c_char,
        value: *mut *mut c_char,
    ) -> c_int;
    fn strtod_l(text: *const c_char, end: *mut *mut c_char, locale: *mut c_void) -> f64;
    fn newlocale(mask: c_int, name: *const c_char, base: *mut c_void) -> *mut c_void;
    fn __strncpy_chk(to: *mut c_char, from: *const c_char, len: usize, size: usize) -> *mut c_char;
    fn __pread_chk(
        descriptor: c_int,
        buf: *mut c_void,
        len: usize,
        offset: i64,
        size: usize,
    ) -> isize;
    fn scandir(
        path: *const c_char,
        list: *mut *mut *mut libc::dirent,
        select: Option<extern "C" fn(*const libc::dirent) -> c_int>,
        compare: Option<
            unsafe extern "C" fn(*mut *const libc::dirent, *mut *const libc::dirent) -> c_int,
        >,
    ) -> c_int;
    fn alphasort(first: *mut *const libc::dirent, second: *mut *const libc::dirent) -> c_int;
    safe fn isnan(x: f64) -> c_int;
    safe fn __fpclassify(x: f64) -> c_int;
    safe fn ilogb(x: f64) -> c_int;
    safe fn logb(x: f64) -> f64;
    safe fn fegetround() -> c_int;
    safe fn fesetround(way: c_int) -> c_int;
    safe fn nearbyint(x: f64) -> f64;
    safe fn feclearexcept(which: c_int) -> c_int;
    safe fn feraiseexcept(which: c_int) -> c_int;
    safe fn fetestexcept(which: c_int) -> c_int;
}

#[repr(C)]
struct HostEntry {
    name: *const c_char,
    aliases: *const *const c_char,
    family: c_int,
    len: c_int,
    addresses: *const *const [u8; 4],
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    key: *const c_char,
    data: *mut c_void,
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

fn text(place: *const c_char) -> String {
    if place.is_null() {
        return "null".into();
    }
    // SAFETY: a C string.
    unsafe { CStr::from_ptr(place) }
        .to_string_lossy()
        .into_owned()
}

pub(crate) fn steps() {
    addresses();
    names();
    lists();
    trees();
    hashes();
    wide();
    others();
    folders();
    numbers();
}

fn addresses() {
    for one in [
        "10.0.2.15",
        "10.0.2",
        "256.1.1.1",
        "",
        "::1",
        "0x7f.1",
        "1.2.3.4.5",
        "08.1.1.1",
    ] {
        let (mut four, mut six, mut any) = ([0u8; 4], [0u8; 16], 0u32);
        // SAFETY: C strings, and places large enough.
        let found = unsafe {
            (
                inet_pton(libc::AF_INET, c(one).as_ptr(), four.as_mut_ptr().cast()),
                inet_pton(libc::AF_INET6, c(one).as_ptr(), six.as_mut_ptr().cast()),
                inet_aton(c(one).as_ptr(), &raw mut any),
                inet_addr(c(one).as_ptr()),
            )
        };
        println!("address {one:?}: {found:?} {four:?} {:?} {any:x}", six[15]);
    }
    let mut room = [0; 46];
    let (four, six) = (
        Ipv4Addr::new(192, 0, 2, 1).octets(),
        "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets(),
    );
    // SAFETY: addresses of their families, and the room's length.
    unsafe {
        println!(
            "{}",
            text(inet_ntop(
                libc::AF_INET,
                four.as_ptr().cast(),
                room.as_mut_ptr(),
                46
            ))
        );
        println!(
            "{}",
            text(inet_ntop(
                libc::AF_INET6,
                six.as_ptr().cast(),
                room.as_mut_ptr(),
                46
            ))
        );
        println!(
            "{}",
            text(inet_ntop(
                libc::AF_INET,
                four.as_ptr().cast(),
                room.as_mut_ptr(),
                9
            ))
        );
        println!("{}", text(inet_ntoa(u32::from_ne_bytes(four))));
    }
    println!("order {:x} {:x}", htons(0x1234), ntohl(0x1234_5678));
}

fn names() {
    // SAFETY: a structure of integers, for which zeros are values.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as u16;
    address.sin_addr.s_addr = u32::from_ne_bytes([192, 0, 2, 7]);
    address.sin_port = 443u16.to_be();
    for (flags, room) in [
        (libc::NI_NUMERICHOST | libc::NI_NUMERICSERV, 64),
        (libc::NI_NUMERICHOST, 64),
        (libc::NI_NUMERICHOST, 5),
    ] {
        let (mut host, mut service) = ([0; 64], [0; 64]);
        // SAFETY: an address and its length, and places with theirs.
        let result = unsafe {
            getnameinfo(
                (&raw const address).cast(),
                16,
                host.as_mut_ptr(),
                room,
                service.as_mut_ptr(),
                64,
                flags,
            )
        };
        println!("name {result}");
        if result == 0 {
            println!("of {} {}", text(host.as_ptr()), text(service.as_ptr()));
        }
    }
    // SAFETY: one thread asks; the entry stays until it does so again.
    unsafe {
        let entry = gethostbyname(c("127.0.0.1").as_ptr()).as_ref();
        let entry = entry.map(|entry| {
            let first = entry.addresses.read();
            (
                text(entry.name),
                entry.family,
                entry.len,
                first.read(),
                entry.addresses.add(1).read().is_null(),
            )
        });
        println!("host {entry:?}");
    }
}

extern "C" fn compare(first: *const c_int, second: *const c_int) -> c_int {
    // SAFETY: both are numbers of ours.
    unsafe { (*first).cmp(&*second) as c_int }
}

fn lists() {
    let mut numbers = [3, 1, 2, 0];
    let mut count = 3;
    // SAFETY: as many entries as it says, with room for one more.
    unsafe {
        let find = |key: c_int, count: &mut usize, numbers: &[c_int; 4]| {
            lfind(&raw const key, numbers.as_ptr(), count, 4, compare).is_null()
        };
        println!(
            "in the list {} {}",
            find(2, &mut count, &numbers),
            find(9, &mut count, &numbers)
        );
        let key = 9;
        let added = lsearch(
            &raw const key,
            numbers.as_mut_ptr(),
            &raw mut count,
            4,
            compare,
        );
        println!("added {} {count} {numbers:?}", *added);
    }
}

extern "C" fn visit(node: *const *const c_int, order: c_int, _depth: c_int) {
    if order == 1 || order == 3 {
        // SAFETY: a node's first field is its key.
        print!("{} ", unsafe { **node });
    }
}

fn trees() {
    let keys: Vec<c_int> = (0..200).map(|n| n * 37 % 200).collect();
    let mut root = null_mut();
    // SAFETY: keys that stay, and a tree of ours.
    unsafe {
        for key in &keys {
            tsearch(key, &raw mut root, compare);
        }
        let again = tsearch(&keys[7], &raw mut root, compare);
        println!(
            "again the same {}",
            std::ptr::eq(*again, &raw const keys[7])
        );
        for key in keys.iter().filter(|key| **key % 5 != 0) {
            if tdelete(key, &raw mut root, compare).is_null() {
                println!("{key} is not there");
            }
        }
        let (there, gone) = (10, 11);
        println!(
            "found {} {}",
            tfind(&raw const there, &raw const root, compare).is_null(),
            tfind(&raw const gone, &raw const root, compare).is_null()
        );
        twalk(root, visit);
        println!();
    }
}

fn hashes() {
    let (one, two) = (c("one"), c("two"));
    let entry = |key: &CString, data: usize| Entry {
        key: key.as_ptr(),
        data: data as *mut c_void,
    };
    // SAFETY: keys that stay as long as the table.
    unsafe {
        println!("table {}", hcreate(10) != 0);
        hsearch(entry(&one, 1), 1);
        println!("kept {}", (*hsearch(entry(&one, 5), 1)).data as usize);
        println!("none {}", hsearch(entry(&two, 0), 0).is_null());
        println!("error {:?}", std::io::Error::last_os_error().raw_os_error());
        hdestroy();
    }
}

fn wide() {
    let words = |text: &str| -> Vec<i32> { text.chars().map(|c| c as i32).chain([0]).collect() };
    let (long, part) = (words("hello"), words("lo"));
    let (mut wide, mut byte) = (0, 0);
    // SAFETY: strings that end with zeros, and places of ours.
    unsafe {
        println!(
            "to wide {} {wide}",
            mbrtowc(&raw mut wide, c("xy").as_ptr(), 2, null_mut())
        );
        println!(
            "end {}",
            mbrtowc(&raw mut wide, c("").as_ptr(), 1, null_mut())
        );
        println!(
            "to bytes {} {byte}",
            wcrtomb(&raw mut byte, 'q' as i32, null_mut())
        );
        println!("order {}", wcscmp(long.as_ptr(), part.as_ptr()) < 0);
        println!(
            "part at {}",
            wcsstr(long.as_ptr(), part.as_ptr()).offset_from(long.as_ptr())
        );
        println!("none {}", wcschr(long.as_ptr(), 'z' as i32).is_null());
        let digits = wctype(c("digit").as_ptr());
        println!(
            "kinds {} {}",
            iswctype('5'.into(), digits) != 0,
            iswctype('x'.into(), digits) != 0
        );
        println!("no kind {}", wctype(c("odd").as_ptr()));
    }
    println!(
        "{} {}",
        iswalpha('x'.into()) != 0,
        iswalpha('1'.into()) != 0
    );
    println!("{}", towupper('x'.into()));
}

fn others() {
    let mut state = [1, 2, 3];
    // SAFETY: three numbers.
    unsafe {
        println!(
            "{} {} {:?}",
            nrand48(state.as_mut_ptr()),
            jrand48(state.as_mut_ptr()),
            state
        );
        println!("{:.12}", erand48(state.as_mut_ptr()));
    }
    let tokens = [c("ro"), c("size")];
    let places = [tokens[0].as_ptr(), tokens[1].as_ptr(), null()];
    let line = c("ro,size=10,other=x").into_raw();
    let mut rest = line;
    // SAFETY: a string that can be written, and a list that ends with null.
    unsafe {
        for _ in 0..3 {
            let mut value = null_mut();
            let which = getsubopt(&raw mut rest, places.as_ptr(), &raw mut value);
            println!("option {which} {}", text(value));
        }
        drop(CString::from_raw(line));
        let locale = newlocale(libc::LC_ALL_MASK, c("C").as_ptr(), null_mut());
        println!("{}", strtod_l(c("2.5").as_ptr(), null_mut(), locale));
        let mut room = [0; 8];
        __strncpy_chk(room.as_mut_ptr(), c("abc").as_ptr(), 4, 8);
        println!("{}", text(room.as_ptr()));
        let mut bytes = [0u8; 4];
        println!("{}", __pread_chk(-1, bytes.as_mut_ptr().cast(), 4, 0, 4));
    }
}

fn folders() {
    let folder = std::env::temp_dir().join("c-library-tables");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["b", "a", "c"] {
        std::fs::write(folder.join(name), name).unwrap();
    }
    extern "C" fn is_plain(entry: *const libc::dirent) -> c_int {
        // SAFETY: an entry.
        c_int::from(unsafe { (*entry).d_name[0] } != b'.' as c_char)
    }
    let mut list = null_mut();
    // SAFETY: a C string and functions on entries; what comes is ours to free.
    unsafe {
        let count = scandir(
            c(folder.to_str().unwrap()).as_ptr(),
            &raw mut list,
            Some(is_plain),
            Some(alphasort),
        );
        println!("entries {count}");
        for at in 0..usize::try_from(count).unwrap_or(0) {
            let entry = list.add(at).read();
            println!("{}", text((*entry).d_name.as_ptr()));
            libc::free(entry.cast());
        }
        libc::free(list.cast());
        println!(
            "{}",
            scandir(c("/no such").as_ptr(), &raw mut list, None, None)
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// `long double` from one or two `double`s and back, as C calls it.
macro_rules! long_double {
    ($name:ident($x:expr $(, $y:expr)?)) => {{
        unsafe extern "C" {
            fn $name();
        }
        let numbers: [f64; 2] = [$x, 0.0 $(+ $y)?];
        let mut result = 0.0f64;
        // SAFETY: the numbers are where C puts them, and the stack is aligned and left as it was.
        unsafe {
            std::arch::asm!(
                "mov r12, rsp",
                "and rsp, -16",
                "sub rsp, 32",
                "fld qword ptr [r13]",
                "fstp tbyte ptr [rsp]",
                "fld qword ptr [r13 + 8]",
                "fstp tbyte ptr [rsp + 16]",
                "call {function}",
                "mov rsp, r12",
                "fstp qword ptr [r14]",
                function = sym $name,
                in("r13") &raw const numbers,
                in("r14") &raw mut result,
                out("r12") _,
                clobber_abi("C"),
            );
        }
        result
    }};
}

fn numbers() {
    println!(
        "{} {} {}",
        isnan(f64::NAN) != 0,
        __fpclassify(0.0),
        __fpclassify(1e-310)
    );
    println!("{} {} {}", ilogb(10.0), ilogb(0.0), logb(0.1));
    for way in [0, 0x400, 0x800, 0xC00, 7] {
        let is_set = fesetround(way) == 0;
        println!(
            "{is_set} {:x} {} {}",
            fegetround(),
            nearbyint(black_box(2.5)),
            nearbyint(black_box(-2.5))
        );
    }
    fesetround(0);
    feclearexcept(0x3D);
    feraiseexcept(4);
    println!("raised {} {}", fetestexcept(4) != 0, fetestexcept(8) != 0);
    feclearexcept(0x3D);
    println!(
        "{} {}",
        long_double!(sqrtl(2.25)),
        long_double!(floorl(-1.5))
    );
    println!(
        "{} {}",
        long_double!(powl(2.0, 10.0)),
        long_double!(fmodl(10.5, 4.0))
    );
}
