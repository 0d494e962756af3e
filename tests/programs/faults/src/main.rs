//! Ends in the way its argument says. Every function that goes wrong has a name to be found in the report.
#![allow(unsafe_code, reason = "it does what must not be done")]

use std::arch::asm;
use std::hint::black_box;
use std::process::ExitCode;

fn main() -> Result<ExitCode, String> {
    let what = std::env::args().nth(1).unwrap_or_default();
    println!("about to: {what}");
    match what.as_str() {
        "nothing" => {}
        "code" => return Ok(ExitCode::from(42)),
        "exit" => std::process::exit(255),
        "exit in thread" => std::thread::spawn(|| std::process::exit(9))
            .join()
            .unwrap_or(()),
        "error" => return Err("this is the error".into()),
        "panic" => panic!("this is the panic"),
        "panic in thread" => {
            let thread = std::thread::Builder::new().name("worker".into());
            let end = thread
                .spawn(|| panic!("in a thread"))
                .map_err(|error| error.to_string())?
                .join();
            println!("the thread ended with an error: {}", end.is_err());
        }
        "abort" => std::process::abort(),
        "null" => write_null(),
        "null in thread" => {
            let thread = std::thread::Builder::new().name("worker".into());
            let _ = thread
                .spawn(write_null)
                .map_err(|error| error.to_string())?
                .join();
        }
        "stack" => println!("{}", overflow_the_stack(1)),
        "stack in thread" => {
            let thread = std::thread::Builder::new().name("deep".into());
            let thread = thread.spawn(|| println!("{}", overflow_the_stack(1)));
            let _ = thread.map_err(|error| error.to_string())?.join();
        }
        "divide" => divide_by_zero(),
        "illegal" => illegal_instruction(),
        "code write" => write_to_code(),
        "data run" => run_data(),
        "constant write" => write_to_constant(),
        "memory" => use_all_memory(),
        other => return Err(format!("{other:?} is no way to end")),
    }
    println!("after all");
    Ok(ExitCode::SUCCESS)
}

#[inline(never)]
fn write_null() {
    // SAFETY: it is not sound: the test wants the fault.
    unsafe { black_box(std::ptr::without_provenance_mut::<u64>(8)).write_volatile(1) };
}

#[inline(never)]
#[allow(unconditional_recursion, reason = "the test wants the overflow")]
fn overflow_the_stack(depth: u64) -> u64 {
    let frame = black_box([depth; 100]);
    overflow_the_stack(frame[3] + 1) + black_box(frame)[5]
}

#[inline(never)]
fn divide_by_zero() {
    // SAFETY: it is not sound: the test wants the fault. std would check the divisor.
    unsafe {
        asm!("xor edx, edx", "xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _)
    };
}

#[inline(never)]
fn illegal_instruction() {
    // SAFETY: it is not sound: the test wants the fault.
    unsafe { asm!("ud2") };
}

#[inline(never)]
fn write_to_code() {
    let code = black_box(write_to_code as fn() as *mut u8);
    // SAFETY: it is not sound: the test wants the fault.
    unsafe { code.write_volatile(0xc3) };
}

#[inline(never)]
fn write_to_constant() {
    static CONSTANT: [u64; 4] = [1, 2, 3, 4];
    let constant = black_box(CONSTANT.as_ptr().cast_mut());
    // SAFETY: it is not sound: the test wants the fault.
    unsafe { constant.write_volatile(7) };
}

#[inline(never)]
fn run_data() {
    // A `ret` on the heap.
    let data = black_box(vec![0xc3_u8; 64]);
    // SAFETY: it is not sound: the test wants the fault.
    let function = unsafe { std::mem::transmute::<*const u8, fn()>(data.as_ptr()) };
    function();
}

/// Takes memory in pieces and touches it, until there is none.
#[inline(never)]
fn use_all_memory() {
    let mut pieces = Vec::new();
    loop {
        let mut piece = Vec::<u8>::new();
        if let Err(error) = piece.try_reserve_exact(256 << 10) {
            println!("{} pieces, then: {error}", pieces.len());
            break;
        }
        piece.resize(256 << 10, 1);
        pieces.push(piece);
    }
    drop(pieces);
    println!(
        "again: {}",
        Vec::<u8>::new().try_reserve_exact(256 << 10).is_ok()
    );
}
