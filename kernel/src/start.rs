//! From the first Rust instruction to `main` of the program.

use alloc::vec::Vec;
use core::ops::Range;

use crate::abi;
use crate::arch::clock;
use crate::arch::x86_64::acpi::PciMemory;
use crate::arch::x86_64::aml::Resources;
use crate::arch::x86_64::start_info::{Protocol, RootPointer, StartInfo, StartInfoError};
use crate::arch::x86_64::{
    acpi, core_local, cores, descriptors, exceptions, extended_state, interrupts, local_apic,
    power, syscall, tlb,
};
use crate::command_line::{CommandLine, VirtioMmioDevice};
use crate::devices::{console, pci};
use crate::epitaph::fatal;
use crate::storage::{self, MountError, MountRequest};
use crate::sync::{OnceCell, SpinGuard, SpinLock};
use crate::{image, log, memory, scheduler};

/// Stack of the program's main thread, in bytes; only what is touched takes memory.
pub(crate) const MAIN_STACK_BYTES: usize = 8 << 20;

/// What the start has found out.
struct Found {
    command_line: CommandLine,
    /// Local APIC numbers of the processors.
    processors: &'static [u32],
    /// Where ACPI's tables are, or where to look for them.
    acpi_root: &'static RootPointer,
    extended_bios_data: Option<u64>,
}

static FOUND: OnceCell<Found> = OnceCell::new();
/// What the loader tells, and what the firmware's tables do: in static memory, which is cleared already, and kept for ever.
static START_INFO: SpinLock<StartInfo> = SpinLock::new(StartInfo::new());
static MACHINE: SpinLock<acpi::Machine> = SpinLock::new(acpi::Machine::new());

/// What the image and the loader asked for.
pub fn command_line() -> &'static CommandLine {
    match FOUND.get() {
        Some(found) => &found.command_line,
        None => panic!("the command line is used before it is read"),
    }
}

/// The devices of virtio on the memory bus, as image and loader tell of them, or else ACPI. Read when somebody looks for devices: a program without any
/// does not wait for it.
pub(crate) fn virtio_mmio() -> &'static [VirtioMmioDevice] {
    static DEVICES: OnceCell<Vec<VirtioMmioDevice>> = OnceCell::new();
    DEVICES.get_or_find(|| {
        let mut devices = command_line().virtio_mmio();
        // A machine with all that a PC has keeps its devices on the PCI bus.
        let is_reduced = power::acpi().is_some_and(|power| !power.has_fixed_hardware());
        if let Some(found) = FOUND.get()
            && devices.is_empty()
            && is_reduced
        {
            let add = |device: Resources| devices.push(device.into());
            acpi::for_each_virtio_device(found.acpi_root, found.extended_bios_data, add);
        }
        devices
    })
}

/// What ACPI says of the PCI bus.
fn find_pci() -> Option<(PciMemory, Option<Range<u64>>)> {
    let found = FOUND.get()?;
    acpi::find_pci(found.acpi_root, found.extended_bios_data)
}

/// Called by the boot code on the boot stack with interrupts off; `start_info_phys` is where the loader left its information, in the
/// form of its protocol.
pub(crate) extern "C" fn start(start_info_phys: u64, protocol: Protocol) -> ! {
    // First: an emulator translates what ran before once more.
    extended_state::initialise();
    let measurement = clock::TscMeasurement::begin();
    console::initialise_serial();
    core_local::initialise_boot_core();
    // SAFETY: the entries are those of `exceptions` and `interrupts`; this is the only call, and interrupts are off.
    unsafe {
        descriptors::initialise(|set| {
            exceptions::gates(set);
            interrupts::gates(set);
            tlb::gates(set);
        })
    };
    let info = SpinGuard::leak(START_INFO.lock());
    match info.read(protocol, start_info_phys) {
        Ok(()) => {}
        Err(StartInfoError::Unreachable(what)) => fatal(format_args!(
            "the loader's {what} is outside of the first 4 GiB of memory"
        )),
        Err(StartInfoError::Magic(magic)) => fatal(format_args!(
            "the loader gave no PVH start information (magic is {magic:#x})"
        )),
        Err(StartInfoError::Lacks(what)) => {
            fatal(format_args!("the loader's information lacks a {what}"))
        }
    }
    power::set_starter(info.protocol);
    // SAFETY: the boot tables map the first 4 GiB, and this is the only call.
    if unsafe { memory::initialise(info.ranges(), &image::layout()) }.is_err() {
        no_memory();
    }
    if interrupts::initialise().is_err() {
        no_memory();
    }
    let counter = local_apic::counts().then(|| {
        clock::CounterMeasurement::begin(local_apic::start_timer_count, local_apic::timer_count)
    });
    console::initialise_screen(info.framebuffer.as_ref());
    let command_line = CommandLine::parse(image::default_command_line(), info.command_line());
    if let Some(port) = command_line.exit_port {
        power::set_exit_port(port);
    }
    log::initialise(command_line.log_level);
    if command_line.has_unknown() {
        for word in command_line.unknown() {
            ::log::warn!("command line: `{word}` means nothing to this kernel");
        }
    }
    scheduler::set_placement(command_line.placement);
    let machine = SpinGuard::leak(MACHINE.lock());
    acpi::read_tables(machine, &info.root, info.extended_bios_data);
    if let Some(acpi_power) = machine.power {
        power::set_acpi(acpi_power);
    }
    if interrupts::connect(machine).is_err() {
        no_memory();
    }
    local_apic::set_timer_hz(clock::initialise(measurement, counter));
    interrupts::enable_timer();
    syscall::initialise();
    if command_line.has_preemption {
        scheduler::enable_preemption();
    }
    let _ = FOUND.set(Found {
        command_line,
        processors: machine.processors(),
        acpi_root: &info.root,
        extended_bios_data: info.extended_bios_data,
    });
    pci::configuration::set_finder(find_pci);
    scheduler::start(main_thread, MAIN_STACK_BYTES)
}

