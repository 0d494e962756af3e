//! Texts from one character set to another (POSIX.1-2017, `iconv.h`): the sets of Unicode, ISO 8859-1, ASCII, and wide characters. `//IGNORE` leaves out
//! what the other set does not have, `//TRANSLIT` writes `?` for it.

use alloc::boxed::Box;
use core::ffi::{c_char, c_void};

use super::convert::text;
use super::errno;
use crate::error::Errno;

/// A character set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    Ascii,
    Latin1,
    Utf8,
    Utf16(Order),
    Ucs2(Order),
    Utf32(Order),
}

/// The order of the bytes of a unit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
    /// A mark at the beginning says so; what is written has one, in the order of the machine.
    Marked,
}

/// The mark of an order, and the same in the other one.
const MARK: u32 = 0xFEFF;
const MARK_SWAPPED_16: u32 = 0xFFFE;
const MARK_SWAPPED_32: u32 = 0xFFFE_0000;

/// What becomes of characters that the other set does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Foreign {
    Refused,
    LeftOut,
    Replaced,
}

/// A conversion.
pub(super) struct Conversion {
    from: Set,
    to: Set,
    foreign: Foreign,
    /// The order that a mark told, and whether the mark of what is written is there.
    order: Option<Order>,
    is_marked: bool,
}

/// Why a character cannot be read.
enum Unread {
    /// It is cut off.
    Cut,
    /// It is none.
    Bad,
}

fn set_of(name: &[u8]) -> Option<Set> {
    /// Names without what some write between letters and digits.
    const SETS: [(&str, Set); 30] = [
        ("", Set::Ascii),
        ("ASCII", Set::Ascii),
        ("USASCII", Set::Ascii),
        ("ANSIX3.41968", Set::Ascii),
        ("ISO646US", Set::Ascii),
        ("646", Set::Ascii),
        ("ISO88591", Set::Latin1),
        ("8859_1", Set::Latin1),
        ("LATIN1", Set::Latin1),
        ("L1", Set::Latin1),
        ("UTF8", Set::Utf8),
        ("UTF16", Set::Utf16(Order::Marked)),
        ("UTF16LE", Set::Utf16(Order::Little)),
        ("UTF16BE", Set::Utf16(Order::Big)),
        ("UNICODE", Set::Ucs2(Order::Marked)),
        ("UNICODELITTLE", Set::Ucs2(Order::Little)),
        ("UNICODEBIG", Set::Ucs2(Order::Big)),
        ("UCS2", Set::Ucs2(Order::Little)),
        ("UCS2LE", Set::Ucs2(Order::Little)),
        ("UCS2BE", Set::Ucs2(Order::Big)),
        ("ISO10646UCS2", Set::Ucs2(Order::Little)),
        ("UTF32", Set::Utf32(Order::Marked)),
        ("UTF32LE", Set::Utf32(Order::Little)),
        ("UTF32BE", Set::Utf32(Order::Big)),
        ("UCS4", Set::Utf32(Order::Big)),
        ("UCS4LE", Set::Utf32(Order::Little)),
        ("UCS4BE", Set::Utf32(Order::Big)),
        ("ISO10646", Set::Utf32(Order::Big)),
        ("INTERNAL", Set::Utf32(Order::Little)),
        ("WCHAR_T", Set::Utf32(Order::Little)),
    ];
    let letters = |name: &[u8]| -> alloc::vec::Vec<u8> {
        let kept = name.iter().filter(|byte| **byte != b'-');
        kept.map(u8::to_ascii_uppercase).collect()
    };
    let bytes = letters(name);
    let found = SETS.iter().find(|(known, _)| known.as_bytes() == bytes);
    // The underscore is a part of some names, and of others it is as good as a hyphen.
    let without: alloc::vec::Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'_').collect();
    let found = found.or_else(|| SETS.iter().find(|(known, _)| known.as_bytes() == without));
    found.map(|(_, set)| *set)
}

/// A set and what is behind two slashes.
fn named(name: &[u8]) -> Option<(Set, Foreign)> {
    let end = name.windows(2).position(|pair| pair == b"//");
    let (name, suffix) = name.split_at(end.unwrap_or(name.len()));
    let mut foreign = Foreign::Refused;
    for word in suffix.split(|byte| matches!(byte, b'/' | b',')) {
        match word.to_ascii_uppercase().as_slice() {
            b"IGNORE" => foreign = Foreign::LeftOut,
            b"TRANSLIT" if foreign == Foreign::Refused => foreign = Foreign::Replaced,
            _ => {}
        }
    }
    Some((set_of(name)?, foreign))
}

fn unit_16(bytes: &[u8], order: Order) -> Result<u32, Unread> {
    let unit = *bytes.first_chunk::<2>().ok_or(Unread::Cut)?;
    Ok(u32::from(match order {
        Order::Big => u16::from_be_bytes(unit),
        _ => u16::from_le_bytes(unit),
    }))
}

