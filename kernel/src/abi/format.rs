//! The format language of `printf` (ISO C17, section 7.21.6.1) and of `wprintf` (7.29.2.1), in the locale `C`, onto a [`Sink`].

mod conversion;

use alloc::format;
use alloc::string::String;
use core::ffi::{c_char, c_int, c_void};

use self::conversion::{Amount, Arguments, Conversion, Length, Reader};
use super::errno;
use super::text::strerror;
use super::variadic::VaList;
use crate::error::{Errno, Result};

/// Where formatted text goes.
pub(super) trait Sink {
    /// Takes bytes; an error ends the formatting.
    fn put(&mut self, bytes: &[u8]) -> Result<()>;
}

/// A `double` has no more decimal digits behind the point than these, nor more before it than 309.
const MOST_DIGITS: usize = 1074;

/// What is formatted.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Characters {
    /// Bytes.
    Narrow,
    /// Wide characters, which go to the sink, and stand in the format, as UTF-8.
    Wide,
}

/// Counts what it passes on.
struct Output<'a> {
    sink: &'a mut dyn Sink,
    characters: Characters,
    written: usize,
}

impl Output<'_> {
    /// How many characters these are.
    fn count(&self, bytes: &[u8]) -> usize {
        match self.characters {
            Characters::Narrow => bytes.len(),
            // What begins a character is not 0b10xx_xxxx.
            Characters::Wide => bytes.iter().filter(|&&byte| byte & 0xC0 != 0x80).count(),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.written = self.written.saturating_add(self.count(bytes));
        if self.written > c_int::MAX as usize {
            return Err(Errno(libc::EOVERFLOW));
        }
        self.sink.put(bytes)
    }

    fn repeat(&mut self, byte: u8, mut count: usize) -> Result<()> {
        let piece = [byte; 64];
        while count > 0 {
            let now = count.min(piece.len());
            self.put(&piece[..now])?;
            count -= now;
        }
        Ok(())
    }
}

/// One conversion, without its letter.
struct Spec {
    is_left: bool,
    is_alternate: bool,
    is_zero_padded: bool,
    /// What stands before numbers that are not negative: `+`, a space or nothing.
    plus: &'static str,
    width: usize,
    precision: Option<usize>,
    length: Length,
}

impl Spec {
    /// Writes a number: a prefix (sign, `0x`), zeros, and what follows; padded to the width.
    fn number(&self, out: &mut Output<'_>, prefix: &str, zeros: usize, text: &[u8]) -> Result<()> {
        let len = prefix.len() + zeros + text.len();
        let padding = self.width.saturating_sub(len);
        let is_zero_padded = self.is_zero_padded && !self.is_left;
        if !self.is_left && !is_zero_padded {
            out.repeat(b' ', padding)?;
        }
        out.put(prefix.as_bytes())?;
        out.repeat(b'0', zeros + if is_zero_padded { padding } else { 0 })?;
        out.put(text)?;
        if self.is_left {
            out.repeat(b' ', padding)?;
        }
        Ok(())
    }

    /// Writes a text, padded with spaces.
    fn text(&self, out: &mut Output<'_>, text: &[u8]) -> Result<()> {
        let padding = self.width.saturating_sub(out.count(text));
        if !self.is_left {
            out.repeat(b' ', padding)?;
        }
        out.put(text)?;
        if self.is_left {
            out.repeat(b' ', padding)?;
        }
        Ok(())
    }

    fn integer(mut self, out: &mut Output<'_>, prefix: &str, digits: &str) -> Result<()> {
        let mut zeros = 0;
        let mut digits = digits;
        if let Some(precision) = self.precision {
            self.is_zero_padded = false;
            if precision == 0 && digits == "0" {
                digits = "";
            }
            zeros = precision.saturating_sub(digits.len());
        }
        self.number(out, prefix, zeros, digits.as_bytes())
    }

    fn signed(self, out: &mut Output<'_>, value: i64) -> Result<()> {
        let prefix = if value < 0 { "-" } else { self.plus };
        self.integer(out, prefix, &format!("{}", value.unsigned_abs()))
    }

