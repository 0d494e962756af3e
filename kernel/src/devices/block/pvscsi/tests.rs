//! The driver against a model of the adapter, honest and not.

use std::sync::{Arc, Mutex};

use super::registers::{
    COMMAND, COMMAND_DATA, COMMAND_STATUS, KICK_DATA, KICK_OTHER, RESET_ADAPTER, SET_UP_RINGS,
    SET_UP_WORDS,
};
use super::start;
use crate::devices::block::queued::QueuedDisk;
use crate::devices::block::{BlockDriver, BlockError};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::registers::Registers;

const SECTORS: usize = 1000;
/// Where the model has its disk; at the target before is a CD-ROM.
const TARGET: u8 = 3;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Trouble {
    None,
    /// So many commands for data fail with this status and sense key.
    Fails(u32, u16, u8),
    /// Before each completion come some of what was not asked.
    Lies,
    /// It has no command to flush.
    NoFlush,
}

struct Model {
    words: Vec<u32>,
    pages: [u64; 3],
    done: u32,
    made: u32,
    content: Vec<u8>,
    has_attention: bool,
    is_protected: bool,
    sector_len: u32,
    trouble: Trouble,
    flushes: usize,
}

#[derive(Clone)]
struct Device(Arc<Mutex<Model>>);

impl Device {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Model {
            words: Vec::new(),
            pages: [0; 3],
            done: 0,
            made: 0,
            content: (0..SECTORS * 512).map(|at| (at / 511) as u8).collect(),
            has_attention: true,
            is_protected: false,
            sector_len: 512,
            trouble: Trouble::None,
            flushes: 0,
        })))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.0.lock().expect("one thread"))
    }

    fn disks(&self) -> Vec<QueuedDisk> {
        start("pvscsi", self.clone(), || None).expect("memory")
    }

    fn disk(&self) -> QueuedDisk {
        let mut disks = self.disks();
        assert_eq!(disks.len(), 1);
        disks.remove(0)
    }
}

impl Model {
    fn complete(&mut self, context: u64, host: u16, device: u16) {
        let at = self.pages[2] + u64::from(self.made % 128) * 32;
        device_write(at, &context.to_le_bytes());
        device_write(at + 20, &host.to_le_bytes());
        device_write(at + 22, &device.to_le_bytes());
        self.made = self.made.wrapping_add(1);
        device_write(self.pages[0] + 12, &self.made.to_le_bytes());
    }

    fn run(&mut self) {
        while self.done != u32::from_le_bytes(device_read(self.pages[0])) {
            let at = self.pages[1] + u64::from(self.done % 32) * 128;
            self.done = self.done.wrapping_add(1);
            let long = |offset: u64| u64::from_le_bytes(device_read(at + offset));
            let [target] = device_read(at + 67);
            let cdb: [u8; 16] = device_read(at + 40);
            let (context, data, len) = (long(0), long(8), long(16) as usize);
            if self.trouble == Trouble::Lies {
                for lie in [0, 9, u64::MAX, context % 4 + 1] {
                    self.complete(lie, 0, 0);
                }
            }
            let (host, device, key) = self.execute(target, &cdb, data, len);
            if device == 2 {
                device_write(long(24), &[0x70, 0, key, 0]);
            }
            self.complete(context, host, device);
        }
    }

    /// Status of host and device, and sense key.
    fn execute(&mut self, target: u8, cdb: &[u8; 16], data: u64, len: usize) -> (u16, u16, u8) {
        const GOOD: (u16, u16, u8) = (0, 0, 0);
        if target == TARGET - 1 && cdb[0] == 0x12 {
            device_write(data, &[5]);
            return GOOD;
        }
        if target != TARGET {
            return (0x11, 0, 0);
        }
        if cdb[0] != 0x12 && std::mem::take(&mut self.has_attention) {
            return (0, 2, 6);
        }
        let is_data = matches!(cdb[0], 0x28 | 0x2A | 0x35);
        if is_data && let Trouble::Fails(count @ 1.., status, key) = self.trouble {
            self.trouble = Trouble::Fails(count - 1, status, key);
            return (0, status, key);
        }
        let first = u32::from_be_bytes([cdb[2], cdb[3], cdb[4], cdb[5]]) as usize * 512;
        match cdb[0] {
            0x12 => device_write(data, &[0]),
            0x1A => device_write(data, &[0, 0, if self.is_protected { 0x80 } else { 0 }]),
            0x25 => {
                device_write(data, &(SECTORS as u32 - 1).to_be_bytes());
                device_write(data + 4, &self.sector_len.to_be_bytes());
            }
            0x9E => return (0, 2, 5),
            0x28 => {
                assert_eq!(len, usize::from(u16::from_be_bytes([cdb[7], cdb[8]])) * 512);
                device_write(data, &self.content[first..first + len]);
            }
            0x2A => {
                for (at, byte) in (data..).zip(&mut self.content[first..first + len]) {
                    [*byte] = device_read(at);
                }
            }
            0x35 if self.trouble == Trouble::NoFlush => return (0, 2, 5),
            0x35 => self.flushes += 1,
            other => panic!("command {other:#x}"),
        }
        GOOD
    }
}

