//! Suspend, resume, kill, on the own core and on another one.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use toro::Error;
use toro::core::{count, spawn_on};
use toro::thread::{Control, Killed};

use crate::wait_until;

pub(crate) fn run() {
    for core in [0, count() - 1] {
        suspended(core);
        suspended_while_it_waits(core);
        suspended_by_itself(core);
        killed_at_each_kill_point(core);
        killed_with_a_lock(core);
        killed_while_suspended(core);
        killed_in_a_wait_of_std(core);
        many_at_once(core);
    }
    ended_threads_are_errors();
}

fn is_killed<T: std::fmt::Debug>(thread: JoinHandle<T>) {
    let payload = thread.join().unwrap_err();
    assert!(payload.is::<Killed>());
}

fn suspended(core: usize) {
    let count = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&count);
    let thread = spawn_on(core, move || {
        while counter.fetch_add(1, Ordering::Relaxed) < u32::MAX / 2 {
            toro::thread::yield_now();
        }
    })
    .unwrap();
    assert_eq!(thread.core(), core);
    for _ in 0..3 {
        let before = count.load(Ordering::Relaxed);
        wait_until(|| count.load(Ordering::Relaxed) > before);
        thread.suspend().unwrap();
        thread.suspend().unwrap();
        // It may finish the round that it is in.
        thread::sleep(Duration::from_millis(20));
        let still = count.load(Ordering::Relaxed);
        thread::sleep(Duration::from_millis(50));
        assert_eq!(count.load(Ordering::Relaxed), still);
        thread.resume().unwrap();
        wait_until(|| count.load(Ordering::Relaxed) > still);
    }
    thread.kill().unwrap();
    is_killed(thread);
}

/// The wake-up comes while it is suspended, and is not lost.
fn suspended_while_it_waits(core: usize) {
    let (sender, receiver) = mpsc::channel();
    let got = Arc::new(AtomicU32::new(0));
    let shared = Arc::clone(&got);
    let waits = spawn_on(core, move || {
        shared.store(receiver.recv().unwrap(), Ordering::Relaxed);
    });
    let waits = waits.unwrap();
    thread::sleep(Duration::from_millis(10));
    waits.suspend().unwrap();
    sender.send(7).unwrap();
    thread::sleep(Duration::from_millis(50));
    assert_eq!(got.load(Ordering::Relaxed), 0);
    waits.resume().unwrap();
    waits.join().unwrap();
    assert_eq!(got.load(Ordering::Relaxed), 7);
}

fn suspended_by_itself(core: usize) {
    let steps = Arc::new(AtomicU32::new(0));
    let shared = Arc::clone(&steps);
    let thread = spawn_on(core, move || {
        shared.store(1, Ordering::Relaxed);
        toro::thread::current().suspend().unwrap();
        shared.store(2, Ordering::Relaxed);
    })
    .unwrap();
    wait_until(|| steps.load(Ordering::Relaxed) == 1);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(steps.load(Ordering::Relaxed), 1);
    thread.resume().unwrap();
    thread.join().unwrap();
}

fn killed_at_each_kill_point(core: usize) {
    let points: [fn(); 7] = [
        || toro::thread::park_forever(),
        || toro::thread::sleep(Duration::from_secs(1 << 30)),
        || toro::thread::sleep(Duration::MAX),
        toro::thread::yield_now,
        toro::thread::polling,
        || {
            toro::thread::checkpoint();
            thread::yield_now();
        },
        || {
            let (_sender, receiver) = toro::message::channel::<u32>(1).unwrap();
            let _ = receiver.receive();
        },
    ];
    for (index, point) in points.into_iter().enumerate() {
        println!("kill point {index} on core {core}");
        thread_local!(static LOCAL: RefCell<Option<Arc<()>>> = const { RefCell::new(None) });
        let alive = Arc::new(());
        let (on_stack, in_local) = (Arc::clone(&alive), Arc::clone(&alive));
        let thread = spawn_on(core, move || {
            let _on_stack = on_stack;
            LOCAL.with_borrow_mut(|local| *local = Some(in_local));
            loop {
                point();
            }
        });
        let thread: JoinHandle<()> = thread.unwrap();
        thread::sleep(Duration::from_millis(5));
        thread.kill().unwrap();
        is_killed(thread);
        assert_eq!(Arc::strong_count(&alive), 1, "something was not dropped");
    }
}

/// The lock is released, and poisoned as by every panic.
fn killed_with_a_lock(core: usize) {
    let lock = Arc::new(Mutex::new(1));
    let shared = Arc::clone(&lock);
    let thread = spawn_on(core, move || {
        let _guard = shared.lock().unwrap();
        toro::thread::park_forever()
    });
    let thread: JoinHandle<()> = thread.unwrap();
    wait_until(|| lock.try_lock().is_err());
    thread.kill().unwrap();
    is_killed(thread);
    assert_eq!(*lock.lock().unwrap_err().into_inner(), 1);
}

fn killed_while_suspended(core: usize) {
    let thread = spawn_on(core, || {
        loop {
            toro::thread::yield_now();
        }
    });
    let thread: JoinHandle<()> = thread.unwrap();
    thread.suspend().unwrap();
    thread::sleep(Duration::from_millis(10));
    thread.kill().unwrap();
    is_killed(thread);
}

/// It goes on until its next kill point.
fn killed_in_a_wait_of_std(core: usize) {
    let (sender, receiver) = mpsc::channel::<u32>();
    let got = Arc::new(AtomicU32::new(0));
    let shared = Arc::clone(&got);
    let thread = spawn_on(core, move || {
        shared.store(receiver.recv().unwrap(), Ordering::Relaxed);
        toro::thread::checkpoint();
        unreachable!("a thread lives on behind a kill point");
    });
    let thread: JoinHandle<()> = thread.unwrap();
    thread::sleep(Duration::from_millis(10));
    thread.kill().unwrap();
    thread::sleep(Duration::from_millis(10));
    assert!(!thread.is_finished());
    sender.send(9).unwrap();
    is_killed(thread);
    assert_eq!(got.load(Ordering::Relaxed), 9);
}

/// Killers, suspenders and a thread that all run at once.
fn many_at_once(core: usize) {
    for round in 0..100 {
        let victim = spawn_on(core, move || {
            loop {
                match round % 3 {
                    0 => toro::thread::sleep(Duration::from_micros(100)),
                    1 => toro::thread::yield_now(),
                    _ => toro::thread::polling(),
                }
            }
        });
        let victim: JoinHandle<()> = victim.unwrap();
        let handle = victim.control();
        let disturb = |core| {
            let handle = handle.clone();
            let disturb = move || {
                for _ in 0..20 {
                    // It may have ended.
                    let _ = handle.suspend().and_then(|()| handle.resume());
                    thread::yield_now();
                }
            };
            spawn_on(core, disturb).unwrap()
        };
        let disturbers: Vec<_> = (0..count()).map(disturb).collect();
        handle.kill().unwrap();
        for disturber in disturbers {
            disturber.join().unwrap();
        }
        is_killed(victim);
        assert!(handle.has_ended());
    }
}

fn ended_threads_are_errors() {
    let thread = spawn_on(count() - 1, toro::thread::current).unwrap();
    wait_until(|| thread.is_finished());
    let handle = thread.join().unwrap();
    wait_until(|| handle.has_ended());
    assert_eq!(handle.suspend(), Err(Error::ThreadEnded));
    assert_eq!(handle.resume(), Err(Error::ThreadEnded));
    assert_eq!(handle.kill(), Err(Error::ThreadEnded));
    assert_eq!(handle.core(), count() - 1);
}
