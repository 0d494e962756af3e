//! std's locks, channels and threads, with threads on all cores at once.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, RwLock, mpsc};
use std::thread;
use std::time::Duration;
use toro::core::{Builder, count};

const ROUNDS: u64 = 2000;

pub(crate) fn run() {
    assert_eq!(thread::available_parallelism().unwrap().get(), count());
    mutex();
    condition();
    readers();
    once();
    barrier();
    channels();
    park();
    thread_locals();
    churn();
}

/// Runs `work(core)` on every core at once, in scoped threads.
fn on_all_cores(work: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for core in 0..count() {
            let work = &work;
            let builder = Builder::new(core).name(format!("core {core}"));
            builder.spawn_scoped(scope, move || work(core)).unwrap();
        }
    });
}

fn mutex() {
    let sum = Mutex::new(0_u64);
    on_all_cores(|_| {
        for round in 0..ROUNDS {
            let mut sum = sum.lock().unwrap();
            let before = *sum;
            if round % 64 == 0 {
                thread::yield_now();
            }
            *sum = before + 1;
        }
    });
    assert_eq!(sum.into_inner().unwrap(), ROUNDS * count() as u64);
}

/// A baton goes around.
fn condition() {
    let turn = Mutex::new(0);
    let changed = Condvar::new();
    let last = 50 * count();
    on_all_cores(|core| {
        let mut turn = turn.lock().unwrap();
        while *turn < last {
            if *turn % count() == core {
                *turn += 1;
                changed.notify_all();
            } else {
                turn = changed.wait(turn).unwrap();
            }
        }
    });
    assert_eq!(turn.into_inner().unwrap(), last);
}

fn readers() {
    let pair = RwLock::new((0_u64, 0_u64));
    on_all_cores(|core| {
        for round in 0..ROUNDS {
            if (round as usize + core).is_multiple_of(4) {
                let mut pair = pair.write().unwrap();
                pair.0 += 1;
                pair.1 += 1;
            } else {
                let pair = pair.read().unwrap();
                assert_eq!(pair.0, pair.1);
            }
        }
    });
    let (first, second) = pair.into_inner().unwrap();
    assert!(first == second && first == ROUNDS / 4 * count() as u64);
}

fn once() {
    for _ in 0..100 {
        let (once, runs) = (Once::new(), AtomicU32::new(0));
        on_all_cores(|_| {
            once.call_once(|| {
                thread::yield_now();
                runs.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(runs.load(Ordering::Relaxed), 1);
        });
    }
}

fn barrier() {
    let (barrier, leaders) = (Barrier::new(count()), AtomicUsize::new(0));
    on_all_cores(|_| {
        for _ in 0..100 {
            if barrier.wait().is_leader() {
                leaders.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    assert_eq!(leaders.into_inner(), 100);
}

fn channels() {
    let (sender, receiver) = mpsc::sync_channel(4);
    let sums: Vec<_> = (0..count()).map(|_| AtomicU32::new(0)).collect();
    let sender = Mutex::new(Some(sender));
    let receiver = Mutex::new(receiver);
    on_all_cores(|core| {
        if core == 0 {
            sender.lock().unwrap().take();
            for from in receiver.lock().unwrap().iter() {
                let from: usize = from;
                sums[from].fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let own = sender.lock().unwrap().clone();
        if let Some(sender) = own {
            (0..ROUNDS).for_each(|_| sender.send(core).unwrap());
        }
    });
    // A core whose thread came after the sender was taken sends nothing; the others all.
    assert!(
        sums.iter()
            .all(|sum| [0, ROUNDS as u32].contains(&sum.load(Ordering::Relaxed)))
    );
}

/// Two threads wake each other in turn.
fn park() {
    let turn = Arc::new(AtomicU32::new(0));
    let first = thread::current();
    let shared = Arc::clone(&turn);
    let second = toro::core::spawn_on(count() - 1, move || {
        for round in 0..500 {
            while shared.load(Ordering::Acquire) != 2 * round + 1 {
                thread::park();
            }
            shared.store(2 * round + 2, Ordering::Release);
            first.unpark();
        }
    })
    .unwrap();
    for round in 0..500 {
        turn.store(2 * round + 1, Ordering::Release);
        second.thread().unpark();
        while turn.load(Ordering::Acquire) != 2 * round + 2 {
            thread::park();
        }
    }
    second.join().unwrap();
    thread::park_timeout(Duration::from_millis(1));
}

fn thread_locals() {
    thread_local!(static COUNT: Cell<u64> = const { Cell::new(0) });
    on_all_cores(|_| {
        for _ in 0..100 {
            COUNT.with(|count| count.set(count.get() + 1));
            thread::yield_now();
        }
        assert_eq!(COUNT.get(), 100);
    });
    assert_eq!(COUNT.get(), 0);
}

/// Threads that start and end on all cores at once, with memory that others free.
fn churn() {
    let (sender, receiver) = mpsc::channel();
    let receiver = Mutex::new(receiver);
    on_all_cores(|core| {
        for round in 0..50 {
            let sender = sender.clone();
            let target = (core + round) % count();
            let child = toro::core::spawn_on(target, move || {
                sender.send(vec![core as u8; 100 + round]).unwrap();
            });
            child.unwrap().join().unwrap();
            let bytes = receiver.lock().unwrap().recv().unwrap();
            assert!(bytes.iter().all(|&byte| byte == bytes[0]));
        }
    });
}
