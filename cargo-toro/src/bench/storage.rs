//! Files on a disk, against the same program on Linux: the same machine, the same image on a virtio disk, the same cache mode of the host.
//!
//! The program is `tests/programs/bench-storage`; what it finds on the disk is made here. Each start is of a fresh copy of the image, so that
//! what is measured cold is cold in the guest. The copy is in the host's memory: the host's disk is seen where something is synced.

use super::check_interrupt;
use super::counter::{Counter, Plugin};
use super::linux;
use super::options::Comparison;
use super::profile;
use super::report::{Figure, Report, Unit};
use super::statistics::median;
use super::subject::{Bench, Guest, Machinery, Subject, Way};
use crate::disks::{self, Request};
use crate::failure::Failure;
use crate::qemu::Source;
use crate::shell::Shell;
use crate::values::{DiskOption, Size};
use crate::vm::WaitError;
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The program, in this repository.
const PROGRAM: &str = "bench-storage";
const MEMORY: Size = Size::mib(1024);
const IMAGE: Size = Size::mib(320);
/// For one measure, on a busy host.
const PATIENCE: Duration = Duration::from_secs(300);
/// What the program prints before and after a measure, and at the end.
const BEGIN: &str = "begin ";
const CACHE: &str = "cache ";
const FIGURE: &str = "figure ";
const LAST: &str = "figures end";
/// From when on counts are taken: the program rests for longer.
const SETTLE: Duration = Duration::from_millis(150);
/// As fast as Linux at the least.
const LIMIT: f64 = 1.0;
const NANOSECONDS: f64 = 1e3;
const PAGE: usize = 4096;

/// Measures both, in turn.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let subject = bench.build(PROGRAM)?;
    let (toro, image, disk) = prepare(bench, &subject)?;
    let linux = linux::guest(
        PROGRAM,
        subject.manifest(),
        &subject.cache_folder(),
        &bench.shell,
    );
    let mut sides = vec![Side::new("Toro", toro)];
    match linux {
        Ok(linux) => {
            let mut machinery = sides[0].machinery.with_source(Source::Kernel {
                elf: linux.kernel,
                command_line: linux::COMMAND_LINE.into(),
            });
            let archive = ["-initrd".into(), linux.archive.into()];
            machinery.launch.extra.extend(archive);
            sides.push(Side::new("Linux", machinery));
        }
        Err(error) => bench.shell.note(format_args!("{error:#}")),
    }
    for run in 1..=bench.options.runs {
        for side in &mut sides {
            let name = side.name;
            bench.shell.status(
                "Measuring",
                format_args!("storage on {name}, {run} of {}", bench.options.runs),
            );
            copy(&image, &disk)?;
            side.add_times(side.machinery.start(None)?)?;
        }
    }
    if let Ok(plugin) = bench.plugin() {
        for side in &mut sides {
            let name = side.name;
            bench
                .shell
                .status("Counting", format_args!("storage on {name}"));
            copy(&image, &disk)?;
            side.count(plugin, bench.folder())?;
        }
    }
    let [toro, others @ ..] = &sides[..] else {
        return Ok(());
    };
    for measure in &toro.order {
        add(bench, report, measure, toro, others.first());
    }
    Ok(())
}

/// The machine with Toro, the image, and where it expects a copy of that.
fn prepare(bench: &Bench, subject: &Subject) -> Result<(Machinery, PathBuf, PathBuf)> {
    let (image, disk) = (
        bench.folder().join("storage.img"),
        bench.folder().join("disk.img"),
    );
    make_image(bench, &image)?;
    let option = DiskOption {
        image: disk.display().to_string(),
        mount: Some("/disk".into()),
    };
    let machinery = bench.disk_machine(subject, Way::PC_PVH, MEMORY, option)?;
    Ok((machinery, image, disk))
}

