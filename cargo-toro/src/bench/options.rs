//! The command line of `cargo toro bench`.

use crate::values::{Accel, Boot, Machine, Nic};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo toro bench all --json figures.json
  cargo toro bench http --program my-service --path /health
  cargo toro bench storage --runs 5                   files, against Linux in the same emulator
  cargo toro bench storage --profile fsync            where the instructions of its measures go
  cargo toro bench mkfs                               images from folders, against mke2fs and genext2fs
  cargo toro bench profile hello                      where the instructions of a boot go
  cargo toro bench profile static-web --requests 1000 where those of a request go

Guest instructions are counted by a plugin in QEMU's emulator, built with the C compiler `cc` when first used; without
one, those figures are left out. They repeat within a few percent. Wall-clock figures depend on the host: compare
them only within one run.")]
pub struct Bench {
    #[command(subcommand)]
    pub measure: Measure,
}

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum Measure {
    /// Size of the images, and the smallest memory they run in
    Size(Options),
    /// Instructions and time from the start to the first answer, whether every firmware starts it, and with how much memory
    Boot(Options),
    /// Cost of requests, requests a second, errors and growth under load
    Http(Options),
    /// Cost of a machine that has nothing to do
    Idle(Options),
    /// All of these
    All(Options),
    /// Threads, wake-ups, messages and memory, against the same program on Linux; a callback service on one core and on two
    Cores(Options),
    /// Files on a disk: speed and instructions, against the same program on Linux
    Storage(Storage),
    /// The speed of `cargo toro mkfs`, against mke2fs and genext2fs
    Mkfs(Comparison),
    /// Requests, connections and bulk on a tap, against nginx on Linux (needs Linux, wrk and Debian packages)
    Net(Options),
    /// Show the functions that executed the most instructions
    Profile(Profile),
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The web service to measure
    #[arg(long, default_value = super::subject::SERVICE)]
    pub program: String,
    /// What to request [default: a page of 612 bytes on a disk made for this; then the program's own disks are used]
    #[arg(long)]
    pub path: Option<String>,
    /// How often a start is measured; the median counts
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// Write the figures to this file too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub machine: MachineOptions,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Clone, Args)]
pub struct Comparison {
    /// How often each side is measured, in turn; the medians count
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Write the figures to this file too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// What executes the guests where instructions are not counted
    #[arg(long, value_enum, default_value = "auto")]
    pub accel: Accel,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Clone, Args)]
pub struct Storage {
    /// Show the functions that executed the most instructions in the measures with this in their names, in place of all else
    #[arg(long, value_name = "TEXT")]
    pub profile: Option<String>,
    #[command(flatten)]
    pub comparison: Comparison,
}

impl From<&Comparison> for Options {
    fn from(comparison: &Comparison) -> Self {
        Self {
            program: super::subject::SERVICE.into(),
            path: None,
            runs: comparison.runs,
            json: comparison.json.clone(),
            machine: MachineOptions {
                machine: None,
                boot: None,
                nic: None,
                accel: comparison.accel,
            },
        }
    }
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Virtual machine")]
pub struct MachineOptions {
    /// Machine model [default: that of the program; `boot` tries several]
    #[arg(long, value_enum)]
    pub machine: Option<Machine>,
    /// How the image is booted [default: kernel on microvm, disk on the others; `boot` tries both]
    #[arg(long, value_enum)]
    pub boot: Option<Boot>,
    /// Network card
    #[arg(long, value_enum)]
    pub nic: Option<Nic>,
    /// What executes the guest where instructions are not counted
    #[arg(long, value_enum, default_value = "auto")]
    pub accel: Accel,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Clone, Args)]
pub struct Profile {
    /// Package, binary, example or path
    pub program: String,
    /// Profile this many requests in place of the start
    #[arg(long, value_name = "COUNT")]
    pub requests: Option<usize>,
    /// Open a new connection for each request
    #[arg(long, requires = "requests")]
    pub close: bool,
    /// What to request [default: as for the other benchmarks]
    #[arg(long)]
    pub path: Option<String>,
    /// How many functions are shown
    #[arg(long, default_value_t = super::profile::TOP)]
    pub top: usize,
    /// Show blocks of instructions, by address, in place of functions
    #[arg(long)]
    pub blocks: bool,
    #[command(flatten)]
    pub machine: MachineOptions,
}
