//! What a callback service costs on a core, how little an idle machine of two cores does, and what a second core with a card of its own adds.

use super::http;
use super::idle;
use super::load::Plan;
use super::options::Options;
use super::process;
use super::report::{Figure, Report, Unit};
use super::statistics::median;
use super::subject::{Bench, Guest, Machinery, Way, free_ports};
use crate::qemu::Launch;
use anyhow::Result;
use std::net::{Ipv4Addr, SocketAddr};

/// The service with callbacks.
const SERVICE: &str = "http";
/// Port of the guest.
const PORT: u16 = 80;
/// Instructions of a keep-alive request.
const REQUEST_LIMIT: f64 = 6_000.0;
/// Two cores serve 1.8 times the requests of one.
const TIME_LIMIT: f64 = 1.0 / 1.8;
/// The load on each card: more than one at a time, so that the guest does not wait for the client.
const LOAD: Plan = Plan {
    connections: 8,
    requests: 10_000,
    is_kept_alive: true,
};
const ROUNDS: usize = 3;

/// Measures the service.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let options = Options {
        program: SERVICE.into(),
        path: Some("/".into()),
        ..bench.options.clone()
    };
    let bench = &Bench::new(options, bench.shell)?;
    let service = bench.service()?;
    let machinery = bench.service_machine(&service, Way::PC_PVH)?;
    http::count(bench, report, &machinery, [Some(REQUEST_LIMIT), None])?;
    let mut two_cores = machinery;
    two_cores.launch.cores = 2;
    idle::measure_machine(bench, report, &two_cores)?;
    scaling(bench, report, two_cores)
}

/// Loads one card, whose core serves alone, then both.
fn scaling(bench: &Bench, report: &mut Report, machinery: Machinery) -> Result<()> {
    bench
        .shell
        .status("Loading", "one core with its card, then two");
    let mut machinery = machinery.for_connections(LOAD.connections);
    let second = add_card(&mut machinery.launch)?;
    let mut guest = machinery.start(None)?;
    guest.first_answer()?;
    let first = guest.target.addresses.clone();
    let both: Vec<_> = first
        .iter()
        .zip(&second)
        .flat_map(|(a, b)| [*a, *b])
        .collect();
    let mut times = [Vec::new(), Vec::new()];
    let mut costs = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (cards, addresses) in [&first, &both].into_iter().enumerate() {
            let (time, cost) = load(&mut guest, addresses)?;
            // The first round fills caches.
            if round > 0 {
                times[cards].push(time);
                costs[cards].extend(cost);
            }
        }
    }
    let [one, two] = times.map(|times| median(&times).unwrap_or_default());
    for (name, time) in [("one core", one), ("two cores", two)] {
        let figure = Figure::new(
            format!("requests, {name}"),
            1.0 / time,
            Unit::RequestsPerSecond,
        );
        report.add(figure);
    }
    let figure = Figure::new("time a request, two cores / one", two / one, Unit::Ratio);
    report.add(figure.at_most(TIME_LIMIT));
    if let [Some(one), Some(two)] = costs.map(|costs| median(&costs)) {
        let figure = Figure::new(
            "QEMU's CPU time a request, two cores / one",
            two / one,
            Unit::Ratio,
        );
        report.add(
            figure.note("with what QEMU does for the user network, on one thread for both cards"),
        );
    }
    Ok(())
}

/// Seconds a request, and seconds of QEMU's CPU time each.
fn load(guest: &mut Guest, addresses: &[SocketAddr]) -> Result<(f64, Option<f64>)> {
    let plan = Plan {
        connections: addresses.len(),
        requests: LOAD.requests * addresses.len() / LOAD.connections,
        ..LOAD
    };
    guest.target.addresses = addresses.to_vec();
    let process = guest.vm.process_id();
    let before = process::cpu_time(process);
    let outcome = http::loaded(guest, plan)?;
    let used = before.zip(process::cpu_time(process));
    let each = |seconds: f64| seconds / plan.requests as f64;
    Ok((
        each(outcome.elapsed.as_secs_f64()),
        used.map(|(before, after)| each(after.saturating_sub(before).as_secs_f64())),
    ))
}

/// Gives the machine another card, on a user network of its own; the addresses that lead to the service on it.
fn add_card(launch: &mut Launch) -> Result<Vec<SocketAddr>> {
    let ports = free_ports(LOAD.connections)?;
    let forwards: Vec<_> = ports
        .iter()
        .map(|port| format!("hostfwd=tcp:127.0.0.1:{port}-:{PORT}"))
        .collect();
    let netdev = format!("user,id=net1,{}", forwards.join(","));
    let device = "virtio-net-pci,netdev=net1,romfile=";
    launch
        .extra
        .extend(["-netdev", &netdev, "-device", device].map(Into::into));
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok(ports.into_iter().map(address).collect())
}