/// The first character in UTF-8 (RFC 3629, section 4), and how many bytes it has.
fn utf8(bytes: &[u8]) -> Result<(u32, usize), Unread> {
    let len = match bytes.first().ok_or(Unread::Cut)? {
        0..0x80 => 1,
        0xC2..0xE0 => 2,
        0xE0..0xF0 => 3,
        0xF0..0xF5 => 4,
        _ => return Err(Unread::Bad),
    };
    let there = bytes.get(..len.min(bytes.len())).unwrap_or_default();
    match core::str::from_utf8(there) {
        Ok(text) => Ok((text.chars().next().map_or(0, u32::from), len)),
        Err(error) if error.error_len().is_none() => Err(Unread::Cut),
        Err(_) => Err(Unread::Bad),
    }
}

impl Set {
    /// The first character, and how many bytes it has.
    fn read(self, bytes: &[u8], told: Option<Order>) -> Result<(u32, usize), Unread> {
        let order = |order| match order {
            Order::Marked => told.unwrap_or(Order::Little),
            order => order,
        };
        let first = *bytes.first().ok_or(Unread::Cut)?;
        let (value, len) = match self {
            Self::Ascii if first.is_ascii() => (first.into(), 1),
            Self::Ascii => return Err(Unread::Bad),
            Self::Latin1 => (first.into(), 1),
            Self::Utf8 => utf8(bytes)?,
            Self::Ucs2(of) => (unit_16(bytes, order(of))?, 2),
            Self::Utf16(of) => {
                let high = unit_16(bytes, order(of))?;
                match high {
                    0xD800..0xDC00 => {
                        let low = unit_16(bytes.get(2..).unwrap_or_default(), order(of))?;
                        if !(0xDC00..0xE000).contains(&low) {
                            return Err(Unread::Bad);
                        }
                        (0x1_0000 + ((high & 0x3FF) << 10 | low & 0x3FF), 4)
                    }
                    unit => (unit, 2),
                }
            }
            Self::Utf32(of) => {
                let unit = *bytes.first_chunk::<4>().ok_or(Unread::Cut)?;
                let value = match order(of) {
                    Order::Big => u32::from_be_bytes(unit),
                    _ => u32::from_le_bytes(unit),
                };
                (value, 4)
            }
        };
        match char::from_u32(value) {
            Some(_) => Ok((value, len)),
            None => Err(Unread::Bad),
        }
    }

    /// A character's bytes, if the set has it.
    fn write(self, value: u32, out: &mut [u8; 4]) -> Option<usize> {
        let letter = char::from_u32(value)?;
        let is_big = |order| order == Order::Big;
        let mut units = [0; 2];
        let units = match self {
            Self::Ascii => {
                out[0] = u8::try_from(value).ok().filter(u8::is_ascii)?;
                return Some(1);
            }
            Self::Latin1 => {
                out[0] = u8::try_from(value).ok()?;
                return Some(1);
            }
            Self::Utf8 => return Some(letter.encode_utf8(out).len()),
            Self::Utf32(order) => {
                *out = if is_big(order) {
                    value.to_be_bytes()
                } else {
                    value.to_le_bytes()
                };
                return Some(4);
            }
            Self::Ucs2(_) if value > 0xFFFF => return None,
            Self::Ucs2(_) | Self::Utf16(_) => letter.encode_utf16(&mut units),
        };
        let (Self::Ucs2(order) | Self::Utf16(order)) = self else {
            return None;
        };
        let places = out.as_chunks_mut::<2>().0.iter_mut();
        for (place, unit) in places.zip(units.iter()) {
            *place = if is_big(order) {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            };
        }
        Some(2 * units.len())
    }

    fn is_marked(self) -> bool {
        matches!(
            self,
            Self::Utf16(Order::Marked) | Self::Ucs2(Order::Marked) | Self::Utf32(Order::Marked)
        )
    }
}

/// Puts bytes at the beginning of a place, of which the rest is left; whether they fit.
fn put(place: &mut &mut [u8], bytes: &[u8]) -> bool {
    if place.len() < bytes.len() {
        return false;
    }
    let (here, rest) = core::mem::take(place).split_at_mut(bytes.len());
    here.copy_from_slice(bytes);
    *place = rest;
    true
}

impl Conversion {
    /// Takes a mark at the beginning of what is read; how many bytes it has.
    fn take_mark(&mut self, bytes: &[u8]) -> usize {
        let (value, len, swapped) = match self.from {
            Set::Utf32(_) => {
                let Some(unit) = bytes.first_chunk::<4>() else {
                    return 0;
                };
                (u32::from_le_bytes(*unit), 4, MARK_SWAPPED_32)
            }
            _ => match unit_16(bytes, Order::Little) {
                Ok(unit) => (unit, 2, MARK_SWAPPED_16),
                Err(_) => return 0,
            },
        };
        let (order, len) = match value {
            MARK => (Order::Little, len),
            value if value == swapped => (Order::Big, len),
            _ => (Order::Little, 0),
        };
        self.order = Some(order);
        len
    }

