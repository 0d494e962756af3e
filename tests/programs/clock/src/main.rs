//! Says what time it is, whether time goes on as it should while a thread sleeps, and whether the cores agree on it. With the argument
//! `hour`, what time it is after an hour of sleep.

use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SLEEP: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_secs(3600);
const READINGS: u32 = 20_000;

fn main() -> ExitCode {
    let wall = SystemTime::now();
    let since_1970 = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    println!(
        "wall {}.{:03}",
        since_1970.as_secs(),
        since_1970.subsec_millis()
    );

    if std::env::args().any(|word| word == "hour") {
        let start = Instant::now();
        thread::sleep(HOUR);
        let slept = start.elapsed().as_secs();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        println!(
            "{} after {slept} s",
            since_1970.unwrap_or_default().as_secs()
        );
        return ExitCode::SUCCESS;
    }

    let start = Instant::now();
    thread::sleep(SLEEP);
    let slept = start.elapsed();
    let by_wall = wall.elapsed().unwrap_or_default();
    println!(
        "slept {} ms, {} ms by wall",
        slept.as_millis(),
        by_wall.as_millis()
    );

    let cores = thread::available_parallelism().map_or(1, usize::from);
    // What a core reads while it holds the lock is not before what another one read while it held it.
    let latest = Mutex::new(Instant::now());
    let backward = Mutex::new(Duration::ZERO);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                for _ in 0..READINGS {
                    let mut latest = latest.lock().unwrap();
                    let now = Instant::now();
                    if let Some(back) = latest.checked_duration_since(now) {
                        let mut backward = backward.lock().unwrap();
                        *backward = back.max(*backward);
                    }
                    *latest = now;
                }
            });
        }
    });
    let backward = backward.into_inner().unwrap();
    println!("{cores} cores, most backward {} ns", backward.as_nanos());
    if slept < SLEEP || by_wall < SLEEP {
        println!("time is too slow");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
