//! Many virtual machines, some at once, with their consoles shown one after the other.

use super::counts::Counts;
use crate::commands::run::exit_code_of;
use crate::interrupt;
use crate::qemu::Launch;
use crate::shell::Shell;
use crate::vm::Vm;
use anyhow::{Result, bail};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a waiting thread looks whether it shall stop.
const LOOK: Duration = Duration::from_millis(100);

/// One machine to run.
#[derive(Debug)]
pub(super) struct Job {
    /// What it is called while it runs.
    pub(super) title: String,
    /// The options that choose it alone.
    pub(super) rerun: String,
    pub(super) launch: Launch,
}

/// What came of all of them.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub(super) counts: Counts,
    pub(super) failed: Vec<&'a Job>,
    /// Jobs that were not run, or not to their end.
    pub(super) left_out: usize,
}

/// The console of a machine, and its end.
#[derive(Default)]
struct Progress {
    console: Vec<u8>,
    /// The exit code, or why there is none.
    end: Option<Result<Ended>>,
}

enum Ended {
    With(crate::vm::End),
    TimedOut,
}

#[derive(Default)]
struct Shared {
    progress: Mutex<Vec<Progress>>,
    changed: Condvar,
    next: AtomicUsize,
    /// No more machines are started, and those that run are killed.
    shall_stop: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the jobs, `at_once` of them at a time and each no longer than `limit`; with `stops_at_failure` none after the first that fails.
pub(super) fn run<'a>(
    jobs: &'a [Job],
    at_once: usize,
    limit: Duration,
    stops_at_failure: bool,
    shell: &Shell,
) -> Result<Outcome<'a>> {
    interrupt::watch()?;
    let shared = Arc::new(Shared::default());
    shared.lock().resize_with(jobs.len(), Progress::default);
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(jobs.len()) {
            scope.spawn(|| work(jobs, limit, &shared));
        }
        let outcome = report(jobs, limit, stops_at_failure, &shared, shell);
        shared.shall_stop.store(true, Ordering::Relaxed);
        outcome
    })
}

/// Runs one job after the other until there are none.
fn work(jobs: &[Job], limit: Duration, shared: &Arc<Shared>) {
    while !shared.shall_stop.load(Ordering::Relaxed) {
        let index = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(job) = jobs.get(index) else {
            return;
        };
        let end = in_machine(&job.launch, index, limit, shared);
        shared.lock()[index].end = Some(end);
        shared.changed.notify_all();
    }
}

fn in_machine(
    launch: &Launch,
    index: usize,
    limit: Duration,
    shared: &Arc<Shared>,
) -> Result<Ended> {
    let recorder = Arc::clone(shared);
    let record = move |bytes: &[u8]| {
        recorder.lock()[index].console.extend_from_slice(bytes);
        recorder.changed.notify_all();
    };
    let mut vm = Vm::start_with(launch, Some(Box::new(record)))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(end) = vm.end_within(LOOK) {
            return Ok(Ended::With(end));
        }
        if Instant::now() >= deadline || shared.shall_stop.load(Ordering::Relaxed) {
            vm.kill();
            return Ok(Ended::TimedOut);
        }
    }
}

/// Shows the consoles in the order of the jobs, each as it comes.
fn report<'a>(
    jobs: &'a [Job],
    limit: Duration,
    stops_at_failure: bool,
    shared: &Shared,
    shell: &Shell,
) -> Result<Outcome<'a>> {
    let mut outcome = Outcome {
        counts: Counts::default(),
        failed: Vec::new(),
        left_out: 0,
    };
    for (index, job) in jobs.iter().enumerate() {
        shell.status("Running", format_args!("{}", job.title));
        let (console, end) = follow(index, shared)?;
        let code = match end? {
            Ended::With(end) => exit_code_of(end, shell),
            Ended::TimedOut => {
                let seconds = limit.as_secs();
                shell.error(format_args!(
                    "{} ran out of its time of {seconds} s (--timeout)",
                    job.title
                ));
                1
            }
        };
        let counts = Counts::of_output(&String::from_utf8_lossy(&console), code == 0);
        outcome.counts = outcome.counts + counts;
        if counts.failed > 0 {
            outcome.failed.push(job);
            if stops_at_failure {
                outcome.left_out = jobs.len() - index - 1;
                break;
            }
        }
    }
    Ok(outcome)
}

/// Shows a machine's console until its end.
fn follow(index: usize, shared: &Shared) -> Result<(Vec<u8>, Result<Ended>)> {
    let mut shown = 0;
    let mut progress = shared.lock();
    loop {
        let this = &mut progress[index];
        // Whoever reads this may have gone; the tests go on.
        let mut output = std::io::stdout().lock();
        let _ = output
            .write_all(&this.console[shown..])
            .and_then(|()| output.flush());
        shown = this.console.len();
        if let Some(end) = this.end.take() {
            return Ok((std::mem::take(&mut this.console), end));
        }
        if interrupt::count() > 0 {
            bail!("interrupted");
        }
        progress = shared
            .changed
            .wait_timeout(progress, LOOK)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}
