//! Cards with several pairs of queues: a stack and a core for each of them, which are the lanes of one interface.
//!
//! The lanes share nothing but their [`Inbox`]es, through which they hand each other what came by the wrong queue. The first lane is the
//! interface's own stack, and has all that is not of TCP; `tcpip/src/steering.rs` says which connection belongs to which.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tcpip::{Parcel, Steering, To};

use super::interface::Interface;
use super::{NETWORK, Network};
use crate::arch::interrupts;
use crate::arch::x86_64::core_local::{self, CoreLocal};
use crate::devices::network::{NetworkDevice, QueuePair};
use crate::memory::OutOfMemory;
use crate::scheduler::{self, Name, Thread};
use crate::sync::SpinLock;

/// Parcels that may wait in a lane.
pub(super) const MAX_PARCELS: usize = 512;

/// What other lanes have handed to one.
pub(super) struct Inbox {
    waiting: SpinLock<Waiting>,
    /// Bytes of packets that may wait.
    limit_bytes: usize,
    /// There may be some: a load tells.
    has_any: AtomicBool,
    /// The core that takes them.
    core: AtomicUsize,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    parcels: VecDeque<Parcel>,
    /// Of the packets among them.
    len_bytes: usize,
}

impl Inbox {
    fn new(core: usize, limit_bytes: usize) -> Self {
        Self {
            waiting: SpinLock::new(Waiting::default()),
            limit_bytes,
            has_any: AtomicBool::new(false),
            core: AtomicUsize::new(core),
            dropped: AtomicU64::new(0),
        }
    }

