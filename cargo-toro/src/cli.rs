//! The command line of the tool itself.

use crate::address::{AddressV4, AddressV6};
use crate::build::Format;
use crate::compile::{Options, Profile};
use crate::program::{Kind as ProgramKind, Program};
use crate::settings::Overrides;
use crate::values::{
    Accel, Boot, DiskBus, DiskOption, Display, EmbedOption, LogLevel, Machine, Nic, Placement,
    Port, Size, Variable,
};
use crate::volume::Kind;
use crate::volume::partitions::Table;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const EXIT_CODES: &str = "\
Exit codes:
  `run` ends with the exit status of the program:
    0    it ended well        101  it panicked
    N    what it chose        134  it aborted
  and otherwise, as all commands:
    1    the tool could not do it: see the `error:` line
    2    wrong usage
    70   the virtual machine ended without an exit status: it crashed
    124  the time given with --timeout ran out
    130  ended by Ctrl-C, and the program gave no status";

/// Runs a Rust program as a virtual machine of its own, without an operating system
#[derive(Debug, Parser)]
#[command(name = "cargo toro", bin_name = "cargo toro", version, after_help = EXIT_CODES)]
pub struct Arguments {
    /// Show the commands that are run
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a program and run it in a virtual machine
    Run(Box<Run>),
    /// Build a program into an image
    Build(Build),
    /// Make a disk image from a folder
    Mkfs(Mkfs),
    /// Look into disk images, and copy files in and out
    Disk(crate::commands::disk::options::Disk),
    /// Run tests in virtual machines; in Toro's own checkout, the whole suite
    Test(Test),
    /// What rustdoc runs a doc test with
    #[command(hide = true)]
    DocTest(DocTest),
    /// Run a program under gdb, from its first instruction
    Debug(Box<Debug>),
    /// Run services on hosts with libvirt, and keep them up to date
    Deploy(crate::deploy::options::Deploy),
    /// Make a new program
    New(New),
    /// Check that everything Toro needs is there
    Doctor,
    /// Measure size, start, requests and idling
    Bench(crate::bench::options::Bench),
}

/// Which program, and how it is compiled.
#[derive(Debug, Clone, Args)]
pub struct Which {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would take it for help")]
    pub choice: Choice,
    /// Build with the profile `dev`, not `release`
    #[arg(long, conflicts_with = "profile")]
    pub debug: bool,
    /// Build with the profile `release`: the default
    #[arg(long, short, conflicts_with_all = ["debug", "profile"])]
    pub release: bool,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would take it for help")]
    pub how: How,
}

impl Which {
    /// The program.
    pub fn find(&self) -> anyhow::Result<Program> {
        self.choice.find(self.how.manifest_path.as_deref())
    }

    /// For the compiler.
    pub fn options(&self) -> Options {
        self.how.options(match self.debug {
            true => Profile::Dev,
            false => Profile::Release,
        })
    }
}

/// A program by a name of any kind, or as cargo's options name it.
#[derive(Debug, Clone, Default, Args)]
pub struct Choice {
    /// Package, binary, example or path; without it, the crate in the current folder
    pub program: Option<String>,
    /// The package of the program
    #[arg(long, value_name = "NAME", conflicts_with = "program")]
    pub package: Option<String>,
    /// The binary of that name
    #[arg(long, value_name = "NAME", conflicts_with = "program")]
    pub bin: Option<String>,
    /// The example of that name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["program", "bin"])]
    pub example: Option<String>,
}

impl Choice {
    /// The program, in the workspace of `manifest` or the one nearest to the current folder.
    pub fn find(&self, manifest: Option<&Path>) -> anyhow::Result<Program> {
        let target = match (&self.bin, &self.example) {
            (Some(name), _) => Some((ProgramKind::Binary, name.as_str())),
            (_, Some(name)) => Some((ProgramKind::Example, name.as_str())),
            _ => None,
        };
        match (&self.package, target) {
            (None, None) => Program::find(self.program.as_deref(), manifest),
            (package, target) => Program::find_target(package.as_deref(), target, manifest),
        }
    }
}

/// How a program is compiled.
#[derive(Debug, Clone, Args)]
pub struct How {
    /// The Cargo.toml to use in place of the one nearest to the current folder
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,
    /// Build with this profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Features to turn on
    #[arg(long, short = 'F', value_delimiter = ',', value_name = "FEATURES")]
    pub features: Vec<String>,
    /// Leave the default features off
    #[arg(long)]
    pub no_default_features: bool,
    /// Turn on all features
    #[arg(long)]
    pub all_features: bool,
    /// A folder that goes into the image, read-only, and its place in the guest (again for more)
    #[arg(long, value_name = "FOLDER:/PATH")]
    pub embed: Vec<EmbedOption>,
}

