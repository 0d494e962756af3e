//! Benchmarks: figures of size, start, requests and idling, each from a virtual machine that a user can start too.
//!
//! [`size`], [`boot`], [`http`], [`idle`], [`cores`], [`storage`], [`mkfs`] and [`net`] are the measures; each returns [`report::Figure`]s. They stand on [`subject`]
//! (a program built and put into a machine), [`counter`] (guest instructions, counted by a plugin in QEMU), [`load`] (an
//! HTTP client), [`process`] (what QEMU costs the host) and [`statistics`]. [`linux`] and [`debian`] make the guests to compare with ([`nginx`] is one), [`services`] is the rest of `http` and [`serving`] of `cores`. [`profile`] shows where instructions go.
//! docs/benchmarks.md explains the figures.

pub mod options;

mod boot;
mod cores;
mod counter;
mod debian;
mod firmware;
mod guest_memory;
mod http;
mod idle;
mod linux;
mod load;
mod mkfs;
mod net;
mod net_cores;
mod nginx;
pub mod process;
mod profile;
mod report;
mod services;
mod serving;
mod size;
mod starts;
mod statistics;
mod storage;
mod subject;

use crate::interrupt;
use crate::shell::Shell;
use anyhow::{Result, bail};
use options::{Measure, Options};
use report::Report;
use subject::Bench;

/// Measures what is asked for, prints the table, and writes the JSON file if one is wanted.
pub(crate) fn run(measure: &Measure, shell: &Shell) -> Result<()> {
    interrupt::watch()?;
    type Part = fn(&Bench, &mut Report) -> Result<()>;
    let (options, parts): (Options, &[Part]) = match measure {
        Measure::Size(options) => (options.clone(), &[size::measure]),
        Measure::Boot(options) => (options.clone(), &[boot::measure, starts::measure]),
        // Who measures a program of their own is not told of ours.
        Measure::Http(options) if options.program != subject::SERVICE => {
            (options.clone(), &[http::measure])
        }
        Measure::Http(options) => (options.clone(), &[http::measure, services::measure]),
        Measure::Idle(options) => (options.clone(), &[idle::measure]),
        Measure::Cores(options) => (options.clone(), &[cores::measure, serving::measure]),
        Measure::Storage(options) => match &options.profile {
            Some(text) => return storage::profile_measures(&options.comparison, text, shell),
            None => ((&options.comparison).into(), &[storage::measure]),
        },
        Measure::Mkfs(options) => (options.into(), &[mkfs::measure]),
        Measure::Net(options) if !net::is_inside() => return net::enter(options, shell),
        Measure::Net(options) => (options.clone(), &[net::measure]),
        Measure::All(options) => (
            options.clone(),
            &[size::measure, boot::measure, http::measure, idle::measure],
        ),
        Measure::Profile(options) => return profile::run(options, shell),
    };
    let json = options.json.clone();
    let bench = Bench::new(options, *shell)?;
    let mut report = Report::new(bench.conditions()?);
    let result = parts.iter().try_for_each(|part| part(&bench, &mut report));
    // What was measured before a failure is worth showing.
    if !report.is_empty() {
        print!("{}", report.table());
    }
    if let Some(path) = &json {
        crate::parts::replace(path, report.json().as_bytes())?;
    }
    result
}

/// An error once the user has pressed Ctrl-C: every loop that waits for a guest asks.
fn check_interrupt() -> Result<()> {
    if interrupt::count() > 0 {
        bail!("interrupted");
    }
    Ok(())
}
