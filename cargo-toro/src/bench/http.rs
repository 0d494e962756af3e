//! What requests cost, and whether a long load leaves anything behind.

use super::counter::Counter;
use super::guest_memory::GuestMemory;
use super::load::{self, Outcome, Plan};
use super::process;
use super::report::{Figure, Report, Unit};
use super::subject::{Bench, Guest, Machinery};
use anyhow::{Result, bail};
use std::time::Duration;

/// So that caches are filled and the connection is made before counting begins.
const WARM_UP: usize = 100;
const COUNTED_REQUESTS: usize = 2000;
const COUNTED_CONNECTIONS: usize = 500;
/// After which a closed connection causes no more packets.
const SETTLE: Duration = Duration::from_millis(200);
/// The load that must leave nothing behind, and its beginning, which may.
const LONG_LOAD: usize = 10_000;
const FIRST_PART: usize = 1000;
const CONNECTIONS: usize = 32;
/// Before it, so that all buffers of all connections are in use once: a buffer that goes round is first used piece by
/// piece.
const WARM_LOAD: usize = 5000;
/// Requests of the measurement with one connection.
const SINGLE_LOAD: usize = 3000;

const REQUEST_LIMIT: f64 = 12_000.0;
const CONNECTION_LIMIT: f64 = 60_000.0;
/// Less than 32 bytes for each connection of the long load: a leak of the smallest object is more.
const GROWTH_LIMIT_KIB: f64 = 256.0;
const KIB: f64 = 1024.0;
const MICROSECONDS: f64 = 1e6;

/// Measures requests of the service.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let service = bench.service()?;
    let machinery = bench.service_machine(&service, bench.way(&service))?;
    let machinery = machinery.for_connections(CONNECTIONS);
    let limits = [REQUEST_LIMIT, CONNECTION_LIMIT].map(Some);
    count(bench, report, &machinery, "", limits)?;
    for is_kept_alive in [true, false] {
        measure_load(bench, report, &machinery, is_kept_alive)?;
    }
    Ok(())
}

/// Instructions a request on a kept connection, and of one on a connection of its own. The names of the figures begin with `who`.
pub(super) fn count(
    bench: &Bench,
    report: &mut Report,
    machinery: &Machinery,
    who: &str,
    limits: [Option<f64>; 2],
) -> Result<()> {
    let names = [
        "keep-alive request, one at a time",
        "new connection with one request",
    ]
    .map(|name| format!("{who}{name}"));
    let Ok(plugin) = bench.plugin() else {
        names
            .iter()
            .for_each(|name| report.add(bench.uncounted(name, Unit::Instructions)));
        return Ok(());
    };
    let counter = Counter::new(bench.folder());
    let mut guest = machinery.start(Some((plugin, &counter)))?;
    guest.first_answer()?;
    let parts = [(true, COUNTED_REQUESTS), (false, COUNTED_CONNECTIONS)];
    for ((name, (is_kept_alive, requests)), limit) in names.into_iter().zip(parts).zip(limits) {
        bench.shell.status("Counting", &name);
        let plan = Plan {
            connections: 1,
            requests,
            is_kept_alive,
        };
        loaded(
            &mut guest,
            Plan {
                requests: WARM_UP,
                ..plan
            },
        )?;
        std::thread::sleep(SETTLE);
        let before = counter.total()?;
        loaded(&mut guest, plan)?;
        std::thread::sleep(SETTLE);
        let count = counter.total()?.wrapping_sub(before) as f64 / requests as f64;
        let figure = Figure::new(name, count, Unit::Instructions);
        report.add(match limit {
            Some(limit) => figure.at_most(limit),
            None => figure,
        });
    }
    Ok(())
}

/// A load without failures.
pub(super) fn loaded(guest: &mut Guest, plan: Plan) -> Result<Outcome> {
    let outcome = load::run(&guest.target, plan)?;
    guest.check_running()?;
    if let Some(failure) = &outcome.first_failure {
        bail!(
            "{} of {} requests failed, the first: {failure}",
            outcome.failures,
            plan.requests
        );
    }
    Ok(outcome)
}

