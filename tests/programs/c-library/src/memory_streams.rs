//! Streams over memory, shared memory by name, paths by pattern, vectored reads with flags, ranges of descriptors.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::null_mut;

unsafe extern "C" {
    fn open_memstream(start: *mut *mut c_char, len: *mut usize) -> *mut libc::FILE;
    fn fmemopen(start: *mut u8, len: usize, mode: *const c_char) -> *mut libc::FILE;
    fn close_range(first: u32, last: u32, flags: c_int) -> c_int;
    fn pathconf(path: *const c_char, name: c_int) -> libc::c_long;
}

pub(crate) fn steps() {
    growing();
    fixed();
    shared();
    paths();
    descriptors();
}

fn growing() {
    let (mut start, mut len) = (null_mut(), 0);
    // SAFETY: places that stay, C strings, a stream that is open.
    unsafe {
        let file = open_memstream(&raw mut start, &raw mut len);
        for number in 0..50 {
            libc::fprintf(file, c"line %d\n".as_ptr(), number as c_int);
        }
        libc::fflush(file);
        println!("{len} {}", CStr::from_ptr(start).count_bytes());
        libc::fseek(file, 5, libc::SEEK_SET);
        libc::fputs(c"X".as_ptr(), file);
        libc::fflush(file);
        println!("{len} {:?}", &CStr::from_ptr(start).to_bytes()[..14]);
        println!("{} {len}", libc::fclose(file));
        libc::free(start.cast());
    }
}

fn fixed() {
    let mut memory = *b"some text here\0\0";
    // SAFETY: memory that stays, C strings, streams that are open.
    unsafe {
        let file = fmemopen(memory.as_mut_ptr(), 14, c"r".as_ptr());
        let mut word = [0 as c_char; 16];
        println!(
            "{}",
            libc::fscanf(file, c"%15s".as_ptr(), word.as_mut_ptr())
        );
        println!("{:?} {}", CStr::from_ptr(word.as_ptr()), libc::ftell(file));
        println!(
            "{} {}",
            libc::fseek(file, -4, libc::SEEK_END),
            libc::fgetc(file)
        );
        libc::fclose(file);
        let file = fmemopen(memory.as_mut_ptr(), 8, c"w".as_ptr());
        println!("{}", libc::fputs(c"abc".as_ptr(), file) >= 0);
        libc::fclose(file);
        println!("{:?}", &memory[..5]);
        let file = fmemopen(memory.as_mut_ptr(), 8, c"a".as_ptr());
        println!("{}", libc::fputs(c"de".as_ptr(), file) >= 0);
        libc::fclose(file);
        println!("{:?}", &memory[..6]);
    }
}

fn shared() {
    let name = c"/test-of-shared-memory";
    // SAFETY: C strings, mappings of the size that is there.
    unsafe {
        libc::shm_unlink(name.as_ptr());
        println!("{}", libc::shm_open(name.as_ptr(), libc::O_RDWR, 0));
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let file = libc::shm_open(name.as_ptr(), flags, 0o600);
        println!(
            "{} {}",
            file >= 0,
            libc::shm_open(name.as_ptr(), flags, 0o600)
        );
        println!("{}", libc::ftruncate(file, 4096));
        println!("{}", libc::pwrite(file, c"shared".as_ptr().cast(), 6, 100));
        let other = libc::shm_open(name.as_ptr(), libc::O_RDONLY, 0);
        let mut buf = [0_u8; 6];
        println!(
            "{} {buf:?}",
            libc::pread(other, buf.as_mut_ptr().cast(), 6, 100)
        );
        println!(
            "{:?}",
            CStr::from_bytes_until_nul(&[&buf[..], b"\0"].concat())
        );
        println!(
            "{} {}",
            libc::shm_unlink(name.as_ptr()),
            libc::shm_unlink(name.as_ptr())
        );
        libc::close(file);
        libc::close(other);
    }
}