    fn unsigned(mut self, out: &mut Output<'_>, value: u64, letter: u8) -> Result<()> {
        match letter {
            b'u' => self.integer(out, "", &format!("{value}")),
            b'o' => {
                let digits = format!("{value:o}");
                // The alternate form begins with a zero, which the precision may already give.
                let has_zero = value == 0 && self.precision != Some(0);
                if self.is_alternate && !has_zero {
                    let least = if value == 0 { 1 } else { digits.len() + 1 };
                    if self.precision.is_some() || !self.is_zero_padded {
                        self.precision = Some(self.precision.unwrap_or(0).max(least));
                    } else {
                        return self.integer(out, "0", &digits);
                    }
                }
                self.integer(out, "", &digits)
            }
            b'x' => {
                let prefix = if self.is_alternate && value != 0 {
                    "0x"
                } else {
                    ""
                };
                self.integer(out, prefix, &format!("{value:x}"))
            }
            _ => {
                let prefix = if self.is_alternate && value != 0 {
                    "0X"
                } else {
                    ""
                };
                self.integer(out, prefix, &format!("{value:X}"))
            }
        }
    }

    fn double(mut self, out: &mut Output<'_>, value: f64, letter: u8) -> Result<()> {
        let is_upper = letter.is_ascii_uppercase();
        let sign = if value.is_sign_negative() {
            "-"
        } else {
            self.plus
        };
        if !value.is_finite() {
            let name = match (value.is_nan(), is_upper) {
                (true, true) => "NAN",
                (true, false) => "nan",
                (false, true) => "INF",
                (false, false) => "inf",
            };
            self.is_zero_padded = false;
            return self.number(out, sign, 0, name.as_bytes());
        }
        let magnitude = value.abs();
        let mut text = match letter.to_ascii_lowercase() {
            b'f' => fixed(magnitude, self.precision.unwrap_or(6), self.is_alternate),
            b'e' => scientific(magnitude, self.precision.unwrap_or(6), self.is_alternate),
            b'g' => general(magnitude, self.precision.unwrap_or(6), self.is_alternate),
            _ => hexadecimal(magnitude, self.precision, self.is_alternate),
        };
        let mut prefix = String::from(sign);
        if letter.eq_ignore_ascii_case(&b'a') {
            prefix.push_str(if is_upper { "0X" } else { "0x" });
        }
        if is_upper {
            text.make_ascii_uppercase();
        }
        self.number(out, &prefix, 0, text.as_bytes())
    }
}

/// `%f`: all digits before the point, `precision` behind it.
fn fixed(value: f64, precision: usize, has_point: bool) -> String {
    let exact = precision.min(MOST_DIGITS);
    let mut text = format!("{value:.exact$}");
    if precision == 0 && has_point {
        text.push('.');
    }
    text.extend(core::iter::repeat_n('0', precision - exact));
    text
}

/// The digits of `%e` and the exponent of ten.
fn digits(value: f64, precision: usize) -> (String, i32) {
    let exact = precision.min(MOST_DIGITS);
    let mut text = format!("{value:.exact$e}");
    let exponent = text
        .find('e')
        .map_or(0, |at| text.split_off(at)[1..].parse().unwrap_or(0));
    text.extend(core::iter::repeat_n('0', precision - exact));
    (text, exponent)
}

fn with_exponent(mut text: String, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    text.push_str(&format!("e{sign}{:02}", exponent.unsigned_abs()));
    text
}

/// `%e`: one digit before the point, `precision` behind it, the exponent.
fn scientific(value: f64, precision: usize, has_point: bool) -> String {
    let (mut text, exponent) = digits(value, precision);
    if precision == 0 && has_point {
        text.push('.');
    }
    with_exponent(text, exponent)
}

/// `%g`: the shorter of both, with `precision` digits, and without the zeros at the end unless the form is the alternate one.
fn general(value: f64, precision: usize, keeps_zeros: bool) -> String {
    let precision = precision.max(1);
    let (text, exponent) = digits(value, precision - 1);
    let trimmed = |mut text: String| {
        if !keeps_zeros && text.contains('.') {
            text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        } else if keeps_zeros && !text.contains('.') {
            text.push('.');
        }
        text
    };
    let is_fixed = exponent >= -4 && i64::from(exponent) < precision as i64;
    if is_fixed {
        let behind = (precision as i64 - 1 - i64::from(exponent)) as usize;
        trimmed(fixed(value, behind, false))
    } else {
        with_exponent(trimmed(text), exponent)
    }
}

