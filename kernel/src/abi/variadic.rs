//! Functions with `...`: the arguments behind the named ones, as the System V ABI (x86-64, section 3.5.7) has them in a `va_list`.
//!
//! Rust cannot define such functions. [`variadic`] makes an entry of each that stores the registers where a `va_list` wants them and
//! calls the function's sibling that takes one.

/// What `va_list` leads to.
#[repr(C)]
pub(super) struct VaList {
    /// Bytes of `registers` that are used up: of the six integers (0 to 48), and of the eight vectors behind them (48 to 176).
    integers_used: u32,
    vectors_used: u32,
    /// The next argument that was passed in memory.
    memory: *const u8,
    registers: *const u8,
}

const INTEGERS_END: u32 = 6 * 8;
const VECTORS_END: u32 = INTEGERS_END + 8 * 16;

impl VaList {
    /// The next integer or pointer. Shorter ones are in the low bits.
    ///
    /// # Safety
    /// 1. The caller passed such an argument there.
    pub(super) unsafe fn integer(&mut self) -> u64 {
        let place = if self.integers_used < INTEGERS_END {
            // SAFETY: inside of the registers that were saved.
            let place = unsafe { self.registers.add(self.integers_used as usize) };
            self.integers_used += 8;
            place
        } else {
            self.in_memory(8, 8)
        };
        // SAFETY: the caller's promise (1).
        unsafe { place.cast::<u64>().read_unaligned() }
    }

    /// The next pointer.
    ///
    /// # Safety
    /// As of [`VaList::integer`].
    pub(super) unsafe fn pointer<T>(&mut self) -> *mut T {
        // SAFETY: the same contract.
        unsafe { self.integer() as *mut T }
    }

    /// The next `double`.
    ///
    /// # Safety
    /// As of [`VaList::integer`].
    pub(super) unsafe fn double(&mut self) -> f64 {
        let place = if self.vectors_used < VECTORS_END {
            // SAFETY: inside of the registers that were saved.
            let place = unsafe { self.registers.add(self.vectors_used as usize) };
            self.vectors_used += 16;
            place
        } else {
            self.in_memory(8, 8)
        };
        // SAFETY: the caller's promise (1).
        unsafe { place.cast::<f64>().read_unaligned() }
    }

    /// The next `long double`, as near as a `double` comes to it.
    ///
    /// # Safety
    /// As of [`VaList::integer`].
    pub(super) unsafe fn long_double(&mut self) -> f64 {
        let place = self.in_memory(16, 16);
        // SAFETY: the caller's promise (1).
        let (fraction, top) = unsafe {
            (
                place.cast::<u64>().read_unaligned(),
                place.add(8).cast::<u16>().read_unaligned(),
            )
        };
        let exponent = i32::from(top & 0x7FFF);
        let magnitude = match exponent {
            0x7FFF if fraction << 1 == 0 => f64::INFINITY,
            0x7FFF => f64::NAN,
            _ => libm::ldexp(fraction as f64, exponent - 16383 - 63),
        };
        if top & 0x8000 == 0 {
            magnitude
        } else {
            -magnitude
        }
    }

    /// The place of the next argument that was passed in memory.
    fn in_memory(&mut self, len_bytes: usize, align: usize) -> *const u8 {
        let place = self.memory.wrapping_add(self.memory.align_offset(align));
        self.memory = place.wrapping_add(len_bytes);
        place
    }
}

/// Defines C functions with `...` by their siblings: `snprintf(3) = vsnprintf in "rcx"` has three named arguments, and hands its sibling the
/// `va_list` as the fourth, in `rcx`.
macro_rules! variadic {
    ($($name:ident($named:literal) = $sibling:path, $register:literal;)*) => {$(
        #[doc = concat!("`", stringify!($name), "` of C: calls `", stringify!($sibling), "`.")]
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                // The `va_list` (24 bytes, 32 with what aligns), the registers (176), and 8 that align the stack.
                "sub rsp, 216",
                "mov [rsp + 32], rdi",
                "mov [rsp + 40], rsi",
                "mov [rsp + 48], rdx",
                "mov [rsp + 56], rcx",
                "mov [rsp + 64], r8",
                "mov [rsp + 72], r9",
                // `al` is how many vector registers have arguments, or more.
                "test al, al",
                "jz 2f",
                "movaps [rsp + 80], xmm0",
                "movaps [rsp + 96], xmm1",
                "movaps [rsp + 112], xmm2",
                "movaps [rsp + 128], xmm3",
                "movaps [rsp + 144], xmm4",
                "movaps [rsp + 160], xmm5",
                "movaps [rsp + 176], xmm6",
                "movaps [rsp + 192], xmm7",
                "2:",
                "mov dword ptr [rsp], 8 * {named}",
                "mov dword ptr [rsp + 4], 48",
                // Arguments in memory begin behind the return address.
                "lea r11, [rsp + 224]",
                "mov [rsp + 8], r11",
                "lea r11, [rsp + 32]",
                "mov [rsp + 16], r11",
                concat!("mov ", $register, ", rsp"),
                "call {sibling}",
                "add rsp, 216",
                "ret",
                named = const $named,
                sibling = sym $sibling,
            )
        }
    )*};
}
pub(super) use variadic;
