//! What stands behind a `%` in a format, and the arguments that it takes, one after the other or by position (`%2$s`; POSIX.1-2017,
//! `fprintf`).

use alloc::vec::Vec;
use core::ffi::{c_char, c_int};

use crate::abi::variadic::VaList;
use crate::error::{Errno, Result};

/// Positions go up to this number (glibc's `NL_ARGMAX`).
const MOST_POSITIONS: usize = 4096;

/// How wide an argument is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Length {
    Char,
    Short,
    Int,
    Long,
    LongDouble,
}

/// Where an argument stands: behind the one that was taken last, or by its position, from 0.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Next,
    At(usize),
}

/// A width or a precision.
#[derive(Clone, Copy)]
pub(super) enum Amount {
    None,
    Fixed(usize),
    Argument(Place),
}

/// One conversion as it is written.
pub(super) struct Conversion {
    pub(super) is_left: bool,
    pub(super) is_alternate: bool,
    pub(super) is_zero_padded: bool,
    /// What stands before numbers that are not negative: `+`, a space or nothing.
    pub(super) plus: &'static str,
    pub(super) width: Amount,
    pub(super) precision: Amount,
    pub(super) length: Length,
    pub(super) place: Place,
    /// Zero where the format ends too early.
    pub(super) letter: u8,
}

/// How the caller passed an argument.
#[derive(Clone, Copy)]
enum Kind {
    Integer,
    Double,
    LongDouble,
}

impl Conversion {
    /// What its own argument is; `None` where it takes none.
    fn kind(&self) -> Option<Kind> {
        match (self.letter, self.length) {
            (b'%' | b'm' | 0, _) => None,
            (b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A', Length::LongDouble) => {
                Some(Kind::LongDouble)
            }
            (b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A', _) => Some(Kind::Double),
            _ => Some(Kind::Integer),
        }
    }
}

/// Reads a format from its beginning to its end.
pub(super) struct Reader {
    pub(super) next: *const c_char,
}

impl Reader {
    /// The next byte, which stays; zero at the end.
    pub(super) fn peek(&self) -> u8 {
        // SAFETY: the reader never goes behind the zero of a C string.
        unsafe { *self.next as u8 }
    }

    pub(super) fn skip(&mut self) {
        if self.peek() != 0 {
            // SAFETY: not the last byte.
            self.next = unsafe { self.next.add(1) };
        }
    }

    fn skip_if(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == byte;
        if is_there {
            self.skip();
        }
        is_there
    }

    fn number(&mut self) -> Option<usize> {
        let mut value = None;
        while self.peek().is_ascii_digit() {
            let digit = usize::from(self.peek() - b'0');
            let before = value.unwrap_or(0_usize);
            value = Some(before.saturating_mul(10).saturating_add(digit));
            self.skip();
        }
        value
    }

    /// A position, where one is written.
    fn place(&mut self) -> Result<Place> {
        let start = self.next;
        match self.number() {
            Some(position) if self.skip_if(b'$') => match position {
                1..=MOST_POSITIONS => Ok(Place::At(position - 1)),
                _ => Err(Errno(libc::EINVAL)),
            },
            _ => {
                self.next = start;
                Ok(Place::Next)
            }
        }
    }

    fn amount(&mut self) -> Result<Amount> {
        if self.skip_if(b'*') {
            return self.place().map(Amount::Argument);
        }
        match self.number() {
            Some(number) if number > c_int::MAX as usize => Err(Errno(libc::EOVERFLOW)),
            Some(number) => Ok(Amount::Fixed(number)),
            None => Ok(Amount::None),
        }
    }

    /// Goes to the next `%`, behind it, and over the conversion there; `None` at the end of the format. What stands before the `%` is
    /// given to `text`.
    ///
    /// # Errors
    /// `EINVAL` for a position that cannot be, `EOVERFLOW` for a width or precision that no `int` holds; those of `text`.
    pub(super) fn conversion(
        &mut self,
        text: impl FnOnce(*const c_char, usize) -> Result<()>,
    ) -> Result<Option<Conversion>> {
        let start = self.next;
        let mut len = 0;
        while !matches!(self.peek(), 0 | b'%') {
            self.skip();
            len += 1;
        }
        text(start, len)?;
        if !self.skip_if(b'%') {
            return Ok(None);
        }
        let mut conversion = Conversion {
            is_left: false,
            is_alternate: false,
            is_zero_padded: false,
            plus: "",
            width: Amount::None,
            precision: Amount::None,
            length: Length::Int,
            place: self.place()?,
            letter: 0,
        };
        loop {
            match self.peek() {
                b'-' => conversion.is_left = true,
                b'#' => conversion.is_alternate = true,
                b'0' => conversion.is_zero_padded = true,
                b'+' => conversion.plus = "+",
                b' ' if conversion.plus.is_empty() => conversion.plus = " ",
                b' ' | b'\'' => {}
                _ => break,
            }
            self.skip();
        }
        conversion.width = self.amount()?;
        if self.skip_if(b'.') {
            conversion.precision = match self.amount()? {
                Amount::None => Amount::Fixed(0),
                amount => amount,
            };
        }
        conversion.length = self.length();
        conversion.letter = self.peek();
        self.skip();
        Ok(Some(conversion))
    }

