//! The driver against a model of the device, honest and not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::registers::{
    MODE, MODE_RECEIVE, MODE_TRANSMIT, RECEIVE_LIST, ROM, ROM_CLOCK, ROM_IN, ROM_OUT, ROM_SELECT,
    TRANSMIT_LIST, TRANSMIT_POLL,
};
use super::{Error, start_with};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::network::{NetworkDevice, Offload};
use crate::devices::registers::Registers;

const MAC: [u8; 6] = [0x00, 0x15, 0x5D, 1, 2, 3];
const OWN: u32 = 1 << 31;

/// A 93C46, bit by bit.
#[derive(Default)]
struct Rom {
    words: Vec<u16>,
    clock: bool,
    bits: Vec<bool>,
    out: bool,
}

impl Rom {
    fn set(&mut self, pins: u32) {
        if pins & ROM_SELECT == 0 {
            self.bits.clear();
        } else if pins & ROM_CLOCK != 0 && !self.clock {
            // Zeros before the start bit mean nothing.
            if !self.bits.is_empty() || pins & ROM_IN != 0 {
                self.bits.push(pins & ROM_IN != 0);
            }
            if let Some(done) = self.bits.len().checked_sub(10) {
                let number =
                    |bits: &[bool]| bits.iter().fold(0, |n, bit| n << 1 | usize::from(*bit));
                assert_eq!(number(&self.bits[..3]), 6, "start and read");
                let word = self.words[number(&self.bits[3..9])];
                self.out = word >> (15 - done.min(15)) & 1 != 0;
            }
        }
        self.clock = pins & ROM_CLOCK != 0;
    }
}

#[derive(Default)]
struct Model {
    registers: HashMap<usize, u32>,
    rom: Rom,
    /// Where the device is in its lists.
    receive: u32,
    transmit: u32,
    addresses: Vec<[u8; 6]>,
    sent: Vec<Vec<u8>>,
    is_silent: bool,
}

#[derive(Clone)]
struct Device(Arc<Mutex<Model>>);

impl Device {
    fn new(first_word: usize) -> Self {
        let mut model = Model::default();
        model.rom.words = vec![0; 64];
        for (at, pair) in MAC.chunks(2).enumerate() {
            model.rom.words[first_word + at] = u16::from_le_bytes([pair[0], pair[1]]);
        }
        Self(Arc::new(Mutex::new(model)))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.0.lock().expect("one thread"))
    }

    fn started(&self) -> NetworkDevice {
        start_with(self.clone(), || None).expect("a good device")
    }

    /// Fills the next receive descriptor, whatever it says; whether there was one.
    fn receive(&self, frame: &[u8], status: u32) -> bool {
        self.with(|model| {
            let at = u64::from(model.registers[&RECEIVE_LIST]) + u64::from(model.receive) * 16;
            if u32::from_le_bytes(device_read(at)) & OWN == 0 {
                return false;
            }
            let control = u32::from_le_bytes(device_read(at + 4));
            device_write(u64::from(u32::from_le_bytes(device_read(at + 8))), frame);
            device_write(at, &status.to_le_bytes());
            model.receive = if control >> 25 & 1 != 0 {
                0
            } else {
                model.receive + 1
            };
            true
        })
    }

    fn receive_good(&self, frame: &[u8]) -> bool {
        self.receive(frame, 3 << 8 | (frame.len() as u32 + 4) << 16)
    }
}

impl Model {
    fn send(&mut self) {
        while !self.is_silent && self.registers[&MODE] & MODE_TRANSMIT != 0 {
            let at = u64::from(self.registers[&TRANSMIT_LIST]) + u64::from(self.transmit) * 16;
            if u32::from_le_bytes(device_read(at)) & OWN == 0 {
                return;
            }
            let control = u32::from_le_bytes(device_read(at + 4));
            let bytes: [u8; 1514] = device_read(u64::from(u32::from_le_bytes(device_read(at + 8))));
            let len = (control & 0x7FF) as usize;
            if control >> 27 & 1 != 0 {
                assert_eq!(len, 192);
                let addresses = bytes[..192].as_chunks::<12>().0.iter();
                self.addresses = addresses
                    .map(|a| [a[0], a[1], a[4], a[5], a[8], a[9]])
                    .collect();
            } else {
                assert_eq!(control >> 29 & 3, 3, "a whole frame");
                self.sent.push(bytes[..len].to_vec());
            }
            device_write(at, &[0; 4]);
            self.transmit = if control >> 25 & 1 != 0 {
                0
            } else {
                self.transmit + 1
            };
        }
    }
}

