//! Interrupt lines and the I/O APIC (Intel 82093AA data sheet).
//!
//! A handler acknowledges, marks its line pending on the core that it interrupts, counts, and returns; it touches no vector register
//! and takes no lock. The timer's goes on in `preemption`. A level-triggered line is masked at the I/O APIC by its handler, and opened again by [`Irq::done`] when its driver
//! has taken the cause away.

use alloc::vec::Vec;
use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::acpi::{ISA_LINES, MAX_IO_APICS, Machine};
use super::core_local::{self, CoreLocal, MAX_LINES};
use super::descriptors::{INTERRUPT_STACK, SetGate};
use super::local_apic::{self, SPURIOUS_VECTOR};
use super::mmio::Mmio;
use super::{cpu, port};
use crate::memory::OutOfMemory;
use crate::sync::SpinLock;

/// Vector of line 0; line `n` has vector `FIRST_VECTOR + n`.
const FIRST_VECTOR: u8 = 0x40;
const TIMER_LINE: u8 = 0;
/// The mask bit of a pin.
const MASKED: u32 = 1 << 16;
/// The line by which cores wake each other.
const WAKE_LINE: u8 = 1;

/// Registers of the I/O APIC pin behind an interrupt line, for the handler to mask it.
#[repr(C)]
struct LinePin {
    /// Address of the I/O APIC's registers, 0 for lines that need no masking (edges, messages, timer).
    io_apic: AtomicU64,
    /// Number of the pin's low register.
    register: AtomicU64,
    /// Content of that register with the mask bit set.
    masked: AtomicU64,
}

static PINS: [LinePin; MAX_LINES] = [const {
    LinePin {
        io_apic: AtomicU64::new(0),
        register: AtomicU64::new(0),
        masked: AtomicU64::new(0),
    }
}; MAX_LINES];

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
    mov byte ptr gs:[rax + {pending}], 0xFF
    inc qword ptr gs:[{interrupts}]
    imul eax, eax, {pin_bytes}
    mov rcx, [rax + {pins} + {io_apic}]
    test rcx, rcx
    jz 1f
    mov edx, dword ptr [rax + {pins} + {register}]
    mov dword ptr [rcx], edx              // select the pin's register
    mov edx, dword ptr [rax + {pins} + {masked}]
    mov dword ptr [rcx + 16], edx         // and write it, masked
1:  mov rcx, gs:[{end_of_interrupt}]
    test rcx, rcx
    jz 2f
    mov dword ptr [rcx], 0
    jmp 3f
2:  mov ecx, 0x80B                        // the x2APIC's end of interrupt
    xor eax, eax
    xor edx, edx
    wrmsr
3:  cmp dword ptr [rsp + 24], {timer_line}
    je toro_tick                          // `preemption`
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
    timer_line = const TIMER_LINE,
    pending = const offset_of!(CoreLocal, pending),
    interrupts = const offset_of!(CoreLocal, interrupts),
    end_of_interrupt = const offset_of!(CoreLocal, end_of_interrupt),
    pins = sym PINS,
    pin_bytes = const size_of::<LinePin>(),
    io_apic = const offset_of!(LinePin, io_apic),
    register = const offset_of!(LinePin, register),
    masked = const offset_of!(LinePin, masked),
);

unsafe extern "C" {
    #[link_name = "toro_interrupt_entries"]
    static ENTRIES: [usize; MAX_LINES + 1];
}

/// The gates of the interrupt lines.
pub fn gates(set: SetGate<'_>) {
    // SAFETY: the table is constant data of the assembly above.
    let entries = unsafe { &ENTRIES };
    for (line, &handler) in entries.iter().enumerate() {
        let vector = if line == MAX_LINES {
            SPURIOUS_VECTOR
        } else {
            FIRST_VECTOR + line as u8
        };
        set(vector, handler, INTERRUPT_STACK);
    }
}

struct IoApic {
    registers: Mmio,
    base: usize,
    first_interrupt: u32,
    pins: u32,
}

struct Wiring {
    io_apics: [Option<IoApic>; MAX_IO_APICS],
    overrides: [Option<(u32, u16)>; ISA_LINES],
}

impl Wiring {
    /// The I/O APIC that a global interrupt is a pin of.
    fn io_apic_of(&self, interrupt: u32) -> Option<&IoApic> {
        let has_it =
            |a: &&IoApic| interrupt >= a.first_interrupt && interrupt - a.first_interrupt < a.pins;
        self.io_apics.iter().flatten().find(has_it)
    }
}

