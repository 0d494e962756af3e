//! The inputs that fuzzing has found (`fuzz/`), as a plain test.

#[path = "../../tests/shared/corpus.rs"]
mod corpus;
#[path = "../fuzz/src/exercise.rs"]
mod exercise;
mod world;

use world::Chance;

#[test]
fn inputs_by_chance_are_survived() {
    let input = |seed| {
        let mut chance = Chance::new(seed);
        let len = 40 + chance.below(600) as usize;
        (0..len).map(|_| chance.next() as u8).collect()
    };
    corpus::chance_is_survived(input, exercise::exercise);
}

#[test]
fn every_input_of_the_corpus_is_survived() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");
    corpus::is_survived(folder, exercise::exercise);
}
