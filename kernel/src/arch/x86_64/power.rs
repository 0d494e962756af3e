//! The end of the machine: the emulator's exit device, ACPI soft-off, and what is left when neither is there.

use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use super::acpi::{Control, Power};
use super::mmio::Mmio;
use super::start_info::Protocol;
use super::{clock, core_local, cpu, local_apic, port, xen};
use crate::sync::OnceCell;

/// Of the control register of ACPI's fixed hardware (ACPI Specification 6.5, table 4.10).
const FIXED_ENABLE: u16 = 1 << 13;
const FIXED_TYPE_SHIFT: u16 = 10;
const FIXED_TYPE: u16 = 7 << FIXED_TYPE_SHIFT;
/// That power events interrupt, and are not the firmware's.
const FIXED_IS_TAKEN: u16 = 1;
/// Of the sleep control register (table 4.15).
const SLEEP_ENABLE: u8 = 1 << 5;
const SLEEP_TYPE_SHIFT: u8 = 2;
/// No type of sleep is larger.
const MAX_SLEEP_TYPE: u8 = 7;
/// How long a machine may take to end, in ticks of the time-stamp counter: some tenths of a second. What comes behind it is taken for a
/// reset by machines that were about to end.
const PATIENCE_TICKS: u64 = 1 << 30;

static POWER: OnceCell<Power> = OnceCell::new();
/// The sleep control register, where it is in memory: mapped while there is memory for that.
static SLEEP: OnceCell<Mmio> = OnceCell::new();
static EXIT_PORT: AtomicU16 = AtomicU16::new(0);
static STARTER: AtomicU32 = AtomicU32::new(Protocol::PVH.0);

/// Notes how ACPI powers this machine off.
pub fn set_acpi(power: Power) {
    if let Control::SleepMemory(phys) = power.control
        && let Ok(register) = Mmio::map(phys, 1)
    {
        let _ = SLEEP.set(register);
    }
    let _ = POWER.set(power);
}

/// How ACPI powers this machine off, if it does.
pub fn acpi() -> Option<Power> {
    POWER.get().copied()
}

/// Takes the registers of power events over from the firmware where it has them still: events would not interrupt (ACPI Specification 6.5,
/// section 5.2.9, `SMI_CMD`). QEMU's firmware gives them up before, others wait for this.
pub fn take_over(power: &Power) {
    /// Firmware that does not answer keeps them.
    const MAX_LOOKS: u32 = 100_000;
    let (Control::Fixed(control), Some((command_port, enable))) = (power.control, power.enable)
    else {
        return;
    };
    let is_taken = || port::read16(control) & FIXED_IS_TAKEN != 0;
    if is_taken() {
        return;
    }
    port::write8(command_port, enable);
    if !(0..MAX_LOOKS).any(|_| is_taken()) {
        log::warn!("the firmware keeps the power button for itself");
    }
}

/// Notes the port of an emulator's exit device (QEMU's `isa-debug-exit`).
pub fn set_exit_port(number: u16) {
    EXIT_PORT.store(number, Ordering::Relaxed);
}

/// Notes who started the kernel, and may do so again.
pub fn set_starter(protocol: Protocol) {
    STARTER.store(protocol.0, Ordering::Relaxed);
}

/// Ends the machine. `status` reaches the emulator where it has an exit device. Returns where the machine cannot be powered off, and a
/// reset would start it again.
pub fn off(status: u8) {
    let exit_port = EXIT_PORT.load(Ordering::Relaxed);
    if exit_port != 0 {
        port::write32(exit_port, u32::from(status));
    }
    if let Some(power) = POWER.get() {
        soft_off(power);
    }
    // A machine without ACPI.
    xen::shut_down(xen::Reason::PowerOff);
    if !Protocol(STARTER.load(Ordering::Relaxed)).has_firmware() {
        reset_without_chip_set()
    }
}

/// Stops all cores for good.
pub fn halt() -> ! {
    if core_local::count() > 1 {
        local_apic::stop_others();
    }
    cpu::halt_forever()
}

/// Powers off by ACPI; returns where that did nothing.
fn soft_off(power: &Power) {
    let kind = power.soft_off_type & MAX_SLEEP_TYPE;
    let sleep = kind << SLEEP_TYPE_SHIFT | SLEEP_ENABLE;
    match power.control {
        Control::Fixed(number) => {
            let control = port::read16(number) & !FIXED_TYPE;
            let kind = u16::from(kind) << FIXED_TYPE_SHIFT;
            port::write16(number, control | kind | FIXED_ENABLE);
        }
        Control::SleepPort(number) => port::write8(number, sleep),
        Control::SleepMemory(_) => {
            if let Some(register) = SLEEP.get() {
                register.write(0, sleep);
            }
        }
    }
    await_end();
}

/// Gives the machine time to end, in which nothing else runs on this core.
fn await_end() {
    cpu::disable_interrupts();
    let start = clock::tsc();
    while clock::tsc().wrapping_sub(start) < PATIENCE_TICKS {
        core::hint::spin_loop();
    }
}

/// What every machine takes for a reset, or for its end: the keyboard controller's reset line, and where there is none, an exception that
/// cannot be delivered.
fn reset_without_chip_set() -> ! {
    port::write8(0x64, 0xFE);
    await_end();
    cpu::triple_fault()
}

/// Resets the machine: by the hypervisor where that is Xen, by the chip set's reset register (Intel 82371SB data sheet, 2.7, as PC chip sets since have it), else by the
/// keyboard controller.
pub fn reset() -> ! {
    const RESET_CONTROL: u16 = 0xCF9;
    const SYSTEM_RESET: u8 = 2;
    const RESET_NOW: u8 = 4;
    xen::shut_down(xen::Reason::Reboot);
    port::write8(RESET_CONTROL, SYSTEM_RESET);
    port::write8(RESET_CONTROL, SYSTEM_RESET | RESET_NOW);
    reset_without_chip_set()
}
