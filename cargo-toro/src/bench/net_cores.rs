//! What a second core adds to the service on a tap: a card with a queue for each. Instructions and processor time of the virtual processors for a
//! request say it whatever else the host does; requests a second only where the host has processors to spare, as client and QEMU take some too, and
//! only if a request is something to compute.

use super::counter::Counter;
use super::net::{
    Outcome, PAGE, PAGE_BYTES, SETTLE, TAP, connect, get, make_tap, start, stop, wrk_on,
};
use super::process;
use super::report::{Figure, Report, Unit};
use super::subject::Bench;
use crate::qemu::{Accelerator, Launch, Network};
use crate::vm::Vm;
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::{Duration, Instant};

const CORES: u32 = 2;
/// So few that each has its next request before the host acknowledges the last answer by itself.
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 128;
/// Two cores shall serve 1.8 times what one does, so they may spend so much more on a request.
const COST_LIMIT: f64 = 2.0 / 1.8;
/// And one core serves at most so much of what two do.
const RATE_LIMIT: f64 = 1.0 / 1.8;
/// How long a request computes, about: so long that client and cards, which take the host's processors from the service for some 80 µs of a request,
/// count for little where the host has no others. And the rounds and requests by which it is found out how many rounds that is.
const WORK: Duration = Duration::from_millis(5);
const TRIAL_ROUNDS: u32 = 100_000;
const TRIALS: u32 = 50;
/// Rounds of an empty loop that each instruction of slow processors takes more, which makes them some 400 times slower and neither the client nor
/// the cards.
const SLOW: u32 = 3000;

/// Measures: `small` answers with a page, `large` computes too. The tap of before is made anew.
pub(super) fn measure(
    bench: &Bench,
    report: &mut Report,
    small: &Launch,
    large: &Launch,
) -> Result<()> {
    measure_instructions(bench, report, small)?;
    bench.shell.status("Loading", "one core and two");
    let mut rounds = None;
    let (mut rates, mut times) = (Vec::new(), Vec::new());
    let mut slow = Slow::default();
    for (cores, words) in [(1, "one core"), (CORES, "two cores")] {
        let mut vm = start(&with_cores(large, cores)?)?;
        let rounds = match rounds {
            Some(rounds) => rounds,
            None => *rounds.insert(rounds_of_work()?),
        };
        let path = format!("/{PAGE_BYTES}/{rounds}");
        let outcome = wrk_on(&path, CONNECTIONS, true)?;
        let name = format!("requests that compute for {WORK:?}, {words}");
        let rate = outcome.requests_per_second;
        report.add(outcome.noted(Figure::new(name, rate, Unit::RequestsPerSecond)));
        rates.push(rate);
        stop(&mut vm)?;
        let mut vm = start(&with_cores(small, cores)?)?;
        times.extend(processor_time(&vm)?.1);
        stop(&mut vm)?;
        slow.measure(bench, report, small, cores, words)?;
    }
    slow.compare(bench, report);
    if let [one, two] = rates[..] {
        let name = "requests that compute, one core / two";
        report.add(Figure::new(name, one / two, Unit::Ratio).at_most(RATE_LIMIT));
    }
    let name = "processor time of a request on two cores / on one core";
    report.add(compare_times(name, &times));
    Ok(())
}

fn compare_times(name: &str, times: &[f64]) -> Figure {
    let [one, two] = *times else {
        return Figure::missing(name, Unit::Ratio, "QEMU names no threads of processors");
    };
    let figure = Figure::new(name, two / one, Unit::Ratio).at_most(COST_LIMIT);
    figure.note(format!("{:.1} / {:.1} µs", two * 1e6, one * 1e6))
}

/// Requests of a page on processors so slow that the host has enough beside them for the client and the cards.
#[derive(Default)]
struct Slow {
    rates: Vec<f64>,
    times: Vec<f64>,
}

impl Slow {
    /// Measures nothing where instructions cannot be counted, as the same plugin slows them.
    fn measure(
        &mut self,
        bench: &Bench,
        report: &mut Report,
        launch: &Launch,
        cores: u32,
        words: &str,
    ) -> Result<()> {
        let Ok(plugin) = bench.plugin() else {
            return Ok(());
        };
        let mut launch = with_cores(launch, cores)?;
        launch.accelerator = Accelerator::Tcg;
        let counter = Counter::slowed(bench.folder(), SLOW);
        launch.extra.extend(counter.arguments(plugin));
        let mut vm = start(&launch)?;
        let (outcome, time) = processor_time(&vm)?;
        stop(&mut vm)?;
        let rate = outcome.requests_per_second;
        let name = format!("requests on slow processors, {words}");
        report.add(outcome.noted(Figure::new(name, rate, Unit::RequestsPerSecond)));
        self.rates.push(rate);
        self.times.extend(time);
        Ok(())
    }

