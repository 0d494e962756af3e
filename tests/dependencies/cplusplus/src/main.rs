//! C++ with its library: each step shows what came of it, the same here as on the host.

use std::ffi::c_int;

unsafe extern "C" {
    safe fn steps() -> c_int;
    safe fn call_back(function: extern "C-unwind" fn(c_int) -> c_int) -> c_int;
}

/// Called from C++.
extern "C-unwind" fn doubled(number: c_int) -> c_int {
    2 * number
}

fn main() {
    println!("steps of C++ that failed: {}", steps());
    println!("through Rust and back: {}", call_back(doubled));
    println!("all done");
}
