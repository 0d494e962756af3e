//! The end of the machine: the emulator's exit device, ACPI soft-off, and what is left when neither is there.

use core::sync::atomic::{AtomicU16, Ordering};

use super::acpi::Power;
use super::{cpu, port};
use crate::sync::OnceCell;

const SLEEP_ENABLE: u16 = 1 << 13;

static POWER: OnceCell<Power> = OnceCell::new();
static EXIT_PORT: AtomicU16 = AtomicU16::new(0);

/// Notes how ACPI powers this machine off.
pub fn set_acpi(power: Power) {
    let _ = POWER.set(power);
}

/// How ACPI powers this machine off, if it does.
pub fn acpi() -> Option<Power> {
    POWER.get().copied()
}

/// Notes the port of an emulator's exit device (QEMU's `isa-debug-exit`).
pub fn set_exit_port(number: u16) {
    EXIT_PORT.store(number, Ordering::Relaxed);
}

/// Ends the machine. `status` reaches the emulator where it has an exit device.
pub fn off(status: u8) -> ! {
    let exit_port = EXIT_PORT.load(Ordering::Relaxed);
    if exit_port != 0 {
        port::write32(exit_port, u32::from(status));
    }
    if let Some(power) = POWER.get() {
        let control = port::read16(power.control_port) & !(7 << 10);
        port::write16(
            power.control_port,
            control | u16::from(power.soft_off_type) << 10 | SLEEP_ENABLE,
        );
    }
    // A machine without ACPI: the keyboard controller's reset line, which emulators can take for an end.
    port::write8(0x64, 0xFE);
    cpu::halt_forever()
}

/// Resets the machine: by the chip set's reset register (Intel 82371SB data sheet, 2.7, as PC chip sets since have it), else by the
/// keyboard controller.
pub fn reset() -> ! {
    const RESET_CONTROL: u16 = 0xCF9;
    const SYSTEM_RESET: u8 = 2;
    const RESET_NOW: u8 = 4;
    port::write8(RESET_CONTROL, SYSTEM_RESET);
    port::write8(RESET_CONTROL, SYSTEM_RESET | RESET_NOW);
    port::write8(0x64, 0xFE);
    cpu::halt_forever()
}