fn no_memory() -> ! {
    fatal(format_args!(
        "not enough memory to start: give the machine more"
    ))
}

unsafe extern "Rust" {
    /// One of the two below: the link step chooses, so that a program that opens no files has no file systems in its image.
    safe fn toro_file_systems(line: &CommandLine) -> Result<(), MountError>;
    /// In the same way, what makes FAT known, or leaves it out.
    safe fn toro_fat();
    /// And what mounts `/proc` and `/sys`, or does not.
    safe fn toro_proc();
    /// And what puts the network in there.
    safe fn toro_proc_net();
}

/// Makes FAT known.
#[unsafe(no_mangle)]
fn toro_with_fat() {
    storage::mount::support_fat(storage::vfs::fat::open);
}

/// Leaves FAT out.
#[unsafe(no_mangle)]
fn toro_without_fat() {}

/// Mounts `/proc` and `/sys`.
#[unsafe(no_mangle)]
fn toro_with_proc() {
    if let Err(error) = abi::procfs::mount() {
        ::log::warn!("/proc is not there: {error:?}");
    }
}

/// Leaves them out.
#[unsafe(no_mangle)]
fn toro_without_proc() {}

/// Shows the network in `/proc` and `/sys`.
#[unsafe(no_mangle)]
fn toro_with_proc_net() {
    if let Err(error) = abi::procfs::network::mount() {
        ::log::warn!("/proc/net is not there: {error:?}");
    }
}

/// Leaves it out.
#[unsafe(no_mangle)]
fn toro_without_proc_net() {}

/// Mounts what the words `mount=` ask for.
#[unsafe(no_mangle)]
fn toro_all_file_systems(line: &CommandLine) -> Result<(), MountError> {
    toro_fat();
    let mut requests = Ok(Vec::new());
    line.each_mount(&mut |word| {
        if let Ok(list) = &mut requests {
            match MountRequest::parse(&word) {
                Ok(request) => list.push(request),
                Err(error) => requests = Err(error),
            }
        }
    });
    storage::start(requests?, virtio_mmio())?;
    abi::generated::bring_texts();
    toro_proc();
    toro_proc_net();
    Ok(())
}

#[unsafe(no_mangle)]
fn toro_no_file_systems(line: &CommandLine) -> Result<(), MountError> {
    if line.has_mounts() {
        ::log::warn!(
            "nothing is mounted: the program opens no files, so its image has no file systems"
        );
    }
    storage::start_bare();
    Ok(())
}

extern "C" fn main_thread(_: usize) -> ! {
    scheduler::begin();
    let processors = FOUND.get().map_or(&[][..], |found| found.processors);
    let entry = cores::Entry {
        prepare: scheduler::prepare_core,
        run: scheduler::run_core,
    };
    if cores::start_all(processors, entry).is_err() {
        fatal(format_args!(
            "not enough memory for all cores: give the machine more, or fewer cores"
        ));
    }
    if let Err(error) = toro_file_systems(command_line()) {
        fatal(format_args!("{error}"));
    }
    scheduler::begin_slice();
    abi::program::run()
}
