//! Patterns as programs, and the search for what they match: of the places that begin first the longest (POSIX.1-2017, XBD 9.1), and of equally
//! long ones that whose alternatives come first and whose repetitions take most, as glibc has it.

use alloc::vec;
use alloc::vec::Vec;
use core::ffi::c_int;

use super::pattern::{Anchor, NO_SPACE, Node, Pattern, Set, is_word};

/// Longest program: counted repetitions make copies.
const MOST_STEPS: usize = 1 << 16;
/// Steps of a search with references. Without them a search goes by no place twice, which ends soon enough.
const PATIENCE: usize = 20_000_000;

#[derive(Clone, Copy)]
enum Step {
    Set(usize),
    Anchor(Anchor),
    /// The first way, then the second.
    Split(usize, usize),
    Jump(usize),
    /// Notes the place.
    Save(usize),
    /// Notes the place where a turn of a loop begins, and whether it is the first.
    Turn(usize, bool),
    /// Once more from the first or on at the second, if something was taken in this turn; only the first turn may take nothing.
    Again(usize, usize, usize),
    Reference(usize),
    End,
}

/// A program.
pub(super) struct Program {
    steps: Vec<Step>,
    sets: Vec<Set>,
    /// Places that are noted: two of each group and of the whole, then one of each loop.
    slots: usize,
    groups: usize,
    has_references: bool,
    is_folded: bool,
    has_lines: bool,
}

/// What is searched, and how.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) text: &'a [u8],
    /// Its ends are no ends of lines.
    pub(super) is_cut_before: bool,
    pub(super) is_cut_behind: bool,
}

enum Frame {
    Way(usize, usize),
    Restore(usize, usize),
}

/// A place that was not noted.
const NOWHERE: usize = usize::MAX;

/// What is noted of a turn of a loop: where it began, and whether it is the first.
fn turn(at: usize, is_first: bool) -> usize {
    2 * at + usize::from(is_first)
}

/// The two places of a group.
fn group_of(slots: &[usize], group: usize) -> (usize, usize) {
    let place = |at: usize| slots.get(at).copied().unwrap_or(NOWHERE);
    (place(2 * group), place(2 * group + 1))
}

impl Program {
    /// # Errors
    /// `REG_ESPACE`: it would be too long.
    pub(super) fn new(pattern: &Pattern, is_folded: bool, has_lines: bool) -> Result<Self, c_int> {
        let mut program = Self {
            steps: Vec::new(),
            sets: Vec::new(),
            slots: 2 * (pattern.groups + 1),
            groups: pattern.groups,
            has_references: pattern.has_references,
            is_folded,
            has_lines,
        };
        program.write(&pattern.root)?;
        program.push(Step::End)?;
        Ok(program)
    }

    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    fn push(&mut self, step: Step) -> Result<usize, c_int> {
        if self.steps.len() >= MOST_STEPS || self.steps.try_reserve(1).is_err() {
            return Err(NO_SPACE);
        }
        self.steps.push(step);
        Ok(self.steps.len() - 1)
    }

    fn put(&mut self, at: usize, step: Step) {
        if let Some(place) = self.steps.get_mut(at) {
            *place = step;
        }
    }

    fn write(&mut self, node: &Node) -> Result<(), c_int> {
        match node {
            Node::Set(set) => {
                let known = self.sets.iter().position(|known| known == &**set);
                let index = known.unwrap_or_else(|| {
                    self.sets.push(**set);
                    self.sets.len() - 1
                });
                self.push(Step::Set(index))?;
            }
            Node::Anchor(anchor) => drop(self.push(Step::Anchor(*anchor))?),
            Node::Reference(group) => drop(self.push(Step::Reference(*group))?),
            Node::Group(number, inner) => {
                self.push(Step::Save(2 * number))?;
                self.write(inner)?;
                self.push(Step::Save(2 * number + 1))?;
            }
            Node::Sequence(nodes) => nodes.iter().try_for_each(|node| self.write(node))?,
            Node::Choice(nodes) => {
                let mut ends = Vec::new();
                for (at, node) in nodes.iter().enumerate() {
                    if at + 1 == nodes.len() {
                        self.write(node)?;
                        break;
                    }
                    let split = self.push(Step::Jump(0))?;
                    self.write(node)?;
                    ends.push(self.push(Step::Jump(0))?);
                    self.put(split, Step::Split(split + 1, self.steps.len()));
                }
                let end = self.steps.len();
                ends.into_iter()
                    .for_each(|at| self.put(at, Step::Jump(end)));
            }
            Node::Repeat(node, least, most) => self.repeat(node, *least, *most)?,
        }
        Ok(())
    }

    fn repeat(&mut self, node: &Node, least: u32, most: Option<u32>) -> Result<(), c_int> {
        let Some(most) = most else {
            (1..least).try_for_each(|_| self.write(node))?;
            // The last that must be, or the first that may, is the body of the loop.
            let mark = self.slots;
            self.slots += 1;
            let split = match least {
                0 => Some(self.push(Step::Jump(0))?),
                _ => None,
            };
            let first = self.push(Step::Turn(mark, true))?;
            self.push(Step::Jump(first + 3))?;
            let begin = self.push(Step::Turn(mark, false))?;
            self.write(node)?;
            let end = self.push(Step::Jump(0))? + 1;
            self.put(end - 1, Step::Again(mark, begin, end));
            if let Some(split) = split {
                self.put(split, Step::Split(first, end));
            }
            return Ok(());
        };
        (0..least).try_for_each(|_| self.write(node))?;
        let mut splits = Vec::new();
        for _ in least..most {
            splits.push(self.push(Step::Jump(0))?);
            self.write(node)?;
        }
        let end = self.steps.len();
        for at in splits {
            self.put(at, Step::Split(at + 1, end));
        }
        Ok(())
    }

