//! The driver against a model of the card, honest and not.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::registers::{
    ADDRESS, BOUNDARY, COMMAND, CURRENT, INTERRUPT_MASK, OVERFLOW, PAGE_1, Ports, RECEIVED,
    REMOTE_COUNT, REMOTE_DONE, REMOTE_START, RESET, RESET_DONE, START, STATUS, STOP, TRANSMIT,
    TRANSMIT_COUNT, TRANSMIT_PAGE, TRANSMITTED,
};
use super::{Error, start_with};
use crate::devices::network::{NetworkDevice, Offload};

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const FIRST: u8 = 0x46;
const END: u8 = 0x80;

struct Model {
    memory: Vec<u8>,
    page_0: [u8; 16],
    page_1: [u8; 16],
    command: u8,
    status: u8,
    sent: Vec<Vec<u8>>,
    /// A frame stays on its way.
    is_slow: bool,
    is_stuck_in_reset: bool,
}

#[derive(Clone)]
struct Device(Arc<Mutex<Model>>);

impl Device {
    fn new() -> Self {
        let mut memory = vec![0; 0x8000];
        for (at, byte) in MAC.into_iter().enumerate() {
            memory[2 * at..2 * at + 2].fill(byte);
        }
        Self(Arc::new(Mutex::new(Model {
            memory,
            page_0: [0; 16],
            page_1: [0; 16],
            command: 0x21,
            status: 0,
            sent: Vec::new(),
            is_slow: false,
            is_stuck_in_reset: false,
        })))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.0.lock().expect("one thread"))
    }

    fn started(&self) -> NetworkDevice {
        start_with(self.clone(), || None).expect("a good card")
    }

    /// Puts a frame into the ring, as the card does; whether there was room.
    fn receive(&self, frame: &[u8]) -> bool {
        self.with(|model| {
            let page = model.page_1[usize::from(CURRENT)];
            let pages = (frame.len() + 4 + 4).div_ceil(256) as u8;
            let size = END - FIRST;
            let boundary = model.page_0[usize::from(BOUNDARY)];
            let free = (boundary + size - page) % size;
            if free < pages {
                model.status |= OVERFLOW;
                return false;
            }
            let next = FIRST + (page - FIRST + pages) % size;
            let [low, high] = (frame.len() as u16 + 4).to_le_bytes();
            let bytes = [&[1, next, low, high], frame].concat();
            for (offset, byte) in bytes.into_iter().enumerate() {
                let ring = usize::from(size) * 256;
                let at = (usize::from(page - FIRST) * 256 + offset) % ring;
                model.memory[usize::from(FIRST) * 256 + at] = byte;
            }
            model.page_1[usize::from(CURRENT)] = next;
            model.status |= RECEIVED;
            true
        })
    }

    fn finish_sending(&self) {
        self.with(|model| {
            model.command &= !TRANSMIT;
            model.status |= TRANSMITTED;
        });
    }
}

impl Model {
    fn remote(&mut self) -> (usize, usize) {
        let pair = |registers: [u8; 2]| {
            let [low, high] = registers.map(|at| self.page_0[usize::from(at)]);
            usize::from(u16::from_le_bytes([low, high]))
        };
        self.status |= REMOTE_DONE;
        (pair(REMOTE_START), pair(REMOTE_COUNT))
    }

    fn send(&mut self) {
        let [low, high] = TRANSMIT_COUNT.map(|at| self.page_0[usize::from(at)]);
        let len = usize::from(u16::from_le_bytes([low, high]));
        let start = usize::from(self.page_0[usize::from(TRANSMIT_PAGE)]) * 256;
        self.sent.push(self.memory[start..start + len].to_vec());
        if self.is_slow {
            return;
        }
        self.command &= !TRANSMIT;
        self.status |= TRANSMITTED;
    }
}