impl Registers for Device {
    fn read(&self, offset: usize) -> u32 {
        self.with(|model| match offset {
            ROM if model.rom.out => ROM_OUT,
            ROM => 0,
            _ => model.registers.get(&offset).copied().unwrap_or(0),
        })
    }

    fn write(&self, offset: usize, value: u32) {
        self.with(|model| {
            model.registers.insert(offset, value);
            match offset {
                ROM => model.rom.set(value),
                TRANSMIT_POLL => model.send(),
                _ => {}
            }
        });
    }
}

#[test]
fn the_hardware_address_is_read_from_the_rom_old_or_new() {
    for first_word in [10, 0] {
        let device = Device::new(first_word);
        assert_eq!(device.started().mac, MAC);
        assert_ne!(device.read(MODE) & MODE_RECEIVE, 0);
    }
    let device = Device::new(30);
    let error = start_with(device, || None).err();
    assert_eq!(error, Some(Error::NoHardwareAddress));
}

#[test]
fn the_device_is_told_whose_frames_to_receive() {
    let device = Device::new(10);
    let _started = device.started();
    let addresses = device.with(|model| model.addresses.clone());
    assert_eq!(addresses.len(), 16);
    assert!(addresses.contains(&MAC) && addresses.contains(&[0xFF; 6]));
    assert!(addresses.iter().all(|a| *a == MAC || *a == [0xFF; 6]));
}

#[test]
fn a_device_that_does_not_take_that_is_refused() {
    let device = Device::new(10);
    device.with(|model| model.is_silent = true);
    let error = start_with(device, || None).err();
    assert_eq!(error, Some(Error::ResetTimeout));
}

#[test]
fn frames_come_in_order_through_many_rounds_of_the_ring() {
    let device = Device::new(10);
    let mut started = device.started();
    for round in 0..500_u32 {
        let mut frame = [0; 60];
        frame[..4].copy_from_slice(&round.to_le_bytes());
        assert!(!started.receiver.is_ready());
        assert!(device.receive_good(&frame));
        assert_eq!(started.receiver.frame().expect("a frame").bytes, frame);
        started.receiver.release();
        started.receiver.release();
        assert!(started.receiver.frame().is_none());
    }
}

#[test]
fn damaged_and_lying_descriptors_are_skipped() {
    let device = Device::new(10);
    let mut started = device.started();
    for status in [
        3 << 8 | 64 << 16 | 1 << 15, // an error
        3 << 8 | 10 << 16,           // too short
        3 << 8 | 0x3FFF << 16,       // longer than a buffer
        1 << 9 | 64 << 16,           // only its beginning
        0,
    ] {
        assert!(device.receive(&[1; 60], status));
    }
    assert!(device.receive_good(&[2; 60]));
    assert_eq!(started.receiver.frame().map(|f| f.bytes[0]), Some(2));
    started.receiver.release();
    assert!(started.receiver.frame().is_none());
    // A list of nothing but damage ends.
    while device.receive(&[0; 60], 0) {}
    assert!(started.receiver.frame().is_none());
    assert!(device.receive_good(&[3; 60]), "buffers were given back");
}

#[test]
fn frames_are_sent_in_order_and_a_device_that_sends_nothing_fills_the_ring_and_no_more() {
    let device = Device::new(10);
    let mut started = device.started();
    for round in 0..300_usize {
        assert!(started.transmitter.has_room());
        started.transmitter.buffer(100).fill(round as u8);
        started.transmitter.send(100, Offload::default());
        started.transmitter.flush();
        let sent = device.with(|model| model.sent.pop());
        assert_eq!(sent, Some(vec![round as u8; 100]));
    }
    device.with(|model| model.is_silent = true);
    let mut queued = 0_u8;
    while started.transmitter.has_room() {
        started.transmitter.buffer(60).fill(queued);
        started.transmitter.send(60, Offload::default());
        queued += 1;
        assert!(queued < 64);
    }
    started.transmitter.flush();
    device.with(|model| model.is_silent = false);
    device.write(TRANSMIT_POLL, 1);
    let sent = device.with(|model| model.sent.clone());
    assert_eq!(sent.len(), usize::from(queued));
    assert!((0..).zip(&sent).all(|(at, frame)| frame[0] == at));
}

proptest! {
    #[test]
    fn whatever_a_device_writes_frames_stay_in_their_buffers(
        claims in proptest::collection::vec((any::<u32>(), any::<bool>()), 0..300),
    ) {
        let device = Device::new(10);
        let mut started = device.started();
        for (status, is_released) in claims {
            device.receive(&[1; 60], status);
            if let Some(frame) = started.receiver.frame() {
                prop_assert!((14..=2048).contains(&frame.bytes.len()));
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
