//! Adds up what test harnesses report: lines like `test result: ok. 45 passed; 0 failed; 1 ignored; …`.

/// Tests that ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
}

impl Counts {
    /// One test that passed or not.
    pub(super) fn one(is_passed: bool) -> Self {
        Self {
            passed: usize::from(is_passed),
            failed: usize::from(!is_passed),
        }
    }

    /// The counts in one line of a harness, if it is its last.
    fn of_line(line: &str) -> Option<Self> {
        let (_, result) = line.split_once("test result: ")?;
        let count = |what: &str| {
            let (before, _) = result.split_once(what)?;
            before.split_whitespace().next_back()?.parse().ok()
        };
        Some(Self {
            passed: count(" passed")?,
            failed: count(" failed")?,
        })
    }

    /// The counts in all that a command or a guest printed. One that failed without a failed test counts as one: it did not
    /// compile, or it crashed.
    pub(super) fn of_output(output: &str, is_success: bool) -> Self {
        let mut counts = output
            .lines()
            .filter_map(Self::of_line)
            .fold(Self::default(), |sum, line| sum + line);
        if !is_success && counts.failed == 0 {
            counts.failed = 1;
        }
        counts
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 2 tests
test a ... ok
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    #[test]
    fn the_lines_of_all_harnesses_are_added_up() {
        assert_eq!(
            Counts::of_output(OUTPUT, false),
            Counts {
                passed: 5,
                failed: 4
            }
        );
    }

    #[test]
    fn a_failure_without_a_failed_test_counts() {
        assert_eq!(
            Counts::of_output("error: could not compile", false),
            Counts::one(false)
        );
        assert_eq!(
            Counts::of_output("test result: ok. 1 passed; 0 failed;", false),
            Counts {
                passed: 1,
                failed: 1
            }
        );
        assert_eq!(Counts::of_output("", true), Counts::default());
    }
}
