//! The driver against a model of the device, honest and not.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::registers::{
    CTRL, CTRL_RST, EERD, RAH0, RAL0, RCTL, RCTL_EN, RCTL_MPE, RDBAH, RDBAL, RDT, Registers,
    STATUS, TCTL, TCTL_EN, TDBAH, TDBAL, TDT,
};
use super::{Error, MODELS, start_with};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::network::{ChecksumRequest, NetworkDevice, Offload};

const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
const DONE: u8 = 1;
const END: u8 = 2;

/// What the model remembers.
#[derive(Default)]
struct Model {
    registers: std::collections::HashMap<usize, u32>,
    is_stuck_in_reset: bool,
    /// The receive descriptor to fill next.
    receive_next: u64,
    /// The transmit descriptor to send next.
    transmit_next: u32,
    sent: Vec<(Vec<u8>, bool)>,
}

#[derive(Clone)]
struct Device(Arc<Mutex<Model>>);

thread_local! {
    static EEPROM: RefCell<Option<[u16; 3]>> = const { RefCell::new(None) };
}

impl Device {
    fn new() -> Self {
        let mut model = Model::default();
        model
            .registers
            .insert(RAL0, u32::from_le_bytes([MAC[0], MAC[1], MAC[2], MAC[3]]));
        model
            .registers
            .insert(RAH0, u32::from(u16::from_le_bytes([MAC[4], MAC[5]])));
        model.registers.insert(STATUS, 2);
        Self(Arc::new(Mutex::new(model)))
    }

    fn started(&self) -> NetworkDevice {
        start_with(self.clone(), &MODELS[0], || None).expect("a good device")
    }

    fn address(&self, low: usize, high: usize) -> u64 {
        u64::from(self.read(high)) << 32 | u64::from(self.read(low))
    }

    /// Fills the next receive descriptor, whatever it says.
    fn receive(&self, frame: &[u8], len: u16, status: u8, errors: u8) {
        let ring = self.address(RDBAL, RDBAH);
        let mut model = self.0.lock().expect("one thread");
        let descriptor = ring + model.receive_next % 64 * 16;
        model.receive_next += 1;
        device_write(u64::from_le_bytes(device_read(descriptor)), frame);
        device_write(descriptor + 8, &len.to_le_bytes());
        device_write(descriptor + 12, &[status, errors]);
    }

    /// Sends everything up to the tail.
    fn transmit(&self) {
        let ring = self.address(TDBAL, TDBAH);
        let tail = self.read(TDT);
        let mut model = self.0.lock().expect("one thread");
        while model.transmit_next != tail {
            let descriptor = ring + u64::from(model.transmit_next) * 16;
            let second = u64::from_le_bytes(device_read(descriptor + 8));
            if second >> 20 & 0xF == 1 {
                let address = u64::from_le_bytes(device_read(descriptor));
                let bytes: [u8; 2048] = device_read(address);
                let len = (second & 0xF_FFFF) as usize;
                model
                    .sent
                    .push((bytes[..len].to_vec(), second >> 41 & 1 == 1));
            }
            device_write(descriptor + 12, &[DONE]);
            model.transmit_next = (model.transmit_next + 1) % 64;
        }
    }
}

impl Registers for Device {
    fn read(&self, offset: usize) -> u32 {
        let model = self.0.lock().expect("one thread");
        let value = model.registers.get(&offset).copied().unwrap_or(0);
        match offset {
            CTRL if !model.is_stuck_in_reset => value & !CTRL_RST,
            EERD => EEPROM.with_borrow(|eeprom| match eeprom {
                Some(words) => u32::from(words[(value >> 8 & 3) as usize]) << 16 | 1 << 4 | 1 << 1,
                None => value,
            }),
            _ => value,
        }
    }

    fn write(&self, offset: usize, value: u32) {
        self.0
            .lock()
            .expect("one thread")
            .registers
            .insert(offset, value);
    }
}

#[test]
fn the_device_is_started_with_both_directions_on() {
    let device = Device::new();
    let started = device.started();
    assert_eq!(started.mac, MAC);
    let wanted = RCTL_EN | RCTL_MPE;
    assert_eq!(device.read(RCTL) & wanted, wanted);
    assert_ne!(device.read(TCTL) & TCTL_EN, 0);
    assert_eq!(device.read(RDT), 63);
}

#[test]
fn the_hardware_address_may_be_in_the_eeprom_only() {
    let device = Device::new();
    device.write(RAL0, 0);
    device.write(RAH0, 0);
    assert_eq!(
        start_with(device.clone(), &MODELS[0], || None).err(),
        Some(Error::NoHardwareAddress)
    );
    EEPROM.set(Some([0x5452, 0x1200, 0x5634]));
    assert_eq!(device.started().mac, MAC);
}

#[test]
fn a_reset_that_does_not_end_is_an_error() {
    let device = Device::new();
    device.0.lock().expect("one thread").is_stuck_in_reset = true;
    assert_eq!(
        start_with(device, &MODELS[0], || None).err(),
        Some(Error::ResetTimeout)
    );
}

