//! The network at full speed: requests, new connections and bulk over a tap, of Toro and of nginx on Linux in the same machine, one after the other
//! under the same load (the program `wrk`); then what they cost Toro in guest instructions.
//!
//! The tap is in a network namespace of its own, which goes with this process, so nothing of the host's network is changed. The tool starts
//! itself again in there ([`enter`]), after everything is built and fetched: there is no way out of it.

use super::check_interrupt;
use super::counter::Counter;
use super::net_cores;
use super::nginx::{self, Nginx};
use super::options::Options;
use super::report::{Figure, Report, Unit};
use super::subject::{Bench, describe};
use crate::address::AddressV4;
use crate::failure::Failure;
use crate::qemu::{Launch, Source};
use crate::shell::Shell;
use crate::values::Size;
use crate::vm::Vm;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

/// Small requests are answered by the example, from memory and by callbacks.
const SMALL: &str = "http";
/// A program of this repository that sends and takes any number of bytes.
const LARGE: &str = "bench-net";
/// Says that this process is in the namespace.
const INSIDE: &str = "TORO_BENCH_NET_INSIDE";
pub(super) const TAP: &str = "toro0";
const HOST: &str = "10.78.0.1";
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
/// What QEMU gives the first card.
const GUEST_MAC: &str = "52:54:00:12:34:56";
const MEMORY: Size = Size::mib(256);
/// A Linux sometimes stands still under bulk, as QEMU's emulator leaves barriers out that its rings need.
const LINUX_TRIES: usize = 3;
const OPEN_FILES: usize = 16_384;

const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const SETTLE: Duration = Duration::from_millis(300);
/// How long each load lasts.
const LOAD_SECONDS: u32 = 3;
const CONNECTIONS: [usize; 4] = [1, 32, 128, 1000];
const CLOSING_CONNECTIONS: usize = 32;
const BULK_MIB: usize = 64;
pub(super) const PAGE: &str = "/index.html";
pub(super) const PAGE_BYTES: usize = 612;

/// Requests and connections that are counted.
const COUNTED: usize = 2000;
const COUNTED_NEW: usize = 500;
const FEW: usize = 10;
const MANY: usize = 10_000;
const IDLE: usize = 1000;
const IDLE_SPAN: Duration = Duration::from_secs(10);

// Goals: a third of the requests, two thirds of the bulk; instructions.
const REQUEST_RATIO: f64 = 1.0 / 3.0;
const BULK_RATIO: f64 = 1.0 / 1.5;
const REQUEST_LIMIT: f64 = 2500.0;
const CONNECTION_LIMIT: f64 = 20_000.0;
const KIB_LIMIT: f64 = 250.0;
const MANY_LIMIT: f64 = 1.3;
const IDLE_LIMIT: f64 = 1000.0;

