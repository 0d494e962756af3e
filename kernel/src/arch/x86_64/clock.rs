//! Clocks: monotonic time from the time-stamp counter, wall time from the RTC.
//!
//! The counter's frequency comes from the processor or the hypervisor where they tell it, else it is measured against the
//! interval timer (Intel 8254), whose frequency is the same on every PC.

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{cpu, port};

const NS_PER_S: u64 = 1_000_000_000;
const PIT_HZ: u64 = 1_193_182;
/// Ticks of the 8254 that a measurement takes: 2 ms.
const PIT_TICKS: u64 = 2386;

static TSC_AT_BOOT: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per tick of the counter, times 2^32.
static NS_PER_TICK_32: AtomicU64 = AtomicU64::new(1 << 32);
/// Ticks of the counter in a second.
static TSC_HZ: AtomicU64 = AtomicU64::new(NS_PER_S);
/// Wall time at boot, in nanoseconds since 1970.
static WALL_AT_BOOT_NS: AtomicU64 = AtomicU64::new(0);

/// The time-stamp counter.
#[inline]
pub fn tsc() -> u64 {
    // SAFETY: every x86-64 processor has it.
    unsafe { _rdtsc() }
}

/// Ticks of the time-stamp counter in a second.
pub fn tsc_hz() -> u64 {
    TSC_HZ.load(Ordering::Relaxed)
}

/// Nanoseconds since boot.
#[inline]
pub fn now_ns() -> u64 {
    let ticks = tsc().wrapping_sub(TSC_AT_BOOT.load(Ordering::Relaxed));
    ((u128::from(ticks) * u128::from(NS_PER_TICK_32.load(Ordering::Relaxed))) >> 32) as u64
}

/// The time-stamp counter at a time since boot.
pub fn tsc_at(ns: u64) -> u64 {
    let ticks = u128::from(ns) * u128::from(tsc_hz()) / u128::from(NS_PER_S);
    TSC_AT_BOOT
        .load(Ordering::Relaxed)
        .wrapping_add(ticks as u64)
}

/// Nanoseconds since 1970-01-01 00:00 UTC.
pub fn wall_ns() -> u64 {
    WALL_AT_BOOT_NS.load(Ordering::Relaxed) + now_ns()
}

/// Starts the clocks. `sample` reads another counter (that counts down) whose frequency is wanted; it is
/// read at both ends of a measurement of 2 ms. Returns that frequency in hertz.
pub fn initialise(mut sample: impl FnMut() -> u32) -> u64 {
    let start_pit = start_pit_countdown();
    let (tsc_start, sample_start) = (tsc(), sample());
    TSC_AT_BOOT.store(tsc_start, Ordering::Relaxed);
    let elapsed = wait_pit(start_pit);
    let (tsc_end, sample_end) = (tsc(), sample());
    let measured = (tsc_end - tsc_start) * PIT_HZ / elapsed.max(1);
    let hz = told_tsc_hz().unwrap_or(measured).max(1_000_000);
    TSC_HZ.store(hz, Ordering::Relaxed);
    NS_PER_TICK_32.store(
        ((u128::from(NS_PER_S) << 32) / u128::from(hz)) as u64,
        Ordering::Relaxed,
    );
    WALL_AT_BOOT_NS.store(
        super::rtc::read_unix_seconds() * NS_PER_S,
        Ordering::Relaxed,
    );
    u64::from(sample_start.wrapping_sub(sample_end)) * PIT_HZ / elapsed.max(1)
}

/// The frequency as the processor (leaf 0x15) or the hypervisor (leaf 0x40000010, in kHz) tells it.
fn told_tsc_hz() -> Option<u64> {
    let is_hypervisor = cpu::cpuid(1).ecx >> 31 != 0;
    if is_hypervisor && cpu::cpuid(0x4000_0000).eax >= 0x4000_0010 {
        let khz = cpu::cpuid(0x4000_0010).eax;
        if khz > 1000 {
            return Some(u64::from(khz) * 1000);
        }
    }
    let leaf = cpu::cpuid(0x15);
    if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
        return Some(u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax));
    }
    None
}

const PIT_CHANNEL_2: u16 = 0x42;
const PIT_MODE: u16 = 0x43;
const PIT_GATE: u16 = 0x61;

/// Starts channel 2 counting down from 65535 and returns its first value.
fn start_pit_countdown() -> u16 {
    // Gate on, speaker off.
    port::write8(PIT_GATE, port::read8(PIT_GATE) & !2 | 1);
    // Channel 2, low then high byte, mode 0, binary.
    port::write8(PIT_MODE, 0xB0);
    port::write8(PIT_CHANNEL_2, 0xFF);
    port::write8(PIT_CHANNEL_2, 0xFF);
    read_pit()
}

fn read_pit() -> u16 {
    port::write8(PIT_MODE, 0x80);
    let low = port::read8(PIT_CHANNEL_2);
    u16::from_le_bytes([low, port::read8(PIT_CHANNEL_2)])
}

/// Waits until the measurement is over; how many ticks went by. A machine without the timer ends it after a number of reads.
fn wait_pit(start: u16) -> u64 {
    const MAX_READS: u32 = 1_000_000;
    for _ in 0..MAX_READS {
        let elapsed = start.wrapping_sub(read_pit());
        if u64::from(elapsed) >= PIT_TICKS {
            return u64::from(elapsed);
        }
    }
    PIT_TICKS
}
