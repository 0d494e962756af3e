//! The inputs that fuzzing has found (`fuzz/`), as a plain test.

#[path = "../fuzz/src/exercise.rs"]
mod exercise;
mod world;

use world::Chance;

#[test]
fn inputs_by_chance_are_survived() {
    // More of them: TORO_FUZZ_INPUTS=100000.
    let count = std::env::var("TORO_FUZZ_INPUTS").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(300);
    for seed in 0..count {
        let mut chance = Chance::new(seed);
        let len = 40 + chance.below(600) as usize;
        let bytes: Vec<u8> = (0..len).map(|_| chance.next() as u8).collect();
        let result = std::panic::catch_unwind(|| exercise::exercise(&bytes));
        assert!(result.is_ok(), "input {seed}: {bytes:?}");
    }
}

#[test]
fn every_input_of_the_corpus_is_survived() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).expect("list the corpus") {
        let path = entry.expect("list the corpus").path();
        let bytes = std::fs::read(&path).expect("read an input");
        // The name of the input is what a failure needs.
        let result = std::panic::catch_unwind(|| exercise::exercise(&bytes));
        assert!(result.is_ok(), "{}", path.display());
        count += 1;
    }
    assert!(count > 10, "only {count} inputs");
}