/// Whether this process has the namespace.
pub(super) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Builds and fetches everything, then starts this tool again in a network namespace.
///
/// # Errors
/// When the host is no Linux, a program is missing, or the namespace is not allowed.
pub(super) fn enter(options: &Options, shell: &Shell) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!(Failure::new(
            "taps and network namespaces are Linux's",
            "measure with `cargo toro bench http`, or on a Linux host"
        ));
    }
    for (program, package) in [
        ("ip", "iproute2"),
        ("wrk", "wrk"),
        ("unshare", "util-linux"),
        ("prlimit", "util-linux"),
    ] {
        let found = Command::new(program).arg("--version").output();
        if found.is_err() && Command::new(program).arg("-V").output().is_err() {
            bail!(Failure::new(
                format!("this measurement needs the program {program}"),
                format!("install the package {package}")
            ));
        }
    }
    let bench = Bench::new(options.clone(), *shell)?;
    bench.build(SMALL)?;
    guest_of_linux(&bench).map_or_else(|error| shell.note(format_args!("{error:#}")), drop);
    drop(bench);
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--nofile={OPEN_FILES}:"))
        .arg("unshare");
    // Whoever is not root becomes it in a namespace of users.
    let is_root = Command::new("unshare")
        .args(["--net", "true"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_root {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .arg("--net")
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1");
    shell.command(&command);
    let status = command.status().context("cannot run prlimit")?;
    if !status.success() {
        bail!(Failure::new(
            format!("the measurement in a network namespace failed ({status})"),
            "it needs root, or a host that lets users have namespaces; and /dev/net/tun"
        ));
    }
    Ok(())
}

/// Makes the tap, with one queue or several.
pub(super) fn make_tap(queues: u32) -> Result<()> {
    let several = if queues > 1 { " multi_queue" } else { "" };
    let commands = [
        "link set lo up".to_owned(),
        format!("tuntap add dev {TAP} mode tap{several}"),
        // The host shall not look for routers on it while an idle guest is measured.
        format!("link set {TAP} addrgenmode none"),
        // A thousand clients begin with two frames each at once, of which a tap would lose half: then the host is measured, which sends them again.
        format!("link set {TAP} txqueuelen 10000"),
        format!("addr add {HOST}/24 dev {TAP}"),
        format!("link set {TAP} up"),
        // Nothing shall wait for an answer to ARP.
        format!("neigh replace {GUEST} lladdr {GUEST_MAC} nud permanent dev {TAP}"),
    ];
    for words in commands {
        let output = Command::new("ip").args(words.split(' ')).output()?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!("`ip {words}` failed: {}", message.trim());
        }
    }
    // A client of so many connections needs all ports; where this is not allowed, it has fewer.
    let settings = [
        ("net/ipv4/ip_local_port_range", "1024 65000"),
        ("net/ipv4/tcp_tw_reuse", "1"),
    ];
    for (name, value) in settings {
        let _ = std::fs::write(format!("/proc/sys/{name}"), value);
    }
    Ok(())
}

fn guest_of_linux(bench: &Bench) -> Result<Nginx> {
    let subject = bench.build(LARGE)?;
    let page = [b'x'; PAGE_BYTES];
    let address = format!("{GUEST}/24");
    nginx::guest(
        &subject.cache_folder(),
        &address,
        &page,
        BULK_MIB,
        &bench.shell,
    )
}

/// What a load is put on.
struct Server {
    name: &'static str,
    /// For small requests, and for bulk.
    small: Launch,
    large: Launch,
    download: String,
    upload: &'static str,
    /// How often a load is tried, on a new machine each time.
    tries: usize,
}

/// Measures.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    make_tap(1)?;
    let address = format!("{GUEST}/24,gateway={HOST}").parse::<AddressV4>()?;
    let launch = |name: &str| bench.on_tap(&bench.build(name)?, TAP, address, MEMORY);
    let toro = Server {
        name: "Toro",
        small: launch(SMALL)?,
        large: launch(LARGE)?,
        download: format!("/{}", BULK_MIB << 20),
        upload: "/",
        tries: 1,
    };
    let linux = guest_of_linux(bench).map(|guest| {
        let mut launch = toro.small.clone();
        launch.source = Source::Kernel {
            elf: guest.kernel,
            command_line: super::linux::COMMAND_LINE.into(),
        };
        launch.extra = vec!["-initrd".into(), guest.archive.into()];
        Server {
            name: "nginx on Linux",
            small: launch.clone(),
            large: launch,
            download: "/large".into(),
            upload: "/upload",
            tries: LINUX_TRIES,
        }
    });
    let loads = [load_by_requests, load_by_bulk];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for load in loads {
        ours.extend(tried(bench, &toro, load)?);
    }
    match linux {
        Ok(linux) => {
            for load in loads {
                // Without one load the other is compared all the same.
                match tried(bench, &linux, load) {
                    Ok(figures) => theirs.extend(figures),
                    Err(error) => bench.shell.note(format_args!("{error:#}")),
                }
            }
        }
        Err(error) => bench.shell.note(format_args!("{error:#}")),
    }
    for figure in ours {
        let (unit, ours) = (figure.unit, figure.value);
        let name = figure.name.clone();
        report.add(named(figure, toro.name));
        let Some(other) = theirs.iter().find(|other| other.name == name) else {
            continue;
        };
        report.add(named(other.clone(), "nginx on Linux"));
        let limit = match unit {
            Unit::RequestsPerSecond => REQUEST_RATIO,
            Unit::MibPerSecond => BULK_RATIO,
            _ => continue,
        };
        if let Some((ours, theirs)) = ours.zip(other.value) {
            let ratio = Figure::new(format!("{name}, nginx / Toro"), theirs / ours, Unit::Ratio);
            report.add(ratio.at_most(limit));
        }
    }
    count(bench, report, &toro)?;
    net_cores::measure(bench, report, &toro.small, &toro.large)
}

