//! The ELF of an image: reads what the linker made, writes the least that boots.
//!
//! The order and number of program headers stay as they are, because the kernel reads them in
//! memory, in the first segment (`__ehdr_start`). Standard: System V ABI, "Object Files" and
//! "Program Loading".

use object::LittleEndian;
use object::elf::{
    EM_X86_64, ET_EXEC, FileHeader64, PF_X, PT_DYNAMIC, PT_GNU_STACK, PT_INTERP, PT_LOAD,
};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::ImageError;
use super::hold::RESERVED;

const HEADER_LEN: usize = 64;
const PROGRAM_LEN: usize = 56;
/// Size of the pages that segments are aligned to in memory.
const PAGE: u64 = 4096;
/// In the file of an image, segments need no pages of their own: loaders copy them.
const FILE_ALIGN: u64 = 16;

/// One program header. Names as in the standard, sizes in bytes.
#[derive(Clone, Debug)]
struct Program {
    kind: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    paddr: u64,
    filesz: u64,
    memsz: u64,
    align: u64,
    /// What is loaded, `filesz` bytes; empty for all but `PT_LOAD`.
    content: Vec<u8>,
}

impl Program {
    fn memory_end(&self) -> Option<u64> {
        self.vaddr.checked_add(self.memsz)
    }

    /// Whether the file has the `len` bytes from `vaddr` as part of this segment.
    fn has_in_file(&self, vaddr: u64, len: u64) -> bool {
        let end = self.vaddr.checked_add(self.filesz);
        vaddr >= self.vaddr && vaddr.checked_add(len).is_some_and(|last| Some(last) <= end)
    }
}

/// A static x86-64 ELF whose program headers have been checked.
pub(super) struct Elf {
    /// The file header as linked; `write` clears what speaks of sections.
    header: [u8; HEADER_LEN],
    programs: Vec<Program>,
}

