//! The driver against a model of the device, honest and not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::registers::{
    BLOCK, BUS_DATA, DATA, FEATURES, HARDWARE_ADDRESS, MASKS, RESET, SELECT, STATUS, STATUS_EVENTS,
    STATUS_INITIALISE, STATUS_INITIALISED, STATUS_INTERRUPTS, STATUS_START, STATUS_STOP,
    STATUS_TRANSMIT, STYLE,
};
use super::{Error, start_with};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::network::{NetworkDevice, Offload, Receiver};
use crate::devices::registers::Registers;

const MAC: [u8; 6] = [0x08, 0x00, 0x27, 1, 2, 3];
const OWN: u32 = 1 << 31;
const BEGIN_AND_END: u32 = 3 << 24;

fn read_word(at: u64) -> u32 {
    u32::from_le_bytes(device_read(at))
}

/// A ring as the device goes through it.
#[derive(Clone, Copy, Default)]
struct Ring {
    address: u32,
    len: u32,
    next: u32,
}

impl Ring {
    fn descriptor(&self) -> u64 {
        u64::from(self.address) + u64::from(self.next) * 16
    }

    fn is_owned(&self) -> bool {
        read_word(self.descriptor() + 4) & OWN != 0
    }

    fn complete(&mut self, status: u32) {
        device_write(self.descriptor() + 4, &status.to_le_bytes());
        self.next = (self.next + 1) % self.len;
    }

    /// Where the buffer is, and how long.
    fn buffer(&self) -> (u64, usize) {
        let word = read_word(self.descriptor() + 4);
        assert_eq!(word >> 12 & 0xF, 0xF, "ones, says the data sheet");
        let len = 0x1000 - (word & 0xFFF);
        (u64::from(read_word(self.descriptor())), len as usize)
    }
}

#[derive(Default)]
struct Model {
    mac: [u8; 6],
    /// Accesses are of 32 bits.
    is_wide: bool,
    selected: u32,
    csr: HashMap<u32, u32>,
    bcr: HashMap<u32, u32>,
    mac_in_block: [u8; 6],
    groups: [u8; 8],
    receive: Ring,
    transmit: Ring,
    sent: Vec<Vec<u8>>,
    is_stuck_in_reset: bool,
    is_without_style: bool,
    is_silent: bool,
}

impl Model {
    fn status(&mut self) -> &mut u32 {
        self.csr.entry(STATUS).or_default()
    }

    fn reset(&mut self) {
        // QEMU's forgets the width.
        self.is_wide = false;
        self.selected = 0;
        self.csr.clear();
        if !self.is_stuck_in_reset {
            *self.status() = STATUS_STOP;
        }
    }

    fn initialise(&mut self) {
        let [low, high] = BLOCK.map(|number| self.csr[&number]);
        let block: [u8; 28] = device_read(u64::from(high << 16 | low));
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| block[at + byte]));
        assert_eq!(word(0) & 0xFFFF, 0, "the mode");
        self.mac_in_block.copy_from_slice(&block[4..10]);
        self.groups.copy_from_slice(&block[12..20]);
        let ring = |address: usize, shift: u32| Ring {
            address: word(address),
            len: 1 << (word(0) >> shift & 0xF),
            next: 0,
        };
        self.receive = ring(20, 20);
        self.transmit = ring(24, 28);
        assert_eq!((self.receive.address | self.transmit.address) % 16, 0);
        *self.status() |= STATUS_INITIALISED;
    }

    fn write_status(&mut self, value: u32) {
        let status = self.status();
        *status &= !(value & STATUS_EVENTS);
        *status = *status & !STATUS_INTERRUPTS | value & STATUS_INTERRUPTS;
        if self.is_silent {
            return;
        }
        if value & STATUS_INITIALISE != 0 {
            *self.status() &= !STATUS_STOP;
            self.initialise();
        }
        if value & STATUS_START != 0 {
            *self.status() |= STATUS_START;
        }
        if value & STATUS_TRANSMIT != 0 {
            assert_ne!(*self.status() & STATUS_START, 0);
            self.send();
        }
    }

    fn send(&mut self) {
        for _ in 0..self.transmit.len {
            if !self.transmit.is_owned() {
                return;
            }
            let status = read_word(self.transmit.descriptor() + 4);
            assert_eq!(status & BEGIN_AND_END, BEGIN_AND_END, "a whole frame");
            let (address, len) = self.transmit.buffer();
            let bytes: [u8; 1514] = device_read(address);
            self.sent.push(bytes[..len].to_vec());
            self.transmit.complete(0);
        }
    }
}

#[derive(Clone)]
struct Device(Arc<Mutex<Model>>);

