//! Kinds of characters (ISO C17, section 7.4), in the only locale there is, `C`: functions, and the tables that glibc's macros read.

use core::ffi::c_int;

macro_rules! kinds {
    ($($name:ident = $test:expr;)*) => {$(
        #[doc = concat!("See `", stringify!($name), "` of C.")]
        #[unsafe(no_mangle)]
        extern "C" fn $name(character: c_int) -> c_int {
            let test: fn(&u8) -> bool = $test;
            c_int::from(u8::try_from(character).is_ok_and(|byte| test(&byte)))
        }
    )*};
}

kinds! {
    isalpha = u8::is_ascii_alphabetic;
    isdigit = u8::is_ascii_digit;
    isalnum = u8::is_ascii_alphanumeric;
    isupper = u8::is_ascii_uppercase;
    islower = u8::is_ascii_lowercase;
    isxdigit = u8::is_ascii_hexdigit;
    ispunct = u8::is_ascii_punctuation;
    iscntrl = u8::is_ascii_control;
    isgraph = u8::is_ascii_graphic;
    isprint = |byte| (0x20..0x7F).contains(byte);
    isspace = |byte| is_space(*byte);
    isblank = |byte| matches!(byte, b' ' | b'\t');
    isascii = u8::is_ascii;
}

/// Space, tab, line feed, vertical tab, form feed, carriage return.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[unsafe(no_mangle)]
extern "C" fn toupper(character: c_int) -> c_int {
    match u8::try_from(character) {
        Ok(byte) => c_int::from(byte.to_ascii_uppercase()),
        Err(_) => character,
    }
}

#[unsafe(no_mangle)]
extern "C" fn tolower(character: c_int) -> c_int {
    match u8::try_from(character) {
        Ok(byte) => c_int::from(byte.to_ascii_lowercase()),
        Err(_) => character,
    }
}

/// The tables begin with -128, for callers with signed characters.
const BELOW: usize = 128;
/// The place of 0 in a table, which is where C looks from.
pub(super) const ZERO: usize = BELOW;
const LEN: usize = BELOW + 256;

pub(super) struct Table<T: 'static> {
    pub(super) table: &'static [T; LEN],
}

/// Kinds of a character as bits, in the order of glibc's `ctype.h` for little-endian processors.
const fn kind_bits(byte: u8) -> u16 {
    let kinds = [
        byte.is_ascii_uppercase(),
        byte.is_ascii_lowercase(),
        byte.is_ascii_alphabetic(),
        byte.is_ascii_digit(),
        byte.is_ascii_hexdigit(),
        is_space(byte),
        byte >= 0x20 && byte < 0x7F,
        byte.is_ascii_graphic(),
        matches!(byte, b' ' | b'\t'),
        byte.is_ascii_control(),
        byte.is_ascii_punctuation(),
        byte.is_ascii_alphanumeric(),
    ];
    let mut bits = 0;
    let mut kind = 0;
    while kind < kinds.len() {
        if kinds[kind] {
            // The first eight are in the upper byte.
            bits |= 1 << ((kind + 8) % 16);
        }
        kind += 1;
    }
    bits
}

const fn kind_table() -> [u16; LEN] {
    let mut table = [0; LEN];
    let mut byte = 0;
    while byte < 128 {
        table[BELOW + byte] = kind_bits(byte as u8);
        byte += 1;
    }
    table
}

const fn case_table(is_upper: bool) -> [i32; LEN] {
    let mut table = [0; LEN];
    let mut place = 0;
    while place < LEN {
        let byte = place as i32 - BELOW as i32;
        table[place] = match byte {
            0..=127 if is_upper => (byte as u8).to_ascii_uppercase() as i32,
            0..=127 => (byte as u8).to_ascii_lowercase() as i32,
            _ => byte,
        };
        place += 1;
    }
    table
}

pub(super) static KINDS: Table<u16> = Table {
    table: &const { kind_table() },
};
pub(super) static UPPER: Table<i32> = Table {
    table: &const { case_table(true) },
};
pub(super) static LOWER: Table<i32> = Table {
    table: &const { case_table(false) },
};

/// A pointer to a table's entry for 0, where C finds it.
struct Middle<T: 'static>(*const T);

// SAFETY: constant data.
unsafe impl<T> Sync for Middle<T> {}

static KINDS_MIDDLE: Middle<u16> = Middle(&raw const KINDS.table[BELOW]);
static UPPER_MIDDLE: Middle<i32> = Middle(&raw const UPPER.table[BELOW]);
static LOWER_MIDDLE: Middle<i32> = Middle(&raw const LOWER.table[BELOW]);

#[unsafe(no_mangle)]
extern "C" fn __ctype_b_loc() -> *const *const u16 {
    &raw const KINDS_MIDDLE.0
}

#[unsafe(no_mangle)]
extern "C" fn __ctype_toupper_loc() -> *const *const i32 {
    &raw const UPPER_MIDDLE.0
}

#[unsafe(no_mangle)]
extern "C" fn __ctype_tolower_loc() -> *const *const i32 {
    &raw const LOWER_MIDDLE.0
}