/// Prints where the instructions go in the measures on Toro that have `text` in their names.
pub(super) fn profile_measures(options: &Comparison, text: &str, shell: &Shell) -> Result<()> {
    let bench = Bench::new(options.into(), *shell)?;
    let plugin = bench
        .plugin()
        .map_err(|reason| Failure::new(reason, "install a C compiler, such as the package gcc"))?;
    let subject = bench.build(PROGRAM)?;
    let (toro, image, disk) = prepare(&bench, &subject)?;
    copy(&image, &disk)?;
    let counter = Counter::with_blocks(bench.folder());
    let guest = toro.start(Some((plugin, &counter)))?;
    let mut shown = 0;
    while let Some(measure) = next_measure(&guest, shown)? {
        shown += 1;
        if !measure.contains(text) {
            continue;
        }
        std::thread::sleep(SETTLE);
        let before = counter.blocks()?;
        wait_for(&guest, &format!("{FIGURE}{measure} = "))?;
        let after = counter.blocks()?;
        // The whole line is there when the next thing is.
        next_measure(&guest, shown)?;
        let told = parse(&guest.vm.console());
        let operations = told.iter().find(|told| told.name == measure);
        let operations = operations.map_or(1, |told| told.operations as usize);
        println!("{measure}:");
        let table = profile::between(&before, &after, &subject.linked, operations)?;
        println!("{table}");
    }
    Ok(())
}

/// The measure that began after `count` others; none at the end.
fn next_measure(guest: &Guest, count: usize) -> Result<Option<String>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        check_interrupt()?;
        let console = guest.vm.console();
        let mut begun = console.split_inclusive('\n').filter_map(|line| {
            let name = line.strip_prefix(BEGIN)?.strip_suffix('\n')?;
            Some(name.trim_end().to_owned())
        });
        let next = begun.nth(count);
        if next.is_some() || console.contains(LAST) {
            return Ok(next);
        }
        if Instant::now() > deadline {
            bail!("the program does not go on; the console shows:\n{console}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The rows of one measure: its time, its instructions, and how much was read from Toro's cache.
fn add(bench: &Bench, report: &mut Report, measure: &str, toro: &Side, linux: Option<&Side>) {
    let time = |side: &Side| Some(median(side.times.get(measure)?)? / NANOSECONDS);
    let count = |side: &Side| side.counts.get(measure).copied();
    type Value<'a> = &'a dyn Fn(&Side) -> Option<f64>;
    let rows: [(Value<'_>, Unit, Option<f64>); 2] = [
        (&time, Unit::Microseconds, Some(LIMIT)),
        (&count, Unit::Instructions, None),
    ];
    for (value, unit, least) in rows {
        let Some(own) = value(toro) else {
            report.add(bench.uncounted(measure, unit));
            continue;
        };
        let figure = Figure::new(measure, own, unit);
        report.add(match linux.and_then(value) {
            Some(other) => figure.against("Linux", other, least),
            None => figure,
        });
    }
    if let Some((hits, misses)) = toro
        .reads
        .get(measure)
        .filter(|reads| reads.0 + reads.1 > 0.0)
    {
        let rate = 100.0 * hits / (hits + misses);
        let name = format!("{measure}: read from the cache");
        report.add(Figure::new(name, rate, Unit::Percent));
    }
}

/// A system, and what was measured there.
struct Side {
    name: &'static str,
    machinery: Machinery,
    /// The measures, in their order.
    order: Vec<String>,
    /// Nanoseconds an operation, one for each run.
    times: HashMap<String, Vec<f64>>,
    /// Instructions an operation.
    counts: HashMap<String, f64>,
    /// Blocks that the last run read from its cache, and from the disk.
    reads: HashMap<String, (f64, f64)>,
}

impl Side {
    fn new(name: &'static str, machinery: Machinery) -> Self {
        Self {
            name,
            machinery,
            order: Vec::new(),
            times: HashMap::new(),
            counts: HashMap::new(),
            reads: HashMap::new(),
        }
    }

    fn add_times(&mut self, mut guest: Guest) -> Result<()> {
        let console = wait_for(&guest, LAST)?;
        guest.vm.kill();
        let figures = parse(&console);
        if figures.is_empty() {
            bail!("the program has printed no figures");
        }
        self.reads = parse_reads(&console);
        self.order = figures.iter().map(|figure| figure.name.clone()).collect();
        for figure in figures {
            self.times
                .entry(figure.name)
                .or_default()
                .push(figure.nanoseconds);
        }
        Ok(())
    }

    /// Counts the instructions of each measure.
    fn count(&mut self, plugin: &Plugin, folder: &Path) -> Result<()> {
        let counter = Counter::new(folder);
        let mut guest = self.machinery.start(Some((plugin, &counter)))?;
        let mut totals = Vec::new();
        for measure in &self.order {
            wait_for(&guest, &format!("{BEGIN}{measure}"))?;
            std::thread::sleep(SETTLE);
            let before = counter.total()?;
            wait_for(&guest, &format!("{FIGURE}{measure} = "))?;
            totals.push(counter.total()?.wrapping_sub(before));
        }
        let console = wait_for(&guest, LAST)?;
        guest.vm.kill();
        for (figure, total) in parse(&console).into_iter().zip(totals) {
            self.counts
                .insert(figure.name, total as f64 / figure.operations);
        }
        Ok(())
    }
}

/// Waits for a text on the console; returns all that there is.
fn wait_for(guest: &Guest, text: &str) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        check_interrupt()?;
        match guest.vm.wait_for(text, Duration::from_secs(1)) {
            Err(WaitError::Text { .. }) if Instant::now() < deadline => {}
            result => return Ok(result?),
        }
    }
}

/// A measure as the program tells of it.
#[derive(Debug, PartialEq)]
struct Told {
    name: String,
    nanoseconds: f64,
    operations: f64,
}

/// Lines `figure NAME = NANOSECONDS of OPERATIONS`.
fn parse(console: &str) -> Vec<Told> {
    let lines = console.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix(FIGURE)?.split_once(" = ")?;
        let (nanoseconds, operations) = value.split_once(" of ")?;
        Some(Told {
            name: name.to_owned(),
            nanoseconds: nanoseconds.parse().ok()?,
            operations: operations.parse().ok()?,
        })
    });
    lines.collect()
}

