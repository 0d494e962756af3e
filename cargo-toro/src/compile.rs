//! Runs cargo so that a program comes out linked onto the kernel (ARCHITECTURE.md, "From a program to an image").
//!
//! Flags that every crate of the program needs go by `CARGO_ENCODED_RUSTFLAGS`; what only the last link needs goes to
//! `cargo rustc … -- …`, so that another kernel means another link and not another build of all dependencies.

use crate::claim::{self, Claim};
use crate::failure::Failure;
use crate::image;
use crate::parts::Parts;
use crate::program::{Kind, Program};
use crate::references::References;
use crate::shell::{Shell, quoted};
use crate::undefined;
use crate::user_flags::{flags_of_user, with_flags_of_user};
use crate::volume::Kind as FileSystem;
use crate::{host, host_libraries};
use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use cargo_metadata::diagnostic::DiagnosticLevel;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, IsTerminal};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target of every program: `std` is prebuilt for it, and the kernel is its C library.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Flags for every crate of a program. rustc finds `rust-lld` in its own folder.
const FLAGS: [&str; 6] = [
    "-Clinker=rust-lld",
    "-Clinker-flavor=ld.lld",
    "-Crelocation-model=static",
    "-Ctarget-feature=+crt-static",
    "-Clink-self-contained=no",
    // So that a backtrace in the guest can follow the frames without unwinding tables.
    "-Cforce-frame-pointers=yes",
];

/// How a program is compiled.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// With which profile.
    pub profile: Profile,
    /// Features to turn on.
    pub features: Vec<String>,
    /// Leave the default features off.
    pub no_default_features: bool,
    /// Turn on all features.
    pub all_features: bool,
    /// With the driver for FAT, whether the metadata asks for it or not: there is one on a disk of the machine.
    pub has_fat: bool,
}

/// A profile of cargo's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Profile {
    /// `dev`, for tests `test`.
    #[default]
    Dev,
    /// `release`.
    Release,
    /// One of the Cargo.toml.
    Named(String),
}

impl From<&str> for Profile {
    fn from(name: &str) -> Self {
        match name {
            "dev" => Self::Dev,
            "release" => Self::Release,
            name => Self::Named(name.into()),
        }
    }
}

impl Profile {
    fn name(&self) -> &str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
            Self::Named(name) => name,
        }
    }

    /// For cargo; tests have a profile of their own unless another is chosen.
    fn argument(&self) -> Option<String> {
        match self {
            Self::Dev => None,
            _ => Some(format!("--profile={}", self.name())),
        }
    }

    /// The variable of cargo's that stands for a key of the profile.
    fn variable(&self, key: &str) -> String {
        let name = self.name().to_uppercase().replace('-', "_");
        format!("CARGO_PROFILE_{name}_{key}")
    }
}

/// A linked ELF, which no other command replaces until this is dropped.
#[derive(Debug)]
pub struct Linked {
    path: PathBuf,
    _claim: Claim,
}

