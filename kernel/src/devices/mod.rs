//! Drivers. A driver knows its device and nothing above it.

pub mod block;
pub mod console;
pub mod network;
pub mod pci;
pub mod power_button;
