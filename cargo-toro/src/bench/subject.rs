//! What is measured: a program, built once, and the machines that it is put into.

use super::check_interrupt;
use super::counter::{Counter, Plugin};
use super::load::{self, Target};
use super::options::{MachineOptions, Options};
use super::report::{Conditions, Figure, Unit};
use crate::accel;
use crate::address::AddressV4;
use crate::build::{Contents, Format, bootable, write_image};
use crate::compile::{Options as CompileOptions, Profile, compile};
use crate::disks::{self, Request};
use crate::failure::Failure;
use crate::program::Program;
use crate::qemu::{self, Accelerator, Launch, Network, Source};
use crate::settings::{Overrides, Settings};
use crate::shell::Shell;
use crate::values::{Boot, DiskBus, DiskOption, Machine, Port, Protocol, Size};
use crate::vm::{End, Vm};
use anyhow::{Context, Result, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The service that is measured where no other is named.
pub(super) const SERVICE: &str = "static-web";
/// The smallest program.
pub(super) const HELLO: &str = "hello";
/// The page that is requested, and its size.
const PAGE: &str = "/index.html";
const PAGE_BYTES: usize = 612;
/// How long a guest may take to begin to serve, or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until a service that prints nothing is called.
const SILENCE: Duration = Duration::from_secs(2);
/// How long one try to get the first answer may take. A packet that the guest missed is sent again by QEMU only after
/// seconds; a new connection is quicker.
const TRY: Duration = Duration::from_millis(100);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(1);

/// A guest's address in QEMU's user network, and its gateway.
pub(super) const ADDRESS: &str = "10.0.2.15/24";
pub(super) const GATEWAY: &str = "10.0.2.2";

/// A machine and a way to boot it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the options")]
pub(super) struct Way {
    pub(super) machine: Machine,
    pub(super) boot: Boot,
}

impl Way {
    pub(super) const MICROVM: Self = Self {
        machine: Machine::Microvm,
        boot: Boot::Kernel,
    };
    pub(super) const PC_PVH: Self = Self {
        machine: Machine::Pc,
        boot: Boot::Kernel,
    };
    pub(super) const PC_BIOS: Self = Self {
        machine: Machine::Pc,
        boot: Boot::Disk,
    };

    /// The ways to measure: `defaults`, unless the options name one.
    pub(super) fn chosen(options: &MachineOptions, defaults: &[Self]) -> Vec<Self> {
        if options.machine.is_none() && options.boot.is_none() {
            return defaults.to_vec();
        }
        let machine = options.machine.unwrap_or_default();
        let default = if machine == Machine::Microvm {
            Boot::Kernel
        } else {
            Boot::Disk
        };
        vec![Self {
            machine,
            boot: options.boot.unwrap_or(default),
        }]
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let machine = match self.machine {
            Machine::Pc => "pc",
            Machine::Q35 => "q35",
            Machine::Microvm => "microvm",
        };
        let boot = match self.boot {
            Boot::Disk => "BIOS disk",
            Boot::Kernel => "PVH",
            Boot::Uefi => "UEFI disk",
        };
        write!(out, "{machine}, {boot}")
    }
}

/// A program, built.
#[derive(Debug)]
pub(super) struct Subject {
    program: Program,
    /// The linked ELF.
    pub(super) linked: PathBuf,
}

impl Subject {
    pub(super) fn name(&self) -> &str {
        &self.program.name
    }

    /// The Cargo.toml of its package.
    pub(super) fn manifest(&self) -> &Path {
        &self.program.manifest
    }

    /// Where benchmarks keep what is not to be fetched twice.
    pub(super) fn cache_folder(&self) -> PathBuf {
        self.program.output_folder().join("bench")
    }

    /// Whether it can be asked something: its metadata publish a port.
    pub(super) fn is_service(&self) -> bool {
        self.program
            .metadata
            .ports
            .iter()
            .any(|port| port.protocol == Protocol::Tcp)
    }

    /// The port of the guest that is measured: the first published one.
    fn port(&self) -> u16 {
        let mut ports = self.program.metadata.ports.iter();
        ports
            .find(|port| port.protocol == Protocol::Tcp)
            .map_or(80, |port| port.guest)
    }
}

/// Everything that the measures share.
pub(super) struct Bench {
    pub(super) options: Options,
    pub(super) shell: Shell,
    accelerator: Accelerator,
    plugin: Result<Plugin, String>,
    scratch: TempDir,
}

impl Bench {
    pub(super) fn new(options: Options, shell: Shell) -> Result<Self> {
        let choice = accel::choose(options.machine.accel)?;
        let plugin = Plugin::ready(&shell)?;
        if let Err(reason) = &plugin {
            shell.note(reason);
        }
        let scratch = tempfile::Builder::new().prefix("toro-bench").tempdir()?;
        Ok(Self {
            options,
            shell,
            accelerator: choice.accelerator,
            plugin,
            scratch,
        })
    }

    pub(super) fn conditions(&self) -> Result<Conditions> {
        Ok(Conditions {
            toro: env!("CARGO_PKG_VERSION"),
            qemu: qemu::version()?,
            accelerator: format!("{:?}", self.accelerator).to_uppercase(),
            runs: self.options.runs,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The plugin, or why there is none.
    pub(super) fn plugin(&self) -> Result<&Plugin, &str> {
        self.plugin.as_ref().map_err(String::as_str)
    }

    /// A figure that stands for one that needs the plugin.
    pub(super) fn uncounted(&self, name: impl Into<String>, unit: Unit) -> Figure {
        Figure::missing(name, unit, self.plugin().err().unwrap_or_default())
    }

    pub(super) fn build(&self, name: &str) -> Result<Subject> {
        let program = Program::find(Some(name), None)?;
        let options = CompileOptions {
            profile: Profile::Release,
            ..CompileOptions::default()
        };
        let linked = compile(&program, &options, &self.shell)?.to_path_buf();
        Ok(Subject { program, linked })
    }

    /// The service that the options name.
    pub(super) fn service(&self) -> Result<Subject> {
        self.build(&self.options.program)
    }

    /// What is requested of a service.
    pub(super) fn path(&self) -> String {
        self.options.path.clone().unwrap_or_else(|| PAGE.into())
    }

    /// The way that the options and the program's metadata name.
    pub(super) fn way(&self, subject: &Subject) -> Way {
        let options = MachineOptions {
            machine: self
                .options
                .machine
                .machine
                .or(subject.program.metadata.machine),
            ..self.options.machine.clone()
        };
        Way::chosen(&options, &[Way::PC_BIOS])[0]
    }

    /// A machine with a network card and the disk with the page, on the bus that the program asks for.
    pub(super) fn service_machine(&self, subject: &Subject, way: Way) -> Result<Machinery> {
        self.service_machine_on(subject, way, None)
    }

    /// The same with its disks on a bus that is named.
    pub(super) fn service_machine_on(
        &self,
        subject: &Subject,
        way: Way,
        disk_bus: Option<DiskBus>,
    ) -> Result<Machinery> {
        let disks = if self.options.path.is_none() {
            vec![self.page_disk()?]
        } else {
            Vec::new()
        };
        let settings = self.settings(
            subject,
            way,
            Overrides {
                disks,
                disk_bus,
                ..Overrides::default()
            },
        )?;
        for disk in &settings.disks {
            disks::prepare(disk, &self.shell)?;
        }
        self.machinery(subject, way, &settings, Some(subject.port()))
    }

    /// A machine with one core, a virtio card and so much memory, for a service without disks that is asked for `/`.
    pub(super) fn network_machine(&self, subject: &Subject, memory: Size) -> Result<Machinery> {
        let way = Way::PC_PVH;
        let overrides = Overrides {
            memory: Some(memory),
            cores: Some(1),
            nic: Some(
                self.options
                    .machine
                    .nic
                    .unwrap_or(crate::values::Nic::Virtio),
            ),
            ..Overrides::default()
        };
        let settings = self.settings(subject, way, overrides)?;
        let machinery = self.machinery(subject, way, &settings, Some(subject.port()))?;
        Ok(Machinery {
            path: "/".into(),
            ..machinery
        })
    }

    /// A machine for a program that does not serve, with nothing in it, and the memory that the program asks for if none is given.
    pub(super) fn plain_machine(
        &self,
        subject: &Subject,
        way: Way,
        memory: Option<Size>,
    ) -> Result<Machinery> {
        let overrides = Overrides {
            memory,
            nic: Some(crate::values::Nic::None),
            ..Overrides::default()
        };
        let mut program = subject.program.clone();
        program.metadata.ports.clear();
        program.metadata.disks.clear();
        let subject = Subject {
            program,
            linked: subject.linked.clone(),
        };
        let settings = self.settings(&subject, way, overrides)?;
        self.machinery(&subject, way, &settings, None)
    }

    /// A machine with a virtio disk for a program that does not serve.
    pub(super) fn disk_machine(
        &self,
        subject: &Subject,
        way: Way,
        memory: Size,
        disk: DiskOption,
    ) -> Result<Machinery> {
        let overrides = Overrides {
            memory: Some(memory),
            nic: Some(crate::values::Nic::Virtio),
            disk_bus: Some(DiskBus::Virtio),
            disks: vec![disk],
            ..Overrides::default()
        };
        let settings = self.settings(subject, way, overrides)?;
        self.machinery(subject, way, &settings, None)
    }

    /// What starts a program on a tap that exists, in a machine with one core and this much memory.
    pub(super) fn on_tap(
        &self,
        subject: &Subject,
        tap: &str,
        address: AddressV4,
        memory: Size,
    ) -> Result<Launch> {
        let overrides = Overrides {
            machine: Some(Machine::Pc),
            nic: self.options.machine.nic,
            address: Some(address),
            memory: Some(memory),
            cores: Some(1),
            ..Overrides::default()
        };
        let program = &subject.program;
        let settings = Settings::new(&program.metadata, program.folder(), overrides)?;
        let source = bootable(
            &subject.linked,
            subject.name(),
            self.folder(),
            &settings,
            Some(Boot::Kernel),
        )?;
        let mut launch = Launch::new(&settings, source, self.accelerator);
        launch.network = Network::Tap {
            name: tap.into(),
            queues: 1,
        };
        Ok(launch)
    }

    /// The machine of `machinery` with the image of another program, which is told to leave network and disks alone.
    pub(super) fn other_image(
        &self,
        machinery: &Machinery,
        subject: &Subject,
    ) -> Result<Machinery> {
        let source = self
            .plain_machine(subject, machinery.way, None)?
            .launch
            .source;
        Ok(machinery.with_source(source))
    }

    fn settings(&self, subject: &Subject, way: Way, overrides: Overrides) -> Result<Settings> {
        let address = format!("{ADDRESS},gateway={GATEWAY},dns=10.0.2.3").parse::<AddressV4>()?;
        let overrides = Overrides {
            machine: Some(way.machine),
            nic: overrides.nic.or(self.options.machine.nic),
            address: Some(address),
            ..overrides
        };
        Settings::new(
            &subject.program.metadata,
            subject.program.folder(),
            overrides,
        )
    }

    fn machinery(
        &self,
        subject: &Subject,
        way: Way,
        settings: &Settings,
        guest_port: Option<u16>,
    ) -> Result<Machinery> {
        let source = bootable(
            &subject.linked,
            subject.name(),
            self.folder(),
            settings,
            Some(way.boot),
        )?;
        let launch = Launch::new(settings, source, self.accelerator);
        Ok(Machinery {
            way,
            launch,
            guest_port,
            port_count: 1,
            path: self.path(),
        })
    }

    /// The stripped ELF of a program, with its symbols for backtraces; returns its size in bytes.
    pub(super) fn elf_bytes(&self, subject: &Subject) -> Result<u64> {
        let path = self.folder().join(format!("{}-size.elf", subject.name()));
        write_image(
            &subject.linked,
            Format::Elf,
            Contents::default(),
            &path,
            None,
        )
    }

    fn page_disk(&self) -> Result<DiskOption> {
        let image = self.folder().join("page.img");
        if !image.exists() {
            let www = self.folder().join("www");
            std::fs::create_dir_all(www.join("web"))?;
            std::fs::write(www.join("web").join(&PAGE[1..]), page())?;
            let shell = Shell {
                quiet: true,
                ..self.shell
            };
            disks::make(&image, &www, &Request::default(), &shell)?;
        }
        Ok(DiskOption {
            image: image.display().to_string(),
            mount: Some("/".into()),
        })
    }
}

/// A page of [`PAGE_BYTES`].
fn page() -> String {
    let (head, tail) = ("<!doctype html><title>Page</title><p>", "</p>\n");
    format!(
        "{head}{}{tail}",
        "x".repeat(PAGE_BYTES - head.len() - tail.len())
    )
}

/// A machine that can be started again and again.
#[derive(Debug, Clone)]
pub(super) struct Machinery {
    pub(super) way: Way,
    pub(super) launch: Launch,
    guest_port: Option<u16>,
    /// Ports of the host that lead to it.
    port_count: usize,
    path: String,
}

impl Machinery {
    pub(super) fn with_source(&self, source: Source) -> Self {
        let launch = Launch {
            source,
            ..self.launch.clone()
        };
        Self {
            launch,
            guest_port: None,
            ..self.clone()
        }
    }

    /// The same machine with a Linux in it, whose service listens at the same port.
    pub(super) fn with_linux(&self, kernel: PathBuf, archive: PathBuf) -> Self {
        let mut linux = self.clone();
        linux.launch.source = Source::Kernel {
            elf: kernel,
            command_line: super::linux::COMMAND_LINE.into(),
        };
        linux
            .launch
            .extra
            .extend(["-initrd".into(), archive.into()]);
        linux
    }

    /// The same for a load of that many connections at a time.
    pub(super) fn for_connections(self, count: usize) -> Self {
        Self {
            port_count: count,
            ..self
        }
    }

    /// Starts it, in QEMU's emulator and counted if there is a counter.
    pub(super) fn start(&self, counter: Option<(&Plugin, &Counter)>) -> Result<Guest> {
        let mut launch = self.launch.clone();
        if let Some((plugin, counter)) = counter {
            launch.accelerator = Accelerator::Tcg;
            launch.extra.extend(counter.arguments(plugin));
        }
        let hosts = match self.guest_port {
            Some(_) => free_ports(self.port_count)?,
            None => Vec::new(),
        };
        let ports = hosts.iter().zip(self.guest_port.iter().cycle());
        let ports = ports.map(|(&host, &guest)| Port {
            protocol: Protocol::Tcp,
            address: Ipv4Addr::LOCALHOST,
            host,
            guest,
        });
        launch.network = Network::User(ports.collect());
        let addresses = hosts.into_iter();
        let target = Target {
            addresses: addresses
                .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
                .collect(),
            path: self.path.clone(),
        };
        let started = Instant::now();
        let vm = Vm::start(&launch)?;
        Ok(Guest {
            vm,
            started,
            target,
        })
    }

    /// Starts it and waits for its end; returns how long that took.
    pub(super) fn run(&self, counter: Option<(&Plugin, &Counter)>) -> Result<(Duration, End)> {
        self.start(counter)?.end()
    }
}

/// Ports that nobody has at the moment.
pub(super) fn free_ports(count: usize) -> Result<Vec<u16>> {
    // All are held until the last is found, so that they differ.
    let listeners = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let listeners = listeners
        .collect::<Result<Vec<_>, _>>()
        .context("no port of this host is free")?;
    let ports = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()));
    ports.collect()
}

/// A running machine.
pub(super) struct Guest {
    pub(super) vm: Vm,
    started: Instant,
    pub(super) target: Target,
}

impl Guest {
    /// Waits for the first answer with the status 200; returns the time since the start.
    pub(super) fn first_answer(&mut self) -> Result<Duration> {
        self.answer_within(PATIENCE)
    }

    /// The same, with another patience.
    ///
    /// Calls begin with the service's first line: QEMU's user network remembers for a while that nobody answered.
    pub(super) fn answer_within(&mut self, patience: Duration) -> Result<Duration> {
        // A service that prints nothing is called after a while all the same; one that ended is seen below.
        let _ = self.vm.wait_for("\n", SILENCE);
        loop {
            check_interrupt()?;
            let result = load::once(&self.target, TRY);
            let elapsed = self.started.elapsed();
            let Err(error) = result else {
                return Ok(elapsed);
            };
            if let Some(end) = self.vm.end_within(PAUSE) {
                bail!(self.failure(format!(
                    "the guest ended before it served: {}",
                    describe(&end)
                )));
            }
            if elapsed > patience {
                bail!(self.failure(format!(
                    "the guest did not serve in {} s: {error}",
                    patience.as_secs()
                )));
            }
        }
    }

    /// Waits for the first line on the console; returns the time since the start.
    pub(super) fn first_line(&self) -> Result<Duration> {
        check_interrupt()?;
        self.vm.wait_for("\n", PATIENCE)?;
        Ok(self.started.elapsed())
    }

    /// An error if the guest has ended.
    pub(super) fn check_running(&mut self) -> Result<()> {
        match self.vm.end_within(Duration::ZERO) {
            Some(end) => bail!(self.failure(format!(
                "the guest ended under the load: {}",
                describe(&end)
            ))),
            None => Ok(()),
        }
    }

    /// Waits for the end of the program; returns how long it took.
    pub(super) fn end(mut self) -> Result<(Duration, End)> {
        while self.started.elapsed() < PATIENCE {
            check_interrupt()?;
            if let Some(end) = self.vm.end_within(Duration::from_millis(50)) {
                return Ok((self.started.elapsed(), end));
            }
        }
        bail!(self.failure(format!("the guest did not end in {} s", PATIENCE.as_secs())))
    }

    fn failure(&self, what: String) -> Failure {
        let console = self.vm.console();
        let shown = if console.trim().is_empty() {
            "nothing".into()
        } else {
            format!("\n{}", console.trim_end())
        };
        Failure::new(
            format!("{what}; the console shows {shown}"),
            "try it with `cargo toro run`",
        )
    }
}

/// How a machine ended, in words.
pub(super) fn describe(end: &End) -> String {
    match end {
        End::Exited(status) => format!("exit status {status}"),
        End::Crashed { qemu, messages } => format!("crashed ({qemu}) {messages}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_its_size() {
        assert_eq!(page().len(), PAGE_BYTES);
    }

    #[test]
    fn a_named_machine_is_measured_alone() {
        let none = MachineOptions {
            machine: None,
            boot: None,
            nic: None,
            accel: crate::values::Accel::Auto,
        };
        let defaults = [Way::MICROVM, Way::PC_BIOS];
        assert_eq!(Way::chosen(&none, &defaults), defaults);
        let microvm = MachineOptions {
            machine: Some(Machine::Microvm),
            ..none.clone()
        };
        assert_eq!(Way::chosen(&microvm, &defaults), [Way::MICROVM]);
        let pvh = MachineOptions {
            boot: Some(Boot::Kernel),
            ..none
        };
        assert_eq!(Way::chosen(&pvh, &defaults), [Way::PC_PVH]);
    }
}
