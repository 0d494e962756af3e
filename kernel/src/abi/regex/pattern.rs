//! Patterns, basic and extended, as trees (POSIX.1-2017, XBD chapter 9; what glibc adds: `\w`, `\s`, `\b`, `\<` and their kin, and `\+`, `\?`, `\|` in basic
//! ones).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_int;

use crate::abi::patterns::{is_class, is_of_class};

/// Why a pattern is none (`REG_BADPAT` and its kin).
pub(super) const BAD_CLASS: c_int = 4;
pub(super) const BAD_ESCAPE: c_int = 5;
pub(super) const BAD_REFERENCE: c_int = 6;
pub(super) const BAD_BRACKET: c_int = 7;
pub(super) const BAD_PARENTHESIS: c_int = 8;
pub(super) const BAD_BRACE: c_int = 9;
pub(super) const BAD_COUNT: c_int = 10;
pub(super) const BAD_RANGE: c_int = 11;
pub(super) const NO_SPACE: c_int = 12;
pub(super) const BAD_REPETITION: c_int = 13;
pub(super) const BAD_COLLATION: c_int = 3;
pub(super) const BAD_PATTERN: c_int = 2;
pub(super) const TOO_BIG: c_int = 15;

/// Most that a repetition counts (`RE_DUP_MAX` of glibc).
const MOST_REPEATS: u32 = 0x7FFF;
/// Groups in groups, at most: so deep goes the parser.
const MOST_NESTED: usize = 200;

/// A set of bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Set([u64; 4]);

impl Set {
    pub(super) fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 != 0
    }

    fn remove(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] &= !(1 << (byte & 63));
    }

    fn of(is_in: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::default();
        (0..=255)
            .filter(|byte| is_in(*byte))
            .for_each(|byte| set.add(byte));
        set
    }

    fn not(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    fn folded(self) -> Self {
        Self::of(|byte| self.has(byte.to_ascii_lowercase()) || self.has(byte.to_ascii_uppercase()))
    }
}

/// What holds at a place, without a byte being taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    LineStart,
    LineEnd,
    WordStart,
    WordEnd,
    WordEdge,
    NoWordEdge,
    TextStart,
    TextEnd,
}

pub(super) enum Node {
    Set(Box<Set>),
    Anchor(Anchor),
    Group(usize, Box<Node>),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Repeat(Box<Node>, u32, Option<u32>),
    Reference(usize),
}

/// How a pattern is to be read.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) is_extended: bool,
    pub(super) is_folded: bool,
    pub(super) has_lines: bool,
}

/// A pattern as it was read.
pub(super) struct Pattern {
    pub(super) root: Node,
    pub(super) groups: usize,
    pub(super) has_references: bool,
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    manner: Manner,
    opened: usize,
    closed: Vec<usize>,
    has_references: bool,
}

type Parsed<T> = Result<T, c_int>;

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || (9..=13).contains(&byte)
}

/// Reads a pattern.
pub(super) fn read(bytes: &[u8], manner: Manner) -> Parsed<Pattern> {
    let mut parser = Parser {
        bytes,
        at: 0,
        manner,
        opened: 0,
        closed: Vec::new(),
        has_references: false,
    };
    let root = parser.choice(0)?;
    if parser.at < bytes.len() {
        return Err(BAD_PARENTHESIS);
    }
    Ok(Pattern {
        root,
        groups: parser.opened,
        has_references: parser.has_references,
    })
}

