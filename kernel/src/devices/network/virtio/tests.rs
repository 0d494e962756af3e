//! The driver against a model of the device, honest and not.

use std::sync::{Arc, Mutex};

use super::{BUFFER_BYTES, HEADER_BYTES, start};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::network::{ChecksumRequest, NetworkDevice};
use crate::devices::virtio::queue::Queue;
use crate::devices::virtio::queue::model::DeviceSide;
use crate::devices::virtio::{Error, Transport, VERSION_1};

const FEATURES_OK: u8 = 8;
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

struct Model {
    status: u8,
    offered: u64,
    accepted: u64,
    queues: [DeviceSide; 2],
    notices: [usize; 2],
}

struct Device(Mutex<Model>);

impl Device {
    fn new(offered: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Model {
            status: 0,
            offered,
            accepted: 0,
            queues: [DeviceSide::default(); 2],
            notices: [0; 2],
        })))
    }

    fn honest() -> Arc<Self> {
        Self::new(VERSION_1 | 0b10_0011)
    }

    fn started(self: &Arc<Self>) -> NetworkDevice {
        start(self.clone(), || None).expect("a good device")
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
        let bytes: [u8; 512] = device_read(address + HEADER_BYTES as u64);
        model.queues[1].give_back(u32::from(entry), 0);
        Some((
            device_read(address),
            bytes[..len as usize - HEADER_BYTES].to_vec(),
        ))
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
        self.0.lock().expect("one thread").notices[usize::from(index)] += 1;
    }
    fn acknowledge_interrupt(&self) {}
    fn config(&self, offset: usize) -> u8 {
        MAC[offset]
    }
    fn config32(&self, _: usize) -> u32 {
        0
    }
}

#[test]
fn a_device_without_needed_features_is_refused() {
    let without_mac = Device::new(VERSION_1);
    assert_eq!(start(without_mac, || None).err(), Some(Error::Features));
    let of_old = Device::new(0b10_0011);
    assert_eq!(start(of_old, || None).err(), Some(Error::Features));
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
    started.receiver.set_quiet(true);
    assert_eq!(flags(), 1);
    device.receive(0, &[3; 60], 72);
    started.receiver.set_quiet(false);
    assert_eq!(flags(), 0);
    assert!(
        started.receiver.is_ready(),
        "though no interrupt told of it"
    );
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
        let wish = ChecksumRequest {
            start: 34,
            at: 50,
            is_tcp: true,
        };
        started
            .transmitter
            .send(100, (round % 2 == 1).then_some(wish));
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
        started.transmitter.send(60, None);
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
