//! The tests of a package in virtual machines: each test binary is the program of an image of its own, and [`super::machines`] runs them.
//!
//! A test finds what it finds under cargo: the package's folder at the path that it has on the host, which is its current directory, and
//! the variables `CARGO_…`. The folder is a copy, and so is every data disk: what a test writes there is forgotten.

use super::counts::Counts;
use super::documents::Documents;
use super::machines::{self, Job};
use crate::accel;
use crate::build::{Contents, Format, image_path, write_image};
use crate::claim;
use crate::cli::Test;
use crate::compile::{Executable, Profile, compile_tests};
use crate::disks;
use crate::failure::Failure;
use crate::folder::Listing;
use crate::host;
use crate::metadata;
use crate::mkfs::{self, Request};
use crate::program;
use crate::qemu::{self, Launch, Source};
use crate::settings::{Disk, Overrides, Settings};
use crate::shell::Shell;
use crate::values::{Accel, DiskBus, Size};
use crate::volume::Kind as FileSystem;
use anyhow::{Context, Result, bail};
use cargo_metadata::{Package, TargetKind};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

/// A test harness with its threads wants more than most services.
const MEMORY: Size = Size::mib(256);
/// Bytes that tests can write beside what the package's folder has.
const ROOM: u64 = 512 << 20;
/// What QEMU needs besides the guest's memory, roughly.
const OVERHEAD_BYTES: u64 = 128 << 20;
/// Variables of the host that say how tests run; they go on into the guest.
const PASSED_ON: [&str; 5] = [
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "RUST_LOG",
    "RUST_TEST_NOCAPTURE",
    "RUST_TEST_THREADS",
];

/// Builds and runs the tests of one package.
pub(super) fn run(
    options: &Test,
    workspace: &cargo_metadata::Metadata,
    shell: &Shell,
) -> Result<Counts> {
    let package = package(options, workspace)?;
    qemu::version()?;
    let target_folder = workspace.target_directory.as_std_path();
    let output = target_folder.join("toro");
    let settings = settings(options, package, target_folder, shell)?;
    let manifest = package.manifest_path.as_std_path();
    let metadata = metadata::parse(&package.metadata, manifest)?;
    let mut how = options.how.options(match options.release {
        true => Profile::Release,
        false => Profile::Dev,
    });
    how.has_fat =
        metadata.file_systems.contains(&FileSystem::Fat) || disks::have_fat(&settings.disks);
    let at_once = options
        .jobs
        .map_or_else(|| at_once(&settings), NonZeroUsize::get);
    // A dependency may have the same name.
    let exact = format!("{}@{}", package.name, package.version);
    let words = selection(options);
    let documents = || {
        let has_some = |target: &cargo_metadata::Target| target.is_lib() && target.doctest;
        let is_everything = words == ["--tests"] && !options.tests;
        let are_chosen = is_everything && package.targets.iter().any(has_some);
        if !options.doc && !are_chosen {
            return Ok(Counts::default());
        }
        let tests = Documents {
            manifest,
            package: &exact,
            how: &how,
            settings: &settings,
            at_once,
            options,
        };
        tests.run(&output, shell)
    };
    if options.doc {
        return documents();
    }
    let mut binaries = compile_tests(manifest, &exact, &how, &words, &output, shell)?;
    // As cargo orders them: the library, programs, the files of `tests/`.
    binaries.sort_by_cached_key(|binary| {
        let is = |kind| binary.target.kind.contains(&kind);
        (
            is(TargetKind::Test),
            is(TargetKind::Bin),
            binary.target.name.clone(),
        )
    });
    let accelerator = accel::choose(Accel::Auto)?.accelerator;
    let (folder, _claim) = claim::first_free(&output.join("test"), &package.name)?;
    let mut jobs = Vec::new();
    for binary in &binaries {
        let (title, rerun) = names(binary, package);
        let stem = binary.path.file_stem().unwrap_or_default();
        let elf = image_path(&folder, &stem.to_string_lossy(), Format::Elf);
        // In the image there is room for all that the environment may contain.
        let command_line = settings.command_line(true);
        let memory = Some(settings.memory);
        write_image(
            &binary.path,
            Format::Elf,
            Contents {
                command_line: command_line.as_str(),
                embed: &settings.embed,
            },
            &elf,
            memory,
        )?;
        let source = Source::Kernel {
            elf,
            command_line: String::new(),
        };
        let mut launch = Launch::new(&settings, source, accelerator);
        launch.are_disks_scratch = true;
        jobs.push(Job {
            title,
            rerun,
            launch,
        });
    }
    let limit = Duration::from_secs(options.timeout);
    let outcome = machines::run(&jobs, at_once, limit, !options.no_fail_fast, shell)?;
    for job in &outcome.failed {
        shell.error(format_args!("test failed, to rerun pass `{}`", job.rerun));
    }
    if outcome.left_out > 0 {
        shell.note(format_args!(
            "{} more test binaries were not run; --no-fail-fast runs them all",
            outcome.left_out
        ));
    }
    if outcome.failed.is_empty() || options.no_fail_fast {
        return Ok(outcome.counts + documents()?);
    }
    Ok(outcome.counts)
}

