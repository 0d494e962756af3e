//! Code that the program makes while it runs, as compilers at run time do: its faults are signals, and panics unwind through it.

use std::ffi::{c_int, c_void};
use std::mem::transmute;

use crate::signals::handle;

unsafe extern "C" {
    fn __register_frame(section: *const c_void);
    fn __deregister_frame(section: *const c_void);
}

/// Memory with these instructions; they stay.
fn made(code: &[u8]) -> *const c_void {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: memory of its own, which holds the code.
    unsafe {
        let memory = libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0);
        assert_ne!(memory, libc::MAP_FAILED);
        memory
            .cast::<u8>()
            .copy_from_nonoverlapping(code.as_ptr(), code.len());
        let result = libc::mprotect(memory, 4096, libc::PROT_READ | libc::PROT_EXEC);
        assert_eq!(result, 0);
        memory
    }
}

/// Where the handler goes on: at `mov eax, -1; ret` of [`with_trap`].
const TRAP: i64 = 16;

/// `mov eax, [rdi]; ret`, or what else faults, then the way out.
fn with_trap(code: &[u8]) -> extern "C" fn(usize) -> i32 {
    let mut all = vec![0xCC; TRAP as usize];
    all[..code.len()].copy_from_slice(code);
    all.extend([0xB8, 0xFF, 0xFF, 0xFF, 0xFF, 0xC3]);
    // SAFETY: a function that keeps to the convention.
    unsafe { transmute::<*const c_void, extern "C" fn(usize) -> i32>(made(&all)) }
}

extern "C" fn trap(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the arguments of a handler with SA_SIGINFO.
    let (address, context) = unsafe {
        (
            (*info).si_addr() as usize,
            &mut *context.cast::<libc::ucontext_t>(),
        )
    };
    let rip = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    let is_at_code = address as i64 == *rip;
    println!("signal {signal} at its code: {is_at_code}");
    *rip = (*rip & !0xFFF) + TRAP;
}

pub(crate) fn faults() {
    for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE] {
        handle(signal, trap);
    }
    let read = with_trap(&[0x8B, 0x07, 0xC3]);
    let value = 7;
    println!("read {}", read(&raw const value as usize));
    println!("read nothing: {}", read(8));
    println!("illegal: {}", with_trap(&[0x0F, 0x0B])(0));
    // xor edx, edx; div edi
    println!("divided: {}", with_trap(&[0x31, 0xD2, 0xF7, 0xF7])(0));
    let worker = std::thread::spawn(move || read(8));
    println!("in a thread: {}", worker.join().unwrap());
}

extern "C-unwind" fn panics() {
    panic!("beyond made code");
}

pub(crate) fn unwinds() {
    type Call = extern "C-unwind" fn(extern "C-unwind" fn());
    // sub rsp, 8; call rdi; add rsp, 8; ret
    let code = made(&[0x48, 0x83, 0xEC, 8, 0xFF, 0xD7, 0x48, 0x83, 0xC4, 8, 0xC3]);
    // SAFETY: a function that keeps to the convention.
    let call = unsafe { transmute::<*const c_void, Call>(code) };
    // A CIE: version 1, nothing more, by 1 and by -8, back at register 16; the frame is at rsp + 8, the way back at its -8.
    let mut frames = vec![
        16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0x78, 16, 0x0C, 7, 8, 0x90, 1, 0, 0,
    ];
    // An FDE: after the first instruction it is at rsp + 16.
    frames.extend([28, 0, 0, 0, 24, 0, 0, 0]);
    frames.extend((code as usize).to_ne_bytes());
    frames.extend(11_usize.to_ne_bytes());
    frames.extend([0x44, 0x0E, 16, 0, 0, 0, 0, 0]);
    frames.extend([0; 4]);
    let frames = frames.leak().as_ptr().cast::<c_void>();
    // SAFETY: frames as they are laid down, which stay.
    unsafe { __register_frame(frames) };
    let end = std::panic::catch_unwind(|| call(panics));
    println!("caught: {}", end.is_err());
    // SAFETY: they were told of.
    unsafe { __deregister_frame(frames) };
    // Nobody knows its frames now.
    let _ = std::panic::catch_unwind(|| call(panics));
    println!("not reached");
}