impl Elf {
    /// Where loaders enter.
    pub(super) fn entry(&self) -> u64 {
        let bytes = self.header[24..].first_chunk();
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Behind the last byte of memory that a segment takes.
    pub(super) fn memory_end(&self) -> u64 {
        let ends = self.programs.iter().filter_map(Program::memory_end);
        ends.max().unwrap_or(0)
    }

    /// Reads and checks headers and segments of `file`.
    pub(super) fn parse(file: &[u8]) -> Result<Self, ImageError> {
        let unsuitable = |what| Err(ImageError::Unsuitable(what));
        let Some(header) = file.first_chunk::<HEADER_LEN>() else {
            return unsuitable("it is shorter than an ELF header");
        };
        let ident = (&header[..4], header[4], header[5]);
        match ident {
            (b"\x7fELF", 2, 1) => {}
            (b"\x7fELF", _, _) => return unsuitable("it is not little-endian ELF64"),
            _ => return unsuitable("it does not start with the ELF magic"),
        }
        let parsed = FileHeader64::<LittleEndian>::parse(file)
            .map_err(|_| ImageError::Unsuitable("its header has an unknown version"))?;
        let endian = LittleEndian;
        if parsed.e_machine(endian) != EM_X86_64 {
            return unsuitable("it is not for x86-64");
        }
        if parsed.e_type(endian) != ET_EXEC {
            return unsuitable("it is not a static executable (ET_EXEC)");
        }
        let is_plain = parsed.e_phoff(endian) == HEADER_LEN as u64
            && usize::from(parsed.e_ehsize(endian)) == HEADER_LEN
            && usize::from(parsed.e_phentsize(endian)) == PROGRAM_LEN;
        if !is_plain {
            return unsuitable("its program headers do not follow its header");
        }
        let headers = parsed
            .program_headers(endian, file)
            .map_err(|_| ImageError::Outside("the program header table"))?;
        let programs = headers
            .iter()
            .enumerate()
            .map(|(index, raw)| {
                let mut program = Program {
                    kind: raw.p_type(endian),
                    flags: raw.p_flags(endian),
                    offset: raw.p_offset(endian),
                    vaddr: raw.p_vaddr(endian),
                    paddr: raw.p_paddr(endian),
                    filesz: raw.p_filesz(endian),
                    memsz: raw.p_memsz(endian),
                    align: raw.p_align(endian),
                    content: Vec::new(),
                };
                check(&program).map_err(|problem| ImageError::Program { index, problem })?;
                if program.kind == PT_LOAD {
                    let content = raw
                        .data(endian, file)
                        .map_err(|()| ImageError::Outside("the content of a segment"))?;
                    program.content = content.to_vec();
                }
                Ok(program)
            })
            .collect::<Result<Vec<_>, ImageError>>()?;
        let elf = Self {
            header: *header,
            programs,
        };
        elf.check_layout()?;
        Ok(elf)
    }

    /// The rules that hold between segments: they ascend, do not overlap, and the first one shows
    /// the headers.
    fn check_layout(&self) -> Result<(), ImageError> {
        let mut loads = self.loads();
        let Some((index, first)) = loads.next() else {
            return Err(ImageError::Unsuitable("it has no segment to load"));
        };
        if first.offset != 0 || first.filesz < self.headers_len() as u64 {
            let problem = "the first segment does not contain the ELF's headers";
            return Err(ImageError::Program { index, problem });
        }
        let mut before = first;
        for (index, program) in loads {
            if before.memory_end() > Some(program.vaddr) {
                let problem = "overlaps the segment before it, or lies below it";
                return Err(ImageError::Program { index, problem });
            }
            before = program;
        }
        Ok(())
    }

    /// Segments to load with their index, in the order of the table.
    fn loads(&self) -> impl Iterator<Item = (usize, &Program)> {
        self.programs
            .iter()
            .enumerate()
            .filter(|(_, program)| program.kind == PT_LOAD)
    }

    /// Length of the file header and the program headers, in bytes.
    fn headers_len(&self) -> usize {
        HEADER_LEN + self.programs.len() * PROGRAM_LEN
    }

    /// Whether the byte at `vaddr` is in an executable segment.
    pub(super) fn is_code(&self, vaddr: u64) -> bool {
        self.loads()
            .any(|(_, program)| program.flags & PF_X != 0 && program.has_in_file(vaddr, 1))
    }

    /// The bytes of the file from one address to another; none if they are not all in one segment.
    pub(super) fn bytes(&self, from: u64, to: u64) -> &[u8] {
        let len = to.saturating_sub(from);
        let Some((_, program)) = self
            .loads()
            .find(|(_, program)| program.has_in_file(from, len))
        else {
            return &[];
        };
        let start = (from - program.vaddr) as usize;
        program
            .content
            .get(start..start + len as usize)
            .unwrap_or(&[])
    }

    /// Replaces the reserved segment at `vaddr` by `content`.
    pub(super) fn fill_hold(&mut self, vaddr: u64, content: Vec<u8>) -> Result<(), ImageError> {
        let last = self
            .programs
            .iter_mut()
            .rfind(|program| program.kind == PT_LOAD);
        let Some(hold) = last.filter(|program| program.vaddr == vaddr) else {
            return Err(ImageError::Hold(
                "toro_hold is not the start of the last segment",
            ));
        };
        if (hold.filesz, hold.memsz) != (RESERVED, RESERVED) {
            return Err(ImageError::Hold(
                "its segment is not just the 16 bytes reserved for it",
            ));
        }
        hold.filesz = content.len() as u64;
        hold.memsz = hold.filesz;
        hold.content = content;
        // The loaders of 32-bit code and the symbol table want it there.
        if hold
            .paddr
            .saturating_add(hold.memsz)
            .max(hold.memory_end().unwrap_or(u64::MAX))
            > u64::from(u32::MAX)
        {
            return Err(ImageError::Hold("it lies above 4 GiB"));
        }
        Ok(())
    }

    /// The file: headers, then the content of each segment at an offset congruent to its address.
    pub(super) fn write(mut self) -> Result<Vec<u8>, ImageError> {
        // Where each segment goes; the first one stays at 0, for it shows the headers.
        let mut end = 0_u64;
        for program in self
            .programs
            .iter_mut()
            .filter(|program| program.kind == PT_LOAD)
        {
            let gap = program.vaddr.wrapping_sub(end) % FILE_ALIGN;
            program.offset = end.checked_add(gap).ok_or(ImageError::TooLarge)?;
            program.align = FILE_ALIGN;
            end = program
                .offset
                .checked_add(program.filesz)
                .ok_or(ImageError::TooLarge)?;
        }
        let loads: Vec<Program> = self.loads().map(|(_, program)| program.clone()).collect();
        for (index, program) in self.programs.iter_mut().enumerate() {
            if program.kind == PT_LOAD || program.kind == PT_GNU_STACK {
                continue;
            }
            // What else there is describes a part of what is loaded, or nothing (a PT_TLS that is
            // all zeroes has an address, but no bytes).
            if program.filesz == 0 {
                program.offset = 0;
                continue;
            }
            let around = loads
                .iter()
                .find(|load| load.has_in_file(program.vaddr, program.filesz));
            let offset = around.map(|load| load.offset + (program.vaddr - load.vaddr));
            let problem = "lies in no segment that is loaded";
            program.offset = offset.ok_or(ImageError::Program { index, problem })?;
        }

        // No sections: e_shoff, e_shentsize, e_shnum, e_shstrndx.
        self.header[40..48].fill(0);
        self.header[58..64].fill(0);
        let mut file = Vec::new();
        for load in &loads {
            let offset = usize::try_from(load.offset).map_err(|_| ImageError::TooLarge)?;
            file.resize(offset, 0);
            file.extend_from_slice(&load.content);
        }
        let mut headers = self.header.to_vec();
        for program in &self.programs {
            headers.extend_from_slice(&program.kind.to_le_bytes());
            headers.extend_from_slice(&program.flags.to_le_bytes());
            let numbers = [
                program.offset,
                program.vaddr,
                program.paddr,
                program.filesz,
                program.memsz,
                program.align,
            ];
            headers.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        file[..headers.len()].copy_from_slice(&headers);
        Ok(file)
    }
}

/// The rules that one program header must keep by itself.
fn check(program: &Program) -> Result<(), &'static str> {
    match program.kind {
        PT_INTERP | PT_DYNAMIC => return Err("it asks for dynamic linking"),
        PT_LOAD => {}
        _ => return Ok(()),
    }
    if program.memory_end().is_none() || program.paddr.checked_add(program.memsz).is_none() {
        return Err("its address and size overflow");
    }
    if program.filesz > program.memsz {
        return Err("more of it is in the file than in memory");
    }
    let align = program.align.clamp(1, PAGE);
    if program.offset % align != program.vaddr % align {
        return Err("its offset in the file is not congruent to its address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use object::{Object as _, ObjectSegment as _};

    use super::super::testing::Linked;
    use super::{Elf, FILE_ALIGN, ImageError};

    /// The problem that parsing finds in the sample after `damage`.
    fn problem(damage: impl FnOnce(&mut Vec<u8>)) -> ImageError {
        let mut file = Linked::sample().build();
        damage(&mut file);
        Elf::parse(&file).err().expect("the damage must be found")
    }

    #[test]
    fn contents_survive_and_sections_go() {
        let linked = Linked::sample();
        let written = Elf::parse(&linked.build()).unwrap().write().unwrap();
        let file = object::File::parse(&*written).unwrap();
        assert_eq!(file.sections().count(), 0);
        assert_eq!(file.entry(), linked.entry);
        let segments: Vec<_> = file.segments().collect();
        assert_eq!(segments.len(), linked.loads.len());
        // The first one begins with the headers, which change.
        for (segment, load) in segments.iter().zip(&linked.loads).skip(1) {
            assert_eq!(segment.address(), load.vaddr);
            assert_eq!(segment.data().unwrap(), load.content);
            assert_eq!(segment.file_range().0 % FILE_ALIGN, load.vaddr % FILE_ALIGN);
            assert_eq!(segment.size(), load.memsz);
        }
        assert!(written.len() < linked.build().len());
    }

    #[test]
    fn headers_in_memory_are_those_of_the_file() {
        let written = Elf::parse(&Linked::sample().build())
            .unwrap()
            .write()
            .unwrap();
        let file = object::File::parse(&*written).unwrap();
        let first = file.segments().next().unwrap();
        assert_eq!(first.file_range().0, 0);
        let headers = 64 + 56 * usize::from(u16::from_le_bytes([written[56], written[57]]));
        assert!(first.file_range().1 >= headers as u64);
    }

    #[test]
    fn a_note_points_at_its_bytes_in_the_new_file() {
        let linked = Linked::sample();
        let written = Elf::parse(&linked.build()).unwrap().write().unwrap();
        let at = 64 + 56 * linked.note_index();
        let offset = u64::from_le_bytes(written[at + 8..at + 16].try_into().unwrap());
        let offset = usize::try_from(offset).unwrap();
        assert_eq!(&written[offset..offset + 4], b"NOTE");
    }

    #[test]
    fn a_note_outside_all_segments_is_refused() {
        let linked = Linked::sample();
        let mut file = linked.build();
        let at = 64 + 56 * linked.note_index() + 16;
        file[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        let (index, problem) = (linked.note_index(), "lies in no segment that is loaded");
        let found = Elf::parse(&file).unwrap().write();
        assert_eq!(found, Err(ImageError::Program { index, problem }));
    }

    #[test]
    fn thread_storage_of_zeroes_only_may_lie_between_segments() {
        let linked = Linked::sample();
        let mut file = linked.build();
        let at = 64 + 56 * linked.note_index();
        file[at..at + 4].copy_from_slice(&object::elf::PT_TLS.to_le_bytes());
        file[at + 16..at + 24].copy_from_slice(&0x20_1800_u64.to_le_bytes());
        file[at + 32..at + 40].fill(0);
        let written = Elf::parse(&file).unwrap().write().unwrap();
        assert_eq!(written[at + 8..at + 16], [0; 8]);
        assert_eq!(written[at + 16..at + 24], 0x20_1800_u64.to_le_bytes());
    }

    #[test]
    fn each_fault_of_the_header_is_named() {
        let of = |what| ImageError::Unsuitable(what);
        assert_eq!(
            problem(|f| f.truncate(63)),
            of("it is shorter than an ELF header")
        );
        assert_eq!(
            problem(|f| f[0] = 0),
            of("it does not start with the ELF magic")
        );
        assert_eq!(problem(|f| f[4] = 1), of("it is not little-endian ELF64"));
        assert_eq!(problem(|f| f[5] = 2), of("it is not little-endian ELF64"));
        assert_eq!(problem(|f| f[18] = 40), of("it is not for x86-64"));
        assert_eq!(
            problem(|f| f[16] = 3),
            of("it is not a static executable (ET_EXEC)")
        );
        assert_eq!(
            problem(|f| f[32] = 65),
            of("its program headers do not follow its header")
        );
        assert_eq!(
            problem(|f| f[56..58].fill(0)),
            of("it has no segment to load")
        );
    }

    #[test]
    fn tables_and_segments_outside_the_file_are_refused() {
        assert_eq!(
            problem(|f| f.truncate(100)),
            ImageError::Outside("the program header table")
        );
        let short = problem(|f| f.truncate(4100));
        assert_eq!(short, ImageError::Outside("the content of a segment"));
    }

    #[test]
    fn each_fault_of_a_program_header_is_named() {
        // Field of the second program header (a PT_LOAD): where, new value, complaint.
        let cases: [(usize, u64, &str); 5] = [
            (16, u64::MAX, "its address and size overflow"),
            (24, u64::MAX, "its address and size overflow"),
            (40, 0, "more of it is in the file than in memory"),
            (
                8,
                4097,
                "its offset in the file is not congruent to its address",
            ),
            (
                16,
                0x1000,
                "overlaps the segment before it, or lies below it",
            ),
        ];
        for (field, value, complaint) in cases {
            let at = 64 + 56 + field;
            let found = problem(|f| f[at..at + 8].copy_from_slice(&value.to_le_bytes()));
            assert_eq!(
                found,
                ImageError::Program {
                    index: 1,
                    problem: complaint
                }
            );
        }
        let found = problem(|f| f[64 + 56..64 + 60].copy_from_slice(&3_u32.to_le_bytes()));
        assert_eq!(
            found,
            ImageError::Program {
                index: 1,
                problem: "it asks for dynamic linking"
            }
        );
    }

    #[test]
    fn a_header_table_outside_the_first_segment_is_refused() {
        let found = problem(|f| f[64 + 32..64 + 40].copy_from_slice(&64_u64.to_le_bytes()));
        let problem = "the first segment does not contain the ELF's headers";
        assert_eq!(found, ImageError::Program { index: 0, problem });
    }
}
