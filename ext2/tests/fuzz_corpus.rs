//! The inputs that fuzzing has found (`fuzz/`), as a plain test.

mod common;
#[path = "../../tests/shared/corpus.rs"]
mod corpus;
#[path = "../fuzz/src/exercise.rs"]
mod exercise;

#[test]
fn inputs_by_chance_are_survived() {
    let input = |seed| {
        let mut bytes = common::noise(seed + 1, 40 + seed as usize % 360);
        // Many patches leave little to mount.
        bytes[1] %= 6;
        bytes
    };
    corpus::chance_is_survived(input, exercise::exercise);
}

#[test]
fn every_input_of_the_corpus_is_survived() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");
    corpus::is_survived(folder, exercise::exercise);
}
