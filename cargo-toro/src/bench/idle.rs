//! What a machine costs that has served and now has nothing to do.

use super::check_interrupt;
use super::counter::Counter;
use super::http::loaded;
use super::load::Plan;
use super::process;
use super::report::{Figure, Report, Unit};
use super::subject::{Bench, Guest};
use anyhow::Result;
use std::time::{Duration, Instant};

/// The load before, and how long after it the measurement begins.
const LOAD: Plan = Plan {
    connections: 8,
    requests: 1000,
    is_kept_alive: true,
};
const REST: Duration = Duration::from_secs(1);
/// How long it is measured.
const SPAN: Duration = Duration::from_secs(10);

const INSTRUCTIONS_LIMIT: f64 = 20_000.0;
const CPU_LIMIT_PERCENT: f64 = 1.0;

/// Measures the idle service.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let service = bench.service()?;
    let machinery = bench.service_machine(&service, bench.way(&service))?;
    let machinery = machinery.for_connections(LOAD.connections);
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
    let guest = rested(machinery.start(None)?)?;
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
    Ok(())
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
