//! Threads that compute without a pause, beside others that want the core.

use std::io::{Read, Write};
use vm_tests::{Guest, Nic};

fn program(test: &str) -> Guest {
    Guest::new("test-preemption").args(&[test])
}

#[test]
fn a_sleep_ends_although_another_thread_computes() {
    program("sleep").run().showing(0, &["slept", "steps: true"]);
}

#[test]
fn a_thread_runs_although_the_first_one_computes_from_the_start() {
    for test in ["main computes", "main computes on a made stack"] {
        program(test).run().showing(0, &["after all"]);
    }
}

#[test]
fn the_power_button_ends_a_program_that_does_nothing_but_compute() {
    let guest = program("nothing else").start();
    guest.wait_for("computes");
    guest.power_button();
    guest.end().with_status(130);
}

/// What a program writes is drawn later, whatever it does then.
#[test]
fn the_screen_shows_what_was_written_by_a_program_that_does_nothing_but_compute() {
    let guest = program("nothing else").start();
    guest.screen_with("computes");
    guest.power_button();
    guest.end().with_status(130);
}

#[test]
fn a_sleep_ends_although_code_computes_that_the_program_made() {
    let guest = program("made code");
    guest.run().showing(0, &["slept", "steps: true"]);
}

#[test]
fn threads_that_compute_share_their_core() {
    program("share").run().showing(0, &["all got on"]);
}

#[test]
fn threads_that_compute_on_stacks_of_the_programs_making_share_their_core() {
    for cores in [1, 2] {
        let guest = program("made stacks").cores(cores);
        let expected = "all got on, stacks untouched: true";
        guest.run().showing(0, &[expected]);
    }
}

#[test]
fn an_interrupted_thread_finds_its_registers_and_its_red_zone() {
    for test in ["registers", "registers on made stacks"] {
        for cores in [1, 3] {
            let guest = program(test).cores(cores);
            guest.run().showing(0, &["wrong registers: 0"]);
        }
    }
}

#[test]
fn an_interrupted_thread_leaves_the_x87_stack_to_others() {
    program("x87")
        .run()
        .showing(0, &["x87 stacks in use: 0, sums [8, 8]"]);
}

#[test]
fn a_thread_that_is_mostly_in_the_kernel_shares_its_core() {
    program("kernel").run().showing(0, &["slept: true"]);
}

#[test]
fn many_threads_compute_on_few_cores() {
    for cores in [1, 4] {
        let guest = program("stress").cores(cores);
        guest.run().showing(0, &["sum is right: true"]);
    }
}

#[test]
fn connections_are_served_while_a_thread_computes() {
    for nic in [Nic::Virtio, Nic::E1000] {
        let guest = program("serve").nic(nic).publish("7000").start();
        guest.wait_for("ready");
        for word in [b"one", b"two", b"end"] {
            let mut peer = guest.connect(7000);
            peer.write_all(word).expect("a word is sent");
            let mut answer = [0; 5];
            peer.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"heard");
        }
        guest.end().showing(0, &["after all"]);
    }
}
