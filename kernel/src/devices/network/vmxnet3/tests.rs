//! The driver against a model of the device, honest and not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::registers::{
    ACTIVATE, COMMAND, GET_LINK, MAC_HIGH, MAC_LOW, RESET, REVISION, SET_RECEIVE_MODE, SHARED_HIGH,
    SHARED_LOW, TRANSMIT_INDEX, TRANSPORT_REVISION, shared,
};
use super::{Error, start_with};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::network::{ChecksumRequest, NetworkDevice, Offload};
use crate::devices::registers::Registers;

const MAC: [u8; 6] = [0x00, 0x0C, 0x29, 1, 2, 3];
const GENERATION: u32 = 1 << 31;
/// A frame in one piece.
const WHOLE: u32 = 3 << 14;

/// A ring as the device goes through it.
#[derive(Clone, Copy, Default)]
struct Ring {
    address: u64,
    len: u32,
    next: u32,
    generation: bool,
}

impl Ring {
    fn at(queue: u64, offset: usize, len_offset: usize) -> Self {
        Self {
            address: u64::from_le_bytes(device_read(queue + offset as u64)),
            len: u32::from_le_bytes(device_read(queue + len_offset as u64)),
            next: 0,
            generation: true,
        }
    }

    fn entry(&self) -> u64 {
        self.address + u64::from(self.next) * 16
    }

    fn advance(&mut self) {
        self.next = (self.next + 1) % self.len;
        self.generation ^= self.next == 0;
    }

    fn complete(&mut self, words: [u32; 4]) {
        let generation = if self.generation { GENERATION } else { 0 };
        for (word, value) in (0..).zip([words[0], words[1], words[2], words[3] | generation]) {
            device_write(self.entry() + 4 * word, &u32::to_le_bytes(value));
        }
        self.advance();
    }
}

#[derive(Default)]
struct Model {
    registers: HashMap<usize, u32>,
    refuses: bool,
    commands: Vec<u32>,
    receive: Ring,
    received: Ring,
    transmit: Ring,
    transmitted: Ring,
    sent: Vec<(Vec<u8>, u32, u32)>,
    /// How far a device that answers nothing goes: nowhere.
    is_silent: bool,
}

/// A window of the device: BAR 0 or BAR 1.
#[derive(Clone)]
struct Device {
    bar: usize,
    model: Arc<Mutex<Model>>,
}

impl Device {
    fn new() -> Self {
        let registers = HashMap::from([
            (REVISION, 1),
            (TRANSPORT_REVISION, 1),
            (
                MAC_LOW,
                u32::from_le_bytes([MAC[0], MAC[1], MAC[2], MAC[3]]),
            ),
            (MAC_HIGH, u32::from_le_bytes([MAC[4], MAC[5], 0, 0])),
        ]);
        let model = Model {
            registers,
            ..Model::default()
        };
        Self {
            bar: 1,
            model: Arc::new(Mutex::new(model)),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.model.lock().expect("one thread"))
    }

    fn start(&self) -> Result<NetworkDevice, Error> {
        let queues = Self {
            bar: 0,
            model: self.model.clone(),
        };
        start_with(queues, self.clone(), || None)
    }

    fn started(&self) -> NetworkDevice {
        self.start().expect("a good device")
    }

    /// Puts a frame into the next buffer, whatever the completion says of it; whether there was a buffer.
    fn receive(&self, frame: &[u8], words: impl FnOnce(u32) -> [u32; 4]) -> bool {
        self.with(|model| {
            let at = model.receive.entry();
            let control = u32::from_le_bytes(device_read(at + 8));
            if (control & GENERATION != 0) != model.receive.generation {
                return false;
            }
            assert!(control & 0x3FFF >= 1514, "room for a frame");
            device_write(u64::from_le_bytes(device_read(at)), frame);
            model.received.complete(words(model.receive.next));
            model.receive.advance();
            true
        })
    }

    fn receive_good(&self, frame: &[u8]) -> bool {
        self.receive(frame, |index| [index | WHOLE, 0, frame.len() as u32, 0])
    }
}

