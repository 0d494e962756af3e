//! Xen's hypercalls, as far as a domain needs them to be heard, to end, and to share memory and events with others (Xen,
//! xen/include/public/: xen.h, sched.h, memory.h, event_channel.h, hvm/hvm_op.h, hvm/params.h), and how it wires what looks like a PC (HVM).

use core::arch::asm;

use super::core_local::CoreLocal;
use super::hypervisor::{self, Hypervisor};
use super::{cpu, interrupts};
use crate::sync::OnceCell;

// Hypercalls, and what they are to do.
const SCHEDULER: u32 = 29;
const SCHEDULER_YIELD: u64 = 0;
const SCHEDULER_SHUT_DOWN: u64 = 2;
const MEMORY: u32 = 12;
const MEMORY_ADD_TO_PHYSMAP: u64 = 7;
const EVENT_CHANNEL: u32 = 32;
const EVENT_CHANNEL_SEND: u64 = 4;
const EVENT_CHANNEL_ALLOCATE: u64 = 6;
const EVENT_CHANNEL_BIND_CPU: u64 = 8;
const EVENT_CHANNEL_UNMASK: u64 = 9;
const DOMAIN: u32 = 34;
const DOMAIN_GET_PARAMETER: u64 = 1;
const DOMAIN_SET_UPCALL_VECTOR: u64 = 23;
const PAGE_BYTES: u64 = 4096;
/// This domain.
const SELF: u16 = 0x7FF0;

// The pins of the I/O APIC that PCI devices are wired to.
const FIRST_PCI_INTERRUPT: u32 = 16;
const PCI_INTERRUPTS: u32 = 32;
const LAST_PCI_INTERRUPT: u32 = FIRST_PCI_INTERRUPT + PCI_INTERRUPTS - 1;

/// What Xen is to do with a domain that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// What it has been told to do with one that was powered off.
    PowerOff = 0,
    /// Start it again, as a rule.
    Reboot = 1,
}

/// What Xen has told the domain that it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Parameter {
    /// The page (by its number) that XenStore's server shares with the domain.
    StorePage = 1,
    /// The event channel by which they tell each other of news.
    StoreChannel = 2,
    /// The page (by its number) that the console shares with its other end.
    ConsolePage = 17,
    /// The event channel by which they tell each other of news.
    ConsoleChannel = 18,
}

/// `struct xen_hvm_param`.
#[repr(C)]
struct ParameterCall {
    domain: u16,
    index: u32,
    value: u64,
}

/// What of Xen's own a page of the domain can show in place of memory (memory.h, `XENMAPSPACE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Space {
    /// The page with the events of all processors.
    SharedInfo = 0,
    /// The table of what the domain lends.
    GrantTable = 1,
}

/// `struct xen_add_to_physmap`.
#[repr(C)]
struct PhysmapCall {
    domain: u16,
    size: u16,
    space: u32,
    index: u64,
    page: u64,
}

/// `struct evtchn_alloc_unbound`.
#[repr(C)]
struct AllocateCall {
    domain: u16,
    remote: u16,
    channel: u32,
}

/// Whether there is Xen to call.
pub fn is_there() -> bool {
    hypervisor::find(Hypervisor::Xen).is_some()
}

/// The global interrupt that a PCI device's pin (0 is A) is wired to where Xen makes up the machine: what its ACPI tables say (Xen,
/// xen/arch/x86/hvm/irq.c: `hvm_pci_intx_gsi`; tools/libacpi/mk_dsdt.c). `None` elsewhere.
///
/// The lines of the ISA bus, which the devices' registers name, are no good there: QEMU 10.0 tells Xen that the pins are wired to none
/// of them.
pub fn pci_interrupt(bus: u8, slot: u8, pin: u8) -> Option<u32> {
    // Others who show Xen's leaves have an I/O APIC of fewer pins, and wires of their own.
    let has_wires = bus == 0 && is_there() && interrupts::has_pin(LAST_PCI_INTERRUPT);
    has_wires.then(|| wire(slot, pin))
}

/// Xen's formula for it.
fn wire(slot: u8, pin: u8) -> u32 {
    let (slot, pin) = (u32::from(slot), u32::from(pin));
    FIRST_PCI_INTERRUPT + (slot * 4 + slot / 8 + pin) % PCI_INTERRUPTS
}

/// Calls Xen: what a negative answer says is an error.
///
/// # Safety
/// 1. Xen is there.
/// 2. `argument` is what the call takes: an address of what it may read and write, while nobody else does, or a number.
unsafe fn call(number: u32, action: u64, argument: u64) -> i64 {
    const AUTH: u32 = u32::from_le_bytes(*b"Auth");
    const HYGO: u32 = u32::from_le_bytes(*b"Hygo");
    /// AMD's processors and those after them have an instruction of their own for this. Asked once: it costs as much as a call.
    static IS_AMD: OnceCell<bool> = OnceCell::new();
    let mut answer = u64::from(number);
    if *IS_AMD.get_or_find(|| matches!(cpu::cpuid(0).ebx, AUTH | HYGO)) {
        // SAFETY: the instruction goes to Xen (1), which keeps all registers but these and reads and writes what it was given (2).
        unsafe {
            asm!("vmmcall", inout("rax") answer, inout("rdi") action => _, inout("rsi") argument => _, options(nostack));
        }
    } else {
        // SAFETY: the same.
        unsafe {
            asm!("vmcall", inout("rax") answer, inout("rdi") action => _, inout("rsi") argument => _, options(nostack));
        }
    }
    answer as i64
}

