//! What `std::sync` promises.

use crate::show;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, mpsc};
use std::thread;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(600);

pub(crate) fn steps() {
    let sum = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let sum = sum.clone();
            thread::spawn(move || (0..500).for_each(|_| *sum.lock().expect("no poison") += 1))
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("an end"));
    show!("mutex", sum.lock().map(|sum| *sum).ok());
    let held = sum.lock().expect("no poison");
    show!("try_lock", sum.try_lock().is_err());
    drop(held);
    let poisoner = sum.clone();
    let end = thread::spawn(move || {
        let _held = poisoner.lock();
        panic!("on purpose");
    })
    .join();
    show!(
        "poisoned",
        (end.is_err(), sum.is_poisoned(), sum.lock().is_err())
    );
    sum.clear_poison();
    show!("cleared", sum.lock().is_ok());

    let lock = RwLock::new(5);
    {
        let (one, two) = (lock.read().expect("ok"), lock.read().expect("ok"));
        show!("readers", (*one, *two, lock.try_write().is_err()));
    }
    *lock.write().expect("ok") += 1;
    show!("writer", lock.into_inner().ok());

    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let guard = pair.0.lock().expect("ok");
    let (guard, timeout) = pair.1.wait_timeout(guard, SHORT).expect("ok");
    show!("timeout", (*guard, timeout.timed_out()));
    drop(guard);
    let other = pair.clone();
    let teller = thread::spawn(move || {
        *other.0.lock().expect("ok") = true;
        other.1.notify_all();
    });
    let (guard, timeout) = pair
        .1
        .wait_timeout_while(pair.0.lock().expect("ok"), LONG, |is_set| !*is_set)
        .expect("ok");
    show!("told", (*guard, timeout.timed_out()));
    drop(guard);
    teller.join().expect("an end");

    let barrier = Arc::new(Barrier::new(4));
    let leaders: usize = (0..4)
        .map(|_| {
            let barrier = barrier.clone();
            thread::spawn(move || usize::from(barrier.wait().is_leader()))
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|thread| thread.join().expect("an end"))
        .sum();
    show!("leaders", leaders);

    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static ONCE: Once = Once::new();
    static CELL: OnceLock<usize> = OnceLock::new();
    static LAZY: LazyLock<usize> = LazyLock::new(|| CALLS.fetch_add(100, Ordering::SeqCst));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                ONCE.call_once(|| {
                    CALLS.fetch_add(1, Ordering::SeqCst);
                });
                CELL.get_or_init(|| CALLS.fetch_add(10, Ordering::SeqCst));
                let _ = *LAZY;
            });
        }
    });
    show!(
        "once",
        (
            CALLS.load(Ordering::SeqCst),
            ONCE.is_completed(),
            CELL.set(1).is_err()
        )
    );

    let (sender, receiver) = mpsc::channel();
    show!("empty", receiver.try_recv());
    show!("late", receiver.recv_timeout(SHORT));
    let senders: Vec<_> = (0..3)
        .map(|number| {
            let sender = sender.clone();
            thread::spawn(move || {
                (0..10).for_each(|n| sender.send(number * 100 + n).expect("open"))
            })
        })
        .collect();
    drop(sender);
    let mut all: Vec<i32> = receiver.iter().collect();
    all.sort_unstable();
    show!(
        "received",
        (all.len(), all.iter().sum::<i32>(), receiver.recv())
    );
    senders
        .into_iter()
        .for_each(|thread| thread.join().expect("an end"));
    let (sender, receiver) = mpsc::sync_channel(1);
    show!("bounded", (sender.try_send(1), sender.try_send(2)));
    show!("taken", receiver.recv());
    drop(receiver);
    show!("gone", sender.send(3));
    let (sender, receiver) = mpsc::sync_channel(0);
    let rendezvous = thread::spawn(move || sender.send(7));
    show!("rendezvous", receiver.recv());
    show!("rendezvous", rendezvous.join().expect("an end"));
}