static WIRING: SpinLock<Wiring> = SpinLock::new(Wiring {
    io_apics: [const { None }; MAX_IO_APICS],
    overrides: [None; ISA_LINES],
});

/// A pin that is in use.
struct Claim {
    /// Its global interrupt.
    interrupt: u32,
    /// What was given to the last who claimed it.
    irq: Irq,
    /// The core that it interrupts.
    core: &'static CoreLocal,
}

static CLAIMED: SpinLock<Vec<Claim>> = SpinLock::new(Vec::new());
static NEXT_LINE: AtomicU8 = AtomicU8::new(WAKE_LINE + 1);

/// Turns off the old interrupt controllers, and turns on the boot core's local APIC.
///
/// # Errors
/// When there is no memory to map the registers.
pub fn initialise() -> Result<(), OutOfMemory> {
    mask_8259s();
    local_apic::find()?;
    core_local::set_boot_apic_id(local_apic::enable(core_local::current()));
    Ok(())
}

/// Makes local APICs what the machine's processors need, finds the I/O APICs, and notes what was told of ISA interrupts.
///
/// # Errors
/// When there is no memory to map the registers.
pub fn connect(machine: &Machine) -> Result<(), OutOfMemory> {
    if machine.processors().iter().any(|&id| id >= 255) {
        local_apic::use_x2apic(core_local::current());
    }
    find_io_apics(machine)
}

/// Makes this core's timer interrupt it.
pub fn enable_timer() {
    local_apic::enable_timer(FIRST_VECTOR + TIMER_LINE);
}

/// Whether [`take_timer`] would say so.
#[inline]
pub fn is_timer_pending(core: &CoreLocal) -> bool {
    Mark::TIMER.is_set(core)
}

/// Whether the timer of this core, which is given, has interrupted it since the last call.
#[inline]
pub fn take_timer(core: &CoreLocal) -> bool {
    Mark::TIMER.take(core)
}

/// Where [`CoreLocal::pending`] says that a line has fired: a word of it, and bits there.
#[derive(Clone, Copy)]
pub struct Mark {
    /// Which word.
    pub word: usize,
    /// The line's byte in it, or a part of that.
    pub bits: u64,
}

impl Mark {
    const TIMER: Self = Self::of(TIMER_LINE, 0xFF);

    /// These bits of a line's byte. The handler writes bytes, and the lowest is the first.
    const fn of(line: u8, bits: u8) -> Self {
        Self {
            word: line as usize / 8,
            bits: (bits as u64) << (line % 8 * 8),
        }
    }

    /// Whether any of the bits is set on a core. A load.
    #[inline]
    pub fn is_set(self, core: &CoreLocal) -> bool {
        core.pending[self.word].load(Ordering::Relaxed) & self.bits != 0
    }

    /// The same, and clears them. Nobody else does.
    #[inline]
    fn take(self, core: &CoreLocal) -> bool {
        let is_set = self.is_set(core);
        if is_set {
            core.pending[self.word].fetch_and(!self.bits, Ordering::Relaxed);
        }
        is_set
    }
}

/// Interrupts a core, so that it looks for work.
pub fn wake(core: &CoreLocal) {
    local_apic::interrupt(core, FIRST_VECTOR + WAKE_LINE);
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

fn find_io_apics(machine: &Machine) -> Result<(), OutOfMemory> {
    /// Where it is on a machine that says nothing.
    const DEFAULT: (u64, u32) = (0xFEC0_0000, 0);
    let mut wiring = WIRING.lock();
    for (place, told) in wiring.overrides.iter_mut().zip(&machine.overrides) {
        if told.is_some() {
            *place = *told;
        }
    }
    for (index, place) in wiring.io_apics.iter_mut().enumerate() {
        let (phys, first_interrupt) = match machine.io_apics[index] {
            Some(told) => told,
            None if index == 0 => DEFAULT,
            None => break,
        };
        let registers = Mmio::map(phys, 0x20)?;
        registers.write::<u32>(0, 1);
        let version = registers.read::<u32>(16);
        // Where no I/O APIC is, reads give all ones or zero.
        let pins = (version >> 16 & 0xFF) + 1;
        if version == u32::MAX || version == 0 || pins > 240 {
            continue;
        }
        *place = Some(IoApic {
            registers,
            base: registers.address_of(0),
            first_interrupt,
            pins,
        });
    }
    Ok(())
}

/// Whether an I/O APIC has a pin for a global interrupt.
pub fn has_pin(interrupt: u32) -> bool {
    WIRING.lock().io_apic_of(interrupt).is_some()
}

/// What a device writes, and where, to interrupt a core (Intel SDM volume 3, 11.11).
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Physical address.
    pub address: u64,
    /// What is written there.
    pub data: u32,
}

