//! The driver against a model of the device, honest and not.

use std::string::ToString;
use std::sync::{Arc, Mutex};

use super::requests::Requests;
use super::{BLK_SIZE, FLUSH, QUEUE_COUNT_AT, RO, SEVERAL_QUEUES, SIZE_MAX, queue_count, start};
use crate::devices::block::exchange::{Controller, Kind, Request};
use crate::devices::block::queued::QueuedDisk;
use crate::devices::block::queues::model::go_to;
use crate::devices::block::slots::{MAX_DATA_BYTES, MAX_SLOTS};
use crate::devices::block::{BlockDriver, BlockError, Name};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::virtio::queue::Queue;
use crate::devices::virtio::queue::model::DeviceSide;
use crate::devices::virtio::{Error, Transport, VERSION_1};

const SECTORS: u64 = 1000;
/// Of the machine that has the disk.
const CORES: usize = 4;

/// The descriptors of a request, as the device finds them: address, length, whether it may write.
fn chain(side: &DeviceSide, head: u16) -> Vec<(u64, u32, bool)> {
    let mut found = Vec::new();
    let mut entry = head;
    loop {
        assert!(found.len() < 4, "the chain does not end");
        let at = side.addresses[0] + u64::from(entry) * 16;
        let flags = u16::from_le_bytes(device_read(at + 12));
        found.push((
            u64::from_le_bytes(device_read(at)),
            u32::from_le_bytes(device_read(at + 8)),
            flags & 2 != 0,
        ));
        if flags & 1 == 0 {
            return found;
        }
        entry = u16::from_le_bytes(device_read(at + 14));
    }
}

struct Model {
    status: u8,
    accepted: u64,
    /// Its side of each queue that was made.
    sides: Vec<DeviceSide>,
    /// How many requests came by each.
    requests: Vec<usize>,
    /// What is on the medium, and what is in the device's cache.
    durable: Vec<u8>,
    content: Vec<u8>,
    flushes: usize,
    /// It does nothing when notified.
    is_asleep: bool,
    /// What it answers in place of the truth, by the queues from a number on.
    lie: Option<u8>,
    lies_from: u16,
    /// What it says of how much it wrote.
    claimed_len: u32,
    largest: u32,
}

struct Device {
    offered: u64,
    config: [u32; 6],
    /// How many queues it says to have, and how many it has.
    queues: [u16; 2],
    queue_len: u16,
    model: Mutex<Model>,
}

impl Device {
    fn new(features: u64) -> Self {
        let content = (0..SECTORS as usize * 512).map(|at| (at / 512 + at) as u8);
        let content: Vec<u8> = content.collect();
        Self {
            offered: VERSION_1 | features,
            config: [SECTORS as u32, 0, 4096, 0, 0, 512],
            queues: [1, 1],
            queue_len: 256,
            model: Mutex::new(Model {
                status: 0,
                accepted: 0,
                sides: Vec::new(),
                requests: Vec::new(),
                durable: content.clone(),
                content,
                flushes: 0,
                is_asleep: false,
                lie: None,
                lies_from: 0,
                claimed_len: 0,
                largest: 0,
            }),
        }
    }

    fn started(self) -> (Arc<Self>, Result<QueuedDisk, Error>) {
        let device = Arc::new(self);
        let queues = queue_count(&*device).min(CORES);
        let disk = start(
            Name::Told("disk".to_string()),
            device.clone(),
            queues,
            Vec::new,
        );
        (device, disk)
    }

    /// One that says to have so many queues, and has so many.
    fn with_queues(claimed: u16, there: u16) -> Self {
        Self {
            queues: [claimed, there],
            ..Self::new(FLUSH | SEVERAL_QUEUES)
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.model.lock().expect("one thread"))
    }
}

