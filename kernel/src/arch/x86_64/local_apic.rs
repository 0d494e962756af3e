//! The local APIC of each core: its timer, and interrupts between cores (Intel SDM volume 3A, chapter 11).
//!
//! Registers are in memory (xAPIC) or, where the firmware or the number of cores asks for it, registers of the processor (x2APIC).

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::core_local::CoreLocal;
use super::{clock, cpu};
use crate::memory::frames::FRAME_BYTES;
use crate::memory::{OutOfMemory, map_device};

/// Vector of spurious interrupts, which need no answer.
pub const SPURIOUS_VECTOR: u8 = 0xFF;

/// Registers, by their offset in memory.
mod register {
    pub(super) const ID: usize = 0x20;
    pub(super) const TASK_PRIORITY: usize = 0x80;
    pub(super) const END_OF_INTERRUPT: usize = 0xB0;
    pub(super) const SPURIOUS: usize = 0xF0;
    pub(super) const COMMAND: usize = 0x300;
    pub(super) const COMMAND_HIGH: usize = 0x310;
    pub(super) const TIMER: usize = 0x320;
    pub(super) const LINT0: usize = 0x350;
    pub(super) const TIMER_INITIAL: usize = 0x380;
    pub(super) const TIMER_CURRENT: usize = 0x390;
    pub(super) const TIMER_DIVIDE: usize = 0x3E0;
}

const MASKED: u32 = 1 << 16;
const TSC_DEADLINE_MODE: u32 = 2 << 17;
const MSR_TSC_DEADLINE: u32 = 0x6E0;
/// First register of an x2APIC; the others follow in steps of 16 bytes of offset.
const MSR_X2APIC: u32 = 0x800;
const BASE_ENABLED: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
/// Where the registers are in memory: the bits of a page's address.
const BASE_ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;

/// Interrupt command: an INIT to one core, and a start-up to one core (with the page number in the low byte).
const COMMAND_INIT: u32 = 0x4500;
const COMMAND_STARTUP: u32 = 0x4600;
const COMMAND_FIXED: u32 = 0x4000;
/// To all cores but the one that sends it.
const COMMAND_TO_OTHERS: u32 = 3 << 18;
const COMMAND_PENDING: u32 = 1 << 12;

/// Address of the registers in memory; 0 where they are the processor's.
static REGISTERS: AtomicUsize = AtomicUsize::new(0);
static HAS_TSC_DEADLINE: AtomicBool = AtomicBool::new(false);
static TIMER_HZ: AtomicU64 = AtomicU64::new(0);

fn is_x2apic() -> bool {
    REGISTERS.load(Ordering::Relaxed) == 0
}

fn read(register: usize) -> u32 {
    match REGISTERS.load(Ordering::Relaxed) {
        // SAFETY: in this mode the registers exist.
        0 => unsafe { cpu::read_msr(MSR_X2APIC + register as u32 / 16) as u32 },
        // SAFETY: `find` mapped the page of the registers, for ever, and only it and `use_x2apic` store here.
        base => unsafe { ((base + register) as *const u32).read_volatile() },
    }
}

/// Writes registers in this order.
#[inline(never)]
fn write_all(values: &[(usize, u32)]) {
    for &(register, value) in values {
        write(register, value);
    }
}

fn write(register: usize, value: u32) {
    match REGISTERS.load(Ordering::Relaxed) {
        // SAFETY: in this mode the registers exist; none of them touches memory.
        0 => unsafe { cpu::write_msr(MSR_X2APIC + register as u32 / 16, u64::from(value)) },
        // SAFETY: as in `read`; device registers are not Rust memory.
        base => unsafe { ((base + register) as *mut u32).write_volatile(value) },
    }
}

/// Finds the registers, in the boot core.
///
/// # Errors
/// When there is no memory to map them.
pub fn find() -> Result<(), OutOfMemory> {
    // SAFETY: every x86-64 processor has the register.
    let base = unsafe { cpu::read_msr(cpu::msr::APIC_BASE) };
    if base & BASE_X2APIC == 0 {
        let registers = map_device(base & BASE_ADDRESS, FRAME_BYTES)?;
        REGISTERS.store(registers, Ordering::Relaxed);
    }
    HAS_TSC_DEADLINE.store(cpu::cpuid(1).ecx & 1 << 24 != 0, Ordering::Relaxed);
    Ok(())
}

/// Has the local APICs be x2APICs from now on, if the processor can: some core's number needs it.
pub fn use_x2apic(core: &CoreLocal) {
    if cpu::cpuid(1).ecx & 1 << 21 != 0 && REGISTERS.swap(0, Ordering::Relaxed) != 0 {
        enable(core);
    }
}