impl Model {
    fn activate(&mut self) {
        let address =
            |low, high| u64::from(self.registers[&low]) | u64::from(self.registers[&high]) << 32;
        let memory = address(SHARED_LOW, SHARED_HIGH);
        assert_eq!(device_read(memory), 0xBABE_FEE1_u32.to_le_bytes());
        let queues = u64::from_le_bytes(device_read(memory + 40));
        let [transmit] = device_read(memory + 62);
        let [receive] = device_read(memory + 63);
        assert_eq!((transmit, receive), (1, 1));
        self.transmit = Ring::at(queues, shared::RING, shared::RING_LEN);
        self.transmitted = Ring::at(queues, shared::COMPLETIONS, shared::COMPLETIONS_LEN);
        let queue = queues + 256;
        self.receive = Ring::at(queue, shared::RING, shared::RING_LEN);
        self.received = Ring::at(queue, shared::COMPLETIONS, shared::COMPLETIONS_LEN);
        for ring in [self.transmit, self.transmitted, self.receive, self.received] {
            assert!(ring.len.is_multiple_of(32) && ring.len > 0);
        }
    }

    fn send(&mut self) {
        while !self.is_silent {
            let at = self.transmit.entry();
            let second = u32::from_le_bytes(device_read(at + 8));
            if (second >> 14 & 1 != 0) != self.transmit.generation {
                return;
            }
            let third = u32::from_le_bytes(device_read(at + 12));
            let bytes: [u8; 1514] = device_read(u64::from_le_bytes(device_read(at)));
            let len = (second & 0x3FFF) as usize;
            self.sent.push((bytes[..len].to_vec(), second >> 18, third));
            if third >> 13 & 1 != 0 {
                self.transmitted.complete([self.transmit.next, 0, 0, 0]);
            }
            self.transmit.advance();
        }
    }
}

impl Registers for Device {
    fn read(&self, offset: usize) -> u32 {
        self.with(|model| match (self.bar, offset) {
            (1, COMMAND) => match model.commands.last() {
                Some(&ACTIVATE) => u32::from(model.refuses),
                Some(&GET_LINK) => 1,
                _ => 0,
            },
            (1, offset) => model.registers.get(&offset).copied().unwrap_or(0),
            other => panic!("read of {other:?}"),
        })
    }

    fn write(&self, offset: usize, value: u32) {
        self.with(|model| match (self.bar, offset) {
            (1, COMMAND) => {
                model.commands.push(value);
                if value == ACTIVATE {
                    model.activate();
                }
            }
            (1, offset) => drop(model.registers.insert(offset, value)),
            (_, TRANSMIT_INDEX) => model.send(),
            _ => {}
        });
    }
}

#[test]
fn the_device_is_reset_then_told_of_its_memory_then_activated() {
    let device = Device::new();
    assert_eq!(device.started().mac, MAC);
    let commands = device.with(|model| model.commands.clone());
    assert_eq!(commands, [RESET, ACTIVATE, GET_LINK, SET_RECEIVE_MODE]);
}

#[test]
fn a_device_that_does_not_go_along_is_refused() {
    let device = Device::new();
    device.with(|model| model.refuses = true);
    assert_eq!(device.start().err(), Some(Error::NoRegisters));
    for register in [REVISION, TRANSPORT_REVISION] {
        let device = Device::new();
        device.with(|model| model.registers.insert(register, 2));
        assert_eq!(device.start().err(), Some(Error::NoRegisters));
    }
    let device = Device::new();
    device.with(|model| model.registers.insert(MAC_LOW, 1));
    assert_eq!(device.start().err(), Some(Error::NoHardwareAddress));
}

#[test]
fn frames_come_in_order_through_many_rounds_of_the_ring() {
    let device = Device::new();
    let mut started = device.started();
    for round in 0..1000_u32 {
        let mut frame = [0; 60];
        frame[..4].copy_from_slice(&round.to_le_bytes());
        assert!(!started.receiver.is_ready());
        assert!(device.receive_good(&frame), "round {round}: a buffer");
        assert!(started.receiver.is_ready());
        assert_eq!(started.receiver.frame().expect("a frame").bytes, frame);
        started.receiver.release();
        assert!(started.receiver.frame().is_none());
    }
}

#[test]
fn a_full_ring_is_emptied_and_used_again() {
    let device = Device::new();
    let mut started = device.started();
    for _ in 0..5 {
        let mut count = 0;
        while device.receive_good(&[count; 60]) {
            count += 1;
        }
        assert_eq!(count, 63);
        for number in 0..count {
            assert_eq!(started.receiver.frame().expect("a frame").bytes[0], number);
            started.receiver.release();
        }
        assert!(started.receiver.frame().is_none());
    }
}

