//! Threads on chosen cores.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use toro::Error;
use toro::core::{Builder, Placement};

pub(crate) fn run() {
    let count = toro::core::count();
    threads_run_where_they_are_put(count);
    threads_of_a_core_are_threads_of_std(count - 1);
    bad_input_is_an_error(count);
    statistics(count);
}

/// The machine has so many cores, and a thread on each can meet the others.
pub(crate) fn count(cores: usize) {
    assert_eq!(toro::core::count(), cores);
    assert_eq!(thread::available_parallelism().unwrap().get(), cores);
    let barrier = Arc::new(Barrier::new(cores));
    let meet = |core| {
        let barrier = Arc::clone(&barrier);
        let meet = move || {
            barrier.wait();
            toro::core::current()
        };
        toro::core::spawn_on(core, meet).unwrap()
    };
    let threads: Vec<_> = (0..cores).map(meet).collect();
    for (core, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), core);
    }
}

/// So many threads at once: all run, or the error says that there is no memory.
pub(crate) fn many(threads: usize) {
    let barrier = Arc::new(Barrier::new(threads + 1));
    for index in 0..threads {
        let barrier = Arc::clone(&barrier);
        let builder = Builder::new(index % toro::core::count()).stack_size(16 << 10);
        match builder.spawn(move || {
            barrier.wait();
        }) {
            Ok(_) => {}
            Err(Error::OutOfMemory) => return println!("no memory for thread {index}"),
            Err(error) => panic!("{error}"),
        }
    }
    barrier.wait();
    println!("{threads} threads met");
}

/// Where threads start that choose no core.
pub(crate) fn placement(rule: &str) {
    let count = toro::core::count();
    let places = |threads| {
        // All live until the last one is placed.
        let barrier = Arc::new(Barrier::new(threads));
        let place = |_| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                barrier.wait();
                toro::core::current()
            })
        };
        let threads: Vec<_> = (0..threads).map(place).collect();
        let places = threads.into_iter().map(|thread| thread.join().unwrap());
        places.collect::<Vec<_>>()
    };
    match rule {
        "same-core" => assert_eq!(places(3), [0, 0, 0]),
        "round-robin" => {
            let cores: Vec<_> = (0..count).collect();
            assert_eq!(places(count), cores);
            assert_eq!(places(count), cores);
        }
        _ => {
            let mut cores = places(2 * count);
            cores.sort_unstable();
            // The main thread counts on core 0, an idle thread on each other one: two threads for each core.
            let twice: Vec<_> = (0..count).flat_map(|core| [core, core]).collect();
            assert_eq!(cores, twice);
        }
    }
    toro::core::set_placement(Placement::SameCore);
    assert_eq!(places(2), [0, 0]);
    // A choice is for one thread.
    let chosen = toro::core::spawn_on(count - 1, toro::core::current).unwrap();
    assert_eq!(chosen.join().unwrap(), count - 1);
    assert_eq!(places(2), [0, 0]);
}

fn threads_run_where_they_are_put(count: usize) {
    for core in (0..count).chain((0..count).rev()) {
        let thread = toro::core::spawn_on(core, move || {
            let before = toro::core::current();
            thread::sleep(std::time::Duration::from_millis(1));
            thread::yield_now();
            (before, toro::core::current())
        });
        assert_eq!(thread.unwrap().join().unwrap(), (core, core));
    }
}

fn threads_of_a_core_are_threads_of_std(core: usize) {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    thread_local!(static LOCAL: RefCell<Option<Loud>> = const { RefCell::new(None) });
    let builder = Builder::new(core)
        .name("worker of a core")
        .stack_size(256 << 10);
    let named = builder.spawn(|| {
        LOCAL.with_borrow_mut(|local| *local = Some(Loud));
        thread::current().name().map(str::to_owned)
    });
    let name = named.unwrap().join().unwrap();
    assert_eq!(name.as_deref(), Some("worker of a core"));
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
    let panics = toro::core::spawn_on(core, || panic!("as it should")).unwrap();
    let payload = panics.join().unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"as it should"));
    let mut local = 1;
    thread::scope(|scope| {
        let add = Builder::new(core).spawn_scoped(scope, || local += toro::core::current());
        add.unwrap();
    });
    assert_eq!(local, 1 + core);
}

fn bad_input_is_an_error(count: usize) {
    for core in [count, 64, usize::MAX] {
        let error = toro::core::spawn_on(core, || ()).unwrap_err();
        assert_eq!(error, Error::NoSuchCore { core, count });
        assert_eq!(toro::core::statistics(core).unwrap_err(), error);
    }
    let small = Builder::new(0).stack_size(100).spawn(|| ()).unwrap_err();
    assert!(matches!(small, Error::StackTooSmall { bytes: 100, .. }));
    for bytes in [1 << 50, usize::MAX / 2, usize::MAX] {
        let large = Builder::new(0).stack_size(bytes).spawn(|| ()).unwrap_err();
        assert_eq!(large, Error::OutOfMemory, "{bytes}");
    }
    let named = Builder::new(0).name("a\0b").spawn(|| ()).unwrap_err();
    assert!(matches!(named, Error::Invalid(_)));
    // The least there may be is enough to run.
    let least = Builder::new(0).stack_size(4096).spawn(|| 7).unwrap();
    assert_eq!(least.join().unwrap(), 7);
}

fn statistics(count: usize) {
    let before = toro::core::statistics(count - 1).unwrap();
    let yields = toro::core::spawn_on(count - 1, || {
        thread::scope(|scope| {
            let core = toro::core::current();
            for _ in 0..2 {
                let yields = || (0..100).for_each(|_| thread::yield_now());
                Builder::new(core).spawn_scoped(scope, yields).unwrap();
            }
        });
    });
    yields.unwrap().join().unwrap();
    let after = toro::core::statistics(count - 1).unwrap();
    assert!(after.switches >= before.switches + 100);
    assert!(after.halted >= before.halted && after.interrupts >= before.interrupts);
}