/// `%a`, without its `0x`: the fraction in hexadecimal, the exponent of two.
fn hexadecimal(value: f64, precision: Option<usize>, has_point: bool) -> String {
    let bits = value.to_bits();
    let biased = (bits >> 52 & 0x7FF) as i32;
    let mut fraction = bits & ((1 << 52) - 1);
    let exponent = match (biased, fraction) {
        (0, 0) => 0,
        (0, _) => -1022,
        _ => biased - 1023,
    };
    fraction |= u64::from(biased != 0) << 52;
    let mut digits = 13;
    match precision {
        Some(precision) if precision < digits => {
            let dropped = 4 * (digits - precision) as u32;
            let (rest, half) = (fraction & ((1 << dropped) - 1), 1_u64 << (dropped - 1));
            fraction >>= dropped;
            // To the nearest, and to the even one of two.
            fraction += u64::from(rest > half || rest == half && fraction & 1 == 1);
            digits = precision;
        }
        None => {
            while digits > 0 && fraction & 0xF == 0 {
                fraction >>= 4;
                digits -= 1;
            }
        }
        Some(_) => {}
    }
    let before = fraction >> (4 * digits);
    let behind = fraction & ((1 << (4 * digits)) - 1);
    let mut text = format!("{before:x}");
    let zeros = precision.unwrap_or(digits) - digits;
    if digits + zeros > 0 || has_point {
        text.push('.');
    }
    if digits > 0 {
        text.push_str(&format!("{behind:0digits$x}"));
    }
    text.extend(core::iter::repeat_n('0', zeros));
    let sign = if exponent < 0 { '-' } else { '+' };
    text.push_str(&format!("p{sign}{}", exponent.unsigned_abs()));
    text
}

/// A wide character as UTF-8.
fn push_wide(text: &mut String, wide: u32, characters: Characters) -> Result<()> {
    let character = char::from_u32(wide)
        .filter(|character| characters == Characters::Wide || character.is_ascii());
    text.push(character.ok_or(Errno(libc::EILSEQ))?);
    Ok(())
}

impl Spec {
    /// Takes what the conversion says of width and precision from the arguments.
    ///
    /// # Safety
    /// 1. The arguments are what the format says.
    unsafe fn new(conversion: &Conversion, arguments: &mut Arguments<'_>) -> Result<Self> {
        let mut taken = |amount| -> Result<Option<i64>> {
            match amount {
                Amount::None => Ok(None),
                Amount::Fixed(number) => Ok(Some(number as i64)),
                Amount::Argument(place) => {
                    // SAFETY: (1).
                    let value = unsafe { arguments.integer(place) }?;
                    Ok(Some(i64::from(value as c_int)))
                }
            }
        };
        let width = taken(conversion.width)?.unwrap_or(0);
        // A negative precision counts as none.
        let precision = taken(conversion.precision)?;
        Ok(Self {
            is_left: conversion.is_left || width < 0,
            is_alternate: conversion.is_alternate,
            is_zero_padded: conversion.is_zero_padded,
            plus: conversion.plus,
            width: width.unsigned_abs() as usize,
            precision: precision.and_then(|precision| usize::try_from(precision).ok()),
            length: conversion.length,
        })
    }
}

/// The bytes of a string, at most `most` of them; behind these nothing is read.
///
/// # Safety
/// 1. `string` ends with a zero, or has `most` bytes.
unsafe fn bounded<'a>(string: *const c_char, most: Option<usize>) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: (1).
    unsafe {
        while Some(len) != most && *string.add(len) != 0 {
            len += 1;
        }
        core::slice::from_raw_parts(string.cast(), len)
    }
}

/// Formats bytes; how many went to the sink.
///
/// # Errors
/// `EOVERFLOW` if the text is longer than an `int` can tell, `EILSEQ` for a wide character that is not ASCII, `EINVAL` for what is no conversion,
/// or for arguments both by position and in order; those of the sink.
///
/// # Safety
/// 1. `format` is a C string, and `arguments` are what it says.
pub(super) unsafe fn format_onto(
    sink: &mut dyn Sink,
    format: *const c_char,
    arguments: &mut VaList,
) -> Result<usize> {
    // SAFETY: the same contract.
    unsafe { format_characters(sink, format, arguments, Characters::Narrow) }
}