impl Registers for Device {
    fn read(&self, offset: usize) -> u32 {
        assert_eq!(offset, COMMAND_STATUS);
        0
    }

    fn write(&self, offset: usize, value: u32) {
        self.with(|model| match offset {
            COMMAND => {
                model.words.clear();
                (model.done, model.made) = (0, 0);
                assert!([RESET_ADAPTER, SET_UP_RINGS].contains(&value));
            }
            COMMAND_DATA => {
                model.words.push(value);
                if model.words.len() == SET_UP_WORDS {
                    assert_eq!(model.words[..2], [1, 1]);
                    let page = |at: usize| {
                        (u64::from(model.words[at]) | u64::from(model.words[at + 1]) << 32) * 4096
                    };
                    model.pages = [page(2), page(4), page(68)];
                }
            }
            KICK_DATA | KICK_OTHER => model.run(),
            _ => {}
        });
    }
}

#[test]
fn the_disk_among_the_targets_is_found_read_written_and_flushed() {
    let device = Device::new();
    let disk = device.disk();
    assert_eq!(
        (disk.sector_count(), disk.sector_len_bytes()),
        (SECTORS as u64, 512)
    );
    assert_eq!(disk.name(), "pvscsi target 3");
    let mut whole = vec![0; SECTORS * 512];
    for _ in 0..20 {
        disk.read(0, &mut whole).expect("a whole disk");
        assert!(device.with(|model| model.content == whole));
    }
    let data: Vec<u8> = (0..300 * 512).map(|at| (at * 7) as u8).collect();
    disk.write(503, &data).expect("a write");
    assert!(device.with(|model| model.content[503 * 512..][..data.len()] == data));
    disk.flush().expect("a flush");
    assert_eq!(device.with(|model| model.flushes), 1);
}

#[test]
fn a_disk_that_is_protected_or_of_impossible_size_is_treated_so() {
    let device = Device::new();
    device.with(|model| model.is_protected = true);
    let disk = device.disk();
    assert_eq!(disk.write(0, &[0; 512]), Err(BlockError::ReadOnly));
    let device = Device::new();
    device.with(|model| model.sector_len = 520);
    assert!(device.disks().is_empty());
}

#[test]
fn a_passing_error_is_tried_again_and_a_lasting_one_is_not() {
    let device = Device::new();
    let disk = device.disk();
    let mut sector = [0; 512];
    let left = || device.with(|model| model.trouble);
    device.with(|model| model.trouble = Trouble::Fails(2, 2, 3));
    disk.read(9, &mut sector).expect("the third attempt");
    device.with(|model| model.trouble = Trouble::Fails(9, 2, 3));
    let error = |error| Err(BlockError::Device { status: 2, error });
    assert_eq!(disk.flush(), error(3));
    assert_eq!(left(), Trouble::Fails(4, 2, 3));
    device.with(|model| model.trouble = Trouble::Fails(9, 2, 7));
    assert_eq!(disk.write(9, &sector), error(7));
    assert_eq!(left(), Trouble::Fails(8, 2, 7));
}

#[test]
fn a_disk_that_cannot_flush_has_nothing_to_flush() {
    let device = Device::new();
    let disk = device.disk();
    device.with(|model| model.trouble = Trouble::NoFlush);
    disk.flush().expect("nothing to flush");
}

#[test]
fn completions_of_what_was_not_asked_mean_nothing() {
    let device = Device::new();
    let disk = device.disk();
    device.with(|model| model.trouble = Trouble::Lies);
    for round in 0..100 {
        let mut data = [0; 512];
        disk.read(round, &mut data).expect("a read");
        let start = round as usize * 512;
        assert!(device.with(|model| model.content[start..][..512] == data));
    }
}
