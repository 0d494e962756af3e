//! Contexts: functions that give each other the word, each on a stack of its own.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

#[repr(C, align(16))]
struct Context {
    flags: u64,
    link: *mut Context,
    stack: *mut c_void,
    stack_flags: c_int,
    stack_len: usize,
    rest: [u64; 128],
}

unsafe extern "C" {
    fn getcontext(context: *mut Context) -> c_int;
    fn swapcontext(kept: *mut Context, next: *const Context) -> c_int;
    fn makecontext(context: *mut Context, function: extern "C" fn(), count: c_int, ...);
}

struct Place(UnsafeCell<[Context; 2]>);

// SAFETY: one thread uses it.
unsafe impl Sync for Place {}

const EMPTY: Context = Context {
    flags: 0,
    link: null_mut(),
    stack: null_mut(),
    stack_flags: 0,
    stack_len: 0,
    rest: [0; 128],
};
static CONTEXTS: Place = Place(UnsafeCell::new([EMPTY, EMPTY]));

fn place(at: usize) -> *mut Context {
    CONTEXTS.0.get().cast::<Context>().wrapping_add(at)
}

extern "C" fn speak(a: c_int, b: c_int, c: c_int, d: c_int, e: c_int, f: c_int, g: c_int) {
    println!("with {a} {b} {c} {d} {e} {f} {g}");
    let half = f64::from(g) / 2.0;
    // SAFETY: both contexts are there.
    unsafe { swapcontext(place(1), place(0)) };
    println!("once more: {half}");
}

pub(crate) fn steps() {
    let mut stack = vec![0u8; 256 << 10];
    // SAFETY: contexts of ours; the stack stays until the function has returned. The function takes as many numbers as are said.
    unsafe {
        println!("kept {}", getcontext(place(1)));
        (*place(1)).stack = stack.as_mut_ptr().cast();
        (*place(1)).stack_len = stack.len();
        (*place(1)).link = place(0);
        let function = std::mem::transmute::<
            extern "C" fn(c_int, c_int, c_int, c_int, c_int, c_int, c_int),
            extern "C" fn(),
        >(speak);
        makecontext(place(1), function, 7, 1, 2, 3, 4, 5, 6, 7);
        println!("there and back {}", swapcontext(place(0), place(1)));
        println!("and again {}", swapcontext(place(0), place(1)));
    }
    println!("it has returned");
}
