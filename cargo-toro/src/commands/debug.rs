//! `cargo toro debug`: a program with lines and names in a machine that waits for gdb.
//!
//! gdb is told to run to the kernel's first function: from there on all of the image is in memory, so that breakpoints of
//! every kind hold, also where the hypervisor writes them into the code.

use super::run::{console, exit_code_of};
use crate::accel;
use crate::build;
use crate::claim;
use crate::cli::Debug;
use crate::compile::{self, Profile};
use crate::disks;
use crate::failure::{Failure, exit_code};
use crate::interrupt;
use crate::settings::{Overrides, Settings};
use crate::shell::{Shell, answer, quoted};
use crate::vm::{End, Vm};
use anyhow::{Context, Result, bail};
use object::{Object, ObjectSymbol};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The kernel's first function in Rust: memory is set up as it stays for the image's own addresses.
const FIRST_FUNCTION: &str = "toro_kernel::start::start";
/// The port that gdb's manual and QEMU's `-s` use.
const USUAL_PORT: u16 = 1234;
/// How often Ctrl-C is looked for.
const TICK: Duration = Duration::from_millis(50);
/// How long a guest that was let go by gdb may take to end by itself.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Builds, starts the machine paused, and gives the terminal to gdb.
pub(super) fn run(options: &Debug, shell: &Shell) -> Result<u8> {
    let gdb = match options.no_gdb {
        true => None,
        false => Some(find_gdb(options.gdb.as_deref())?),
    };
    let program = options.choice.find(options.how.manifest_path.as_deref())?;
    let overrides = Overrides {
        embed: options.how.embed.clone(),
        ..options.vm.overrides(&options.args)
    };
    let settings = Settings::new(&program.metadata, program.folder(), overrides)?;
    let choice = accel::choose(options.vm.guest.accel)?;
    crate::qemu::version()?;
    let (folder, _claim) =
        claim::first_free(&program.output_folder().join("debug"), &program.name)?;
    let mut how = options.how.options(Profile::Dev);
    how.has_fat = disks::have_fat(&settings.disks);
    let (boot, accelerator) = (options.vm.boot, choice.accelerator);
    let mut launch = build::launch(&program, &how, &settings, boot, accelerator, &folder, shell)?;
    // Linked already: cargo only tells where.
    let quiet = Shell {
        quiet: true,
        ..*shell
    };
    let linked = compile::compile(&program, &how, &quiet)?;
    let port = match options.gdb_port {
        Some(port) => free_port(port)?,
        None if options.no_gdb => free_port(USUAL_PORT)?,
        None => free_port(0)?,
    };
    launch.extra.clone_from(&options.vm.qemu_arg);
    let stub = format!("tcp:127.0.0.1:{port}");
    launch
        .extra
        .extend(["-gdb".into(), stub.into(), "-S".into()]);
    let first = address_of(&linked, FIRST_FUNCTION)?;
    let arguments = gdb_arguments(&linked, port, first, &options.gdb_arg);
    if options.vm.dry_run {
        answer(quoted(&launch.command("none")?))?;
        answer(quoted(Command::new("gdb").args(&arguments)))?;
        return Ok(0);
    }
    interrupt::watch()?;
    let mut vm = Vm::start_with(&launch, Some(console(shell)))?;
    wait_for_stub(&mut vm, port, shell)?;
    let Some(gdb) = gdb else {
        shell.status(
            "Waiting",
            format_args!(
                "{} stands before its first instruction; Ctrl-C ends it",
                program.name
            ),
        );
        answer(quoted(Command::new("gdb").args(&arguments)))?;
        return Ok(follow(&mut vm, shell));
    };
    let mut command = Command::new(&gdb);
    command.args(&arguments);
    shell.status(
        "Debugging",
        format_args!(
            "{}: try `break main`, `continue`, `backtrace`; `quit` ends the machine",
            program.name
        ),
    );
    shell.command(&command);
    // In the tool's own process group: the terminal, and its Ctrl-C, are gdb's.
    let status = command
        .status()
        .with_context(|| format!("`{}` cannot be started", gdb.display()))?;
    Ok(match vm.end_within(LAST_WORDS) {
        Some(End::Exited(status)) => status,
        _ if status.success() => 0,
        _ => exit_code::ERROR,
    })
}

