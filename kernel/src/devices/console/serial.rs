//! The first serial port (National Semiconductor PC16550D), polled.

use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use super::Shared;
use crate::arch::interrupts::Irq;
use crate::arch::port;

const COM1: u16 = 0x3F8;
const DATA: u16 = COM1;
const INTERRUPT_ENABLE: u16 = COM1 + 1;
const FIFO_CONTROL: u16 = COM1 + 2;
const LINE_CONTROL: u16 = COM1 + 3;
const MODEM_CONTROL: u16 = COM1 + 4;
const LINE_STATUS: u16 = COM1 + 5;
const SCRATCH: u16 = COM1 + 7;

/// Interrupt line of the first serial port.
const LINE: u8 = 4;
/// Interrupt when bytes have come.
const RECEIVED: u8 = 1;
const DATA_READY: u8 = 1;
const TRANSMITTER_EMPTY: u8 = 0x20;
/// Nothing is in the FIFO nor on its way.
const ALL_SENT: u8 = 0x40;
/// A port that stays busy is given up: a console must not stop the machine.
const MAX_POLLS: u32 = 1_000_000;
/// Bytes that fit when the transmitter is empty.
const FIFO_BYTES: u32 = 16;
/// Both FIFOs, empty. The port interrupts at eight bytes, or when no other one came for the time of four: so bytes that are sent at once, such as
/// those of a key, come at once.
const FIFOS_ON: u8 = 0x87;

static IS_PRESENT: AtomicBool = AtomicBool::new(false);
/// A byte that came before the port was set up, and whether there is one.
static EARLY: AtomicU16 = AtomicU16::new(0);
const EARLY_IS_THERE: u16 = 1 << 8;
/// The way to the transmitter: bytes that certainly fit into the FIFO still. Whoever writes holds it, so that a text goes out in one piece.
static ROOM: Shared<u32> = Shared::new(0);

/// Looks for the port and sets it to 115200 baud, 8 bits, no parity.
///
/// A byte that has come already is kept: turning on the FIFOs would drop it.
pub(super) fn initialise() {
    port::write8(SCRATCH, 0xA5);
    if port::read8(SCRATCH) != 0xA5 {
        return;
    }
    port::write8(INTERRUPT_ENABLE, 0);
    port::write8(LINE_CONTROL, 0x80);
    port::write8(DATA, 1);
    port::write8(INTERRUPT_ENABLE, 0);
    port::write8(LINE_CONTROL, 3);
    if port::read8(LINE_STATUS) & DATA_READY != 0 {
        EARLY.store(
            u16::from(port::read8(DATA)) | EARLY_IS_THERE,
            Ordering::Relaxed,
        );
    }
    port::write8(FIFO_CONTROL, FIFOS_ON);
    port::write8(MODEM_CONTROL, 0x0B);
    IS_PRESENT.store(true, Ordering::Relaxed);
}

/// Has the port interrupt when bytes have come; `None` where there is no port or no line for it.
pub(super) fn enable_interrupt() -> Option<Irq> {
    if !is_present() {
        return None;
    }
    let irq = Irq::claim_legacy(LINE, false)?;
    port::write8(INTERRUPT_ENABLE, RECEIVED);
    Some(irq)
}

/// Whether there is a port.
pub(super) fn is_present() -> bool {
    IS_PRESENT.load(Ordering::Relaxed)
}

/// Sends bytes, with a carriage return before newlines if they get one.
pub(super) fn send(bytes: &[u8], newline_returns: bool) {
    if !is_present() {
        return;
    }
    let mut guard = ROOM.take();
    // Who could not wait for the others does not know how much fits.
    let mut unknown = 0;
    let room = guard.as_deref_mut().unwrap_or(&mut unknown);
    let mut send = |byte| {
        if *room == 0 {
            wait_for(TRANSMITTER_EMPTY);
            *room = FIFO_BYTES;
        }
        port::write8(DATA, byte);
        *room -= 1;
    };
    for &byte in bytes {
        if byte == b'\n' && newline_returns {
            send(b'\r');
        }
        send(byte);
    }
}

/// Waits until the line status has this bit, for a bounded time.
fn wait_for(status: u8) {
    for _ in 0..MAX_POLLS {
        if port::read8(LINE_STATUS) & status != 0 {
            break;
        }
        core::hint::spin_loop();
    }
}

/// Waits until all that was written has left the port.
pub(super) fn drain() {
    if is_present() {
        wait_for(ALL_SENT);
    }
}

pub(super) fn read() -> Option<u8> {
    let early = EARLY.swap(0, Ordering::Relaxed);
    if early & EARLY_IS_THERE != 0 {
        return Some(early as u8);
    }
    if !is_present() || port::read8(LINE_STATUS) & DATA_READY == 0 {
        return None;
    }
    Some(port::read8(DATA))
}
