//! The clocks: what time it is, and whether it goes on for every core alike. The hypervisors' own clocks are tried where there are
//! hypervisors (`tests/hypervisors/`): the emulator has none.

use std::time::{SystemTime, UNIX_EPOCH};
use vm_tests::{Boot, Guest, Machine};

fn unix() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.unwrap().as_secs()
}

/// Time of a sleeping machine is its host's: a clock that is wrong by a factor shows, a busy host does not.
#[test]
fn wall_time_is_the_hosts_and_goes_on_for_every_core() {
    for (machine, boot) in [(Machine::Q35, Boot::Disk), (Machine::Microvm, Boot::Kernel)] {
        let guest = Guest::new("test-clock")
            .machine(machine)
            .boot(boot)
            .cores(2);
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

/// A machine whose counter and whose host do not agree, as after it was stopped: here by a counter that does not wait while the machine sleeps.
#[test]
fn wall_time_follows_the_hosts_where_the_counter_does_not() {
    let before = unix();
    let console = Guest::new("test-clock")
        .args(&["hour"])
        .boot(Boot::Kernel)
        .qemu(&["-icount", "shift=0,sleep=off"])
        .run()
        .showing(0, &[" after 3600 s"]);
    let after = unix();
    let (text, _) = console.split_once(" after 3600 s").expect("a line");
    let wall = text.lines().last().expect("wall time");
    let wall: u64 = wall.parse().expect("seconds");
    assert!(
        (before - 2..=after + 2).contains(&wall),
        "{before} {wall} {after}"
    );
}