impl Model {
    /// Does a request, and says how it went.
    fn execute(&mut self, parts: &[(u64, u32, bool)]) -> u8 {
        let &(header, 16, false) = &parts[0] else {
            panic!("no header: {parts:?}");
        };
        let kind = u32::from_le_bytes(device_read(header));
        let unit = u64::from_le_bytes(device_read(header + 8)) as usize;
        if kind == 4 {
            assert_eq!(parts.len(), 2);
            self.flushes += 1;
            self.durable.clone_from(&self.content);
            return 0;
        }
        let &(address, len, is_in) = &parts[1];
        assert_eq!((parts.len(), is_in), (3, kind == 0));
        self.largest = self.largest.max(len);
        let Some(range) = self.content.get_mut(unit * 512..unit * 512 + len as usize) else {
            return 1;
        };
        if is_in {
            device_write(address, range);
        } else {
            for (at, byte) in (address..).zip(range) {
                [*byte] = device_read(at);
            }
        }
        0
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
        self.offered
    }
    fn accept_features(&self, features: u64) {
        self.with(|model| model.accepted = features);
    }
    fn max_queue_len(&self, index: u16) -> u16 {
        match index < self.queues[1] {
            true => self.queue_len,
            false => 0,
        }
    }
    fn enable_queue(&self, index: u16, queue: &Queue) {
        let side = DeviceSide {
            addresses: queue.addresses(),
            len: queue.len(),
            ..DeviceSide::default()
        };
        self.with(|model| {
            assert_eq!(model.sides.len(), usize::from(index));
            model.sides.push(side);
            model.requests.push(0);
        });
    }
    fn notify(&self, index: u16) {
        self.with(|model| {
            if model.is_asleep {
                return;
            }
            let number = usize::from(index);
            while let Some((entry, _, _)) = model.sides[number].next() {
                model.requests[number] += 1;
                let parts = chain(&model.sides[number], entry);
                let status = match model.lie {
                    Some(lie) if index >= model.lies_from => lie,
                    _ => model.execute(&parts),
                };
                let &(address, 1, true) = parts.last().expect("a status") else {
                    panic!("no status: {parts:?}");
                };
                if status != 0xFF {
                    device_write(address, &[status]);
                }
                // Entries it does not have come first.
                let side = &mut model.sides[number];
                side.give_back(u32::from(entry) + 1, 7);
                side.give_back(u32::MAX, 7);
                side.give_back(u32::from(entry), model.claimed_len);
            }
        });
    }
    fn acknowledge_interrupt(&self) {}
    fn config(&self, offset: usize) -> u8 {
        let bytes = self.queues[0].to_le_bytes();
        let byte = offset
            .checked_sub(QUEUE_COUNT_AT)
            .and_then(|at| bytes.get(at));
        *byte.expect("fields of four and eight bytes are not read by bytes")
    }
    fn config32(&self, offset: usize) -> u32 {
        self.config[offset / 4]
    }
}

#[test]
fn what_is_written_is_read_whatever_the_device_says_of_lengths() {
    let (device, disk) = Device::new(FLUSH).started();
    let disk = disk.expect("a good disk");
    assert_eq!(
        (disk.sector_len_bytes(), disk.sector_count()),
        (512, SECTORS)
    );
    let before = device.with(|model| model.content.clone());
    for (round, claimed_len) in [0, 1, 513, u32::MAX].into_iter().enumerate() {
        device.with(|model| model.claimed_len = claimed_len);
        let mut whole = vec![0; before.len()];
        disk.read(0, &mut whole).expect("a whole disk");
        assert!(whole == before);
        let data = vec![round as u8 + 7; 200 * 512];
        disk.write(700, &data).expect("a write");
        let mut back = vec![0; data.len()];
        disk.read(700, &mut back).expect("a read");
        assert!(back == data);
        disk.write(700, &before[700 * 512..][..data.len()])
            .expect("a write");
    }
    assert_eq!(device.with(|model| model.largest), MAX_DATA_BYTES as u32);
    assert!(device.with(|model| model.content == before));
}

#[test]
fn a_flush_reaches_a_device_that_has_one() {
    let (device, disk) = Device::new(FLUSH).started();
    disk.expect("a disk").flush().expect("a flush");
    assert_eq!(device.with(|model| model.flushes), 1);
    let (device, disk) = Device::new(0).started();
    disk.expect("a disk").flush().expect("nothing to flush");
    assert_eq!(device.with(|model| model.flushes), 0);
}

