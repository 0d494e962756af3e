//! Tests that boot virtual machines; see the crate `vm_tests` for the harness.

mod about;
mod addresses;
mod boot;
mod build;
mod buses;
mod callbacks;
mod cards;
mod clock;
mod console;
mod cores;
mod disk_errors;
mod disks;
mod fat;
mod faults;
mod files;
mod loaders;
mod media;
mod preemption;
mod promises;
mod services;
mod sockets;
mod storage;
mod threads;
mod volumes;
mod web;
mod wire;