impl Device {
    /// As a boot program has left it.
    fn new() -> Self {
        let mut model = Model {
            mac: MAC,
            ..Model::default()
        };
        *model.status() = STATUS_START | STATUS_INTERRUPTS;
        model.selected = 112;
        Self(Arc::new(Mutex::new(model)))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.0.lock().expect("one thread"))
    }

    fn started(&self) -> NetworkDevice {
        start_with(self.clone(), || None).expect("a good device")
    }

    /// Fills the next receive descriptor, whatever it says; whether there was one.
    fn receive(&self, frame: &[u8], status: u32, length: u32) -> bool {
        self.with(|model| {
            if !model.receive.is_owned() {
                return false;
            }
            let address = read_word(model.receive.descriptor());
            device_write(u64::from(address), frame);
            device_write(model.receive.descriptor() + 8, &length.to_le_bytes());
            model.receive.complete(status);
            true
        })
    }

    fn receive_good(&self, frame: &[u8]) -> bool {
        let room = self.with(|model| model.receive.buffer().1);
        assert!(frame.len() + 4 <= room);
        self.receive(frame, BEGIN_AND_END, frame.len() as u32 + 4)
    }
}

impl Registers for Device {
    fn read(&self, offset: usize) -> u32 {
        self.with(|model| match offset {
            _ if !model.is_wide => !0,
            RESET => {
                model.reset();
                0
            }
            DATA => model.csr.get(&model.selected).copied().unwrap_or(0),
            BUS_DATA => model.bcr.get(&model.selected).copied().unwrap_or(0),
            at => {
                let [a, b, c, d, e, f] = model.mac;
                match HARDWARE_ADDRESS.iter().position(|place| *place == at) {
                    Some(0) => u32::from_le_bytes([a, b, c, d]),
                    Some(1) => u32::from_le_bytes([e, f, 0xFF, 0xFF]),
                    _ => panic!("a read of {at:#x}"),
                }
            }
        })
    }

    fn write(&self, offset: usize, value: u32) {
        self.with(|model| match offset {
            DATA if !model.is_wide => model.is_wide = true,
            _ if !model.is_wide => {}
            SELECT => model.selected = value,
            DATA if model.selected == STATUS => model.write_status(value),
            DATA => _ = model.csr.insert(model.selected, value),
            BUS_DATA if model.is_without_style => {}
            BUS_DATA => _ = model.bcr.insert(model.selected, value | 3 << 8),
            at => panic!("a write to {at:#x}"),
        });
    }
}

#[test]
fn the_device_is_started_from_whatever_state() {
    for is_wide in [false, true] {
        let device = Device::new();
        device.with(|model| model.is_wide = is_wide);
        let started = device.started();
        assert_eq!(started.mac, MAC);
        device.with(|model| {
            assert_eq!(model.mac_in_block, MAC);
            assert_eq!(model.groups, [0xFF; 8]);
            let status = *model.status();
            assert_eq!(
                status & (STATUS_START | STATUS_INTERRUPTS),
                STATUS_START | STATUS_INTERRUPTS
            );
            assert_eq!(status & STATUS_INITIALISED, 0, "it was taken away");
            assert_eq!(model.bcr[&STYLE] & 0xFF, 2);
            // A frame received interrupts, and nothing else.
            assert_eq!(model.csr[&MASKS] & 0x7F00, 0x7F00 & !(1 << 10 | 1 << 13));
            assert_ne!(model.csr[&FEATURES] & 1 << 11, 0, "short frames");
            // Both halves rely on it.
            assert_eq!(model.selected, STATUS);
        });
    }
}

#[test]
fn a_device_that_is_none_is_refused() {
    let refused = |change: fn(&mut Model)| {
        let device = Device::new();
        device.with(change);
        start_with(device, || None).err()
    };
    assert_eq!(
        refused(|model| model.is_stuck_in_reset = true),
        Some(Error::ResetTimeout)
    );
    assert_eq!(
        refused(|model| model.is_without_style = true),
        Some(Error::NoRegisters)
    );
    assert_eq!(
        refused(|model| model.is_silent = true),
        Some(Error::ResetTimeout)
    );
    for mac in [[0; 6], [0xFF; 6]] {
        let device = Device::new();
        device.with(|model| model.mac = mac);
        let error = start_with(device, || None).err();
        assert_eq!(error, Some(Error::NoHardwareAddress));
    }
}

