//! Services of axum and of std, each against the same program as the only process of Linux: in the same machine, with the same card and client.

use super::debian::{Debian, content};
use super::guest_memory::GuestMemory;
use super::http;
use super::linux;
use super::load::Plan;
use super::report::{Figure, Report, Unit};
use super::size;
use super::subject::{ADDRESS, Bench, GATEWAY, Machinery, Subject};
use crate::values::Size;
use anyhow::Result;
use std::time::Duration;

/// A program of this repository, and what is promised of it.
struct Service {
    package: &'static str,
    /// Instructions of a request on a kept connection.
    request_limit: f64,
    /// Instructions of a connection with one request.
    connection_limit: f64,
    /// How much larger the image may be than the program for Linux, in MiB, where that is promised.
    size_limit_mib: Option<f64>,
}

const SERVICES: [Service; 2] = [
    Service {
        package: "bench-axum",
        request_limit: 18_000.0,
        connection_limit: 60_000.0,
        size_limit_mib: Some(0.5),
    },
    Service {
        package: "bench-threads",
        request_limit: 8000.0,
        connection_limit: 60_000.0,
        size_limit_mib: None,
    },
];

/// Enough for both systems.
const MEMORY: Size = Size::mib(256);
/// Connections at a time, and requests in all.
const LOADS: [(usize, usize); 3] = [(1, 2000), (32, 6400), (128, 6400)];
const SETTLE: Duration = Duration::from_millis(300);
const PERCENTILE: usize = 99;
const MIB: f64 = (1 << 20) as f64;
const MICROSECONDS: f64 = 1e6;

/// Measures all of them.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    SERVICES
        .iter()
        .try_for_each(|service| measure_one(bench, report, service))
}

fn measure_one(bench: &Bench, report: &mut Report, service: &Service) -> Result<()> {
    let subject = bench.build(service.package)?;
    let toro = bench.network_machine(&subject, MEMORY)?;
    let linux = linux_guest(bench, &subject, &toro);
    let linux = linux.inspect_err(|error| bench.shell.note(format_args!("{error:#}")));
    let linux = linux.ok();

    let name = service.package;
    let size = bench.elf_bytes(&subject)? as f64 / MIB;
    let figure = Figure::new(format!("{name}, boot ELF"), size, Unit::Mib);
    match &linux {
        Some((_, executable)) => {
            let theirs = executable.len() as f64 / MIB;
            report.add(figure.against("Linux", theirs, None));
            let more = format!("{name}, boot ELF beyond the program for Linux");
            let figure = Figure::new(more, size - theirs, Unit::Mib);
            report.add(match service.size_limit_mib {
                Some(limit) => figure.at_most(limit),
                None => figure,
            });
        }
        None => report.add(figure),
    }
    size::measure_memory(bench, report, &subject, toro.clone())?;

    let limits = [service.request_limit, service.connection_limit].map(Some);
    http::count(bench, report, &toro, &format!("{name} on Toro, "), limits)?;
    if let Some((linux, _)) = &linux {
        http::count(
            bench,
            report,
            linux,
            &format!("{name} on Linux, "),
            [None; 2],
        )?;
    }
    let ours = load(bench, name, "Toro", &toro)?;
    let theirs = match &linux {
        Some((linux, _)) => load(bench, name, "Linux", linux)?,
        None => Vec::new(),
    };
    let mut theirs = theirs.into_iter();
    for figure in ours {
        let other = theirs.next().and_then(|other| other.value);
        report.add(match other {
            Some(other) => figure.against("Linux", other, Some(1.0)),
            None => figure,
        });
    }
    Ok(())
}

/// The machine with Linux in it, and the program as Linux has it.
fn linux_guest(bench: &Bench, subject: &Subject, toro: &Machinery) -> Result<(Machinery, Vec<u8>)> {
    let folder = subject.cache_folder().join("debian");
    let debian = Debian::fetched(&folder, &[], &bench.shell)?;
    let name = subject.name();
    let cache = subject.cache_folder().join("linux");
    let executable = content(&linux::program(name, subject.manifest(), &cache)?)?;
    let archive = folder.join(format!("{name}.cpio"));
    let files = vec![(format!("bin/{name}"), linux::PROGRAM, executable.clone())];
    let network = (ADDRESS, Some(GATEWAY));
    debian.archive(&archive, network, files, "", &format!("/bin/{name}"))?;
    Ok((toro.with_linux(debian.kernel()?, archive), executable))
}

/// Loads a guest; the same figures of each.
fn load(bench: &Bench, name: &str, who: &str, machinery: &Machinery) -> Result<Vec<Figure>> {
    let most = LOADS.map(|(connections, _)| connections).into_iter().max();
    let mut machinery = machinery.clone().for_connections(most.unwrap_or(1));
    let memory = GuestMemory::new(bench.folder())?;
    machinery.launch.extra.extend(memory.arguments(&machinery));
    let mut guest = machinery.start(None)?;
    guest.first_answer()?;
    let mut figures = Vec::new();
    for (connections, requests) in LOADS {
        bench.shell.status(
            "Loading",
            format_args!("{name} on {who} by {connections} connections"),
        );
        let plan = Plan {
            connections,
            requests,
            is_kept_alive: true,
        };
        let warm_up = Plan {
            requests: requests / 10,
            ..plan
        };
        http::loaded(&mut guest, warm_up)?;
        std::thread::sleep(SETTLE);
        let outcome = http::loaded(&mut guest, plan)?;
        let name = format!("{name}, {connections} at a time");
        let rate = requests as f64 / outcome.elapsed.as_secs_f64();
        figures.push(Figure::new(&name, rate, Unit::RequestsPerSecond));
        let time = outcome.percentile(PERCENTILE).unwrap_or_default();
        let time = time.as_secs_f64() * MICROSECONDS;
        let name = format!("{name}, {PERCENTILE} % in");
        figures.push(Figure::new(name, time, Unit::Microseconds));
    }
    let used = memory.touched_bytes()? as f64 / MIB;
    let name = format!("{name}, guest memory in use");
    figures.push(Figure::new(name, used, Unit::Mib));
    Ok(figures)
}
