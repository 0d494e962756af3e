//! `longjmp`, and what waits by sets of bits.

use std::ffi::c_int;

unsafe extern "C" {
    fn _setjmp(buf: *mut u64) -> c_int;
    fn longjmp(buf: *mut u64, value: c_int) -> !;
}

/// Stores, jumps back with a value, and returns what the second return gave. In assembly, since Rust knows no function that returns twice.
#[unsafe(naked)]
extern "C" fn leap(_buf: *mut u64, _value: c_int) -> c_int {
    std::arch::naked_asm!(
        "push rbx",
        "push r12",
        "sub rsp, 8",
        "mov rbx, rdi",
        "mov r12d, esi",
        "call {setjmp}",
        "test eax, eax",
        "jnz 2f",
        "mov rdi, rbx",
        "mov esi, r12d",
        // What the jump has to bring back.
        "push rbx",
        "push rbx",
        "call {longjmp}",
        "2:",
        "add rsp, 8",
        "pop r12",
        "pop rbx",
        "ret",
        setjmp = sym _setjmp,
        longjmp = sym longjmp,
    )
}

pub(crate) fn steps() {
    let mut buf = [0_u64; 25];
    println!(
        "leaps {} {}",
        leap(buf.as_mut_ptr(), 7),
        leap(buf.as_mut_ptr(), 0)
    );

    let mut ends = [0; 2];
    // SAFETY: two numbers.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    let ready = |seconds| {
        // SAFETY: sets of bits, for which zeros are values.
        let (mut read, mut write): (libc::fd_set, libc::fd_set) = unsafe { std::mem::zeroed() };
        let mut timeout = libc::timeval {
            tv_sec: seconds,
            tv_usec: 0,
        };
        // SAFETY: descriptors below the size of the sets, and places.
        unsafe {
            libc::FD_SET(ends[0], &mut read);
            libc::FD_SET(ends[1], &mut write);
            let most = ends[1] + 1;
            let count = libc::select(
                most,
                &mut read,
                &mut write,
                std::ptr::null_mut(),
                &mut timeout,
            );
            (
                count,
                libc::FD_ISSET(ends[0], &read),
                libc::FD_ISSET(ends[1], &write),
            )
        }
    };
    println!("empty pipe {:?}", ready(0));
    // SAFETY: a byte.
    assert_eq!(unsafe { libc::write(ends[1], c"x".as_ptr().cast(), 1) }, 1);
    println!("full pipe {:?}", ready(100));
    // SAFETY: no sets.
    let nothing = unsafe {
        let null = std::ptr::null_mut;
        let mut timeout = libc::timeval {
            tv_sec: 0,
            tv_usec: 1000,
        };
        libc::select(0, null(), null(), null(), &mut timeout)
    };
    println!("timeout {nothing}");
    // SAFETY: a set.
    let closed = unsafe {
        let mut set: libc::fd_set = std::mem::zeroed();
        libc::FD_SET(1000, &mut set);
        let mut timeout = libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        };
        libc::select(
            1001,
            &mut set,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &mut timeout,
        )
    };
    println!(
        "closed {closed} {:?}",
        std::io::Error::last_os_error().raw_os_error()
    );
}