#[test]
fn nothing_beyond_the_end_reaches_the_device() {
    let (device, disk) = Device::new(0).started();
    let disk = disk.expect("a disk");
    let mut sector = [0; 512];
    for first in [SECTORS, u64::MAX, u64::MAX / 512] {
        assert_eq!(disk.read(first, &mut sector), Err(BlockError::OutOfRange));
        assert_eq!(disk.write(first, &sector), Err(BlockError::OutOfRange));
    }
    assert_eq!(disk.read(0, &mut sector[1..]), Err(BlockError::OutOfRange));
    assert_eq!(device.with(|model| model.largest), 0);
}

#[test]
fn a_read_only_disk_is_not_written() {
    let (device, disk) = Device::new(RO).started();
    let disk = disk.expect("a disk");
    assert!(disk.is_read_only());
    assert_eq!(disk.write(0, &[0; 512]), Err(BlockError::ReadOnly));
    assert_eq!(device.with(|model| model.largest), 0);
}

#[test]
fn an_answer_that_is_not_good_is_an_error_and_the_next_request_works() {
    let (device, disk) = Device::new(FLUSH).started();
    let disk = disk.expect("a disk");
    let mut sector = [0; 512];
    // An error, an unsupported request, nonsense, and no status at all.
    for lie in [1, 2, 77, 0xFF] {
        device.with(|model| model.lie = Some(lie));
        let error = BlockError::Device {
            status: lie,
            error: 0,
        };
        for _ in 0..2 * MAX_SLOTS {
            assert_eq!(disk.read(3, &mut sector), Err(error));
            assert_eq!(disk.write(3, &sector), Err(error));
            assert_eq!(disk.flush(), Err(error));
        }
        device.with(|model| model.lie = None);
        disk.read(3, &mut sector).expect("works again");
    }
}

#[test]
fn sectors_may_be_larger_and_segments_limited() {
    let mut device = Device::new(BLK_SIZE | SIZE_MAX);
    device.config[5] = 2048;
    let (device, disk) = device.started();
    let disk = disk.expect("a disk");
    assert_eq!((disk.sector_len_bytes(), disk.sector_count()), (2048, 250));
    let mut two = vec![0; 10 * 2048];
    disk.read(3, &mut two).expect("on the disk");
    assert!(device.with(|model| model.content[12 * 512..][..two.len()] == two));
    assert_eq!(device.with(|model| model.largest), 4096);
}

#[test]
fn a_device_that_says_impossible_things_is_refused() {
    let refused = |change: &dyn Fn(&mut Device)| {
        let mut device = Device::new(BLK_SIZE | SIZE_MAX);
        change(&mut device);
        device.started().1.err()
    };
    for size in [0, 1, 256, 513, 8192, u32::MAX] {
        let error = refused(&|device| device.config[5] = size);
        assert_eq!(error, Some(Error::BadRegisters), "sectors of {size}");
    }
    let error = refused(&|device| device.config[2] = 511);
    assert_eq!(error, Some(Error::BadRegisters), "no sector fits");
    let error = refused(&|device| device.config[1] = u32::MAX);
    assert_eq!(error, Some(Error::BadRegisters), "more bytes than numbers");
    for len in [0, 1, 2] {
        let error = refused(&|device| device.queue_len = len);
        assert_eq!(error, Some(Error::NoQueue), "a queue of {len}");
    }
}

#[test]
fn answers_in_another_order_find_their_requests() {
    let queue = Queue::new(Requests::queue_len(MAX_SLOTS)).expect("memory");
    let mut side = DeviceSide {
        addresses: queue.addresses(),
        len: queue.len(),
        ..DeviceSide::default()
    };
    let device = Arc::new(Device::new(0));
    device.with(|model| model.is_asleep = true);
    let (mut requests, slots) = Requests::new(device, 0, queue, 512).expect("memory");
    assert_eq!(slots, MAX_SLOTS);
    for index in 0..slots {
        let request = Request {
            kind: Kind::Read,
            target: 0,
            first_sector: u64::from(index),
            sectors: 1,
            len_bytes: 512,
        };
        requests.send(index, 0, &request);
    }
    let sent: Vec<_> = core::iter::from_fn(|| side.next()).collect();
    assert_eq!(sent.len(), usize::from(slots));
    for (index, (entry, header, _)) in sent.iter().enumerate().rev() {
        assert_eq!(device_read(header + 8), (index as u64).to_le_bytes());
        assert!(requests.next_answer().is_none());
        let status = chain(&side, *entry)[2].0;
        device_write(status, &[index as u8]);
        side.give_back(u32::from(*entry), 0);
        let (answered, answer) = requests.next_answer().expect("an answer");
        assert_eq!(usize::from(answered), index);
        assert_eq!(answer.is_ok(), index == 0);
    }
}

