//! Inputs of a fuzzer as plain tests, for the crates that have one (`ext2/fuzz`, `tcpip/fuzz`): those that it has found, and some by chance.

use std::panic::{RefUnwindSafe, catch_unwind};

/// Every input of the corpus in `folder` is survived.
pub(crate) fn is_survived(folder: &str, exercise: impl Fn(&[u8]) + RefUnwindSafe) {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("list the corpus") {
        let path = entry.expect("list the corpus").path();
        let bytes = std::fs::read(&path).expect("read an input");
        // The name of the input is what a failure needs.
        let result = catch_unwind(|| exercise(&bytes));
        assert!(result.is_ok(), "{}", path.display());
        count += 1;
    }
    assert!(count > 10, "only {count} inputs");
}

/// Inputs that are made of a seed are survived. More of them: TORO_FUZZ_INPUTS=100000.
pub(crate) fn chance_is_survived(
    input: impl Fn(u64) -> Vec<u8>,
    exercise: impl Fn(&[u8]) + RefUnwindSafe,
) {
    let count = std::env::var("TORO_FUZZ_INPUTS").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(300);
    for seed in 0..count {
        let bytes = input(seed);
        let result = catch_unwind(|| exercise(&bytes));
        assert!(result.is_ok(), "input {seed}: {bytes:?}");
    }
}