/// The machine that each test binary gets.
fn settings(
    options: &Test,
    package: &Package,
    target_folder: &Path,
    shell: &Shell,
) -> Result<Settings> {
    let manifest = package.manifest_path.as_std_path();
    let metadata = metadata::parse(&package.metadata, manifest)?;
    let folder = manifest.parent().unwrap_or(manifest);
    let overrides = Overrides {
        args: options.args.clone(),
        cores: options.cores,
        env: options.env.clone(),
        embed: options.how.embed.clone(),
        ..Overrides::default()
    };
    let mut settings = Settings::new(&metadata, folder, overrides)?;
    // The program's arguments and ports are not those of its tests.
    settings.args.clone_from(&options.args);
    settings.ports.clear();
    let default = metadata.memory.unwrap_or(MEMORY);
    settings.memory = options.memory.unwrap_or(Size {
        bytes: default.bytes.max(MEMORY.bytes),
    });
    for disk in &settings.disks {
        disks::prepare(disk, shell)?;
    }
    let copy = folder_copy(package, folder, target_folder, shell)?;
    let mount = folder.to_string_lossy().replace('\\', "/");
    // Where the host's paths begin with a drive, the guest's begin with `/`.
    let mount = format!("/{}", mount.trim_start_matches('/'));
    settings.directory = Some(mount.clone());
    settings.disks.push(Disk {
        image: copy,
        from: None,
        size: None,
        mount: Some(mount.clone()),
    });
    settings.disk_bus = DiskBus::Virtio;
    let mut variables = variables(package, &mount);
    variables.retain(|(name, _)| !settings.env.contains_key(name));
    settings.env.extend(variables);
    Ok(settings)
}

/// An image of the package's folder, without what cargo and git keep there, with room for what tests write beside it. The host's disk gives what is written.
fn folder_copy(
    package: &Package,
    folder: &Path,
    target_folder: &Path,
    shell: &Shell,
) -> Result<std::path::PathBuf> {
    let path = target_folder
        .join("toro/test")
        .join(format!("{}.folder.img", package.name));
    let without = [
        target_folder.to_path_buf(),
        folder.join("target"),
        folder.join(".git"),
    ];
    let copy = |listing: Listing| {
        let content: u64 = listing.entries.iter().map(|entry| entry.len_bytes).sum();
        let request = Request {
            is_forced: true,
            size: Some(Size {
                bytes: (content * 2 + ROOM).next_multiple_of(1 << 20),
            }),
            ..Request::default()
        };
        mkfs::write(&path, &listing, &request, shell)
    };
    Listing::read_without(folder, &without)
        .and_then(copy)
        .with_context(|| format!("cannot copy the folder of `{}`", package.name))?;
    Ok(path)
}

