//! Whether a program makes system calls by the instruction, without the C library.

use super::ImageError;
use super::elf::Elf;
use super::symbols::Functions;
use iced_x86::{Decoder, DecoderOptions, Mnemonic};

/// The instruction `syscall` (Intel SDM volume 2B).
const INSTRUCTION: [u8; 2] = [0x0F, 0x05];

/// Crates of std and of the kernel: they call the C function, for what every program has.
const OWN_CRATES: [&str; 19] = [
    "addr2line",
    "adler2",
    "alloc",
    "bitflags",
    "byteorder",
    "compiler_builtins",
    "core",
    "ext2",
    "gimli",
    "hashbrown",
    "libm",
    "log",
    "memchr",
    "miniz_oxide",
    "rustc_demangle",
    "std",
    "tcpip",
    "toro_kernel",
    "unwinding",
];

/// The C functions of the kernel.
const ABI: &str = include_str!("../../../kernel/abi.txt");

/// Whether the instruction stands in a linked program's own code. What cannot be told counts as yes, which only makes the image larger.
///
/// # Errors
/// When `linked` is no program that can be an image.
pub(crate) fn has_system_call_instruction(linked: &[u8]) -> Result<bool, ImageError> {
    let elf = Elf::parse(linked)?;
    let functions = Functions::read(linked, &elf)?.into_vec();
    Ok(functions.iter().any(|function| {
        let code = elf.bytes(function.address, function.end);
        !is_own(&function.name) && executes_it(code)
    }))
}

/// Whether the instruction is among those of a function. Its bytes may be a part of another one.
fn executes_it(code: &[u8]) -> bool {
    code.windows(2).any(|pair| pair == INSTRUCTION)
        && Decoder::new(64, code, DecoderOptions::NONE)
            .iter()
            .any(|instruction| {
                instruction.is_invalid() || instruction.mnemonic() == Mnemonic::Syscall
            })
}

/// Whether a function belongs to std or to the kernel.
fn is_own(name: &str) -> bool {
    if !name.contains("::") {
        return ABI.lines().any(|line| line == name);
    }
    let path = name.trim_start_matches(|c: char| !c.is_alphanumeric());
    let path = path.strip_prefix("dyn ").unwrap_or(path);
    let end = path
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(path.len());
    OWN_CRATES.contains(&&path[..end])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Linked, Symbol};
    use super::{INSTRUCTION, executes_it, has_system_call_instruction, is_own};

    #[test]
    fn crates_and_c_functions_are_told_apart() {
        for own in [
            "std::io::Write",
            "<core::fmt::Arguments as x::Y>::z",
            "<&dyn std::any::Any>::f",
            "malloc",
            "toro_kernel::start",
        ] {
            assert!(is_own(own), "{own}");
        }
        for foreign in [
            "rustix::backend::read",
            "<mine::Thing as core::fmt::Debug>::fmt",
            "sqlite3_open",
            "standard::f",
        ] {
            assert!(!is_own(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_number_with_the_bytes_of_the_instruction_is_none() {
        // mov eax, 0x050F; ret
        assert!(!executes_it(&[0xB8, 0x0F, 0x05, 0, 0, 0xC3]));
        // mov eax, 39; syscall; ret
        assert!(executes_it(&[0xB8, 39, 0, 0, 0, 0x0F, 0x05, 0xC3]));
        // The instruction behind what is none in this mode.
        assert!(executes_it(&[0x06, 0x0F, 0x05]));
    }

    #[test]
    fn the_instruction_is_found_in_the_code_of_the_program() {
        let mut linked = Linked::sample();
        assert!(!has_system_call_instruction(&linked.build()).unwrap());
        linked
            .symbols
            .push(Symbol::function("foreign", 0x20_1008, 4));
        assert!(!has_system_call_instruction(&linked.build()).unwrap());
        linked.loads[1].content[10..12].copy_from_slice(&INSTRUCTION);
        assert!(has_system_call_instruction(&linked.build()).unwrap());
    }
}
