//! The driver against a model of the device, honest and not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::receive::MAX_FRAME_BYTES;
use super::registers::{
    COMMAND, COMMAND_ON, COMMAND_RECEIVE, COMMAND_RESET, COMMAND_TRANSMIT, GROUPS,
    HARDWARE_ADDRESS, INTERRUPT_MASK, INTERRUPTS, MEDIA, MEDIA_LINK_DOWN, Ports, READ, READ_BIAS,
    RECEIVE_ADDRESS, RECEIVE_CONFIGURATION, RECEIVED, STATUS, SUMMARY_DONE, TRANSMIT_ADDRESS,
    TRANSMIT_CONFIGURATION, TRANSMIT_GO_ON, TRANSMIT_LENGTH, TRANSMIT_SUMMARY, WRITTEN,
};
use super::{Error, start_with};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::network::{NetworkDevice, Offload};

const MAC: [u8; 6] = [0x00, 0x16, 0x3E, 1, 2, 3];
const RING: usize = 32 * 1024;

#[derive(Default)]
struct Model {
    mac: [u8; 6],
    command: u8,
    status: u16,
    wide: HashMap<u16, u32>,
    read: usize,
    written: usize,
    /// Places that were read; those that were given up.
    summary: u16,
    sent: Vec<Vec<u8>>,
    is_slow: bool,
    is_stuck_in_reset: bool,
    /// How much it says to have written more, whenever it is asked.
    more: usize,
}

#[derive(Clone)]
struct Device(Arc<Mutex<Model>>);

impl Device {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Model {
            mac: MAC,
            summary: SUMMARY_DONE,
            ..Model::default()
        })))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.0.lock().expect("one thread"))
    }

    fn started(&self) -> NetworkDevice {
        start_with(self.clone(), || None).expect("a good device")
    }

    /// Puts a frame with its check sequence into the ring, whatever its header says; whether there was room.
    fn put(&self, frame: &[u8], status: u16, length: u16) -> bool {
        self.with(|model| {
            assert_eq!(model.command & COMMAND_ON, COMMAND_ON);
            let bytes = (4 + frame.len() + 4).next_multiple_of(4);
            let used = (model.written + RING - model.read) % RING;
            if used + bytes >= RING {
                return false;
            }
            let header = [status.to_le_bytes(), length.to_le_bytes()].concat();
            for byte in header.iter().chain(frame).chain(&[0xCC; 4]) {
                let at = u64::from(model.wide[&RECEIVE_ADDRESS]) + model.written as u64;
                device_write(at, &[*byte]);
                model.written = (model.written + 1) % RING;
            }
            model.written = model.written.next_multiple_of(4) % RING;
            model.status |= RECEIVED;
            true
        })
    }

    fn receive(&self, frame: &[u8]) -> bool {
        self.put(frame, 1, frame.len() as u16 + 4)
    }
}

impl Ports for Device {
    fn read8(&self, register: u16) -> u8 {
        self.with(|model| match register {
            COMMAND => model.command,
            MEDIA => MEDIA_LINK_DOWN,
            at => model.mac[usize::from(at - HARDWARE_ADDRESS)],
        })
    }

    fn read16(&self, register: u16) -> u16 {
        self.with(|model| match register {
            STATUS => model.status,
            WRITTEN => {
                model.written = (model.written + model.more) % RING;
                model.written as u16
            }
            TRANSMIT_SUMMARY => model.summary,
            at => panic!("a read of {at:#x}"),
        })
    }

    fn write8(&self, register: u16, value: u8) {
        assert_eq!(register, COMMAND);
        self.with(|model| {
            if value & COMMAND_RECEIVE != 0 && model.command & COMMAND_RECEIVE == 0 {
                (model.read, model.written) = (0, 0);
            }
            model.command = match value {
                COMMAND_RESET if !model.is_stuck_in_reset => 0,
                value => value,
            };
        });
    }

    fn write16(&self, register: u16, value: u16) {
        self.with(|model| match register {
            STATUS => model.status &= !value,
            INTERRUPT_MASK => assert_eq!(value, INTERRUPTS),
            READ => {
                model.read = usize::from(value.wrapping_add(READ_BIAS));
                assert!(model.read < RING && model.read.is_multiple_of(4));
            }
            at => panic!("a write to {at:#x}"),
        });
    }