/// Requests of one machine, and those that failed.
#[derive(Default)]
struct Tally {
    requests: usize,
    failures: usize,
    first_failure: Option<String>,
}

impl Tally {
    /// Loads the guest; returns the requests a second.
    fn load(&mut self, guest: &mut Guest, plan: Plan) -> Result<f64> {
        let outcome = load::run(&guest.target, plan)?;
        // The next load must not find the connections of this one still closing: then it would need more memory.
        std::thread::sleep(SETTLE);
        guest.check_running()?;
        self.requests += plan.requests;
        self.failures += outcome.failures;
        self.first_failure = self.first_failure.take().or(outcome.first_failure);
        Ok(plan.requests as f64 / outcome.elapsed.as_secs_f64())
    }

    fn figure(self, name: &str) -> Figure {
        let name = format!("{name}, errors of {}", self.requests);
        let figure = Figure::new(name, self.failures as f64, Unit::Count).at_most(0.0);
        match self.first_failure {
            Some(failure) => figure.note(format!("the first: {failure}")),
            None => figure,
        }
    }
}

/// Speed, errors, and growth from the first thousand requests to the last.
fn measure_load(
    bench: &Bench,
    report: &mut Report,
    machinery: &Machinery,
    is_kept_alive: bool,
) -> Result<()> {
    let kind = if is_kept_alive {
        "keep-alive"
    } else {
        "new connections"
    };
    bench
        .shell
        .status("Loading", format_args!("with {LONG_LOAD} requests, {kind}"));
    let memory = GuestMemory::new(bench.folder())?;
    let mut machinery = machinery.clone();
    machinery.launch.extra.extend(memory.arguments(&machinery));
    let mut guest = machinery.start(None)?;
    guest.first_answer()?;
    let process = guest.vm.process_id();
    let single = Plan {
        connections: 1,
        requests: SINGLE_LOAD,
        is_kept_alive,
    };
    let plan = |requests| Plan {
        connections: CONNECTIONS,
        requests,
        is_kept_alive,
    };

    let mut tally = Tally::default();
    let speed = tally.load(&mut guest, single)?;
    report.add(Figure::new(
        format!("{kind}, 1 at a time"),
        speed,
        Unit::RequestsPerSecond,
    ));
    tally.load(&mut guest, plan(WARM_LOAD))?;
    tally.load(&mut guest, plan(FIRST_PART))?;
    let before = (memory.touched_bytes()?, process::resident_bytes(process));
    let cpu = process::cpu_time(process);
    let rest = LONG_LOAD - FIRST_PART;
    let speed = tally.load(&mut guest, plan(rest))?;
    let cpu = cpu.zip(process::cpu_time(process));
    let after = (memory.touched_bytes()?, process::resident_bytes(process));

    let name = format!("{kind}, {CONNECTIONS} at a time");
    report.add(Figure::new(&name, speed, Unit::RequestsPerSecond));
    if let Some((before, after)) = cpu {
        let each = after.saturating_sub(before).as_secs_f64() * MICROSECONDS / rest as f64;
        let name = format!("{name}, QEMU's CPU time each");
        report.add(Figure::new(name, each, Unit::Microseconds));
    }
    report.add(tally.figure(&name));
    let growth = |before: u64, after: u64| (after as f64 - before as f64) / KIB;
    let grown = Figure::new(
        format!("{name}, growth of guest memory in use"),
        growth(before.0, after.0),
        Unit::Kib,
    );
    report.add(grown.at_most(GROWTH_LIMIT_KIB));
    let name_in_use = format!(
        "{name}, guest memory in use, of {}",
        machinery.launch.memory
    );
    report.add(Figure::new(
        name_in_use,
        after.0 as f64 / KIB / KIB,
        Unit::Mib,
    ));
    if let Some((before, after)) = before.1.zip(after.1) {
        let name = format!("{name}, growth of QEMU's memory");
        let figure = Figure::new(name, growth(before, after), Unit::Kib);
        report.add(figure.note("with QEMU's own: its code cache and its sockets"));
    }
    Ok(())
}
