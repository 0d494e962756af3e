//! What differs between host systems is in one file, so that the others compile everywhere.

use std::path::Path;

/// Words that only some hosts have.
const WORDS: [&str; 6] = [
    "std::os::unix",
    "std::os::linux",
    "std::os::windows",
    "libc::",
    "nix::",
    "rustix::",
];

fn search(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            search(&path, found);
            continue;
        }
        if path.ends_with("src/host.rs") || path.extension().is_none_or(|kind| kind != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        let mut is_guarded = false;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            // The item behind such a line is for the hosts that it names.
            if line.starts_with("#[cfg(") || line.starts_with("#![cfg(") {
                is_guarded = true;
            } else if line.is_empty() && !text.contains("#![cfg(") {
                is_guarded = false;
            }
            let is_code = !line.starts_with("//") && !line.starts_with('"');
            if is_code && !is_guarded && WORDS.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
}

#[test]
fn calls_of_one_kind_of_host_are_in_the_file_for_them() {
    let mut found = Vec::new();
    search(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    assert!(found.is_empty(), "{}", found.join("\n"));
}
