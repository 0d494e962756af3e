//! A virtual machine of a test: what it is to be, its running, its end.

use crate::DEADLINE;
use crate::http::Client;
use crate::program::{self, Linked};
use crate::site;
use cargo_toro::accel;
use cargo_toro::build::bootable;
use cargo_toro::disks;
use cargo_toro::qemu::{Launch, Network, Source};
use cargo_toro::settings::{Overrides, Settings};
use cargo_toro::values::{Accel, Boot, DiskBus, LogLevel, Machine, Nic, Protocol, Size};
use cargo_toro::vm::{End, Vm};
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A machine that is not yet started. Without more words it is what the program's Cargo.toml says, except that its
/// ports of the host are chosen by the system.
#[derive(Debug)]
pub struct Guest {
    linked: Arc<Linked>,
    overrides: Overrides,
    boot: Option<Boot>,
    cable: Option<Vec<OsString>>,
    kernel_words: String,
    folder: TempDir,
}

impl Guest {
    /// A machine for the program `name` of this workspace.
    pub fn new(name: &str) -> Self {
        Self {
            linked: program::linked(name),
            overrides: Overrides::default(),
            boot: None,
            cable: None,
            kernel_words: String::new(),
            folder: tempfile::tempdir().expect("a folder for the machine"),
        }
    }

    /// The machine model.
    pub fn machine(mut self, machine: Machine) -> Self {
        self.overrides.machine = Some(machine);
        self
    }

    /// How it is booted.
    pub fn boot(mut self, boot: Boot) -> Self {
        self.boot = Some(boot);
        self
    }

    /// Its memory.
    pub fn memory(mut self, memory: Size) -> Self {
        self.overrides.memory = Some(memory);
        self
    }

    /// Its cores.
    pub fn cores(mut self, cores: u32) -> Self {
        self.overrides.cores = Some(cores);
        self
    }

    /// Its network card.
    pub fn nic(mut self, nic: Nic) -> Self {
        self.overrides.nic = Some(nic);
        self
    }

    /// What its disks hang on.
    pub fn disk_bus(mut self, bus: DiskBus) -> Self {
        self.overrides.disk_bus = Some(bus);
        self
    }

    /// Its address, as `--address` has it.
    pub fn address(mut self, address: &str) -> Self {
        self.overrides.address = Some(address.parse().expect("an address"));
        self
    }

    /// The program's arguments.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.overrides.args = args.iter().map(|&arg| arg.to_owned()).collect();
        self
    }

    /// A variable of the program's environment, `NAME=VALUE`.
    pub fn env(mut self, variable: &str) -> Self {
        self.overrides
            .env
            .push(variable.parse().expect("a variable"));
        self
    }

    /// Publishes a port of the guest, as `80` or `7/udp`.
    pub fn publish(mut self, port: &str) -> Self {
        self.overrides
            .ports
            .push(format!("0:{port}").parse().expect("a port"));
        self
    }

    /// Another disk, with a copy of `content`; `mount` is where, or empty.
    pub fn disk(mut self, content: &[u8], mount: &str) -> Self {
        let image = self.next_image();
        std::fs::write(&image, content).expect("a disk");
        self.add_disk(&image, mount);
        self
    }

    /// Another disk, an ext2 made of what is in `folder`.
    pub fn disk_of(mut self, folder: &Path, mount: &str) -> Self {
        let image = self.next_image();
        site::make_image(folder, &image);
        self.add_disk(&image, mount);
        self
    }

    /// Lets the kernel say what it finds.
    pub fn log_info(mut self) -> Self {
        self.overrides.log = Some(LogLevel::Info);
        self
    }

    /// Another word of the kernel's command line, which no setting makes. The machine boots a kernel.
    pub fn kernel_word(mut self, word: &str) -> Self {
        self.boot = Some(Boot::Kernel);
        self.kernel_words.push(' ');
        self.kernel_words.push_str(word);
        self
    }

    /// Plugs the network card into something else than the user network: words for QEMU that make a netdev `net0`.
    pub fn cable(mut self, netdev: &str) -> Self {
        self.cable = Some(vec!["-netdev".into(), netdev.into()]);
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let (program, folder) = (&self.linked.program, self.folder.path());
        let overrides = std::mem::take(&mut self.overrides);
        let mut metadata = program.metadata.clone();
        for port in &mut metadata.ports {
            port.host = 0;
        }
        if overrides.nic == Some(Nic::None) {
            metadata.ports.clear();
        }
        let mut settings = Settings::new(&metadata, program.folder(), overrides)
            .expect("settings that go together");
        // Machines run at the same time and QEMU locks what it writes to: each has its own copy.
        for disk in settings.disks.iter_mut().filter(|disk| disk.from.is_some()) {
            disk.image = folder.join(disk.image.file_name().expect("an image's name"));
            disks::prepare(disk, &program::QUIET).expect("a disk");
        }
        let mut source = bootable(
            &self.linked.elf,
            &program.name,
            folder,
            &settings,
            self.boot,
        )
        .expect("an image");
        if let Source::Kernel { command_line, .. } = &mut source {
            // In front: arguments of the program may follow.
            command_line.insert_str(0, &format!("{} ", self.kernel_words));
        }
        let accelerator = accel::choose(Accel::Auto)
            .expect("an accelerator")
            .accelerator;
        let mut launch = Launch::new(&settings, source, accelerator);
        if let Some(cable) = self.cable {
            launch.nic = Nic::None;
            launch.network = Network::User(Vec::new());
            launch.extra = cable;
            launch
                .extra
                .extend(["-device".into(), "e1000,netdev=net0,romfile=".into()]);
        }
        let vm = Vm::start(&launch).unwrap_or_else(|error| panic!("cannot start: {error:#}"));
        Running {
            vm,
            _folder: self.folder,
        }
    }

    /// Starts it and waits for its end.
    pub fn run(self) -> Ended {
        self.start().end()
    }

    fn next_image(&self) -> std::path::PathBuf {
        let number = self.overrides.disks.len();
        self.folder.path().join(format!("data{number}.img"))
    }

    fn add_disk(&mut self, image: &Path, mount: &str) {
        let colon = if mount.is_empty() { "" } else { ":" };
        let disk = format!("{}{colon}{mount}", image.display());
        self.overrides.disks.push(disk.parse().expect("a disk"));
    }
}

