//! Tests that boot virtual machines; see the crate `vm_tests` for the harness.

mod addresses;
mod boot;
mod build;
mod callbacks;
mod console;
mod disks;
mod faults;
mod files;
mod promises;
mod services;
mod sockets;
mod threads;
mod web;
mod wire;
