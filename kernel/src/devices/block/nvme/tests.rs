//! The driver against a model of the controller, honest and not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::registers::{ACQ, ASQ, CAP, CC, CSTS, DOORBELLS, WINDOW_BYTES};
use super::{Error, start};
use crate::devices::block::queued::QueuedDisk;
use crate::devices::block::slots::MAX_SLOTS;
use crate::devices::block::{BlockDriver, BlockError};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::registers::Registers;

const SECTORS: [u64; 2] = [3000, 100];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Trouble {
    None,
    /// So many commands for data fail with this status.
    Fails(u32, u16),
    /// Before each answer come some to commands that nobody sent.
    Lies,
    /// It takes no enabling.
    NotReady,
    /// It answers no command.
    Silent,
    /// Nothing is there any more.
    Gone,
}

#[derive(Clone, Copy, Default)]
struct Queue {
    commands: u64,
    completions: u64,
    head: u16,
    tail: u16,
    phase: bool,
}

struct Model {
    registers: HashMap<usize, u32>,
    queues: [Queue; 2],
    content: [Vec<u8>; 2],
    trouble: Trouble,
    flushes: Vec<u32>,
    largest: usize,
    page: [u8; 4096],
    namespace_format: [u8; 4],
    mdts: u8,
}

#[derive(Clone)]
struct Device(Arc<Mutex<Model>>);

impl Device {
    fn new() -> Self {
        // 64 entries, a second of patience, NVM commands.
        let registers = HashMap::from([(CAP, 63 | 2 << 24), (CAP + 4, 1 << 5)]);
        Self(Arc::new(Mutex::new(Model {
            registers,
            queues: [Queue::default(); 2],
            content: SECTORS.map(|count| {
                (0..count as usize * 512)
                    .map(|at| (at / 511) as u8)
                    .collect()
            }),
            trouble: Trouble::None,
            flushes: Vec::new(),
            largest: 0,
            page: [0; 4096],
            namespace_format: [0, 0, 9, 0],
            mdts: 7,
        })))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.0.lock().expect("one thread"))
    }

    fn started(&self) -> Result<Vec<QueuedDisk>, Error> {
        start("NVMe", self.clone(), WINDOW_BYTES, || None)
    }

    fn disks(&self) -> Vec<QueuedDisk> {
        let disks = self.started().expect("a good controller");
        assert_eq!(disks.len(), 2);
        disks
    }
}

