//! Rounding and exceptions of floating point (ISO C17, section 7.6): of the unit that computes `double` (its control register MXCSR) and of the
//! older one that computes `long double`, together. And what numbers are, as glibc's headers ask.

use core::ffi::c_int;

use crate::arch::x86_64::floating::{
    clear_legacy, legacy_control, load_legacy_control, load_mxcsr, mxcsr,
};

/// All exceptions (`FE_ALL_EXCEPT`): bits of both units.
const ALL: u32 = 0x3D;
/// Where the rounding is: bits 13 and 14 of MXCSR, 10 and 11 of the older unit's control word.
const ROUNDING: u32 = 0xC00;
/// How a thread begins: no exception traps.
const DEFAULT: u32 = 0x1F80;
const DEFAULT_LEGACY: u16 = 0x37F;

/// `fenv_t` of glibc: the older unit's environment, of which we keep the control word, then MXCSR.
#[repr(C)]
pub(super) struct Environment {
    control: u16,
    rest: [u16; 13],
    mxcsr: u32,
}

#[unsafe(no_mangle)]
extern "C" fn fegetround() -> c_int {
    (mxcsr() >> 3 & ROUNDING) as c_int
}

/// Rounds otherwise from now on; not 0 when there is no such way.
#[unsafe(no_mangle)]
extern "C" fn fesetround(way: c_int) -> c_int {
    let way = way as u32;
    if way & !ROUNDING != 0 {
        return 1;
    }
    load_mxcsr(mxcsr() & !(ROUNDING << 3) | way << 3);
    load_legacy_control(legacy_control() & !(ROUNDING as u16) | way as u16);
    0
}

#[unsafe(no_mangle)]
extern "C" fn feclearexcept(which: c_int) -> c_int {
    clear_legacy();
    load_mxcsr(mxcsr() & !(which as u32 & ALL));
    0
}

/// Notes exceptions; none traps.
#[unsafe(no_mangle)]
extern "C" fn feraiseexcept(which: c_int) -> c_int {
    load_mxcsr(mxcsr() | which as u32 & ALL);
    0
}

#[unsafe(no_mangle)]
extern "C" fn fetestexcept(which: c_int) -> c_int {
    (mxcsr() & which as u32 & ALL) as c_int
}

/// # Safety
/// `flags` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn fegetexceptflag(flags: *mut u16, which: c_int) -> c_int {
    // SAFETY: the caller's place.
    unsafe { flags.write(fetestexcept(which) as u16) };
    0
}

/// # Safety
/// `flags` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn fesetexceptflag(flags: *const u16, which: c_int) -> c_int {
    // SAFETY: the caller's place.
    let flags = u32::from(unsafe { flags.read() });
    let which = which as u32 & ALL;
    load_mxcsr(mxcsr() & !which | flags & which);
    0
}

/// # Safety
/// `environment` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn fegetenv(environment: *mut Environment) -> c_int {
    // SAFETY: the caller's place.
    unsafe {
        environment.write(Environment {
            control: legacy_control(),
            rest: [0; 13],
            mxcsr: mxcsr(),
        });
    }
    0
}

/// # Safety
/// `environment` is -1 (as the thread began) or can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn fesetenv(environment: *const Environment) -> c_int {
    let (control, wanted) = match environment.addr() {
        usize::MAX => (DEFAULT_LEGACY, DEFAULT),
        // SAFETY: the caller's environment.
        _ => unsafe { ((*environment).control, (*environment).mxcsr) },
    };
    load_legacy_control(control);
    // Bits that the processor does not know would be an exception.
    load_mxcsr(wanted & 0xFFFF);
    0
}

/// Keeps the environment, and forgets exceptions.
///
/// # Safety
/// `environment` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn feholdexcept(environment: *mut Environment) -> c_int {
    // SAFETY: the same contract.
    unsafe { fegetenv(environment) };
    feclearexcept(ALL as c_int)
}

/// Takes an environment, with the exceptions that there are now besides.
///
/// # Safety
/// As of [`fesetenv`].
#[unsafe(no_mangle)]
unsafe extern "C" fn feupdateenv(environment: *const Environment) -> c_int {
    let raised = fetestexcept(ALL as c_int);
    // SAFETY: the same contract.
    unsafe { fesetenv(environment) };
    feraiseexcept(raised)
}

