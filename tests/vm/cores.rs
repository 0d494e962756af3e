//! Cores, threads on them, messages between them.

use std::time::Duration;
use vm_tests::{Boot, Guest, Machine, Nic, Size, stress_time};

fn guest(cores: u32, groups: &[&str]) -> Guest {
    Guest::new("test-cores")
        .boot(Boot::Kernel)
        .nic(Nic::None)
        .cores(cores)
        .args(groups)
}

fn passes(guest: Guest, groups: &[&str]) {
    let ends: Vec<_> = groups.iter().map(|group| format!("{group}: ok")).collect();
    let texts: Vec<_> = ends.iter().map(String::as_str).collect();
    guest.args(groups).run().showing(0, &texts);
}

#[test]
fn one_two_four_and_sixteen_cores_run() {
    for cores in [1, 2, 4, 16] {
        let group = format!("count {cores}");
        passes(guest(cores, &[]), &[&group, "spawn"]);
    }
}

#[test]
fn sixty_four_cores_run_in_little_memory() {
    passes(guest(64, &[]).memory(Size::mib(32)), &["count 64"]);
}

#[test]
fn cores_run_on_q35_and_microvm() {
    for machine in [Machine::Q35, Machine::Microvm] {
        passes(guest(4, &[]).machine(machine), &["count 4", "spawn"]);
    }
}

#[test]
fn stds_primitives_work_across_cores() {
    passes(guest(4, &[]), &["primitives"]);
}

#[test]
fn ten_thousand_threads_run_or_the_error_is_want_of_memory() {
    passes(guest(2, &[]).memory(Size::mib(512)), &["many 10000"]);
    guest(2, &["many 10000"])
        .memory(Size::mib(16))
        .run()
        .showing(0, &["no memory for thread"]);
}

#[test]
fn the_rule_of_placement_is_chosen_by_the_command_line() {
    passes(guest(3, &[]), &["placement least-loaded"]);
    for rule in ["same-core", "round-robin"] {
        let guest = guest(3, &[]).kernel_word(&format!("placement={rule}"));
        passes(guest, &[&format!("placement {rule}")]);
    }
    guest(1, &["count 1"])
        .kernel_word("placement=best")
        .run()
        .showing(0, &["`placement=best` means nothing to this kernel"]);
}

#[test]
fn threads_are_suspended_resumed_and_killed() {
    for cores in [1, 3] {
        passes(guest(cores, &[]), &["control"]);
    }
}

#[test]
fn messages_pass_between_cores() {
    for cores in [1, 4] {
        passes(guest(cores, &[]), &["message"]);
    }
}

/// For as many seconds as TORO_STRESS says; without it, a few.
#[test]
fn nothing_that_cores_share_is_lost_or_damaged_however_long_they_go_on() {
    let seconds = format!("stress {}", stress_time().as_secs());
    for cores in [2, 4] {
        passes(guest(cores, &[]), &[&seconds]);
    }
}

/// The share of a host's core that the emulator uses while the guest says nothing more than `watch`.
fn use_of_host(what: &str) -> Option<f64> {
    let running = guest(2, &[&format!("idle {what}")]).start();
    running.wait_for("watch");
    // The start is over.
    std::thread::sleep(Duration::from_millis(500));
    let span = Duration::from_secs(2);
    let before = running.cpu_time()?;
    std::thread::sleep(span);
    let used = running.cpu_time()? - before;
    running.end().with_status(0);
    Some(used.as_secs_f64() / span.as_secs_f64())
}

#[test]
fn a_core_halts_with_no_thread_none_that_is_ready_and_only_such_as_poll() {
    // What a machine that never halts gets of a host that has more to do.
    let busy = use_of_host("busy");
    for what in ["empty", "waiting", "polling"] {
        if let (Some(used), Some(busy)) = (use_of_host(what), busy) {
            let percent = 100.0 * used;
            assert!(used < 0.25, "{what}: {percent:.0} % of a core");
            assert!(used < busy / 2.0, "{what}: {percent:.0} %, busy {busy}");
        }
    }
}

#[test]
fn a_deadlock_is_reported_with_its_threads_and_ends_the_machine() {
    let ends = [
        ("locks", "'left' on core 0 waits at 0x"),
        ("locks", "'right' on core 1 waits at 0x"),
        ("channel", "'main' on core 0 waits"),
        ("message", "'receiver' on core 1 waits for a message"),
        ("suspended", "'sleeper' on core 1 is suspended"),
        ("parked", "'main' on core 0 is parked for good"),
    ];
    for (what, text) in ends {
        let ended = guest(2, &[&format!("deadlock {what}")]).run();
        ended.showing(71, &["no thread can ever run again", text]);
    }
    let with_network = guest(2, &["deadlock network"]).nic(Nic::E1000).run();
    with_network.showing(
        71,
        &["no thread can ever run again", "'left' on core 0 waits"],
    );
}

#[test]
fn who_can_be_woken_from_outside_is_not_in_a_deadlock() {
    passes(guest(2, &[]), &["deadlock timer"]);
    let mut typed = guest(2, &["deadlock input"]).start();
    typed.wait_for("type");
    std::thread::sleep(Duration::from_millis(500));
    typed.send("x\n");
    typed.end().with_status(0);
    let pressed = guest(2, &["deadlock socket"]).nic(Nic::E1000).start();
    pressed.wait_for("press");
    std::thread::sleep(Duration::from_millis(500));
    pressed.power_button();
    pressed.end().with_status(130);
    // One thread of several waits for a peer, who might let the others go on.
    let accepting = guest(2, &["deadlock locks but one"])
        .nic(Nic::E1000)
        .start();
    accepting.wait_for("press");
    std::thread::sleep(Duration::from_millis(1500));
    accepting.power_button();
    accepting.end().with_status(130);
}

#[test]
fn the_example_threads_shows_what_its_readme_says() {
    let readme = include_str!("../../examples/threads/README.md");
    shows(Guest::new("threads").boot(Boot::Kernel), readme);
}

#[test]
fn the_example_messages_shows_what_its_readme_says() {
    let readme = include_str!("../../examples/messages/README.md");
    shows(Guest::new("messages").boot(Boot::Kernel), readme);
}

/// The machine shows, line by line, the transcript of a README, which is its last block of indented text.
fn shows(guest: Guest, readme: &str) {
    let mut lines: Vec<_> = readme
        .lines()
        .rev()
        .skip_while(|line| !line.starts_with("    "))
        .collect();
    lines.truncate(
        lines
            .iter()
            .take_while(|line| line.starts_with("    "))
            .count(),
    );
    // The command in front is the reader's.
    let lines: Vec<_> = lines
        .iter()
        .rev()
        .map(|line| &line[4..])
        .filter(|line| !line.starts_with('$'))
        .collect();
    assert!(lines.len() > 4);
    guest.run().showing(0, &lines);
}