fn named(figure: Figure, who: &str) -> Figure {
    Figure {
        name: format!("{}, {who}", figure.name),
        ..figure
    }
}

/// The figures of a load, the same of each server.
type Load = fn(&Bench, &Server) -> Result<Vec<Figure>>;

/// Loads a server, on a new machine again if that failed, as often as the server may fail.
fn tried(bench: &Bench, server: &Server, load: Load) -> Result<Vec<Figure>> {
    let mut result = load(bench, server);
    for _ in 1..server.tries {
        let Err(error) = &result else { break };
        check_interrupt()?;
        let name = server.name;
        bench
            .shell
            .note(format_args!("{name} is loaded again: {error:#}"));
        result = load(bench, server);
    }
    result
}

fn load_by_requests(bench: &Bench, server: &Server) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut vm = start(&server.small)?;
    for connections in CONNECTIONS {
        bench.shell.status(
            "Loading",
            format_args!("{} by {connections} connections", server.name),
        );
        let outcome = wrk(connections, true)?;
        let name = format!("requests, {connections} at a time");
        let rate = Figure::new(&name, outcome.requests_per_second, Unit::RequestsPerSecond);
        figures.push(outcome.noted(rate));
        for (part, us) in [("median", outcome.p50_us), ("99 %", outcome.p99_us)] {
            figures.push(Figure::new(
                format!("{name}, {part}"),
                us,
                Unit::Microseconds,
            ));
        }
    }
    bench.shell.status(
        "Loading",
        format_args!("{} by new connections", server.name),
    );
    let outcome = wrk(CLOSING_CONNECTIONS, false)?;
    let name = format!("new connections, {CLOSING_CONNECTIONS} at a time");
    let rate = Figure::new(name, outcome.requests_per_second, Unit::RequestsPerSecond);
    figures.push(outcome.noted(rate));
    stop(&mut vm)?;
    Ok(figures)
}

fn load_by_bulk(bench: &Bench, server: &Server) -> Result<Vec<Figure>> {
    bench
        .shell
        .status("Loading", format_args!("{} by bulk", server.name));
    let mut figures = Vec::new();
    let mut vm = start(&server.large)?;
    let bytes = BULK_MIB << 20;
    for (name, is_upload) in [("down", false), ("up", true)] {
        let once = || match is_upload {
            false => download(&server.download, bytes),
            true => upload(server.upload, bytes),
        };
        once()?;
        let start = Instant::now();
        once()?;
        let rate = BULK_MIB as f64 / start.elapsed().as_secs_f64();
        figures.push(Figure::new(
            format!("{BULK_MIB} MiB {name}"),
            rate,
            Unit::MibPerSecond,
        ));
    }
    stop(&mut vm)?;
    Ok(figures)
}

/// Starts a server and waits until it answers.
pub(super) fn start(launch: &Launch) -> Result<Vm> {
    let mut vm = Vm::start(launch)?;
    let since = Instant::now();
    let _ = vm.wait_for("Serving", PATIENCE);
    loop {
        check_interrupt()?;
        if TcpStream::connect_timeout(&(GUEST, 80).into(), Duration::from_secs(1)).is_ok() {
            return Ok(vm);
        }
        if let Some(end) = vm.end_within(Duration::from_millis(50)) {
            bail!("the guest ended: {}\n{}", describe(&end), vm.console());
        }
        if since.elapsed() > PATIENCE {
            bail!("the guest does not answer; its console:\n{}", vm.console());
        }
    }
}

/// Ends a server, which must still run.
pub(super) fn stop(vm: &mut Vm) -> Result<()> {
    check_interrupt()?;
    if let Some(end) = vm.end_within(Duration::ZERO) {
        bail!(
            "the guest ended under the load: {}\n{}",
            describe(&end),
            vm.console()
        );
    }
    vm.kill();
    Ok(())
}

/// What `wrk` says.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) requests: f64,
    pub(super) requests_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    /// Its words about what went wrong.
    trouble: Vec<String>,
}

