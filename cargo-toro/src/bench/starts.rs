//! Whether a machine starts each time, on every firmware, and what a start takes beyond the firmware's part, whatever memory there is.

use super::boot::counted_end;
use super::counter::{Counter, Span};
use super::firmware;
use super::report::{Figure, Report, Unit};
use super::statistics::median;
use super::subject::{Bench, HELLO, Machinery, Subject, Way};
use crate::image;
use crate::values::{Boot, DiskBus, Machine, Size};
use crate::vm::End;
use anyhow::{Context, Result};
use std::time::Duration;

/// A service with callbacks and without a disk.
const SMALL: &str = "http";
/// As often each machine is started to see whether it does.
const STARTS: u32 = 20;
const MILLISECONDS: f64 = 1e3;
/// From the kernel's entry to `main` of a program, in milliseconds of processor time.
const ENTRY_LIMIT: f64 = 10.0;
/// To the first answer, by the firmware's own time.
const FIRMWARE_LIMIT: f64 = 1.5;
/// What a start costs with much memory, by what it costs with little.
const MEMORY_LIMIT: f64 = 1.05;
/// The memory of a machine where none other is meant, which is also enough for UEFI.
const MEMORY: Size = Size::mib(128);
const MEMORIES: [Size; 4] = [
    MEMORY,
    Size::mib(1 << 10),
    Size::mib(4 << 10),
    Size::mib(16 << 10),
];

/// Measures the starts of hello, and those of two services against the firmware.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let hello = bench.build(HELLO)?;
    let q35 = |boot| Way {
        machine: Machine::Q35,
        boot,
    };
    let ways = [
        Way::MICROVM,
        Way::PC_PVH,
        Way::PC_BIOS,
        q35(Boot::Kernel),
        q35(Boot::Disk),
        q35(Boot::Uefi),
    ];
    for way in Way::chosen(&bench.options.machine, &ways) {
        let machinery = bench.plain_machine(&hello, way, Some(MEMORY))?;
        bench
            .shell
            .status("Starting", format_args!("{HELLO}, {STARTS} times ({way})"));
        let mut failed = 0;
        for _ in 0..STARTS {
            let (_, end) = machinery.run(None)?;
            failed += u32::from(end != End::Exited(0));
        }
        let name = format!("{HELLO}, starts of {STARTS} that failed ({way})");
        report.add(Figure::new(name, f64::from(failed), Unit::Count).at_most(0.0));
    }

    // As Firecracker starts it, and on a whole PC.
    for way in [Way::MICROVM, Way::PC_PVH] {
        let machinery = bench.plain_machine(&hello, way, Some(MEMORY))?;
        bench
            .shell
            .status("Timing", format_args!("the kernel's entry ({way})"));
        measure_entry(bench, report, &hello, &machinery)?;
    }

    measure_memory(bench, report, |memory| {
        bench.plain_machine(&hello, Way::PC_PVH, Some(memory))
    })?;

    // As the tool makes a machine, and with the disks that QEMU makes of `-drive file=…` alone.
    let mut services = vec![bench.service()?];
    if services[0].name() != SMALL {
        services.push(bench.build(SMALL)?);
    }
    for service in &services {
        for (bus, what) in [(None, ""), (Some(DiskBus::Ide), ", IDE disks")] {
            measure_firmware(bench, report, service, bus, what)?;
        }
    }
    Ok(())
}

/// Adds the time to the service's first answer by BIOS, by the firmware's own on the same machine. They are measured in turn.
fn measure_firmware(
    bench: &Bench,
    report: &mut Report,
    service: &Subject,
    disk_bus: Option<DiskBus>,
    what: &str,
) -> Result<()> {
    let way = Way::PC_BIOS;
    let name = service.name();
    let machinery = bench.service_machine_on(service, way, disk_bus)?;
    let firmware = machinery.with_source(firmware::image(way, bench.folder())?);
    bench.shell.status(
        "Timing",
        format_args!("{name} and the firmware ({way}{what})"),
    );
    let (mut answers, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.runs {
        answers.push(in_ms(machinery.start(None)?.first_answer()?));
        ends.push(in_ms(firmware.run(None)?.0));
    }
    let middle = |times: &[f64]| median(times).context("nothing was measured");
    let ratio = middle(&answers)? / middle(&ends)?;
    let name = format!("{name}, first answer by the firmware's time ({way}{what})");
    report.add(Figure::new(name, ratio, Unit::Ratio).at_most(FIRMWARE_LIMIT));
    Ok(())
}

/// Adds the time from the kernel's entry to `main`, by the host's clock and of the processor, which is judged: the former has in it what
/// else the host does. An emulator translates nearly all that is executed for this, so the blocks that it translates say where the time
/// comes from, and repeat.
fn measure_entry(
    bench: &Bench,
    report: &mut Report,
    subject: &Subject,
    machinery: &Machinery,
) -> Result<()> {
    let named = |what| {
        format!(
            "{HELLO}, {what} from entry to `main`, {MEMORY} ({})",
            machinery.way
        )
    };
    let Ok(plugin) = bench.plugin() else {
        report.add(bench.uncounted(named("time"), Unit::Milliseconds));
        return Ok(());
    };
    let linked = std::fs::read(&subject.linked).context("cannot read the linked program")?;
    let entry = image::entry(&linked)?;
    let main = format!("{}::main", subject.name().replace('-', "_"));
    let main = image::functions(&linked)?
        .into_iter()
        .find(|function| function.name == main)
        .with_context(|| format!("the program has no function {main}"))?;
    let mut spans = Vec::new();
    for _ in 0..bench.options.runs {
        let counter = Counter::between(bench.folder(), entry, main.address);
        machinery.run(Some((plugin, &counter)))?;
        spans.push(counter.span()?);
    }
    let median = |value: fn(&Span) -> f64| {
        let values: Vec<_> = spans.iter().map(value).collect();
        median(&values).context("nothing was measured")
    };
    let elapsed = median(|span| in_ms(span.elapsed))?;
    report.add(Figure::new(named("time"), elapsed, Unit::Milliseconds));
    let processor = median(|span| in_ms(span.processor))?;
    let processor = Figure::new(named("processor time"), processor, Unit::Milliseconds);
    report.add(processor.at_most(ENTRY_LIMIT));
    let blocks = median(|span| span.blocks as f64)?;
    report.add(Figure::new(named("blocks translated"), blocks, Unit::Count));
    Ok(())
}

/// Adds what a start costs with each memory, and the most by the least.
fn measure_memory(
    bench: &Bench,
    report: &mut Report,
    machine: impl Fn(Size) -> Result<Machinery>,
) -> Result<()> {
    let mut counts = Vec::new();
    for memory in MEMORIES {
        let name = format!("{HELLO}, start to end, {memory} (pc, PVH)");
        if bench.plugin().is_err() {
            report.add(bench.uncounted(name, Unit::Instructions));
            continue;
        }
        bench.shell.status("Counting", &name);
        let count = counted_end(bench, &machine(memory)?, true)? as f64;
        counts.push(count);
        report.add(Figure::new(name, count, Unit::Instructions));
    }
    let most = counts.iter().copied().reduce(f64::max);
    if let Some((most, least)) = most.zip(counts.iter().copied().reduce(f64::min)) {
        let name = format!("{HELLO}, most memory by least");
        report.add(Figure::new(name, most / least, Unit::Ratio).at_most(MEMORY_LIMIT));
    }
    Ok(())
}

fn in_ms(time: Duration) -> f64 {
    time.as_secs_f64() * MILLISECONDS
}
