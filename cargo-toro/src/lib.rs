//! The host tool of Toro, as a library: builds a Rust program and the kernel into one image and runs it.
//!
//! The way of a program: [`program`] finds it, [`settings`] say what machine it wants, [`compile`] links it onto the kernel,
//! [`build`] makes its image, [`qemu`] knows the command line of the machine, and [`vm`] is the running machine.
//! [`commands`] are the subcommands over these; tests that boot machines use the same pieces:
//!
//! ```no_run
//! use cargo_toro::compile::{Options, Profile};
//! use cargo_toro::settings::{Overrides, Settings};
//! use cargo_toro::values::{Accel, Protocol};
//! use cargo_toro::vm::{End, Vm};
//! use cargo_toro::{accel, build, program::Program, shell::Shell};
//! use std::{path::Path, time::Duration};
//!
//! let program = Program::find(Some("web"), None)?;
//! let overrides = Overrides { ports: vec!["0:80".parse()?], ..Overrides::default() };
//! let settings = Settings::new(&program.metadata, program.folder(), overrides)?;
//! let options = Options { profile: Profile::Release, ..Options::default() };
//! let accelerator = accel::choose(Accel::Auto)?.accelerator;
//! let folder = Path::new("target/web-test");
//! let launch = build::launch(&program, &options, &settings, None, accelerator, folder, &Shell::default())?;
//!
//! let mut vm = Vm::start(&launch)?;
//! vm.wait_for("ready", Duration::from_secs(30))?;
//! let port = vm.host_port(Protocol::Tcp, 80)?;
//! // … talk to 127.0.0.1:port …
//! vm.power_button()?;
//! assert_eq!(vm.wait(Duration::from_secs(5))?, End::Exited(130));
//! # Ok::<(), anyhow::Error>(())
//! ```

extern crate alloc;

pub mod accel;
pub mod address;
pub mod bench;
pub mod build;
pub mod claim;
pub mod cli;
pub mod command_line;
pub mod commands;
pub mod compile;
pub mod console;
mod cplusplus;
pub mod deploy;
pub mod disks;
pub mod embed;
pub mod failure;
pub mod folder;
mod formats;
pub mod host;
mod host_files;
mod host_libraries;
mod image;
pub mod interrupt;
pub mod metadata;
pub mod mkfs;
pub mod parts;
pub mod program;
pub mod qemu;
pub mod qmp;
mod references;
pub mod settings;
pub mod shell;
pub mod terminal;
pub mod undefined;
mod unfinished;
mod user_flags;
pub mod values;
pub mod vm;
pub mod volume;