/// A running machine. A test that fails while it has one shows its console; the machine is gone with it.
#[derive(Debug)]
pub struct Running {
    vm: Vm,
    _folder: TempDir,
}

impl Running {
    /// Waits until the console shows `text`; returns all that it has shown.
    pub fn wait_for(&self, text: &str) -> String {
        let shown = self.vm.wait_for(text, DEADLINE);
        shown.unwrap_or_else(|error| panic!("{error}"))
    }

    /// All that the console has shown.
    pub fn console(&self) -> String {
        self.vm.console()
    }

    /// Types on the console.
    pub fn send(&mut self, text: &str) {
        self.vm
            .send(text.as_bytes())
            .expect("a console that takes input");
    }

    /// Presses the power button.
    pub fn power_button(&self) {
        self.vm.power_button().expect("a power button");
    }

    /// Where a published TCP port of the guest is on this host.
    pub fn address(&self, port: u16) -> SocketAddrV4 {
        self.host_address(Protocol::Tcp, port)
    }

    /// Connects to a published TCP port.
    pub fn connect(&self, port: u16) -> TcpStream {
        let stream = TcpStream::connect(self.address(port)).expect("a published port");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
        stream
    }

    /// A UDP socket connected to a published port.
    pub fn connect_udp(&self, port: u16) -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let address = self.host_address(Protocol::Udp, port);
        socket.connect(address).expect("a published port");
        socket
    }

    /// An HTTP client with a new connection to port 80.
    pub fn http(&self) -> Client {
        Client::new(self.connect(80))
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        let end = self
            .vm
            .wait(DEADLINE)
            .unwrap_or_else(|error| panic!("{error}"));
        Ended {
            end,
            console: self.vm.console(),
        }
    }

    fn host_address(&self, protocol: Protocol, port: u16) -> SocketAddrV4 {
        let host_port = self.vm.host_port(protocol, port);
        let host_port = host_port.unwrap_or_else(|error| panic!("port {port}: {error}"));
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, host_port)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the console shows:\n{}", self.vm.console());
        }
    }
}

/// A machine that has ended.
#[derive(Debug)]
pub struct Ended {
    end: End,
    /// All that the console showed.
    pub console: String,
}

impl Ended {
    /// Demands an exit status; returns the console.
    #[track_caller]
    pub fn with_status(self, status: u8) -> String {
        assert_eq!(
            self.end,
            End::Exited(status),
            "the console shows:\n{}",
            self.console
        );
        self.console
    }

    /// Demands an exit status and that the console shows each of `texts`.
    #[track_caller]
    pub fn showing(self, status: u8, texts: &[&str]) -> String {
        let console = self.with_status(status);
        for text in texts {
            assert!(
                console.contains(text),
                "{text:?} is missing; the console shows:\n{console}"
            );
        }
        console
    }
}