impl Model {
    fn get(&self, offset: usize) -> u32 {
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    fn complete(&mut self, number: usize, id: u16, status: u16) {
        let queue = &mut self.queues[number];
        let last = u32::from(id) | u32::from(status << 1 | u16::from(queue.phase)) << 16;
        device_write(
            queue.completions + u64::from(queue.head) * 16 + 12,
            &last.to_le_bytes(),
        );
        queue.head = (queue.head + 1) % 16;
        queue.phase ^= queue.head == 0;
    }

    fn run(&mut self, number: usize, tail: u16) {
        while self.queues[number].tail != tail {
            let queue = self.queues[number];
            let command: [u8; 64] = device_read(queue.commands + u64::from(queue.tail) * 64);
            self.queues[number].tail = (queue.tail + 1) % 16;
            if self.trouble == Trouble::Silent {
                continue;
            }
            let word = |index: usize| {
                u32::from_le_bytes(core::array::from_fn(|at| command[4 * index + at]))
            };
            let id = (word(0) >> 16) as u16;
            if number == 0 {
                self.administer(word(0) as u8, &word);
                self.complete(0, id, 0);
                continue;
            }
            if self.trouble == Trouble::Lies {
                for lie in [MAX_SLOTS, 0xFFFF, (id + 1) % MAX_SLOTS] {
                    self.complete(1, lie, 0);
                }
            }
            if let Trouble::Fails(count @ 1.., status) = self.trouble {
                self.trouble = Trouble::Fails(count - 1, status);
                self.complete(1, id, status);
                continue;
            }
            self.execute(word(0) as u8, &word);
            self.complete(1, id, 0);
        }
    }

    fn administer(&mut self, opcode: u8, word: &dyn Fn(usize) -> u32) {
        let address = u64::from(word(6)) | u64::from(word(7)) << 32;
        match (opcode, word(10)) {
            (0x05, size) => {
                assert_eq!((size, word(11)), (15 << 16 | 1, 1));
                (self.queues[1].completions, self.queues[1].phase) = (address, true);
            }
            (0x01, size) => {
                assert_eq!((size, word(11)), (15 << 16 | 1, 1 << 16 | 1));
                self.queues[1].commands = address;
            }
            (0x06, what) => {
                self.page = [0; 4096];
                match what {
                    1 => {
                        self.page[24..64]
                            .copy_from_slice(b"MODEL 1                                 ");
                        self.page[77] = self.mdts;
                        self.page[516] = 2;
                        self.page[525] = 1;
                    }
                    2 => {
                        // The same one twice.
                        for (at, number) in [1u8, 2, 2].into_iter().enumerate() {
                            self.page[4 * at] = number;
                        }
                    }
                    _ => {
                        let count = SECTORS[word(1) as usize - 1];
                        self.page[..8].copy_from_slice(&count.to_le_bytes());
                        self.page[26] = 2;
                        self.page[136..140].copy_from_slice(&self.namespace_format);
                    }
                }
                device_write(address, &self.page);
            }
            other => panic!("admin command {other:?}"),
        }
    }

    fn execute(&mut self, opcode: u8, word: &dyn Fn(usize) -> u32) {
        let namespace = word(1);
        if opcode == 0 {
            self.flushes.push(namespace);
            return;
        }
        let first = (u64::from(word(10)) | u64::from(word(11)) << 32) as usize * 512;
        let len = (word(12) as usize + 1) * 512;
        self.largest = self.largest.max(len);
        let second = u64::from(word(8)) | u64::from(word(9)) << 32;
        let mut pages = vec![u64::from(word(6)) | u64::from(word(7)) << 32];
        match len.div_ceil(4096) {
            1 => assert_eq!(second, 0),
            2 => pages.push(second),
            count => pages.extend(
                (1..count as u64).map(|at| u64::from_le_bytes(device_read(second + 8 * (at - 1)))),
            ),
        }
        let range = &mut self.content[namespace as usize - 1][first..first + len];
        for (address, chunk) in pages.into_iter().zip(range.chunks_mut(4096)) {
            if opcode == 2 {
                device_write(address, chunk);
            } else {
                for (at, byte) in (address..).zip(chunk) {
                    [*byte] = device_read(at);
                }
            }
        }
    }
}

impl Registers for Device {
    fn read(&self, offset: usize) -> u32 {
        self.with(|model| match model.trouble {
            Trouble::Gone => u32::MAX,
            _ => model.get(offset),
        })
    }