#[test]
fn frames_come_in_order_through_many_rounds_of_the_ring() {
    let device = Device::new();
    let mut started = device.started();
    for round in 0..1000u32 {
        let mut frame = [0; 60];
        frame[..4].copy_from_slice(&round.to_le_bytes());
        device.receive(&frame, 60, DONE | END, 0);
        assert!(started.receiver.is_ready());
        let received = started.receiver.frame().expect("a frame");
        assert_eq!(received.bytes, frame);
        assert!(!received.is_verified);
        started.receiver.release();
        assert!(started.receiver.frame().is_none());
        // The device is given its buffers back long before it runs out of them.
        let free = (device.read(RDT) + 64 - (round + 1) % 64) % 64;
        assert!(free >= 32, "round {round}: {free}");
    }
}

#[test]
fn damaged_and_lying_descriptors_are_skipped() {
    let device = Device::new();
    let mut started = device.started();
    device.receive(&[1; 60], 60, DONE | END, 0x01); // a wrong check sequence
    device.receive(&[2; 60], 5, DONE | END, 0); // too short
    device.receive(&[3; 60], 0xFFFF, DONE | END, 0); // longer than a buffer
    device.receive(&[4; 60], 2048, DONE, 0); // a frame over two buffers
    device.receive(&[5; 60], 60, DONE | END, 0);
    device.receive(&[6; 60], 60, DONE | END, 0);
    assert_eq!(
        started.receiver.frame().map(|frame| frame.bytes[0]),
        Some(6)
    );
    started.receiver.release();
    assert!(started.receiver.frame().is_none());
}

#[test]
fn a_ring_of_nothing_but_damage_ends() {
    let device = Device::new();
    let mut started = device.started();
    for _ in 0..64 {
        device.receive(&[0; 60], 0, DONE | END, 0xFF);
    }
    assert!(started.receiver.frame().is_none());
}

#[test]
fn checksums_are_believed_only_if_checked_and_right() {
    let device = Device::new();
    let mut started = device.started();
    let checked = 0x60;
    for (status, errors, is_verified) in [
        (checked, 0, true),
        (checked, 0x20, false),
        (checked | 4, 0, false),
        (0x40, 0, false),
    ] {
        device.receive(&[0; 60], 60, DONE | END | status, errors);
        let frame = started.receiver.frame().expect("a frame");
        assert_eq!(frame.is_verified, is_verified, "{status:#x} {errors:#x}");
        started.receiver.release();
    }
}

#[test]
fn frames_are_sent_in_order_with_and_without_checksum_requests() {
    let device = Device::new();
    let mut started = device.started();
    let tcp = ChecksumRequest { start: 34, at: 50 };
    let other = ChecksumRequest { start: 34, at: 40 };
    let wishes = [None, Some(tcp), Some(tcp), Some(other), None, Some(tcp)];
    for round in 0..600usize {
        let wish = wishes[round % wishes.len()];
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
        device.transmit();
        let sent = device.0.lock().expect("one thread").sent.pop();
        assert_eq!(
            sent,
            Some((vec![round as u8; 100], wish.is_some())),
            "round {round}"
        );
    }
}

#[test]
fn a_device_that_sends_nothing_fills_the_ring_and_no_more() {
    let device = Device::new();
    let mut started = device.started();
    let mut queued = 0;
    while started.transmitter.has_room() {
        started.transmitter.buffer(60).fill(queued);
        started.transmitter.send(60, Offload::default());
        queued += 1;
    }
    assert_eq!(queued, 62);
    started.transmitter.flush();
    device.transmit();
    assert!(started.transmitter.has_room());
    let sent = &device.0.lock().expect("one thread").sent;
    assert!(
        sent.iter()
            .enumerate()
            .all(|(at, (frame, _))| frame[0] == at as u8),
        "no buffer was used twice"
    );
}

#[test]
fn an_82574_is_started_in_its_own_way() {
    use super::registers::{TXDCTL, TXDCTL_82574};

    let device = Device::new();
    let model = MODELS
        .iter()
        .find(|model| model.is_82574)
        .expect("an 82574");
    let started = start_with(device.clone(), model, || None).expect("a good device");
    assert_eq!(started.driver, "e1000e");
    assert_ne!(device.read(TXDCTL) & TXDCTL_82574, 0);
    let other = Device::new();
    assert_eq!(other.started().driver, "e1000");
    assert_eq!(other.read(TXDCTL), 0);
}

proptest! {
    #[test]
    fn whatever_a_device_writes_frames_stay_in_their_buffers(
        claims in proptest::collection::vec((any::<u16>(), any::<u8>(), any::<u8>(), any::<bool>()), 0..300),
    ) {
        let device = Device::new();
        let mut started = device.started();
        for (len, status, errors, is_released) in claims {
            device.receive(&[1; 60], len, status, errors);
            if let Some(frame) = started.receiver.frame() {
                prop_assert!((14..=2048).contains(&frame.bytes.len()));
            }
            if is_released {
                started.receiver.release();
            }
        }
        // A ring's worth at most is still there.
        for _ in 0..64 {
            let _ = started.receiver.frame();
            started.receiver.release();
        }
        prop_assert!(started.receiver.frame().is_none());
    }
}