/// Formats; how many characters went to the sink.
///
/// # Errors
/// As of [`format_onto`].
///
/// # Safety
/// 1. `format` is a C string, and `arguments` are what it says.
pub(super) unsafe fn format_characters(
    sink: &mut dyn Sink,
    format: *const c_char,
    arguments: &mut VaList,
    characters: Characters,
) -> Result<usize> {
    // `%m` is about the error before this call.
    let error = errno::get();
    let mut out = Output {
        sink,
        characters,
        written: 0,
    };
    // SAFETY: (1), here and where arguments are taken below.
    let mut arguments = unsafe { Arguments::new(arguments, format)? };
    let mut reader = Reader { next: format };
    loop {
        let conversion = reader.conversion(|start, len| {
            // SAFETY: bytes of the caller's string (1).
            out.put(unsafe { core::slice::from_raw_parts(start.cast(), len) })
        })?;
        let Some(conversion) = conversion else {
            return Ok(out.written);
        };
        // SAFETY: (1).
        let spec = unsafe { Spec::new(&conversion, &mut arguments)? };
        let (place, letter) = (conversion.place, conversion.letter);
        // SAFETY: (1), as above.
        let mut integer = || unsafe { arguments.integer(place) };
        match letter {
            b'd' | b'i' => {
                let value = integer()?;
                let value = match spec.length {
                    Length::Char => i64::from(value as i8),
                    Length::Short => i64::from(value as i16),
                    Length::Int => i64::from(value as i32),
                    Length::Long | Length::LongDouble => value as i64,
                };
                spec.signed(&mut out, value)?;
            }
            b'u' | b'o' | b'x' | b'X' => {
                let value = integer()?;
                let value = match spec.length {
                    Length::Char => u64::from(value as u8),
                    Length::Short => u64::from(value as u16),
                    Length::Int => u64::from(value as u32),
                    Length::Long | Length::LongDouble => value,
                };
                spec.unsigned(&mut out, value, letter)?;
            }
            b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' => {
                // SAFETY: (1).
                let value = unsafe { arguments.double(place, spec.length)? };
                spec.double(&mut out, value, letter)?;
            }
            b'c' if spec.length == Length::Int => {
                let byte = integer()? as u8;
                if characters == Characters::Wide && !byte.is_ascii() {
                    return Err(Errno(libc::EILSEQ));
                }
                spec.text(&mut out, &[byte])?;
            }
            b'c' | b'C' => {
                let mut text = String::new();
                push_wide(&mut text, integer()? as u32, characters)?;
                spec.text(&mut out, text.as_bytes())?;
            }
            b's' if spec.length == Length::Int => {
                let string = integer()? as *const c_char;
                let text = if string.is_null() {
                    match spec.precision {
                        Some(0..6) => b"",
                        _ => b"(null)".as_slice(),
                    }
                } else {
                    // SAFETY: (1).
                    unsafe { bounded(string, spec.precision) }
                };
                if characters == Characters::Wide && !text.is_ascii() {
                    return Err(Errno(libc::EILSEQ));
                }
                spec.text(&mut out, text)?;
            }
            b's' | b'S' => {
                let string = integer()? as *const libc::wchar_t;
                let mut text = String::new();
                if string.is_null() {
                    text.push_str(match spec.precision {
                        Some(0..6) => "",
                        _ => "(null)",
                    });
                } else {
                    for at in 0..spec.precision.unwrap_or(usize::MAX) {
                        // SAFETY: (1); the string ends with a zero, or has as many characters.
                        match unsafe { *string.add(at) } {
                            0 => break,
                            wide => push_wide(&mut text, wide.cast_unsigned(), characters)?,
                        }
                    }
                }
                spec.text(&mut out, text.as_bytes())?;
            }
            b'p' => match integer()? {
                0 => spec.text(&mut out, b"(nil)")?,
                address => spec.integer(&mut out, "0x", &format!("{address:x}"))?,
            },
            b'n' => {
                let place = integer()? as *mut c_void;
                // SAFETY: (1).
                unsafe {
                    match spec.length {
                        Length::Char => place.cast::<i8>().write(out.written as i8),
                        Length::Short => place.cast::<i16>().write(out.written as i16),
                        Length::Int => place.cast::<i32>().write(out.written as i32),
                        Length::Long | Length::LongDouble => {
                            place.cast::<i64>().write(out.written as i64);
                        }
                    }
                }
            }
            b'm' => {
                let text = strerror(error);
                // SAFETY: a C string that stays.
                let text = unsafe { bounded(text, spec.precision) };
                spec.text(&mut out, text)?;
            }
            b'%' => out.put(b"%")?,
            _ => return Err(Errno(libc::EINVAL)),
        }
    }
}