    fn write32(&self, register: u16, value: u32) {
        self.with(|model| {
            if matches!(register, TRANSMIT_CONFIGURATION | RECEIVE_CONFIGURATION) {
                assert_ne!(model.command & COMMAND_TRANSMIT, 0, "it cannot be written");
            }
            if register == TRANSMIT_CONFIGURATION && value & TRANSMIT_GO_ON != 0 {
                model.summary = SUMMARY_DONE;
            }
            model.wide.insert(register, value);
            if let Some(place) = (0..4).find(|place| TRANSMIT_LENGTH + 4 * place == register) {
                assert_ne!(model.summary >> place & 1, 0, "a frame is on its way");
                let address = model.wide[&(TRANSMIT_ADDRESS + 4 * place)];
                let bytes: [u8; 1536] = device_read(u64::from(address));
                model.sent.push(bytes[..(value & 0x1FFF) as usize].to_vec());
                if model.is_slow {
                    model.summary &= !(1 << place);
                }
            }
        });
    }
}

#[test]
fn the_card_is_started_with_its_address_and_hears_groups() {
    let device = Device::new();
    assert_eq!(device.started().mac, MAC);
    device.with(|model| {
        assert_eq!(model.command, COMMAND_ON);
        assert_eq!(GROUPS.map(|half| model.wide[&half]), [!0; 2]);
        // Broadcasts, groups and its own; not what is damaged or short.
        assert_eq!(model.wide[&RECEIVE_CONFIGURATION] & 0x3F, 0xE);
        assert_eq!(
            (8 * 1024) << (model.wide[&RECEIVE_CONFIGURATION] >> 11 & 3),
            RING
        );
    });
}

#[test]
fn a_card_that_does_not_reset_or_has_no_address_is_refused() {
    let device = Device::new();
    device.with(|model| model.is_stuck_in_reset = true);
    let error = start_with(device, || None).err();
    assert_eq!(error, Some(Error::ResetTimeout));
    for mac in [[0; 6], [0xFF; 6]] {
        let device = Device::new();
        device.with(|model| model.mac = mac);
        let error = start_with(device, || None).err();
        assert_eq!(error, Some(Error::NoHardwareAddress));
    }
}

#[test]
fn frames_of_all_lengths_come_in_order_through_many_rounds_of_the_ring() {
    let device = Device::new();
    let mut started = device.started();
    for round in 0..2000_usize {
        let len = 60 + round * 97 % 1459;
        let frame: Vec<u8> = (0..len).map(|at| (at + round) as u8).collect();
        assert!(device.receive(&frame), "round {round}");
        assert!(!started.receiver.is_ready());
        started.receiver.acknowledge();
        assert!(started.receiver.is_ready());
        assert!(started.receiver.frame().expect("a frame").bytes == frame);
        started.receiver.release();
        started.receiver.release();
        assert!(started.receiver.frame().is_none());
        assert!(!started.receiver.is_ready());
        assert_eq!(
            device.with(|model| (model.status, model.written - model.read)),
            (0, 0)
        );
    }
}

#[test]
fn a_full_ring_is_read_to_its_end_and_given_back_on_the_way() {
    let device = Device::new();
    let mut started = device.started();
    let mut came = 0_u32;
    let mut went = 0;
    for _ in 0..20 {
        while device.receive(&[came.to_le_bytes(), [7; 4]].concat().repeat(150)) {
            came += 1;
        }
        started.receiver.acknowledge();
        let mut most = 0;
        while let Some(frame) = started.receiver.frame() {
            assert_eq!(frame.bytes[..4], u32::to_le_bytes(went));
            started.receiver.release();
            went += 1;
            let used = device.with(|model| (model.written + RING - model.read) % RING);
            most = most.max(RING - used);
        }
        assert_eq!(went, came);
        assert!(most > RING / 2);
    }
}

#[test]
fn a_frame_that_is_too_long_is_passed_and_one_that_is_not_there_yet_is_waited_for() {
    let device = Device::new();
    let mut started = device.started();
    assert!(device.receive(&[1; MAX_FRAME_BYTES + 1]));
    assert!(device.receive(&[2; MAX_FRAME_BYTES]));
    started.receiver.acknowledge();
    assert_eq!(started.receiver.frame().map(|f| f.bytes[0]), Some(2));
    started.receiver.release();

    let start = device.with(|model| model.written);
    assert!(device.put(&[3; 100], 1, 0xFFF0));
    started.receiver.acknowledge();
    assert!(started.receiver.frame().is_none());
    assert!(!started.receiver.is_ready());
    device.with(|model| {
        let at = u64::from(model.wide[&RECEIVE_ADDRESS]) + start as u64;
        device_write(at + 2, &104_u16.to_le_bytes());
    });
    started.receiver.acknowledge();
    assert_eq!(started.receiver.frame().map(|f| f.bytes.len()), Some(100));
}

#[test]
fn a_card_that_makes_up_frames_that_are_too_long_for_ever_is_left_in_the_end() {
    let device = Device::new();
    let mut started = device.started();
    device.with(|model| {
        let base = u64::from(model.wide[&RECEIVE_ADDRESS]);
        for at in 0..RING / 4 {
            device_write(base + 4 * at as u64, &[1, 0, 0, 0x30]);
        }
        // Behind each frame is the beginning of the next one, which is there when it is looked for.
        model.written = 8;
        model.more = 0x3004;
    });
    started.receiver.acknowledge();
    assert!(started.receiver.frame().is_none());
}

