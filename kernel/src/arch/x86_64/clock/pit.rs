//! The interval timer (Intel 8254), whose frequency is the same on every PC: what counters of unknown frequency are measured against.

use crate::arch::port;

/// Ticks in a second.
pub(super) const HZ: u64 = 1_193_182;
/// Ticks of 2 ms.
pub(super) const TICKS: u64 = 2386;

const CHANNEL_2: u16 = 0x42;
const MODE: u16 = 0x43;
const GATE: u16 = 0x61;

/// Starts channel 2 counting down from 65535.
pub(super) fn start() {
    // Gate on, speaker off.
    port::write8(GATE, port::read8(GATE) & !2 | 1);
    // Channel 2, low then high byte, mode 0, binary.
    port::write8(MODE, 0xB0);
    port::write8(CHANNEL_2, 0xFF);
    port::write8(CHANNEL_2, 0xFF);
}

/// The counter.
pub(super) fn read() -> u16 {
    port::write8(MODE, 0x80);
    let low = port::read8(CHANNEL_2);
    u16::from_le_bytes([low, port::read8(CHANNEL_2)])
}

/// Whether it has counted to zero since it was started; also where there is no timer.
pub(super) fn has_ended() -> bool {
    const STATUS_OF_CHANNEL_2: u8 = 0xE8;
    const OUTPUT: u8 = 1 << 7;
    // Asked of the timer itself: not every machine has the port that shows the channel's output too.
    port::write8(MODE, STATUS_OF_CHANNEL_2);
    port::read8(CHANNEL_2) & OUTPUT != 0
}
