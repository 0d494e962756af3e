//! What a second core adds to the service on a tap: a card with a queue for each, and what both together execute for a request. The host's own
//! cores do not matter to it.

use super::counter::Counter;
use super::net::{PAGE, PAGE_BYTES, SETTLE, TAP, connect, get, make_tap, start, stop};
use super::report::{Figure, Report, Unit};
use super::subject::Bench;
use crate::qemu::{Accelerator, Launch, Network};
use anyhow::{Context, Result, bail};
use std::process::Command;

const CORES: u32 = 2;
/// So few that each has its next request before the host acknowledges the last answer by itself.
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 128;
/// Two cores shall serve 1.8 times what one does, so they may spend so much more on a request.
const COST_LIMIT: f64 = 2.0 / 1.8;

/// Measures. The tap of before is made anew.
pub(super) fn measure(bench: &Bench, report: &mut Report, launch: &Launch) -> Result<()> {
    let name = "request on two cores / on one core";
    let Ok(plugin) = bench.plugin() else {
        report.add(bench.uncounted(name, Unit::Ratio));
        return Ok(());
    };
    bench.shell.status("Counting", "instructions of two cores");
    let mut costs = Vec::new();
    for cores in [1, CORES] {
        let gone = Command::new("ip").args(["link", "del", TAP]).status();
        if !gone.context("cannot run ip")?.success() {
            bail!("the tap {TAP} cannot be taken away");
        }
        make_tap(cores)?;
        let counter = Counter::new(bench.folder());
        let mut launch = launch.clone();
        launch.accelerator = Accelerator::Tcg;
        launch.cores = cores;
        launch.network = Network::Tap {
            name: TAP.into(),
            queues: cores,
        };
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
