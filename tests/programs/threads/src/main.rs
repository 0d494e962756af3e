//! Uses every kind of std's threads and locks; each step prints what it found, and asserts it.

use std::cell::RefCell;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() {
    if std::env::args().any(|arg| arg == "long sleep") {
        thread::sleep(Duration::from_secs(6));
        return println!("slept long");
    }
    if std::env::args().any(|arg| arg == "travel") {
        return travel();
    }
    let steps: [(&str, fn()); 15] = [
        ("a mutex is held by one at a time", mutex),
        ("scoped threads borrow and channels carry", scope),
        ("thread-locals end with their thread", thread_locals),
        ("sleep is at least as long as asked", sleep),
        ("a condition wakes those who wait", condition),
        ("a wait gives up in time", wait_timeout),
        ("a barrier has one leader", barrier),
        ("a lock has many readers or one writer", readers),
        ("panics are caught and end their thread only", panics),
        ("a parked thread is woken", park),
        ("what is done once is done once", once),
        ("channels end with their senders", channels),
        ("numbers are computed", numbers),
        ("the clock shows this century", clock),
        ("two thousand threads live at once", many),
    ];
    for (what, step) in steps {
        step();
        println!("{what}: ok");
    }
    println!("all {} steps done", steps.len());
}

fn mutex() {
    let count = Arc::new(Mutex::new(0_u64));
    let add = |index: u64| {
        let count = Arc::clone(&count);
        let worker = thread::Builder::new().name(format!("worker {index}"));
        let add = move || {
            assert_eq!(
                thread::current().name(),
                Some(format!("worker {index}").as_str())
            );
            for _ in 0..10 {
                let mut count = count.lock().unwrap();
                let before = *count;
                thread::yield_now();
                *count = before + 1;
            }
            index
        };
        worker.spawn(add).unwrap()
    };
    let threads: Vec<_> = (0..200).map(add).collect();
    let sum: u64 = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    assert_eq!((sum, *count.lock().unwrap()), (199 * 100, 2000));
}

fn scope() {
    let (sender, receiver) = mpsc::sync_channel(3);
    let numbers: Vec<u32> = (0..100).collect();
    thread::scope(|scope| {
        for part in numbers.chunks(25) {
            let sender = sender.clone();
            scope.spawn(move || part.iter().for_each(|number| sender.send(*number).unwrap()));
        }
        drop(sender);
        assert_eq!(receiver.iter().sum::<u32>(), 4950);
    });
}

fn thread_locals() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Local(u32);
    impl Drop for Local {
        fn drop(&mut self) {
            assert_eq!(thread::current().name(), Some("local"));
            DROPPED.fetch_add(self.0, Ordering::SeqCst);
        }
    }
    thread_local! {
        static LOCAL: RefCell<Local> = const { RefCell::new(Local(0)) };
    }
    for number in 1..=50 {
        let work = move || {
            LOCAL.with_borrow_mut(|local| {
                assert_eq!(local.0, 0);
                local.0 = number;
            });
            thread::yield_now();
            LOCAL.with_borrow(|local| assert_eq!(local.0, number));
        };
        thread::Builder::new()
            .name("local".into())
            .spawn(work)
            .unwrap()
            .join()
            .unwrap();
    }
    assert_eq!(DROPPED.load(Ordering::SeqCst), 50 * 51 / 2);
}

fn sleep() {
    for asked in [0, 1, 50].map(Duration::from_millis) {
        let start = Instant::now();
        thread::sleep(asked);
        assert!(start.elapsed() >= asked, "{:?}", start.elapsed());
    }
}

fn condition() {
    let pair = (Mutex::new(0), Condvar::new());
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let mut turn = pair
                    .1
                    .wait_while(pair.0.lock().unwrap(), |turn| *turn == 0)
                    .unwrap();
                *turn += 1;
            });
        }
        thread::sleep(Duration::from_millis(5));
        *pair.0.lock().unwrap() = 1;
        pair.1.notify_all();
    });
    assert_eq!(*pair.0.lock().unwrap(), 11);
}

fn wait_timeout() {
    let (lock, condition) = (Mutex::new(()), Condvar::new());
    let limit = Duration::from_millis(10);
    let start = Instant::now();
    let (_guard, result) = condition
        .wait_timeout_while(lock.lock().unwrap(), limit, |()| true)
        .unwrap();
    assert!(result.timed_out() && start.elapsed() >= limit);
    let (_sender, receiver) = mpsc::channel::<()>();
    assert_eq!(
        receiver.recv_timeout(limit),
        Err(mpsc::RecvTimeoutError::Timeout)
    );
    thread::park_timeout(limit);
}

fn barrier() {
    let barrier = Barrier::new(5);
    let leaders = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                leaders.fetch_add(u32::from(barrier.wait().is_leader()), Ordering::SeqCst)
            });
        }
    });
    assert_eq!(leaders.into_inner(), 1);
}

fn readers() {
    let lock = RwLock::new(5);
    let (first, second) = (lock.read().unwrap(), lock.read().unwrap());
    assert!(*first + *second == 10 && lock.try_write().is_err());
    drop((first, second));
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| *lock.write().unwrap() += 1);
            scope.spawn(|| assert!(*lock.read().unwrap() >= 5));
        }
    });
    assert_eq!(lock.into_inner().unwrap(), 25);
}