    /// Another core takes them from now on.
    pub(super) fn set_core(&self, core: usize) {
        self.core.store(core, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        if let Some(core) = core_local::get(self.core.load(Ordering::Relaxed)) {
            interrupts::wake(core);
        }
    }

    /// Puts a parcel in, if there is room. Addresses always find some: older ones are of no use any more.
    fn push(&self, parcel: Parcel) {
        let mut waiting = self.waiting.lock();
        let len_bytes = waiting.len_bytes + parcel.len_bytes();
        if matches!(parcel, Parcel::Addresses(_)) {
            let is_other = |parcel: &Parcel| !matches!(parcel, Parcel::Addresses(_));
            waiting.parcels.retain(is_other);
        } else if waiting.parcels.len() >= MAX_PARCELS || len_bytes > self.limit_bytes {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.len_bytes = len_bytes;
        waiting.parcels.push_back(parcel);
        let was_told = self.has_any.swap(true, Ordering::Relaxed);
        drop(waiting);
        // Who was told takes all that there is.
        if !was_told {
            self.wake();
        }
    }

    /// Whether there is something to take.
    #[inline]
    pub(super) fn has_any(&self) -> bool {
        self.has_any.load(Ordering::Relaxed)
    }

    /// Takes the oldest parcel.
    pub(super) fn pop(&self) -> Option<Parcel> {
        let mut waiting = self.waiting.lock();
        let parcel = waiting.parcels.pop_front();
        waiting.len_bytes -= parcel.as_ref().map_or(0, Parcel::len_bytes);
        let has_any = !waiting.parcels.is_empty();
        self.has_any.store(has_any, Ordering::Relaxed);
        parcel
    }

    /// Parcels that found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The inboxes of all lanes of an interface, as one of them sees them.
pub(super) struct Mail {
    inboxes: Arc<[Inbox]>,
    own: usize,
}

impl Mail {
    /// The inbox of this lane.
    #[inline]
    pub(super) fn own(&self) -> Option<&Inbox> {
        self.inboxes.get(self.own)
    }

    /// Puts a parcel into the inboxes of other lanes.
    pub(super) fn send(&self, to: To, parcel: Parcel) {
        let others = self.inboxes.iter().enumerate();
        match to {
            To::Lane(lane) => {
                if let Some(inbox) = self.inboxes.get(lane) {
                    inbox.push(parcel);
                }
            }
            To::Others => others
                .filter(|(lane, _)| *lane != self.own)
                .for_each(|(_, inbox)| inbox.push(parcel.clone())),
        }
    }
}

/// Makes a device of each further pair of queues, for the core that has it.
pub(super) fn take_more(device: &mut NetworkDevice) -> Vec<(&'static CoreLocal, NetworkDevice)> {
    let pairs = core::mem::take(&mut device.more).into_iter();
    let of_pair = |pair: QueuePair| NetworkDevice {
        receiver: pair.receiver,
        transmitter: pair.transmitter,
        more: Vec::new(),
        driver: device.driver,
        mac: device.mac,
        medium: device.medium,
        mtu: device.mtu,
        has_checksum_offload: device.has_checksum_offload,
    };
    pairs.map(|pair| (pair.core, of_pair(pair))).collect()
}

/// Makes the interfaces of all lanes ones that know each other. The first is the one that others know. So many bytes of packets may wait for each.
pub(super) fn link(lanes: Vec<Interface>, key: [u64; 2], limit_bytes: usize) -> &'static Interface {
    let count = lanes.len();
    let inbox = |lane: &Interface| Inbox::new(lane.core(), limit_bytes);
    let inboxes: Arc<[Inbox]> = lanes.iter().map(inbox).collect();
    let lanes: Vec<&'static Interface> = lanes
        .into_iter()
        .map(|lane| &*Box::leak(Box::new(lane)))
        .collect();
    for (own, lane) in lanes.iter().enumerate() {
        let mail = Mail {
            inboxes: inboxes.clone(),
            own,
        };
        let steering = Steering::new(own, count, key);
        lane.lock().join_lanes(mail, steering, own);
    }
    let first = lanes[0];
    for lane in &lanes {
        lane.set_lanes(lanes.clone(), Steering::new(0, count, key));
    }
    first
}

/// Stack of the thread that registers a lane on another core.
const STACK_BYTES: usize = 16 << 10;
/// Bits of such a thread's argument that are the interface's index; the others are the lane.
const INDEX_BITS: u32 = 16;

/// Registers a lane with the core on which this thread runs.
extern "C" fn adopt(place: usize) -> ! {
    scheduler::begin();
    let (index, lane) = (place & ((1 << INDEX_BITS) - 1), place >> INDEX_BITS);
    if let Some(lane) = NETWORK.get().and_then(|network| network.lane(index, lane)) {
        lane.register();
    }
    scheduler::exit(0)
}

/// Has a core register a lane; the thread that does it.
///
/// # Errors
/// When there is no memory for it.
pub(super) fn register_on(
    core: usize,
    (index, lane): (usize, usize),
) -> Result<Arc<Thread>, OutOfMemory> {
    let place = index | lane << INDEX_BITS;
    scheduler::spawn_on(core, adopt, place, STACK_BYTES, Name::new(b"adopt"))
}

impl Network {
    /// Has the cores of all lanes serve them. The first lanes are served by this one.
    pub(super) fn start_lanes(&'static self) {
        for (index, interface) in self.interfaces.iter().enumerate() {
            for (number, lane) in interface.lanes().into_iter().enumerate().skip(1) {
                // This core can do it, too.
                if register_on(lane.core(), (index, number)).is_err() {
                    lane.register();
                    lane.move_to(core_local::current());
                }
            }
        }
    }
}

impl Interface {
    /// The lane that a connection to `remote` belongs to: with a port of ours that is given (not 0), it follows from the ends; else any will do,
    /// and that of this core is the nearest.
    pub(super) fn lane_for(&'static self, remote: SocketAddr, local_port: u16) -> &'static Self {
        let Some((lanes, steering)) = self.lanes_with_steering() else {
            return self;
        };
        let own = core_local::current().index();
        let lane = match local_port {
            0 => lanes.iter().position(|lane| lane.core() == own),
            port => Some(steering.lane(remote.ip().into(), remote.port(), port)),
        };
        lane.and_then(|lane| lanes.get(lane))
            .copied()
            .unwrap_or(self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Inbox, MAX_PARCELS, Mail};
    use crate::devices::network::{Device, Frame, Medium, NetworkDevice, Offload};
    use crate::devices::network::{Receiver, Transmitter};
    use crate::network::config::Address;
    use crate::network::ports::Ports;
    use crate::network::stack::Stack;
    use alloc::boxed::Box;
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use tcpip::{Limits, Parcel, Steering};

    const OWN: [u8; 4] = [10, 0, 2, 15];
    const PEER: [u8; 4] = [10, 0, 2, 2];

    /// A card by which nothing comes. It counts frames that were queued, and those that it was told of.
    #[derive(Default)]
    struct Card {
        buffer: Vec<u8>,
        queued: usize,
        told: Arc<AtomicUsize>,
    }

    impl Receiver for Card {
        fn acknowledge(&mut self) {}
        fn is_ready(&self) -> bool {
            false
        }
        fn frame(&mut self) -> Option<Frame<'_>> {
            None
        }
        fn release(&mut self) {}
    }

    impl Transmitter for Card {}

    impl Device for Card {
        fn has_room(&mut self) -> bool {
            true
        }
        fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
            self.buffer.resize(len_bytes, 0);
            &mut self.buffer
        }
        fn send(&mut self, _: usize, _: Offload) {
            self.queued += 1;
        }
        fn flush(&mut self) {
            self.told.store(self.queued, Ordering::Relaxed);
        }
    }

    fn packet(len_bytes: usize) -> Parcel {
        Parcel::Packet {
            bytes: vec![0; len_bytes],
            is_verified: false,
        }
    }

    #[test]
    fn as_many_bytes_wait_for_a_lane_as_may_and_all_is_forgotten_when_they_are_taken() {
        let inbox = Inbox::new(usize::MAX, 100_000);
        for round in 1..4 {
            (0..10).for_each(|_| inbox.push(packet(40_000)));
            assert_eq!(inbox.dropped(), round * 8);
            let taken = core::iter::from_fn(|| inbox.pop());
            assert_eq!(taken.count(), 2);
            assert!(!inbox.has_any());
        }
        (0..MAX_PARCELS + 5).for_each(|_| inbox.push(packet(20)));
        assert_eq!(inbox.dropped(), 29, "as few as those are");
    }

    #[test]
    fn the_card_is_told_at_once_of_answers_to_what_other_lanes_have_handed_over() {
        let told: Arc<AtomicUsize> = Arc::default();
        let card = Card {
            told: told.clone(),
            ..Card::default()
        };
        let device = NetworkDevice {
            driver: "test",
            mac: [2; 6],
            medium: Medium::Ethernet,
            mtu: 1500,
            has_checksum_offload: false,
            receiver: Box::new(Card::default()),
            transmitter: Box::new(card),
            more: Vec::new(),
        };
        let ports = Arc::new(Ports::new(42));
        let mut stack = Stack::new(0, device, ports, Limits::for_memory(64 << 20));
        // Nobody has such a number, so nobody is woken.
        let inbox = || Inbox::new(usize::MAX, 1 << 20);
        let inboxes: Arc<[Inbox]> = Arc::new([inbox(), inbox()]);
        let mail = |own| Mail {
            inboxes: inboxes.clone(),
            own,
        };
        stack.join_lanes(mail(0), Steering::new(0, 2, [1, 2]), 0);
        let address = Address {
            ip: OWN.into(),
            prefix: 24,
            gateway: None,
            dns: vec![],
        };
        stack.set_address(Some(address), 0);
        // It is announced.
        stack.serve(500_000_000);
        for round in 1..4 {
            let before = told.load(Ordering::Relaxed);
            let request = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[4; 6], &PEER, &[0; 6], &OWN].concat();
            inboxes[0].push(Parcel::Arp(request));
            stack.serve(round * 1_000_000_000);
            assert_eq!(told.load(Ordering::Relaxed), before + 1, "an answer");
        }
    }
}
