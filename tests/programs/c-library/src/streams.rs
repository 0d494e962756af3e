//! Streams: files, lines, seeking, putting back, buffers that leave at the end.

use std::ffi::{CStr, c_char, c_int};

unsafe extern "C" {
    static mut stdout: *mut libc::FILE;
}

fn number_at_end() {
    extern "C" fn last() {
        // SAFETY: a C string.
        unsafe { libc::printf(c"from an exit function %d\n".as_ptr(), 1) };
    }
    // SAFETY: a function.
    unsafe { libc::atexit(last) };
}

pub(crate) fn steps() {
    number_at_end();
    // SAFETY: streams that are open, C strings and places of the lengths that are told.
    unsafe {
        let file = libc::fopen(c"lines".as_ptr(), c"w+".as_ptr());
        println!(
            "{}",
            libc::fprintf(file, c"%s %d\n".as_ptr(), c"first".as_ptr(), 1)
        );
        println!(
            "{}",
            libc::fputs(c"second\nthird without end".as_ptr(), file) >= 0
        );
        println!("at {}", libc::ftell(file));
        libc::rewind(file);
        let mut line = [0 as c_char; 64];
        while !libc::fgets(line.as_mut_ptr(), 10, file).is_null() {
            println!("{:?}", CStr::from_ptr(line.as_ptr()));
        }
        println!(
            "end {} error {}",
            libc::feof(file) != 0,
            libc::ferror(file) != 0
        );
        println!("{}", libc::fseek(file, 6, libc::SEEK_SET));
        println!("{} at {}", libc::fgetc(file), libc::ftell(file));
        println!(
            "{} {}",
            libc::ungetc(c_int::from(b'Q'), file),
            libc::fgetc(file)
        );
        println!(
            "{} {}",
            libc::fseek(file, -3, libc::SEEK_END),
            libc::fgetc(file)
        );
        // Reading, then writing where the reading stopped.
        libc::fseek(file, 0, libc::SEEK_CUR);
        println!("{}", libc::fputc(c_int::from(b'!'), file));
        println!("{}", libc::fclose(file));
        println!("{:?}", std::fs::read_to_string("lines"));

        let file = libc::fopen(c"lines".as_ptr(), c"a".as_ptr());
        let big = [b'x'; 10_000];
        println!("{}", libc::fwrite(big.as_ptr().cast(), 100, 100, file));
        println!("{}", libc::fclose(file));
        println!("{:?}", std::fs::metadata("lines").map(|data| data.len()));

        let file = libc::fopen(c"lines".as_ptr(), c"r".as_ptr());
        let mut big = [0_u8; 20_000];
        println!(
            "{} {}",
            libc::fread(big.as_mut_ptr().cast(), 1000, 20, file),
            libc::feof(file)
        );
        println!("{}", libc::fputc(1, file));
        println!("{}", libc::ferror(file) != 0);
        libc::fclose(file);
        println!(
            "{}",
            libc::fopen(c"missing".as_ptr(), c"r".as_ptr()).is_null()
        );
        println!(
            "{}",
            libc::fopen(c"lines".as_ptr(), c"wx".as_ptr()).is_null()
        );
        println!(
            "{}",
            libc::fopen(c"lines".as_ptr(), c"q".as_ptr()).is_null()
        );

        let file = libc::fopen(c"lines".as_ptr(), c"r".as_ptr());
        let (mut text, mut len) = (std::ptr::null_mut(), 0);
        println!(
            "{} {}",
            libc::getline(&raw mut text, &raw mut len, file),
            len > 7
        );
        println!("{:?}", CStr::from_ptr(text));
        libc::free(text.cast());
        libc::fclose(file);

        libc::printf(c"to the standard output: %5.2f\n".as_ptr(), 2.345);
        libc::puts(c"a line".as_ptr());
        // Stays in the buffer until the program ends, or until all is flushed.
        libc::fputs(c"half a line, ".as_ptr(), stdout);
        libc::fflush(std::ptr::null_mut());
        println!("and the other half");
    }
}