impl Deref for Linked {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

/// Compiles and links `program`; waits for another command that does.
pub fn compile(program: &Program, options: &Options, shell: &Shell) -> Result<Linked> {
    let claim = claim::wait(&program.output_folder(), &program.name, shell)?;
    let path = compile_claimed(program, options, shell)?;
    Ok(Linked {
        path,
        _claim: claim,
    })
}

fn compile_claimed(program: &Program, options: &Options, shell: &Shell) -> Result<PathBuf> {
    let folder = program.output_folder();
    let parts = Parts::unpack(&folder)?;
    let references = folder.join(format!("{}.references", program.name));
    let wants_lines = wants_lines(&program.manifest, &options.profile)?;
    let link = |extent: Extent, shown: Shown| -> Result<PathBuf> {
        let mut command = cargo_with("rustc", &program.manifest, &program.package, options);
        command.args(match program.kind {
            Kind::Binary => ["--bin", &program.name],
            Kind::Example => ["--example", &program.name],
        });
        let is_quiet = shell.quiet || shown == Shown::Errors;
        add_output(&mut command, &folder, is_quiet);
        command.arg("--").args(link_arguments(&parts, extent));
        if extent.has_all_system_calls && extent.has_file_systems {
            command.args([
                format!("-Clink-arg=-Map={}", references.display()),
                "-Clink-arg=--cref".into(),
                "-Clink-arg=--no-demangle".into(),
            ]);
        }
        strip(&mut command, &options.profile, wants_lines);
        let messages = run(command, FLAGS.map(str::to_owned).to_vec(), shown, shell);
        let messages = messages.with_context(|| format!("cannot build `{}`", program.name))?;
        let binary = messages.executables.into_iter().next_back();
        Ok(binary.context("cargo made no executable")?.path)
    };
    let whole = Extent {
        has_fat: options.has_fat || program.metadata.file_systems.contains(&FileSystem::Fat),
        ..Extent::WHOLE
    };
    let linked = link(whole, Shown::All)?;
    let bytes =
        std::fs::read(&linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let map = std::fs::read_to_string(&references).unwrap_or_default();
    let references = References::parse(&map);
    let has_all_system_calls =
        references.calls_by_number() || image::has_system_call_instruction(&bytes)?;
    let extent = Extent {
        has_all_system_calls,
        has_all_sockets: has_all_system_calls || references.makes_sockets(),
        has_file_systems: references.uses_files(),
        has_proc: image::names_proc(&bytes),
        has_proc_net: image::names_proc_net(&bytes),
        ..whole
    };
    if extent == whole {
        return Ok(linked);
    }
    shell.status(
        "Linking",
        format_args!("{} with what it needs of the kernel", program.name),
    );
    link(extent, Shown::Errors)
}

/// What is shown of the compiler's messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    All,
    /// The rest was shown before.
    Errors,
}

/// How much of the kernel a program gets, where what leads to much of it is of no use to a small program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    /// The whole table of system calls by number, or what std asks for.
    has_all_system_calls: bool,
    /// Sockets of all kinds, or those that std makes.
    has_all_sockets: bool,
    /// File systems and disks, or nothing but `/dev`.
    has_file_systems: bool,
    /// The driver for FAT.
    has_fat: bool,
    /// `/proc` and `/sys`.
    has_proc: bool,
    /// The network in there.
    has_proc_net: bool,
}

impl Extent {
    const WHOLE: Self = Self {
        has_all_system_calls: true,
        has_all_sockets: true,
        has_file_systems: true,
        has_fat: false,
        has_proc: false,
        has_proc_net: false,
    };
}

/// An executable made of a target.
#[derive(Debug, Clone)]
pub struct Executable {
    /// The target it was made of.
    pub target: cargo_metadata::Target,
    /// The linked ELF.
    pub path: PathBuf,
    /// It is a test harness.
    pub is_test: bool,
}

/// Compiles and links the tests of a package, each target to an executable; `selection` are options of `cargo test` that
/// choose targets, `folder` is Toro's output folder.
pub fn compile_tests(
    manifest: &Path,
    package: &str,
    options: &Options,
    selection: &[String],
    folder: &Path,
    shell: &Shell,
) -> Result<Vec<Executable>> {
    let mut command = cargo_with("test", manifest, package, options);
    command.arg("--no-run").args(selection);
    add_output(&mut command, folder, shell.quiet);
    let wants_lines = wants_lines(manifest, &options.profile)?;
    strip(&mut command, &options.profile, wants_lines);
    let flags = flags_of_tests(options, folder)?;
    let messages = run(command, flags, Shown::All, shell);
    let messages = messages.with_context(|| format!("cannot build the tests of `{package}`"))?;
    Ok(messages
        .executables
        .into_iter()
        .filter(|executable| executable.is_test)
        .collect())
}

