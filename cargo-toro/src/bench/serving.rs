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
    http::count(bench, report, &machinery, "", [Some(REQUEST_LIMIT), None])?;
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
    let mut loads = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (cards, addresses) in [&first, &both].into_iter().enumerate() {
            let load = load(&mut guest, addresses)?;
            // The first round fills caches.
            if round > 0 {
                loads[cards].push(load);
            }
        }
    }
    let of =
        |loads: &[Load], what: Part| median(&loads.iter().filter_map(what).collect::<Vec<_>>());
    let names = ["one core", "two cores"];
    for (name, loads) in names.iter().zip(&loads) {
        let rate = of(loads, |load| Some(1.0 / load.time)).unwrap_or_default();
        let name = format!("requests, {name}");
        report.add(Figure::new(name, rate, Unit::RequestsPerSecond));
    }
    for (name, loads) in names.iter().zip(&loads) {
        let parts: [(&str, Part); 2] = [
            ("this host's processors in use", |load| load.host_use),
            ("QEMU's thread for both cards in use", |load| {
                load.thread_use
            }),
        ];
        for (what, part) in parts {
            if let Some(used) = of(loads, part) {
                let name = format!("{what}, {name}");
                report.add(Figure::new(name, 100.0 * used, Unit::Percent));
            }
        }
    }
    let [one, two] = loads
        .each_ref()
        .map(|loads| of(loads, |load| Some(load.time)).unwrap_or_default());
    let figure = Figure::new("time a request, two cores / one", two / one, Unit::Ratio);
    let note = "no more is seen where QEMU's one thread for cards, or this host's processors, are in use already";
    report.add(figure.at_most(TIME_LIMIT).note(note));
    Ok(())
}

/// A figure of a load, if this host tells it.
type Part = fn(&Load) -> Option<f64>;

/// A load on one card or both.
struct Load {
    /// Seconds a request.
    time: f64,
    /// How much of this host's processors QEMU and the client used.
    host_use: Option<f64>,
    /// How much of a processor QEMU's first thread used, which carries the frames of all cards.
    thread_use: Option<f64>,
}

fn load(guest: &mut Guest, addresses: &[SocketAddr]) -> Result<Load> {
    let plan = Plan {
        connections: addresses.len(),
        requests: LOAD.requests * addresses.len() / LOAD.connections,
        ..LOAD
    };
    guest.target.addresses = addresses.to_vec();
    let qemu = guest.vm.process_id();
    let used = || Some(process::cpu_time(qemu)? + process::cpu_time(std::process::id())?);
    let (before, thread_before) = (used(), process::main_thread_time(qemu));
    let seconds = http::loaded(guest, plan)?.elapsed.as_secs_f64();
    let thread = thread_before.zip(process::main_thread_time(qemu));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Load {
        time: seconds / plan.requests as f64,
        host_use: before.zip(used()).map(|(before, after)| {
            after.saturating_sub(before).as_secs_f64() / seconds / processors as f64
        }),
        thread_use: thread
            .map(|(before, after)| after.saturating_sub(before).as_secs_f64() / seconds),
    })
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