/// Waits for the end of the machine, or Ctrl-C.
fn follow(vm: &mut Vm, shell: &Shell) -> u8 {
    loop {
        if let Some(end) = vm.end_within(TICK) {
            return exit_code_of(end, shell);
        }
        if interrupt::count() > 0 {
            vm.kill();
            return exit_code::INTERRUPTED;
        }
    }
}

/// The words for gdb: symbols, connection, and the stop from which on breakpoints hold.
fn gdb_arguments(linked: &Path, port: u16, first: u64, more: &[String]) -> Vec<String> {
    let mut words = vec!["-q".to_owned(), linked.display().to_string()];
    let mut execute = |line: String| words.extend(["-ex".to_owned(), line]);
    execute("set confirm off".into());
    execute("set backtrace past-main on".into());
    execute("set architecture i386:x86-64".into());
    execute(format!("target remote 127.0.0.1:{port}"));
    execute(format!("thbreak *{first:#x}"));
    execute("continue".into());
    words.extend(more.iter().cloned());
    words
}

/// The address of a function of the kernel in a linked program.
fn address_of(linked: &Path, name: &str) -> Result<u64> {
    let bytes =
        std::fs::read(linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let file =
        object::File::parse(&*bytes).with_context(|| format!("{} is no ELF", linked.display()))?;
    let is_it = |symbol: &object::Symbol<'_, '_>| {
        let mangled = symbol.name().unwrap_or_default();
        format!("{:#}", rustc_demangle::demangle(mangled)) == name
    };
    let symbol = file.symbols().find(is_it);
    Ok(symbol
        .with_context(|| format!("{} has no symbol {name}", linked.display()))?
        .address())
}

/// `port`, or for 0 one that is free now.
fn free_port(port: u16) -> Result<u16> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => Ok(listener.local_addr()?.port()),
        Err(error) => bail!(Failure::new(
            format!("port {port} for gdb cannot be used: {error}"),
            "choose another by --gdb-port"
        )),
    }
}

/// QEMU has its stub ready some time after it started; one that ended says why.
fn wait_for_stub(vm: &mut Vm, port: u16, shell: &Shell) -> Result<()> {
    for _ in 0..200 {
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            return Ok(());
        }
        if let Some(end) = vm.end_within(TICK) {
            exit_code_of(end, shell);
            bail!("QEMU ended before gdb could be connected");
        }
    }
    bail!("QEMU did not open its port for gdb")
}

/// The gdb to use: what was asked for, else `rust-gdb`, which shows Rust's types well, else `gdb`.
fn find_gdb(wish: Option<&Path>) -> Result<PathBuf> {
    let works = |program: &Path| {
        let mut command = Command::new(program);
        command
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let candidates = match wish {
        Some(gdb) => vec![gdb.to_path_buf()],
        None => vec!["rust-gdb".into(), "gdb".into()],
    };
    if let Some(gdb) = candidates.into_iter().find(|gdb| works(gdb)) {
        return Ok(gdb);
    }
    let help = "install gdb: `apt-get install gdb`, `dnf install gdb`, `pacman -S gdb`, `brew install gdb`; or use --no-gdb, \
                which waits for a debugger of another kind, such as an editor's";
    match wish {
        Some(gdb) => bail!(Failure::new(
            format!("`{}` does not start", gdb.display()),
            help
        )),
        None => bail!(Failure::new("there is no gdb", help)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gdb_connects_and_runs_to_the_kernel_before_what_the_user_wants() {
        let words = gdb_arguments(
            Path::new("/t/web"),
            4321,
            0x1000,
            &["-ex".into(), "bt".into()],
        );
        let line = words.join(" ");
        assert!(line.starts_with("-q /t/web "), "{line}");
        assert!(
            line.contains("target remote 127.0.0.1:4321 -ex thbreak *0x1000 -ex continue"),
            "{line}"
        );
        assert!(line.ends_with("continue -ex bt"), "{line}");
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = free_port(port).unwrap_err().to_string();
        assert!(error.contains(&port.to_string()), "{error}");
    }
}
