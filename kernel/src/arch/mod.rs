//! The processor and what belongs to every PC: the only place with assembly.

pub mod x86_64;

pub use x86_64::{clock, entropy, interrupts, mmio, port};
