//! Threads, wake-ups, messages and memory, each against the same program on Linux in the same emulator.

use super::linux::{self, Linux};
use super::report::{Figure, Report, Unit};
use super::subject::{Bench, Way};
use crate::accel;
use crate::qemu::{Launch, Network, Source};
use crate::settings::{Overrides, Settings};
use crate::values::{Machine, Nic, Size};
use crate::vm::Vm;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;

/// The program, in this repository.
const PROGRAM: &str = "bench-cores";
/// Enough for both systems.
const MEMORY: Size = Size::mib(256);
const PATIENCE: Duration = Duration::from_secs(300);
/// What it prints last.
const LAST: &str = "figures end";
/// What has a goal: so many times faster than Linux.
const GOAL: f64 = 5.0;
const WITH_GOAL: [&str; 4] = [
    "thread switch",
    "thread start and join",
    "wake on the same core",
    "wake on another core",
];

/// Measures both, one after the other.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let subject = bench.build(PROGRAM)?;
    bench
        .shell
        .status("Measuring", format_args!("cores on Toro"));
    let mut guest = bench
        .plain_machine(&subject, Way::PC_PVH, None)?
        .start(None)?;
    let toro = figures(&mut guest.vm)?;
    drop(guest);
    let manifest = subject.manifest();
    let there =
        linux::guest(PROGRAM, manifest, &subject.cache_folder(), &bench.shell).and_then(|linux| {
            bench
                .shell
                .status("Measuring", format_args!("cores on Linux"));
            figures(&mut Vm::start(&launch(&linux, manifest)?)?)
        });
    let there = match there {
        Ok(there) => there,
        Err(error) => {
            bench.shell.note(format_args!("{error:#}"));
            Vec::new()
        }
    };
    for (name, value) in &toro {
        let figure = Figure::new(name.clone(), *value, Unit::Nanoseconds);
        let other = there.iter().find(|(other, _)| other == name);
        report.add(match other {
            Some((_, other)) => {
                let has_goal = WITH_GOAL.contains(&name.as_str());
                figure.against("Linux", *other, has_goal.then_some(GOAL))
            }
            None => figure,
        });
    }
    Ok(())
}

/// The machine that Toro has, with Linux in it.
fn launch(linux: &Linux, manifest: &Path) -> Result<Launch> {
    let overrides = Overrides {
        memory: Some(MEMORY),
        cores: Some(2),
        machine: Some(Machine::Pc),
        nic: Some(Nic::None),
        ..Overrides::default()
    };
    let folder = manifest.parent().unwrap_or(manifest);
    let settings = Settings::new(&crate::metadata::Metadata::default(), folder, overrides)?;
    let source = Source::Kernel {
        elf: linux.kernel.clone(),
        command_line: linux::COMMAND_LINE.into(),
    };
    let accelerator = accel::choose(crate::values::Accel::Auto)?.accelerator;
    let mut launch = Launch::new(&settings, source, accelerator);
    launch.network = Network::User(Vec::new());
    launch.extra = vec!["-initrd".into(), linux.archive.clone().into()];
    Ok(launch)
}

/// Runs the program, for what it prints.
fn figures(vm: &mut Vm) -> Result<Vec<(String, f64)>> {
    let console = vm.wait_for(LAST, PATIENCE)?;
    vm.kill();
    let figures = parse(&console);
    (!figures.is_empty())
        .then_some(figures)
        .context("the program has printed no figures")
}

/// Lines `figure NAME = NUMBER`.
fn parse(console: &str) -> Vec<(String, f64)> {
    let lines = console.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("figure ")?.split_once(" = ")?;
        Some((name.to_owned(), value.parse().ok()?))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn figures_are_found_among_other_lines() {
        let console = "[    0.1] Linux\r\nfigure a b = 12.5\r\nfigure c = x\nfigures end\n";
        assert_eq!(parse(console), [("a b".to_owned(), 12.5)]);
    }
}