impl How {
    /// For the compiler, with the profile `usual` where none is named.
    pub fn options(&self, usual: Profile) -> Options {
        let Self {
            profile,
            features,
            no_default_features,
            all_features,
            ..
        } = self.clone();
        Options {
            profile: profile.as_deref().map_or(usual, Profile::from),
            features,
            no_default_features,
            all_features,
            has_fat: false,
        }
    }
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo toro build                        the crate in this folder, as a bootable disk
  cargo toro build hello --format elf     for QEMU's -kernel, Firecracker, Cloud Hypervisor, Xen
  cargo toro build web -o web.vmdk
  cargo toro build web --format vhdx --with-disks -o web.vhdx   its data disks as web.disk1.vhdx …
  cargo toro build web --format ova       for VirtualBox and VMware, data disks included
  cargo toro build web --embed site:/www  with the files of `site`, read-only: no disk is needed

Images that are not ELF boot from disk. What the machine shall have (ports apart) is on its kernel's command line.")]
pub struct Build {
    #[command(flatten)]
    pub which: Which,
    /// The form of the image [default: what the name of --output stands for, else raw]
    #[arg(long, value_enum, ignore_case = true)]
    pub format: Option<Format>,
    /// Where the image goes
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Make the data disks too, in the same format and beside the image
    #[arg(long)]
    pub with_disks: bool,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo toro run                                      the crate in this folder
  cargo toro run web --publish 8080:80                then open http://127.0.0.1:8080/
  cargo toro run web --disk web.img --disk log.img:/var/log
  cargo toro run tool --machine microvm -- --fast x   arguments of the program follow `--`
  cargo toro run web --dry-run                        only print the QEMU command line

What is not said here is taken from [package.metadata.toro] of the program's Cargo.toml.")]
pub struct Run {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub vm: VmOptions,
    /// The program's arguments
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Virtual machine")]
pub struct VmOptions {
    /// Lead a port of this host into the guest (again for more; host port 0: any free one)
    #[arg(long, short, value_name = "[ADDRESS:]HOST:GUEST[/udp]")]
    pub publish: Vec<Port>,
    /// A disk image and where it is mounted (again for more); the first one at / unless another is
    #[arg(long, value_name = "IMAGE[:/MOUNT]")]
    pub disk: Vec<DiskOption>,
    #[command(flatten)]
    pub guest: GuestOptions,
    /// Use this tap interface, which must exist, in place of the user network
    #[arg(long, value_name = "NAME", conflicts_with = "publish")]
    pub tap: Option<String>,
    /// Queues of the tap interface, which `ip tuntap add NAME mode tap multi_queue` makes: with a virtio card each core
    /// has one, as far as they go
    #[arg(long, value_name = "COUNT", requires = "tap", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=64))]
    pub queues: u32,
    /// How the image is booted [default: kernel on microvm, disk on the others]
    #[arg(long, value_enum)]
    pub boot: Option<Boot>,
    /// Where the screen is shown
    #[arg(long, value_enum, default_value = "none")]
    pub display: Display,
    /// End the machine after this time
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// One more word for QEMU (again for more)
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub qemu_arg: Vec<OsString>,
    /// Print the QEMU command line and start nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl VmOptions {
    /// What goes before the metadata, with the program's arguments.
    pub fn overrides(&self, args: &[String]) -> Overrides {
        Overrides {
            disks: self.disk.clone(),
            ports: self.publish.clone(),
            args: args.to_vec(),
            ..self.guest.overrides()
        }
    }
}

/// The machine that a program runs in, whoever starts it.
#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Virtual machine")]
pub struct GuestOptions {
    /// What the disks hang on [default: virtio]
    #[arg(long, value_enum, value_name = "BUS")]
    pub disk_bus: Option<DiskBus>,
    /// An environment variable of the program (again for more)
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub env: Vec<Variable>,
    /// Memory, such as 64M
    #[arg(long, short, value_name = "SIZE")]
    pub memory: Option<Size>,
    /// Number of cores
    #[arg(long, short, value_name = "COUNT")]
    pub cores: Option<u32>,
    /// On which core a thread starts whose creator does not choose one [default: least-loaded]
    #[arg(long, value_enum, value_name = "RULE")]
    pub placement: Option<Placement>,
    /// Machine model
    #[arg(long, value_enum)]
    pub machine: Option<Machine>,
    /// Network card [default: virtio]
    #[arg(long, value_enum)]
    pub nic: Option<Nic>,
    /// The guest's address: dhcp, or ADDRESS/PREFIX[,gateway=ADDRESS][,dns=ADDRESS]
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<AddressV4>,
    /// The guest's address of IPv6: auto (what routers give), off, or ADDRESS/PREFIX[,gateway=ADDRESS][,dns=ADDRESS]
    #[arg(long, value_name = "ADDRESS")]
    pub address6: Option<AddressV6>,
    /// What executes the guest
    #[arg(long, value_enum, default_value = "auto")]
    pub accel: Accel,
    /// How much the kernel says on the console
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub log: Option<LogLevel>,
}

impl GuestOptions {
    /// What goes before the metadata.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            memory: self.memory,
            cores: self.cores,
            placement: self.placement,
            machine: self.machine,
            nic: self.nic,
            disk_bus: self.disk_bus,
            address: self.address,
            address_v6: self.address6,
            env: self.env.clone(),
            log: self.log,
            ..Overrides::default()
        }
    }
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo toro mkfs web.img --from www              as large as the content needs, and room to write
  cargo toro mkfs web.img --from www --size 64M --block-size 1K --label web
  cargo toro mkfs empty.img --size 64M
  cargo toro mkfs stick.img --from www --filesystem fat --partition mbr

Equal folders and options make equal images. Files keep their permissions and times, and belong to root.")]
pub struct Mkfs {
    /// The image file to make
    pub image: PathBuf,
    /// The folder whose content goes into it; without it, it is empty
    #[arg(long, value_name = "FOLDER", required_unless_present = "size")]
    pub from: Option<PathBuf>,
    /// The file system
    #[arg(
        long,
        short = 't',
        value_enum,
        ignore_case = true,
        default_value = "ext2",
        value_name = "KIND"
    )]
    pub filesystem: Kind,
    /// Size of the image, such as 64M [default: as large as the content needs, and room to write]
    #[arg(long)]
    pub size: Option<Size>,
    /// Bytes of a block of ext2: 1K, 2K or 4K [default: 4K]
    #[arg(long, value_name = "BYTES", value_parser = block_size)]
    pub block_size: Option<u32>,
    /// How many files, directories and links ext2 has room for [default: one for each 16 KiB]
    #[arg(long, value_name = "COUNT")]
    pub inodes: Option<u32>,
    /// Revision of ext2; 0 is for very old readers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1))]
    pub revision: u32,
    /// Name of the volume
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Number of the volume (of FAT, the first four bytes) [default: one that follows from the content]
    #[arg(long)]
    pub uuid: Option<uuid::Uuid>,
    /// Put it into the only partition of a disk
    #[arg(long, value_enum, ignore_case = true, value_name = "TABLE")]
    pub partition: Option<Table>,
    /// Overwrite a file that is no image made by this command
    #[arg(long)]
    pub force: bool,
}

