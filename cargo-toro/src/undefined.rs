//! Reads the linker's complaints about what is missing: functions that a program needs and Toro lacks, and libraries of the host.

use crate::cplusplus::LIBRARIES;
use crate::failure::Failure;
use rustc_demangle::demangle;
use std::collections::{BTreeMap, BTreeSet};

/// More places than these say nothing new.
const MOST_PLACES: usize = 8;

/// The undefined symbols that rust-lld's output names, each with the first function that refers to it.
///
/// The linker writes three kinds of lines: the symbol, the source of a reference (if there is debug information), and the
/// object, function and archive of that reference.
pub fn undefined_symbols(output: &str) -> BTreeMap<String, String> {
    let mut symbols: BTreeMap<String, String> = BTreeMap::new();
    let mut last = None;
    for line in output.lines() {
        if let Some((_, symbol)) = line.split_once("undefined symbol: ") {
            last = Some(symbols.entry(symbol.trim().to_owned()).or_default());
        } else if let Some((_, place)) = line.split_once(">>> ")
            && let Some((_, function)) = place.split_once(":(")
            && let Some(first) = last.take_if(|first| first.is_empty())
        {
            let (function, archive) = function.rsplit_once(')').unwrap_or((function, ""));
            let file = archive.rsplit(['/', '\\']).next().unwrap_or(archive).trim();
            let is_in = if file.is_empty() { "" } else { ", in " };
            // The linker leaves names as they are, since another of its outputs wants them so.
            *first = format!("{:#}{is_in}{file}", demangle(function));
        }
    }
    symbols
}

/// The error for a program that needs `symbols`.
pub fn failure(symbols: &BTreeMap<String, String>) -> Failure {
    let names: Vec<_> = symbols.keys().map(|symbol| format!("`{symbol}`")).collect();
    let mut message = format!(
        "the program needs {}, which Toro does not have",
        names.join(", ")
    );
    let places = symbols.iter().filter(|(_, place)| !place.is_empty());
    for (symbol, place) in places.take(MOST_PLACES) {
        message += &format!("\n  `{symbol}` is used by {place}");
    }
    let help = "a crate calls the C library for something that Toro lacks: turn off the feature of that crate that \
                needs it, use another crate, or report the name (docs/c-library.md says what there is); `--verbose` shows all that the linker said";
    Failure::new(message, help)
}

/// The libraries that rust-lld's output says it did not find.
pub fn missing_libraries(output: &str) -> BTreeSet<String> {
    output
        .lines()
        .filter_map(|line| line.split_once("error: unable to find library -l"))
        .map(|(_, name)| name.trim().to_owned())
        .collect()
}

/// The error for a program that wants `libraries` of the host.
pub fn no_library(libraries: &BTreeSet<String>) -> Failure {
    let names: Vec<_> = libraries.iter().map(|name| format!("`{name}`")).collect();
    let names = names.join(", ");
    let is_cplusplus = |name: &String| LIBRARIES.contains(&name.as_str());
    if libraries.iter().all(is_cplusplus) {
        return Failure::new(
            format!(
                "a crate has C++ code, and wants {names}, which no compiler of this host has as an archive"
            ),
            "install `g++`, or name the compiler of C++ in the variable `CXX`",
        );
    }
    Failure::new(
        format!("a crate wants {names} of the host, which is not for the guest"),
        "most such crates have a feature that compiles the library into the program: `bundled`, `vendored` or `static`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
linking with `rust-lld` failed: exit status: 1
  = note: rust-lld: error: undefined symbol: getpwnam
          >>> referenced by main.rs:7 (src/main.rs:7)
          >>>               /t/deps/app-1.app.0.rcgu.o:(_ZN3app4main17h66b5d58ba4c9f871E)
          >>> referenced by main.rs:9 (src/main.rs:9)
          rust-lld: error: undefined symbol: shm_open
          >>> referenced by mod.rs:12
          >>>               x.x-cgu.0.rcgu.o:(<x::y>::z) in archive /t/deps/libx-2.rlib
";

    #[test]
    fn every_symbol_is_found_with_its_first_place() {
        let symbols = undefined_symbols(OUTPUT);
        assert_eq!(symbols["getpwnam"], "app::main");
        assert_eq!(symbols["shm_open"], "<x::y>::z, in libx-2.rlib");
        assert_eq!(symbols.len(), 2);
    }

    #[test]
    fn the_message_names_the_symbols() {
        let message = failure(&undefined_symbols(OUTPUT)).to_string();
        assert!(
            message.starts_with(
                "the program needs `getpwnam`, `shm_open`, which Toro does not have\n"
            )
        );
    }

    #[test]
    fn a_library_of_the_host_is_named_with_the_way_out() {
        let output = "  = note: rust-lld: error: unable to find library -lssl\n          rust-lld: error: unable to find library -lcrypto\n";
        assert!(undefined_symbols(output).is_empty());
        let failure = no_library(&missing_libraries(output));
        assert_eq!(
            failure.to_string(),
            "a crate wants `crypto`, `ssl` of the host, which is not for the guest"
        );
        assert!(failure.help().contains("vendored"));
        let failure = no_library(&missing_libraries("error: unable to find library -lstdc++"));
        assert!(failure.to_string().contains("C++ code") && failure.help().contains("g++"));
        assert!(missing_libraries("rust-lld: error: undefined symbol: ssl").is_empty());
    }
}
