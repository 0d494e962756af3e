//! Three threads run into exceptions: one divides by zero, one writes through a null pointer, one executes what is no instruction.
//! Each of them ends as by a panic; a service beside them goes on. Then a handler of our own repairs what another thread does wrong.
#![allow(
    unsafe_code,
    reason = "what goes wrong here is what safe Rust prevents"
)]

use std::arch::asm;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};
use std::thread;

use toro::exception::{self, Action, Exception, Kind};

/// What the service has answered so far. The thread that faults while it holds the lock poisons it, as a panic does.
static ANSWERS: Mutex<u32> = Mutex::new(0);

fn main() {
    let (requests, service) = start_service();
    for (name, fault) in [
        ("divider", divide_by_zero as fn()),
        ("writer", write_null),
        ("illegal", illegal_instruction),
    ] {
        let thread = thread::Builder::new().name(name.into());
        let worker = thread.spawn(move || {
            let _told_of_its_end = Farewell(name);
            fault();
        });
        let end = worker.expect("a thread").join();
        let payload = end.expect_err("the thread faulted");
        let reason = payload.downcast_ref::<&str>().copied().unwrap_or("?");
        println!("main: '{name}' ended by: {reason}");
        ask(&requests, name);
    }

    exception::set_handler(Kind::DivideError, repair);
    let quotient = thread::spawn(|| divide(42, 0)).join();
    println!("main: 42 / 0 is {quotient:?}, says the handler");

    ask(&requests, "main");
    drop(requests);
    service.join().expect("the service never faulted");
    let answers = ANSWERS.lock().expect("nobody died with this lock");
    println!("main: the service answered {answers} times");
}

/// A thread that answers whatever happens to others.
fn start_service() -> (Sender<(&'static str, Sender<u32>)>, thread::JoinHandle<()>) {
    let (requests, received) = mpsc::channel::<(&'static str, Sender<u32>)>();
    let service = thread::spawn(move || {
        for (from, answer) in received {
            let mut answers = ANSWERS.lock().expect("the lock of the service");
            *answers += 1;
            println!("service: request {answers} is from {from}");
            let _ = answer.send(*answers);
        }
    });
    (requests, service)
}

fn ask(requests: &Sender<(&'static str, Sender<u32>)>, from: &'static str) {
    let (answer, answered) = mpsc::channel();
    requests.send((from, answer)).expect("the service is there");
    answered.recv().expect("the service answers");
}

/// Destructors run when a thread ends by an exception.
struct Farewell(&'static str);

impl Drop for Farewell {
    fn drop(&mut self) {
        println!("{}: dropped what I held", self.0);
    }
}

/// The handler: whoever divides by zero gets 0, and goes on behind the `div`.
fn repair(exception: &mut Exception<'_>) -> Action {
    println!("handler: {exception} in thread {}", exception.thread());
    // SAFETY: the only `div` that fails in this program is the one of `divide`, two bytes long; it may give any quotient.
    let registers = unsafe { exception.registers_mut() };
    registers.rax = 0;
    registers.rdx = 0;
    registers.rip += 2;
    Action::Continue
}

/// As the processor divides. Rust's own `/` would look first, and panic.
#[inline(never)]
fn divide(dividend: u32, divisor: u32) -> u32 {
    let quotient;
    // SAFETY: changes registers alone. It faults if the divisor is 0.
    unsafe {
        asm!("div ecx", in("ecx") divisor, inout("eax") dividend => quotient, inout("edx") 0 => _)
    };
    quotient
}

#[inline(never)]
fn divide_by_zero() {
    black_box(divide(1, black_box(0)));
}

#[inline(never)]
fn write_null() {
    // SAFETY: there is none: this is the mistake.
    unsafe { black_box(std::ptr::null_mut::<u32>()).write_volatile(1) };
}

#[inline(never)]
fn illegal_instruction() {
    // SAFETY: it does nothing but fault.
    unsafe { asm!("ud2") };
}
