//! Cores with nothing to do halt: no thread, no thread that is ready, threads that only poll.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use toro::core::{count, spawn_on, statistics};

/// How long cores are watched.
const SPAN: Duration = Duration::from_secs(4);

pub(crate) fn run(what: &str) {
    match what {
        // Core 0 has one thread, which sleeps; the others have none.
        "empty" => {}
        "waiting" => {
            for core in 0..count() {
                let waits = || loop {
                    thread::park();
                };
                spawn_on(core, waits).unwrap();
            }
        }
        "polling" => polling(),
        "busy" => {
            for core in 0..count() {
                let spins = || loop {
                    std::hint::spin_loop();
                };
                spawn_on(core, spins).unwrap();
            }
        }
        _ => panic!("idle how?"),
    }
    let before: Vec<_> = (0..count())
        .map(|core| statistics(core).unwrap().halted)
        .collect();
    let start = Instant::now();
    println!("watch");
    thread::sleep(SPAN);
    let span = start.elapsed();
    for (core, before) in before.into_iter().enumerate() {
        let halted = statistics(core).unwrap().halted - before;
        println!("core {core} halted {halted:?} of {span:?}");
        if what == "busy" {
            assert!(halted * 4 <= span, "core {core} halted {halted:?}");
            continue;
        }
        assert!(halted * 4 >= span * 3, "core {core} halted {halted:?} only");
        assert!(halted <= span + Duration::from_millis(100));
    }
    // The threads that run for ever are no reason to stay.
    std::process::exit(0);
}

/// Two threads on each core poll a variable; what is said by `worked` is seen by all of them.
fn polling() {
    static TURN: AtomicU32 = AtomicU32::new(0);
    static SEEN: AtomicU32 = AtomicU32::new(0);
    static UNANNOUNCED: AtomicBool = AtomicBool::new(false);
    for core in 0..count() {
        for _ in 0..2 {
            let poll = || {
                let mut last = 0;
                loop {
                    let turn = TURN.load(Ordering::Acquire);
                    if turn != last {
                        last = turn;
                        SEEN.fetch_add(1, Ordering::AcqRel);
                    }
                    toro::thread::polling();
                }
            };
            spawn_on(core, poll).unwrap();
        }
    }
    for turn in 1..=100 {
        SEEN.store(0, Ordering::Release);
        TURN.store(turn, Ordering::Release);
        toro::thread::worked();
        crate::wait_until(|| SEEN.load(Ordering::Acquire) == 2 * count() as u32);
    }
    // What nobody announces is seen too, a little later.
    let sees = spawn_on(count() - 1, || {
        while !UNANNOUNCED.load(Ordering::Acquire) {
            toro::thread::polling();
        }
    });
    thread::sleep(Duration::from_millis(30));
    UNANNOUNCED.store(true, Ordering::Release);
    sees.unwrap().join().unwrap();
}
