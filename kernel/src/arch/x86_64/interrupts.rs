//! Interrupt lines, the local APIC and its timer, the I/O APIC (Intel SDM volume 3A, chapter 11; Intel 82093AA data sheet).
//!
//! A handler acknowledges, marks its line pending, counts, and returns; it touches no vector register and takes no lock. A level-triggered
//! line is masked at the I/O APIC by its handler, and opened again by [`Irq::done`] when its driver has taken the cause away.

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::acpi::Machine;
use super::core_local::{self, CoreLocal, LinePin, MAX_LINES};
use super::descriptors::INTERRUPT_STACK;
use super::mmio::Mmio;
use super::{clock, cpu, port};
use crate::sync::{OnceCell, SpinLock};

/// Vector of line 0; line `n` has vector `FIRST_VECTOR + n`.
const FIRST_VECTOR: u8 = 0x40;
const TIMER_LINE: u8 = 0;
const SPURIOUS_VECTOR: u8 = 0xFF;

global_asm!(
    r#"
    .irp line,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63
toro_interrupt_\line:
    push \line
    jmp toro_interrupt
    .endr

toro_interrupt:
    push rax
    push rcx
    push rdx
    mov eax, dword ptr [rsp + 24]
    mov byte ptr gs:[rax + {pending}], 1
    inc qword ptr gs:[{interrupts}]
    imul eax, eax, {pin_bytes}
    mov rcx, gs:[rax + {pins} + {io_apic}]
    test rcx, rcx
    jz 1f
    mov edx, dword ptr gs:[rax + {pins} + {register}]
    mov dword ptr [rcx], edx              // select the pin's register
    mov edx, dword ptr gs:[rax + {pins} + {masked}]
    mov dword ptr [rcx + 16], edx         // and write it, masked
1:  mov rcx, gs:[{end_of_interrupt}]
    mov dword ptr [rcx], 0
    pop rdx
    pop rcx
    pop rax
    add rsp, 8
toro_interrupt_spurious:
    iretq

    .section .rodata.toro.interrupts, "a"
    .align 8
toro_interrupt_entries:
    .irp line,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63
    .quad toro_interrupt_\line
    .endr
    .quad toro_interrupt_spurious
    .text
    "#,
    pending = const offset_of!(CoreLocal, pending),
    interrupts = const offset_of!(CoreLocal, interrupts),
    end_of_interrupt = const offset_of!(CoreLocal, end_of_interrupt),
    pins = const offset_of!(CoreLocal, pins),
    pin_bytes = const size_of::<LinePin>(),
    io_apic = const offset_of!(LinePin, io_apic),
    register = const offset_of!(LinePin, register),
    masked = const offset_of!(LinePin, masked),
);

unsafe extern "C" {
    #[link_name = "toro_interrupt_entries"]
    static ENTRIES: [usize; MAX_LINES + 1];
}

/// The gates of the interrupt lines: vector, handler, stack.
pub fn gates() -> impl Iterator<Item = (u8, usize, u8)> {
    // SAFETY: the table is constant data of the assembly above.
    let entries = unsafe { &ENTRIES };
    entries.iter().enumerate().map(|(line, &handler)| {
        let vector = if line == MAX_LINES {
            SPURIOUS_VECTOR
        } else {
            FIRST_VECTOR + line as u8
        };
        (vector, handler, INTERRUPT_STACK)
    })
}

/// Registers of the local APIC.
mod local {
    pub(super) const ID: usize = 0x20;
    pub(super) const TASK_PRIORITY: usize = 0x80;
    pub(super) const END_OF_INTERRUPT: usize = 0xB0;
    pub(super) const SPURIOUS: usize = 0xF0;
    pub(super) const TIMER: usize = 0x320;
    pub(super) const LINT0: usize = 0x350;
    pub(super) const TIMER_INITIAL: usize = 0x380;
    pub(super) const TIMER_CURRENT: usize = 0x390;
    pub(super) const TIMER_DIVIDE: usize = 0x3E0;
}

const MASKED: u32 = 1 << 16;
const TSC_DEADLINE_MODE: u32 = 2 << 17;
const MSR_TSC_DEADLINE: u32 = 0x6E0;

static LOCAL_APIC: OnceCell<Mmio> = OnceCell::new();
static HAS_TSC_DEADLINE: AtomicBool = AtomicBool::new(false);
static TIMER_HZ: AtomicU64 = AtomicU64::new(0);

struct IoApic {
    registers: Mmio,
    base: usize,
    first_interrupt: u32,
    pins: u32,
}