#[test]
fn damaged_and_lying_completions_are_skipped() {
    let device = Device::new();
    let mut started = device.started();
    let lies: [fn(u32) -> [u32; 4]; 6] = [
        |index| [index | WHOLE, 0, 60 | 1 << 14, 0], // an error
        |index| [index | WHOLE, 0, 5, 0],            // too short
        |index| [index | WHOLE, 0, 0x3FFF, 0],       // longer than a buffer
        |index| [index | 1 << 15, 0, 60, 0],         // only its beginning
        |_| [64 | WHOLE, 0, 60, 0],                  // a buffer there is not
        |_| [0xFFF | WHOLE, 0, 60, 0],
    ];
    for lie in lies {
        assert!(device.receive(&[1; 60], lie));
    }
    assert!(device.receive_good(&[2; 60]));
    assert_eq!(started.receiver.frame().map(|f| f.bytes[0]), Some(2));
    started.receiver.release();
    assert!(started.receiver.frame().is_none());
    // It goes on for many rounds.
    for _ in 0..300 {
        assert!(device.receive_good(&[3; 60]));
        assert!(started.receiver.frame().is_some());
        started.receiver.release();
    }
}

#[test]
fn checksums_are_believed_only_if_checked_and_right() {
    let device = Device::new();
    let mut started = device.started();
    let right = 1 << 16 | 1 << 19;
    for (first, flags, is_verified) in [
        (0, right | 1 << 18, true),
        (0, right | 1 << 17, true),
        (0, right, false),
        (0, 1 << 16 | 1 << 18, false),
        (0, right | 1 << 18 | 1 << 22, false),
        (1 << 30, right | 1 << 18, false),
    ] {
        device.receive(&[0; 60], |index| [index | WHOLE | first, 0, 60, flags]);
        let frame = started.receiver.frame().expect("a frame");
        assert_eq!(frame.is_verified, is_verified, "{first:#x} {flags:#x}");
        started.receiver.release();
    }
}

#[test]
fn frames_are_sent_in_order_with_and_without_checksum_requests() {
    let device = Device::new();
    let mut started = device.started();
    for round in 0..600_usize {
        let wish = (round % 3 == 0).then_some(ChecksumRequest { start: 34, at: 50 });
        assert!(started.transmitter.has_room());
        started.transmitter.buffer(100).fill(round as u8);
        started.transmitter.send(
            100,
            Offload {
                checksum: wish,
                ..Offload::default()
            },
        );
        started.transmitter.flush();
        let (frame, at, third) = device.with(|model| model.sent.pop()).expect("a frame");
        assert_eq!(frame, vec![round as u8; 100]);
        assert_eq!(third >> 12 & 1, 1, "the end of a frame");
        let offload = (at, third & 0x3FF, third >> 10 & 3);
        assert_eq!(offload, wish.map_or((0, 0, 0), |_| (50, 34, 2)));
    }
}

#[test]
fn a_device_that_sends_nothing_or_lies_of_it_fills_the_ring_and_no_more() {
    let device = Device::new();
    let mut started = device.started();
    device.with(|model| model.is_silent = true);
    let mut queued = 0_u8;
    while started.transmitter.has_room() {
        started.transmitter.buffer(60).fill(queued);
        started.transmitter.send(60, Offload::default());
        queued += 1;
        assert!(queued < 64);
        if queued == 62 {
            // Descriptors that it does not have are done, it says.
            for index in [63, 64, 0xFFF] {
                device.with(|model| model.transmitted.complete([index, 0, 0, 0]));
            }
        }
    }
    assert_eq!(queued, 63);
    device.with(|model| model.is_silent = false);
    started.transmitter.flush();
    let sent = device.with(|model| model.sent.clone());
    assert!(
        (0..).zip(&sent).all(|(at, (frame, _, _))| frame[0] == at),
        "no buffer was used twice"
    );
    assert!(started.transmitter.has_room());
}

proptest! {
    #[test]
    fn whatever_a_device_writes_frames_stay_in_their_buffers(
        claims in proptest::collection::vec((any::<[u32; 4]>(), any::<bool>()), 0..300),
    ) {
        let device = Device::new();
        let mut started = device.started();
        for (words, is_released) in claims {
            // A generation that lies means that there is nothing.
            device.with(|model| model.received.complete(words));
            if let Some(frame) = started.receiver.frame() {
                prop_assert!((14..=2048).contains(&frame.bytes.len()));
            }
            if is_released {
                started.receiver.release();
            }
        }
        for _ in 0..2000 {
            let _ = started.receiver.frame();
            started.receiver.release();
        }
        prop_assert!(started.receiver.frame().is_none(), "it ends");
    }
}
