//! Every machine, each way of booting, little memory, and the exit status.

use vm_tests::{Bare, Boot, Format, Guest, Machine, Size};

const LINE: &str = "Hello from a virtual machine of my own!";

fn says_hello(machine: Machine, boot: Boot) {
    let console = Guest::new("hello")
        .machine(machine)
        .boot(boot)
        .run()
        .with_status(0);
    // Nothing but the program speaks: firmware and loader are done, and the kernel has nothing to say.
    assert!(console.ends_with(&format!("{LINE}\r\n")), "{console:?}");
    assert!(!console.contains("toro:"), "{console}");
}

#[test]
fn pc_boots_from_a_disk() {
    says_hello(Machine::Pc, Boot::Disk);
}

#[test]
fn pc_boots_a_kernel() {
    says_hello(Machine::Pc, Boot::Kernel);
}

#[test]
fn q35_boots_from_a_disk() {
    says_hello(Machine::Q35, Boot::Disk);
}

#[test]
fn q35_boots_a_kernel() {
    says_hello(Machine::Q35, Boot::Kernel);
}

#[test]
fn the_same_disk_boots_by_uefi() {
    for machine in [Machine::Pc, Machine::Q35] {
        says_hello(machine, Boot::Uefi);
    }
}

#[test]
fn microvm_boots_a_kernel() {
    says_hello(Machine::Microvm, Boot::Kernel);
}

/// A reset would start it again, without an end.
#[test]
fn what_has_a_sleep_register_in_place_of_acpi_s_fixed_hardware_is_powered_off() {
    let machine = Bare::new("microvm,acpi=on").qemu(&["-action", "reboot=reset"]);
    let image = machine.image("hello", Format::Elf);
    let console = machine.file("-kernel", "", &image).run();
    assert_eq!(console.matches(LINE).count(), 1, "{console}");
}

#[test]
fn what_has_neither_acpi_nor_a_keyboard_controller_ends_all_the_same() {
    let machine = Bare::new("microvm,acpi=off");
    let image = machine.image("hello", Format::Elf);
    let console = machine.file("-kernel", "", &image).run();
    assert_eq!(console.matches(LINE).count(), 1, "{console}");
}

/// Each feature alone, by PVH and by the loader for BIOS; and models that lack several.
#[test]
fn a_processor_that_lacks_something_is_told_what() {
    const FEATURES: &str = "lm nx fpu tsc msr pae cx8 apic cmov mmx fxsr sse sse2";
    let without = FEATURES
        .split(' ')
        .map(|name| (format!("max,-{name}"), name));
    let models = [("qemu32", "lm nx"), ("pentium3", "lm nx sse2")];
    let models = models.map(|(model, missing)| (model.to_owned(), missing));
    for (cpu, missing) in without.chain(models) {
        for (machine, format) in [("microvm", Format::Elf), ("pc", Format::Raw)] {
            let machine = Bare::new(machine).qemu(&["-cpu", &cpu, "-m", "64"]);
            let image = machine.image("hello", format);
            let machine = match format {
                Format::Raw => machine.file("-drive", "format=raw,file=", &image),
                _ => machine.file("-kernel", "", &image),
            };
            let console = machine.run_until("another model");
            let text = format!("this processor lacks {missing} (CPUID)");
            assert!(console.contains(&text), "{cpu}: {console}");
            assert!(!console.contains(LINE), "{cpu}: {console}");
        }
    }
}

#[test]
fn the_loader_for_uefi_says_what_the_processor_lacks_on_the_firmware_s_console() {
    let machine = Bare::new("q35").uefi().qemu(&["-cpu", "max,-nx"]);
    let image = machine.image("hello", Format::Raw);
    let console = machine
        .file("-drive", "format=raw,file=", &image)
        .run_until("another model");
    assert!(
        console.contains("Toro: this processor lacks nx (CPUID)"),
        "{console}"
    );
}

/// A reset, which ends other machines without ACPI, would have the firmware start the disk again.
#[test]
fn a_disk_on_a_machine_that_cannot_power_itself_off_ends_halted() {
    for machine in ["pc,acpi=off", "q35,acpi=off"] {
        let machine = Bare::new(machine).qemu(&["-smp", "2", "-action", "reboot=reset"]);
        let image = machine.image("hello", Format::Raw);
        let console = machine
            .file("-drive", "format=raw,file=", &image)
            .run_until("it is halted");
        assert_eq!(console.matches(LINE).count(), 1, "{console}");
    }
}

#[test]
fn eight_mebibytes_are_enough() {
    for boot in [Boot::Disk, Boot::Kernel] {
        Guest::new("hello")
            .memory(Size::mib(8))
            .boot(boot)
            .run()
            .showing(0, &[LINE]);
    }
}

#[test]
fn much_memory_is_found() {
    // More than fits below the hole for devices at 3 GiB.
    let guest = Guest::new("test-faults")
        .memory(Size::mib(5 << 10))
        .args(&["nothing"]);
    guest.run().showing(0, &["after all"]);
}

#[test]
fn half_a_tebibyte_is_found_and_used() {
    // Memory of the host is taken only as the guest touches it, and 512 GiB are more than it has.
    let reserve = "memory-backend-ram,id=all,size=512G,reserve=off";
    for boot in [Boot::Disk, Boot::Kernel] {
        let guest = Guest::new("test-faults")
            .args(&["high memory"])
            .memory(Size::mib(512 << 10))
            .boot(boot)
            .qemu(&["-object", reserve, "-machine", "memory-backend=all"]);
        let texts = ["memory of 511 GiB, of which the last begins beyond 500 GiB: true"];
        guest.run().showing(0, &texts);
    }
}

#[test]
fn a_program_that_opens_no_files_runs_without_the_disk_it_was_given() {
    Guest::new("hello")
        .disk(&[0; 1 << 20], "/")
        .run()
        .showing(0, &[LINE, "nothing is mounted: the program opens no files"]);
}
