//! Vector registers, up to the widest that the processor has, of threads that are interrupted in all ways: by the timer, by page faults, by
//! exceptions whose handler is called, by system calls. Each thread fills all its registers, is interrupted, and looks at them.
#![allow(unsafe_code, reason = "registers are looked at")]

use std::arch::{asm, is_x86_feature_detected};
use std::ffi::{c_int, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// The largest register, in words of 64 bits; so far apart are registers in memory.
const WORDS: usize = 8;
type Registers = [[u64; WORDS]; 32];

/// Fills registers, does what interrupts the thread, stores registers. `rdi` is where they come from, `rsi` where they go, `rdx` the
/// argument of what is done in between, which may change rax, rcx and r11.
macro_rules! interrupted {
    ($name:ident, $load:literal, $disturb:literal, $store:literal) => {
        #[inline(never)]
        fn $name(before: &Registers, after: &mut Registers, argument: usize) {
            // SAFETY: the registers' memory is large enough for the widest, and no instruction in between touches other memory than the
            // argument's.
            unsafe {
                asm!($load, $disturb, $store,
                    in("rdi") before.as_ptr(), in("rsi") after.as_mut_ptr(), in("rdx") argument,
                    out("rax") _, out("rcx") _, out("r11") _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                    out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                    out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _);
            }
        }
    };
}

/// The four ways for one width of registers.
macro_rules! width {
    ($module:ident, $load:literal, $store:literal) => {
        mod $module {
            use super::{Registers, asm};
            // For longer than a turn of the thread.
            interrupted!(timer, $load, "2: dec rdx\njnz 2b", $store);
            interrupted!(page_fault, $load, "mov byte ptr [rdx], 1", $store);
            interrupted!(exception, $load, "ud2", $store);
            // The call of the argument's number, without arguments of its own.
            interrupted!(system_call, $load, "mov eax, edx\nsyscall", $store);
            pub(super) const WAYS: [super::Way; 4] = [timer, page_fault, exception, system_call];
        }
    };
}

type Way = fn(&Registers, &mut Registers, usize);

width!(
    sse,
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nmovups xmm\\n, [rdi + 64 * \\n]\n.endr",
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nmovups [rsi + 64 * \\n], xmm\\n\n.endr"
);
width!(
    avx,
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nvmovups ymm\\n, [rdi + 64 * \\n]\n.endr",
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nvmovups [rsi + 64 * \\n], ymm\\n\n.endr\nvzeroupper"
);
// In place of the last registers, mask registers, of which AVX-512F has 16 bits.
width!(
    avx512,
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29\nvmovups zmm\\n, [rdi + 64 * \\n]\n.endr
    kmovw k1, word ptr [rdi + 64 * 30]\nkmovw k7, word ptr [rdi + 64 * 31]",
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29\nvmovups [rsi + 64 * \\n], zmm\\n\n.endr
    kmovw word ptr [rsi + 64 * 30], k1\nkmovw word ptr [rsi + 64 * 31], k7\nvzeroupper"
);

/// One width: its ways, and how many words of which of the registers it has.
struct Width {
    ways: [Way; 4],
    words: fn(usize) -> usize,
}

const SSE: Width = Width {
    ways: sse::WAYS,
    words: |register| if register < 16 { 2 } else { 0 },
};
const AVX: Width = Width {
    ways: avx::WAYS,
    words: |register| if register < 16 { 4 } else { 0 },
};
const AVX_512: Width = Width {
    ways: avx512::WAYS,
    words: |register| if register < 30 { 8 } else { 0 },
};

/// Exceptions that were stepped over.
static STEPPED_OVER: AtomicU64 = AtomicU64::new(0);
/// What a handler found in the upper half of `ymm3`, and which exceptions came with registers beyond SSE's.
static FOUND: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// The mark of Linux's signal frames that more than 512 bytes of registers are there, its place, and the place of the upper half of `ymm0`.
const MAGIC: u32 = 0x4650_5853;
const MAGIC_AT: usize = 464;
const MAGIC_END: u32 = 0x4650_5845;
const UPPER_HALVES: usize = 576;
/// What the handler puts into the upper half of `ymm5`.
const CHANGED: u64 = 0x5EED_5EED_5EED_5EED;

/// Steps over `ud2`, uses the registers itself, and looks at those of the thread.
extern "C" fn step_over(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the arguments of a handler with SA_SIGINFO; the registers are as Linux lays them out.
    unsafe {
        let context = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext;
        context.gregs[libc::REG_RIP as usize] += 2;
        let registers = context.fpregs.cast::<u8>();
        let word = |at: usize| registers.add(at).cast::<u32>().read_unaligned();
        if word(MAGIC_AT) == MAGIC {
            let end = word(MAGIC_AT + 16) as usize;
            assert_eq!(word(MAGIC_AT + 4) as usize, end + 4);
            assert_eq!(word(MAGIC_AT + 8) & 7, 7, "x87, SSE and AVX");
            assert_eq!(word(end), MAGIC_END);
            let upper_halves = registers.add(UPPER_HALVES).cast::<[u64; 2]>();
            FOUND.lock().unwrap().push((*upper_halves.add(3))[1]);
            (*upper_halves.add(5))[0] = CHANGED;
        } else {
            assert_eq!(word(MAGIC_AT), 0, "nothing but SSE");
        }
    }
    let copy = vec![0x77_u8; 4096].clone();
    STEPPED_OVER.fetch_add(
        copy.iter().filter(|&&b| b == 0x77).count() as u64 / 4096,
        Ordering::Relaxed,
    );
}

fn step_over_illegal_instructions() {
    // SAFETY: a handler of the right type.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = step_over as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(
            libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()),
            0
        );
    }
}

