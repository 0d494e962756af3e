//! A virtual machine of a test: what it is to be, its running, its end.

use crate::http::Client;
use crate::program::{self, Linked};
use crate::site;
use crate::{DEADLINE, stress_time};
use cargo_toro::accel;
use cargo_toro::build::bootable;
use cargo_toro::disks;
use cargo_toro::qemu::{Launch, Network, Source};
use cargo_toro::settings::{Overrides, Settings};
use cargo_toro::terminal::Wishes;
use cargo_toro::values::{Accel, Boot, DiskBus, LogLevel, Machine, Nic, Protocol, Size};
use cargo_toro::vm::{End, Vm};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A machine that is not yet started. Without more words it is what the program's Cargo.toml says, except that its
/// ports of the host are chosen by the system.
#[derive(Debug)]
pub struct Guest {
    linked: Arc<Linked>,
    overrides: Overrides,
    boot: Option<Boot>,
    cable: Option<String>,
    card: String,
    /// Faults of disks, by number: a configuration of QEMU's blkdebug.
    faults: Vec<(usize, String)>,
    /// More words for QEMU.
    extra: Vec<OsString>,
    kernel_words: String,
    folder: TempDir,
    memory_folder: Option<TempDir>,
}

impl Guest {
    /// A machine for the program `name` of this workspace.
    pub fn new(name: &str) -> Self {
        Self {
            linked: program::linked(name),
            overrides: Overrides::default(),
            boot: None,
            cable: None,
            card: "e1000".into(),
            faults: Vec::new(),
            extra: Vec::new(),
            kernel_words: String::new(),
            folder: tempfile::tempdir().expect("a folder for the machine"),
            memory_folder: None,
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

    /// How many cores it has.
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

    /// Tells the columns and rows of a terminal that the console is shown in.
    pub fn terminal(mut self, columns: u16, rows: u16) -> Self {
        self.overrides.terminal = Some((columns, rows));
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

    /// Another disk: the image at `path` itself, which the test can look at afterwards.
    pub fn disk_at(mut self, path: &Path, mount: &str) -> Self {
        self.add_disk(path, mount);
        self
    }

    /// What is in `folder` goes into the image, to be seen at `path`.
    pub fn embed(mut self, folder: &Path, path: &str) -> Self {
        let option = format!("{}:{path}", folder.display());
        self.overrides.embed.push(option.parse().expect("a folder"));
        self
    }

    /// Another disk, an ext2 made of what is in `folder`.
    pub fn disk_of(mut self, folder: &Path, mount: &str) -> Self {
        let image = self.next_image();
        site::make_image(folder, &image);
        self.add_disk(&image, mount);
        self
    }

    /// The disk that was added last fails as a configuration of QEMU's blkdebug says (docs/devel/blkdebug.rst).
    pub fn faults(mut self, configuration: &str) -> Self {
        let disk = self.overrides.disks.len() - 1;
        self.faults.push((disk, configuration.to_owned()));
        self
    }

    /// More words for QEMU.
    pub fn qemu(mut self, words: &[&str]) -> Self {
        self.extra.extend(words.iter().map(OsString::from));
        self
    }

    /// Keeps its memory in a file, for [`Running::touched_memory`].
    pub fn count_memory(mut self, memory: Size) -> Self {
        // A file system in memory counts pages, others larger blocks.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = self
            .memory_folder
            .insert(folder.expect("a folder for the memory"));
        let path = folder.path().join("memory");
        let (bytes, path) = (memory.bytes, path.display());
        let backend =
            format!("memory-backend-file,id=memory,size={bytes},mem-path={path},share=on");
        self = self.memory(memory);
        self.qemu(&["-object", &backend, "-machine", "memory-backend=memory"])
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
        self.cable = Some(netdev.to_owned());
        self
    }

    /// Takes another card than an e1000 for [`Guest::cable`]: QEMU's name of the device, with properties.
    pub fn card(mut self, device: &str) -> Self {
        self.card = device.into();
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
        if let Some(netdev) = self.cable {
            launch.nic = Nic::None;
            launch.network = Network::User(Vec::new());
            let card = format!("{},netdev=net0,romfile=", self.card);
            let words = ["-netdev", &netdev, "-device", &card];
            launch.extra = words.iter().map(OsString::from).collect();
        }
        for (disk, configuration) in &self.faults {
            let file = folder.join(format!("faults{disk}"));
            std::fs::write(&file, configuration).expect("a configuration");
            let image = &mut launch.disks[*disk];
            *image = format!("blkdebug:{}:{}", file.display(), image.display()).into();
        }
        launch.extra.extend(self.extra);
        let vm = Vm::start(&launch).unwrap_or_else(|error| panic!("cannot start: {error:#}"));
        Running {
            vm,
            _folder: self.folder,
            memory_folder: self.memory_folder,
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
    memory_folder: Option<TempDir>,
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

    /// How the program wants what is typed, as the console has said so far.
    pub fn wishes(&self) -> Option<Wishes> {
        self.vm.wishes()
    }

    /// Types on the console.
    pub fn send(&mut self, text: &str) {
        self.vm
            .send(text.as_bytes())
            .expect("a console that takes input");
    }

    /// Presses keys of its keyboard one after the other, as QEMU's command `sendkey` names them (`a`, `shift-b`, `ret`, `up`, `f1`).
    pub fn press(&self, keys: &[&str]) {
        let mut session = self.vm.session().expect("QEMU's control socket");
        for (index, key) in keys.iter().enumerate() {
            match session.monitor(&format!("sendkey {key} 1")) {
                Ok(answer) => assert_eq!(answer, "", "{key}"),
                // The machine may end at the last one before QEMU has answered: how it ended is told by [`Running::end`].
                Err(error) if index + 1 == keys.len() && is_gone(&error) => {}
                Err(error) => panic!("QEMU's monitor at {key}: {error}"),
            }
        }
    }

    /// What the text screen shows once this is on it, line by line: what a program writes is drawn a moment later.
    pub fn screen_with(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(
                start.elapsed() < DEADLINE,
                "no {text:?} on the screen:\n{screen}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the text screen shows, line by line: the characters of its cells.
    fn screen(&self) -> String {
        let mut session = self.vm.session().expect("QEMU's control socket");
        let dump = session
            .monitor("xp /2000hx 0xb8000")
            .expect("QEMU's monitor");
        let cells: Vec<u8> = dump
            .lines()
            .flat_map(|line| line.split_whitespace().skip(1))
            .filter_map(|cell| u16::from_str_radix(cell.trim_start_matches("0x"), 16).ok())
            .map(|cell| cell as u8)
            .collect();
        let rows = cells.chunks(80).map(|row| {
            let row: String = row.iter().copied().map(char::from).collect();
            row.trim_end().to_owned()
        });
        rows.collect::<Vec<_>>().join("\n")
    }

    /// Cuts it off, as a failure of power does; returns all that the console has shown.
    pub fn cut_off(self) -> String {
        self.vm.console()
    }

    /// Presses the power button.
    pub fn power_button(&self) {
        if let Err(error) = self.vm.power_button() {
            assert!(is_gone(&error), "a power button: {error}");
        }
    }

    /// CPU time that the emulator has used so far, where the host tells it.
    pub fn cpu_time(&self) -> Option<std::time::Duration> {
        cargo_toro::bench::process::cpu_time(self.vm.process_id())
    }

    /// Bytes of the pages that a guest with [`Guest::count_memory`] has used since its start: blocks of a sparse file.
    pub fn touched_memory(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let folder = self.memory_folder.as_ref().expect("memory that is counted");
        let file = std::fs::metadata(folder.path().join("memory"));
        file.expect("the guest's memory").blocks() * 512
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

    /// Runs a command of QEMU's monitor for humans; returns what it printed.
    pub fn monitor(&self, line: &str) -> String {
        let session = self.vm.session();
        let answer = session.and_then(|mut session| session.monitor(line));
        answer.unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        let end = self
            .vm
            .wait(DEADLINE + stress_time())
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

/// Whether QEMU ended before it had answered.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe
    )
}