impl Outcome {
    pub(super) fn noted(&self, figure: Figure) -> Figure {
        match self.trouble.is_empty() {
            true => figure,
            false => figure.note(self.trouble.join("; ")),
        }
    }
}

fn wrk(connections: usize, is_kept_alive: bool) -> Result<Outcome> {
    wrk_on(PAGE, connections, is_kept_alive)
}

/// Loads the server with requests for a page.
pub(super) fn wrk_on(page: &str, connections: usize, is_kept_alive: bool) -> Result<Outcome> {
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--latency", "--timeout", "10s"]);
    command.arg("--connections").arg(connections.to_string());
    command.arg("--duration").arg(format!("{LOAD_SECONDS}s"));
    if !is_kept_alive {
        command.args(["--header", "Connection: close"]);
    }
    let output = command.arg(format!("http://{GUEST}{page}")).output()?;
    check_interrupt()?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).with_context(|| format!("wrk says something else than expected:\n{text}"))
}

fn parse(text: &str) -> Option<Outcome> {
    let field = |name: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find_map(|line| Some(line.strip_prefix(name)?.trim()))
    };
    let trouble = text.lines().map(str::trim);
    let trouble =
        trouble.filter(|line| line.starts_with("Socket errors") || line.starts_with("Non-2xx"));
    let mut requests = text
        .lines()
        .filter_map(|line| line.split_once(" requests in "));
    Some(Outcome {
        requests: requests.next()?.0.trim().parse().ok()?,
        requests_per_second: field("Requests/sec:")?.parse().ok()?,
        p50_us: microseconds(field("50%")?)?,
        p99_us: microseconds(field("99%")?)?,
        trouble: trouble.map(str::to_owned).collect(),
    })
}

