//! Tests that boot virtual machines; see the crate `vm_tests` for the harness.

mod boot;
mod build;
mod console;
mod faults;
mod files;
mod promises;
mod sockets;
mod threads;
mod web;
