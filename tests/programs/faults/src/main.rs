//! Ends in the way its argument says. Every function that goes wrong has a name to be found in the report.
#![allow(unsafe_code, reason = "it does what must not be done")]

mod exhausted;
mod made_code;
mod signals;

use std::arch::asm;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Mutex;

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
        "null read" => println!("read {}", read_null()),
        "null in thread" => in_thread(write_null)?,
        "divide in thread" => in_thread(divide_by_zero)?,
        "illegal in thread" => in_thread(illegal_instruction)?,
        "code write in thread" => in_thread(write_to_code)?,
        "data run in thread" => in_thread(run_data)?,
        "general in thread" => in_thread(read_far)?,
        "simd in thread" => in_thread(simd_error)?,
        "x87 in thread" => in_thread(x87_error)?,
        "x87 late in thread" => in_thread(x87_error_late)?,
        "memory of the kernel in thread" => in_thread(|| copy_to_null(16))?,
        "drops" => drops(),
        "scope" => scope(),
        "signals" => signals::repair(),
        "signal for who was there before" => signals::pass_on(),
        "signal for nobody" => signals::raise_for_nobody(),
        "signal on its own stack" => signals::on_its_own_stack(),
        "made code" => made_code::faults(),
        "panic through made code" => made_code::unwinds(),
        "plain" => plain(),
        "many" => many(),
        "stack" => println!("{}", overflow_the_stack(1)),
        "stack in thread" => {
            let thread = std::thread::Builder::new().name("deep".into());
            let thread = thread.spawn(|| println!("{}", overflow_the_stack(1)));
            let _ = thread.map_err(|error| error.to_string())?.join();
        }
        "stack in unnamed thread" => {
            let _ = std::thread::spawn(|| println!("{}", overflow_the_stack(1))).join();
        }
        "divide" => divide_by_zero(),
        "illegal" => illegal_instruction(),
        "code write" => write_to_code(),
        "data run" => run_data(),
        "constant write" => write_to_constant(),
        "memory" => use_all_memory(),
        "high memory" => use_high_memory(),
        "calls without memory" => exhausted::calls(),
        "growth without memory" => exhausted::growth(),
        "touch" => touch_more_than_there_is(),
        "touch in thread" => in_thread(touch_more_than_there_is)?,
        "deep without memory" => {
            let thread = std::thread::Builder::new().stack_size(256 << 20);
            let thread = thread.spawn(|| println!("{}", overflow_the_stack(1)));
            let _ = thread.map_err(|error| error.to_string())?.join();
        }
        other => return Err(format!("{other:?} is no way to end")),
    }
    println!("after all");
    Ok(ExitCode::SUCCESS)
}

/// Has a thread of its own end by a fault, and says what `join` says.
fn in_thread(fault: fn()) -> Result<(), String> {
    let thread = std::thread::Builder::new().name("worker".into());
    let end = thread.spawn(fault).map_err(|error| error.to_string())?;
    match end.join() {
        Ok(()) => println!("no fault"),
        Err(payload) => println!("it ended by {:?}", payload.downcast_ref::<&str>()),
    }
    Ok(())
}

struct Told(&'static str);

impl Drop for Told {
    fn drop(&mut self) {
        println!(
            "{} is dropped, panicking {}",
            self.0,
            std::thread::panicking()
        );
    }
}

/// What waits for the function that faults is dropped, and a lock is given back as after a panic.
fn drops() {
    static LOCK: Mutex<u32> = Mutex::new(0);
    let end = std::thread::spawn(|| {
        let _first = Told("first");
        let mut guard = LOCK.lock().unwrap();
        *guard += 1;
        write_null();
        println!("not reached");
    });
    println!("ended well: {}", end.join().is_ok());
    println!("poisoned: {}", LOCK.lock().is_err());
    let caught = std::thread::spawn(|| {
        let caught = std::panic::catch_unwind(write_null).is_err();
        println!("caught: {caught}");
    });
    println!("went on: {}", caught.join().is_ok());
}

#[inline(never)]
fn write_plainly(to: *mut u64) {
    // SAFETY: it is not sound: the test wants the fault.
    unsafe { *to = 1 };
}

/// The compiler sees that nothing here can panic.
fn plain() {
    let to = black_box(8_usize);
    let end = std::thread::spawn(move || {
        let to = std::ptr::without_provenance_mut(to);
        write_plainly(to);
    });
    println!("ended well: {}", end.join().is_ok());
}

/// A fault beside a thread that borrows: nothing may be freed under it.
fn scope() {
    let end = std::thread::spawn(|| {
        let numbers = vec![7_u64; 1000];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(50));
                println!("sum {}", numbers.iter().sum::<u64>());
            });
            write_null();
        });
    });
    println!("ended well: {}", end.join().is_ok());
}

