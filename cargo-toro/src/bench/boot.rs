//! What a start costs: instructions to the first answer, and its time against that of a program which only prints a line.

use super::counter::Counter;
use super::firmware;
use super::report::{Figure, Report, Unit};
use super::statistics::median;
use super::subject::{Bench, HELLO, Machinery, SERVICE, Way, describe};
use crate::values::{Boot, Nic};
use crate::vm::End;
use anyhow::{Context, Result, anyhow, bail};
use std::time::Duration;

/// Instructions repeat so well that more runs tell nothing.
const MAX_COUNTED_RUNS: u32 = 3;
/// To the first answer; from a BIOS disk, beyond the firmware's own.
const INSTRUCTIONS_LIMIT: f64 = 10e6;
/// The time of the service by the time of the program that only prints a line.
const RATIO_LIMIT: f64 = 1.5;
const MILLISECONDS: f64 = 1e3;
/// hw/net/e1000.c, `set_rx_control` and `e1000_can_receive`.
const E1000_NOTE: &str =
    "QEMU's e1000 receives nothing for 1,000 ms after its receiver was switched on";

/// Measures the starts of hello and of the service.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let hello = bench.build(HELLO)?;
    for way in Way::chosen(
        &bench.options.machine,
        &[Way::MICROVM, Way::PC_PVH, Way::PC_BIOS],
    ) {
        let machinery = bench.plain_machine(&hello, way, None)?;
        let name = format!("{HELLO}, start to end ({way})");
        count(bench, report, &machinery, name, None, || {
            counted_end(bench, &machinery, true)
        })?;
    }
    let service = bench.service()?;
    for way in Way::chosen(&bench.options.machine, &[Way::PC_PVH, Way::PC_BIOS]) {
        let machinery = bench.service_machine(&service, way)?;
        let name = format!("{}, start to first answer ({way})", service.name());
        let limit = Some(INSTRUCTIONS_LIMIT);
        count(bench, report, &machinery, name, limit, || {
            counted_answer(bench, &machinery)
        })?;
        let hello = bench.other_image(&machinery, &hello)?;
        measure_time(bench, report, service.name(), &machinery, &hello)?;
    }
    Ok(())
}

/// Adds the median of what `run` counts, and how much of it is beyond the firmware's own share. The limit is for the
/// former where QEMU loads the kernel, and for the latter where the firmware reads it from a disk.
fn count(
    bench: &Bench,
    report: &mut Report,
    machinery: &Machinery,
    name: String,
    limit: Option<f64>,
    run: impl FnMut() -> Result<u64>,
) -> Result<()> {
    if bench.plugin().is_err() {
        report.add(bench.uncounted(name, Unit::Instructions));
        return Ok(());
    }
    bench.shell.status("Counting", &name);
    let firmware = machinery.with_source(firmware::image(machinery.way, bench.folder())?);
    let firmware = median_of(bench, || counted_end(bench, &firmware, false))?;
    let total = median_of(bench, run).with_context(|| format!("cannot measure {name}"))?;
    let beyond = format!("{name}, beyond the firmware");
    let with_limit = |figure: Figure, is_judged| match limit.filter(|_| is_judged) {
        Some(limit) => figure.at_most(limit),
        None => figure,
    };
    let is_disk = machinery.way.boot == Boot::Disk;
    report.add(with_limit(
        Figure::new(name, total, Unit::Instructions),
        !is_disk,
    ));
    report.add(with_limit(
        Figure::new(beyond, total - firmware, Unit::Instructions),
        is_disk,
    ));
    Ok(())
}

fn median_of(bench: &Bench, mut run: impl FnMut() -> Result<u64>) -> Result<f64> {
    let runs = bench.options.runs.min(MAX_COUNTED_RUNS);
    let counts = (0..runs).map(|_| run().map(|count| count as f64));
    let counts = counts.collect::<Result<Vec<_>>>()?;
    median(&counts).context("nothing was measured")
}

/// Instructions to the end of the machine.
pub(super) fn counted_end(bench: &Bench, machinery: &Machinery, has_status: bool) -> Result<u64> {
    let counter = Counter::new(bench.folder());
    let plugin = bench.plugin().map_err(|reason| anyhow!("{reason}"))?;
    let (_, end) = machinery.run(Some((plugin, &counter)))?;
    if has_status && end != End::Exited(0) {
        bail!("the guest failed: {}", describe(&end));
    }
    counter.total().with_context(|| describe(&end))
}

/// Instructions to the first answer.
fn counted_answer(bench: &Bench, machinery: &Machinery) -> Result<u64> {
    let counter = Counter::new(bench.folder());
    let plugin = bench.plugin().map_err(|reason| anyhow!("{reason}"))?;
    let mut guest = machinery.start(Some((plugin, &counter)))?;
    guest.first_answer()?;
    counter.total()
}

/// Times of the service's first answer and of hello's end, in turn.
fn measure_time(
    bench: &Bench,
    report: &mut Report,
    name: &str,
    service: &Machinery,
    hello: &Machinery,
) -> Result<()> {
    let way = service.way;
    bench
        .shell
        .status("Timing", format_args!("{name} and {HELLO} ({way})"));
    let (mut answers, mut lines, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.options.runs {
        answers.push(service.start(None)?.first_answer()?);
        if name == SERVICE {
            lines.push(service.start(None)?.first_line()?);
        }
        let (elapsed, end) = hello.run(None)?;
        if end != End::Exited(0) {
            bail!("the guest failed: {}", describe(&end));
        }
        ends.push(elapsed);
    }
    let middle = |times: &[Duration]| {
        let times: Vec<_> = times
            .iter()
            .map(|time| time.as_secs_f64() * MILLISECONDS)
            .collect();
        median(&times)
    };
    let mut add = |what: String, time| report.add(Figure::new(what, time, Unit::Milliseconds));
    if let Some(line) = middle(&lines) {
        add(
            format!("{name}, time until it says that it serves ({way})"),
            line,
        );
    }
    let (answer, end) = middle(&answers)
        .zip(middle(&ends))
        .context("nothing was measured")?;
    add(format!("{name}, time to first answer ({way})"), answer);
    add(format!("{HELLO}, time to end, same machine ({way})"), end);
    let ratio = Figure::new(
        format!("{name} by {HELLO} ({way})"),
        answer / end,
        Unit::Ratio,
    );
    let ratio = ratio.at_most(RATIO_LIMIT);
    report.add(match service.launch.nic {
        Nic::E1000 => ratio.note(E1000_NOTE),
        _ => ratio,
    });
    Ok(())
}
