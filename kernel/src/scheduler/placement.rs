//! On which core a thread starts whose creator does not say.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use super::core::{core_count, current_core, thread_count};

/// The rule (`placement=` of the command line).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Placement {
    /// The core with the fewest threads; of equal ones, the creator's own, else the first.
    LeastLoaded,
    /// One core after the other.
    RoundRobin,
    /// The creator's own core.
    SameCore,
}

impl Placement {
    /// The rule of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "least-loaded" => Some(Self::LeastLoaded),
            "round-robin" => Some(Self::RoundRobin),
            "same-core" => Some(Self::SameCore),
            _ => None,
        }
    }
}

static RULE: AtomicU8 = AtomicU8::new(Placement::LeastLoaded as u8);
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Chooses the rule for threads that start from now on.
pub fn set_placement(rule: Placement) {
    RULE.store(rule as u8, Ordering::Relaxed);
}

/// The core for the next thread, by the rule.
pub fn place() -> usize {
    let rule = RULE.load(Ordering::Relaxed);
    let count = core_count();
    if rule == Placement::SameCore as u8 || count == 1 {
        return current_core();
    }
    if rule == Placement::RoundRobin as u8 {
        return NEXT.fetch_add(1, Ordering::Relaxed) % count;
    }
    least_loaded((0..count).map(thread_count), current_core())
}

fn least_loaded(loads: impl Iterator<Item = usize>, own: usize) -> usize {
    loads
        .enumerate()
        .min_by_key(|&(core, threads)| (threads, core != own, core))
        .map_or(own, |(core, _)| core)
}

#[cfg(test)]
mod tests {
    use super::{Placement, least_loaded};

    #[test]
    fn rules_have_names() {
        assert_eq!(Placement::named("same-core"), Some(Placement::SameCore));
        assert_eq!(Placement::named("round-robin"), Some(Placement::RoundRobin));
        assert_eq!(
            Placement::named("least-loaded"),
            Some(Placement::LeastLoaded)
        );
        assert_eq!(Placement::named("best"), None);
    }

    #[test]
    fn the_emptiest_core_is_chosen_and_the_own_one_among_equals() {
        assert_eq!(least_loaded([3, 1, 2].into_iter(), 0), 1);
        assert_eq!(least_loaded([2, 2, 2].into_iter(), 1), 1);
        assert_eq!(least_loaded([3, 2, 2].into_iter(), 0), 1);
    }
}