/// Tests may want the package's binaries too, so all that is linked gets the kernel.
fn flags_of_tests(options: &Options, folder: &Path) -> Result<Vec<String>> {
    let parts = Parts::unpack(folder)?;
    let whole = Extent {
        has_fat: options.has_fat,
        has_proc: true,
        has_proc_net: true,
        ..Extent::WHOLE
    };
    let flags = FLAGS.map(str::to_owned).into_iter();
    Ok(flags.chain(link_arguments(&parts, whole)).collect())
}

/// The command that has rustdoc compile the doc tests of a package's library, link each and run it by the words of `runner`, with the
/// program's path behind them.
pub fn doc_tests(
    manifest: &Path,
    package: &str,
    options: &Options,
    runner: &[String],
    folder: &Path,
    shell: &Shell,
) -> Result<Command> {
    let mut command = cargo_with("test", manifest, package, options);
    // A list of strings is written alike in JSON and in TOML.
    let runner = serde_json::to_string(runner).context("cannot write the runner's words")?;
    command
        .args(["--doc", "--target", TARGET, "--target-dir"])
        .arg(folder)
        .arg("--config")
        .arg(format!("target.{TARGET}.runner={runner}"));
    let wants_lines = wants_lines(manifest, &options.profile)?;
    strip(&mut command, &options.profile, wants_lines);
    let flags = flags_of_tests(options, folder)?;
    let quiet = Shell {
        quiet: true,
        ..*shell
    };
    let documents = flags_of_user("RUSTDOCFLAGS").unwrap_or_default();
    // Rustdoc compiles examples without debug information; that of std alone would make the link and the start take eight times as long.
    let strip = "-Cstrip=debuginfo".to_owned();
    let documents = flags.iter().cloned().chain([strip]).chain(documents);
    let documents: Vec<String> = documents.collect();
    command
        .env("CARGO_ENCODED_RUSTDOCFLAGS", documents.join("\x1f"))
        .env_remove("RUSTDOCFLAGS")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            with_flags_of_user(flags, &quiet)?.join("\x1f"),
        )
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null());
    shell.command(&command);
    Ok(command)
}

/// Whether a profile of the package's workspace asks for debug information. Without it the sections of std alone would be
/// kept, which are of little use and large.
fn wants_lines(manifest: &Path, profile: &Profile) -> Result<bool> {
    if let Ok(level) = std::env::var(profile.variable("DEBUG")) {
        return Ok(!matches!(level.as_str(), "0" | "false" | "none"));
    }
    let mut command = Command::new(cargo());
    command.args([
        "locate-project",
        "--workspace",
        "--message-format",
        "plain",
        "--manifest-path",
    ]);
    let output = command.arg(manifest).output();
    let output = output.with_context(|| format!("cannot start {}", quoted(&command)))?;
    let root = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let text = std::fs::read_to_string(&root).with_context(|| format!("cannot read {root}"))?;
    let root: toml::Table = text
        .parse()
        .with_context(|| format!("cannot parse {root}"))?;
    Ok(profile_has_lines(&root, profile.name()))
}

/// Whether a profile of a Cargo.toml, or the one that it inherits from, asks for debug information.
fn profile_has_lines<'a>(manifest: &'a toml::Table, mut name: &'a str) -> bool {
    let profiles = manifest.get("profile").and_then(toml::Value::as_table);
    // As many steps as there are profiles, since some may inherit from each other.
    for _ in 0..=profiles.map_or(0, toml::Table::len) {
        let profile = profiles.and_then(|profiles| profiles.get(name));
        match profile.and_then(|profile| profile.get("debug")) {
            None => {}
            Some(toml::Value::Boolean(is_wanted)) => return *is_wanted,
            Some(toml::Value::Integer(level)) => return *level != 0,
            Some(level) => return level.as_str() != Some("none"),
        }
        let parent = profile.and_then(|profile| profile.get("inherits")?.as_str());
        match (name, parent) {
            ("dev" | "test", _) => return true,
            (_, Some(parent)) => name = parent,
            (_, None) => return false,
        }
    }
    false
}

