//! What a machine costs that has served and now has nothing to do.

use super::check_interrupt;
use super::counter::Counter;
use super::http::loaded;
use super::load::Plan;
use super::process;
use super::report::{Figure, Report, Unit};
use super::statistics::median;
use super::subject::{Bench, Guest, Machinery};
use anyhow::Result;
use std::time::{Duration, Instant};

/// The load before, and how long after it the measurement begins: what a service wrote goes to the disk within five seconds.
const LOAD: Plan = Plan {
    connections: 8,
    requests: 1000,
    is_kept_alive: true,
};
const REST: Duration = Duration::from_secs(8);
/// How long it is measured.
const SPAN: Duration = Duration::from_secs(10);

/// One request on a connection of its own.
const ONE: Plan = Plan {
    connections: 1,
    requests: 1,
    is_kept_alive: false,
};
/// How often a request is sent to a busy machine, and to one that has rested.
const BUSY_REQUESTS: usize = 51;
const RESTED_REQUESTS: usize = 3;
/// How much longer the first request after a rest may take than one to a busy machine.
const WAKING_LIMIT_US: f64 = 2000.0;

const INSTRUCTIONS_LIMIT: f64 = 20_000.0;
const CPU_LIMIT_PERCENT: f64 = 1.0;

/// Measures the idle service.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let service = bench.service()?;
    let machinery = bench.service_machine(&service, bench.way(&service))?;
    measure_machine(bench, report, &machinery)
}

/// The same of a machine.
pub(super) fn measure_machine(
    bench: &Bench,
    report: &mut Report,
    machinery: &Machinery,
) -> Result<()> {
    let machinery = machinery.clone().for_connections(LOAD.connections);
    let name = "idle, guest";
    bench
        .shell
        .status("Idling", format_args!("for twice {} s", SPAN.as_secs()));
    match bench.plugin() {
        Ok(plugin) => {
            let counter = Counter::new(bench.folder());
            let guest = rested(machinery.start(Some((plugin, &counter)))?)?;
            let before = counter.total()?;
            let seconds = pause(SPAN)?.as_secs_f64();
            let count = counter.total()?.wrapping_sub(before) as f64;
            drop(guest);
            let figure = Figure::new(name, count / seconds, Unit::InstructionsPerSecond);
            report.add(figure.at_most(INSTRUCTIONS_LIMIT));
        }
        Err(_) => report.add(bench.uncounted(name, Unit::InstructionsPerSecond)),
    }
    let mut guest = rested(machinery.start(None)?)?;
    let process = guest.vm.process_id();
    let before = process::cpu_time(process);
    let seconds = pause(SPAN)?.as_secs_f64();
    let name = "idle, QEMU's CPU use";
    report.add(match before.zip(process::cpu_time(process)) {
        Some((before, after)) => {
            let used = after.saturating_sub(before).as_secs_f64();
            Figure::new(name, 100.0 * used / seconds, Unit::Percent).at_most(CPU_LIMIT_PERCENT)
        }
        None => Figure::missing(name, Unit::Percent, "this host does not tell"),
    });
    report.add(waking(&mut guest)?);
    Ok(())
}

/// How much longer a machine that has rested takes for its first request than a busy one. It has just rested.
fn waking(guest: &mut Guest) -> Result<Figure> {
    let mut rested = vec![answer_time(guest)?];
    while rested.len() < RESTED_REQUESTS {
        pause(SPAN)?;
        rested.push(answer_time(guest)?);
    }
    loaded(guest, LOAD)?;
    let busy = (0..BUSY_REQUESTS).map(|_| answer_time(guest));
    let busy = median(&busy.collect::<Result<Vec<_>>>()?).unwrap_or_default();
    let longer = median(&rested).unwrap_or_default() - busy;
    let name = format!("first request after {} s, longer than busy", SPAN.as_secs());
    Ok(Figure::new(name, longer.max(0.0), Unit::Microseconds)
        .at_most(WAKING_LIMIT_US)
        .note(format!("a busy machine: {busy:.0} µs, with the connection")))
}

/// Microseconds until one request on a connection of its own was answered.
fn answer_time(guest: &mut Guest) -> Result<f64> {
    Ok(loaded(guest, ONE)?.elapsed.as_secs_f64() * 1e6)
}

/// Loads the guest and lets it rest.
fn rested(mut guest: Guest) -> Result<Guest> {
    guest.first_answer()?;
    loaded(&mut guest, LOAD)?;
    pause(REST)?;
    Ok(guest)
}

/// Waits, and returns how long that really took.
fn pause(span: Duration) -> Result<Duration> {
    let start = Instant::now();
    while start.elapsed() < span {
        check_interrupt()?;
        std::thread::sleep(Duration::from_millis(50).min(span.saturating_sub(start.elapsed())));
    }
    Ok(start.elapsed())
}