macro_rules! kinds {
    ($($kind:ty: $classify:ident $is_infinite:ident $is_infinite_too:ident $is_nan:ident $is_nan_too:ident $is_finite:ident
        $is_finite_too:ident $sign:ident;)*) => {$(
        /// `FP_NAN`, `FP_INFINITE`, `FP_ZERO`, `FP_SUBNORMAL` or `FP_NORMAL`.
        #[unsafe(no_mangle)]
        extern "C" fn $classify(x: $kind) -> c_int {
            use core::num::FpCategory;
            match x.classify() {
                FpCategory::Nan => 0,
                FpCategory::Infinite => 1,
                FpCategory::Zero => 2,
                FpCategory::Subnormal => 3,
                FpCategory::Normal => 4,
            }
        }

        /// 1 or -1 for an infinity.
        #[unsafe(no_mangle)]
        extern "C" fn $is_infinite(x: $kind) -> c_int {
            match x.is_infinite() {
                true if x > 0.0 => 1,
                true => -1,
                false => 0,
            }
        }

        /// See the other name.
        #[unsafe(no_mangle)]
        extern "C" fn $is_infinite_too(x: $kind) -> c_int {
            $is_infinite(x)
        }

        /// Whether it is no number.
        #[unsafe(no_mangle)]
        extern "C" fn $is_nan(x: $kind) -> c_int {
            c_int::from(x.is_nan())
        }

        /// See the other name.
        #[unsafe(no_mangle)]
        extern "C" fn $is_nan_too(x: $kind) -> c_int {
            $is_nan(x)
        }

        /// Whether it is a number and no infinity.
        #[unsafe(no_mangle)]
        extern "C" fn $is_finite(x: $kind) -> c_int {
            c_int::from(x.is_finite())
        }

        /// See the other name.
        #[unsafe(no_mangle)]
        extern "C" fn $is_finite_too(x: $kind) -> c_int {
            $is_finite(x)
        }

        /// Whether it has a sign.
        #[unsafe(no_mangle)]
        extern "C" fn $sign(x: $kind) -> c_int {
            c_int::from(x.is_sign_negative())
        }
    )*};
}

kinds! {
    f64: __fpclassify __isinf isinf __isnan isnan __finite finite __signbit;
    f32: __fpclassifyf __isinff isinff __isnanf isnanf __finitef finitef __signbitf;
}

/// No number.
#[unsafe(no_mangle)]
extern "C" fn nan(_tag: *const core::ffi::c_char) -> f64 {
    f64::NAN
}

/// No number.
#[unsafe(no_mangle)]
extern "C" fn nanf(_tag: *const core::ffi::c_char) -> f32 {
    f32::NAN
}

/// The exponent of 2; `FP_ILOGB0` (the least number) of 0 and of what is none, the largest of an infinity.
#[unsafe(no_mangle)]
extern "C" fn ilogb(x: f64) -> c_int {
    match x {
        x if x == 0.0 || x.is_nan() => c_int::MIN,
        x if x.is_infinite() => c_int::MAX,
        x => libm::ilogb(x),
    }
}

/// See [`ilogb`].
#[unsafe(no_mangle)]
extern "C" fn ilogbf(x: f32) -> c_int {
    ilogb(f64::from(x))
}

/// The exponent of 2 as a number.
#[unsafe(no_mangle)]
extern "C" fn logb(x: f64) -> f64 {
    match x {
        0.0 => f64::NEG_INFINITY,
        x if x.is_nan() || x.is_infinite() => x * x,
        x => f64::from(ilogb(x)),
    }
}

/// See [`logb`].
#[unsafe(no_mangle)]
extern "C" fn logbf(x: f32) -> f32 {
    logb(f64::from(x)) as f32
}

/// `x` times 2 to the power of `n`.
#[unsafe(no_mangle)]
extern "C" fn scalbln(x: f64, n: core::ffi::c_long) -> f64 {
    libm::scalbn(x, n.clamp(-5000, 5000) as c_int)
}

/// See [`scalbln`].
#[unsafe(no_mangle)]
extern "C" fn scalblnf(x: f32, n: core::ffi::c_long) -> f32 {
    libm::scalbnf(x, n.clamp(-5000, 5000) as c_int)
}
