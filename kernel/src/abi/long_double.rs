//! Functions on `long double` (ISO C17, section 7.12): those on `double` behind the calls of C for numbers of 80 bits. The last 11 bits are lost.
//! Calls have them in the stack, and results in the older unit's first register (System V ABI for AMD64, section 3.2.3).

#![allow(
    clashing_extern_declarations,
    reason = "each file declares what it needs of the others, with the types that it knows"
)]

use core::ffi::{c_char, c_int, c_long, c_longlong};

/// Defines functions of C on `long double` by those on `double`: as exact as these.
macro_rules! long_double {
    (unary: $($name:ident = $real:ident;)*) => {$(
        /// On a `long double`.
        ///
        /// # Safety
        /// It is only called by C, which puts the number into the stack.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                // The return address, then the number. 8 bytes of room keep the stack aligned.
                "sub rsp, 8",
                "fld tbyte ptr [rsp + 16]",
                "fstp qword ptr [rsp]",
                "movsd xmm0, [rsp]",
                "call {real}",
                "movsd [rsp], xmm0",
                "fld qword ptr [rsp]",
                "add rsp, 8",
                "ret",
                real = sym $real,
            )
        }
    )*};
    (binary: $($name:ident = $real:ident;)*) => {$(
        /// On two `long double`.
        ///
        /// # Safety
        /// It is only called by C, which puts the numbers into the stack.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "sub rsp, 8",
                "fld tbyte ptr [rsp + 16]",
                "fstp qword ptr [rsp]",
                "movsd xmm0, [rsp]",
                "fld tbyte ptr [rsp + 32]",
                "fstp qword ptr [rsp]",
                "movsd xmm1, [rsp]",
                "call {real}",
                "movsd [rsp], xmm0",
                "fld qword ptr [rsp]",
                "add rsp, 8",
                "ret",
                real = sym $real,
            )
        }
    )*};
    (to_double: $($name:ident = $real:ident;)*) => {$(
        /// A `long double` by other arguments, which are in registers and go on as they are.
        ///
        /// # Safety
        /// It is only called by C, with what the function on `double` takes.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "sub rsp, 8",
                "call {real}",
                "movsd [rsp], xmm0",
                "fld qword ptr [rsp]",
                "add rsp, 8",
                "ret",
                real = sym $real,
            )
        }
    )*};
    (from_double: $($name:ident = $real:ident;)*) => {$(
        /// A whole number of a `long double`, in the register for results.
        ///
        /// # Safety
        /// It is only called by C, which puts the number into the stack.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "sub rsp, 8",
                "fld tbyte ptr [rsp + 16]",
                "fstp qword ptr [rsp]",
                "movsd xmm0, [rsp]",
                "call {real}",
                "add rsp, 8",
                "ret",
                real = sym $real,
            )
        }
    )*};
}

macro_rules! imported {
    ($($name:ident($($kind:ty),*) -> $result:ty;)*) => {
        unsafe extern "C" {
            $(fn $name($(_: $kind),*) -> $result;)*
        }
    };
}

imported! {
    acos(f64) -> f64; acosh(f64) -> f64; asin(f64) -> f64; asinh(f64) -> f64; atan(f64) -> f64; atanh(f64) -> f64;
    cbrt(f64) -> f64; ceil(f64) -> f64; cos(f64) -> f64; cosh(f64) -> f64; erf(f64) -> f64; erfc(f64) -> f64;
    exp(f64) -> f64; exp2(f64) -> f64; exp10(f64) -> f64; expm1(f64) -> f64; fabs(f64) -> f64; floor(f64) -> f64;
    lgamma(f64) -> f64; log(f64) -> f64; log10(f64) -> f64; log1p(f64) -> f64; log2(f64) -> f64; logb(f64) -> f64;
    nearbyint(f64) -> f64; rint(f64) -> f64; round(f64) -> f64; sin(f64) -> f64; sinh(f64) -> f64; sqrt(f64) -> f64;
    tan(f64) -> f64; tanh(f64) -> f64; tgamma(f64) -> f64; trunc(f64) -> f64;
    atan2(f64, f64) -> f64; copysign(f64, f64) -> f64; fdim(f64, f64) -> f64; fmax(f64, f64) -> f64; fmin(f64, f64) -> f64;
    fmod(f64, f64) -> f64; hypot(f64, f64) -> f64; nextafter(f64, f64) -> f64; pow(f64, f64) -> f64; remainder(f64, f64) -> f64;
    frexp(f64, *mut c_int) -> f64; ldexp(f64, c_int) -> f64; scalbn(f64, c_int) -> f64; scalbln(f64, c_long) -> f64;
    lrint(f64) -> c_long; lround(f64) -> c_long; llrint(f64) -> c_longlong; llround(f64) -> c_longlong; ilogb(f64) -> c_int;
    __fpclassify(f64) -> c_int; __isinf(f64) -> c_int; __isnan(f64) -> c_int; __finite(f64) -> c_int; __signbit(f64) -> c_int;
    strtod(*const c_char, *mut *mut c_char) -> f64;
}

long_double! {
    unary:
    acosl = acos; acoshl = acosh; asinl = asin; asinhl = asinh; atanl = atan; atanhl = atanh; cbrtl = cbrt; ceill = ceil; cosl = cos;
    coshl = cosh; erfl = erf; erfcl = erfc; expl = exp; exp2l = exp2; exp10l = exp10; expm1l = expm1; fabsl = fabs; floorl = floor;
    lgammal = lgamma; logl = log; log10l = log10; log1pl = log1p; log2l = log2; logbl = logb; nearbyintl = nearbyint; rintl = rint;
    roundl = round; sinl = sin; sinhl = sinh; sqrtl = sqrt; tanl = tan; tanhl = tanh; tgammal = tgamma; truncl = trunc;
    // The second argument is in a register, and stays there.
    frexpl = frexp; ldexpl = ldexp; scalbnl = scalbn; scalblnl = scalbln;
}

long_double! {
    binary:
    atan2l = atan2; copysignl = copysign; fdiml = fdim; fmaxl = fmax; fminl = fmin; fmodl = fmod; hypotl = hypot;
    nextafterl = nextafter; powl = pow; remainderl = remainder;
}

long_double! {
    from_double:
    lrintl = lrint; lroundl = lround; llrintl = llrint; llroundl = llround; ilogbl = ilogb;
    __fpclassifyl = __fpclassify; __isinfl = __isinf; __isnanl = __isnan; __finitel = __finite; __signbitl = __signbit;
}

long_double! {
    to_double:
    strtold = strtod; strtold_l = strtod; __strtold_l = strtod;
}