/// Faults in many threads at once, on all cores, while others compute.
fn many() {
    let threads: Vec<_> = (0..100_u64)
        .map(|index| {
            std::thread::spawn(move || {
                let text = format!("{index}");
                if index % 2 == 0 {
                    write_null();
                }
                text.len() as u64
            })
        })
        .collect();
    let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
    let good: u64 = ends.iter().flatten().sum();
    let bad = ends.iter().filter(|end| end.is_err()).count();
    println!("{bad} faults, {good} digits");
}

#[inline(never)]
fn read_far() {
    // An address that is none: its upper bits differ.
    let far = black_box(std::ptr::without_provenance::<u64>(0x1234_5678_9abc_def0));
    // SAFETY: it is not sound: the test wants the fault.
    unsafe { black_box(far.read_volatile()) };
}

#[inline(never)]
fn simd_error() {
    let control = 0x1F80_u32 & !(1 << 9);
    // SAFETY: it is not sound: the test wants the fault, of a division by zero that is not masked.
    unsafe {
        asm!("push {0}", "ldmxcsr [rsp]", "add rsp, 8", "xorps xmm0, xmm0", "mov eax, 1", "cvtsi2ss xmm1, eax",
            "divss xmm1, xmm0", in(reg) u64::from(control), out("eax") _, out("xmm0") _, out("xmm1") _)
    };
}

#[inline(never)]
fn x87_error() {
    // SAFETY: it is not sound: the test wants the fault, of a division by zero that is not masked.
    unsafe {
        asm!("push {0}", "fldcw [rsp]", "add rsp, 8", "fld1", "fldz", "fdivp", "fwait", in(reg) 0x037B_u64)
    };
}

/// The processor tells of the division only at the next instruction of its kind, and other threads run before that.
#[inline(never)]
fn x87_error_late() {
    let control = 0x037B_u64;
    // SAFETY: it is not sound: the test wants the fault.
    unsafe {
        asm!("push {0}", "fldcw [rsp]", "add rsp, 8", "fld1", "fldz", "fdivp",
            in(reg) control)
    };
    std::thread::sleep(std::time::Duration::from_millis(1));
    println!("slept");
    // SAFETY: as above.
    unsafe { asm!("fwait") };
}

/// The kernel's own `memcpy` meets a null pointer of the program.
#[inline(never)]
fn copy_to_null(len: usize) {
    let bytes = vec![1_u8; 4096];
    let to = black_box(std::ptr::without_provenance_mut::<u8>(16));
    // SAFETY: it is not sound: the test wants the fault.
    unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), black_box(len)) };
}

#[inline(never)]
fn write_null() {
    // SAFETY: it is not sound: the test wants the fault.
    unsafe { black_box(std::ptr::without_provenance_mut::<u64>(8)).write_volatile(1) };
}

/// Reads where a BIOS keeps its data.
#[inline(never)]
fn read_null() -> u16 {
    // SAFETY: it is not sound: the test wants the fault.
    unsafe { black_box(std::ptr::without_provenance::<u16>(0x40E)).read_volatile() }
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
/// Memory of a mapping comes page by page, so there is nobody to be told when there is none left.
#[inline(never)]
fn touch_more_than_there_is() {
    const LEN_BYTES: usize = 256 << 20;
    // With a thread, there is somebody to be asked about faults.
    let _ = std::thread::spawn(|| ()).join();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), LEN_BYTES, access, kind, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED);
    for at in (0..LEN_BYTES).step_by(4096) {
        // SAFETY: within the mapping.
        unsafe { start.cast::<u8>().add(at).write_volatile(1) };
    }
}

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

/// Takes memory by the gibibyte, as high as it goes, and uses the last byte of each.
fn use_high_memory() {
    const GIB: usize = 1 << 30;
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(GIB).is_err() {
            break;
        }
        // Not cleared: that would be the host's memory.
        piece.spare_capacity_mut()[GIB - 1].write(pieces.len() as u8);
        pieces.push(piece);
    }
    let is_kept = pieces.iter_mut().enumerate().all(|(index, piece)| {
        // SAFETY: this byte was written above, and it is the one that is read.
        unsafe { piece.spare_capacity_mut()[GIB - 1].assume_init() == index as u8 }
    });
    assert!(is_kept);
    let highest = pieces.iter().map(|piece| piece.as_ptr().addr()).max();
    println!(
        "memory of {} GiB, of which the last begins beyond 500 GiB: {}",
        pieces.len(),
        highest.is_some_and(|start| start > 500 * GIB)
    );
}