/// Turns on the local APIC of this core, and returns its number.
pub fn enable(core: &CoreLocal) -> u32 {
    let mode = if is_x2apic() { BASE_X2APIC } else { 0 };
    // SAFETY: every x86-64 processor has the register; the mode exists, or is not asked for.
    unsafe {
        let base = cpu::read_msr(cpu::msr::APIC_BASE);
        cpu::write_msr(cpu::msr::APIC_BASE, base | BASE_ENABLED | mode);
    }
    write_all(&[
        (register::LINT0, MASKED),
        (register::TASK_PRIORITY, 0),
        (register::SPURIOUS, 0x100 | SPURIOUS_VECTOR as u32),
        (register::TIMER_DIVIDE, 0b1011), // by 1
    ]);
    let (end_of_interrupt, id_shift) = match REGISTERS.load(Ordering::Relaxed) {
        0 => (0, 0),
        // The number is in the highest byte there.
        base => (base + register::END_OF_INTERRUPT, 24),
    };
    core.end_of_interrupt
        .store(end_of_interrupt as u64, Ordering::Relaxed);
    read(register::ID) >> id_shift
}

/// Sends an interrupt command to one core.
fn command(apic_id: u32, command: u32) {
    /// A command that an APIC does not take in so many looks is given up.
    const MAX_POLLS: u32 = 100_000;
    if is_x2apic() {
        let value = u64::from(apic_id) << 32 | u64::from(command);
        // What the other core is to see must be written before it is interrupted; this register does not wait for it.
        core::sync::atomic::fence(Ordering::SeqCst);
        // SAFETY: in this mode the register exists.
        unsafe { cpu::write_msr(MSR_X2APIC + register::COMMAND as u32 / 16, value) };
        return;
    }
    cpu::without_interrupts(|| {
        write(register::COMMAND_HIGH, apic_id << 24);
        write(register::COMMAND, command);
        for _ in 0..MAX_POLLS {
            if read(register::COMMAND) & COMMAND_PENDING == 0 {
                break;
            }
            core::hint::spin_loop();
        }
    });
}

/// Interrupts another core.
pub fn interrupt(core: &CoreLocal, vector: u8) {
    command(core.apic_id(), COMMAND_FIXED | u32::from(vector));
}

/// Resets a core that has not run yet; it waits for a start-up then.
pub fn send_init(apic_id: u32) {
    command(apic_id, COMMAND_INIT);
}

/// Stops all other cores: reset, they wait for a start-up that does not come.
pub fn stop_others() {
    command(0, COMMAND_INIT | COMMAND_TO_OTHERS);
}

/// Has a core that was reset start in real mode at the beginning of a page below 1 MiB.
pub fn send_startup(apic_id: u32, page: u8) {
    command(apic_id, COMMAND_STARTUP | u32::from(page));
}

/// Starts the timer's counter for [`timer_count`]; no interrupt comes of it.
pub fn start_timer_count() {
    write_all(&[
        (register::TIMER, MASKED),
        (register::TIMER_INITIAL, u32::MAX),
    ]);
}

/// The timer's counter, which counts down.
pub fn timer_count() -> u32 {
    read(register::TIMER_CURRENT)
}

/// Whether the timers count by themselves, so that their frequency must be known; else they look at the time-stamp counter.
pub fn counts() -> bool {
    !HAS_TSC_DEADLINE.load(Ordering::Relaxed)
}

/// Notes the frequency of the timers' counters.
pub fn set_timer_hz(hz: u64) {
    TIMER_HZ.store(hz, Ordering::Relaxed);
}

/// Makes this core's timer interrupt by `vector` from now on.
pub fn enable_timer(vector: u8) {
    let mode = if HAS_TSC_DEADLINE.load(Ordering::Relaxed) {
        TSC_DEADLINE_MODE
    } else {
        0
    };
    write_all(&[
        (register::TIMER, mode | u32::from(vector)),
        (register::TIMER_INITIAL, 0),
    ]);
}

/// Has the timer interrupt this core at a time since boot (once; replaces what was set before), or earlier, if that is further away
/// than the timer counts. Returns when it will.
pub fn set_timer(deadline_ns: u64, now_ns: u64) -> u64 {
    if HAS_TSC_DEADLINE.load(Ordering::Relaxed) {
        // SAFETY: the processor says that it has the register.
        unsafe { cpu::write_msr(MSR_TSC_DEADLINE, clock::tsc_at(deadline_ns).max(1)) };
        return deadline_ns;
    }
    let hz = TIMER_HZ.load(Ordering::Relaxed).max(1);
    let furthest_ns = u64::from(u32::MAX) * 1_000_000_000 / hz;
    let wait_ns = deadline_ns.saturating_sub(now_ns).min(furthest_ns);
    let ticks = u128::from(wait_ns) * u128::from(hz) / 1_000_000_000 + 1;
    write(
        register::TIMER_INITIAL,
        ticks.min(u128::from(u32::MAX)) as u32,
    );
    now_ns + wait_ns
}

/// Whether this core's number can be addressed as the APICs are set.
pub fn can_address(apic_id: u32) -> bool {
    apic_id < 255 || is_x2apic()
}
