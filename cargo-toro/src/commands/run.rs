//! `cargo toro run`: builds a program, starts it in a virtual machine, hands on its console and its exit status.

use crate::accel;
use crate::build;
use crate::claim;
use crate::cli::{Run, VmOptions};
use crate::failure::{Failure, exit_code};
use crate::host;
use crate::interrupt;
use crate::qemu::{self, Launch, Network, Screen};
use crate::settings::{Overrides, Settings};
use crate::shell::{CANNOT_WRITE, Shell, answer, quoted};
use crate::terminal::{self, Terminal};
use crate::values::{Display, Machine, Nic, Port, Protocol};
use crate::vm::{End, Sink, Vm};
use anyhow::{Context, Result, bail};
use std::io::{self, IsTerminal, Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

/// How long a guest may take to end after its power button was pressed.
const POWER_OFF: Duration = Duration::from_secs(3);
/// How often Ctrl-C is looked for.
const TICK: Duration = Duration::from_millis(50);
/// The ports that a VNC viewer looks at.
const VNC_PORTS: std::ops::Range<u16> = 5900..6000;

/// Builds and runs; returns the guest's exit status, or one of [`exit_code`].
pub(super) fn run(options: &Run, shell: &Shell) -> Result<u8> {
    let which = &options.which;
    let program = which.find()?;
    let overrides = Overrides {
        embed: which.how.embed.clone(),
        terminal: terminal::size(),
        ..options.vm.overrides(&options.args)
    };
    let settings = Settings::new(&program.metadata, program.folder(), overrides)?;
    let choice = accel::choose(options.vm.guest.accel)?;
    shell.detail(
        "Accelerator",
        format_args!("{:?}: {}", choice.accelerator, choice.reason),
    );
    if !options.vm.dry_run {
        qemu::version()?;
        match &options.vm.tap {
            Some(name) => check_tap(name)?,
            None => settings.ports.iter().try_for_each(check_port)?,
        }
    }
    let (folder, _claim) = claim::first_free(&program.output_folder().join("run"), &program.name)?;
    let (how, accelerator) = (which.options(), choice.accelerator);
    let mut launch = build::launch(
        &program,
        &how,
        &settings,
        options.vm.boot,
        accelerator,
        &folder,
        shell,
    )?;
    if let Some(name) = &options.vm.tap {
        let queues = options.vm.queues;
        if queues > 1 && (launch.nic != Nic::Virtio || launch.machine == Machine::Microvm) {
            bail!(Failure::new(
                format!("{queues} queues need a network card that has them"),
                "leave out --queues, or choose --nic virtio and a machine with PCI: --machine pc or q35"
            ));
        }
        launch.network = Network::Tap {
            name: name.clone(),
            queues,
        };
    }
    launch.screen = screen(options.vm.display)?;
    launch.extra.clone_from(&options.vm.qemu_arg);
    if options.vm.dry_run {
        let control = host::Control::new()?;
        answer(quoted(&launch.command(&control.option())?))?;
        return Ok(0);
    }
    execute(&launch, &program.name, &options.vm, shell)
}

fn screen(display: Display) -> Result<Screen> {
    Ok(match display {
        Display::None => Screen::None,
        Display::Window => Screen::Window,
        Display::Vnc => {
            let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
            let port = VNC_PORTS.into_iter().find(is_free);
            Screen::Vnc(port.context("no port from 5900 to 5999 is free for VNC")?)
        }
    })
}

/// An error that names the port if another program of this host has it.
pub(super) fn check_port(port: &Port) -> Result<()> {
    let place = (port.address, port.host);
    let result = match port.protocol {
        Protocol::Tcp => TcpListener::bind(place).map(drop),
        Protocol::Udp => UdpSocket::bind(place).map(drop),
    };
    let Err(error) = result else { return Ok(()) };
    let what = format!("port {} of this host", port.host);
    let help = format!("choose another with --publish HOST:{}", port.guest);
    let message = match error.kind() {
        io::ErrorKind::AddrInUse => format!("{what} is taken by another program"),
        io::ErrorKind::PermissionDenied => format!("{what} is reserved for the administrator"),
        _ => format!("{what} cannot be used: {error}"),
    };
    bail!(Failure::new(message, help))
}

/// An error for a tap interface that is not there: QEMU would make one that leads nowhere.
fn check_tap(name: &str) -> Result<()> {
    if host::may_have_interface(name) {
        return Ok(());
    }
    let message = format!("there is no network interface `{name}`");
    let help = format!(
        "make it first, on Linux: `ip tuntap add {name} mode tap user $USER; ip link set {name} up`"
    );
    bail!(Failure::new(message, help))
}

/// Time that QEMU takes to end when it could not start.
const LAST_WORDS: Duration = Duration::from_secs(2);

fn execute(launch: &Launch, name: &str, options: &VmOptions, shell: &Shell) -> Result<u8> {
    interrupt::watch()?;
    let mut vm = Vm::start_with(launch, Some(console(shell)))?;
    shell.detail(
        "Running",
        format_args!("`{}`", quoted(&launch.command(&vm.control())?)),
    );
    shell.status(
        "Running",
        format_args!("{name} in a virtual machine with {}", launch.memory),
    );
    if let Err(error) = announce(launch, &vm, shell) {
        // A machine that has ended already says why better.
        return match vm.end_within(LAST_WORDS) {
            Some(end) => Ok(exit_code_of(end, shell)),
            None => Err(error),
        };
    }
    let deadline = options
        .timeout
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut terminal = Terminal::default();
    loop {
        if let Some(end) = vm.end_within(TICK) {
            return Ok(exit_code_of(end, shell));
        }
        if let Some(wishes) = vm.wishes() {
            terminal.adapt(wishes);
            // What comes before the guest has set up its port may be lost; and what no program asks for is left to others.
            if let Some(mut input) = vm.take_input() {
                // Ends with the process: a read of the terminal cannot be called off.
                std::thread::spawn(move || drop(copy_typed(&mut io::stdin().lock(), &mut input)));
            }
        }
        if interrupt::count() > 0 {
            return Ok(match power_off(&mut vm, launch.machine, shell) {
                End::Exited(status) => status,
                End::Crashed { .. } => exit_code::INTERRUPTED,
            });
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            vm.kill();
            shell.error(format_args!(
                "{name} ran out of its time of {} s",
                options.timeout.unwrap_or_default()
            ));
            return Ok(exit_code::TIMED_OUT);
        }
    }
}

/// The exit code for the end of a machine; says so if it is not the program's own.
pub(super) fn exit_code_of(end: End, shell: &Shell) -> u8 {
    match end {
        End::Exited(status) => status,
        // So QEMU ends when it cannot make the machine, and says why.
        End::Crashed { qemu, messages } if qemu.code() == Some(1) && !messages.is_empty() => {
            shell.error(format_args!("QEMU cannot start the machine: {messages}"));
            shell.help(way_out(&messages));
            exit_code::ERROR
        }
        End::Crashed { qemu, messages } => {
            let messages = if messages.is_empty() {
                messages
            } else {
                format!(": {messages}")
            };
            let message = "the virtual machine ended without an exit status of the program";
            shell.error(format_args!("{message} (QEMU: {qemu}){messages}"));
            shell.help("what it printed last may say why; `--log debug` lets the kernel say more");
            exit_code::CRASHED
        }
    }
}

/// What to do about what QEMU could not do.
fn way_out(messages: &str) -> &'static str {
    if messages.contains("\"write\" lock") {
        "another virtual machine has the disk: end that one, or give this one a copy"
    } else if messages.contains("host forwarding rule") {
        "another program took the port meanwhile: choose another with --publish"
    } else {
        "the message is QEMU's own; --verbose shows its command line"
    }
}

