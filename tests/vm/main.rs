//! Tests that boot virtual machines; see the crate `vm_tests` for the harness.

mod addresses;
mod boot;
mod build;
mod callbacks;
mod console;
mod cores;
mod disks;
mod faults;
mod files;
mod preemption;
mod promises;
mod services;
mod sockets;
mod storage;
mod threads;
mod volumes;
mod web;
mod wire;