    fn write(&self, offset: usize, value: u32) {
        self.with(|model| {
            model.registers.insert(offset, value);
            match offset {
                CC => {
                    let is_ready = value & 1 != 0 && model.trouble != Trouble::NotReady;
                    model.registers.insert(CSTS, u32::from(is_ready));
                    model.queues = [Queue::default(); 2];
                    let address =
                        |at| u64::from(model.get(at)) | u64::from(model.get(at + 4)) << 32;
                    model.queues[0] = Queue {
                        commands: address(ASQ),
                        completions: address(ACQ),
                        phase: true,
                        ..Queue::default()
                    };
                }
                DOORBELLS => model.run(0, value as u16),
                at if at == DOORBELLS + 8 => model.run(1, value as u16),
                _ => {}
            }
        });
    }
}

#[test]
fn every_namespace_is_a_disk_that_can_be_read_written_and_flushed() {
    let device = Device::new();
    let disks = device.disks();
    for (number, disk) in disks.iter().enumerate() {
        assert_eq!(disk.sector_count(), SECTORS[number]);
        assert!(disk.name().ends_with("MODEL 1"), "{}", disk.name());
        let mut whole = vec![0; SECTORS[number] as usize * 512];
        disk.read(0, &mut whole).expect("a whole disk");
        assert!(device.with(|model| model.content[number] == whole));
        for sectors in [1, 8, 9, 16, 17, 90] {
            let data: Vec<u8> = (0..sectors * 512).map(|at| (at * 7) as u8).collect();
            disk.write(10, &data).expect("a write");
            assert!(device.with(|model| model.content[number][10 * 512..][..data.len()] == data));
        }
        disk.flush().expect("a flush");
    }
    assert_eq!(device.with(|model| model.flushes.clone()), [1, 2]);
    assert_eq!(device.with(|model| model.largest), 64 << 10);
}

#[test]
fn no_transfer_is_longer_than_the_controller_takes() {
    let device = Device::new();
    device.with(|model| model.mdts = 1);
    let disks = device.disks();
    disks[0].read(0, &mut vec![0; 512 * 100]).expect("a read");
    assert_eq!(device.with(|model| model.largest), 8192);
}

#[test]
fn a_passing_error_is_tried_again_and_a_lasting_one_is_not() {
    let device = Device::new();
    let disk = &device.disks()[0];
    let mut sector = [0; 512];
    let fail = |count, status| device.with(|model| model.trouble = Trouble::Fails(count, status));
    let left = || device.with(|model| model.trouble);
    fail(2, 0x281);
    disk.read(9, &mut sector).expect("the third attempt");
    fail(9, 0x281);
    let error = BlockError::Device {
        status: 2,
        error: 0x81,
    };
    assert_eq!(disk.read(9, &mut sector), Err(error));
    assert_eq!(left(), Trouble::Fails(4, 0x281));
    fail(9, 0x4002);
    let error = BlockError::Device {
        status: 0,
        error: 2,
    };
    assert_eq!(disk.write(9, &sector), Err(error));
    assert_eq!(left(), Trouble::Fails(8, 0x4002));
    fail(0, 0);
    disk.flush().expect("works again");
}

#[test]
fn answers_to_commands_that_nobody_sent_mean_nothing() {
    let device = Device::new();
    let disk = &device.disks()[0];
    device.with(|model| model.trouble = Trouble::Lies);
    for round in 0..40 {
        let mut data = [0; 4096];
        disk.read(round * 8, &mut data).expect("a read");
        let start = round as usize * 4096;
        assert!(device.with(|model| model.content[0][start..][..4096] == data));
    }
}

#[test]
fn a_controller_that_does_not_go_along_is_refused() {
    for (trouble, error) in [
        (Trouble::NotReady, Error::ResetTimeout),
        (Trouble::Silent, Error::NoAnswer),
        (Trouble::Gone, Error::BadRegisters),
    ] {
        let device = Device::new();
        device.with(|model| model.trouble = trouble);
        assert_eq!(device.started().err(), Some(error), "{trouble:?}");
    }
    // Queues of two entries, no NVM commands, pages of 8 KiB at least.
    for (low, high) in [(1, 1 << 5), (63, 0), (63, 1 << 5 | 1 << 16)] {
        let device = Device::new();
        device.with(|model| model.registers.extend([(CAP, low), (CAP + 4, high)]));
        assert_eq!(device.started().err(), Some(Error::BadRegisters));
    }
    let small = start("NVMe", Device::new(), DOORBELLS, || None);
    assert_eq!(small.err(), Some(Error::BadRegisters));
}

#[test]
fn a_namespace_with_an_unknown_format_is_left_out() {
    for format in [[0, 0, 8, 0], [0, 0, 13, 0], [8, 0, 9, 0], [0; 4], [0xFF; 4]] {
        let device = Device::new();
        device.with(|model| model.namespace_format = format);
        assert!(device.started().expect("a controller").is_empty());
    }
}
