//! What a program can ask of the kernel, by the linker's cross-reference table (`--cref` of ld.lld): whether it can open a file, and whether
//! it makes system calls by number.
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

/// What the program's own objects refer to, without what they define themselves; `None` if the linker has written no table into `map`.
pub(crate) struct References<'a>(Option<Vec<&'a str>>);

impl<'a> References<'a> {
    /// Reads what the linker wrote.
    pub(crate) fn parse(map: &'a str) -> Self {
        let Some((_, table)) = map.split_once(HEADER) else {
            return Self(None);
        };
        let mut symbol = None;
        let mut symbols = Vec::new();
        for line in table.lines().skip(3) {
            if line.starts_with(' ') {
                // One more file that refers to the symbol.
                if is_of_program(line.trim()) {
                    symbols.extend(symbol.take());
                }
                continue;
            }
            // The file that defines it.
            symbol = line
                .split_once(char::is_whitespace)
                .filter(|(_, definer)| !is_of_program(definer.trim()))
                .map(|(name, _)| name);
        }
        Self(Some(symbols))
    }

    /// Whether something may open a file.
    pub(crate) fn uses_files(&self) -> bool {
        self.any(|symbol| !is_harmless(symbol))
    }

    /// Whether system calls are made by number. Those of std do not count.
    pub(crate) fn calls_by_number(&self) -> bool {
        self.any(|symbol| symbol == "syscall")
    }

    /// Whether sockets are made otherwise than by std, so that they may be of kinds that std does not know.
    pub(crate) fn makes_sockets(&self) -> bool {
        self.any(|symbol| symbol == "socket")
    }

    /// Without a table everything is possible.
    fn any(&self, mut is_wanted: impl FnMut(&str) -> bool) -> bool {
        self.0
            .as_ref()
            .is_none_or(|symbols| symbols.iter().any(|symbol| is_wanted(symbol)))
    }
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
    use super::{References, is_harmless};

    fn uses_files(map: &str) -> bool {
        References::parse(map).uses_files()
    }

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
    fn calls_by_number_are_those_of_the_program() {
        let calls =
            |file| References::parse(&table("syscall", ["/p/kernel.o", file])).calls_by_number();
        assert!(!calls(STD));
        assert!(calls("/d/libparking_lot_core-1.rlib(parking_lot_core.o)"));
        assert!(calls("/d/build/foreign-1/out/libforeign.a(foreign.o)"));
        assert!(References::parse("").calls_by_number());
    }

    #[test]
    fn sockets_are_made_by_the_program_or_by_std_alone() {
        let makes =
            |file| References::parse(&table("socket", ["/p/kernel.o", file])).makes_sockets();
        assert!(!makes(STD));
        assert!(makes("/d/libmio-1.rlib(mio.o)"));
        assert!(References::parse("").makes_sockets());
    }

    #[test]
    fn without_a_table_everything_is_possible() {
        assert!(uses_files(""));
        assert!(uses_files("a map without it"));
    }
}
