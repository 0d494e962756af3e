//! Local only until the file family is merged.
use core::ffi::*;
use super::{errno, object};
use crate::error::Errno;
#[unsafe(no_mangle)] unsafe extern "C" fn write(fd: c_int, b: *const u8, n: usize) -> isize { errno::count(object::get(fd).and_then(|d| d.object().write(unsafe{core::slice::from_raw_parts(b,n)}, false))) }
#[unsafe(no_mangle)] unsafe extern "C" fn writev(fd: c_int, v: *const libc::iovec, n: c_int) -> isize { let mut t=0; for i in 0..n as usize { let v=unsafe{&*v.add(i)}; let r=unsafe{write(fd,v.iov_base.cast(),v.iov_len)}; if r<0 {return r} t+=r;} t }
#[unsafe(no_mangle)] unsafe extern "C" fn read(fd: c_int, b: *mut u8, n: usize) -> isize { errno::count(object::get(fd).and_then(|d| d.object().read(unsafe{core::slice::from_raw_parts_mut(b,n)}, false))) }
macro_rules! no { ($($n:ident)*) => { $(#[unsafe(no_mangle)] extern "C" fn $n() -> c_int { errno::set(Errno(libc::ENOSYS)) })* } }
no!(close fstat64 lseek64 open64 stat64 fcntl ioctl lstat64 dup opendir readdir64 closedir fstatat64 openat64);
#[unsafe(no_mangle)] extern "C" fn readlink() -> isize { errno::set(Errno(libc::ENOSYS)) as isize }
#[unsafe(no_mangle)] extern "C" fn realpath() -> usize { errno::set(Errno(libc::ENOSYS)); 0 }
#[unsafe(no_mangle)] extern "C" fn getcwd() -> usize { errno::set(Errno(libc::ENOSYS)); 0 }
