//! The end of the program. A system under which programs run outlives them and sends what they left behind; here the machine ends with its
//! program, so the end waits for it.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use super::interface::Interface;
use super::{Network, clock};
use crate::scheduler;

/// How long peers may do nothing for what waits for them: longer than the first repetition of a lost segment takes to be answered.
const QUIET_NS: u64 = 1_500_000_000;
/// And how long all of it may take.
const MOST_NS: u64 = 10_000_000_000;
/// How long servers may take to have their addresses back.
const GIVING_BACK_NS: u64 = 300_000_000;
/// Between two looks, at first and at most.
const FIRST_PAUSE_NS: u64 = 50_000;
const LONGEST_PAUSE_NS: u64 = 5_000_000;

static IS_SAID: AtomicBool = AtomicBool::new(false);

/// Keeps the calling thread here if the program ends: elsewhere it would be gone by now, and not see that its connections are closed.
pub(super) fn stay_if_said() {
    while IS_SAID.load(Ordering::Relaxed) {
        scheduler::sleep_until(clock::now_ns() + MOST_NS);
    }
}

/// Closes all connections in order and waits until the peers have all that was sent, as long as they take it; likewise for datagrams that wait
/// for a hardware address, and for frames that the device has not taken. Then gives back the addresses that servers have lent.
pub(super) fn say(network: &Network) {
    // Connections over the loopback have both ends in the program.
    let interfaces = network.interfaces.iter().skip(1);
    let lanes: Vec<&Interface> = interfaces.flat_map(|one| one.lanes()).collect();
    IS_SAID.store(true, Ordering::Relaxed);
    for lane in &lanes {
        lane.lock().close_all(clock::now_ns());
    }
    settle(&lanes, QUIET_NS, MOST_NS);
    for lane in &lanes {
        lane.lock().give_addresses_back(clock::now_ns());
    }
    settle(&lanes, GIVING_BACK_NS, GIVING_BACK_NS);
}

/// Waits until nothing is left that others are to take, or they do nothing for so long, or it takes too long.
fn settle(lanes: &[&Interface], quiet_ns: u64, most_ns: u64) {
    let begun = clock::now_ns();
    let (mut left, mut changed, mut pause) = (usize::MAX, begun, FIRST_PAUSE_NS);
    loop {
        let now_ns = clock::now_ns();
        let rest = lanes.iter().map(|lane| lane.lock().unsettled()).sum();
        if rest < left {
            (left, changed) = (rest, now_ns);
        }
        if left == 0 || now_ns - changed >= quiet_ns || now_ns - begun >= most_ns {
            return;
        }
        scheduler::sleep_until(now_ns + pause);
        pause = (2 * pause).min(LONGEST_PAUSE_NS);
    }
}
