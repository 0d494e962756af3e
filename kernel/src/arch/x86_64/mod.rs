//! x86-64: boot, descriptor tables, interrupts, clocks, ports.

pub mod acpi;
pub mod aml;
#[cfg(not(test))]
mod baseline;
#[cfg(not(test))]
pub mod boot;
pub mod clock;
pub mod context;
pub mod core_local;
#[cfg(not(test))]
pub mod cores;
pub mod cpu;
pub mod descriptors;
pub mod entropy;
#[cfg(not(test))]
pub mod exceptions;
pub mod extended_state;
pub mod floating;
pub mod hypervisor;
pub mod interrupts;
pub mod local_apic;
pub mod mmio;
mod mp_table;
pub mod port;
pub mod power;
pub mod preemption;
pub mod rtc;
pub mod start_info;
mod string;
#[cfg(not(test))]
pub mod syscall;
pub mod tlb;
pub mod xen;
