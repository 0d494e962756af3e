//! Doc tests: rustdoc compiles the examples of a library's documentation and runs each by a command, which is this tool again
//! (`doc-test`): it makes an image of the program and starts a machine.

use super::counts::Counts;
use super::suite;
use crate::accel;
use crate::build::{Contents, Format, write_image};
use crate::cli::{DocTest, Test};
use crate::commands::run::{console, exit_code_of};
use crate::compile::{self, Options};
use crate::failure::exit_code;
use crate::interrupt;
use crate::qemu::{Launch, Network, Screen, Source};
use crate::settings::{Embed, Settings};
use crate::shell::Shell;
use crate::values::Accel;
use crate::vm::Vm;
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often is looked whether the test shall end.
const LOOK: Duration = Duration::from_millis(100);

/// The doc tests of a package.
#[derive(Debug)]
pub(super) struct Documents<'a> {
    pub(super) manifest: &'a Path,
    /// By name and version.
    pub(super) package: &'a str,
    pub(super) how: &'a Options,
    /// The machine of each.
    pub(super) settings: &'a Settings,
    pub(super) at_once: usize,
    pub(super) options: &'a Test,
}

impl Documents<'_> {
    /// Has rustdoc run them.
    pub(super) fn run(&self, folder: &Path, shell: &Shell) -> Result<Counts> {
        interrupt::watch()?;
        let runner = self.runner()?;
        let mut command = compile::doc_tests(
            self.manifest,
            self.package,
            self.how,
            &runner,
            folder,
            shell,
        )?;
        if !self.options.args.is_empty() {
            command.arg("--").args(&self.options.args);
        }
        if std::env::var_os("RUST_TEST_THREADS").is_none() {
            command.env("RUST_TEST_THREADS", self.at_once.to_string());
        }
        // Rustdoc leaves its files when it is interrupted.
        let place = folder.join("test");
        let files = std::fs::create_dir_all(&place).and_then(|()| tempfile::tempdir_in(&place));
        let files =
            files.with_context(|| format!("cannot make a folder in {}", place.display()))?;
        for variable in ["TMPDIR", "TMP"] {
            command.env(variable, files.path());
        }
        suite::tests(&mut command)
    }

    /// The words that start a machine for the program whose path comes behind them.
    fn runner(&self) -> Result<Vec<String>> {
        let tool = std::env::current_exe().context("the path of this tool is not known")?;
        let settings = self.settings;
        // The arguments are rustdoc's.
        let command_line = Settings {
            args: Vec::new(),
            ..settings.clone()
        }
        .command_line(true);
        let mut words = vec![
            tool.to_string_lossy().into_owned(),
            "toro".into(),
            "doc-test".into(),
        ];
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        option("machine", name(&settings.machine));
        option("memory", settings.memory.option());
        option("cores", settings.cores.to_string());
        option("nic", name(&settings.nic));
        option("disk-bus", name(&settings.disk_bus));
        option("address", settings.address.to_string());
        // Rustdoc runs it in the package's folder, wherever the user is.
        let absolute = |path: &Path| {
            let path = std::path::absolute(path);
            path.map(|path| path.to_string_lossy().into_owned())
                .context("the current folder is not known")
        };
        for disk in &settings.disks {
            option("disk", absolute(&disk.image)?);
        }
        for Embed { folder, path } in &settings.embed {
            option("embed", format!("{}:{path}", absolute(folder)?));
        }
        option("command-line", command_line.as_str().into());
        option("timeout", self.options.timeout.to_string());
        Ok(words)
    }
}

/// A value as the command line has it.
fn name(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

/// Runs the program of a doc test; ends with its status.
pub(in crate::commands) fn run_one(options: &DocTest, shell: &Shell) -> Result<u8> {
    interrupt::watch()?;
    let embed = options.embed.iter().map(|option| Embed {
        folder: option.folder.clone().into(),
        path: option.path.clone(),
    });
    // It lies where rustdoc makes its own files, and goes with these.
    let elf = options.elf.with_extension("toro");
    write_image(
        &options.elf,
        Format::Elf,
        Contents {
            command_line: &options.command_line,
            embed: &Vec::from_iter(embed),
        },
        &elf,
        Some(options.memory),
    )?;
    let launch = Launch {
        machine: options.machine,
        accelerator: accel::choose(Accel::Auto)?.accelerator,
        memory: options.memory,
        cores: options.cores,
        source: Source::Kernel {
            elf,
            command_line: String::new(),
        },
        disk_bus: options.disk_bus,
        disks: options.disk.clone(),
        are_disks_scratch: true,
        nic: options.nic,
        network: Network::User(Vec::new()),
        address: options.address,
        screen: Screen::None,
        extra: Vec::new(),
    };
    let mut vm = Vm::start_with(&launch, Some(console(shell)))?;
    let deadline = Instant::now() + Duration::from_secs(options.timeout);
    loop {
        if let Some(end) = vm.end_within(LOOK) {
            return Ok(exit_code_of(end, shell));
        }
        if interrupt::count() > 0 {
            vm.kill();
            return Ok(exit_code::INTERRUPTED);
        }
        if Instant::now() >= deadline {
            vm.kill();
            let seconds = options.timeout;
            shell.error(format_args!(
                "the test ran out of its time of {seconds} s (--timeout)"
            ));
            return Ok(exit_code::TIMED_OUT);
        }
    }
}
