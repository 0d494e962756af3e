//! How small it is: the images, and the memory they need.

use super::load::{self, Plan};
use super::report::{Figure, Report, Unit};
use super::statistics::smallest;
use super::subject::{Bench, HELLO, Machinery, Subject};
use crate::values::Size;
use crate::vm::End;
use anyhow::{Context, Result};
use std::ops::RangeInclusive;
use std::time::Duration;

const MIB: f64 = (1 << 20) as f64;
/// Memory is tried in steps of half a MiB, from 1 to 64 MiB.
const STEP_BYTES: u64 = 512 << 10;
const STEPS: RangeInclusive<u64> = 2..=128;
/// A guest that serves at all does so long before.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a guest must stand to count as one that serves.
const LOAD: Plan = Plan {
    connections: 8,
    requests: 200,
    is_kept_alive: true,
};

const HELLO_LIMIT_MIB: f64 = 0.6;
const SERVICE_LIMIT_MIB: f64 = 1.0;
const MEMORY_LIMIT_MIB: f64 = 12.0;

/// Measures images and memory of hello and of the service.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let (hello, service) = (bench.build(HELLO)?, bench.service()?);
    for (subject, limit) in [(&hello, HELLO_LIMIT_MIB), (&service, SERVICE_LIMIT_MIB)] {
        let size = bench.elf_bytes(subject)? as f64 / MIB;
        report.add(
            Figure::new(format!("{}, boot ELF", subject.name()), size, Unit::Mib).at_most(limit),
        );
    }
    let plain = bench.plain_machine(&hello, bench.way(&hello), None)?;
    let smallest = search(bench, &hello, &plain, |machinery| {
        Ok(machinery.run(None)?.1 == End::Exited(0))
    })?;
    report.add(figure(&hello, &plain, smallest));
    let machinery = bench.service_machine(&service, bench.way(&service))?;
    measure_memory(bench, report, &service, machinery)
}

/// Measures the smallest memory in which a service serves.
pub(super) fn measure_memory(
    bench: &Bench,
    report: &mut Report,
    service: &Subject,
    machinery: Machinery,
) -> Result<()> {
    let machinery = machinery.for_connections(LOAD.connections);
    let smallest = search(bench, service, &machinery, |machinery| {
        let mut guest = machinery.start(None)?;
        guest.answer_within(PATIENCE)?;
        Ok(load::run(&guest.target, LOAD)?.failures == 0)
    })?;
    report.add(figure(service, &machinery, smallest).at_most(MEMORY_LIMIT_MIB));
    Ok(())
}

fn figure(subject: &Subject, machinery: &Machinery, steps: Option<u64>) -> Figure {
    let name = format!("{}, smallest memory ({})", subject.name(), machinery.way);
    match steps {
        Some(steps) => Figure::new(name, (steps * STEP_BYTES) as f64 / MIB, Unit::Mib),
        None => Figure::missing(
            name,
            Unit::Mib,
            "it does not work with the largest memory tried",
        ),
    }
}

/// The smallest number of steps with which `works` is true; an error of it counts as false.
fn search(
    bench: &Bench,
    subject: &Subject,
    machinery: &Machinery,
    works: impl Fn(&Machinery) -> Result<bool>,
) -> Result<Option<u64>> {
    smallest(STEPS, |steps| {
        let mut machinery = machinery.clone();
        machinery.launch.memory = Size {
            bytes: steps * STEP_BYTES,
        };
        bench.shell.status(
            "Trying",
            format_args!("{} with {}", subject.name(), machinery.launch.memory),
        );
        let result = works(&machinery);
        super::check_interrupt()?;
        if let Err(error) = &result {
            bench.shell.detail("Failed", format_args!("{error:#}"));
        }
        anyhow::Ok(result.unwrap_or(false))
    })
    .with_context(|| format!("cannot find the smallest memory of {}", subject.name()))
}