/// Keeps the symbol table, which backtraces need, whatever the profile says, and debug information where it is wanted; images are stripped by
/// the tool.
fn strip(command: &mut Command, profile: &Profile, wants_lines: bool) {
    let value = if wants_lines { "none" } else { "debuginfo" };
    command.env(profile.variable("STRIP"), value);
}

fn cargo_with(verb: &str, manifest: &Path, package: &str, options: &Options) -> Command {
    let mut command = Command::new(cargo());
    command
        .arg(verb)
        .arg("--manifest-path")
        .arg(manifest)
        .args(["--package", package]);
    if !options.features.is_empty() {
        command.args(["--features", &options.features.join(",")]);
    }
    if options.no_default_features {
        command.arg("--no-default-features");
    }
    if options.all_features {
        command.arg("--all-features");
    }
    command.args(options.profile.argument());
    host_libraries::leave_out(&mut command, |name| std::env::var_os(name).is_some());
    command
}

fn add_output(command: &mut Command, folder: &Path, is_quiet: bool) {
    let format = match std::io::stderr().is_terminal() {
        true => "--message-format=json-diagnostic-rendered-ansi",
        false => "--message-format=json",
    };
    command
        .args(["--target", TARGET, format, "--target-dir"])
        .arg(folder);
    if is_quiet {
        command.arg("--quiet");
    }
}

/// Runs cargo.
fn run(mut command: Command, flags: Vec<String>, shown: Shown, shell: &Shell) -> Result<Messages> {
    let quiet = Shell {
        quiet: shell.quiet || shown == Shown::Errors,
        ..*shell
    };
    let flags = with_flags_of_user(flags, &quiet)?;
    command
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env_remove("RUSTFLAGS");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    shell.command(&command);
    let name = quoted(&command);
    let started = host::spawn_beside(command);
    let mut cargo = started.with_context(|| format!("cannot start {name}"))?;
    let output = cargo.stdout.take().context("cargo has no output")?;
    let messages = read_messages(BufReader::new(output), shown, shell);
    let status = cargo.wait().context("cannot wait for cargo")?;
    let messages = messages?;
    if !messages.undefined.is_empty() {
        bail!(undefined::failure(&messages.undefined));
    }
    if !messages.libraries.is_empty() {
        bail!(undefined::no_library(&messages.libraries));
    }
    if !status.success() {
        bail!(Failure::new(
            "cargo could not compile it",
            "the messages above say why"
        ));
    }
    Ok(messages)
}

#[derive(Default)]
struct Messages {
    executables: Vec<Executable>,
    undefined: BTreeMap<String, String>,
    libraries: BTreeSet<String>,
}

/// Shows the compiler's diagnostics, except the linker's about undefined symbols, which become an error of our own.
fn read_messages(output: impl std::io::BufRead, shown: Shown, shell: &Shell) -> Result<Messages> {
    let mut messages = Messages::default();
    for message in Message::parse_stream(output) {
        match message.context("cannot read cargo's messages")? {
            Message::CompilerArtifact(artifact) => {
                messages
                    .executables
                    .extend(artifact.executable.map(|path| Executable {
                        target: artifact.target.clone(),
                        path: path.into_std_path_buf(),
                        is_test: artifact.profile.test,
                    }));
            }
            Message::CompilerMessage(message) => {
                let rendered = message.message.rendered.clone().unwrap_or_default();
                let is_error = message.message.level == DiagnosticLevel::Error;
                let (undefined, libraries) = match is_error {
                    true => (
                        undefined::undefined_symbols(&rendered),
                        undefined::missing_libraries(&rendered),
                    ),
                    false => Default::default(),
                };
                let is_told_better = !undefined.is_empty() || !libraries.is_empty();
                let is_new = is_error || shown == Shown::All;
                if is_new && (!is_told_better || shell.verbose) {
                    // Cargo may be showing its progress on the last line of a terminal.
                    let erase = if std::io::stderr().is_terminal() {
                        "\r\x1b[K"
                    } else {
                        ""
                    };
                    eprint!("{erase}{rendered}");
                }
                messages.undefined.extend(undefined);
                messages.libraries.extend(libraries);
            }
            _ => {}
        }
    }
    Ok(messages)
}

