//! A kernel of a few bytes that sends to COM1 what it was started with, and the ELF around it.

/// Where its code is loaded: in an odd mebibyte, on whose even neighbour the data is, so that a
/// closed A20 line overwrites it.
const CODE: u32 = 0x30_1000;
/// Where its data is loaded: not aligned, to catch a loader that counts in pages or words.
const DATA: u32 = 0x20_0203;
/// Bytes of its data; what the file holds ends in the middle of a sector.
const DATA_LEN: u32 = 700_004;
/// Bytes behind its data that must be zero.
const BSS_LEN: u32 = 64 * 1024;
/// Its stack is behind that.
const STACK_LEN: u32 = 4096;
/// Bytes of command line that it reports.
const COMMAND_LINE_LEN: usize = 4096;

/// 32-bit code. The zero words are filled in by [`code`].
const CODE_BYTES: [u8; 150] = [
    0xbc, 0, 0, 0, 0,    // mov esp, STACK
    0x9c, // pushf
    0x0f, 0x20, 0xe0, 0x50, // mov eax, cr4; push eax
    0x0f, 0x20, 0xc0, 0x50, // mov eax, cr0; push eax
    0x31, 0xc0, 0x0f, 0x00, 0xc8, 0x50, // xor eax, eax; str eax; push eax
    0x89, 0xe6, 0xb9, 16, 0, 0, 0, // mov esi, esp; mov ecx, 16
    0xe8, 0x65, 0, 0, 0, // call dump
    0xbe, 0, 0, 0, 0, // mov esi, DATA
    0xb9, 0, 0, 0, 0, // mov ecx, DATA_LEN / 4
    0x31, 0xc0, // xor eax, eax
    0x03, 0x06, 0x83, 0xc6, 4, // sum: add eax, [esi]; add esi, 4
    0x49, 0x75, 0xf8, // dec ecx; jnz sum
    0x50, // push eax
    0xbe, 0, 0, 0, 0, // mov esi, DATA + DATA_LEN
    0xb9, 0, 0, 0, 0, // mov ecx, BSS_LEN / 4
    0x31, 0xc0, // xor eax, eax
    0x0b, 0x06, 0x83, 0xc6, 4, // bss: or eax, [esi]; add esi, 4
    0x49, 0x75, 0xf8, // dec ecx; jnz bss
    0x50, // push eax
    0x89, 0xe6, 0xb9, 8, 0, 0, 0, // mov esi, esp; mov ecx, 8
    0xe8, 0x2f, 0, 0, 0, // call dump
    0x89, 0xde, 0xb9, 56, 0, 0, 0, // mov esi, ebx; mov ecx, 56 (hvm_start_info)
    0xe8, 0x23, 0, 0, 0, // call dump
    0x8b, 0x73, 24, // mov esi, [ebx + 24] (command line)
    0xb9, 0, 0x10, 0, 0, // mov ecx, COMMAND_LINE_LEN
    0xe8, 0x16, 0, 0, 0, // call dump
    0x8b, 0x73, 40, // mov esi, [ebx + 40] (memory map)
    0x6b, 0x4b, 48, 24, // imul ecx, [ebx + 48], 24 (its entries)
    0xe8, 0x0a, 0, 0, 0, // call dump
    0x66, 0xba, 0xf4, 0, // mov dx, 0xf4
    0xb0, 16, 0xee, // mov al, 16; out dx, al
    0xf4, 0xeb, 0xfd, // stop: hlt; jmp stop
    0x66, 0xba, 0xfd, 3, // dump: mov dx, 0x3fd
    0xec, 0xa8, 0x20, // wait: in al, dx; test al, 0x20
    0x74, 0xfb, // jz wait
    0x66, 0xba, 0xf8, 3, // mov dx, 0x3f8
    0x6e, 0xe2, 0xf0, 0xc3, // outsb; loop dump; ret
];

/// The data of the kernel: words that no shifted or repeated sector adds up to.
pub(crate) fn data() -> Vec<u8> {
    (0..DATA_LEN / 4)
        .flat_map(|i| i.wrapping_mul(i).wrapping_mul(0x9e37_79b1).to_le_bytes())
        .collect()
}