fn panics() {
    struct Unwound<'a>(&'a AtomicBool);
    impl Drop for Unwound<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let is_unwound = AtomicBool::new(false);
    let caught = catch_unwind(|| {
        let _unwound = Unwound(&is_unwound);
        panic!("caught {}", std::hint::black_box(1))
    });
    let message = caught.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(
        (message.as_str(), is_unwound.into_inner()),
        ("caught 1", true)
    );
    let lock = Arc::new(Mutex::new(()));
    let of_thread = Arc::clone(&lock);
    let thread = thread::spawn(move || {
        let _guard = of_thread.lock().unwrap();
        Vec::<u32>::new()[std::hint::black_box(3)]
    });
    assert!(thread.join().is_err() && lock.is_poisoned());
}

fn park() {
    let is_ready = Arc::new(AtomicBool::new(false));
    let (of_thread, parked) = (Arc::clone(&is_ready), thread::current());
    let thread = thread::spawn(move || {
        of_thread.store(true, Ordering::SeqCst);
        parked.unpark();
    });
    while !is_ready.load(Ordering::SeqCst) {
        thread::park();
    }
    thread.join().unwrap();
}

fn once() {
    static ONCE: Once = Once::new();
    static CELL: OnceLock<u32> = OnceLock::new();
    static LAZY: LazyLock<u32> = LazyLock::new(|| {
        thread::sleep(Duration::from_millis(5));
        COUNT.fetch_add(1, Ordering::SeqCst)
    });
    static COUNT: AtomicU32 = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                ONCE.call_once(|| {
                    COUNT.fetch_add(1, Ordering::SeqCst);
                });
                CELL.get_or_init(|| COUNT.fetch_add(1, Ordering::SeqCst));
                assert!(*LAZY < 3);
            });
        }
    });
    assert_eq!(COUNT.load(Ordering::SeqCst), 3);
}

fn channels() {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || receiver.iter().sum::<u32>());
    for number in 0..1000 {
        sender.send(number).unwrap();
    }
    drop(sender);
    assert_eq!(thread.join().unwrap(), 499_500);
    let (sender, receiver) = mpsc::channel();
    drop(receiver);
    assert!(sender.send(()).is_err());
}

fn numbers() {
    let root = std::hint::black_box(2_f64).sqrt();
    let turn = move |index: u32| {
        thread::yield_now();
        (f64::from(index) * root + 0.5).sqrt() / root
    };
    // Threads that compute at the same time keep their registers apart.
    let alone: Vec<f64> = (0..100).map(turn).collect();
    let threads: Vec<_> = (0..10)
        .map(|_| thread::spawn(move || (0..100).map(turn).collect()))
        .collect();
    for thread in threads {
        let together: Vec<f64> = thread.join().unwrap();
        assert_eq!(together, alone);
    }
    assert_eq!(format!("{root:?}"), "1.4142135623730951");
}

fn clock() {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(
        (1_735_689_600..4_102_444_800).contains(&seconds),
        "{seconds}"
    );
    assert_eq!(thread::available_parallelism().unwrap().get(), 1);
}

fn many() {
    let living = Arc::new(AtomicU32::new(0));
    let all = Arc::new(Barrier::new(2001));
    let live = |_| {
        let (living, all) = (Arc::clone(&living), Arc::clone(&all));
        thread::spawn(move || {
            living.fetch_add(1, Ordering::SeqCst);
            all.wait();
        })
    };
    let threads: Vec<_> = (0..2000).map(live).collect();
    all.wait();
    assert_eq!(living.load(Ordering::SeqCst), 2000);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

/// Objects of all sizes that are allocated on one core and freed on another, by threads that come and go: what they hold stays as it was.
/// There are more of them than the machine has memory.
fn travel() {
    /// Bytes that know what they should be.
    struct Parcel(Vec<u8>);
    impl Parcel {
        fn new(number: usize) -> Self {
            let len = ((number * 7919) % 6000) >> (number % 9);
            Self(vec![number as u8; len + 1])
        }
    }
    impl Drop for Parcel {
        fn drop(&mut self) {
            assert!(self.0.iter().all(|&byte| byte == self.0[0]));
        }
    }
    let sent = AtomicU32::new(0);
    for round in 0..40 {
        thread::scope(|scope| {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                (0..4).map(|_| mpsc::sync_channel::<Parcel>(16)).unzip();
            for (index, receiver) in receivers.into_iter().enumerate() {
                let next = senders[(index + 1) % senders.len()].clone();
                let sent = &sent;
                scope.spawn(move || {
                    for number in 0..150 {
                        let parcel = Parcel::new(round * 1000 + index * 200 + number);
                        sent.fetch_add(parcel.0.len() as u32, Ordering::Relaxed);
                        next.send(parcel).unwrap();
                        drop(receiver.recv().unwrap());
                    }
                });
            }
        });
    }
    println!("{} KiB travelled", sent.into_inner() >> 10);
}