fn block_size(text: &str) -> Result<u32, String> {
    match text.to_ascii_uppercase().trim_end_matches("IB") {
        "1K" | "1024" => Ok(1024),
        "2K" | "2048" => Ok(2048),
        "4K" | "4096" => Ok(4096),
        _ => Err("blocks have 1K, 2K or 4K".into()),
    }
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo toro test                     the tests of the crate in this folder, in virtual machines
  cargo toro test -p web -- parses    only tests whose name contains `parses`
  cargo toro test --test api          one file of `tests/`

  cargo toro test --doc               the examples in the library's documentation

Each test binary is a machine of its own, and as many run at once as the host has cores and memory for. A test finds
the package's folder under the path that it has on the host, as a copy: what it writes there is forgotten. Doc tests
come last, one machine for each, or for all that rustdoc puts together (edition 2024).

In Toro's own checkout without -p: format, lints, host tests and virtual machine tests of Toro itself.")]
pub struct Test {
    /// The package to test
    #[arg(long, short)]
    pub package: Option<String>,
    /// The unit tests of the library
    #[arg(long)]
    pub lib: bool,
    /// The unit tests of all programs
    #[arg(long)]
    pub bins: bool,
    /// The unit tests of a program
    #[arg(long, value_name = "NAME")]
    pub bin: Vec<String>,
    /// A file of `tests/`
    #[arg(long, value_name = "NAME")]
    pub test: Vec<String>,
    /// All of these: everything but the examples in the library's documentation
    #[arg(long)]
    pub tests: bool,
    /// The examples in the library's documentation alone
    #[arg(long, conflicts_with_all = ["lib", "bins", "bin", "test", "tests"])]
    pub doc: bool,
    /// Build with the profile `release`, not `test`
    #[arg(long, conflicts_with = "profile")]
    pub release: bool,
    #[command(flatten)]
    pub how: How,
    /// Go on with the other binaries when one has failed
    #[arg(long)]
    pub no_fail_fast: bool,
    /// Memory of each machine [default: the metadata's, at least 256M]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Size>,
    /// Cores of each machine [default: the metadata's, or 1]
    #[arg(long, value_name = "N")]
    pub cores: Option<u32>,
    /// A variable of the tests' environment; may be given more than once
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<Variable>,
    /// Machines that run at once [default: as many as the host has cores and memory for]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<std::num::NonZeroUsize>,
    /// Seconds that one test binary may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
    /// Arguments of the test harness, such as a filter
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

/// The machine of a doc test, said by `cargo toro test`, and the program, by rustdoc.
#[allow(
    missing_docs,
    reason = "the names are those of the options of other commands"
)]
#[derive(Debug, Args)]
pub struct DocTest {
    #[arg(long)]
    pub machine: Machine,
    #[arg(long)]
    pub memory: Size,
    #[arg(long)]
    pub cores: u32,
    #[arg(long)]
    pub nic: Nic,
    #[arg(long)]
    pub disk_bus: DiskBus,
    #[arg(long)]
    pub address: AddressV4,
    /// The image of a data disk, which stays as it is.
    #[arg(long)]
    pub disk: Vec<PathBuf>,
    #[arg(long)]
    pub embed: Vec<EmbedOption>,
    /// The kernel's.
    #[arg(long, allow_hyphen_values = true)]
    pub command_line: String,
    #[arg(long)]
    pub timeout: u64,
    /// The linked program.
    pub elf: PathBuf,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo toro debug hello                        gdb stands in the kernel's first function; `break main`, `continue`
  cargo toro debug hello --gdb-arg=-ex --gdb-arg='break main' --gdb-arg=-ex --gdb-arg=continue
  cargo toro debug hello --no-gdb               waits at port 1234 for a debugger, and prints gdb's command line
  cargo toro debug web --publish 8080:80 -- --fast x

The program is built with the profile `dev`; the kernel's lines are known too.")]
pub struct Debug {
    #[command(flatten)]
    pub choice: Choice,
    #[command(flatten)]
    pub how: How,
    /// Start no gdb: wait for one, or for the debugger of an editor
    #[arg(long)]
    pub no_gdb: bool,
    /// The gdb to start [default: rust-gdb, else gdb]
    #[arg(long, value_name = "PROGRAM", conflicts_with = "no_gdb")]
    pub gdb: Option<PathBuf>,
    /// The port where QEMU waits for gdb [default: any free one; with --no-gdb 1234]
    #[arg(long, value_name = "PORT")]
    pub gdb_port: Option<u16>,
    /// One more word for gdb (again for more)
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub gdb_arg: Vec<String>,
    #[command(flatten)]
    pub vm: VmOptions,
    /// The program's arguments
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo toro new my-service && cd my-service && cargo toro run
  cargo toro new 'My services/2' --name second-service")]
pub struct New {
    /// The folder to make
    pub path: PathBuf,
    /// The program's name [default: the last part of the path]
    #[arg(long)]
    pub name: Option<String>,
}

/// Reads the arguments; `cargo toro …` hands its own name on as the first. Ends the process at wrong usage or `--help`.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Arguments {
    let mut arguments: Vec<_> = arguments.collect();
    if arguments.get(1).is_some_and(|first| first == "toro") {
        arguments.remove(1);
    }
    Arguments::parse_from(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn cargos_own_word_is_skipped() {
        let words = ["cargo-toro", "toro", "run", "web", "--", "toro"].map(OsString::from);
        let Command::Run(run) = parse(words.into_iter()).command else {
            panic!("not `run`");
        };
        assert_eq!(run.which.choice.program.as_deref(), Some("web"));
        assert_eq!(run.args, ["toro"]);
    }
}