/// What Xen has told the domain, if it has.
pub fn parameter(parameter: Parameter) -> Option<u64> {
    if !is_there() {
        return None;
    }
    let mut words = ParameterCall {
        domain: SELF,
        index: parameter as u32,
        value: 0,
    };
    // SAFETY: (1) Xen is there; (2) it takes such words, which live until it returns, and fills in the value.
    let answer = unsafe { call(DOMAIN, DOMAIN_GET_PARAMETER, (&raw mut words) as u64) };
    (answer == 0 && words.value != 0).then_some(words.value)
}

/// Tells the other end of an event channel that there is news. Only where [`is_there`].
pub fn notify(channel: u32) {
    if is_there() {
        // SAFETY: (1) Xen is there; (2) it reads a channel's number, which lives until it returns.
        let _ = unsafe {
            call(
                EVENT_CHANNEL,
                EVENT_CHANNEL_SEND,
                (&raw const channel) as u64,
            )
        };
    }
}

/// Has a page of the domain, at physical address `phys`, show a page of Xen's own in place of the memory that is there, which is lost.
/// Whether Xen does so.
///
/// # Safety
/// 1. The page is the caller's for ever, and nothing in it is needed.
pub unsafe fn show(space: Space, index: u64, phys: u64) -> bool {
    let words = PhysmapCall {
        domain: SELF,
        size: 0,
        space: space as u32,
        index,
        page: phys / PAGE_BYTES,
    };
    // SAFETY: (1) asked first; (2) it reads such words, which live until it returns; the page is given away (1).
    is_there() && unsafe { call(MEMORY, MEMORY_ADD_TO_PHYSMAP, (&raw const words) as u64) } == 0
}

/// A new event channel whose other end is for domain `remote` to bind.
pub fn allocate_channel(remote: u16) -> Option<u32> {
    let mut words = AllocateCall {
        domain: SELF,
        remote,
        channel: 0,
    };
    if !is_there() {
        return None;
    }
    // SAFETY: (1) Xen is there; (2) it takes such words, which live until it returns, and fills in the channel.
    let answer = unsafe {
        call(
            EVENT_CHANNEL,
            EVENT_CHANNEL_ALLOCATE,
            (&raw mut words) as u64,
        )
    };
    (answer == 0).then_some(words.channel)
}

/// Has the events of a channel interrupt the virtual processor with this number. Whether Xen does so.
pub fn bind_channel(channel: u32, processor: u32) -> bool {
    let words = [channel, processor];
    // SAFETY: (1) asked first; (2) it reads two numbers, which live until it returns.
    is_there()
        && unsafe {
            call(
                EVENT_CHANNEL,
                EVENT_CHANNEL_BIND_CPU,
                (&raw const words) as u64,
            )
        } == 0
}

/// Has the events of a channel interrupt, from those on that are there already. Whether Xen does so.
pub fn unmask_channel(channel: u32) -> bool {
    // SAFETY: (1) asked first; (2) it reads a channel's number, which lives until it returns.
    is_there()
        && unsafe {
            call(
                EVENT_CHANNEL,
                EVENT_CHANNEL_UNMASK,
                (&raw const channel) as u64,
            )
        } == 0
}

/// Has events interrupt a virtual processor by this vector of its local APIC. Whether Xen does so: from its version 4.6 on.
pub fn set_upcall_vector(processor: u32, vector: u8) -> bool {
    let words = [processor, u32::from(vector)];
    // SAFETY: (1) asked first; (2) it reads a number and a byte, which live until it returns.
    is_there() && unsafe { call(DOMAIN, DOMAIN_SET_UPCALL_VECTOR, (&raw const words) as u64) } == 0
}

/// The number that Xen has for the processor that calls, which is `core` (arch-x86/cpuid.h, leaf 5: `XEN_HVM_CPUID_VCPU_ID_PRESENT`;
/// before there was one, processors had every other number of a local APIC).
pub fn processor(core: &CoreLocal) -> u32 {
    const HAS_NUMBER: u32 = 1 << 3;
    let features = hypervisor::find(Hypervisor::Xen).map(|leaves| leaves.leaf(4, 0));
    match features {
        Some(features) if features.eax & HAS_NUMBER != 0 => features.ebx,
        _ => core.apic_id() / 2,
    }
}

/// Has other domains run.
pub fn let_others_run() {
    if is_there() {
        // SAFETY: (1) Xen is there; (2) the call takes nothing.
        let _ = unsafe { call(SCHEDULER, SCHEDULER_YIELD, 0) };
    }
}

/// Ends the domain; returns where there is no Xen, or it does not do so.
pub fn shut_down(reason: Reason) {
    if is_there() {
        let reason = reason as u32;
        // SAFETY: (1) Xen is there; (2) it reads a reason, which lives until it returns.
        let _ = unsafe { call(SCHEDULER, SCHEDULER_SHUT_DOWN, (&raw const reason) as u64) };
    }
}

#[cfg(test)]
mod tests {
    use super::wire;

    #[test]
    fn pins_of_pci_devices_are_wired_as_xen_tells_in_its_tables() {
        // Entries of the DSDT of Xen 4.20: device, pin, interrupt.
        let table = [
            (1, 0, 20),
            (2, 0, 24),
            (3, 0, 28),
            (3, 3, 31),
            (4, 1, 33),
            (7, 3, 47),
            (8, 0, 17),
            (15, 3, 16),
            (31, 0, 47),
            (31, 3, 18),
        ];
        for (slot, pin, interrupt) in table {
            assert_eq!(wire(slot, pin), interrupt, "device {slot}, pin {pin}");
        }
    }
}
