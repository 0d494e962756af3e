//! The ELF of an image: its segments, and the entry in its PVH note. Standards: System V ABI, "Object Files" and "Program
//! Loading"; Xen, docs/misc/pvh.pandoc (note type 18, `XEN_ELFNOTE_PHYS32_ENTRY`).

use core::ops::Range;

use crate::Failure;

const HEADER_BYTES: usize = 64;
const PROGRAM_BYTES: usize = 56;
/// More segments than an image has.
pub(crate) const MOST_SEGMENTS: usize = 16;
/// Nothing of an image lies below.
const LOWEST: u64 = 0x10_0000;
const LOAD: u32 = 1;
const NOTE: u32 = 4;
const ENTRY_NOTE: u32 = 18;

/// What is to be in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    /// Physical address.
    pub(crate) start: u64,
    pub(crate) content: &'a [u8],
    /// Bytes of zeros behind the content.
    pub(crate) zeros: u64,
}

/// An ELF that has been checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Elf<'a> {
    segments: [Option<Segment<'a>>; MOST_SEGMENTS],
    /// Physical address of the 32-bit entry.
    pub(crate) entry: u32,
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self, Failure> {
        let is_right = file.len() >= HEADER_BYTES
            && file.starts_with(b"\x7fELF\x02\x01")
            && u16_at(file, 18) == Some(62)
            && u64_at(file, 32) == Some(HEADER_BYTES as u64)
            && u16_at(file, 54) == Some(PROGRAM_BYTES as u16);
        if !is_right {
            return Err(Failure::Elf("is none that can be loaded"));
        }
        let mut segments = [None; MOST_SEGMENTS];
        let mut places = segments.iter_mut();
        let mut entry = None;
        let count = usize::from(u16_at(file, 56).unwrap_or(0));
        for index in 0..count {
            const DAMAGED: Failure = Failure::Elf("has a damaged program header");
            let start = HEADER_BYTES + index * PROGRAM_BYTES;
            let program = file.get(start..start + PROGRAM_BYTES).ok_or(DAMAGED)?;
            let kind = u32_at(program, 0);
            let content = || {
                let offset = usize::try_from(u64_at(program, 8)?).ok()?;
                let len = usize::try_from(u64_at(program, 32)?).ok()?;
                file.get(offset..offset.checked_add(len)?)
            };
            if kind == Some(LOAD) {
                let segment = segment(program, content().ok_or(DAMAGED)?).ok_or(DAMAGED)?;
                *places.next().ok_or(Failure::Elf("has too many segments"))? = Some(segment);
            }
            if kind == Some(NOTE) {
                entry = entry.or(entry_in(content().ok_or(DAMAGED)?));
            }
        }
        let entry = entry.ok_or(Failure::Elf("has no PVH entry"))?;
        let elf = Self { segments, entry };
        if !elf
            .segments()
            .any(|segment| segment.range().contains(&u64::from(entry)))
        {
            return Err(Failure::Elf("has no segment to start"));
        }
        Ok(elf)
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &Segment<'a>> {
        self.segments.iter().flatten()
    }

    /// The memory from the first byte of all segments to the last.
    pub(crate) fn range(&self) -> Range<u64> {
        let start = self.segments().map(|segment| segment.start).min();
        let end = self.segments().map(|segment| segment.range().end).max();
        start.unwrap_or(0)..end.unwrap_or(0)
    }
}

impl Segment<'_> {
    fn range(&self) -> Range<u64> {
        // `segment` has checked that this is no more than 4 GiB.
        self.start..self.start + self.content.len() as u64 + self.zeros
    }
}

/// The segment of a program header, if all of it lies in the first 4 GiB.
fn segment<'a>(program: &[u8], content: &'a [u8]) -> Option<Segment<'a>> {
    let start = u64_at(program, 24)?;
    let memory_len = u64_at(program, 40)?;
    let zeros = memory_len.checked_sub(content.len() as u64)?;
    let end = start.checked_add(memory_len)?;
    (start >= LOWEST && end <= 1 << 32).then_some(Segment {
        start,
        content,
        zeros,
    })
}

/// The 32-bit entry that a segment of notes names.
fn entry_in(mut notes: &[u8]) -> Option<u32> {
    loop {
        let name_len = u32_at(notes, 0)? as usize;
        let description_len = u32_at(notes, 4)? as usize;
        let kind = u32_at(notes, 8)?;
        let rest = notes.get(12..)?;
        let (name, rest) = rest.split_at_checked(name_len.checked_next_multiple_of(4)?)?;
        let padded_len = description_len.checked_next_multiple_of(4)?;
        // The last one may lack its padding.
        let description = rest.get(..description_len)?;
        if name == b"Xen\0" && kind == ENTRY_NOTE {
            return u32_at(description, 0);
        }
        notes = rest.get(padded_len..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Elf, Failure, entry_in};

    const NOTE: &[u8] = b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0\x10\0\x10\0";

    /// A segment of 16 bytes at `start` with `memory_len` bytes in memory, and a note.
    fn elf(start: u64, memory_len: u64) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[18] = 62;
        file[32] = 64;
        file[54] = 56;
        file[56] = 2;
        for (kind, numbers) in [
            (1_u32, [176, start, start, 16, memory_len, 4096]),
            (4, [192, 0, 0, NOTE.len() as u64, 0, 4]),
        ] {
            file.extend(kind.to_le_bytes());
            file.extend([0; 4]);
            file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        file.extend([0x90; 16]);
        file.extend(NOTE);
        file
    }

    #[test]
    fn segments_and_entry_are_found() {
        let file = elf(0x10_0000, 5000);
        let elf = Elf::parse(&file).unwrap();
        assert_eq!(elf.entry, 0x10_0010);
        assert_eq!(elf.range(), 0x10_0000..0x10_0000 + 5000);
        let segments: Vec<_> = elf.segments().collect();
        assert_eq!(segments.len(), 1);
        assert_eq!(
            (segments[0].content, segments[0].zeros),
            (&[0x90; 16][..], 4984)
        );
    }

    #[test]
    fn numbers_that_lie_are_refused() {
        let damaged = Err(Failure::Elf("has a damaged program header"));
        // Below the first MiB, over the end of the first 4 GiB, and less memory than content.
        for (start, len) in [
            (0xF_F000, 5000),
            (0xFFFF_F000, 5000),
            (0x10_0000, 15),
            (u64::MAX, 16),
        ] {
            assert_eq!(Elf::parse(&elf(start, len)), damaged);
        }
        for at in [72, 96] {
            let mut file = elf(0x10_0000, 5000);
            file[at..at + 8].fill(0xFF);
            assert_eq!(Elf::parse(&file), damaged);
        }
        let mut file = elf(0x10_0000, 5000);
        file[56..58].fill(0xFF);
        assert_eq!(Elf::parse(&file), damaged);
        assert!(Elf::parse(&elf(0x20_0000, 5000)).is_err());
        for len in 0..elf(0x10_0000, 5000).len() {
            assert!(Elf::parse(&elf(0x10_0000, 5000)[..len]).is_err());
        }
    }

    #[test]
    fn notes_of_any_shape_end() {
        assert_eq!(entry_in(NOTE), Some(0x10_0010));
        let other = b"\x05\0\0\0\x01\0\0\0\x12\0\0\0Other\0\0\0\x07\0\0\0";
        assert_eq!(entry_in(&[other, NOTE].concat()), Some(0x10_0010));
        assert_eq!(entry_in(&[0xFF; 64]), None);
        assert_eq!(entry_in(&[0; 64]), None);
    }
}