#[test]
fn a_ring_that_makes_no_sense_is_emptied_and_used_again() {
    for (status, length) in [
        (0, 104),
        (1, 0),
        (1, 17),
        (1, 200),
        (1, 0x7FFF),
        (1, 0xFFFF),
    ] {
        let device = Device::new();
        let mut started = device.started();
        assert!(device.receive(&[1; 60]));
        assert!(device.put(&[1; 100], status, length));
        started.receiver.acknowledge();
        // The frame that is lent is not the one that is released.
        assert!(started.receiver.frame().is_some());
        started.receiver.release();
        assert!(started.receiver.frame().is_none(), "{status} {length}");
        assert!(device.receive(&[2; 100]));
        started.receiver.acknowledge();
        assert_eq!(started.receiver.frame().map(|f| f.bytes[0]), Some(2));
    }
}

#[test]
fn frames_are_sent_in_order_and_a_device_that_sends_nothing_gets_four() {
    let device = Device::new();
    let mut started = device.started();
    for round in 0..300_usize {
        assert!(started.transmitter.has_room());
        started.transmitter.buffer(100).fill(round as u8);
        started.transmitter.send(100, Offload::default());
        assert!(started.transmitter.has_sent_all());
        let sent = device.with(|model| model.sent.pop());
        assert_eq!(sent, Some(vec![round as u8; 100]));
    }
    while device.with(|model| model.sent.len()) < 4 {
        assert!(started.transmitter.has_room());
        started.transmitter.buffer(60).fill(1);
        started.transmitter.send(60, Offload::default());
        if device.with(|model| model.sent.len()) == 1 {
            device.with(|model| model.is_slow = true);
        }
    }
    // The first one was done at once.
    assert!(started.transmitter.has_room());
    started.transmitter.send(60, Offload::default());
    assert!(!started.transmitter.has_room());
    assert!(!started.transmitter.has_sent_all());
    device.with(|model| model.summary = SUMMARY_DONE);
    assert!(started.transmitter.has_room());
}

#[test]
fn a_frame_that_was_given_up_does_not_end_all_sending() {
    let device = Device::new();
    let mut started = device.started();
    device.with(|model| model.is_slow = true);
    while started.transmitter.has_room() {
        started.transmitter.send(60, Offload::default());
    }
    device.with(|model| model.summary |= 1 << 4);
    assert!(!started.transmitter.has_room(), "it is told to go on");
    assert!(started.transmitter.has_room());
}

#[test]
fn short_frames_are_filled_up_with_zeros() {
    let device = Device::new();
    let mut started = device.started();
    started.transmitter.buffer(1514).fill(9);
    started.transmitter.buffer(20).fill(1);
    started.transmitter.send(20, Offload::default());
    let sent = device.with(|model| model.sent.pop()).expect("a frame");
    assert_eq!(sent, [[1; 20].as_slice(), &[0; 40]].concat());
}

proptest! {
    #[test]
    fn whatever_a_card_says_it_comes_to_an_end_and_goes_on(
        claims in proptest::collection::vec((any::<[u8; 4]>(), any::<u16>(), 0..4_usize), 0..40),
    ) {
        let device = Device::new();
        let mut started = device.started();
        for (header, written, kind) in claims {
            device.with(|model| {
                let base = u64::from(model.wide[&RECEIVE_ADDRESS]);
                let mut header = header;
                // Often a status that is good, and a length that can be.
                if kind > 0 {
                    header[0] |= 1;
                    header[3] &= 7;
                }
                for at in 0..RING / 4 {
                    device_write(base + 4 * at as u64, &header);
                }
                model.written = usize::from(written);
            });
            started.receiver.acknowledge();
            for _ in 0..RING / 4 {
                let Some(frame) = started.receiver.frame() else {
                    break;
                };
                prop_assert!((14..=MAX_FRAME_BYTES).contains(&frame.bytes.len()));
                started.receiver.release();
            }
            prop_assert!(started.receiver.frame().is_none());
        }
        // A ring that makes no sense is begun anew.
        device.with(|model| {
            let base = u64::from(model.wide[&RECEIVE_ADDRESS]);
            for at in 0..RING / 4 {
                device_write(base + 4 * at as u64, &[0; 4]);
            }
            model.written = (model.read + 64) % RING;
        });
        started.receiver.acknowledge();
        prop_assert!(started.receiver.frame().is_none());
        prop_assert!(device.receive(&[2; 100]));
        started.receiver.acknowledge();
        prop_assert_eq!(started.receiver.frame().map(|frame| frame.bytes[0]), Some(2));
    }
}
