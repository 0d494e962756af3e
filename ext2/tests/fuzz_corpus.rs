//! The inputs that fuzzing has found (`fuzz/`), as a plain test.

#[path = "../fuzz/src/exercise.rs"]
mod exercise;

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