impl Ports for Device {
    fn read(&mut self, register: u8) -> u8 {
        self.with(|model| match register {
            COMMAND => model.command,
            RESET => {
                if !model.is_stuck_in_reset {
                    model.status |= RESET_DONE;
                }
                0
            }
            _ if model.command & PAGE_1 != 0 => model.page_1[usize::from(register)],
            STATUS => model.status,
            register => model.page_0[usize::from(register)],
        })
    }

    fn write(&mut self, register: u8, value: u8) {
        self.with(|model| match register {
            RESET => {}
            COMMAND => {
                let was_sending = model.command & TRANSMIT;
                model.command = value | was_sending;
                if value & TRANSMIT != 0 {
                    assert_eq!(was_sending, 0, "a frame is on its way");
                    assert_ne!(value & START, 0);
                    model.send();
                }
            }
            _ if model.command & PAGE_1 != 0 => model.page_1[usize::from(register)] = value,
            STATUS => model.status &= !value,
            register => model.page_0[usize::from(register)] = value,
        });
    }

    fn read_data(&mut self, words: &mut [u16]) {
        self.with(|model| {
            let (start, count) = model.remote();
            assert_eq!(count, 2 * words.len());
            for (word, pair) in words
                .iter_mut()
                .zip(model.memory[start..].as_chunks::<2>().0)
            {
                *word = u16::from_le_bytes(*pair);
            }
        });
    }

    fn write_data(&mut self, words: &[u16]) {
        self.with(|model| {
            let (start, count) = model.remote();
            assert_eq!(count, 2 * words.len());
            for (at, word) in words.iter().enumerate() {
                model.memory[start + 2 * at..][..2].copy_from_slice(&word.to_le_bytes());
            }
        });
    }
}

#[test]
fn the_card_is_started_with_its_address() {
    let device = Device::new();
    assert_eq!(device.started().mac, MAC);
    device.with(|model| {
        assert_eq!(model.page_1[usize::from(ADDRESS)..][..6], MAC);
        assert_ne!(model.page_0[usize::from(INTERRUPT_MASK)], 0);
        assert_ne!(model.command & START, 0);
    });
}

#[test]
fn a_card_receives_and_interrupts_only_when_its_line_is_open() {
    let device = Device::new();
    device.with(|model| model.page_0[usize::from(INTERRUPT_MASK)] = 0xFF);
    let seen = device.clone();
    let claim = move || {
        seen.with(|model| {
            assert_eq!(model.page_0[usize::from(INTERRUPT_MASK)], 0);
            assert_ne!(model.command & STOP, 0);
        });
        None
    };
    start_with(device.clone(), claim).expect("a good card");
    device.with(|model| assert_ne!(model.page_0[usize::from(INTERRUPT_MASK)], 0));
}

#[test]
fn a_card_that_does_not_reset_or_has_no_address_is_refused() {
    let device = Device::new();
    device.with(|model| model.is_stuck_in_reset = true);
    let error = start_with(device, || None).err();
    assert_eq!(error, Some(Error::ResetTimeout));
    let device = Device::new();
    device.with(|model| model.memory.fill(0xFF));
    let error = start_with(device, || None).err();
    assert_eq!(error, Some(Error::NoHardwareAddress));
}

#[test]
fn frames_of_all_lengths_come_in_order_through_many_rounds_of_the_ring() {
    let device = Device::new();
    let mut started = device.started();
    for round in 0..1000_usize {
        let len = 60 + round * 97 % 1455;
        let frame: Vec<u8> = (0..len).map(|at| (at + round) as u8).collect();
        assert!(device.receive(&frame), "round {round}");
        started.receiver.acknowledge();
        assert!(started.receiver.is_ready());
        assert!(started.receiver.frame().expect("a frame").bytes == frame);
        started.receiver.release();
        assert!(started.receiver.frame().is_none());
        assert!(!started.receiver.is_ready());
    }
}

