//! The driver against a model of the adapter, honest and not.

use std::sync::{Arc, Mutex};

use super::adapter::COMMANDS;
use super::{MAX_TARGET_AT, start};
use crate::devices::block::queued::QueuedDisk;
use crate::devices::block::slots::MAX_SLOTS;
use crate::devices::block::{BlockDriver, BlockError};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::virtio::queue::Queue;
use crate::devices::virtio::queue::model::DeviceSide;
use crate::devices::virtio::{Error, Transport, VERSION_1};

const SECTORS: usize = 1000;
/// Where the model has its disk; unit 1 of that target is a CD drive, and other targets have nothing.
const TARGET: u8 = 3;
const UNIT: u16 = 0x102;

/// What the device says in place of the truth: its own response, the status, and the sense key.
type Lie = (u8, u8, u8);

#[derive(Default)]
struct Model {
    status: u8,
    side: DeviceSide,
    content: Vec<u8>,
    flushes: usize,
    has_attention: bool,
    lie: Option<Lie>,
    /// It writes no response.
    is_silent: bool,
    /// It takes nothing from its queue.
    is_deaf: bool,
    /// How often it was told of something.
    told: usize,
}

struct Device {
    has_queue: bool,
    model: Mutex<Model>,
}

impl Device {
    fn started(has_queue: bool) -> (Arc<Self>, Result<Vec<QueuedDisk>, Error>) {
        Self::started_as(has_queue, false)
    }

    fn started_as(has_queue: bool, is_deaf: bool) -> (Arc<Self>, Result<Vec<QueuedDisk>, Error>) {
        let model = Model {
            is_deaf,
            content: (0..SECTORS * 512).map(|at| (at / 511) as u8).collect(),
            has_attention: true,
            ..Model::default()
        };
        let model = Mutex::new(model);
        let device = Arc::new(Self { has_queue, model });
        let disks = start("adapter", device.clone(), None);
        (device, disks)
    }

    fn disk() -> (Arc<Self>, QueuedDisk) {
        let (device, disks) = Self::started(true);
        let mut disks = disks.expect("an adapter");
        assert_eq!(disks.len(), 1);
        (device, disks.remove(0))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.model.lock().expect("one thread"))
    }
}

impl Model {
    /// The buffers of a command: address, length, whether the device may write.
    fn chain(&self, head: u16) -> Vec<(u64, u32, bool)> {
        let mut found = Vec::new();
        let mut entry = head;
        loop {
            assert!(found.len() < 4, "the chain does not end");
            let at = self.side.addresses[0] + u64::from(entry) * 16;
            let flags = u16::from_le_bytes(device_read(at + 12));
            let address = u64::from_le_bytes(device_read(at));
            let len = u32::from_le_bytes(device_read(at + 8));
            found.push((address, len, flags & 2 != 0));
            if flags & 1 == 0 {
                return found;
            }
            entry = u16::from_le_bytes(device_read(at + 14));
        }
    }

    /// Does a command; its response, status and sense key.
    fn execute(&mut self, command: u64, data: Option<(u64, u32, bool)>) -> Lie {
        let unit: [u8; 8] = device_read(command);
        let cdb: [u8; 16] = device_read(command + 19);
        assert_eq!((unit[0], unit[2] & 0xC0), (1, 0x40));
        if unit[1] != TARGET {
            return (3, 0, 0);
        }
        if let Some(lie) = self.lie {
            return lie;
        }
        let number = u16::from(unit[2] & 0x3F) << 8 | u16::from(unit[3]);
        let answer = |bytes: &[u8]| {
            let (address, len, true) = data.expect("room for an answer") else {
                panic!("an answer that the device may not write");
            };
            device_write(address, &bytes[..bytes.len().min(len as usize)]);
            (0, 0, 0)
        };
        if cdb[0] == 0xA0 {
            let mut units = [0; 24];
            units[3] = 16;
            units[9] = 1;
            units[16..18].copy_from_slice(&(UNIT | 0x4000).to_be_bytes());
            return answer(&units);
        }
        if cdb[0] == 0x12 {
            return answer(&[if number == UNIT { 0 } else { 5 }; 36]);
        }
        assert_eq!(number, UNIT, "only disks are used");
        if std::mem::take(&mut self.has_attention) {
            return (0, 2, 6);
        }
        match cdb[0] {
            0x25 => answer(&[0, 0, 3, 0xE7, 0, 0, 2, 0]),
            0x1A => answer(&[0; 192]),
            0x35 => {
                assert!(data.is_none());
                self.flushes += 1;
                (0, 0, 0)
            }
            operation @ (0x28 | 0x2A) => {
                let (address, len, is_written) = data.expect("data");
                assert_eq!(is_written, operation == 0x28);
                let first = u32::from_be_bytes([cdb[2], cdb[3], cdb[4], cdb[5]]) as usize * 512;
                assert_eq!(usize::from(cdb[8]) * 512, len as usize);
                let range = &mut self.content[first..first + len as usize];
                if is_written {
                    device_write(address, range);
                } else {
                    for (at, byte) in (address..).zip(range) {
                        [*byte] = device_read(at);
                    }
                }
                (0, 0, 0)
            }
            _ => (0, 2, 5),
        }
    }
}

