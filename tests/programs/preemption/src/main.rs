//! Threads that compute without a pause, on the one core that the others want too.
#![allow(unsafe_code, reason = "registers are looked at")]

use std::arch::asm;
use std::cell::Cell;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

static IS_OVER: AtomicBool = AtomicBool::new(false);

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("sleep") => sleep(),
        Some("main computes") => main_computes(),
        Some("main computes on a made stack") => main_computes_on_a_made_stack(),
        Some("nothing else") => nothing_else(),
        Some("made code") => made_code(),
        Some("share") => share(),
        Some("made stacks") => made_stacks(),
        Some("registers") => registers(thread_with),
        Some("registers on made stacks") => registers(thread_on_made_stack),
        Some("x87") => x87(),
        Some("stress") => stress(),
        Some("serve") => serve(),
        Some("kernel") => in_the_kernel(),
        other => panic!("{other:?} is no test"),
    }
    println!("after all");
}

/// Computes until it is told to stop, which it looks for without the kernel's help.
fn hog() -> u64 {
    let mut steps = 0_u64;
    while !IS_OVER.load(Ordering::Relaxed) {
        steps = black_box(steps + 1);
    }
    steps
}

/// A thread that sleeps wakes although another computes.
fn sleep() {
    let hog = thread::spawn(hog);
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(10));
    }
    println!("slept");
    IS_OVER.store(true, Ordering::Relaxed);
    println!("steps: {}", hog.join().unwrap() > 0);
}

/// The first thread never waits, not even once: another runs, and ends it.
fn main_computes() {
    thread::spawn(|| IS_OVER.store(true, Ordering::Relaxed));
    hog();
}

/// The same on a stack of the program's own making, where it goes before the timer has come for the first time.
fn main_computes_on_a_made_stack() {
    extern "C" fn compute() {
        hog();
    }
    thread::spawn(|| IS_OVER.store(true, Ordering::Relaxed));
    on_made_stack(compute);
}

/// Nobody else wants the core but devices.
fn nothing_else() {
    println!("computes");
    hog();
}

/// Code that the program made while it runs computes as its other code does.
fn made_code() {
    // 1: inc qword [rsi]; cmp byte [rdi], 0; je 1b; ret
    const CODE: [u8; 9] = [0x48, 0xFF, 0x06, 0x80, 0x3F, 0, 0x74, 0xF8, 0xC3];
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: memory of its own, which holds a function that keeps to the convention.
    let count = unsafe {
        let memory = libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0);
        assert_ne!(memory, libc::MAP_FAILED);
        memory.cast::<[u8; 9]>().write(CODE);
        let result = libc::mprotect(memory, 4096, libc::PROT_READ | libc::PROT_EXEC);
        assert_eq!(result, 0);
        std::mem::transmute::<*mut libc::c_void, extern "C" fn(*const AtomicBool, *const AtomicU64)>(
            memory,
        )
    };
    static STEPS: AtomicU64 = AtomicU64::new(0);
    let hog = thread::spawn(move || count(&raw const IS_OVER, &raw const STEPS));
    thread::sleep(Duration::from_millis(20));
    println!("slept");
    IS_OVER.store(true, Ordering::Relaxed);
    hog.join().unwrap();
    println!("steps: {}", STEPS.load(Ordering::Relaxed) > 0);
}

