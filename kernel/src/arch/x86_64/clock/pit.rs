//! The interval timer (Intel 8254), whose frequency is the same on every PC: what counters of unknown frequency are measured against.

use crate::arch::port;

/// Ticks in a second.
pub(super) const HZ: u64 = 1_193_182;
/// Ticks that a measurement takes: 2 ms.
const TICKS: u64 = 2386;

const CHANNEL_2: u16 = 0x42;
const MODE: u16 = 0x43;
const GATE: u16 = 0x61;

/// Starts channel 2 counting down from 65535 and returns its first value.
pub(super) fn start() -> u16 {
    // Gate on, speaker off.
    port::write8(GATE, port::read8(GATE) & !2 | 1);
    // Channel 2, low then high byte, mode 0, binary.
    port::write8(MODE, 0xB0);
    port::write8(CHANNEL_2, 0xFF);
    port::write8(CHANNEL_2, 0xFF);
    read()
}

fn read() -> u16 {
    port::write8(MODE, 0x80);
    let low = port::read8(CHANNEL_2);
    u16::from_le_bytes([low, port::read8(CHANNEL_2)])
}

/// Waits until the measurement is over; how many ticks went by. A machine without the timer ends it after a number of reads.
pub(super) fn wait(start: u16) -> u64 {
    const MAX_READS: u32 = 1_000_000;
    for _ in 0..MAX_READS {
        let elapsed = start.wrapping_sub(read());
        if u64::from(elapsed) >= TICKS {
            return u64::from(elapsed);
        }
    }
    TICKS
}