    fn compare(self, bench: &Bench, report: &mut Report) {
        let name = "requests on slow processors, one core / two";
        report.add(match self.rates[..] {
            [one, two] => Figure::new(name, one / two, Unit::Ratio).at_most(RATE_LIMIT),
            _ => bench.uncounted(name, Unit::Ratio),
        });
        let name = "processor time of a request on slow processors, two cores / one";
        report.add(compare_times(name, &self.times));
    }
}

/// So many cores, and a card with a queue for each on a tap that is made anew.
fn with_cores(launch: &Launch, cores: u32) -> Result<Launch> {
    let gone = Command::new("ip").args(["link", "del", TAP]).status();
    if !gone.context("cannot run ip")?.success() {
        bail!("the tap {TAP} cannot be taken away");
    }
    make_tap(cores)?;
    let mut launch = launch.clone();
    launch.cores = cores;
    launch.network = Network::Tap {
        name: TAP.into(),
        queues: cores,
    };
    launch
        .extra
        .extend(["-name".into(), "debug-threads=on".into()]);
    Ok(launch)
}

/// How many rounds take as long as a request shall.
fn rounds_of_work() -> Result<u32> {
    let mut stream = connect()?;
    let mut time = |rounds: u32| -> Result<Duration> {
        let path = format!("/{PAGE_BYTES}/{rounds}");
        get(&mut stream, &path, PAGE_BYTES)?;
        let start = Instant::now();
        (0..TRIALS).try_for_each(|_| get(&mut stream, &path, PAGE_BYTES))?;
        Ok(start.elapsed() / TRIALS)
    };
    let without = time(0)?;
    let with = time(TRIAL_ROUNDS)?.saturating_sub(without);
    let each = with.as_secs_f64().max(1e-9) / f64::from(TRIAL_ROUNDS);
    Ok((WORK.as_secs_f64() / each).clamp(1.0, 1e9) as u32)
}

/// A load by a small page, and seconds of the virtual processors for a request of it; `None` where they cannot be told apart.
fn processor_time(vm: &Vm) -> Result<(Outcome, Option<f64>)> {
    let now = || process::processors_time(vm.process_id());
    // What is there once only is there after this.
    wrk_on(PAGE, CONNECTIONS, true)?;
    let before = now();
    let outcome = wrk_on(PAGE, CONNECTIONS, true)?;
    let spent = now().zip(before).map(|(now, before)| now - before);
    let each = spent.map(|spent| spent.as_secs_f64() / outcome.requests);
    Ok((outcome, each))
}

fn measure_instructions(bench: &Bench, report: &mut Report, launch: &Launch) -> Result<()> {
    let name = "request on two cores / on one core";
    let Ok(plugin) = bench.plugin() else {
        report.add(bench.uncounted(name, Unit::Ratio));
        return Ok(());
    };
    bench.shell.status("Counting", "instructions of two cores");
    let mut costs = Vec::new();
    for cores in [1, CORES] {
        let counter = Counter::new(bench.folder());
        let mut launch = with_cores(launch, cores)?;
        launch.accelerator = Accelerator::Tcg;
        launch.extra.extend(counter.arguments(plugin));
        let mut vm = start(&launch)?;
        let each = count(&counter)?;
        stop(&mut vm)?;
        costs.push(each);
    }
    let [one, two] = costs[..] else {
        return Ok(());
    };
    let figure = Figure::new(name, two / one, Unit::Ratio).at_most(COST_LIMIT);
    report.add(figure.note(format!("{two:.0} / {one:.0} instructions")));
    Ok(())
}

/// Instructions of a request.
fn count(counter: &Counter) -> Result<f64> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        streams.push(connect()?);
    }
    let mut round = || {
        streams
            .iter_mut()
            .try_for_each(|stream| get(stream, PAGE, PAGE_BYTES))
    };
    // Once each, so that all have what they need.
    round()?;
    std::thread::sleep(SETTLE);
    let before = counter.total()?;
    (0..ROUNDS).try_for_each(|_| round())?;
    std::thread::sleep(SETTLE);
    let spent = counter.total()?.wrapping_sub(before);
    Ok(spent as f64 / (CONNECTIONS * ROUNDS) as f64)
}
