//! What is done to a running machine from outside: it goes on, and says what there is to say.

use std::thread::sleep;
use std::time::{Duration, Instant};
use vm_tests::{DEADLINE, Guest, Machine, Nic, Running, Site};

const PAGE: &str = "a page";

/// A service that answers.
fn serving(guest: Guest) -> Running {
    let site = Site::new().with("web/index.html", PAGE);
    let guest = guest.disk_of(site.path(), "/").start();
    guest.wait_for("Serving /web on port 80");
    answers(&guest);
    guest
}

#[track_caller]
fn answers(guest: &Running) {
    assert_eq!(guest.http().get("/").text(), PAGE);
}

/// As `virsh inject-nmi` sends it.
#[test]
fn a_non_maskable_interrupt_is_answered_with_where_the_machine_stands_and_it_goes_on() {
    for (machine, cores) in [(Machine::Pc, 1), (Machine::Q35, 2)] {
        let guest = serving(Guest::new("static-web").machine(machine).cores(cores));
        for _ in 0..20 {
            guest.monitor("nmi");
            answers(&guest);
        }
        guest.power_button();
        let console = guest.end().with_status(130);
        for text in ["non-maskable interrupt", "backtrace:", "going on"] {
            assert!(console.contains(text), "{text:?}: {console}");
        }
    }
}

/// It comes wherever the program and the kernel are, most often in the midst of a line.
#[test]
fn a_program_that_writes_on_the_console_goes_on_after_non_maskable_interrupts() {
    let mut guest = Guest::new("test-console").nic(Nic::None).start();
    guest.wait_for("ready");
    guest.send("lines\n");
    // Returns how much the console shows when it shows the text behind what it has shown already.
    let wait_for = |guest: &Running, text, shown: usize| {
        let started = Instant::now();
        loop {
            let console = guest.console();
            if let Some(at) = console[shown..].find(text) {
                return shown + at;
            }
            assert!(started.elapsed() < DEADLINE, "no {text:?}");
            sleep(Duration::from_millis(10));
        }
    };
    for _ in 0..4 {
        let shown = guest.console().len();
        guest.monitor("nmi");
        let told = wait_for(&guest, "going on", shown);
        wait_for(&guest, "a line\r\na line\r\n", told);
    }
    guest.power_button();
    guest.end().with_status(130);
}