    fn holds(&self, anchor: Anchor, search: &Search<'_>, at: usize) -> bool {
        let text = search.text;
        let before = at.checked_sub(1).and_then(|at| text.get(at).copied());
        let behind = text.get(at).copied();
        let (was_word, is_word) = (before.is_some_and(is_word), behind.is_some_and(is_word));
        match anchor {
            Anchor::LineStart => match before {
                None => !search.is_cut_before,
                Some(byte) => self.has_lines && byte == b'\n',
            },
            Anchor::LineEnd => match behind {
                None => !search.is_cut_behind,
                Some(byte) => self.has_lines && byte == b'\n',
            },
            Anchor::WordStart => !was_word && is_word,
            Anchor::WordEnd => was_word && !is_word,
            Anchor::WordEdge => was_word != is_word,
            Anchor::NoWordEdge => was_word == is_word,
            Anchor::TextStart => before.is_none(),
            Anchor::TextEnd => behind.is_none(),
        }
    }

    /// Where a repetition of a group ends, if it is one.
    fn repeated(&self, slots: &[usize], group: usize, text: &[u8], at: usize) -> Option<usize> {
        let (start, end) = group_of(slots, group);
        let wanted = text.get(start..end)?;
        let there = text.get(at..at.checked_add(wanted.len())?)?;
        let is_it = match self.is_folded {
            true => there.eq_ignore_ascii_case(wanted),
            false => there == wanted,
        };
        is_it.then_some(at + wanted.len())
    }

    /// The places of the first match: of the whole and of each group.
    ///
    /// # Errors
    /// `REG_ESPACE`: there is no memory, or it would take too long.
    pub(super) fn find(&self, search: &Search<'_>) -> Result<Option<Vec<(usize, usize)>>, c_int> {
        let mut patience = PATIENCE;
        let mut seen = Vec::new();
        if !self.has_references {
            let bits = self.steps.len() * (search.text.len() + 1);
            let words = bits.div_ceil(64);
            seen.try_reserve_exact(words).map_err(|_| NO_SPACE)?;
            seen.resize(words, 0);
        }
        for start in 0..=search.text.len() {
            // Ways that were gone in vain from an earlier start are in vain from this one too.
            let found = self.run(search, start, &mut patience, &mut seen);
            if patience == 0 {
                return Err(NO_SPACE);
            }
            if let Some(slots) = found {
                let groups = (0..=self.groups).map(|group| group_of(&slots, group));
                return Ok(Some(groups.collect()));
            }
        }
        Ok(None)
    }

    /// The best match that begins at a place: among those that go by no place that was `seen`, or with references among all of them as long
    /// as there is `patience`.
    fn run(
        &self,
        search: &Search<'_>,
        start: usize,
        patience: &mut usize,
        seen: &mut [u64],
    ) -> Option<Vec<usize>> {
        let text = search.text;
        let mut slots = vec![NOWHERE; self.slots];
        slots[0] = start;
        let mut best: Option<Vec<usize>> = None;
        let mut frames = Vec::from([Frame::Way(0, start)]);
        while let Some(frame) = frames.pop() {
            let (mut pc, mut at) = match frame {
                Frame::Restore(slot, old) => {
                    slots[slot] = old;
                    continue;
                }
                Frame::Way(pc, at) => (pc, at),
            };
            loop {
                if !self.has_references {
                    let bit = at * self.steps.len() + pc;
                    let Some(word) = seen.get_mut(bit / 64) else {
                        break;
                    };
                    if *word >> (bit % 64) & 1 != 0 {
                        break;
                    }
                    *word |= 1 << (bit % 64);
                } else {
                    *patience = patience.saturating_sub(1);
                    if *patience == 0 {
                        return None;
                    }
                }
                let Some(step) = self.steps.get(pc) else {
                    break;
                };
                pc += 1;
                match *step {
                    Step::Set(set) => match (self.sets.get(set), text.get(at)) {
                        (Some(set), Some(byte)) if set.has(*byte) => at += 1,
                        _ => break,
                    },
                    Step::Anchor(anchor) if self.holds(anchor, search, at) => {}
                    Step::Anchor(_) => break,
                    Step::Split(first, second) => {
                        frames.push(Frame::Way(second, at));
                        pc = first;
                    }
                    Step::Jump(to) => pc = to,
                    Step::Save(slot) => {
                        frames.push(Frame::Restore(slot, slots[slot]));
                        slots[slot] = at;
                    }
                    Step::Turn(mark, is_first) => {
                        frames.push(Frame::Restore(mark, slots[mark]));
                        slots[mark] = turn(at, is_first);
                    }
                    Step::Again(mark, _, end) if slots[mark] == turn(at, true) => pc = end,
                    Step::Again(mark, _, _) if slots[mark] == turn(at, false) => break,
                    Step::Again(_, begin, end) => {
                        frames.push(Frame::Way(end, at));
                        pc = begin;
                    }
                    Step::Reference(group) => match self.repeated(&slots, group, text, at) {
                        Some(end) => at = end,
                        None => break,
                    },
                    Step::End => {
                        slots[1] = at;
                        if best.as_ref().is_none_or(|best| at > best[1]) {
                            best = Some(slots.clone());
                        }
                        break;
                    }
                }
            }
        }
        best
    }
}