#[test]
fn a_ring_that_makes_no_sense_is_emptied_and_used_again() {
    for (at, lies) in [
        (1, vec![0, FIRST - 1, END, 0xFF, FIRST + 20]), // the next page
        (3, vec![7, 0xFF]),                             // the length
    ] {
        for lie in lies {
            let device = Device::new();
            let mut started = device.started();
            let page = device.with(|model| model.page_1[usize::from(CURRENT)]);
            assert!(device.receive(&[1; 100]));
            device.with(|model| model.memory[usize::from(page) * 256 + at] = lie);
            started.receiver.acknowledge();
            assert!(started.receiver.frame().is_none(), "{at} {lie:#x}");
            assert!(device.receive(&[2; 100]));
            started.receiver.acknowledge();
            assert_eq!(started.receiver.frame().map(|f| f.bytes[0]), Some(2));
        }
    }
    // A card that says that frames are outside of the ring.
    let device = Device::new();
    let mut started = device.started();
    for lie in [0, END, 0xFF] {
        device.with(|model| model.page_1[usize::from(CURRENT)] = lie);
        device.with(|model| model.status |= RECEIVED);
        started.receiver.acknowledge();
        assert!(started.receiver.frame().is_none());
    }
    assert!(device.receive(&[2; 100]));
    started.receiver.acknowledge();
    assert!(started.receiver.frame().is_some());
}

#[test]
fn after_an_overflow_frames_come_again() {
    let device = Device::new();
    let mut started = device.started();
    while device.receive(&[1; 1500]) {}
    started.receiver.acknowledge();
    assert!(device.receive(&[2; 1500]));
    started.receiver.acknowledge();
    assert_eq!(started.receiver.frame().map(|f| f.bytes[0]), Some(2));
}

#[test]
fn frames_wait_for_the_one_that_is_being_sent_and_short_ones_are_filled_up() {
    let device = Device::new();
    let mut started = device.started();
    device.with(|model| model.is_slow = true);
    let mut queued = 0_u8;
    while started.transmitter.has_room() {
        started.transmitter.buffer(20).fill(queued);
        started.transmitter.send(20, Offload::default());
        queued += 1;
        assert!(queued < 100);
    }
    assert_eq!(device.with(|model| model.sent.len()), 1);
    for done in 1..queued {
        device.finish_sending();
        started.receiver.acknowledge();
        assert_eq!(device.with(|model| model.sent.len()), usize::from(done) + 1);
    }
    let sent = device.with(|model| model.sent.clone());
    assert!(
        (0..)
            .zip(&sent)
            .all(|(at, frame)| frame.len() == 60 && frame[0] == at && frame[20] == 0)
    );
    device.finish_sending();
    assert!(started.transmitter.has_room());
}

proptest! {
    #[test]
    fn whatever_a_card_says_it_comes_to_an_end_and_goes_on(
        claims in proptest::collection::vec((any::<[u8; 4]>(), any::<u8>(), any::<u8>()), 0..6),
    ) {
        let device = Device::new();
        let mut started = device.started();
        for (header, current, status) in claims {
            device.with(|model| {
                let page = model.page_0[usize::from(BOUNDARY)];
                for page in [page, page.wrapping_add(1) & 0x7F] {
                    model.memory[usize::from(page) * 256..][..4].copy_from_slice(&header);
                }
                // Often in the ring, so that its headers are read.
                model.page_1[usize::from(CURRENT)] = match current {
                    0..200 => FIRST + current % (END - FIRST),
                    other => other,
                };
                model.status = status | RECEIVED;
            });
            started.receiver.acknowledge();
            for _ in 0..80 {
                let Some(frame) = started.receiver.frame() else {
                    break;
                };
                prop_assert!((14..=1514).contains(&frame.bytes.len()));
                started.receiver.release();
            }
        }
        // A card that overflows begins with an empty ring.
        device.with(|model| model.status = OVERFLOW);
        started.receiver.acknowledge();
        while started.receiver.frame().is_some() {
            started.receiver.release();
        }
        prop_assert!(device.receive(&[2; 100]));
        started.receiver.acknowledge();
        prop_assert_eq!(started.receiver.frame().map(|frame| frame.bytes[0]), Some(2));
    }
}
