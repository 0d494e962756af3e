//! Drivers. A driver knows its device and nothing above it.

pub mod block;
pub mod console;
#[cfg(test)]
mod fake_memory;
pub mod network;
mod patience;
pub mod pci;
pub mod power_button;
mod registers;
pub mod virtio;
pub mod xen;