struct Wiring {
    io_apics: alloc::vec::Vec<IoApic>,
    overrides: alloc::vec::Vec<(u8, u32, u16)>,
}

static WIRING: SpinLock<Option<Wiring>> = SpinLock::new(None);
static NEXT_LINE: AtomicU8 = AtomicU8::new(TIMER_LINE + 1);

/// Turns off the old interrupt controllers and turns on the local APIC; finds the I/O APICs.
///
/// # Errors
/// When there is no memory to map the registers.
pub fn initialise(machine: &Machine) -> Result<(), crate::memory::OutOfMemory> {
    mask_8259s();
    let apic = Mmio::map(machine.local_apic.unwrap_or(0xFEE0_0000), 0x1000)?;
    // SAFETY: every x86-64 processor has the register; bit 11 turns the APIC on.
    unsafe {
        let base = cpu::read_msr(cpu::msr::APIC_BASE);
        cpu::write_msr(cpu::msr::APIC_BASE, base | 1 << 11);
    }
    apic.write::<u32>(local::LINT0, MASKED);
    apic.write::<u32>(local::TASK_PRIORITY, 0);
    apic.write::<u32>(local::SPURIOUS, 0x100 | u32::from(SPURIOUS_VECTOR));
    apic.write::<u32>(local::TIMER_DIVIDE, 0b1011); // by 1
    core_local::current().end_of_interrupt.store(
        apic.address_of(local::END_OF_INTERRUPT) as u64,
        Ordering::Relaxed,
    );
    let _ = LOCAL_APIC.set(apic);
    find_io_apics(machine)
}

fn mask_8259s() {
    // Remapped first: a spurious interrupt that is on its way must not look like an exception.
    for (base, vector) in [(0x20, 0x20), (0xA0, 0x28)] {
        port::write8(base, 0x11);
        port::write8(base + 1, vector);
        port::write8(base + 1, if base == 0x20 { 4 } else { 2 });
        port::write8(base + 1, 1);
        port::write8(base + 1, 0xFF);
    }
}

fn find_io_apics(machine: &Machine) -> Result<(), crate::memory::OutOfMemory> {
    const DEFAULT: &[(u64, u32)] = &[(0xFEC0_0000, 0)];
    let told = if machine.io_apics.is_empty() {
        DEFAULT
    } else {
        &machine.io_apics
    };
    let mut wiring = Wiring {
        io_apics: alloc::vec::Vec::new(),
        overrides: machine.overrides.clone(),
    };
    for &(phys, first_interrupt) in told {
        let registers = Mmio::map(phys, 0x20)?;
        registers.write::<u32>(0, 1);
        let version = registers.read::<u32>(16);
        // Where no I/O APIC is, reads give all ones or zero.
        let pins = (version >> 16 & 0xFF) + 1;
        if version == u32::MAX || version == 0 || pins > 240 {
            continue;
        }
        wiring.io_apics.push(IoApic {
            registers,
            base: registers.address_of(0),
            first_interrupt,
            pins,
        });
    }
    *WIRING.lock() = Some(wiring);
    Ok(())
}

/// An interrupt line that a driver has claimed. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Irq {
    line: u8,
    pin: Option<Pin>,
}

#[derive(Clone, Copy, Debug)]
struct Pin {
    registers: Mmio,
    register: u32,
    open: u32,
}

impl Irq {
    /// Claims the legacy interrupt line `line` (0–15, as in a PCI device's interrupt line register), level-triggered and active low
    /// for PCI, and unmasks it. A level-triggered line stays masked at the I/O APIC after it fired until [`Irq::done`].
    /// `None` when there is no I/O APIC, no such pin, or all lines are taken: then poll.
    pub fn claim_legacy(line: u8, is_level: bool) -> Option<Self> {
        let wiring = WIRING.lock();
        let wiring = wiring.as_ref()?;
        let (mut interrupt, mut is_level, mut is_low) = (u32::from(line), is_level, is_level);
        if let Some(&(_, global, flags)) = wiring.overrides.iter().find(|o| o.0 == line) {
            // MPS INTI flags (ACPI, table 5.26): polarity in bits 0–1, trigger mode in bits 2–3; 0 means as the bus has it.
            interrupt = global;
            is_low = if flags & 3 == 0 {
                is_low
            } else {
                flags & 3 == 3
            };
            is_level = if flags >> 2 & 3 == 0 {
                is_level
            } else {
                flags >> 2 & 3 == 3
            };
        }
        Self::claim(wiring, interrupt, is_level, is_low)
    }

