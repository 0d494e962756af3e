//! libFuzzer's entry for frames: see README.md.
#![no_main]

mod exercise;
#[path = "../../tests/world/mod.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
