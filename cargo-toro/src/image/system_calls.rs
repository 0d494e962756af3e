//! Whether a program needs the kernel's whole table of system calls. What the table leads to is much of the kernel, and a small
//! program is better without it.

use super::ImageError;
use super::elf::Elf;
use super::symbols::Functions;

/// The instruction `syscall` (Intel SDM volume 2B).
const INSTRUCTION: [u8; 2] = [0x0F, 0x05];

/// Crates of std and of the kernel: they call the C function, for what every program has.
const OWN_CRATES: [&str; 21] = [
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
    "heapless",
    "libm",
    "log",
    "managed",
    "memchr",
    "miniz_oxide",
    "rustc_demangle",
    "smoltcp",
    "std",
    "toro_kernel",
    "unwinding",
];

/// The C functions of the kernel.
const ABI: &str = include_str!("../../../kernel/abi.txt");

/// Whether a linked program may make system calls that std does not make for it: it has threads, or the instruction stands in its
/// code (or bytes that look like it, which only makes the image larger).
///
/// # Errors
/// When `linked` is no program that can be an image.
pub(crate) fn needs_all_system_calls(linked: &[u8]) -> Result<bool, ImageError> {
    let elf = Elf::parse(linked)?;
    let functions = Functions::read(linked, &elf)?.into_vec();
    Ok(functions.iter().any(|function| {
        function.name == "pthread_create"
            || !is_own(&function.name)
                && elf
                    .bytes(function.address, function.end)
                    .windows(2)
                    .any(|pair| pair == INSTRUCTION)
    }))
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
    use super::{is_own, needs_all_system_calls};

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
    fn threads_need_all_calls() {
        let mut linked = Linked::sample();
        assert!(!needs_all_system_calls(&linked.build()).unwrap());
        linked
            .symbols
            .push(Symbol::function("pthread_create", 0x20_1008, 4));
        assert!(needs_all_system_calls(&linked.build()).unwrap());
    }
}