/// Writes the console to standard output; if that takes no more, it counts as a Ctrl-C.
pub(super) fn console(shell: &Shell) -> Sink {
    let shell = *shell;
    let mut lines = Lines::default();
    let is_terminal = io::stdout().is_terminal();
    let mut is_open = true;
    Box::new(move |bytes| {
        let mut output = io::stdout().lock();
        let written = match is_terminal {
            true => output.write_all(bytes),
            false => output.write_all(&lines.of_a_file(bytes)),
        };
        let Err(error) = written.and_then(|()| output.flush()) else {
            return;
        };
        // Who reads may have seen enough, as `head` does.
        if is_open && error.kind() != io::ErrorKind::BrokenPipe {
            shell.error(format_args!("{CANNOT_WRITE}: {error}"));
        }
        is_open = false;
        interrupt::raise();
    })
}

/// Lines as a program writes them: its console ends each with a carriage return too, for terminals.
#[derive(Debug, Default)]
struct Lines {
    /// The last piece ended with a carriage return, which is not written yet.
    is_returned: bool,
}

impl Lines {
    /// The piece `bytes` as it goes into a file or a pipe; an empty one is the last.
    fn of_a_file(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut written = Vec::with_capacity(bytes.len() + 1);
        if std::mem::take(&mut self.is_returned) && bytes.first() != Some(&b'\n') {
            written.push(b'\r');
        }
        let mut rest = bytes.iter().copied().peekable();
        while let Some(byte) = rest.next() {
            match (byte, rest.peek()) {
                (b'\r', Some(b'\n')) => {}
                (b'\r', None) => self.is_returned = true,
                _ => written.push(byte),
            }
        }
        written
    }
}