const ROUNDS: usize = 8;

/// How many words are not as they were, of a thread that is interrupted again and again.
fn wrong_words(width: &Width, thread: u64) -> usize {
    let mut seed = thread << 32 | 1;
    let mut wrong = 0;
    // Pages that nobody has touched yet.
    let mut pages = Vec::<u8>::with_capacity(4096 * (ROUNDS + 1));
    for round in 0..ROUNDS {
        let page = pages.as_mut_ptr().wrapping_add(4096 * round);
        let arguments = [3_000_000, page as usize, 0, libc::SYS_sched_yield as usize];
        for (index, (way, argument)) in width.ways.iter().zip(arguments).enumerate() {
            let before: Registers = std::array::from_fn(|_| {
                std::array::from_fn(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    seed
                })
            });
            let mut after = [[0; WORDS]; 32];
            way(&before, &mut after, argument);
            let mut expected = before;
            let is_exception = index == 2;
            if is_exception && (width.words)(5) >= 4 {
                expected[5][2] = CHANGED;
                let found = FOUND.lock().unwrap().contains(&before[3][3]);
                wrong += usize::from(!found);
            }
            for (register, (expected, after)) in expected.iter().zip(&after).enumerate() {
                let words = (width.words)(register);
                wrong += (0..words)
                    .filter(|&word| expected[word] != after[word])
                    .count();
            }
            if (width.words)(16) != 0 {
                for mask in 30..32 {
                    wrong += usize::from(expected[mask][0] as u16 != after[mask][0] as u16);
                }
            }
        }
    }
    wrong
}

/// Compiled for AVX2, as libraries have it that look for it when they run.
#[target_feature(enable = "avx2")]
fn sum_of_squares(numbers: &[u32]) -> u64 {
    numbers.iter().map(|&n| u64::from(n) * u64::from(n)).sum()
}

fn main() {
    let (has_avx, has_avx512) = (
        is_x86_feature_detected!("avx"),
        is_x86_feature_detected!("avx512f"),
    );
    println!(
        "AVX {has_avx}, AVX2 {}, AVX-512 {has_avx512}",
        is_x86_feature_detected!("avx2")
    );
    step_over_illegal_instructions();
    let mut widths = vec![SSE];
    if has_avx {
        widths.push(AVX);
    }
    if has_avx512 {
        widths.push(AVX_512);
    }
    let count = widths.len();
    let mut wrong = 0;
    for width in widths {
        // A thread that panics, and is unwound, while others have their registers full.
        let panics = thread::spawn(|| {
            let copy = vec![1_u8; 10_000].clone();
            assert!(copy.is_empty(), "this is expected");
        });
        let width = &width;
        wrong += thread::scope(|scope| {
            let threads: Vec<_> = (1..=4)
                .map(|index| scope.spawn(move || wrong_words(width, index)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum::<usize>()
        });
        assert!(panics.join().is_err());
    }
    if is_x86_feature_detected!("avx2") {
        let numbers: Vec<u32> = (0..1000).collect();
        // SAFETY: the processor has it.
        println!("squares {}", unsafe { sum_of_squares(&numbers) });
    }
    let expected = (count * 4 * ROUNDS) as u64;
    println!(
        "stepped over all: {}",
        STEPPED_OVER.load(Ordering::Relaxed) == expected
    );
    println!("wrong words: {wrong}");
}
