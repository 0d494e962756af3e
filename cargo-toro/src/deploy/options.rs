//! The options of `cargo toro deploy`.

use super::health::Health;
use crate::cli::{GuestOptions, Which};
use crate::values::Port;
use clap::{Args, Subcommand, ValueEnum};
use std::net::Ipv4Addr;
use std::path::PathBuf;

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
#[command(after_help = "\
Four steps, from a bare Debian or Ubuntu host to a running service:
  cargo toro deploy prepare --host root@server          installs libvirt and QEMU there, after asking
  cargo toro deploy up web --host root@server -p 80:80  builds, copies, starts, and waits until it serves
  cargo toro deploy status web --host root@server       state, ports, screen
  cargo toro deploy logs web --host root@server         its console so far

Later:
  cargo toro deploy update web --host root@server       a new image; goes back to the old one if that does not come up
  cargo toro deploy down web --host root@server         ends it; its data disks stay

Without --host all of it happens on this host. Ports, disks, memory and cores are those of [package.metadata.toro].")]
pub struct Deploy {
    #[command(subcommand)]
    pub action: Action,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Subcommand)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, read from the command line"
)]
pub enum Action {
    /// Install what a host needs
    Prepare(Prepare),
    /// Build a program and start it on a host
    Up(Box<Up>),
    /// Replace a running service by a new build, and go back if that does not come up
    Update(Box<Up>),
    /// Go back to the image before the current one
    Rollback(Named),
    /// Show the state of a service, or of all
    Status(Named),
    /// Talk to the console of a service (Ctrl-] ends it)
    Console(Named),
    /// Show what a service wrote to its console
    Logs(Logs),
    /// Save the screen of a service as a picture
    Screen(Screen),
    /// Stop a service; it stays defined
    Stop(Named),
    /// Start a service that was stopped
    Start(Named),
    /// Remove a service from a host; its data disks stay
    Down(Down),
    /// Write what an orchestrator or another hypervisor needs to run a program
    Export(Box<Export>),
}

/// Where services run.
#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Clone, Args)]
pub struct Where {
    /// The host, as `ssh` knows it; without it, this one
    #[arg(long, value_name = "USER@HOST")]
    pub host: Option<String>,
    /// The libvirt there
    #[arg(long, value_name = "URI", default_value = super::host::SYSTEM)]
    pub connect: String,
    /// The configuration for `ssh` in place of ~/.ssh/config
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
pub struct Prepare {
    #[command(flatten)]
    pub place: Where,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub place: Where,
    /// The service's name [default: the program's]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    #[command(flatten)]
    pub machine: MachineOptions,
    /// How to see that it has come up [default: the answer of a published HTTP port, else that it goes on running]
    #[arg(long, value_name = "http:PORT/PATH|console:TEXT|running")]
    pub health: Option<Health>,
    /// Seconds that it may take to come up
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub health_timeout: u64,
    /// Start it again when it ends or crashes
    #[arg(long, value_enum, default_value = "always")]
    pub restart: Restart,
    /// Do not start it when the host starts
    #[arg(long)]
    pub no_autostart: bool,
    /// The program's arguments
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

/// The machine of a service.
#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Virtual machine")]
pub struct MachineOptions {
    /// Lead a port of the host into the service (again for more)
    #[arg(long, short, value_name = "[ADDRESS:]HOST:GUEST[/udp]")]
    pub publish: Vec<Port>,
    /// The address of the host at which ports without one listen
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    pub listen: Ipv4Addr,
    /// Put the service on this bridge of the host, with an address of its own, in place of leading ports into it
    #[arg(long, value_name = "NAME", conflicts_with = "publish")]
    pub bridge: Option<String>,
    #[command(flatten)]
    pub guest: GuestOptions,
}

/// When a service that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Restart {
    /// However it ended
    Always,
    /// Never
    Never,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
pub struct Named {
    /// The service's name [default: the program of the current folder]
    pub name: Option<String>,
    #[command(flatten)]
    pub place: Where,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    pub named: Named,
    /// Go on with what it writes from now on, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// Only so many lines from the end
    #[arg(long, short = 'n', value_name = "LINES")]
    pub lines: Option<u32>,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
pub struct Screen {
    #[command(flatten)]
    pub named: Named,
    /// The file for the picture [default: NAME.png]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
pub struct Down {
    #[command(flatten)]
    pub named: Named,
    /// Delete its data disks too
    #[arg(long)]
    pub delete_disks: bool,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
pub struct Export {
    /// For what
    #[arg(value_enum)]
    pub target: Target,
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub machine: MachineOptions,
    /// The folder for the files [default: target/toro/export/TARGET/PROGRAM]
    #[arg(long, short, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
    /// The name of the container image that a registry has the disk under (kubevirt)
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
}

/// What runs exported programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Kubernetes with KubeVirt
    Kubevirt,
    /// Nomad, with its QEMU driver
    Nomad,
    /// Firecracker
    Firecracker,
    /// Cloud Hypervisor
    CloudHypervisor,
}
