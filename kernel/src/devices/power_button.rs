//! The ACPI power button (ACPI Specification 6.5, section 4.8.3.1): a press asks the machine to end cleanly.

use crate::arch::interrupts::Irq;
use crate::arch::port;
use crate::arch::x86_64::acpi::Power;
use crate::arch::x86_64::power;
use crate::scheduler::{self, Name, Service};
use crate::sync::OnceCell;

/// The power button in the event registers, status and enable.
const POWER_BUTTON: u16 = 1 << 8;
const STACK_BYTES: usize = 64 * 1024;

struct PowerButton {
    irq: Irq,
    status_port: u16,
    /// Ends the machine cleanly; runs as a thread of its own.
    on_press: extern "C" fn(usize) -> !,
}

static BUTTON: OnceCell<PowerButton> = OnceCell::new();

impl Service for PowerButton {
    fn serve(&self) {
        if !self.irq.take_pending() {
            return;
        }
        let status = port::read16(self.status_port);
        // Each event that is set is cleared by writing it back; other events are of no interest.
        port::write16(self.status_port, status);
        self.irq.done();
        if status & POWER_BUTTON != 0
            && scheduler::spawn(self.on_press, 0, STACK_BYTES, Name::new(b"power button")).is_err()
        {
            log::error!("no memory to end cleanly");
        }
    }
}

/// Has `on_press` run, as a thread of its own, when the button is pressed. Whether ACPI tells of a button, and it can interrupt.
pub fn watch(power: Power, on_press: extern "C" fn(usize) -> !) -> bool {
    let Some(enable_port) = power
        .event_port
        .checked_add(u16::from(power.event_bytes / 2))
    else {
        return false;
    };
    if power.event_port == 0 || power.event_bytes < 4 {
        return false;
    }
    let Ok(line) = u8::try_from(power.interrupt) else {
        return false;
    };
    let Some(irq) = Irq::claim_legacy(line, true) else {
        return false;
    };
    power::take_over(&power);
    let button = PowerButton {
        irq,
        status_port: power.event_port,
        on_press,
    };
    if let Ok(button) = BUTTON.set(button) {
        port::write16(power.event_port, POWER_BUTTON);
        port::write16(enable_port, POWER_BUTTON);
        scheduler::register_interrupt(button.irq, button);
    }
    true
}