/// Tells where the published ports and the screen are.
fn announce(launch: &Launch, vm: &Vm, shell: &Shell) -> Result<()> {
    if let Screen::Vnc(port) = launch.screen {
        shell.status(
            "Showing",
            format_args!("the screen on VNC, 127.0.0.1:{port}"),
        );
    }
    let Network::User(ports) = &launch.network else {
        return Ok(());
    };
    for port in ports {
        let host = match port.host {
            0 => vm
                .host_port(port.protocol, port.guest)
                .context("cannot learn the published port")?,
            host => host,
        };
        let address = if port.address.is_unspecified() {
            Ipv4Addr::LOCALHOST
        } else {
            port.address
        };
        match (port.protocol, port.guest) {
            (Protocol::Tcp, 80 | 8000 | 8080) => {
                shell.status("Publishing", format_args!("http://{address}:{host}/"));
            }
            (protocol, guest) => {
                let protocol = if protocol == Protocol::Tcp {
                    "TCP"
                } else {
                    "UDP"
                };
                shell.status(
                    "Publishing",
                    format_args!("{protocol} {address}:{host} as port {guest} of the guest"),
                );
            }
        }
    }
    Ok(())
}

/// Asks the guest to end; kills it when it does not, or at the next Ctrl-C.
fn power_off(vm: &mut Vm, machine: Machine, shell: &Shell) -> End {
    if machine == Machine::Microvm {
        // Without ACPI it has no power button.
        return vm.kill();
    }
    shell.status("Stopping", "(Ctrl-C again to end it at once)");
    let seen = interrupt::count();
    if let Err(error) = vm.power_button() {
        shell.detail(
            "Stopping",
            format_args!("the power button does not work: {error}"),
        );
        return vm.kill();
    }
    let deadline = Instant::now() + POWER_OFF;
    while Instant::now() < deadline && interrupt::count() == seen {
        if let Some(end) = vm.end_within(TICK) {
            return end;
        }
    }
    vm.kill()
}

/// So many ends in a row are of a terminal that has gone: nobody types them.
const GONE: u32 = 100;

/// Copies standard input to the guest. On a terminal more may come after an end.
fn copy_typed(from: &mut io::StdinLock<'_>, to: &mut impl Write) -> io::Result<()> {
    let is_terminal = from.is_terminal();
    let mut buffer = [0; 1024];
    let mut ends = 0;
    while ends < GONE {
        let count = from.read(&mut buffer)?;
        ends = if count == 0 { ends + 1 } else { 0 };
        if terminal::is_way_out(&buffer[..count]) {
            interrupt::raise();
            continue;
        }
        to.write_all(&terminal::as_typed(&buffer[..count], !is_terminal))?;
        to.flush()?;
        if count == 0 && !is_terminal {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn a_file_gets_what_the_program_wrote_however_it_comes_in_pieces() {
        let console = b"one\r\n\r\ntwo\r\r\nthree\rfour\r";
        for length in 1..=console.len() {
            let mut lines = Lines::default();
            let mut file = Vec::new();
            for piece in console.chunks(length) {
                file.extend(lines.of_a_file(piece));
            }
            file.extend(lines.of_a_file(b""));
            assert_eq!(file, b"one\n\ntwo\r\nthree\rfour\r", "{length}");
        }
    }
}
