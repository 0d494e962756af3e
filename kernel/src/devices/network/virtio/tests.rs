//! The driver against a model of the device, honest and not.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::{
    BUFFER_BYTES, HEADER_BYTES, LARGE_RECEIVE_BUFFER_BYTES, MERGED_BUFFERS, pair_count, start,
};
use crate::arch::interrupts::Irq;
use crate::arch::x86_64::core_local::{self, CoreLocal};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::network::{ChecksumRequest, NetworkDevice, Offload};
use crate::devices::virtio::queue::Queue;
use crate::devices::virtio::queue::model::DeviceSide;
use crate::devices::virtio::{EVENT_INDEX, Error, Transport, VERSION_1};

const FEATURES_OK: u8 = 8;
/// Pairs of queues of the model, and where that for commands is.
const MAX_PAIRS: usize = 3;
const CONTROL_QUEUE: usize = 2 * MAX_PAIRS;
const QUEUES: usize = CONTROL_QUEUE + 1;
/// The features of such a device.
const SEVERAL_QUEUES: u64 = 1 << 17 | 1 << 22;
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

struct Model {
    status: u8,
    offered: u64,
    accepted: u64,
    queues: [DeviceSide; QUEUES],
    notices: [usize; QUEUES],
    /// Pairs of queues that it was told to use.
    pairs: u16,
    /// What it answers to commands; nothing if it is deaf.
    answer: Option<u8>,
}

impl Model {
    /// Does what a command says.
    fn obey(&mut self) {
        let Some(answer) = self.answer else {
            return;
        };
        let [table, ..] = self.queues[CONTROL_QUEUE].addresses;
        let (entry, address, len) = self.queues[CONTROL_QUEUE].next().expect("a command");
        let [class, command, low, high]: [u8; 4] = device_read(address);
        assert_eq!((class, command, len), (4, 0, 4));
        self.pairs = u16::from_le_bytes([low, high]);
        // The answer's place is the next entry's.
        let next: [u8; 2] = device_read(table + u64::from(entry) * 16 + 14);
        let place = table + u64::from(u16::from_le_bytes(next)) * 16;
        device_write(u64::from_le_bytes(device_read(place)), &[answer]);
        self.queues[CONTROL_QUEUE].give_back(u32::from(entry), 1);
    }
}

struct Device(Mutex<Model>);

