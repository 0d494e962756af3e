//! Everything that cores share, over and over, for as many seconds as the argument says: message rings, futex queues, threads that begin and
//! end, memory that one core allocates and another one frees.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use toro::core::{Builder, count};

pub(crate) fn run(seconds: u64) {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < end {
        crate::message::stress(1000);
        crate::primitives::run();
        memory_goes_home(rounds);
        rounds += 1;
    }
    println!("{rounds} rounds");
}

/// Blocks of all sizes go around the cores; each is checked and made larger or smaller on its way, and freed where it is then.
fn memory_goes_home(seed: u64) {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..count())
        .map(|_| mpsc::sync_channel::<Vec<u8>>(8))
        .unzip();
    thread::scope(|scope| {
        for (core, receiver) in receivers.into_iter().enumerate() {
            let next = senders[(core + 1) % count()].clone();
            let work = move || {
                let mut chance = seed ^ (core as u64) << 32 | 1;
                for round in 0..500_u64 {
                    chance = chance
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    // Up to 64 KiB, small ones more often.
                    let len = (chance >> 48) as usize >> (chance >> 40 & 15);
                    let _ = next.try_send(vec![round as u8; len.max(1)]);
                    while let Ok(mut block) = receiver.try_recv() {
                        let byte = block[0];
                        assert!(block.iter().all(|other| *other == byte), "damaged");
                        block.resize(block.len() * 2, byte);
                        assert!(block.iter().all(|other| *other == byte), "damaged");
                    }
                    if round % 16 == 0 {
                        thread::yield_now();
                    }
                }
            };
            let builder = Builder::new(core).name(format!("memory {core}"));
            builder.spawn_scoped(scope, work).unwrap();
        }
    });
}
