//! Boots the loader in QEMU, without the Toro kernel.
//!
//! `kernel` is a kernel of a few bytes that reports how it was started, and the ELF around it;
//! `disk` a boot disk for it, by the letter of ARCHITECTURE.md and not by the tool's code;
//! `machine` a QEMU to boot it. The other modules hold the tests.

mod a20;
mod disk;
mod kernel;
mod machine;
mod refuses;
mod starts;
