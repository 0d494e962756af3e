//! The clocks: what time it is, and whether it goes on for every core alike. The hypervisors' own clocks are tried where there are
//! hypervisors (`tests/hypervisors/`): the emulator has none.

use std::time::{SystemTime, UNIX_EPOCH};
use vm_tests::{Boot, Guest, Machine};

/// Time of a sleeping machine is its host's: a clock that is wrong by a factor shows, a busy host does not.
#[test]
fn wall_time_is_the_hosts_and_goes_on_for_every_core() {
    for (machine, boot) in [(Machine::Q35, Boot::Disk), (Machine::Microvm, Boot::Kernel)] {
        let guest = Guest::new("test-clock")
            .machine(machine)
            .boot(boot)
            .cores(2);
        let unix = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs()
        };
        let before = unix();
        let console = guest
            .run()
            .showing(0, &["slept ", "2 cores, most backward 0 ns"]);
        let after = unix();
        let (_, wall) = console.split_once("wall ").expect("wall time");
        let wall: u64 = wall.split('.').next().unwrap().parse().expect("seconds");
        // The clock of the machine has whole seconds.
        assert!(
            (before - 2..=after + 2).contains(&wall),
            "{before} {wall} {after}"
        );
    }
}