fn paths() {
    std::fs::create_dir_all("glob/one/deep").unwrap();
    std::fs::create_dir_all("glob/two").unwrap();
    for name in [
        "glob/a.txt",
        "glob/b.txt",
        "glob/.hidden",
        "glob/one/c.txt",
        "glob/two/c.txt",
        "glob/one/deep/d",
    ] {
        std::fs::write(name, "").unwrap();
    }
    let cases = [
        (c"glob/*.txt", 0),
        (c"glob/*", libc::GLOB_MARK),
        (c"glob/*/c.txt", 0),
        (c"glob/[o-t]*/*", 0),
        (c"glob/.*n", 0),
        (c"glob/nothing*", 0),
        (c"glob/nothing*", libc::GLOB_NOCHECK),
        (c"glob/*/", 0),
        (c"glob/a.txt", 0),
        (c"glob/*/*/d", 0),
    ];
    for (pattern, flags) in cases {
        // SAFETY: a C string, a structure of integers and pointers.
        unsafe {
            let mut found: libc::glob_t = std::mem::zeroed();
            let result = libc::glob(pattern.as_ptr(), flags, None, &raw mut found);
            println!("{pattern:?} {flags}: {result} {}", found.gl_pathc);
            for index in 0..found.gl_pathc {
                println!("  {:?}", CStr::from_ptr(*found.gl_pathv.add(index)));
            }
            libc::globfree(&raw mut found);
        }
    }
    // SAFETY: C strings.
    unsafe {
        println!("{}", pathconf(c"glob".as_ptr(), libc::_PC_NAME_MAX));
        println!("{}", pathconf(c"not there".as_ptr(), libc::_PC_NAME_MAX));
    }
}

fn descriptors() {
    // SAFETY: C strings, buffers of the lengths that are told.
    unsafe {
        let file = libc::open(c"flags".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600);
        let mut text = *b"0123456789";
        let part = libc::iovec {
            iov_base: text.as_mut_ptr().cast(),
            iov_len: 10,
        };
        println!(
            "{}",
            libc::pwritev2(file, &raw const part, 1, 5, libc::RWF_DSYNC)
        );
        println!("{}", libc::pwritev2(file, &raw const part, 1, -1, 0));
        println!("{}", libc::preadv2(file, &raw const part, 1, 8, 0));
        println!(
            "{:?} {}",
            std::str::from_utf8(&text),
            libc::lseek(file, 0, libc::SEEK_CUR)
        );
        println!(
            "{} {}",
            libc::readahead(file, 0, 10),
            libc::readahead(-1, 0, 10)
        );
        println!(
            "{}",
            libc::sync_file_range(file, 0, 0, libc::SYNC_FILE_RANGE_WRITE)
        );
        let first = libc::fcntl(file, libc::F_DUPFD, 200);
        let second = libc::fcntl(file, libc::F_DUPFD, 201);
        println!("{first} {second} {}", close_range(201, 300, 0));
        println!(
            "{} {}",
            libc::fcntl(first, libc::F_GETFD),
            libc::fcntl(second, libc::F_GETFD)
        );
        println!(
            "{} {}",
            close_range(200, u32::MAX, 4),
            libc::fcntl(first, libc::F_GETFD)
        );
        println!("{}", close_range(3, 2, 0));
        println!(
            "{} {}",
            libc::lockf(file, libc::F_LOCK, 0),
            libc::lockf(file, libc::F_TEST, 0)
        );
        let times = libc::utimbuf {
            actime: 1000,
            modtime: 2000,
        };
        println!("{}", libc::utime(c"flags".as_ptr(), &raw const times));
        let mut stat: libc::stat = std::mem::zeroed();
        libc::stat(c"flags".as_ptr(), &raw mut stat);
        println!("{} {}", stat.st_atime, stat.st_mtime);
        libc::close(file);
        println!(
            "{}",
            libc::mknod(c"made".as_ptr(), libc::S_IFREG | 0o600, 0)
        );
        println!(
            "{}",
            libc::mknod(c"made".as_ptr(), libc::S_IFREG | 0o600, 0)
        );
    }
}