fn link_arguments(parts: &Parts, extent: Extent) -> [String; 15] {
    let choice = |is_whole, whole: &'static str, part| if is_whole { whole } else { part };
    let calls = choice(extent.has_all_system_calls, "all", "few");
    let sockets = choice(extent.has_all_sockets, "all", "no");
    let files = choice(extent.has_file_systems, "all", "no");
    let [fat, proc, net] = [extent.has_fat, extent.has_proc, extent.has_proc_net]
        .map(|is_there| choice(is_there, "with", "without"));
    [
        format!("-Clink-arg={}", parts.kernel.display()),
        format!("-Clink-arg=-T{}", parts.script.display()),
        // Not as arguments of the linker, which come last: a crate that looks for libraries where the host's are would have its `libc.a`.
        format!("-Lnative={}", parts.libraries.display()),
        format!("-Lnative={}", parts.cplusplus.display()),
        "-Clink-arg=--eh-frame-hdr".into(),
        "-Clink-arg=--gc-sections".into(),
        // All undefined symbols are named at once, not the first twenty.
        "-Clink-arg=--error-limit=0".into(),
        // Equal functions are kept once.
        "-Clink-arg=--icf=all".into(),
        format!("-Clink-arg=--defsym=toro_system_calls=toro_{calls}_system_calls"),
        format!("-Clink-arg=--defsym=toro_further_sockets=toro_{sockets}_further_sockets"),
        format!("-Clink-arg=--defsym=toro_socket_requests=toro_{sockets}_socket_requests"),
        format!("-Clink-arg=--defsym=toro_file_systems=toro_{files}_file_systems"),
        format!("-Clink-arg=--defsym=toro_fat=toro_{fat}_fat"),
        format!("-Clink-arg=--defsym=toro_proc=toro_{proc}_proc"),
        format!("-Clink-arg=--defsym=toro_proc_net=toro_{net}_proc_net"),
    ]
}

/// The cargo that called us, or the one on the path.
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::profile_has_lines;

    #[test]
    fn lines_are_kept_where_the_profile_asks_for_them() {
        let asks_of =
            |text: &str, name| profile_has_lines(&text.parse().expect("a manifest"), name);
        let asks = |text: &str| asks_of(text, "release");
        assert!(!asks("[package]\nname = \"sample\""));
        for level in ["true", "1", "2", "\"limited\"", "\"line-tables-only\""] {
            assert!(
                asks(&format!("[profile.release]\ndebug = {level}")),
                "{level}"
            );
        }
        for level in ["false", "0", "\"none\""] {
            assert!(
                !asks(&format!("[profile.release]\ndebug = {level}")),
                "{level}"
            );
        }
        assert!(!asks("[profile.dev]\ndebug = true"));
        assert!(asks_of("", "dev"));
        assert!(!asks_of("[profile.dev]\ndebug = 0", "dev"));
        let inherits = "[profile.release]\ndebug = 1\n[profile.small]\ninherits = \"release\"\n[profile.bare]\ninherits = \"small\"\ndebug = false";
        assert!(asks_of(inherits, "small"));
        assert!(!asks_of(inherits, "bare"));
        let endless = "[profile.a]\ninherits = \"b\"\n[profile.b]\ninherits = \"a\"";
        assert!(!asks_of(endless, "a"));
    }
}
