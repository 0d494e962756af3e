//! What `std::thread`, `std::panic` and thread-locals promise.

use crate::show;
use std::cell::RefCell;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

struct Teller(&'static str);

impl Drop for Teller {
    fn drop(&mut self) {
        DROPPED.lock().expect("ok").push(self.0);
    }
}

static DROPPED: Mutex<Vec<&str>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: RefCell<Option<Teller>> = const { RefCell::new(None) };
    static LAZY: Teller = Teller("lazy");
}

fn deep(depth: u32) -> u64 {
    let page = std::hint::black_box([depth as u8; 1024]);
    if depth == 0 {
        0
    } else {
        deep(depth - 1) + u64::from(page[7])
    }
}

pub(crate) fn steps() {
    panic::set_hook(Box::new(|_| {}));
    let named = thread::Builder::new()
        .name("worker".into())
        .stack_size(256 << 10);
    let end = named
        .spawn(|| thread::current().name().map(str::to_owned))
        .expect("a thread")
        .join();
    show!("name", end.ok());
    show!("main", thread::current().name());
    show!(
        "ids differ",
        thread::spawn(|| thread::current().id()).join().ok() != Some(thread::current().id())
    );
    show!(
        "a name with a zero",
        panic::catch_unwind(|| thread::Builder::new().name("a\0b".into())).is_ok()
    );

    let mut numbers = vec![1, 2, 3];
    let sum = thread::scope(|scope| {
        let reader = scope.spawn(|| numbers.iter().sum::<i32>());
        reader.join().ok()
    });
    numbers.push(4);
    show!("scope", (sum, &numbers));
    show!(
        "a scope with a panic",
        panic::catch_unwind(|| thread::scope(|scope| {
            scope.spawn(|| panic!("inside"));
        }))
        .is_err()
    );

    let payload = thread::spawn(|| panic!("number {}", 7))
        .join()
        .expect_err("a panic");
    show!("payload", payload.downcast_ref::<String>());
    let payload = thread::spawn(|| panic::panic_any(42_u8))
        .join()
        .expect_err("a panic");
    show!("payload", payload.downcast_ref::<u8>());
    show!(
        "caught",
        panic::catch_unwind(|| [1, 2][std::hint::black_box(5)]).is_err()
    );
    show!(
        "resumed",
        panic::catch_unwind(|| panic::resume_unwind(Box::new("again"))).is_err()
    );
    let is_panicking = Arc::new(AtomicBool::new(false));
    struct Asks(Arc<AtomicBool>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.store(thread::panicking(), Ordering::SeqCst);
        }
    }
    let asks = Asks(is_panicking.clone());
    show!(
        "unwound",
        panic::catch_unwind(panic::AssertUnwindSafe(move || {
            let _asks = asks;
            panic!("x")
        }))
        .is_err()
    );
    show!(
        "panicking",
        (is_panicking.load(Ordering::SeqCst), thread::panicking())
    );
    let _ = panic::take_hook();

    thread::spawn(|| {
        OWN.set(Some(Teller("own")));
        LAZY.with(|_| ());
    })
    .join()
    .expect("an end");
    let mut dropped = DROPPED.lock().expect("ok").clone();
    dropped.sort_unstable();
    show!("dropped", dropped);

    let parked = thread::spawn(|| {
        thread::park();
        thread::park_timeout(Duration::from_millis(2));
        "unparked"
    });
    parked.thread().unpark();
    show!("park", parked.join().ok());
    thread::current().unpark();
    thread::park();
    let finished = thread::spawn(|| ());
    while !finished.is_finished() {
        thread::yield_now();
    }
    show!("finished", finished.join().is_ok());
    show!(
        "many",
        (0..200)
            .map(|n| thread::spawn(move || n))
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|t| t.join().ok())
            .sum::<i32>()
    );
    show!(
        "deep",
        thread::Builder::new()
            .stack_size(8 << 20)
            .spawn(|| deep(1000))
            .expect("a thread")
            .join()
            .ok()
    );
    show!(
        "too large a stack",
        thread::Builder::new()
            .stack_size(1 << 46)
            .spawn(|| ())
            .is_err()
    );
}