    /// Converts as much as there is and as there is room for; how many characters were not there in the other set, and what ended it.
    fn run(&mut self, from: &mut &[u8], to: &mut &mut [u8]) -> (usize, Option<Errno>) {
        let mut foreign = 0;
        if self.from.is_marked() && self.order.is_none() {
            let len = self.take_mark(from);
            *from = from.get(len..).unwrap_or_default();
        }
        if self.to.is_marked() && !self.is_marked && !from.is_empty() {
            let mut mark = [0; 4];
            let len = self.to.write(MARK, &mut mark).unwrap_or(0);
            if !put(to, &mark[..len]) {
                return (foreign, Some(Errno(libc::E2BIG)));
            }
            self.is_marked = true;
        }
        while !from.is_empty() {
            let (value, len) = match self.from.read(from, self.order) {
                Ok(read) => read,
                Err(Unread::Cut) => return (foreign, Some(Errno(libc::EINVAL))),
                Err(Unread::Bad) => return (foreign, Some(Errno(libc::EILSEQ))),
            };
            let mut letter = [0; 4];
            let written = match (self.to.write(value, &mut letter), self.foreign) {
                (Some(written), _) => written,
                (None, Foreign::Refused) => return (foreign, Some(Errno(libc::EILSEQ))),
                (None, Foreign::LeftOut) => {
                    foreign += 1;
                    0
                }
                (None, Foreign::Replaced) => {
                    foreign += 1;
                    self.to.write(u32::from('?'), &mut letter).unwrap_or(0)
                }
            };
            if !put(to, &letter[..written]) {
                return (foreign, Some(Errno(libc::E2BIG)));
            }
            *from = from.get(len..).unwrap_or_default();
        }
        // What was left out is an error for who asks at the end, as glibc has it.
        match foreign != 0 && self.foreign == Foreign::LeftOut {
            true => (foreign, Some(Errno(libc::EILSEQ))),
            false => (foreign, None),
        }
    }
}

/// Makes a conversion; `EINVAL` for sets that are not known.
///
/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn iconv_open(to: *const c_char, from: *const c_char) -> *mut c_void {
    // SAFETY: the caller's strings.
    let names = unsafe { text(to).and_then(|to| Ok((to, text(from)?))) };
    let conversion = names.ok().and_then(|(to, from)| {
        let ((to, foreign), (from, _)) = (named(to)?, named(from)?);
        Some(Conversion {
            from,
            to,
            foreign,
            order: None,
            is_marked: false,
        })
    });
    match conversion {
        Some(conversion) => Box::into_raw(Box::new(conversion)).cast(),
        None => {
            errno::set(Errno(libc::EINVAL));
            core::ptr::without_provenance_mut(usize::MAX)
        }
    }
}

/// Converts; how many characters were converted in a way that does not lead back. What is left is told by the places and lengths.
///
/// # Safety
/// 1. `conversion` is of [`iconv_open`].
/// 2. `from` and `to` are null, or point to places of as many bytes as their lengths say, the latter to be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn iconv(
    conversion: *mut Conversion,
    from: *mut *mut c_char,
    from_len: *mut usize,
    to: *mut *mut c_char,
    to_len: *mut usize,
) -> usize {
    // SAFETY: (1).
    let conversion = unsafe { &mut *conversion };
    // SAFETY: (2).
    let is_reset = from.is_null() || unsafe { (*from).is_null() };
    if is_reset {
        // Begins anew. None of the sets has anything to end with.
        conversion.order = None;
        conversion.is_marked = false;
        return 0;
    }
    if from_len.is_null() || to.is_null() || to_len.is_null() {
        errno::set(Errno(libc::EFAULT));
        return usize::MAX;
    }
    // SAFETY: (2).
    unsafe {
        let mut source = core::slice::from_raw_parts((*from).cast::<u8>(), *from_len);
        let mut place = core::slice::from_raw_parts_mut((*to).cast::<u8>(), *to_len);
        let (foreign, error) = conversion.run(&mut source, &mut place);
        *from = (*from).add(*from_len - source.len());
        *from_len = source.len();
        *to = (*to).add(*to_len - place.len());
        *to_len = place.len();
        match error {
            Some(error) => {
                errno::set(error);
                usize::MAX
            }
            None => foreign,
        }
    }
}

/// Lets go of a conversion.
///
/// # Safety
/// It is of [`iconv_open`], and not used any more.
#[unsafe(no_mangle)]
unsafe extern "C" fn iconv_close(conversion: *mut Conversion) -> i32 {
    // SAFETY: it came from a box.
    drop(unsafe { Box::from_raw(conversion) });
    0
}