/// An interrupt line that a driver has claimed. It interrupts the core where it was claimed, until [`Irq::move_to`]. Cheap to copy.
///
/// Devices of one core may share a pin: each has a bit of the line's mark for itself.
#[derive(Clone, Copy)]
pub struct Irq {
    line: u8,
    /// The bit of the mark.
    share: u8,
    /// None for messages.
    pin: Option<Pin>,
}

#[derive(Clone, Copy, Debug)]
struct Pin {
    registers: Mmio,
    register: u32,
    open: u32,
    is_level: bool,
}

/// Where a device keeps the message that it sends (PCI 3.0, section 6.8).
#[derive(Clone, Copy)]
pub enum MessagePlace {
    /// An entry of the table of MSI-X.
    Table(Mmio),
    /// The lower half of the address in MSI's registers, in the configuration space.
    Configuration {
        /// What `write` knows the register by.
        at: u32,
        /// Writes it.
        write: fn(at: u32, value: u32),
    },
}

impl MessagePlace {
    /// Changes the lower half of the message's address.
    fn write_address(&self, address: u32) {
        match self {
            // Masked meanwhile: what happens then is sent after it.
            Self::Table(table) => {
                table.write(12, 1u32);
                table.write(0, address);
                table.write(12, 0u32);
            }
            // One write changes it all: the other half and the data stay.
            Self::Configuration { at, write } => write(*at, address),
        }
    }
}

/// Where the devices that send messages keep them, by line.
static MESSAGES: SpinLock<[Option<MessagePlace>; MAX_LINES]> = SpinLock::new([None; MAX_LINES]);

/// Notes where a device keeps `message`, so that it can be changed when its line moves to another core.
pub fn keep_message_place(message: Message, place: MessagePlace) {
    let line = message.data.wrapping_sub(u32::from(FIRST_VECTOR)) as usize;
    if let Some(kept) = MESSAGES.lock().get_mut(line) {
        *kept = Some(place);
    }
}

/// The address to which a message for a core is written; none if no message can name the core.
fn message_address(core: &CoreLocal) -> Option<u32> {
    let destination = u8::try_from(core.apic_id()).ok()?;
    Some(0xFEE0_0000 | u32::from(destination) << 12)
}