#[test]
fn frames_come_in_order_through_many_rounds_of_the_ring() {
    let device = Device::new();
    let mut started = device.started();
    for round in 0..500_usize {
        let len = 60 + round * 97 % 1455;
        let frame: Vec<u8> = (0..len).map(|at| (at + round) as u8).collect();
        assert!(!started.receiver.is_ready());
        assert!(device.receive_good(&frame));
        assert!(started.receiver.frame().expect("a frame").bytes == frame);
        started.receiver.release();
        started.receiver.release();
        assert!(started.receiver.frame().is_none());
    }
}

#[test]
fn damaged_and_lying_descriptors_are_skipped() {
    let device = Device::new();
    let mut started = device.started();
    for (status, length) in [
        (BEGIN_AND_END | 1 << 30, 64), // an error
        (BEGIN_AND_END, 10),           // too short
        (BEGIN_AND_END, 0xFFF),        // longer than a buffer
        (1 << 25, 64),                 // only its beginning
        (0, 0),
    ] {
        assert!(device.receive(&[1; 60], status, length));
    }
    assert!(device.receive_good(&[2; 60]));
    assert_eq!(started.receiver.frame().map(|f| f.bytes[0]), Some(2));
    started.receiver.release();
    assert!(started.receiver.frame().is_none());
    // A ring of nothing but damage ends.
    while device.receive(&[0; 60], 0, 0) {}
    assert!(started.receiver.frame().is_none());
    assert!(device.receive_good(&[3; 60]), "buffers were given back");
}

#[test]
fn descriptors_that_the_device_passes_over_hold_nothing_up() {
    let device = Device::new();
    let mut started = device.started();
    let take = |receiver: &mut dyn Receiver| {
        let first = receiver.frame().map(|frame| frame.bytes[0]);
        receiver.release();
        first
    };
    for round in 0..100 {
        device.with(|model| {
            model.receive.next = (model.receive.next + round % 7) % model.receive.len
        });
        assert!(device.receive_good(&[round as u8; 60]));
        device.with(|model| model.receive.next = (model.receive.next + 3) % model.receive.len);
        assert!(device.receive_good(&[!round as u8; 60]));
        started.receiver.acknowledge();
        // It says nothing more of the second.
        assert_eq!(take(&mut *started.receiver), Some(round as u8));
        assert_eq!(take(&mut *started.receiver), Some(!round as u8));
        assert_eq!(take(&mut *started.receiver), None);
    }
}

#[test]
fn frames_are_sent_in_order_and_a_device_that_sends_nothing_fills_the_ring_and_no_more() {
    let device = Device::new();
    let mut started = device.started();
    for round in 0..300_usize {
        assert!(started.transmitter.has_room());
        let len = 14 + round * 97 % 1501;
        started.transmitter.buffer(len).fill(round as u8);
        started.transmitter.send(len, Offload::default());
        started.transmitter.flush();
        assert!(started.transmitter.has_sent_all());
        let sent = device.with(|model| model.sent.pop());
        assert_eq!(sent, Some(vec![round as u8; len]));
    }
    device.with(|model| model.is_silent = true);
    let mut queued = 0_u8;
    while started.transmitter.has_room() {
        started.transmitter.buffer(60).fill(queued);
        started.transmitter.send(60, Offload::default());
        queued += 1;
        assert!(queued <= 64);
    }
    started.transmitter.flush();
    assert!(!started.transmitter.has_sent_all());
    device.with(|model| model.is_silent = false);
    device.write(DATA, STATUS_TRANSMIT);
    let sent = device.with(|model| model.sent.clone());
    assert_eq!(sent.len(), usize::from(queued));
    assert!((0..).zip(&sent).all(|(at, frame)| frame[0] == at));
    assert!(started.transmitter.has_room());
}

#[test]
fn sending_leaves_interrupts_on() {
    let device = Device::new();
    let mut started = device.started();
    started.transmitter.buffer(60).fill(1);
    started.transmitter.send(60, Offload::default());
    started.transmitter.flush();
    let status = device.with(|model| *model.status());
    assert_ne!(status & STATUS_INTERRUPTS, 0);
}

proptest! {
    #[test]
    fn whatever_a_device_writes_frames_stay_in_their_buffers(
        claims in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<bool>()), 0..300),
    ) {
        let device = Device::new();
        let mut started = device.started();
        for (status, length, is_released) in claims {
            device.receive(&[1; 60], status, length);
            if let Some(frame) = started.receiver.frame() {
                prop_assert!((14..=1532).contains(&frame.bytes.len()));
            }
            if is_released {
                started.receiver.release();
            }
        }
        // A ring's worth at most is still there.
        for _ in 0..256 {
            let _ = started.receiver.frame();
            started.receiver.release();
        }
        prop_assert!(started.receiver.frame().is_none());
    }
}