#[test]
fn each_core_asks_by_its_own_queue_as_far_as_there_are_queues() {
    for (there, expected) in [
        (1, &[8][..]),
        (2, &[4, 4]),
        (3, &[4, 2, 2]),
        (4, &[2, 2, 2, 2]),
        (64, &[2, 2, 2, 2]),
    ] {
        let (device, disk) = Device::with_queues(there, there).started();
        let disk = disk.expect("a disk");
        assert_eq!(disk.queue_count(), expected.len());
        for core in 0..CORES {
            go_to(core);
            let written = [core as u8 + 77; 512];
            disk.write(core as u64, &written).expect("a write");
            let mut sector = [0; 512];
            disk.read(core as u64, &mut sector).expect("a read");
            assert_eq!(sector, written);
        }
        device.with(|model| assert_eq!(model.requests, expected));
    }
}

#[test]
fn a_disk_that_is_given_to_a_core_is_asked_by_its_queue_alone() {
    let (device, disk) = Device::with_queues(4, 4).started();
    let disk = disk.expect("a disk");
    disk.keep_to(2);
    for core in 0..CORES {
        go_to(core);
        disk.read(0, &mut [0; 512]).expect("a read");
    }
    device.with(|model| assert_eq!(model.requests, [0, 0, 4, 0]));
}

#[test]
fn a_flush_covers_what_was_written_by_all_queues_before() {
    let (device, disk) = Device::with_queues(4, 4).started();
    let disk = disk.expect("a disk");
    for flusher in 0..CORES {
        for core in 0..CORES {
            go_to(core);
            let sectors = vec![(flusher * CORES + core) as u8 + 1; 300 * 512];
            disk.write(200 * core as u64, &sectors).expect("a write");
        }
        go_to(flusher);
        disk.flush().expect("a flush");
        device.with(|model| assert!(model.durable == model.content));
    }
}

#[test]
fn a_queue_that_answers_nonsense_leaves_the_others_alone() {
    let (device, disk) = Device::with_queues(4, 4).started();
    let disk = disk.expect("a disk");
    let mut sector = [0; 512];
    for lie in [1, 2, 77, 0xFF] {
        device.with(|model| (model.lie, model.lies_from) = (Some(lie), 3));
        for _ in 0..2 * MAX_SLOTS {
            for core in 0..CORES {
                go_to(core);
                assert_eq!(disk.read(3, &mut sector).is_err(), core == 3, "{lie}");
                assert_eq!(disk.flush().is_err(), core == 3, "{lie}");
            }
        }
        device.with(|model| model.lie = None);
        go_to(3);
        disk.read(3, &mut sector).expect("works again");
    }
}

#[test]
fn a_device_that_has_not_the_queues_that_it_says_is_used_with_those_it_has() {
    for (claimed, there, used) in [(0, 1, 1), (4, 1, 1), (u16::MAX, 2, 2), (1, 64, 1)] {
        let (device, disk) = Device::with_queues(claimed, there).started();
        let disk = disk.expect("a disk");
        assert_eq!(disk.queue_count(), used, "{claimed} and {there}");
        for core in 0..CORES {
            go_to(core);
            disk.read(0, &mut [0; 512]).expect("a read");
        }
        device.with(|model| assert_eq!(model.requests.iter().sum::<usize>(), CORES));
    }
    assert_eq!(
        Device::with_queues(4, 0).started().1.err(),
        Some(Error::NoQueue)
    );
    // Without the feature the field is not there (section 5.2.4).
    let mut device = Device::new(FLUSH);
    device.queues = [4, 4];
    let (device, disk) = device.started();
    assert_eq!(disk.expect("a disk").queue_count(), 1);
    device.with(|model| assert_eq!(model.accepted & SEVERAL_QUEUES, 0));
}