impl Irq {
    /// Claims the legacy interrupt line `line` (0–15, as in a PCI device's interrupt line register), level-triggered and active low
    /// for PCI, and unmasks it. A level-triggered line stays masked at the I/O APIC after it fired until [`Irq::done`].
    /// `None` when there is no I/O APIC, no such pin, or all lines are taken: then poll.
    pub fn claim_legacy(line: u8, is_level: bool) -> Option<Self> {
        let wiring = WIRING.lock();
        let (mut interrupt, mut is_level, mut is_low) = (u32::from(line), is_level, is_level);
        if let Some(&Some((global, flags))) = wiring.overrides.get(usize::from(line)) {
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
        Self::claim(&wiring, interrupt, is_level, is_low)
    }

    /// Claims a global system interrupt (a pin of an I/O APIC), level-triggered, active low or high.
    pub fn claim_global(interrupt: u32, is_low: bool) -> Option<Self> {
        Self::claim(&WIRING.lock(), interrupt, true, is_low)
    }

    /// Claims a line for a device that interrupts by writing messages (MSI-X), and the message. `None` when all lines are taken, or
    /// this core is none that a message can name.
    pub fn claim_message() -> Option<(Self, Message)> {
        Self::claim_message_to(core_local::current())
    }

    /// The same for a line that interrupts another core.
    pub fn claim_message_to(core: &CoreLocal) -> Option<(Self, Message)> {
        let address = message_address(core)?;
        let line = Self::next_line()?;
        let message = Message {
            address: address.into(),
            data: u32::from(FIRST_VECTOR + line),
        };
        let this = Self {
            line,
            share: 1,
            pin: None,
        };
        Some((this, message))
    }

    /// Claims a line for a hypervisor that interrupts this core by a vector, and the vector. What it announces may be for several: they
    /// are told apart by [`Irq::shared`].
    pub fn claim_vector() -> Option<(Self, u8)> {
        let line = Self::next_line()?;
        let this = Self {
            line,
            share: 1,
            pin: None,
        };
        Some((this, FIRST_VECTOR + line))
    }

    /// The same line for another who waits for it, with a bit of the mark for itself: bit `number`, of which there are eight.
    pub fn shared(&self, number: u32) -> Option<Self> {
        let share = 1_u8.checked_shl(number)?;
        Some(Self { share, ..*self })
    }

    /// Has all others look who share the line, on the core that calls, as if it had interrupted.
    pub fn pass_on(&self) {
        let others = Mark::of(self.line, !self.share);
        core_local::current().pending[others.word].fetch_or(others.bits, Ordering::Relaxed);
    }

    /// A line that nothing claims, for tests on the host.
    #[cfg(test)]
    pub(crate) fn of_test(line: u8) -> Self {
        Self {
            line,
            share: 1,
            pin: None,
        }
    }

    fn next_line() -> Option<u8> {
        let line = NEXT_LINE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            (usize::from(next) < MAX_LINES).then_some(next + 1)
        });
        line.ok()
    }

    fn claim(wiring: &Wiring, interrupt: u32, is_level: bool, is_low: bool) -> Option<Self> {
        let io_apic = wiring.io_apic_of(interrupt)?;
        let register = 0x10 + 2 * (interrupt - io_apic.first_interrupt);
        let mut claimed = CLAIMED.lock();
        if let Some(known) = claimed.iter_mut().find(|c| c.interrupt == interrupt) {
            // A line interrupts one core.
            let is_here = core::ptr::eq(known.core, core_local::current());
            let share = known.irq.share.checked_mul(2);
            known.irq.share = share.filter(|_| is_here && is_level)?;
            return Some(known.irq);
        }
        let line = Self::next_line()?;
        let open =
            u32::from(FIRST_VECTOR + line) | u32::from(is_low) << 13 | u32::from(is_level) << 15;
        // An I/O APIC addresses 8 bits of a core's number.
        let destination = core_local::current().apic_id() << 24;
        if is_level {
            let slot = &PINS[usize::from(line)];
            slot.register.store(u64::from(register), Ordering::Relaxed);
            slot.masked
                .store(u64::from(open | MASKED), Ordering::Relaxed);
            slot.io_apic.store(io_apic.base as u64, Ordering::Relaxed);
        }
        let pin = Pin {
            registers: io_apic.registers,
            register,
            open,
            is_level,
        };
        pin.write(register + 1, destination);
        pin.write(register, open);
        let this = Self {
            line,
            share: 1,
            pin: Some(pin),
        };
        claimed.push(Claim {
            interrupt,
            irq: this,
            core: core_local::current(),
        });
        Some(this)
    }

    /// Has the line interrupt another core from now on, and that core look at once whether there is something to serve: what was
    /// announced to the old core alone is not lost. Whether it could be done: old controllers cannot name every core, and a pin that
    /// devices share stays where it is.
    pub fn move_to(&self, core: &'static CoreLocal) -> bool {
        let line = usize::from(self.line);
        match self.pin {
            Some(pin) => {
                let Ok(destination) = u8::try_from(core.apic_id()) else {
                    return false;
                };
                let mut claimed = CLAIMED.lock();
                let claim = claimed.iter_mut().find(|c| c.irq.line == self.line);
                let Some(claim) = claim.filter(|claim| claim.irq.share == 1) else {
                    return false;
                };
                claim.core = core;
                pin.write(pin.register + 1, u32::from(destination) << 24);
            }
            None => {
                let place = MESSAGES.lock().get(line).copied().flatten();
                let (Some(place), Some(address)) = (place, message_address(core)) else {
                    return false;
                };
                place.write_address(address);
            }
        }
        let mark = self.mark();
        core.pending[mark.word].fetch_or(mark.bits, Ordering::Release);
        wake(core);
        true
    }

    /// Whether the device interrupts by a message, and not by a pin.
    #[inline]
    pub fn is_message(&self) -> bool {
        self.pin.is_none()
    }

    /// Whether the line has interrupted the core that calls, and [`Irq::take_pending`] would say so. A load.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.mark().is_set(core_local::current())
    }

    /// Where it is noted that the line has interrupted.
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark::of(self.line, self.share)
    }

    /// Whether the line interrupted the core that calls since its last call; clears the mark. One load when it did not.
    #[inline]
    pub fn take_pending(&self) -> bool {
        self.mark().take(core_local::current())
    }

    /// The driver has taken the cause away at the device: a level-triggered line may fire again. Where another device that shares it has not
    /// yet been served, it fires at once.
    #[inline]
    pub fn done(&self) {
        if let Some(pin) = self.pin.filter(|pin| pin.is_level) {
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

/// Interrupts on this core so far.
#[inline]
pub fn count() -> u64 {
    core_local::current().interrupts.load(Ordering::Relaxed)
}
