//! The vector and x87 registers of interrupted code: what of them the processor has, and how they are saved and loaded (Intel SDM volume 1,
//! chapters 10.5 and 13).
//!
//! Where the processor has `xsave` and AVX, both are switched on, AVX-512 too where it is there, so that programs find and may use them. Other
//! components (protection keys, AMX) stay off. Else `fxsave` saves all there is.
//!
//! Saved is what an exception, the timer or the instruction `syscall` interrupts; a switch between threads is a function call, which keeps
//! no vector register. Neither `xsaveopt` nor `xsavec` is used: the first leaves out what has not changed since it was loaded from the same
//! address, and here another frame of the stack may have been there meanwhile; the second leaves gaps where handlers of signals look for registers.

#[cfg(not(test))]
use core::arch::asm;
#[cfg(not(test))]
use core::arch::x86_64::__cpuid_count;
use core::arch::x86_64::CpuidResult;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

#[cfg(not(test))]
use super::{cpu, string};

/// Components by their bits in XCR0 (Intel SDM volume 1, 13.3): x87, SSE, AVX.
const AVX: u32 = 0b111;
/// Mask registers, the upper halves of ZMM0 to 15, ZMM16 to 31.
const AVX_512: u32 = 0b111 << 5;

/// Bytes that `fxsave` writes, and where the header of `xsave` begins.
const LEGACY_BYTES: usize = 512;
/// The largest area that stacks have room for. AVX-512 ends at 2,688 bytes.
const MAX_BYTES: usize = 3072;
/// CR4: `xsave` and XCR0 are in use.
#[cfg(not(test))]
pub(super) const OSXSAVE: u64 = 1 << 18;

/// Where Linux's signal frames keep words for software, among the bytes that no processor writes (its `struct _fpx_sw_bytes`).
const SOFTWARE_WORDS: usize = 464;
/// Components follow the first 512 bytes, and their end is marked.
const MAGIC_FIRST: u32 = 0x4650_5853;
/// The mark at the end.
const MAGIC_LAST: u32 = 0x4650_5845;

/// XCR0: the components in use. 0 where `fxsave` is.
pub(super) static COMPONENTS: AtomicU32 = AtomicU32::new(0);
/// Bytes of them, as `xsave` lays them out.
static STATE_BYTES: AtomicUsize = AtomicUsize::new(LEGACY_BYTES);
/// Room for the registers and what [`describe`] writes behind them; a multiple of 64.
pub(super) static AREA_BYTES: AtomicUsize = AtomicUsize::new(LEGACY_BYTES);

/// Assembly: takes `AREA_BYTES` off the stack, aligned to 64, and saves the registers there. Needs the operands `components` and `area_bytes`;
/// changes rax, rdx and flags.
#[cfg(not(test))]
macro_rules! save_state {
    () => {
        r#"
    sub rsp, [rip + {area_bytes}]
    and rsp, -64
    mov eax, dword ptr [rip + {components}]
    xor edx, edx
    test eax, eax
    jz 31f
    mov [rsp + 512], rdx                  // the header, in which `xsave` sets single bits
    mov [rsp + 520], rdx
    mov [rsp + 528], rdx
    mov [rsp + 536], rdx
    mov [rsp + 544], rdx
    mov [rsp + 552], rdx
    mov [rsp + 560], rdx
    mov [rsp + 568], rdx
    xsave64 [rsp]
    jmp 32f
31: fxsave64 [rsp]
32:
    "#
    };
}

/// Assembly: loads the registers from where rsp points to. Operand `components`; changes rax, rdx and flags.
#[cfg(not(test))]
macro_rules! load_state {
    () => {
        r#"
    mov eax, dword ptr [rip + {components}]
    xor edx, edx
    test eax, eax
    jz 33f
    xrstor64 [rsp]
    jmp 34f
33: fxrstor64 [rsp]
34:
    "#
    };
}

#[cfg(not(test))]
pub(super) use {load_state, save_state};

/// Bytes that one saving may take off a stack.
pub fn room_bytes() -> usize {
    AREA_BYTES.load(Ordering::Relaxed) + 64
}

/// Where registers can be kept below an address, and how many bytes they take.
pub fn area_below(end: usize) -> (*mut u8, usize) {
    let bytes = AREA_BYTES.load(Ordering::Relaxed);
    (((end - bytes) & !63) as *mut u8, bytes)
}

/// Components to switch on, of those that the processor has: `features` is CPUID leaf 1, `extended` leaf 7, `states` leaf 13.
fn choose(features: CpuidResult, extended: CpuidResult, states: CpuidResult) -> u32 {
    const XSAVE_AND_AVX: u32 = 1 << 26 | 1 << 28;
    const AVX_512_FOUNDATION: u32 = 1 << 16;
    if features.ecx & XSAVE_AND_AVX != XSAVE_AND_AVX || states.eax & AVX != AVX {
        return 0;
    }
    if extended.ebx & AVX_512_FOUNDATION != 0 && states.eax & AVX_512 == AVX_512 {
        return AVX | AVX_512;
    }
    AVX
}

/// Room for so many bytes of registers and a mark behind them; `None` if stacks have not got it, or if they are too few for a header.
fn area_bytes(state_bytes: usize) -> Option<usize> {
    let bytes = state_bytes
        .checked_add(size_of_val(&MAGIC_LAST))?
        .next_multiple_of(64);
    (LEGACY_BYTES + 64..=MAX_BYTES)
        .contains(&bytes)
        .then_some(bytes)
}

