//! Streams over functions of the program: `fopencookie`.

use std::ffi::{c_char, c_int, c_void};

#[repr(C)]
struct Functions {
    read: Option<extern "C" fn(*mut c_void, *mut c_char, usize) -> isize>,
    write: Option<extern "C" fn(*mut c_void, *const c_char, usize) -> isize>,
    seek: Option<extern "C" fn(*mut c_void, *mut i64, c_int) -> c_int>,
    close: Option<extern "C" fn(*mut c_void) -> c_int>,
}

unsafe extern "C" {
    fn fopencookie(
        cookie: *mut c_void,
        mode: *const c_char,
        functions: Functions,
    ) -> *mut libc::FILE;
}

#[derive(Default)]
struct Cookie {
    bytes: Vec<u8>,
    place: usize,
    is_closed: bool,
}

fn of<'a>(cookie: *mut c_void) -> &'a mut Cookie {
    // SAFETY: the streams below are made with this type, and each call has it alone.
    unsafe { &mut *cookie.cast() }
}

extern "C" fn read(cookie: *mut c_void, out: *mut c_char, len: usize) -> isize {
    let cookie = of(cookie);
    let rest = &cookie.bytes[cookie.place.min(cookie.bytes.len())..];
    // In small pieces.
    let count = rest.len().min(len).min(5);
    // SAFETY: there is room for `len` bytes.
    unsafe { out.cast::<u8>().copy_from(rest.as_ptr(), count) };
    cookie.place += count;
    count as isize
}

extern "C" fn write(cookie: *mut c_void, data: *const c_char, len: usize) -> isize {
    let cookie = of(cookie);
    // SAFETY: so many bytes can be read.
    let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) };
    cookie.bytes.truncate(cookie.place);
    cookie.bytes.extend(data.iter().map(u8::to_ascii_uppercase));
    cookie.place = cookie.bytes.len();
    len as isize
}

extern "C" fn seek(cookie: *mut c_void, place: *mut i64, whence: c_int) -> c_int {
    let cookie = of(cookie);
    let base = match whence {
        libc::SEEK_SET => 0,
        libc::SEEK_CUR => cookie.place as i64,
        _ => cookie.bytes.len() as i64,
    };
    // SAFETY: the stream's place.
    unsafe { *place += base };
    // SAFETY: as above.
    match usize::try_from(unsafe { *place }) {
        Ok(place) => cookie.place = place,
        Err(_) => return -1,
    }
    0
}

extern "C" fn close(cookie: *mut c_void) -> c_int {
    of(cookie).is_closed = true;
    0
}

pub(crate) fn steps() {
    let mut cookie = Cookie::default();
    let pointer = (&raw mut cookie).cast();
    let functions = Functions {
        read: Some(read),
        write: Some(write),
        seek: Some(seek),
        close: Some(close),
    };
    // SAFETY: streams of ours with functions of ours, C strings, and buffers of the lengths that are told.
    unsafe {
        let file = fopencookie(pointer, c"w+".as_ptr(), functions);
        println!(
            "printed {}",
            libc::fprintf(file, c"line %d\nand another\n".as_ptr(), 1)
        );
        println!(
            "flushed {} {}",
            libc::fflush(file),
            String::from_utf8_lossy(&of(pointer).bytes)
        );
        println!(
            "sought {} {}",
            libc::fseek(file, 5, libc::SEEK_SET),
            libc::ftell(file)
        );
        let mut line = [0 as c_char; 32];
        let read = libc::fgets(line.as_mut_ptr(), 32, file);
        println!(
            "read {} {:?}",
            read.is_null(),
            std::ffi::CStr::from_ptr(line.as_ptr())
        );
        let mut buf = [0_u8; 64];
        println!(
            "the rest {} end {}",
            libc::fread(buf.as_mut_ptr().cast(), 1, 64, file),
            libc::feof(file) != 0
        );
        println!("closed {} {}", libc::fclose(file), of(pointer).is_closed);
        let none = Functions {
            read: None,
            write: None,
            seek: None,
            close: None,
        };
        let file = fopencookie(std::ptr::null_mut(), c"r+".as_ptr(), none);
        println!(
            "nothing to read {} end {}",
            libc::fgetc(file),
            libc::feof(file) != 0
        );
        println!("an error {}", libc::ferror(file) != 0);
        println!("no place {}", libc::fseek(file, 0, libc::SEEK_SET));
        println!("closed {}", libc::fclose(file));
        let none = Functions {
            read: None,
            write: None,
            seek: None,
            close: None,
        };
        println!(
            "no mode {}",
            fopencookie(std::ptr::null_mut(), c"x".as_ptr(), none).is_null()
        );
    }
}
