//! Whether a program can open a file, by the linker's cross-reference table (`--cref` of ld.lld).
//!
//! Every program of `std` contains functions that open files: the backtrace of a panic would read the program's own file. So what counts is
//! who refers to what. The program's own objects may refer to whatever is known to have nothing to do with files; anything else
//! counts as a use of files, which only makes the image larger.

use rustc_demangle::demangle;

/// The line before the table.
const HEADER: &str = "Cross Reference Table";

/// What of Rust's own crates has nothing to do with files.
const HARMLESS_PATHS: [&str; 19] = [
    "alloc::",
    "compiler_builtins::",
    "core::",
    "__rustc::",
    "std::alloc::",
    "std::collections::",
    "std::env::args",
    "std::env::var",
    "std::error::",
    "std::ffi::",
    "std::hash::",
    "std::io::",
    "std::panicking::",
    "std::panic::",
    "std::process::",
    "std::rt::",
    "std::sync::",
    "std::sys::args::",
    "std::time::",
];

/// C functions that have nothing to do with files, by how their names begin.
const HARMLESS_FUNCTIONS: [&str; 13] = [
    "_Unwind_", "__rust", "abort", "bcmp", "calloc", "exit", "free", "main", "malloc", "mem",
    "realloc", "rust_", "strlen",
];

/// Whether the program's own objects refer to something that may open a file. `table` is what the linker wrote; without the
/// table in it, the answer is yes.
pub(crate) fn uses_files(table: &str) -> bool {
    let Some((_, table)) = table.split_once(HEADER) else {
        return true;
    };
    let mut symbol = None;
    for line in table.lines().skip(3) {
        let starts_symbol = !line.starts_with(' ');
        if !starts_symbol {
            // One more file that refers to the symbol.
            if symbol.is_some_and(|name| is_of_program(line.trim()) && !is_harmless(name)) {
                return true;
            }
            continue;
        }
        // The file that defines it. What the program defines itself is no way to a file.
        symbol = line
            .split_once(char::is_whitespace)
            .filter(|(_, definer)| !is_of_program(definer.trim()))
            .map(|(name, _)| name);
    }
    false
}

/// Whether a file is neither of the toolchain's libraries nor of the kernel, nor one that rustc makes to keep symbols alive.
fn is_of_program(file: &str) -> bool {
    let file = file.replace('\\', "/");
    let of_parts = ["/kernel.o", "/symbols.o"]
        .iter()
        .any(|end| file.ends_with(end));
    !(of_parts
        || file.contains("/lib/rustlib/")
        || file.contains("/image.ld:")
        || file == "--defsym")
}

fn is_harmless(symbol: &str) -> bool {
    let name = format!("{:#}", demangle(symbol));
    if !name.contains("::") {
        return HARMLESS_FUNCTIONS
            .iter()
            .any(|start| name.starts_with(start));
    }
    let path = name.trim_start_matches(['<', '&', '*', '(', '[']);
    HARMLESS_PATHS.iter().any(|start| path.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::{is_harmless, uses_files};

    const STD: &str = "/t/lib/rustlib/x86_64-unknown-linux-gnu/lib/libstd-1.rlib(std.o)";

    fn table(symbol: &str, files: [&str; 2]) -> String {
        format!(
            "a map\n\nCross Reference Table\n\nSymbol   File\n{symbol:<50}{}\n{:50}{}\n",
            files[0], "", files[1]
        )
    }

    #[test]
    fn what_std_does_by_itself_does_not_count() {
        assert!(!uses_files(&table("open64", ["/p/kernel.o", STD])));
        assert!(!uses_files(&table(
            "open64",
            ["/p/kernel.o", "/r/symbols.o"]
        )));
    }

    #[test]
    fn a_program_that_refers_to_a_way_to_a_file_uses_files() {
        for symbol in [
            "open64",
            "fopen",
            "_RNvNtNtCsjrHSEGnQ3l9_3std3sys2fs8metadata",
            "_RNvMNtCsjrHSEGnQ3l9_3std4pathNtB2_4Path6is_dir",
        ] {
            assert!(
                uses_files(&table(symbol, [STD, "/d/hello.rcgu.o"])),
                "{symbol}"
            );
        }
    }

    #[test]
    fn printing_and_memory_are_no_use_of_files() {
        for symbol in [
            "_RNvNtNtCsjrHSEGnQ3l9_3std2io5stdio6__print",
            "memcpy",
            "__rust_alloc",
        ] {
            assert!(
                !uses_files(&table(symbol, [STD, "/d/hello.rcgu.o"])),
                "{symbol}"
            );
            assert!(is_harmless(symbol), "{symbol}");
        }
    }

    #[test]
    fn functions_of_the_program_itself_do_not_count() {
        assert!(!uses_files(&table(
            "_RNvC5hello4open",
            ["/d/a.rcgu.o", "/d/b.rcgu.o"]
        )));
    }

    #[test]
    fn without_a_table_everything_is_possible() {
        assert!(uses_files(""));
        assert!(uses_files("a map without it"));
    }
}
