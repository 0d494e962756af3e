//! Programs that show what came of each promise of the system: in a machine, and as a process of the host, to the same effect.

use std::path::Path;
use std::process::Command;
use vm_tests::{Boot, Guest, Nic};

/// What the program shows on this host, run in an empty folder.
fn on_host(name: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", name, "--manifest-path"])
        .arg(manifest)
        .current_dir(folder.path())
        .output()
        .expect("cargo");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{name} fails here:\n{shown}{errors}"
    );
    shown
}

/// Both show the same, line by line.
pub(crate) fn same_as_here(name: &str, guest: Guest) {
    let there = guest.run().showing(0, &["all steps done"]);
    let here = on_host(name);
    // Between the lines of the program the machine may show what was written to its standard error.
    let mut rest = there.lines();
    for line in here.lines() {
        assert!(
            rest.any(|other| other == line),
            "the host shows {line:?} next, the machine not:\n{there}"
        );
    }
}

#[test]
fn descriptors_signals_and_processes_are_as_on_linux() {
    same_as_here(
        "test-descriptors",
        Guest::new("test-descriptors")
            .nic(Nic::None)
            .boot(Boot::Kernel),
    );
}

#[test]
fn the_c_library_is_as_on_linux() {
    same_as_here(
        "test-c-library",
        Guest::new("test-c-library")
            .nic(Nic::None)
            .boot(Boot::Kernel),
    );
}

#[test]
fn what_the_standard_library_promises_is_kept() {
    same_as_here(
        "test-std-promises",
        Guest::new("test-std-promises").boot(Boot::Kernel),
    );
}

#[test]
fn system_calls_are_as_on_linux() {
    same_as_here(
        "test-system-calls",
        Guest::new("test-system-calls")
            .nic(Nic::None)
            .boot(Boot::Kernel),
    );
}

#[test]
fn tokio_is_as_on_linux() {
    same_as_here("test-tokio", Guest::new("test-tokio").boot(Boot::Kernel));
}

#[test]
fn the_power_button_interrupts_a_program_that_wants_it() {
    let guest = Guest::new("test-tokio").args(&["signal"]).start();
    guest.wait_for("waiting");
    guest.power_button();
    guest.end().showing(0, &["interrupted"]);
}
