//! Messages between cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use toro::Error;
use toro::core::{count, spawn_on};
use toro::message::{Sender, channel};
use toro::thread::{Control, Killed};

pub(crate) fn run() {
    there_and_back();
    order_and_fairness();
    full_channels_push_back();
    ends_that_go();
    nothing_leaks();
    odd_types();
    killed_in_a_wait();
}

fn there_and_back() {
    for core in 0..count() {
        let (to, from_main) = channel::<u64>(1).unwrap();
        let (back, receiver) = channel::<u64>(1).unwrap();
        let echo = spawn_on(core, move || {
            for number in from_main {
                back.send(number + 1).unwrap();
            }
        });
        for number in 0..100 {
            to.send(number).unwrap();
            assert_eq!(receiver.receive(), Ok(number + 1));
        }
        drop(to);
        echo.unwrap().join().unwrap();
        assert_eq!(receiver.receive(), Err(Error::Disconnected));
    }
}

/// What each core sends comes in order, and no core waits for ever.
fn order_and_fairness() {
    const EACH: u64 = 1000;
    let (sender, receiver) = channel::<(usize, u64)>(4).unwrap();
    let send = |core| {
        let sender: Sender<_> = sender.clone();
        let send = move || (0..EACH).for_each(|number| sender.send((core, number)).unwrap());
        spawn_on(core, send).unwrap()
    };
    let threads: Vec<_> = (0..count()).map(send).collect();
    drop(sender);
    let mut next = vec![0; count()];
    for (core, number) in receiver {
        assert_eq!(number, next[core]);
        next[core] += 1;
    }
    assert_eq!(next, vec![EACH; count()]);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

fn full_channels_push_back() {
    let (sender, receiver) = channel::<u32>(2).unwrap();
    assert_eq!(receiver.try_receive(), Ok(None));
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    let full = sender.try_send(3).unwrap_err();
    assert_eq!((full.message, full.error), (3, Error::Full));
    let late = sender
        .send_timeout(3, Duration::from_millis(5))
        .unwrap_err();
    assert_eq!(late.error, Error::TimedOut);
    let waits = sender.clone();
    let thread = spawn_on(0, move || waits.send(3)).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    assert!(!thread.is_finished());
    for number in 1..=3 {
        assert_eq!(receiver.receive(), Ok(number));
    }
    thread.join().unwrap().unwrap();
    let none = receiver.receive_timeout(Duration::from_millis(5));
    assert_eq!(none, Err(Error::TimedOut));
    assert!(matches!(channel::<u32>(0), Err(Error::Invalid(_))));
    assert!(matches!(
        channel::<[u64; 1024]>(usize::MAX / 64),
        Err(Error::OutOfMemory)
    ));
}

fn ends_that_go() {
    let (sender, receiver) = channel::<String>(2).unwrap();
    let waits = spawn_on(count() - 1, move || {
        sender.send("a".into()).unwrap();
        sender.send("b".into()).unwrap();
        sender.send("c".into())
    });
    std::thread::sleep(Duration::from_millis(5));
    drop(receiver);
    let error = waits.unwrap().join().unwrap().unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.error),
        ("c", Error::Disconnected)
    );
    let (sender, receiver) = channel::<String>(2).unwrap();
    sender.send("last".into()).unwrap();
    let receiver = spawn_on(count() - 1, move || {
        assert_eq!(receiver.receive().unwrap(), "last");
        receiver.receive()
    });
    std::thread::sleep(Duration::from_millis(5));
    drop(sender);
    assert_eq!(receiver.unwrap().join().unwrap(), Err(Error::Disconnected));
}

fn nothing_leaks() {
    let alive = Arc::new(());
    let (sender, receiver) = channel::<Arc<()>>(8).unwrap();
    for core in 0..count() {
        let (sender, alive) = (sender.clone(), Arc::clone(&alive));
        let send = move || (0..8).for_each(|_| sender.send(Arc::clone(&alive)).unwrap());
        spawn_on(core, send).unwrap().join().unwrap();
    }
    drop(receiver.receive().unwrap());
    assert_eq!(Arc::strong_count(&alive), 8 * count());
    drop(receiver);
    drop(sender);
    assert_eq!(Arc::strong_count(&alive), 1);
}

fn odd_types() {
    let (sender, receiver) = channel::<()>(1).unwrap();
    sender.send(()).unwrap();
    assert_eq!(receiver.receive(), Ok(()));
    #[repr(align(256))]
    struct Aligned([u8; 300]);
    let (sender, receiver) = channel::<Aligned>(2).unwrap();
    sender.send(Aligned([7; 300])).unwrap();
    sender.send(Aligned([8; 300])).unwrap();
    assert_eq!(receiver.receive().unwrap().0, [7; 300]);
    assert_eq!(receiver.receive().unwrap().0, [8; 300]);
    let (sender, receiver) = channel::<Box<dyn Fn(u32) -> u32 + Send>>(1).unwrap();
    sender.send(Box::new(|number| number * 2)).unwrap();
    assert_eq!(receiver.receive().unwrap()(21), 42);
}

/// The message of a killed sender is dropped, and the channel goes on.
fn killed_in_a_wait() {
    let alive = Arc::new(());
    let (sender, receiver) = channel::<Arc<()>>(1).unwrap();
    let (also, copy) = (sender.clone(), Arc::clone(&alive));
    let waits = spawn_on(count() - 1, move || {
        also.send(Arc::clone(&copy)).unwrap();
        also.send(copy).unwrap();
    });
    let waits = waits.unwrap();
    std::thread::sleep(Duration::from_millis(5));
    waits.kill().unwrap();
    assert!(waits.join().unwrap_err().is::<Killed>());
    drop(receiver.receive().unwrap());
    assert_eq!(Arc::strong_count(&alive), 1);
    sender.send(alive).unwrap();
    assert!(receiver.try_receive().unwrap().is_some());
}

/// All cores send to all cores, with small rings so that everybody waits now and then; every message is counted.
pub(crate) fn stress(rounds: u64) {
    let cores = count();
    let ends: Vec<_> = (0..cores)
        .map(|_| channel::<(u64, Box<u64>)>(3).unwrap())
        .collect();
    let senders: Vec<_> = ends.iter().map(|(sender, _)| sender.clone()).collect();
    let sent = Arc::new(AtomicU64::new(0));
    let mut threads = Vec::new();
    for (core, (own, receiver)) in ends.into_iter().enumerate() {
        drop(own);
        threads.push(spawn_on(core, move || {
            let mut sum = 0;
            for (number, copy) in receiver {
                assert_eq!(number, *copy);
                sum += number;
                if number.is_multiple_of(97) {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
            sum
        }));
        let (senders, sent) = (senders.clone(), Arc::clone(&sent));
        threads.push(spawn_on(core, move || {
            for number in 0..rounds {
                let to = &senders[(number as usize + core) % senders.len()];
                if number % 5 == 0 {
                    let mut message = (number, Box::new(number));
                    while let Err(error) = to.try_send(message) {
                        assert_eq!(error.error, Error::Full);
                        message = error.message;
                        toro::thread::yield_now();
                    }
                } else {
                    to.send((number, Box::new(number))).unwrap();
                }
                sent.fetch_add(number, Ordering::Relaxed);
            }
            0
        }));
    }
    drop(senders);
    let received: u64 = threads
        .into_iter()
        .map(|thread| thread.unwrap().join().unwrap())
        .sum();
    assert_eq!(received, sent.load(Ordering::Relaxed));
    assert_eq!(received, cores as u64 * (rounds * (rounds - 1) / 2));
}
