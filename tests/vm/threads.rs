//! Threads, locks, clocks.

use vm_tests::{Boot, Guest, Machine};

fn all_steps_pass(guest: Guest) {
    guest.run().showing(
        0,
        &["two thousand threads live at once: ok", "all 15 steps done"],
    );
}

#[test]
fn threads_work_on_pc() {
    all_steps_pass(Guest::new("test-threads").boot(Boot::Kernel));
}

#[test]
fn threads_work_on_microvm() {
    all_steps_pass(Guest::new("test-threads").machine(Machine::Microvm));
}

/// A timer of 32 bits that counts nanoseconds reaches 4.3 s.
#[test]
fn a_sleep_may_be_longer_than_the_timer_counts() {
    Guest::new("test-threads")
        .args(&["long sleep"])
        .run()
        .showing(0, &["slept long"]);
}
