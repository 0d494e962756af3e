//! Bochs: another implementation of the whole PC, with exceptions of SSE, which QEMU's emulator does not have.

use std::path::Path;
use std::process::Command;
use vm_tests::{Bare, Format};

/// A model that QEMU's emulator has nothing of: with AVX-512.
const SKYLAKE: &str = "corei7_skylake_x";

/// What the console of a disk image shows in Bochs with this model of processor, once it has ended by itself with this status; `None` where
/// there is no Bochs.
fn run_on(model: &str, program: &str, words: &[&str], status: i32) -> Option<String> {
    if !Path::new("/usr/share/bochs/BIOS-bochs-latest").exists() {
        eprintln!("left out: there is no Bochs (Debian: bochs bochs-term bochsbios vgabios)");
        return None;
    }
    // For its folder and image alone.
    let bare = Bare::new("pc");
    let image = bare.image(program, Format::Raw);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hypervisors/bochs");
    let ended = Command::new(script)
        .env("MODEL", model)
        .arg(image)
        .args(words)
        .output();
    let ended = ended.expect("the script that starts Bochs");
    let console = String::from_utf8_lossy(&ended.stdout).into_owned();
    let error = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(status), "{console}\n{error}");
    Some(console)
}

fn run(program: &str, words: &[&str], status: i32) -> Option<String> {
    run_on("ryzen", program, words, status)
}

#[test]
fn interrupted_threads_keep_the_registers_of_avx_512() {
    if let Some(console) = run_on(SKYLAKE, "test-vectors", &[], 0) {
        for text in [
            "AVX true, AVX2 true, AVX-512 true",
            "stepped over all: true",
            "wrong words: 0",
        ] {
            assert!(console.contains(text), "{text}: {console}");
        }
    }
}

#[test]
fn a_program_starts_in_bochs_and_powers_off() {
    if let Some(console) = run("hello", &["log=info"], 0) {
        assert!(
            console.contains("Hello from a virtual machine of my own!"),
            "{console}"
        );
    }
}

#[test]
fn floating_point_errors_end_only_their_thread() {
    for (fault, reason, function) in [
        ("simd", "SIMD floating-point error", "simd_error"),
        ("x87", "x87 floating-point error", "x87_error"),
        ("x87 late", "x87 floating-point error", "x87_error_late"),
    ] {
        let words = format!("\"arg={fault} in thread\"");
        let Some(console) = run("test-faults", &[&words], 0) else {
            return;
        };
        let frame = format!("test_faults::{function}+");
        let ended = format!("it ended by Some({reason:?})");
        for text in [reason, "'worker'", &frame, &ended, "after all"] {
            assert!(console.contains(text), "{fault}: {text}: {console}");
        }
    }
}