    fn length(&mut self) -> Length {
        match self.peek() {
            b'h' => {
                self.skip();
                if self.skip_if(b'h') {
                    Length::Char
                } else {
                    Length::Short
                }
            }
            b'L' => {
                self.skip();
                Length::LongDouble
            }
            letter @ (b'l' | b'q' | b'j' | b'z' | b'Z' | b't') => {
                self.skip();
                if letter == b'l' {
                    self.skip_if(b'l');
                }
                Length::Long
            }
            _ => Length::Int,
        }
    }
}

/// The arguments of a format.
pub(super) struct Arguments<'a> {
    list: &'a mut VaList,
    /// What all of them are, where the format takes them by position: integers, or the bits of a `double`.
    by_position: Vec<u64>,
}

impl<'a> Arguments<'a> {
    /// # Errors
    /// `EINVAL` if the format takes arguments by position and in order; `ENOMEM`.
    ///
    /// # Safety
    /// 1. `format` is a C string, and `list` has what it says.
    pub(super) unsafe fn new(list: &'a mut VaList, format: *const c_char) -> Result<Self> {
        let mut arguments = Self {
            list,
            by_position: Vec::new(),
        };
        // SAFETY: a C string (1).
        if unsafe { libc_strchr(format, c_int::from(b'$')) }.is_null() {
            return Ok(arguments);
        }
        for kind in kinds_by_position(format)? {
            // SAFETY: (1); what no conversion takes is an `int`, as glibc has it.
            let value = unsafe { arguments.next(kind) };
            arguments.by_position.push(value);
        }
        Ok(arguments)
    }

    /// # Safety
    /// 1. The caller passed such an argument there.
    unsafe fn next(&mut self, kind: Kind) -> u64 {
        // SAFETY: (1).
        unsafe {
            match kind {
                Kind::Integer => self.list.integer(),
                Kind::Double => self.list.double().to_bits(),
                Kind::LongDouble => self.list.long_double().to_bits(),
            }
        }
    }

    /// # Safety
    /// 1. The caller passed such an argument there.
    unsafe fn take(&mut self, place: Place, kind: Kind) -> Result<u64> {
        match place {
            Place::At(position) => {
                let value = self.by_position.get(position);
                value.copied().ok_or(Errno(libc::EINVAL))
            }
            // SAFETY: (1).
            Place::Next => Ok(unsafe { self.next(kind) }),
        }
    }

    /// An integer or pointer; shorter ones are in the low bits.
    ///
    /// # Safety
    /// 1. The caller passed such an argument there.
    pub(super) unsafe fn integer(&mut self, place: Place) -> Result<u64> {
        // SAFETY: (1).
        unsafe { self.take(place, Kind::Integer) }
    }

    /// A `double`, or a `long double` as near as a `double` comes to it.
    ///
    /// # Safety
    /// 1. The caller passed such an argument there.
    pub(super) unsafe fn double(&mut self, place: Place, length: Length) -> Result<f64> {
        let kind = match length {
            Length::LongDouble => Kind::LongDouble,
            _ => Kind::Double,
        };
        // SAFETY: (1).
        unsafe { self.take(place, kind) }.map(f64::from_bits)
    }
}

unsafe extern "C" {
    #[link_name = "strchr"]
    fn libc_strchr(string: *const c_char, byte: c_int) -> *const c_char;
}

/// What the arguments of a format are that takes them by position; none if it takes them in order.
fn kinds_by_position(format: *const c_char) -> Result<Vec<Kind>> {
    let mut kinds: Vec<Kind> = Vec::new();
    let mut is_in_order = false;
    let mut reader = Reader { next: format };
    while let Some(conversion) = reader.conversion(|_, _| Ok(()))? {
        let amount = |amount| match amount {
            Amount::Argument(place) => Some((place, Kind::Integer)),
            _ => None,
        };
        let own = conversion.kind().map(|kind| (conversion.place, kind));
        let taken = [amount(conversion.width), amount(conversion.precision), own];
        for (place, kind) in taken.into_iter().flatten() {
            let Place::At(position) = place else {
                is_in_order = true;
                continue;
            };
            if kinds.len() <= position {
                let more = position + 1 - kinds.len();
                kinds.try_reserve(more).map_err(|_| Errno(libc::ENOMEM))?;
                kinds.resize(position + 1, Kind::Integer);
            }
            kinds[position] = kind;
        }
    }
    match is_in_order && !kinds.is_empty() {
        true => Err(Errno(libc::EINVAL)),
        false => Ok(kinds),
    }
}