impl Device {
    fn new(offered: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Model {
            status: 0,
            offered,
            accepted: 0,
            queues: [DeviceSide::default(); QUEUES],
            notices: [0; QUEUES],
            pairs: 1,
            answer: Some(0),
        })))
    }

    fn honest() -> Arc<Self> {
        Self::new(VERSION_1 | 0b10_0011)
    }

    fn started(self: &Arc<Self>) -> NetworkDevice {
        start(self.clone(), || None, Vec::new()).expect("a good device")
    }

    /// One that has everything: checksums, large frames both ways, buffers that are merged, event indices.
    fn of_a_tap() -> Arc<Self> {
        Self::new(VERSION_1 | EVENT_INDEX | 0b1001_1001_1010_0011)
    }

    /// Delivers a frame in as many buffers as it needs, and says that it lies in so many.
    fn receive_merged(&self, frame: &[u8], claimed: u16) {
        let mut model = self.0.lock().expect("one thread");
        let mut bytes = vec![1, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(claimed.to_le_bytes());
        bytes.extend(frame);
        for piece in bytes.chunks(LARGE_RECEIVE_BUFFER_BYTES) {
            let (entry, address, _) = model.queues[0].next().expect("a buffer on offer");
            device_write(address, piece);
            model.queues[0].give_back(u32::from(entry), piece.len() as u32);
        }
    }

    /// Delivers a frame, with any claim about its length.
    fn receive(&self, flags: u8, frame: &[u8], claimed: u32) {
        let mut model = self.0.lock().expect("one thread");
        let (entry, address, len) = model.queues[0].next().expect("a buffer on offer");
        assert_eq!(len as usize, BUFFER_BYTES);
        device_write(address, &[flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        device_write(address + HEADER_BYTES as u64, frame);
        model.queues[0].give_back(u32::from(entry), claimed);
    }

    /// Takes a frame that was sent: its header and itself.
    fn transmitted(&self) -> Option<([u8; HEADER_BYTES], Vec<u8>)> {
        let mut model = self.0.lock().expect("one thread");
        let (entry, address, len) = model.queues[1].next()?;
        let frame = (HEADER_BYTES as u64..u64::from(len)).map(|at| {
            let [byte] = device_read(address + at);
            byte
        });
        let frame = frame.collect();
        model.queues[1].give_back(u32::from(entry), 0);
        Some((device_read(address), frame))
    }
}

impl Transport for Device {
    fn is_legacy(&self) -> bool {
        false
    }
    fn status(&self) -> u8 {
        self.0.lock().expect("one thread").status
    }
    fn set_status(&self, status: u8) {
        let mut model = self.0.lock().expect("one thread");
        let is_refused = model.accepted & VERSION_1 == 0;
        model.status = if is_refused {
            status & !FEATURES_OK
        } else {
            status
        };
    }
    fn offered_features(&self) -> u64 {
        self.0.lock().expect("one thread").offered
    }
    fn accept_features(&self, features: u64) {
        self.0.lock().expect("one thread").accepted = features;
    }
    fn max_queue_len(&self, _: u16) -> u16 {
        256
    }
    fn enable_queue(&self, index: u16, queue: &Queue) {
        let side = DeviceSide {
            addresses: queue.addresses(),
            len: queue.len(),
            ..DeviceSide::default()
        };
        self.0.lock().expect("one thread").queues[usize::from(index)] = side;
    }
    fn notify(&self, index: u16) {
        let mut model = self.0.lock().expect("one thread");
        model.notices[usize::from(index)] += 1;
        if usize::from(index) == CONTROL_QUEUE {
            model.obey();
        }
    }
    fn acknowledge_interrupt(&self) {}
    fn config(&self, offset: usize) -> u8 {
        let pairs = (MAX_PAIRS as u16).to_le_bytes();
        [MAC.as_slice(), &[1, 0], &pairs].concat()[offset]
    }
    fn config32(&self, _: usize) -> u32 {
        0
    }
}

#[test]
fn a_device_without_needed_features_is_refused() {
    let without_mac = Device::new(VERSION_1);
    assert_eq!(
        start(without_mac, || None, Vec::new()).err(),
        Some(Error::Features)
    );
    let of_old = Device::new(0b10_0011);
    assert_eq!(
        start(of_old, || None, Vec::new()).err(),
        Some(Error::Features)
    );
}

#[test]
fn frames_come_in_order_for_long() {
    let device = Device::honest();
    let mut started = device.started();
    assert_eq!(started.mac, MAC);
    for round in 0..1000u32 {
        let mut frame = [0; 60];
        frame[..4].copy_from_slice(&round.to_le_bytes());
        let flags = (round % 3) as u8;
        device.receive(flags, &frame, 72);
        assert!(started.receiver.is_ready());
        let received = started.receiver.frame().expect("a frame");
        assert_eq!(received.bytes, frame);
        assert_eq!(received.is_verified, flags != 0);
        started.receiver.release();
        assert!(!started.receiver.is_ready());
    }
}

#[test]
fn a_device_that_is_looked_at_anyway_is_asked_to_keep_quiet() {
    let device = Device::honest();
    let mut started = device.started();
    let flags = || {
        let model = device.0.lock().expect("one thread");
        u16::from_le_bytes(device_read(model.queues[0].addresses[1]))
    };
    assert_eq!(flags(), 0, "at first, there are interrupts");
    started.receiver.acknowledge();
    assert_eq!(flags(), 1);
    device.receive(0, &[3; 60], 72);
    assert!(
        started.receiver.listen(),
        "the frame is there, though no interrupt told of it"
    );
    assert_eq!(flags(), 0);
}

#[test]
fn with_event_indices_the_next_frame_interrupts_once_the_driver_listens() {
    let device = Device::of_a_tap();
    let mut started = device.started();
    for round in 0..300u16 {
        let awaited = || device.0.lock().expect("one thread").queues[0].awaited();
        assert_eq!(awaited(), round);
        device.receive_merged(&[3; 60], 1);
        started.receiver.acknowledge();
        assert!(started.receiver.frame().is_some());
        started.receiver.release();
        assert!(started.receiver.frame().is_none());
        assert!(!started.receiver.listen());
    }
}

#[test]
fn frames_in_several_buffers_are_whole_wherever_they_lie() {
    let device = Device::of_a_tap();
    let mut started = device.started();
    assert_eq!(started.transmitter.largest_send(), 65_535);
    for (round, len) in (0..500usize).zip([60, 4084, 4085, 9000, 65_549].into_iter().cycle()) {
        let frame: Vec<u8> = (0..len).map(|at| (at + round) as u8).collect();
        let count = (len + HEADER_BYTES).div_ceil(LARGE_RECEIVE_BUFFER_BYTES);
        device.receive_merged(&frame, count as u16);
        if round % 2 == 0 {
            let received = started.receiver.frame().expect("a frame");
            assert!(received.is_verified && received.bytes == frame, "{round}");
            started.receiver.release();
        } else {
            let mut taken = 0;
            let count = started.receiver.serve(8, &mut |bytes, is_verified| {
                assert!(is_verified && bytes == frame, "{round}");
                taken += 1;
            });
            assert_eq!((count, taken), (1, 1));
        }
        assert!(started.receiver.frame().is_none());
    }
}

#[test]
fn frames_are_lent_one_after_the_other_and_no_more_than_asked_for() {
    for device in [Device::honest(), Device::of_a_tap()] {
        let mut started = device.started();
        let is_merged = device.0.lock().expect("one thread").accepted & MERGED_BUFFERS != 0;
        for round in 0..200u8 {
            for number in 0..6 {
                let frame = [number; 60];
                match is_merged {
                    true => device.receive_merged(&frame, 1),
                    // One is no frame, and one claims to be longer than its buffer.
                    false => device.receive(
                        round % 2,
                        &frame,
                        [72, 20, 72, 3000, 72, 72][usize::from(number)],
                    ),
                }
            }
            let mut numbers = Vec::new();
            let mut take = |bytes: &[u8], is_verified: bool| {
                assert!(bytes.len() == 60 && (is_verified || round % 2 == 0));
                numbers.push(bytes[0]);
            };
            let [first, second] = [4, 8].map(|most| started.receiver.serve(most, &mut take));
            assert_eq!([first, second], [4, 2]);
            let expected: &[u8] = if is_merged {
                &[0, 1, 2, 3, 4, 5]
            } else {
                &[0, 2, 4, 5]
            };
            assert_eq!(numbers, expected);
        }
    }
}

#[test]
fn a_count_of_buffers_that_lies_costs_the_frame_and_no_buffer() {
    let device = Device::of_a_tap();
    let mut started = device.started();
    for claimed in [0, 2, 5, 63, 64, 65, u16::MAX] {
        for _ in 0..40 {
            device.receive_merged(&[1; 60], claimed);
            assert!(started.receiver.frame().is_none());
        }
        // Too few buffers, which are not full.
        device.receive_merged(&[1; 60], 2);
        device.receive_merged(&[1; 60], 1);
        assert!(started.receiver.frame().is_none());
    }
    for _ in 0..300 {
        device.receive_merged(&[2; 9000], 3);
        let received = started.receiver.frame().map(|frame| frame.bytes.to_vec());
        assert_eq!(received, Some(vec![2; 9000]));
        started.receiver.release();
    }
}

#[test]
fn large_frames_are_not_taken_without_merged_buffers_or_checksums() {
    for (offered, accepted) in [
        (0b1001_1001_1010_0011u64, 0b1001_1001_1010_0011u64),
        (0b0001_1001_1010_0011, 0b0001_1000_0010_0011),
        (0b1001_1001_1010_0001, 0b0001_1000_0010_0001),
        (0b1001_1001_1010_0010, 0b1000_0001_1010_0010),
        (0b1000_1001_1010_0011, 0b1000_0001_1010_0011),
    ] {
        let device = Device::new(VERSION_1 | offered);
        let _started = device.started();
        let model = device.0.lock().expect("one thread");
        assert_eq!(model.accepted, VERSION_1 | accepted, "{offered:b}");
    }
}

#[test]
fn large_frames_are_sent_with_what_their_segments_are_made_by() {
    let device = Device::of_a_tap();
    let mut started = device.started();
    let checksum = ChecksumRequest { start: 34, at: 50 };
    for round in 0..200usize {
        // Now and then the device has not come to the others yet.
        let mut lens = Vec::new();
        for wanted in [60, 20_000, 3000].into_iter().take(1 + round % 3) {
            let len = match started.transmitter.large_room() {
                0 => 60.min(wanted),
                room => wanted.min(room),
            };
            assert!(started.transmitter.has_room());
            started.transmitter.buffer(len).fill(round as u8);
            let offload = Offload {
                checksum: Some(checksum),
                segment_bytes: 1448,
                header_bytes: 66,
                is_v6: round % 2 == 1,
            };
            started.transmitter.send(len, offload);
            lens.push(len);
        }
        started.transmitter.flush();
        for len in lens {
            let (header, frame) = device.transmitted().expect("a frame");
            assert_eq!(frame, vec![round as u8; len]);
            let kind = if round % 2 == 1 { 4 } else { 1 };
            assert_eq!(header, [1, kind, 66, 0, 168, 5, 34, 0, 16, 0, 0, 0]);
        }
    }
    assert_eq!(device.transmitted(), None);
}

#[test]
fn buffers_of_frames_that_are_sent_out_of_order_are_used_again_in_order() {
    let device = Device::honest();
    let mut started = device.started();
    for byte in 0..64 {
        assert!(started.transmitter.has_room());
        started.transmitter.buffer(60).fill(byte);
        started.transmitter.send(60, Offload::default());
    }
    started.transmitter.flush();
    let give_back = |entry| {
        let mut model = device.0.lock().expect("one thread");
        model.queues[1].give_back(entry, 0);
    };
    give_back(1);
    assert!(!started.transmitter.has_room(), "the oldest is under way");
    give_back(0);
    assert!(started.transmitter.has_room());
}

#[test]
fn lengths_that_lie_are_skipped() {
    let device = Device::honest();
    let mut started = device.started();
    for claimed in [0, 11, 25, 2049, u32::MAX] {
        device.receive(0, &[1; 60], claimed);
    }
    device.receive(0, &[2; 60], 72);
    assert_eq!(
        started.receiver.frame().map(|frame| frame.bytes[0]),
        Some(2)
    );
}

#[test]
fn frames_are_sent_with_the_checksum_wish_in_the_header() {
    let device = Device::honest();
    let mut started = device.started();
    for round in 0..500usize {
        assert!(started.transmitter.has_room());
        started.transmitter.buffer(100).fill(round as u8);
        let wish = ChecksumRequest { start: 34, at: 50 };
        let offload = Offload {
            checksum: (round % 2 == 1).then_some(wish),
            ..Offload::default()
        };
        started.transmitter.send(100, offload);
        started.transmitter.flush();
        let (header, frame) = device.transmitted().expect("a frame");
        assert_eq!(frame, vec![round as u8; 100]);
        let expected = if round % 2 == 1 { [1, 34, 16] } else { [0; 3] };
        assert_eq!([header[0], header[6], header[8]], expected);
    }
    assert_eq!(device.0.lock().expect("one thread").notices[1], 500);
}

#[test]
fn a_device_that_sends_nothing_fills_the_queue_and_no_more() {
    let device = Device::honest();
    let mut started = device.started();
    let mut queued = 0;
    while started.transmitter.has_room() {
        started.transmitter.buffer(60).fill(queued);
        started.transmitter.send(60, Offload::default());
        queued += 1;
    }
    assert_eq!(queued, 64);
    started.transmitter.flush();
    for sent in 0..64 {
        assert_eq!(
            device.transmitted().map(|(_, frame)| frame[0]),
            Some(sent),
            "no buffer was used twice"
        );
    }
    assert!(started.transmitter.has_room());
}

#[test]
fn a_device_that_never_wants_to_be_notified_serves_for_long() {
    // Each frame takes a buffer, and none of the notices is due.
    let device = Device::honest();
    let mut started = device.started();
    let used = device.0.lock().expect("one thread").queues[0].addresses[2];
    device_write(used, &1u16.to_le_bytes());
    for round in 0..70_000u32 {
        device.receive(0, &[round as u8; 60], 72);
        let received = started.receiver.frame().map(|frame| frame.bytes[0]);
        assert_eq!(received, Some(round as u8));
        started.receiver.release();
    }
}

proptest! {
    #[test]
    fn whatever_a_device_gives_back_frames_stay_in_their_buffers(
        claims in proptest::collection::vec((0u32..300, any::<u32>(), any::<u16>(), any::<bool>(), any::<bool>()), 0..200),
    ) {
        let device = Device::of_a_tap();
        let mut started = device.started();
        let [table, ..] = device.0.lock().expect("one thread").queues[0].addresses;
        for (entry, len, count, is_small, is_released) in claims {
            let address = u64::from_le_bytes(device_read(table + u64::from(entry % 64) * 16));
            let count = if is_small { count % 5 } else { count };
            device_write(address + 10, &count.to_le_bytes());
            let len = if is_small { len % 5000 } else { len };
            device.0.lock().expect("one thread").queues[0].give_back(entry, len);
            if is_small == is_released {
                let take = &mut |bytes: &[u8], _| assert!((14..=65_549).contains(&bytes.len()));
                prop_assert!(started.receiver.serve(8, take) <= 8);
            }
            if let Some(frame) = started.receiver.frame() {
                prop_assert!((14..=65_549).contains(&frame.bytes.len()));
            }
            if is_released {
                started.receiver.release();
            }
        }
        for _ in 0..300 {
            let _ = started.receiver.frame();
            started.receiver.release();
        }
        prop_assert!(started.receiver.frame().is_none(), "it ends");
    }
}

/// Lines and cores for further pairs.
fn others(count: u32) -> Vec<(Irq, &'static CoreLocal)> {
    (1..=count)
        .map(|number| (Irq::of_test(number as u8), core_local::allocate(number)))
        .collect()
}

#[test]
fn each_pair_of_queues_has_its_own_frames() {
    let device = Device::new(VERSION_1 | EVENT_INDEX | SEVERAL_QUEUES | 0b10_0011);
    assert_eq!(pair_count(&*device), MAX_PAIRS);
    let mut started = start(device.clone(), || None, others(2)).expect("a good device");
    assert_eq!(started.more.len(), 2);
    assert_eq!(device.0.lock().expect("one thread").pairs, 3);
    for (number, pair) in started.more.iter_mut().enumerate() {
        assert_eq!(pair.core.apic_id(), number as u32 + 1);
        let (receive, transmit) = (2 * number + 2, 2 * number + 3);
        let mut model = device.0.lock().expect("one thread");
        let (entry, address, _) = model.queues[receive].next().expect("a buffer on offer");
        device_write(address, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        device_write(address + HEADER_BYTES as u64, &[number as u8; 60]);
        model.queues[receive].give_back(u32::from(entry), 72);
        drop(model);
        let frame = pair.receiver.frame().expect("a frame");
        assert_eq!(frame.bytes, [number as u8; 60]);
        pair.receiver.release();
        assert!(pair.transmitter.has_room());
        pair.transmitter.buffer(60).fill(number as u8 + 7);
        pair.transmitter.send(60, Offload::default());
        pair.transmitter.flush();
        let mut model = device.0.lock().expect("one thread");
        assert_eq!(model.notices[transmit], 1, "its own queue is told");
        let (_, address, len) = model.queues[transmit].next().expect("a frame");
        assert_eq!(len, 72);
        let sent: [u8; 60] = device_read(address + HEADER_BYTES as u64);
        assert_eq!(sent, [number as u8 + 7; 60]);
    }
    assert!(!started.receiver.is_ready());
}

#[test]
fn a_device_that_does_not_go_along_with_several_pairs_has_one() {
    for answer in [Some(1), None] {
        let device = Device::new(VERSION_1 | SEVERAL_QUEUES | 0b10_0011);
        device.0.lock().expect("one thread").answer = answer;
        let mut started = start(device.clone(), || None, others(1)).expect("a good device");
        assert!(started.more.is_empty());
        device.receive(0, &[5; 60], 72);
        assert!(started.receiver.frame().is_some());
    }
    let without_commands = Device::new(VERSION_1 | 1 << 22 | 0b10_0011);
    assert_eq!(pair_count(&*without_commands), 1);
    let started = start(without_commands, || None, others(1)).expect("a good device");
    assert!(started.more.is_empty());
}

#[test]
fn more_pairs_than_are_asked_for_are_left_alone() {
    let device = Device::new(VERSION_1 | SEVERAL_QUEUES | 0b10_0011);
    let started = start(device.clone(), || None, Vec::new()).expect("a good device");
    assert!(started.more.is_empty());
    let model = device.0.lock().expect("one thread");
    assert_eq!((model.pairs, model.accepted & SEVERAL_QUEUES), (1, 0));
}