impl Parser<'_> {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// An operator: as it is in extended patterns, behind a backslash in basic ones.
    fn is_operator(&self, letter: u8) -> bool {
        match (self.rest(), self.manner.is_extended) {
            ([first, ..], true) => *first == letter,
            ([b'\\', second, ..], false) => *second == letter,
            _ => false,
        }
    }

    fn take_operator(&mut self, letter: u8) -> bool {
        let is_there = self.is_operator(letter);
        if is_there {
            self.at += if self.manner.is_extended { 1 } else { 2 };
        }
        is_there
    }

    fn set(&self, set: Set) -> Node {
        let set = if self.manner.is_folded {
            set.folded()
        } else {
            set
        };
        Node::Set(Box::new(set))
    }

    fn byte(&self, byte: u8) -> Node {
        self.set(Set::of(|other| other == byte))
    }

    fn choice(&mut self, depth: usize) -> Parsed<Node> {
        if depth > MOST_NESTED {
            return Err(NO_SPACE);
        }
        let mut all = Vec::from([self.sequence(depth)?]);
        while self.take_operator(b'|') {
            all.push(self.sequence(depth)?);
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Node::Choice(all),
        })
    }

    fn sequence(&mut self, depth: usize) -> Parsed<Node> {
        let mut nodes = Vec::new();
        while self.at < self.bytes.len() && !self.is_operator(b'|') {
            if self.is_operator(b')') && (depth > 0 || !self.manner.is_extended) {
                break;
            }
            let node = self.atom(depth, nodes.is_empty())?;
            // What stands behind an anchor repeats nothing: as at the beginning, it is no operator, or an error.
            let node = match node {
                Node::Anchor(_) => node,
                node => self.repeats(node)?,
            };
            nodes.push(node);
        }
        Ok(Node::Sequence(nodes))
    }

    /// One node.
    fn atom(&mut self, depth: usize, is_first: bool) -> Parsed<Node> {
        let is_extended = self.manner.is_extended;
        let (byte, next) = match self.rest() {
            [byte, rest @ ..] => (*byte, rest.first().copied()),
            [] => return Ok(Node::Sequence(Vec::new())),
        };
        self.at += 1;
        let node = match byte {
            b'[' => self.bracket()?,
            b'.' => {
                let has_lines = self.manner.has_lines;
                self.set(Set::of(|byte| byte != 0 && !(has_lines && byte == b'\n')))
            }
            b'(' if is_extended => return self.group(depth),
            b'*' | b'+' | b'?' | b'{' if is_extended => return Err(BAD_REPETITION),
            b'^' if is_extended || is_first => Node::Anchor(Anchor::LineStart),
            b'$' if is_extended || self.ends_here() => Node::Anchor(Anchor::LineEnd),
            b'\\' => {
                let next = next.ok_or(BAD_ESCAPE)?;
                self.at += 1;
                match next {
                    b'(' if !is_extended => return self.group(depth),
                    b'{' if !is_extended => return Err(BAD_REPETITION),
                    b'1'..=b'9' => {
                        let group = usize::from(next - b'0');
                        if !self.closed.contains(&group) {
                            return Err(BAD_REFERENCE);
                        }
                        self.has_references = true;
                        Node::Reference(group)
                    }
                    b'w' => self.set(Set::of(is_word)),
                    b'W' => self.set(Set::of(is_word).not()),
                    b's' => self.set(Set::of(is_space)),
                    b'S' => self.set(Set::of(is_space).not()),
                    b'<' => Node::Anchor(Anchor::WordStart),
                    b'>' => Node::Anchor(Anchor::WordEnd),
                    b'b' => Node::Anchor(Anchor::WordEdge),
                    b'B' => Node::Anchor(Anchor::NoWordEdge),
                    b'`' => Node::Anchor(Anchor::TextStart),
                    b'\'' => Node::Anchor(Anchor::TextEnd),
                    other => self.byte(other),
                }
            }
            other => self.byte(other),
        };
        Ok(node)
    }

    /// Whether a `$` of a basic pattern ends a line: it is the last of the pattern, of a group or of an alternative.
    fn ends_here(&self) -> bool {
        matches!(self.rest(), [] | [b'\\', b')' | b'|', ..])
    }

    fn group(&mut self, depth: usize) -> Parsed<Node> {
        self.opened += 1;
        let number = self.opened;
        let inner = self.choice(depth + 1)?;
        if !self.take_operator(b')') {
            return Err(BAD_PARENTHESIS);
        }
        self.closed.push(number);
        Ok(Node::Group(number, Box::new(inner)))
    }

    fn repeats(&mut self, mut node: Node) -> Parsed<Node> {
        for _ in 0..MOST_NESTED {
            let (least, most) = if self.rest().first() == Some(&b'*') {
                self.at += 1;
                (0, None)
            } else if self.take_operator(b'+') {
                (1, None)
            } else if self.take_operator(b'?') {
                (0, Some(1))
            } else if self.take_operator(b'{') {
                self.counts()?
            } else {
                return Ok(node);
            };
            node = Node::Repeat(Box::new(node), least, most);
        }
        Err(NO_SPACE)
    }

    /// A number, if there is one.
    fn number(&mut self) -> Option<u32> {
        let mut number = None;
        while let Some(digit @ b'0'..=b'9') = self.rest().first().copied() {
            let value = number.unwrap_or(0_u32).saturating_mul(10);
            number = Some(value.saturating_add(u32::from(digit - b'0')));
            self.at += 1;
        }
        number
    }

    fn counts(&mut self) -> Parsed<(u32, Option<u32>)> {
        let least = self.number();
        let is_range = self.rest().first() == Some(&b',');
        self.at += usize::from(is_range);
        let most = if is_range { self.number() } else { least };
        if !self.take_operator(b'}') || least.is_none() && !is_range {
            // The closing one was taken, or is still to come.
            let rest = self.bytes.get(self.at - 1..).unwrap_or_default();
            let is_closed = rest.contains(&b'}');
            return Err(if is_closed { BAD_COUNT } else { BAD_BRACE });
        }
        let least = least.unwrap_or(0);
        match most {
            Some(most) if most < least => Err(BAD_COUNT),
            most if most.unwrap_or(least) > MOST_REPEATS => Err(TOO_BIG),
            most => Ok((least, most)),
        }
    }

    /// What stands between `[:` and `:]` and their kin.
    fn named(&mut self, kind: u8) -> Parsed<&[u8]> {
        let start = self.at + 2;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let len = rest.windows(2).position(|pair| pair == [kind, b']']);
        let len = len.ok_or(BAD_BRACKET)?;
        self.at = start + len + 2;
        Ok(rest.get(..len).unwrap_or_default())
    }

    /// One end of a range.
    fn end(&mut self) -> Parsed<u8> {
        match *self.rest() {
            [b'[', kind @ (b'.' | b'='), ..] => match self.named(kind)? {
                [byte] => Ok(*byte),
                _ => Err(BAD_COLLATION),
            },
            [byte, ..] => {
                self.at += 1;
                Ok(byte)
            }
            [] => Err(BAD_BRACKET),
        }
    }

    fn bracket(&mut self) -> Parsed<Node> {
        let is_inverse = self.rest().first() == Some(&b'^');
        self.at += usize::from(is_inverse);
        let mut set = Set::default();
        let mut is_first = true;
        loop {
            match *self.rest() {
                [] if is_first => return Err(BAD_PATTERN),
                [] => return Err(BAD_BRACKET),
                [b']', ..] if !is_first => {
                    self.at += 1;
                    break;
                }
                [b'[', b':', ..] => {
                    let name = Vec::from(self.named(b':')?);
                    if !is_class(&name) {
                        return Err(BAD_CLASS);
                    }
                    let all = (0..=127).filter(|byte| is_of_class(&name, *byte));
                    all.for_each(|byte| set.add(byte));
                }
                _ => {
                    let first = self.end()?;
                    let mut last = first;
                    if matches!(self.rest(), [b'-', next, ..] if *next != b']') {
                        self.at += 1;
                        last = self.end()?;
                    }
                    if last < first {
                        return Err(BAD_RANGE);
                    }
                    (first..=last).for_each(|byte| set.add(byte));
                }
            }
            is_first = false;
        }
        if self.manner.is_folded {
            set = set.folded();
        }
        if is_inverse {
            set = set.not();
            if self.manner.has_lines {
                set.remove(b'\n');
            }
        }
        Ok(Node::Set(Box::new(set)))
    }
}
