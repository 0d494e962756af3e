//! Mathematical functions (ISO C17, section 7.12), from the crate `libm`. Those with a processor instruction come from it without being called.
//! Only the functions that round to whole numbers look at the rounding mode (`super::floating`).

use core::ffi::{c_int, c_long, c_longlong};

macro_rules! functions {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {$(
        #[doc = concat!("See `", stringify!($name), "` of C.")]
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $kind),*) -> $result {
            libm::$name($($argument),*)
        }
    )*};
}

functions! {
    acos(x: f64) -> f64; acosf(x: f32) -> f32;
    acosh(x: f64) -> f64; acoshf(x: f32) -> f32;
    asin(x: f64) -> f64; asinf(x: f32) -> f32;
    asinh(x: f64) -> f64; asinhf(x: f32) -> f32;
    atan(x: f64) -> f64; atanf(x: f32) -> f32;
    atan2(y: f64, x: f64) -> f64; atan2f(y: f32, x: f32) -> f32;
    atanh(x: f64) -> f64; atanhf(x: f32) -> f32;
    cbrt(x: f64) -> f64; cbrtf(x: f32) -> f32;
    ceil(x: f64) -> f64; ceilf(x: f32) -> f32;
    copysign(x: f64, y: f64) -> f64; copysignf(x: f32, y: f32) -> f32;
    cos(x: f64) -> f64; cosf(x: f32) -> f32;
    cosh(x: f64) -> f64; coshf(x: f32) -> f32;
    erf(x: f64) -> f64; erff(x: f32) -> f32;
    erfc(x: f64) -> f64; erfcf(x: f32) -> f32;
    exp(x: f64) -> f64; expf(x: f32) -> f32;
    exp10(x: f64) -> f64; exp10f(x: f32) -> f32;
    exp2(x: f64) -> f64; exp2f(x: f32) -> f32;
    expm1(x: f64) -> f64; expm1f(x: f32) -> f32;
    fabs(x: f64) -> f64; fabsf(x: f32) -> f32;
    fdim(x: f64, y: f64) -> f64; fdimf(x: f32, y: f32) -> f32;
    floor(x: f64) -> f64; floorf(x: f32) -> f32;
    fma(x: f64, y: f64, z: f64) -> f64; fmaf(x: f32, y: f32, z: f32) -> f32;
    fmax(x: f64, y: f64) -> f64; fmaxf(x: f32, y: f32) -> f32;
    fmin(x: f64, y: f64) -> f64; fminf(x: f32, y: f32) -> f32;
    fmod(x: f64, y: f64) -> f64; fmodf(x: f32, y: f32) -> f32;
    hypot(x: f64, y: f64) -> f64; hypotf(x: f32, y: f32) -> f32;
    j0(x: f64) -> f64; j0f(x: f32) -> f32;
    j1(x: f64) -> f64; j1f(x: f32) -> f32;
    jn(n: c_int, x: f64) -> f64; jnf(n: c_int, x: f32) -> f32;
    ldexp(x: f64, n: c_int) -> f64; ldexpf(x: f32, n: c_int) -> f32;
    lgamma(x: f64) -> f64; lgammaf(x: f32) -> f32;
    log(x: f64) -> f64; logf(x: f32) -> f32;
    log10(x: f64) -> f64; log10f(x: f32) -> f32;
    log1p(x: f64) -> f64; log1pf(x: f32) -> f32;
    log2(x: f64) -> f64; log2f(x: f32) -> f32;
    nextafter(x: f64, y: f64) -> f64; nextafterf(x: f32, y: f32) -> f32;
    pow(x: f64, y: f64) -> f64; powf(x: f32, y: f32) -> f32;
    remainder(x: f64, y: f64) -> f64; remainderf(x: f32, y: f32) -> f32;
    round(x: f64) -> f64; roundf(x: f32) -> f32;
    roundeven(x: f64) -> f64; roundevenf(x: f32) -> f32;
    scalbn(x: f64, n: c_int) -> f64; scalbnf(x: f32, n: c_int) -> f32;
    sin(x: f64) -> f64; sinf(x: f32) -> f32;
    sinh(x: f64) -> f64; sinhf(x: f32) -> f32;
    sqrt(x: f64) -> f64; sqrtf(x: f32) -> f32;
    tan(x: f64) -> f64; tanf(x: f32) -> f32;
    tanh(x: f64) -> f64; tanhf(x: f32) -> f32;
    tgamma(x: f64) -> f64; tgammaf(x: f32) -> f32;
    trunc(x: f64) -> f64; truncf(x: f32) -> f32;
    y0(x: f64) -> f64; y0f(x: f32) -> f32;
    y1(x: f64) -> f64; y1f(x: f32) -> f32;
    yn(n: c_int, x: f64) -> f64; ynf(n: c_int, x: f32) -> f32;
}