/// Threads that compute all get on.
fn share() {
    const COUNT: usize = 5;
    static STEPS: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];
    let threads: Vec<_> = STEPS
        .iter()
        .map(|steps| {
            thread::spawn(move || {
                // Until all have come as far: only then does any of them end.
                while STEPS.iter().any(|s| s.load(Ordering::Relaxed) < 100_000) {
                    steps.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    println!("all got on");
}

/// Calls a function on a stack that is no thread's, as coroutines do; whether nothing was written to the stack below what the call needs.
fn on_made_stack(function: extern "C" fn()) -> bool {
    const FILLING: u8 = 0xA5;
    // Less than a thread that is interrupted needs, and no page around it is forbidden.
    let mut stack = vec![FILLING; 2048];
    // SAFETY: contexts are plain data, and filled before they are used; the stack outlives the call, whose end goes on after `swapcontext`.
    unsafe {
        let mut back: libc::ucontext_t = std::mem::zeroed();
        let mut there: libc::ucontext_t = std::mem::zeroed();
        assert_eq!(libc::getcontext(&raw mut there), 0);
        there.uc_stack.ss_sp = stack.as_mut_ptr().cast();
        there.uc_stack.ss_size = stack.len();
        there.uc_link = &raw mut back;
        libc::makecontext(&raw mut there, function, 0);
        assert_eq!(libc::swapcontext(&raw mut back, &raw const there), 0);
    }
    stack.iter().take(1024).all(|byte| *byte == FILLING)
}

/// Threads that compute on stacks of the program's own making share their core, with those that compute on their own, and those stacks
/// hold nothing of the kernel's.
fn made_stacks() {
    const COUNT: usize = 6;
    static STEPS: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn step() {
        let own = &STEPS[NEXT.fetch_add(1, Ordering::Relaxed)];
        // Until all have come as far, and so that each is interrupted often.
        while STEPS.iter().any(|s| s.load(Ordering::Relaxed) < 2_000_000) {
            own.fetch_add(1, Ordering::Relaxed);
        }
    }
    let threads: Vec<_> = (0..COUNT)
        .map(|index| match index % 3 {
            0 => thread::spawn(|| {
                step();
                true
            }),
            _ => thread::spawn(|| on_made_stack(step)),
        })
        .collect();
    let are_untouched = threads.into_iter().all(|thread| thread.join().unwrap());
    println!("all got on, stacks untouched: {are_untouched}");
}

/// Vector registers, the x87 stack and the red zone are each thread's own, and the stack segment stays what it was.
fn registers(start: fn(u64) -> thread::JoinHandle<u64>) {
    let threads: Vec<_> = (1..=4_u64).map(start).collect();
    let wrong: u64 = threads.into_iter().map(|t| t.join().unwrap()).sum();
    println!("wrong registers: {wrong}");
}

/// Spins ten times in a thread with registers full of `seed`, and counts what has changed.
fn thread_with(seed: u64) -> thread::JoinHandle<u64> {
    thread::spawn(move || spin_often(seed))
}

/// The same on a stack that is not the thread's.
fn thread_on_made_stack(seed: u64) -> thread::JoinHandle<u64> {
    thread_local! { static SEED_AND_WRONG: Cell<u64> = const { Cell::new(0) }; }
    extern "C" fn spin() {
        SEED_AND_WRONG.with(|value| value.set(spin_often(value.get())));
    }
    thread::spawn(move || {
        SEED_AND_WRONG.set(seed);
        let is_untouched = on_made_stack(spin);
        SEED_AND_WRONG.get() + u64::from(!is_untouched)
    })
}

fn spin_often(seed: u64) -> u64 {
    let segment = stack_segment();
    let round = || spin_with_registers(seed) + u64::from(stack_segment() != segment);
    (0..10).map(|_| round()).sum()
}

fn stack_segment() -> u16 {
    let segment;
    // SAFETY: reading a segment register changes nothing.
    unsafe { asm!("mov {:x}, ss", out(reg) segment, options(nomem, nostack, preserves_flags)) };
    segment
}

/// Fills registers and the red zone with a value of the thread, spins for longer than a slice, and counts what has changed.
#[inline(never)]
fn spin_with_registers(seed: u64) -> u64 {
    let wrong: u64;
    // SAFETY: uses registers that it names, and the red zone below its own stack pointer, which no call of its own disturbs.
    unsafe {
        asm!(
            "movq xmm0, {seed}", "movq xmm1, {seed}", "movq xmm7, {seed}", "movq xmm15, {seed}",
            "mov r8, {seed}", "mov r9, {seed}", "mov r10, {seed}", "mov r11, {seed}",
            "mov rdi, {seed}", "mov rsi, {seed}", "mov rdx, {seed}",
            "mov [rsp - 8], {seed}", "mov [rsp - 128], {seed}",
            "fild qword ptr [rsp - 8]",
            "mov rcx, 5000000",
            "2: dec rcx", "jnz 2b",
            "xor {wrong}, {wrong}",
            "movq rax, xmm0", "cmp rax, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "movq rax, xmm1", "cmp rax, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "movq rax, xmm7", "cmp rax, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "movq rax, xmm15", "cmp rax, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "cmp r8, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "cmp r9, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "cmp r10, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "cmp r11, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "cmp rdi, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "cmp rsi, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "cmp rdx, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "mov rax, [rsp - 8]", "cmp rax, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "mov rax, [rsp - 128]", "cmp rax, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            "fistp qword ptr [rsp - 16]",
            "mov rax, [rsp - 16]", "cmp rax, {seed}", "setne al", "movzx eax, al", "add {wrong}, rax",
            seed = in(reg) seed, wrong = out(reg) wrong,
            out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("xmm0") _, out("xmm1") _, out("xmm7") _, out("xmm15") _,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
        );
    }
    wrong
}

/// Threads that are interrupted with numbers on the x87 stack leave it empty for a thread that comes back from sleep.
fn x87() {
    let hogs: Vec<_> = (0..2).map(|_| thread::spawn(hog_with_x87)).collect();
    let mut used = 0;
    for _ in 0..30 {
        thread::sleep(Duration::from_millis(3));
        let mut environment = [0_u32; 7];
        // SAFETY: stores the environment, of 28 bytes, and loads it again.
        unsafe { asm!("fnstenv [{0}]", "fldenv [{0}]", in(reg) environment.as_mut_ptr()) };
        // Two bits for each register, both set where it is empty.
        used += u32::from(environment[2] & 0xFFFF != 0xFFFF);
    }
    IS_OVER.store(true, Ordering::Relaxed);
    let sums: Vec<_> = hogs.into_iter().map(|hog| hog.join().unwrap()).collect();
    println!("x87 stacks in use: {used}, sums {sums:?}");
}

/// Spins with eight numbers on the x87 stack, and adds them.
fn hog_with_x87() -> i32 {
    let mut sum = 0_i32;
    while !IS_OVER.load(Ordering::Relaxed) {
        // SAFETY: takes from the stack as much as it puts there.
        unsafe {
            asm!("fld1", "fld1", "fld1", "fld1", "fld1", "fld1", "fld1", "fld1",
                "2: dec {count}", "jnz 2b",
                "faddp", "faddp", "faddp", "faddp", "faddp", "faddp", "faddp", "fistp dword ptr [{sum}]",
                sum = in(reg) &raw mut sum, count = inout(reg) 1_000_000_u64 => _,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _);
        }
    }
    sum
}

/// Many threads compute with numbers, memory and locks.
fn stress() {
    static SUM: std::sync::Mutex<f64> = std::sync::Mutex::new(0.0);
    let threads: Vec<_> = (0..32_u32)
        .map(|index| {
            thread::spawn(move || {
                let mut kept = Vec::new();
                for round in 0..200_u32 {
                    let numbers: Vec<f64> = (0..500).map(|n| f64::from(n + index)).collect();
                    let roots: f64 = numbers.iter().map(|n| black_box(n).sqrt().powi(2)).sum();
                    *SUM.lock().unwrap() += roots;
                    if round % 7 == 0 {
                        kept.push(format!("{index} {round}"));
                    }
                }
                kept.iter().map(String::len).sum::<usize>()
            })
        })
        .collect();
    let letters: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    let expected: f64 = (0..32)
        .flat_map(|i| (0..500).map(move |n| f64::from(n + i)))
        .sum::<f64>()
        * 200.0;
    let sum = *SUM.lock().unwrap();
    let is_right = ((sum - expected) / expected).abs() < 1e-9;
    println!("sum is right: {is_right}, letters {letters}");
}

/// Answers whoever connects, while another thread computes; the word `end` ends it.
fn serve() {
    thread::spawn(hog);
    let listener = TcpListener::bind("0.0.0.0:7000").expect("a listener");
    println!("ready");
    loop {
        let (mut peer, _) = listener.accept().expect("a connection");
        let mut word = [0; 3];
        peer.read_exact(&mut word).expect("a word");
        peer.write_all(b"heard").expect("an answer");
        if &word == b"end" {
            return;
        }
    }
}

/// A thread that is nearly always in the kernel's `memcpy` gives the core away too.
fn in_the_kernel() {
    let hog = thread::spawn(|| {
        let (from, mut to) = (vec![1_u8; 1 << 20], vec![0_u8; 1 << 20]);
        while !IS_OVER.load(Ordering::Relaxed) {
            to.copy_from_slice(black_box(&from));
            black_box(&mut to);
        }
    });
    let start = Instant::now();
    thread::sleep(Duration::from_millis(20));
    println!("slept: {}", start.elapsed() >= Duration::from_millis(20));
    IS_OVER.store(true, Ordering::Relaxed);
    hog.join().unwrap();
}
