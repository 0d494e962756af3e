//! Uses what the crate `toro` gives for cores, threads and messages; each argument names a group of steps, which assert what they find.

mod control;
mod deadlock;
mod idle;
mod message;
mod primitives;
mod spawn;
mod stress;

fn main() {
    for group in std::env::args().skip(1) {
        let name = group.clone();
        match group.split_once(' ').unwrap_or((&group, "")) {
            ("spawn", _) => spawn::run(),
            ("placement", rule) => spawn::placement(rule),
            ("count", cores) => spawn::count(cores.parse().unwrap()),
            ("many", threads) => spawn::many(threads.parse().unwrap()),
            ("control", _) => control::run(),
            ("primitives", _) => primitives::run(),
            ("message", _) => message::run(),
            ("stress", seconds) => stress::run(seconds.parse().unwrap()),
            ("idle", what) => idle::run(what),
            ("deadlock", what) => deadlock::run(what),
            _ => panic!("there is no group `{group}`"),
        }
        println!("{name}: ok");
    }
}

/// Waits until something is so; the machine's test gives up when it never is.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