/// The nearest whole number by the thread's rounding mode: what is added leaves no room for a fraction.
fn whole(x: f64) -> f64 {
    /// From here on all numbers are whole: 2⁵².
    const WHOLE: f64 = 4_503_599_627_370_496.0;
    let large = WHOLE.copysign(x);
    match x.abs() < WHOLE {
        true => (x + large - large).copysign(x),
        false => x,
    }
}

/// A `float` is a `double` too, and what is rounded of it is one again.
fn whole_f(x: f32) -> f32 {
    whole(f64::from(x)) as f32
}

macro_rules! roundings {
    ($($name:ident = $function:path, ($kind:ty) -> $result:ty;)*) => {$(
        #[doc = concat!("See `", stringify!($name), "` of C; what does not fit becomes the nearest that does.")]
        #[unsafe(no_mangle)]
        extern "C" fn $name(x: $kind) -> $result {
            $function(x) as $result
        }
    )*};
}

roundings! {
    lround = libm::round, (f64) -> c_long; lroundf = libm::roundf, (f32) -> c_long;
    llround = libm::round, (f64) -> c_longlong; llroundf = libm::roundf, (f32) -> c_longlong;
    lrint = whole, (f64) -> c_long; lrintf = whole_f, (f32) -> c_long;
    llrint = whole, (f64) -> c_longlong; llrintf = whole_f, (f32) -> c_longlong;
    nearbyint = whole, (f64) -> f64; nearbyintf = whole_f, (f32) -> f32;
    rint = whole, (f64) -> f64; rintf = whole_f, (f32) -> f32;
}

macro_rules! with_results {
    ($($name:ident($($argument:ident: $kind:ty),*; $out:ty) -> $result:ty;)*) => {$(
        #[doc = concat!("See `", stringify!($name), "` of C.\n\n# Safety\nThe last argument can be written.")]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $kind,)* out: *mut $out) -> $result {
            let (result, second) = libm::$name($($argument),*);
            // SAFETY: the caller's pointer to a result.
            unsafe { *out = second };
            result
        }
    )*};
}

with_results! {
    frexp(x: f64; c_int) -> f64; frexpf(x: f32; c_int) -> f32;
    lgamma_r(x: f64; c_int) -> f64; lgammaf_r(x: f32; c_int) -> f32;
    remquo(x: f64, y: f64; c_int) -> f64; remquof(x: f32, y: f32; c_int) -> f32;
}

macro_rules! in_two {
    ($($name:ident($kind:ty);)*) => {$(
        #[doc = concat!("See `", stringify!($name), "` of C.\n\n# Safety\n`whole` can be written.")]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(x: $kind, whole: *mut $kind) -> $kind {
            let (fraction, integral) = libm::$name(x);
            // SAFETY: the caller's pointer to a result.
            unsafe { *whole = integral };
            fraction
        }
    )*};
}

in_two! { modf(f64); modff(f32); }

/// See `sincos` of C.
///
/// # Safety
/// Both places can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn sincos(x: f64, sine: *mut f64, cosine: *mut f64) {
    // SAFETY: the caller's places.
    unsafe { (*sine, *cosine) = libm::sincos(x) };
}

/// See `sincosf` of C.
///
/// # Safety
/// Both places can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn sincosf(x: f32, sine: *mut f32, cosine: *mut f32) {
    // SAFETY: the caller's places.
    unsafe { (*sine, *cosine) = libm::sincosf(x) };
}