/// A time as `wrk` prints it, such as `1.20ms`.
fn microseconds(text: &str) -> Option<f64> {
    let end = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

pub(super) fn connect() -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&(GUEST, 80).into(), PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Requests something, and reads the head of the answer with `body_bytes` after it.
pub(super) fn get(stream: &mut TcpStream, path: &str, body_bytes: usize) -> Result<()> {
    // In one segment.
    let request = format!("GET {path} HTTP/1.1\r\nHost: toro\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut buffer = vec![0; 256 << 10];
    let (mut len, mut expected) = (0, None);
    while expected.is_none_or(|expected| len < expected) {
        let room = match expected {
            None => buffer.get_mut(len..),
            Some(_) => buffer.get_mut(..),
        };
        let count = stream.read(room.unwrap_or_default())?;
        if count == 0 {
            bail!("the server closed the connection after {len} bytes");
        }
        len += count;
        if expected.is_none() {
            let text = buffer.get(..len).unwrap_or_default();
            let head = text.windows(4).position(|four| four == b"\r\n\r\n");
            if !text.starts_with(b"HTTP/1.1 200") && text.len() >= 12 {
                bail!("the answer is {:?}", String::from_utf8_lossy(text));
            }
            expected = head.map(|head| head + 4 + body_bytes);
        }
    }
    Ok(())
}

fn download(path: &str, bytes: usize) -> Result<()> {
    get(&mut connect()?, path, bytes)
}

/// Posts so many bytes, and waits until all are taken: the server closes its side after them.
fn upload(path: &str, bytes: usize) -> Result<()> {
    let mut stream = connect()?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: toro\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let block = vec![0; 64 << 10];
    let mut left = bytes;
    while left != 0 {
        let count = left.min(block.len());
        stream.write_all(&block[..count])?;
        left -= count;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if !answer.starts_with(b"HTTP/1.1 204") {
        bail!("the answer is {:?}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// What requests, connections and bulk cost in instructions.
fn count(bench: &Bench, report: &mut Report, toro: &Server) -> Result<()> {
    let Ok(plugin) = bench.plugin() else {
        report.add(bench.uncounted("instructions on a tap", Unit::Instructions));
        return Ok(());
    };
    bench.shell.status("Counting", "instructions");
    let counter = Counter::new(bench.folder());
    let counted = |launch: &Launch| {
        let mut launch = launch.clone();
        launch.accelerator = crate::qemu::Accelerator::Tcg;
        launch.extra.extend(counter.arguments(plugin));
        start(&launch)
    };
    let cost = |divisor: usize, work: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
        std::thread::sleep(SETTLE);
        let before = counter.total()?;
        work()?;
        std::thread::sleep(SETTLE);
        Ok(counter.total()?.wrapping_sub(before) as f64 / divisor as f64)
    };
    let mut vm = counted(&toro.small)?;
    let mut stream = connect()?;
    get(&mut stream, PAGE, PAGE_BYTES)?;
    let each = cost(COUNTED, &mut || {
        (0..COUNTED).try_for_each(|_| get(&mut stream, PAGE, PAGE_BYTES))
    })?;
    let name = "keep-alive request on a tap, Toro";
    report.add(Figure::new(name, each, Unit::Instructions).at_most(REQUEST_LIMIT));
    let each = cost(COUNTED_NEW, &mut || {
        (0..COUNTED_NEW).try_for_each(|_| download(PAGE, PAGE_BYTES))
    })?;
    let name = "new connection with one request on a tap, Toro";
    report.add(Figure::new(name, each, Unit::Instructions).at_most(CONNECTION_LIMIT));
    stop(&mut vm)?;

    let mut vm = counted(&toro.large)?;
    let bytes = BULK_MIB << 20;
    download(&toro.download, bytes)?;
    let each = cost(bytes >> 10, &mut || download(&toro.download, bytes))?;
    report.add(Figure::new("a KiB down, Toro", each, Unit::Instructions).at_most(KIB_LIMIT));
    upload(toro.upload, bytes)?;
    let each = cost(bytes >> 10, &mut || upload(toro.upload, bytes))?;
    report.add(Figure::new("a KiB up, Toro", each, Unit::Instructions).at_most(KIB_LIMIT));

    let path = format!("/{PAGE_BYTES}");
    let mut streams = Vec::new();
    let mut costs = Vec::new();
    for connections in [FEW, IDLE, MANY] {
        while streams.len() < connections {
            check_interrupt()?;
            streams
                .push(connect().with_context(|| format!("after {} connections", streams.len()))?);
        }
        if connections == IDLE {
            let span = &mut || {
                std::thread::sleep(IDLE_SPAN);
                Ok(())
            };
            // Timers of the last requests come to an end first.
            std::thread::sleep(IDLE_SPAN / 5);
            let each = cost(IDLE_SPAN.as_secs() as usize, span)?;
            let name = format!("idle with {connections} connections, Toro");
            report.add(Figure::new(name, each, Unit::InstructionsPerSecond).at_most(IDLE_LIMIT));
            continue;
        }
        // Once each, so that all have their buffers; then in turn.
        streams
            .iter_mut()
            .try_for_each(|stream| get(stream, &path, PAGE_BYTES))?;
        let rounds = MANY / connections;
        let each = cost(rounds * connections, &mut || {
            for _ in 0..rounds {
                streams
                    .iter_mut()
                    .try_for_each(|stream| get(stream, &path, PAGE_BYTES))?;
            }
            Ok(())
        })?;
        let name = format!("request, {connections} connections open, Toro");
        report.add(Figure::new(name, each, Unit::Instructions));
        costs.push(each);
    }
    if let [few, many] = costs[..] {
        let name = format!("request, {MANY} connections open / {FEW}");
        report.add(Figure::new(name, many / few, Unit::Ratio).at_most(MANY_LIMIT));
    }
    drop(streams);
    stop(&mut vm)
}

#[cfg(test)]
mod tests {
    use super::{Outcome, parse};

    #[test]
    fn the_words_of_wrk_are_understood() {
        let text = "Running 5s test @ http://10.78.0.2/\n  Latency Distribution\n     50%  980.00us\n     99%    1.25ms\n  \
            52561 requests in 5.00s, 36.00MB read\n  Socket errors: connect 0, read 3, write 0, timeout 0\nRequests/sec:  10512.34\n";
        assert_eq!(
            parse(text),
            Some(Outcome {
                requests: 52_561.0,
                requests_per_second: 10_512.34,
                p50_us: 980.0,
                p99_us: 1250.0,
                trouble: vec!["Socket errors: connect 0, read 3, write 0, timeout 0".into()],
            })
        );
        assert_eq!(parse("Requests/sec: 1"), None);
    }
}
