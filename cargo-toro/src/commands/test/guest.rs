//! The tests of a crate in virtual machines: each test binary is the program of an image of its own.

use super::counts::Counts;
use crate::accel;
use crate::build::bootable;
use crate::cli::Test;
use crate::commands::run::exit_code_of;
use crate::compile::{Executable, compile_tests};
use crate::disks;
use crate::failure::Failure;
use crate::metadata;
use crate::qemu::{self, Launch};
use crate::settings::{Overrides, Settings};
use crate::shell::Shell;
use crate::values::{Accel, Boot, Size};
use crate::vm::Vm;
use anyhow::{Result, bail};
use cargo_metadata::Package;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A test harness with its threads wants more than most services.
const MEMORY: Size = Size::mib(256);

/// Builds and runs the tests of one package.
pub(super) fn run(
    options: &Test,
    workspace: &cargo_metadata::Metadata,
    shell: &Shell,
) -> Result<Counts> {
    let package = package(options, workspace)?;
    let manifest = package.manifest_path.as_std_path();
    let metadata = metadata::parse(&package.metadata, manifest)?;
    let folder = manifest.parent().unwrap_or(manifest);
    let overrides = Overrides {
        args: options.args.clone(),
        embed: options.how.embed.clone(),
        ..Overrides::default()
    };
    let mut settings = Settings::new(&metadata, folder, overrides)?;
    // The program's arguments and ports are not those of its tests.
    settings.args.clone_from(&options.args);
    settings.ports.clear();
    settings.memory = metadata.memory.unwrap_or(MEMORY).max(MEMORY);
    qemu::version()?;
    for disk in &settings.disks {
        disks::prepare(disk, shell)?;
    }
    let output = workspace.target_directory.as_std_path().join("toro");
    let binaries = compile_tests(
        manifest,
        &package.name,
        &options.how.options(options.release),
        &output,
        shell,
    )?;
    if package
        .targets
        .iter()
        .any(|target| target.is_lib() && target.doctest)
    {
        shell.note("doc tests are left out: rustdoc builds them, not cargo");
    }
    let mut counts = Counts::default();
    for binary in binaries {
        let source = bootable(
            &binary.path,
            &binary.name,
            &output.join("test"),
            &settings,
            Some(Boot::Kernel),
        )?;
        let launch = Launch::new(&settings, source, accel::choose(Accel::Auto)?.accelerator);
        counts = counts
            + in_machine(
                &launch,
                &binary,
                Duration::from_secs(options.timeout),
                shell,
            )?;
    }
    Ok(counts)
}

fn in_machine(
    launch: &Launch,
    binary: &Executable,
    limit: Duration,
    shell: &Shell,
) -> Result<Counts> {
    shell.status(
        "Testing",
        format_args!("{} in a virtual machine", binary.name),
    );
    let record = Arc::new(Mutex::new(Vec::new()));
    let recorder = Arc::clone(&record);
    let show = move |bytes: &[u8]| {
        // Whoever reads this may have gone; the tests go on.
        let _ = std::io::stdout()
            .write_all(bytes)
            .and_then(|()| std::io::stdout().flush());
        recorder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
    };
    let mut vm = Vm::start_with(launch, Some(Box::new(show)))?;
    let code = match vm.end_within(limit) {
        Some(end) => exit_code_of(end, shell),
        None => {
            vm.kill();
            shell.error(format_args!(
                "{} ran out of its time of {} s",
                binary.name,
                limit.as_secs()
            ));
            1
        }
    };
    let record = record.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Counts::of_output(
        &String::from_utf8_lossy(&record),
        code == 0,
    ))
}

fn package<'a>(options: &Test, workspace: &'a cargo_metadata::Metadata) -> Result<&'a Package> {
    let packages = workspace.workspace_packages();
    let found = match &options.package {
        Some(name) => packages
            .iter()
            .find(|package| package.name.as_str() == name),
        None => workspace
            .root_package()
            .and_then(|root| packages.iter().find(|package| package.id == root.id)),
    };
    if let Some(package) = found {
        return Ok(package);
    }
    let names: Vec<_> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let message = match &options.package {
        Some(name) => format!("there is no package `{name}`"),
        None => "this is a workspace, not a package".to_owned(),
    };
    bail!(Failure::new(
        message,
        format!("name one of these with -p: {}", names.join(", "))
    ))
}
