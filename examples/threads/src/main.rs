//! What a thread is on Toro: it has a core, and the program rules over both. A process of Linux asks; here it decides.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use toro::core::{Builder, spawn_on, statistics};
use toro::thread::{Control, Killed};

fn main() -> toro::Result<()> {
    each_core_has_its_worker()?;
    a_worker_is_stopped_and_goes_on()?;
    a_killed_worker_leaves_nothing_behind()?;
    polling_costs_nothing()
}

/// One thread on each core. None ever moves, so each core's data is its own.
fn each_core_has_its_worker() -> toro::Result<()> {
    let count = toro::core::count();
    println!("{count} cores");
    let mut workers = Vec::new();
    for core in 0..count {
        let worker = Builder::new(core).name(format!("worker {core}"));
        workers.push(worker.spawn(|| {
            let name = thread::current().name().map(str::to_owned);
            (name.unwrap_or_default(), toro::core::current())
        })?);
    }
    for worker in workers {
        let (name, core) = worker.join().expect("a worker that does not panic");
        println!("  {name} ran on core {core}");
    }
    // A mistake is an error that names it.
    if let Err(error) = spawn_on(count, || ()) {
        println!("  {error}");
    }
    Ok(())
}

/// A suspended thread does not run, whatever wakes it.
fn a_worker_is_stopped_and_goes_on() -> toro::Result<()> {
    let count = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&count);
    let worker: JoinHandle<()> = spawn_on(1, move || {
        loop {
            counter.fetch_add(1, Ordering::Relaxed);
            toro::thread::sleep(Duration::from_millis(1));
        }
    })?;
    thread::sleep(Duration::from_millis(50));
    worker.suspend()?;
    thread::sleep(Duration::from_millis(10));
    let stopped = count.load(Ordering::Relaxed);
    thread::sleep(Duration::from_millis(50));
    let is_still = count.load(Ordering::Relaxed) == stopped;
    println!(
        "suspended: it counts on? {}",
        if is_still { "no" } else { "yes" }
    );
    worker.resume()?;
    thread::sleep(Duration::from_millis(50));
    let goes_on = count.load(Ordering::Relaxed) > stopped;
    println!(
        "resumed: it counts on? {}",
        if goes_on { "yes" } else { "no" }
    );
    worker.kill()?;
    let _ = worker.join();
    Ok(())
}

/// A kill unwinds: locks are released, values dropped.
fn a_killed_worker_leaves_nothing_behind() -> toro::Result<()> {
    let lock = Arc::new(Mutex::new(0));
    let held = Arc::clone(&lock);
    let worker: JoinHandle<()> = spawn_on(2, move || {
        let _guard = held.lock();
        toro::thread::park_forever()
    })?;
    while lock.try_lock().is_ok() {
        thread::yield_now();
    }
    worker.kill()?;
    let end = worker.join().expect_err("a killed thread");
    println!("killed while it held a lock: {}", end.is::<Killed>());
    // Poisoned, as after every panic, but free.
    let is_free = !matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
    println!(
        "  the lock is free: {is_free}; others that share it: {}",
        Arc::strong_count(&lock) - 1
    );
    Ok(())
}

/// A thread that looks at a variable again and again answers faster than one that sleeps, and keeps its core busy. Here it says so: the
/// core halts, and still the answer comes at once.
fn polling_costs_nothing() -> toro::Result<()> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    static ANSWERED: AtomicU32 = AtomicU32::new(0);
    let poller: JoinHandle<()> = spawn_on(3, || {
        loop {
            let asked = ASKED.load(Ordering::Acquire);
            if asked == ANSWERED.load(Ordering::Relaxed) {
                toro::thread::polling();
            } else {
                ANSWERED.store(asked, Ordering::Release);
                toro::thread::worked();
            }
        }
    })?;
    let before = statistics(3)?.halted;
    for question in 1..=100 {
        ASKED.store(question, Ordering::Release);
        toro::thread::worked();
        while ANSWERED.load(Ordering::Acquire) != question {
            toro::thread::polling();
        }
        thread::sleep(Duration::from_millis(5));
    }
    let halted = statistics(3)?.halted - before;
    println!("a thread polled for half a second and answered 100 questions");
    let is_idle = halted > Duration::from_millis(250);
    println!("  its core halted most of the time: {is_idle}");
    poller.kill()?;
    let _ = poller.join();
    Ok(())
}