/// Sum of the words of [`data`].
pub(crate) fn data_sum() -> u32 {
    let words = data();
    words
        .chunks_exact(4)
        .fold(0, |sum: u32, word| sum.wrapping_add(number(word, 0)))
}

fn code() -> Vec<u8> {
    let mut code = CODE_BYTES.to_vec();
    let bss = DATA + DATA_LEN;
    let stack = bss + BSS_LEN + STACK_LEN;
    let values = [
        (1, stack),
        (33, DATA),
        (38, DATA_LEN / 4),
        (54, bss),
        (59, BSS_LEN / 4),
    ];
    for (at, value) in values {
        code[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    code
}

/// A static ELF with the kernel, whose bss is `more_memory` bytes larger than it needs.
pub(crate) fn elf(more_memory: u32) -> Vec<u8> {
    let note = [4, 4, 18, u32::from_le_bytes(*b"Xen\0"), CODE]
        .map(u32::to_le_bytes)
        .concat();
    let code = code();
    let data = data();
    let data_memory = DATA_LEN + BSS_LEN + STACK_LEN + more_memory;
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
    // Type, flags, offset, address, bytes in the file and in memory. Offsets are congruent to
    // addresses modulo 4096; the note is loaded by no segment.
    let code_at = 4096;
    let data_at = 2 * 4096 + DATA % 4096;
    let note_at = code_at + len(&code);
    let programs = [
        [1, 5, code_at, CODE, len(&code), len(&code)],
        [4, 4, note_at, 0, len(&note), len(&note)],
        [1, 6, data_at, DATA, DATA_LEN, data_memory],
    ];
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend([u64::from(CODE), 64, 0].map(u64::to_le_bytes).concat());
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    for [kind, flags, offset, address, in_file, in_memory] in programs {
        elf.extend([kind, flags].map(u32::to_le_bytes).concat());
        let numbers = [offset, address, address, in_file, in_memory, 4096];
        elf.extend(numbers.iter().flat_map(|&n| u64::from(n).to_le_bytes()));
    }
    elf.resize(code_at as usize, 0);
    elf.extend(code);
    elf.extend(note);
    elf.resize(data_at as usize, 0);
    elf.extend(data);
    elf
}

/// What the kernel reported.
pub(crate) struct Report {
    pub(crate) task_register: u32,
    pub(crate) cr0: u32,
    pub(crate) cr4: u32,
    pub(crate) eflags: u32,
    /// All words of the bss, or-ed.
    pub(crate) bss: u32,
    pub(crate) data_sum: u32,
    /// `hvm_start_info`.
    pub(crate) start_info: Vec<u8>,
    /// The bytes from the command line's address on.
    pub(crate) command_line: Vec<u8>,
    /// Start, length and type of what the memory map lists.
    pub(crate) memory_map: Vec<(u64, u64, u32)>,
}

impl Report {
    /// Reads a report from what came over COM1, if it is whole.
    pub(crate) fn read(serial: &[u8]) -> Option<Self> {
        let fixed = 24 + 56 + COMMAND_LINE_LEN;
        let entries = serial
            .get(fixed..)
            .filter(|entries| entries.len() % 24 == 0)?;
        let long = |entry: &[u8], at| {
            u64::from(number(entry, at)) | u64::from(number(entry, at + 4)) << 32
        };
        let memory_map = entries
            .chunks_exact(24)
            .map(|entry| (long(entry, 0), long(entry, 8), number(entry, 16)))
            .collect();
        Some(Self {
            task_register: number(serial, 0),
            cr0: number(serial, 4),
            cr4: number(serial, 8),
            eflags: number(serial, 12),
            bss: number(serial, 16),
            data_sum: number(serial, 20),
            start_info: serial[24..80].to_vec(),
            command_line: serial[80..fixed].to_vec(),
            memory_map,
        })
    }

    /// A word of `hvm_start_info`.
    pub(crate) fn start_info(&self, at: usize) -> u32 {
        number(&self.start_info, at)
    }

    /// Bytes of usable memory below 4 GiB and above.
    pub(crate) fn ram(&self) -> (u64, u64) {
        let of = |is_low| {
            let usable = self.memory_map.iter().filter(|entry| entry.2 == 1);
            usable
                .filter(|entry| (entry.0 < 1 << 32) == is_low)
                .map(|entry| entry.1)
                .sum()
        };
        (of(true), of(false))
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}