/// Switches on what the processor has, on the core that starts first.
#[cfg(not(test))]
pub fn initialise() {
    let chosen = choose(cpu::cpuid(1), cpu::cpuid(7), cpu::cpuid(13));
    for components in [chosen, chosen & AVX] {
        if components == 0 {
            return;
        }
        // SAFETY: the processor has the register and these components, which belong together.
        unsafe { switch_on(components) };
        // The size for what is switched on.
        let state_bytes = __cpuid_count(13, 0).ebx as usize;
        // That was an exit to the hypervisor. One that XCR0 was kept from (QEMU's emulation of SVM has no exit for it) has its own value in
        // there again, and does so at any exit.
        if xcr0() != u64::from(components) {
            continue;
        }
        let Some(bytes) = area_bytes(state_bytes) else {
            continue;
        };
        STATE_BYTES.store(state_bytes, Ordering::Relaxed);
        AREA_BYTES.store(bytes, Ordering::Relaxed);
        COMPONENTS.store(components, Ordering::Relaxed);
        string::use_avx();
        return;
    }
    // SAFETY: nothing has used it yet.
    unsafe { asm!("mov cr4, {}", in(reg) cr4() & !OSXSAVE, options(nomem, nostack)) };
}

#[cfg(not(test))]
fn cr4() -> u64 {
    let value: u64;
    // SAFETY: reads a control register.
    unsafe { asm!("mov {}, cr4", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Which components are on. OSXSAVE is, too.
#[cfg(not(test))]
fn xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a register, which is there while OSXSAVE is on.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    };
    u64::from(high) << 32 | u64::from(low)
}

/// # Safety
/// 1. The processor has XCR0, and these components in it.
#[cfg(not(test))]
unsafe fn switch_on(components: u32) {
    // SAFETY: the caller's promise (1); no code that runs relies on these bits.
    unsafe {
        asm!("mov cr4, {}", in(reg) cr4() | OSXSAVE, options(nomem, nostack));
        asm!("xsetbv", in("ecx") 0, in("eax") components, in("edx") 0, options(nomem, nostack, preserves_flags));
    }
}

/// Writes into saved registers what Linux tells a handler of a signal there: whether there are more than the first 512 bytes, which, and
/// where they end.
///
/// # Safety
/// 1. `area` was written by `save_state!`, or is a copy of `AREA_BYTES` that was.
pub unsafe fn describe(area: *mut u8) {
    let components = COMPONENTS.load(Ordering::Relaxed);
    let mut words = [0_u32; 12];
    // SAFETY: the area ends behind the mark, and the words end with the first 512 bytes (1).
    unsafe {
        if components != 0 {
            let end = STATE_BYTES.load(Ordering::Relaxed);
            let len = end as u32;
            // Magic, length with the mark, components (64 bits), length without it.
            words[..5].copy_from_slice(&[MAGIC_FIRST, len + 4, components, 0, len]);
            area.add(end).cast::<u32>().write_unaligned(MAGIC_LAST);
        }
        area.add(SOFTWARE_WORDS).cast::<[u32; 12]>().write(words);
    }
}

#[cfg(test)]
mod tests {
    use super::{AVX, AVX_512, LEGACY_BYTES, MAX_BYTES, area_bytes, choose};
    use core::arch::x86_64::CpuidResult;

    const NONE: CpuidResult = CpuidResult {
        eax: 0,
        ebx: 0,
        ecx: 0,
        edx: 0,
    };
    const FEATURES: CpuidResult = CpuidResult {
        ecx: 1 << 26 | 1 << 28,
        ..NONE
    };
    const FOUNDATION: CpuidResult = CpuidResult {
        ebx: 1 << 16,
        ..NONE
    };

    fn states(eax: u32) -> CpuidResult {
        CpuidResult { eax, ..NONE }
    }

    #[test]
    fn nothing_is_switched_on_without_both_xsave_and_avx() {
        for ecx in [0, 1 << 26, 1 << 28] {
            let features = CpuidResult { ecx, ..NONE };
            assert_eq!(choose(features, FOUNDATION, states(0xE7)), 0);
        }
        // A hypervisor that has AVX among the features, but not its state.
        for eax in [0, 0b11, 0b101] {
            assert_eq!(choose(FEATURES, FOUNDATION, states(eax)), 0);
        }
    }

    #[test]
    fn avx_512_is_switched_on_whole_or_not_at_all() {
        assert_eq!(choose(FEATURES, NONE, states(0x7)), AVX);
        assert_eq!(choose(FEATURES, NONE, states(0xE7)), AVX);
        assert_eq!(choose(FEATURES, FOUNDATION, states(0x67)), AVX);
        assert_eq!(choose(FEATURES, FOUNDATION, states(0xE7)), AVX | AVX_512);
    }

    #[test]
    fn what_is_not_for_vectors_stays_off() {
        assert_eq!(
            choose(FEATURES, FOUNDATION, states(u32::MAX)),
            AVX | AVX_512
        );
    }

    #[test]
    fn areas_have_room_for_the_mark_and_sizes_that_lie_are_refused() {
        assert_eq!(area_bytes(832), Some(896));
        assert_eq!(area_bytes(2688), Some(2752));
        assert_eq!(area_bytes(0), None);
        assert_eq!(area_bytes(LEGACY_BYTES - 4), None);
        assert_eq!(area_bytes(MAX_BYTES), None);
        assert_eq!(area_bytes(u32::MAX as usize), None);
    }
}
