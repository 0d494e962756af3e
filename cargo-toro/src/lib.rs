//! The host tool of Toro, as a library: builds a Rust program and the kernel into one image and runs it.
//!
//! The way of a program: [`program`] finds it, [`compile`] links it onto the kernel, [`build`] makes the image of
//! that, [`settings`] say what machine it wants, [`qemu`] turns them into a command line, and [`vm`] is the running
//! machine. [`commands`] are the subcommands over these; the suite of virtual machine tests uses the same pieces.

pub mod accel;
pub mod bench;
pub mod build;
pub mod cli;
pub mod command_line;
pub mod commands;
pub mod compile;
pub mod console;
pub mod disks;
pub mod failure;
pub mod folder;
pub mod host;
mod image;
pub mod interrupt;
pub mod metadata;
pub mod parts;
pub mod program;
pub mod qemu;
pub mod qmp;
pub mod settings;
pub mod shell;
pub mod undefined;
pub mod values;
pub mod vm;
