//! Vector registers of the widths that processors have, of threads that are interrupted.

use vm_tests::Guest;

/// The registers of each width are the thread's own on this model of QEMU's, which has AVX or not.
fn keeps_registers(model: &str, has_avx: bool) {
    let avx = format!("AVX {has_avx}, AVX2 {has_avx}, AVX-512 false");
    let expected = [&avx, "stepped over all: true", "wrong words: 0"];
    for cores in [1, 3] {
        let guest = Guest::new("test-vectors").cores(cores);
        guest.qemu(&["-cpu", model]).run().showing(0, &expected);
    }
}

#[test]
fn programs_find_avx_and_interrupted_threads_keep_its_registers() {
    keeps_registers("max", true);
}

#[test]
fn a_processor_without_avx_has_sse_as_ever() {
    keeps_registers("qemu64", false);
}

#[test]
fn a_processor_with_xsave_alone_has_sse_as_ever() {
    keeps_registers("max,-avx,-avx2", false);
}

#[test]
fn avx_that_cannot_be_saved_is_not_there() {
    keeps_registers("max,-xsave", false);
}
