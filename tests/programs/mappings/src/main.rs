//! What the system promises of files in memory: each step shows what came of one promise, the same on every Linux. `test-mappings FOLDER` has its files there, else where it was
//! started; `test-mappings keep FILE` writes to a mapping, syncs it and ends without unmounting what is mapped.

#![allow(clippy::undocumented_unsafe_blocks, reason = "a test of raw calls")]

mod map;
mod steps;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [word, file] if word == "keep" => steps::keep(Path::new(file)),
        [folder] => steps::all(Path::new(folder)),
        _ => steps::all(Path::new(".")),
    }
    println!("all steps done");
}