/// Lines `cache NAME = HITS and MISSES`.
fn parse_reads(console: &str) -> HashMap<String, (f64, f64)> {
    let lines = console.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix(CACHE)?.split_once(" = ")?;
        let (hits, misses) = value.split_once(" and ")?;
        Some((name.to_owned(), (hits.parse().ok()?, misses.parse().ok()?)))
    });
    lines.collect()
}

/// Makes the image with what the program reads.
fn make_image(bench: &Bench, image: &Path) -> Result<()> {
    bench.shell.status("Making", "the disk");
    let folder = tempfile::tempdir_in(bench.folder())?;
    fill(folder.path()).context("cannot make the files for the disk")?;
    let request = Request {
        size: Some(IMAGE),
        ..Request::default()
    };
    let shell = Shell {
        quiet: true,
        ..bench.shell
    };
    disks::make(image, folder.path(), &request, &shell)?;
    Ok(())
}

fn fill(folder: &Path) -> std::io::Result<()> {
    for number in 0..10 {
        fs::create_dir_all(folder.join(format!("small/{number:02}")))?;
    }
    for number in 0..1000 {
        let path = format!("small/{:02}/{number:04}", number % 10);
        fs::write(folder.join(path), [number as u8; 1024])?;
    }
    fs::create_dir(folder.join("names"))?;
    for number in 0..10_000 {
        File::create(folder.join(format!("names/{number:05}.txt")))?;
    }
    for (name, mib) in [("random", 16), ("large", 64)] {
        let pages = (mib << 20) / PAGE;
        // Every page starts with its number, and none is a hole.
        let content = (0..pages).flat_map(|page| {
            let mut bytes = [0xA5; PAGE];
            bytes[0] = page as u8;
            bytes
        });
        fs::write(folder.join(name), content.collect::<Vec<u8>>())?;
    }
    Ok(())
}

/// A copy that is on the host's disk, so that what the guest syncs does not wait for it.
fn copy(image: &Path, to: &Path) -> Result<()> {
    let copy = || -> std::io::Result<()> {
        fs::copy(image, to)?;
        File::open(to)?.sync_all()
    };
    copy().with_context(|| format!("cannot copy the disk to {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::{Told, parse, parse_reads};

    #[test]
    fn figures_are_found_among_other_lines() {
        let console = "begin a b\r\nfigure a b = 12.5 of 10\r\nfigure c = 1\nfigures end\n";
        let told = Told {
            name: "a b".into(),
            nanoseconds: 12.5,
            operations: 10.0,
        };
        assert_eq!(parse(console), [told]);
        let reads = parse_reads("cache a b = 3 and 1\r\ncache c = 1\n");
        assert_eq!(
            reads.into_iter().collect::<Vec<_>>(),
            [("a b".into(), (3.0, 1.0))]
        );
    }
}