    /// Claims a global system interrupt (a pin of an I/O APIC), edge-triggered or level-triggered, active high.
    pub fn claim_global(interrupt: u32, is_level: bool) -> Option<Self> {
        let wiring = WIRING.lock();
        Self::claim(wiring.as_ref()?, interrupt, is_level, false)
    }

    fn claim(wiring: &Wiring, interrupt: u32, is_level: bool, is_low: bool) -> Option<Self> {
        let io_apic = wiring
            .io_apics
            .iter()
            .find(|a| interrupt >= a.first_interrupt && interrupt - a.first_interrupt < a.pins)?;
        let line = NEXT_LINE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            (usize::from(next) < MAX_LINES).then_some(next + 1)
        });
        let line = line.ok()?;
        let register = 0x10 + 2 * (interrupt - io_apic.first_interrupt);
        let open =
            u32::from(FIRST_VECTOR + line) | u32::from(is_low) << 13 | u32::from(is_level) << 15;
        let destination = LOCAL_APIC.get()?.read::<u32>(local::ID) & 0xFF00_0000;
        if is_level {
            let slot = &core_local::current().pins[usize::from(line)];
            slot.register.store(u64::from(register), Ordering::Relaxed);
            slot.masked
                .store(u64::from(open | MASKED), Ordering::Relaxed);
            slot.io_apic.store(io_apic.base as u64, Ordering::Relaxed);
        }
        let pin = Pin {
            registers: io_apic.registers,
            register,
            open,
        };
        pin.write(register + 1, destination);
        pin.write(register, open);
        Some(Self {
            line,
            pin: is_level.then_some(pin),
        })
    }

    /// Whether the line fired since the last call; clears the mark. One load when it did not.
    #[inline]
    pub fn take_pending(&self) -> bool {
        let pending = &core_local::current().pending[usize::from(self.line)];
        pending.load(Ordering::Relaxed) != 0 && pending.swap(0, Ordering::Relaxed) != 0
    }

    /// The driver has taken the cause away at the device: a level-triggered line may fire again.
    #[inline]
    pub fn done(&self) {
        if let Some(pin) = self.pin {
            pin.write(pin.register, pin.open);
        }
    }
}

impl Pin {
    fn write(&self, register: u32, value: u32) {
        // A handler uses the same pair of registers: it must not come between the two writes.
        cpu::without_interrupts(|| {
            self.registers.write::<u32>(0, register);
            self.registers.write::<u32>(16, value);
        });
    }
}

/// Starts the timer's counter for [`timer_count`]; one-shot, no interrupt yet.
pub fn start_timer_count() {
    if let Some(apic) = LOCAL_APIC.get() {
        apic.write::<u32>(local::TIMER, MASKED);
        apic.write::<u32>(local::TIMER_INITIAL, u32::MAX);
    }
}

/// The timer's counter, which counts down.
pub fn timer_count() -> u32 {
    LOCAL_APIC
        .get()
        .map_or(0, |apic| apic.read::<u32>(local::TIMER_CURRENT))
}

/// Makes the timer ready; `hz` is the frequency of its counter.
pub fn initialise_timer(hz: u64) {
    let has_deadline = cpu::cpuid(1).ecx & 1 << 24 != 0;
    HAS_TSC_DEADLINE.store(has_deadline, Ordering::Relaxed);
    TIMER_HZ.store(hz, Ordering::Relaxed);
    if let Some(apic) = LOCAL_APIC.get() {
        let mode = if has_deadline { TSC_DEADLINE_MODE } else { 0 };
        apic.write::<u32>(local::TIMER, mode | u32::from(FIRST_VECTOR + TIMER_LINE));
        apic.write::<u32>(local::TIMER_INITIAL, 0);
    }
}

/// Has the timer interrupt this core at a time since boot (once; replaces what was set before).
pub fn set_timer(deadline_ns: u64, now_ns: u64) {
    if HAS_TSC_DEADLINE.load(Ordering::Relaxed) {
        // SAFETY: the processor says that it has the register.
        unsafe { cpu::write_msr(MSR_TSC_DEADLINE, clock::tsc_at(deadline_ns).max(1)) };
    } else if let Some(apic) = LOCAL_APIC.get() {
        let wait = u128::from(deadline_ns.saturating_sub(now_ns))
            * u128::from(TIMER_HZ.load(Ordering::Relaxed));
        // Too far for the counter: an early interrupt, after which the deadline is set again.
        let ticks = (wait / 1_000_000_000 + 1).min(u128::from(u32::MAX));
        apic.write::<u32>(local::TIMER_INITIAL, ticks as u32);
    }
}

/// Interrupts on this core so far.
#[inline]
pub fn count() -> u64 {
    core_local::current().interrupts.load(Ordering::Relaxed)
}