impl Transport for Device {
    fn is_legacy(&self) -> bool {
        false
    }
    fn status(&self) -> u8 {
        self.with(|model| model.status)
    }
    fn set_status(&self, status: u8) {
        self.with(|model| model.status = status);
    }
    fn offered_features(&self) -> u64 {
        VERSION_1
    }
    fn accept_features(&self, _: u64) {}
    fn max_queue_len(&self, index: u16) -> u16 {
        match self.has_queue && index == COMMANDS {
            true => 128,
            false => 0,
        }
    }
    fn enable_queue(&self, index: u16, queue: &Queue) {
        assert_eq!(index, COMMANDS);
        let (addresses, len) = (queue.addresses(), queue.len());
        let side = DeviceSide {
            addresses,
            len,
            ..DeviceSide::default()
        };
        self.with(|model| model.side = side);
    }
    fn notify(&self, _: u16) {
        self.with(|model| {
            model.told += 1;
            if model.is_deaf {
                return;
            }
            while let Some((entry, _, _)) = model.side.next() {
                let parts = model.chain(entry);
                let (command, 51, false) = parts[0] else {
                    panic!("no command: {parts:?}");
                };
                // What the device reads is in front of what it writes, and the response in front of data.
                let at = parts.iter().position(|part| part.2).expect("a response");
                assert!(parts[at..].iter().all(|part| part.2));
                let (response, 108) = (parts[at].0, parts[at].1) else {
                    panic!("no response: {parts:?}");
                };
                let others = [1, 2].into_iter().filter(|&other| other != at);
                let data = others.filter_map(|other| parts.get(other)).next().copied();
                let (code, status, key) = model.execute(command, data);
                if !model.is_silent {
                    device_write(response + 10, &[status, code, 0x70, 0, key, 0]);
                }
                // Entries it does not have come first.
                model.side.give_back(u32::from(entry) + 1, 7);
                model.side.give_back(u32::MAX, 7);
                model.side.give_back(u32::from(entry), 0);
            }
        });
    }
    fn acknowledge_interrupt(&self) {}
    fn config(&self, offset: usize) -> u8 {
        let at = offset.checked_sub(MAX_TARGET_AT).expect("no other field");
        // The largest number there is: no target behind those that can be addressed is asked.
        [0xFF, 0xFF][at]
    }
    fn config32(&self, _: usize) -> u32 {
        panic!("no such field is read");
    }
}

#[test]
fn a_disk_is_found_among_targets_and_units_and_keeps_what_is_written() {
    let (device, disk) = Device::disk();
    let shape = (disk.sector_len_bytes(), disk.sector_count());
    assert_eq!(shape, (512, SECTORS as u64));
    assert_eq!(disk.name(), "adapter target 3 unit 258");
    let before = device.with(|model| model.content.clone());
    let mut whole = vec![0; before.len()];
    disk.read(0, &mut whole).expect("a whole disk");
    assert!(whole == before);
    let data = vec![9; 200 * 512];
    disk.write(700, &data).expect("a write");
    assert!(device.with(|model| model.content[700 * 512..900 * 512] == data));
    disk.flush().expect("a flush");
    assert_eq!(device.with(|model| model.flushes), 1);
}

#[test]
fn an_answer_that_is_not_good_is_an_error_and_the_next_request_works() {
    let (device, disk) = Device::disk();
    let mut sector = [0; 512];
    // A medium error, a command that it does not have, a busy unit, a response that says no, one of a target that is gone.
    let lies = [(0, 2, 3), (0, 2, 5), (0, 8, 0), (9, 0, 0), (3, 0, 0)];
    for lie @ (code, status, error) in lies {
        device.with(|model| model.lie = Some(lie));
        let status = if code == 0 { status } else { code };
        let error = Err(BlockError::Device { status, error });
        for _ in 0..2 * MAX_SLOTS {
            assert_eq!(disk.read(3, &mut sector), error);
            assert_eq!(disk.write(3, &sector), error);
        }
        // What has no cache need not know how to flush one.
        let flushed = if lie == (0, 2, 5) { Ok(()) } else { error };
        assert_eq!(disk.flush(), flushed);
        device.with(|model| model.lie = None);
        disk.read(3, &mut sector).expect("works again");
    }
}

#[test]
fn a_device_that_writes_no_response_has_done_nothing() {
    let (device, disk) = Device::disk();
    device.with(|model| model.is_silent = true);
    let (status, error) = (0xFF, 0);
    let expected = Err(BlockError::Device { status, error });
    assert_eq!(disk.read(3, &mut [0; 512]), expected);
    device.with(|model| model.is_silent = false);
    disk.read(3, &mut [0; 512]).expect("works again");
}

#[test]
fn an_adapter_without_a_queue_for_commands_is_refused() {
    let (_, disks) = Device::started(false);
    assert!(matches!(disks, Err(Error::NoQueue)));
}

#[test]
fn an_adapter_that_does_not_answer_is_asked_once() {
    // Ten seconds for each of its targets would be most of an hour.
    let (device, disks) = Device::started_as(true, true);
    assert!(disks.expect("an adapter").is_empty());
    assert_eq!(device.with(|model| model.told), 1);
}
