//! Threads, locks, clocks.

use vm_tests::{Boot, Guest, Machine, Size};

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

/// More is allocated on one core and freed on another than the machine has memory: it all comes back.
#[test]
fn memory_that_another_core_frees_goes_home() {
    let guest = Guest::new("test-threads").args(&["travel"]).cores(4);
    guest
        .memory(Size::mib(8))
        .run()
        .showing(0, &[" KiB travelled"]);
}
