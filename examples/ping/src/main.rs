//! Echo requests to one host after the other, with statistics as ping(8) prints them.
//!
//! [`options`] reads the arguments, [`summary`] computes what is printed at the end. Requests of others are answered by the kernel; `-l`
//! has the program stay for that.

mod options;
mod summary;

use std::net::{IpAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use toro::net;

use crate::options::{Options, USAGE};
use crate::summary::Summary;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("ping: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut is_all_answered = true;
    for host in &options.hosts {
        match resolve(host) {
            Some(address) => is_all_answered &= ping(host, address, &options),
            None => {
                eprintln!("ping: {host}: no such host");
                is_all_answered = false;
            }
        }
    }
    if options.stays
        && let Err(error) = stay()
    {
        eprintln!("ping: {error}");
        return ExitCode::from(2);
    }
    match is_all_answered {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The address of a host, which is an address or a name.
fn resolve(host: &str) -> Option<IpAddr> {
    if let Ok(address) = host.parse() {
        return Some(address);
    }
    let mut addresses = (host, 0).to_socket_addrs().ok()?;
    addresses.next().map(|address| address.ip())
}

/// Pings one host; whether it answered at all.
fn ping(host: &str, address: IpAddr, options: &Options) -> bool {
    println!("PING {host} ({address}): {} bytes", options.len);
    let begin = Instant::now();
    let mut summary = Summary::default();
    for sequence in 1..=options.count {
        let next = Instant::now() + options.interval;
        summary.sent += 1;
        match net::ping(address, options.timeout, options.len) {
            Ok(pong) => {
                summary.add(pong.round_trip);
                println!(
                    "{} bytes from {address}: seq={sequence} ttl={} time={:.3} ms",
                    options.len,
                    pong.ttl,
                    milliseconds(pong.round_trip)
                );
            }
            Err(error) => println!("seq={sequence}: {error}"),
        }
        if sequence != options.count {
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
    println!("--- {host} ping statistics ---");
    print!("{}", summary.text(begin.elapsed()));
    summary.received() != 0
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Answers the requests of others until the machine is ended.
fn stay() -> toro::Result<()> {
    for interface in net::interfaces()? {
        if let Some((address, _)) = interface.address {
            println!("Answering pings to {address} ({})", interface.name);
        }
    }
    loop {
        thread::park();
    }
}
