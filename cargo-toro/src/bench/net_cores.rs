//! What a second core adds to the service on a tap: a card with a queue for each, and the instructions of the one that has more to do. The
//! host's own cores do not matter to it.

use super::counter::Counter;
use super::net::{PAGE, PAGE_BYTES, SETTLE, TAP, connect, get, make_tap, start, stop};
use super::report::{Figure, Report, Unit};
use super::subject::Bench;
use crate::qemu::{Accelerator, Launch, Network};
use anyhow::{Context, Result, bail};
use std::process::Command;

const CORES: u32 = 2;
/// So many that their ends are spread evenly.
const CONNECTIONS: usize = 512;
const ROUNDS: usize = 4;
/// Two cores shall serve 1.8 times what one does.
const SHARE_LIMIT: f64 = 1.0 / 1.8;

/// Measures. The tap of before is made anew.
pub(super) fn measure(bench: &Bench, report: &mut Report, launch: &Launch) -> Result<()> {
    let name = "request on the busier of two cores / on one core";
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
        let each = count(&counter, cores as usize)?;
        stop(&mut vm)?;
        costs.push(each);
    }
    let [one, two] = costs[..] else {
        return Ok(());
    };
    let figure = Figure::new(name, two / one, Unit::Ratio).at_most(SHARE_LIMIT);
    report.add(figure.note(format!("{two:.0} / {one:.0} instructions")));
    Ok(())
}

/// Instructions of a request, of the core that has executed most.
fn count(counter: &Counter, cores: usize) -> Result<f64> {
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
    let before = counter.each(cores)?;
    (0..ROUNDS).try_for_each(|_| round())?;
    std::thread::sleep(SETTLE);
    let after = counter.each(cores)?;
    let spent = after
        .iter()
        .zip(&before)
        .map(|(after, before)| after.wrapping_sub(*before));
    let most = spent.max().context("no core was counted")?;
    Ok(most as f64 / (CONNECTIONS * ROUNDS) as f64)
}
