//! What threads, wake-ups, messages and memory cost: for each, the median of several rounds, in nanoseconds an operation.
//!
//! `cargo toro bench cores` runs it on Toro and, built without the feature `toro`, as the first process of a Linux guest. What differs is in
//! [`system`].

#[cfg_attr(feature = "toro", path = "toro.rs")]
#[cfg_attr(not(feature = "toro"), path = "linux.rs")]
mod system;

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

const ROUNDS: usize = 9;

fn main() {
    system::begin();
    type Benchmark = (&'static str, fn() -> f64);
    let benchmarks: [Benchmark; 7] = [
        ("thread switch", switch),
        ("thread start and join", spawn),
        ("wake on the same core", || wake(0)),
        ("wake on another core", || wake(1)),
        ("message there and back", message),
        ("allocate and free", allocate),
        ("free on another core", free_elsewhere),
    ];
    for (name, benchmark) in benchmarks {
        let mut rounds: Vec<_> = (0..ROUNDS).map(|_| benchmark()).collect();
        rounds.sort_by(f64::total_cmp);
        println!("figure {name} = {:.1}", rounds[ROUNDS / 2]);
    }
    println!("figures end");
    // The first process of a Linux must not end before this was read.
    thread::sleep(Duration::from_secs(1));
}

fn per(start: Instant, operations: u32) -> f64 {
    start.elapsed().as_nanos() as f64 / f64::from(operations)
}

/// Two threads of a core yield to each other. A system may let a thread that yields go on, so the switches are counted that took place.
fn switch() -> f64 {
    const YIELDS: u32 = 3000;
    let runs = Arc::new(AtomicU32::new(0));
    let switches = Arc::new(AtomicU32::new(0));
    let yield_as = |me: u32, runs: &AtomicU32, switches: &AtomicU32| {
        for _ in 0..YIELDS {
            if runs.swap(me, Ordering::Relaxed) != me {
                switches.fetch_add(1, Ordering::Relaxed);
            }
            thread::yield_now();
        }
    };
    let (theirs, counted) = (Arc::clone(&runs), Arc::clone(&switches));
    let other = system::spawn_on(0, move || yield_as(1, &theirs, &counted));
    while runs.load(Ordering::Relaxed) == 0 {
        thread::yield_now();
    }
    let (start, before) = (Instant::now(), switches.load(Ordering::Relaxed));
    yield_as(2, &runs, &switches);
    let (elapsed, after) = (start.elapsed(), switches.load(Ordering::Relaxed));
    other.join().unwrap();
    elapsed.as_nanos() as f64 / f64::from((after - before).max(1))
}

fn spawn() -> f64 {
    const THREADS: u32 = 200;
    let start = Instant::now();
    for number in 0..THREADS {
        let thread = system::spawn_on(0, move || number);
        assert_eq!(thread.join().unwrap(), number);
    }
    per(start, THREADS)
}

/// Two threads park and wake each other; the time is that of one wake-up.
fn wake(core: usize) -> f64 {
    const TURNS: u32 = 500;
    let turn = Arc::new(AtomicU32::new(0));
    let first = thread::current();
    let shared = Arc::clone(&turn);
    let take_turns = move |parity: u32, other: &Thread, turn: &AtomicU32| {
        for round in 0..TURNS {
            while turn.load(Ordering::Acquire) != 2 * round + parity {
                thread::park();
            }
            turn.store(2 * round + parity + 1, Ordering::Release);
            other.unpark();
        }
    };
    let second = system::spawn_on(core, move || take_turns(1, &first, &shared));
    let start = Instant::now();
    take_turns(0, second.thread(), &turn);
    second.join().unwrap();
    per(start, 2 * TURNS)
}

fn message() -> f64 {
    const MESSAGES: u32 = 500;
    let (to, from_main) = system::channel::<u32>(4);
    let (back, receiver) = system::channel::<u32>(4);
    let echo = system::spawn_on(1, move || {
        for _ in 0..MESSAGES {
            system::send(&back, system::receive(&from_main));
        }
    });
    let start = Instant::now();
    for number in 0..MESSAGES {
        system::send(&to, number);
        assert_eq!(system::receive(&receiver), number);
    }
    let each = per(start, MESSAGES);
    echo.join().unwrap();
    each
}

fn allocate() -> f64 {
    const OBJECTS: u32 = 20_000;
    let start = Instant::now();
    for number in 0..OBJECTS {
        black_box(Box::new([number; 16]));
    }
    per(start, OBJECTS)
}

/// One core allocates, the other one frees.
fn free_elsewhere() -> f64 {
    const BATCHES: u32 = 20;
    const BATCH: u32 = 500;
    let (sender, receiver) = mpsc::sync_channel::<Vec<Box<[u32; 16]>>>(2);
    let frees = system::spawn_on(1, move || receiver.iter().map(|batch| batch.len()).sum());
    let start = Instant::now();
    for _ in 0..BATCHES {
        let batch = (0..BATCH).map(|number| Box::new([number; 16]));
        sender.send(batch.collect()).unwrap();
    }
    drop(sender);
    let count: usize = frees.join().unwrap();
    assert_eq!(count, (BATCHES * BATCH) as usize);
    per(start, BATCHES * BATCH)
}
