//! What of the kernel a program needs. All that the table of system calls leads to, and all file systems of disks with the drivers
//! below, is much of the kernel, and a small program is better without it.

use super::ImageError;
use super::elf::Elf;
use super::symbols::{Function, Functions};
use std::collections::HashSet;

/// What a program needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    /// System calls that std does not make for it: it has threads, or the instruction `syscall` stands in its code (or bytes that
    /// look like it, which only makes the image larger).
    pub(crate) system_calls: bool,
    /// Files, other than those that std opens to show a backtrace.
    pub(crate) files: bool,
}

/// The instruction `syscall` (Intel SDM volume 2B).
const INSTRUCTION: [u8; 2] = [0x0F, 0x05];
/// The instructions `call` and `jmp` to a place relative to the next instruction, of four bytes.
const CALL: u8 = 0xE8;
const JUMP: u8 = 0xE9;

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

/// The beginnings of the functions of `std::fs` that are there for backtraces too.
const OF_BACKTRACES: [&str; 2] = ["std::fs::buffer_capacity_required", "std::fs::File as "];

/// Methods of `std::path::Path` that look at files.
const OF_PATHS: [&str; 10] = [
    "exists",
    "try_exists",
    "is_file",
    "is_dir",
    "is_symlink",
    "metadata",
    "symlink_metadata",
    "canonicalize",
    "read_dir",
    "read_link",
];

/// C functions of files. They may be there without being called, and std calls some to show a backtrace.
const FILE_FUNCTIONS: [&str; 56] = [
    "access",
    "chdir",
    "chmod",
    "chown",
    "copy_file_range",
    "creat",
    "creat64",
    "faccessat",
    "fchmod",
    "fdatasync",
    "fdopendir",
    "fopen",
    "fopen64",
    "fstatat",
    "fstatat64",
    "fstatvfs",
    "fstatvfs64",
    "fsync",
    "ftruncate",
    "ftruncate64",
    "futimens",
    "link",
    "linkat",
    "lstat",
    "lstat64",
    "mkdir",
    "mkdirat",
    "open",
    "open64",
    "openat",
    "openat64",
    "opendir",
    "pread",
    "pread64",
    "pwrite",
    "pwrite64",
    "readlink",
    "readlinkat",
    "realpath",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "scandir",
    "stat",
    "stat64",
    "statvfs",
    "statvfs64",
    "statx",
    "symlink",
    "symlinkat",
    "truncate",
    "truncate64",
    "unlink",
    "unlinkat",
    "utimensat",
];

/// What a linked program needs.
///
/// # Errors
/// When `linked` is no program that can be an image.
pub(crate) fn needs(linked: &[u8]) -> Result<Needs, ImageError> {
    let elf = Elf::parse(linked)?;
    let functions = Functions::read(linked, &elf)?.into_vec();
    let has_threads = functions
        .iter()
        .any(|function| function.name == "pthread_create");
    let has_instruction = |function: &Function| {
        let code = elf.bytes(function.address, function.end);
        code.windows(2).any(|pair| pair == INSTRUCTION)
    };
    let file_functions: HashSet<u64> = functions
        .iter()
        .filter(|function| is_file_function(&function.name))
        .map(|function| function.address)
        .collect();
    let foreign = || functions.iter().filter(|function| !is_own(&function.name));
    let system_calls = has_threads || foreign().any(has_instruction);
    let files = system_calls
        || functions.iter().any(|function| is_of_files(&function.name))
        || foreign().any(|function| calls_one_of(&elf, function, &file_functions));
    Ok(Needs {
        system_calls,
        files,
    })
}

/// Whether a function is there only in programs that use files.
fn is_of_files(name: &str) -> bool {
    let path = name.trim_start_matches(|c: char| !c.is_alphanumeric());
    let of_path = || {
        let method = path.strip_prefix("std::path::Path>::");
        method.is_some_and(|method| OF_PATHS.contains(&method))
    };
    let is_of_backtraces = OF_BACKTRACES.iter().any(|start| path.starts_with(start));
    path.starts_with("std::fs::") && !is_of_backtraces || of_path()
}

/// Whether whoever calls a function uses files.
fn is_file_function(name: &str) -> bool {
    let path = name.trim_start_matches(|c: char| !c.is_alphanumeric());
    path.starts_with("std::sys::fs::") || FILE_FUNCTIONS.contains(&name)
}

/// Whether a function calls, or ends in, one of those at these addresses.
fn calls_one_of(elf: &Elf, function: &Function, addresses: &HashSet<u64>) -> bool {
    let code = elf.bytes(function.address, function.end);
    let mut next = function.address.wrapping_add(4);
    code.windows(5).any(|bytes| {
        next = next.wrapping_add(1);
        let [CALL | JUMP, distance @ ..] = bytes else {
            return false;
        };
        let distance: [u8; 4] = distance.try_into().unwrap_or_default();
        let target = next.wrapping_add_signed(i64::from(i32::from_le_bytes(distance)));
        addresses.contains(&target)
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
    use super::{CALL, Needs, is_of_files, is_own, needs};

    const NOTHING: Needs = Needs {
        system_calls: false,
        files: false,
    };
    const FILES: Needs = Needs {
        files: true,
        ..NOTHING
    };

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
    fn threads_need_all() {
        let mut linked = Linked::sample();
        assert_eq!(needs(&linked.build()).unwrap(), NOTHING);
        linked
            .symbols
            .push(Symbol::function("pthread_create", 0x20_1008, 4));
        let all = Needs {
            system_calls: true,
            files: true,
        };
        assert_eq!(needs(&linked.build()).unwrap(), all);
    }

    #[test]
    fn functions_of_files_are_known_by_their_names() {
        for name in [
            "<std::fs::OpenOptions>::_open",
            "std::fs::read::inner",
            "<std::fs::File>::create::<&str>",
            "<std::path::Path>::exists",
        ] {
            assert!(is_of_files(name), "{name}");
        }
        for name in [
            "<&std::fs::File as std::io::Read>::read_to_string",
            "std::fs::buffer_capacity_required",
            "<std::path::Path>::_strip_prefix",
            "std::sys::fs::metadata",
            "mkdir",
        ] {
            assert!(!is_of_files(name), "{name}");
        }
    }

    #[test]
    fn who_calls_what_backtraces_use_too_needs_files() {
        for (caller, expected) in [("main", FILES), ("std::sys::backtrace::f", NOTHING)] {
            let mut linked = Linked::sample();
            linked.symbols[0].name = caller;
            linked
                .symbols
                .push(Symbol::function("std::sys::fs::metadata", 0x20_1020, 4));
            let code = &mut linked.loads[1].content;
            code[3] = CALL;
            // From behind the instruction, at 8, to 0x20.
            code[4..8].copy_from_slice(&0x18_u32.to_le_bytes());
            assert_eq!(needs(&linked.build()).unwrap(), expected, "{caller}");
        }
    }
}
