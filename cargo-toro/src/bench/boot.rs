//! What a start costs: instructions to the first answer, and its time against that of a program which only prints a line.

use super::counter::Counter;
use super::firmware;
use super::report::{Figure, Report, Unit};
use super::statistics::median;
use super::subject::{Bench, HELLO, Machinery, Way, describe};
use crate::vm::End;
use anyhow::{Context, Result, anyhow, bail};

/// Instructions repeat so well that more runs tell nothing.
const MAX_COUNTED_RUNS: u32 = 3;
/// To the first answer; from a BIOS disk, beyond the firmware's own.
const INSTRUCTIONS_LIMIT: f64 = 10e6;
/// The time of the service by the time of the program that only prints a line.
const RATIO_LIMIT: f64 = 1.5;
const MILLISECONDS: f64 = 1e3;

/// Measures the starts of hello and of the service.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let hello = bench.build(HELLO)?;
    for way in Way::chosen(
        &bench.options.machine,
        &[Way::MICROVM, Way::PC_PVH, Way::PC_BIOS],
    ) {
        let machinery = bench.plain_machine(&hello, way)?;
        let firmware = machinery.with_source(firmware::image(way, bench.folder())?);
        let names = [
            format!("firmware's own share ({way})"),
            format!("{HELLO}, start to end ({way})"),
        ];
        let firmware = count(bench, report, &names[0], || {
            counted_end(bench, &firmware, false)
        })?;
        let total = count(bench, report, &names[1], || {
            counted_end(bench, &machinery, true)
        })?;
        add_share(report, &names[1], firmware, total);
    }
    let service = bench.service()?;
    for way in Way::chosen(&bench.options.machine, &[Way::PC_PVH, Way::PC_BIOS]) {
        let machinery = bench.service_machine(&service, way)?;
        let firmware = machinery.with_source(firmware::image(way, bench.folder())?);
        let name = format!("{}, start to first answer ({way})", service.name());
        let firmware = match bench.plugin() {
            Ok(_) => Some(median_of(bench, || counted_end(bench, &firmware, false))?),
            Err(_) => None,
        };
        let total = count(bench, report, &name, || counted_answer(bench, &machinery))?;
        add_share(report, &name, firmware, total);
        let hello = bench.other_image(&machinery, &hello)?;
        measure_time(bench, report, service.name(), &machinery, &hello)?;
    }
    Ok(())
}

fn add_share(report: &mut Report, name: &str, firmware: Option<f64>, total: Option<f64>) {
    if let (Some(firmware), Some(total)) = (firmware, total) {
        let figure = Figure::new(
            format!("{name}, beyond the firmware"),
            total - firmware,
            Unit::Instructions,
        );
        report.add(figure.at_most(INSTRUCTIONS_LIMIT));
    }
}

/// Adds the median of what `run` counts.
fn count(
    bench: &Bench,
    report: &mut Report,
    name: &str,
    run: impl FnMut() -> Result<u64>,
) -> Result<Option<f64>> {
    if bench.plugin().is_err() {
        report.add(bench.uncounted(name, Unit::Instructions));
        return Ok(None);
    }
    bench.shell.status("Counting", name);
    let value = median_of(bench, run).with_context(|| format!("cannot measure {name}"))?;
    report.add(Figure::new(name, value, Unit::Instructions));
    Ok(Some(value))
}

fn median_of(bench: &Bench, mut run: impl FnMut() -> Result<u64>) -> Result<f64> {
    let runs = bench.options.runs.min(MAX_COUNTED_RUNS);
    let counts = (0..runs).map(|_| run().map(|count| count as f64));
    let counts = counts.collect::<Result<Vec<_>>>()?;
    median(&counts).context("nothing was measured")
}

/// Instructions to the end of the machine.
fn counted_end(bench: &Bench, machinery: &Machinery, has_status: bool) -> Result<u64> {
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

/// Time of the service's first answer and of hello's end, in turn.
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
    let (mut answers, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.runs {
        let mut guest = service.start(None)?;
        answers.push(guest.first_answer()?.as_secs_f64() * MILLISECONDS);
        drop(guest);
        let (elapsed, end) = hello.run(None)?;
        if end != End::Exited(0) {
            bail!("the guest failed: {}", describe(&end));
        }
        ends.push(elapsed.as_secs_f64() * MILLISECONDS);
    }
    let (answer, end) = median(&answers)
        .zip(median(&ends))
        .context("nothing was measured")?;
    report.add(Figure::new(
        format!("{name}, time to first answer ({way})"),
        answer,
        Unit::Milliseconds,
    ));
    report.add(Figure::new(
        format!("{HELLO}, time to end, same machine ({way})"),
        end,
        Unit::Milliseconds,
    ));
    let ratio = Figure::new(
        format!("{name} by {HELLO} ({way})"),
        answer / end,
        Unit::Ratio,
    );
    report.add(ratio.at_most(RATIO_LIMIT));
    Ok(())
}
