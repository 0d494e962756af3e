//! Reads the linker's complaints about undefined symbols: the functions that a program needs and Toro lacks.

use crate::failure::Failure;
use rustc_demangle::demangle;
use std::collections::BTreeMap;

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
    fn other_link_errors_are_left_alone() {
        assert!(undefined_symbols("rust-lld: error: unable to find library -lssl").is_empty());
    }
}
