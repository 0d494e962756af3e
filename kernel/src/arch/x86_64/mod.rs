//! x86-64: boot, descriptor tables, interrupts, clocks, ports.

pub mod clock;
pub mod interrupts;
pub mod mmio;
pub mod port;