/// The variables that cargo sets for tests (The Cargo Book, "Environment Variables"), and the host's that concern tests.
fn variables(package: &Package, folder: &str) -> Vec<(String, String)> {
    let version = &package.version;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let path = |path: &Option<cargo_metadata::camino::Utf8PathBuf>| {
        path.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    let rust_version = package.rust_version.as_ref();
    let of_cargo = [
        ("CARGO_MANIFEST_DIR", folder.to_owned()),
        ("CARGO_MANIFEST_PATH", format!("{folder}/Cargo.toml")),
        ("CARGO_PKG_NAME", package.name.to_string()),
        ("CARGO_PKG_VERSION", version.to_string()),
        ("CARGO_PKG_VERSION_MAJOR", version.major.to_string()),
        ("CARGO_PKG_VERSION_MINOR", version.minor.to_string()),
        ("CARGO_PKG_VERSION_PATCH", version.patch.to_string()),
        ("CARGO_PKG_VERSION_PRE", version.pre.to_string()),
        ("CARGO_PKG_AUTHORS", package.authors.join(":")),
        ("CARGO_PKG_DESCRIPTION", text(&package.description)),
        ("CARGO_PKG_HOMEPAGE", text(&package.homepage)),
        ("CARGO_PKG_REPOSITORY", text(&package.repository)),
        ("CARGO_PKG_LICENSE", text(&package.license)),
        ("CARGO_PKG_LICENSE_FILE", path(&package.license_file)),
        ("CARGO_PKG_README", path(&package.readme)),
        (
            "CARGO_PKG_RUST_VERSION",
            rust_version.map(ToString::to_string).unwrap_or_default(),
        ),
    ];
    let of_host = PASSED_ON
        .into_iter()
        .filter_map(|name| Some((name, std::env::var(name).ok()?)));
    of_cargo
        .into_iter()
        .chain(of_host)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The options of `cargo test` that choose what is tested. Examples are built only to be looked at, so they are left out.
fn selection(options: &Test) -> Vec<String> {
    let mut words = Vec::new();
    words.extend(options.lib.then(|| "--lib".to_owned()));
    words.extend(options.bins.then(|| "--bins".to_owned()));
    for name in &options.bin {
        words.extend(["--bin".to_owned(), name.clone()]);
    }
    for name in &options.test {
        words.extend(["--test".to_owned(), name.clone()]);
    }
    if words.is_empty() || options.tests {
        words.push("--tests".into());
    }
    words
}

/// A binary as cargo names it, and the options that choose it alone.
fn names(binary: &Executable, package: &Package) -> (String, String) {
    let target = &binary.target;
    let folder = package.manifest_path.parent();
    let source = folder
        .and_then(|folder| target.src_path.strip_prefix(folder).ok())
        .unwrap_or(&target.src_path);
    let is = |kind: TargetKind| target.kind.contains(&kind);
    let (unit, choice) = if is(TargetKind::Test) {
        ("", format!("--test {}", target.name))
    } else if is(TargetKind::Bin) {
        ("unittests ", format!("--bin {}", target.name))
    } else if is(TargetKind::Example) {
        ("unittests ", format!("--example {}", target.name))
    } else {
        ("unittests ", "--lib".to_owned())
    };
    (
        format!("{unit}{source}"),
        format!("-p {} {choice}", package.name),
    )
}

/// As many machines as there are cores, and as find room in the host's memory.
fn at_once(settings: &Settings) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let each = settings.memory.bytes.saturating_add(OVERHEAD_BYTES);
    let fitting = host::available_memory().map_or(u64::MAX, |free| free / each);
    cores
        .min(usize::try_from(fitting).unwrap_or(usize::MAX))
        .max(1)
}

fn package<'a>(options: &Test, workspace: &'a cargo_metadata::Metadata) -> Result<&'a Package> {
    let packages = workspace.workspace_packages();
    let found = match &options.package {
        Some(name) => packages
            .iter()
            .find(|package| package.name.as_str() == name),
        None => {
            let manifest = program::manifest(options.how.manifest_path.as_deref())?;
            let is_it = |package: &&&Package| program::is_of(package, &manifest);
            packages.iter().find(is_it)
        }
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
