//! The driver against a model of the other end, honest and not.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use super::requests::Requests;
use super::{Events, start};
use crate::devices::block::exchange::{Controller, Kind, Request};
use crate::devices::block::queued::QueuedDisk;
use crate::devices::block::slots::{Fault, MAX_DATA_BYTES};
use crate::devices::block::{BlockDriver, BlockError};
use crate::devices::fake_memory::{DmaBuffer, device_read, device_write};
use crate::devices::xen::Error;
use crate::devices::xen::frontend::Frontend;
use crate::devices::xen::grants::Table;
use crate::devices::xen::store::Store;
use crate::devices::xen::tests::{Server, table};
use crate::sync::SpinLock;

const DOMAIN: u16 = 3;
const FRONT: &str = "device/vbd/51712";
const BACK: &str = "/local/domain/3/backend/vbd/1/51712";
const UNITS: usize = 1000;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Trouble {
    None,
    /// So many requests fail with this status.
    Fails(u32, i16),
}

/// The other end.
struct Model {
    table: &'static SpinLock<Table>,
    ring: u64,
    taken: u32,
    given: u32,
    content: Vec<u8>,
    trouble: Trouble,
    flushes: Vec<u8>,
}

std::thread_local! {
    /// The model that is told of news: each test has a thread of its own.
    static MODEL: RefCell<Option<Arc<Mutex<Model>>>> = const { RefCell::new(None) };
}

impl Model {
    fn answer(&mut self, id: u64, operation: u8, status: i16) {
        let at = self.ring + 64 + u64::from(self.given % 32) * 112;
        device_write(at, &id.to_le_bytes());
        device_write(at + 8, &[operation]);
        device_write(at + 10, &status.to_le_bytes());
        self.given = self.given.wrapping_add(1);
        device_write(self.ring + 8, &self.given.to_le_bytes());
    }

    fn run(&mut self) {
        while self.taken != u32::from_le_bytes(device_read(self.ring)) {
            let at = self.ring + 64 + u64::from(self.taken % 32) * 112;
            let request: [u8; 112] = device_read(at);
            self.taken = self.taken.wrapping_add(1);
            device_write(self.ring + 4, &self.taken.wrapping_add(1).to_le_bytes());
            let id = u64::from_le_bytes(device_read(at + 8));
            let status = self.execute(&request);
            self.answer(id, request[0], status);
        }
    }

    fn execute(&mut self, request: &[u8; 112]) -> i16 {
        if let Trouble::Fails(count @ 1.., status) = self.trouble {
            self.trouble = Trouble::Fails(count - 1, status);
            return status;
        }
        let (operation, pieces) = (request[0], usize::from(request[1]));
        assert!(pieces <= 11);
        let first = u64::from_le_bytes(request[16..24].try_into().expect("eight"));
        let mut place = first as usize * 512;
        for piece in request[24..].chunks(8).take(pieces) {
            let reference = u32::from_le_bytes(piece[..4].try_into().expect("four"));
            let found = self.table.lock().look_up(reference, DOMAIN);
            let (page, is_read_only) = found.expect("lent");
            assert!(!is_read_only && piece[4] <= piece[5] && piece[5] < 8);
            for unit in u64::from(piece[4])..=u64::from(piece[5]) {
                let at = page + unit * 512;
                let content = &mut self.content[place..place + 512];
                match operation {
                    0 => device_write(at, content),
                    1 => content.copy_from_slice(&device_read::<512>(at)),
                    other => panic!("data with operation {other}"),
                }
                place += 512;
            }
        }
        if operation > 1 {
            self.flushes.push(operation);
        }
        0
    }
}

fn world() -> (Server, Store) {
    let (server, store) = Server::start();
    for (key, value) in [("backend", BACK), ("backend-id", "3"), ("state", "1")] {
        server.set(&format!("{FRONT}/{key}"), value);
    }
    for (key, value) in [
        ("state", "2"),
        ("info", "0"),
        ("sectors", "1000"),
        ("sector-size", "512"),
        ("mode", "w"),
        ("feature-flush-cache", "1"),
    ] {
        server.set(&format!("{BACK}/{key}"), value);
    }
    (server, store)
}

/// A disk, and the other end of it.
type Started = (QueuedDisk, Arc<Mutex<Model>>);

fn try_start(server: &Server, store: &mut Store) -> Result<Option<Started>, Error> {
    // The other end comes when ours is there.
    server.with(|model| {
        model.on_write = Some(Box::new(|path, value| {
            match path == format!("{FRONT}/state") && value == "3" {
                true => vec![(format!("{BACK}/state"), "4".into())],
                false => Vec::new(),
            }
        }));
    });
    let table = table();
    let front = Frontend::find(store, "vbd").remove(0);
    let notify = |_| {
        let model = MODEL.with_borrow(|model| model.clone().expect("it has started"));
        model.lock().expect("no panic").run();
    };
    let disk = start(store, &front, table, |domain| {
        assert_eq!(domain, DOMAIN);
        Ok(Events {
            number: 4,
            notify,
            irq: None,
        })
    })?;
    let said = |key: &str| server.get(&format!("{FRONT}/{key}")).expect("said");
    assert_eq!((&*said("state"), &*said("event-channel")), ("4", "4"));
    assert_eq!(said("protocol"), "x86_64-abi");
    let reference = said("ring-ref").parse().expect("a number");
    let (ring, _) = table.lock().look_up(reference, DOMAIN).expect("lent");
    let model = Arc::new(Mutex::new(Model {
        table,
        ring,
        taken: 0,
        given: 0,
        content: (0..UNITS * 512).map(|at| (at / 511) as u8).collect(),
        trouble: Trouble::None,
        flushes: Vec::new(),
    }));
    MODEL.set(Some(model.clone()));
    Ok(disk.map(|disk| (disk, model)))
}

fn disk_of(changes: &[(&str, &str)]) -> Started {
    let (server, mut store) = world();
    for (key, value) in changes {
        server.set(&format!("{BACK}/{key}"), value);
    }
    let started = try_start(&server, &mut store).expect("it starts");
    started.expect("a disk")
}

#[test]
fn what_is_written_is_read() {
    let (disk, model) = disk_of(&[]);
    assert_eq!((disk.sector_count(), disk.sector_len_bytes()), (1000, 512));
    assert!(!disk.is_read_only());
    let mut all = vec![0; UNITS * 512];
    disk.read(0, &mut all).expect("it reads");
    assert_eq!(all, model.lock().expect("no panic").content);
    // More than a request takes, and less than a page.
    for (first, count) in [(0, 1), (1, 7), (3, 8), (17, 9), (100, 88), (101, 300)] {
        let bytes: Vec<u8> = (0..count * 512).map(|at| (at / 100) as u8).collect();
        disk.write(first as u64, &bytes).expect("it writes");
        let mut read = vec![0; count * 512];
        disk.read(first as u64, &mut read).expect("it reads");
        assert_eq!(read, bytes);
        let start = first * 512;
        let content = &model.lock().expect("no panic").content;
        assert_eq!(content[start..start + bytes.len()], bytes);
        assert_eq!(content[start + bytes.len()..], all[start + bytes.len()..]);
        all.copy_from_slice(content);
    }
    assert_eq!(disk.read(999, &mut [0; 1024]), Err(BlockError::OutOfRange));
}

#[test]
fn flushes_are_what_the_other_end_knows() {
    for (changes, flushes) in [
        (&[][..], &[3_u8][..]),
        (&[("feature-barrier", "1")], &[3]),
        (
            &[("feature-flush-cache", "0"), ("feature-barrier", "1")],
            &[2],
        ),
        (&[("feature-flush-cache", "0")], &[]),
    ] {
        let (disk, model) = disk_of(changes);
        assert_eq!(disk.flush(), Ok(()));
        assert_eq!(model.lock().expect("no panic").flushes, flushes);
    }
}

#[test]
fn sectors_of_4096_bytes_are_eight_units() {
    let (disk, model) = disk_of(&[("sector-size", "4096")]);
    assert_eq!((disk.sector_count(), disk.sector_len_bytes()), (125, 4096));
    disk.write(3, &[7; 4096]).expect("it writes");
    let content = &model.lock().expect("no panic").content;
    assert_eq!(content[3 * 4096..4 * 4096], [7; 4096]);
}

#[test]
fn disks_that_are_read_only_say_so_and_drives_for_cds_are_none() {
    for change in [("info", "4"), ("mode", "r")] {
        let (disk, _model) = disk_of(&[change]);
        assert!(disk.is_read_only());
        assert_eq!(disk.write(0, &[0; 512]), Err(BlockError::ReadOnly));
    }
    let (server, mut store) = world();
    server.set(&format!("{BACK}/info"), "5");
    assert!(try_start(&server, &mut store).expect("it starts").is_none());
}

#[test]
fn disks_that_cannot_be_do_not_start() {
    for (key, value, error) in [
        ("sector-size", "0", Error::Nonsense),
        ("sector-size", "513", Error::Nonsense),
        ("sector-size", "8192", Error::Nonsense),
        ("state", "6", Error::Backend),
    ] {
        let (server, mut store) = world();
        server.set(&format!("{BACK}/{key}"), value);
        let started = try_start(&server, &mut store).map(drop);
        assert_eq!(started, Err(error), "{key} {value}");
    }
}

#[test]
fn errors_are_told_after_some_attempts() {
    let (disk, model) = disk_of(&[]);
    let set = |trouble| model.lock().expect("no panic").trouble = trouble;
    set(Trouble::Fails(2, -1));
    assert_eq!(disk.read(0, &mut [0; 512]), Ok(()));
    set(Trouble::Fails(5, -1));
    assert!(matches!(
        disk.read(0, &mut [0; 512]),
        Err(BlockError::Device { .. })
    ));
    set(Trouble::Fails(1, -2));
    assert!(disk.flush().is_err(), "no other attempt");
}

/// The pages that the other end can reach by entries of the table, up to this one.
fn reachable(table: &SpinLock<Table>, last: u32) -> Vec<u64> {
    let table = table.lock();
    let found = (0..=last).filter_map(|entry| table.look_up(entry, DOMAIN));
    found.map(|(page, _)| page).collect()
}

#[test]
fn answers_to_what_was_not_asked_are_for_no_slot() {
    let table = table();
    let mut requests = Requests::new(table, DOMAIN, |_| {}, 4).expect("memory");
    let (ring, _) = table
        .lock()
        .look_up(requests.reference(), DOMAIN)
        .expect("lent");
    let buffer = DmaBuffer::uncleared(MAX_DATA_BYTES).expect("memory");
    let request = Request {
        kind: Kind::Read,
        target: 0,
        first_sector: 0,
        sectors: 1,
        len_bytes: 512,
    };
    let mut made = 0_u32;
    for (id, slot) in [(9, 9), (u64::MAX, u16::MAX), (1 << 16, u16::MAX), (0, 0)] {
        requests.send(0, buffer.phys(), &request);
        let at = ring + 64 + u64::from(made % 32) * 112;
        made += 1;
        // More than there are.
        device_write(ring + 8, &(made + 1).to_le_bytes());
        assert_eq!(requests.next_answer(), None);
        device_write(at, &id.to_le_bytes());
        device_write(at + 8, &[0; 4]);
        device_write(ring + 8, &made.to_le_bytes());
        assert_eq!(requests.next_answer(), Some((slot, Ok(()))));
        assert_eq!(requests.next_answer(), None);
    }
    // What is no slot's buffer is not lent, and the request refused.
    let before = reachable(table, 500);
    let other = DmaBuffer::new(MAX_DATA_BYTES).expect("memory");
    for (index, phys) in [(0, other.phys()), (4, other.phys())] {
        requests.send(index, phys, &request);
        let gone = Err(Fault::Lasting(BlockError::Gone));
        assert_eq!(requests.next_answer(), Some((index, gone)));
    }
    assert_eq!(reachable(table, 500), before);
}

#[test]
fn what_was_in_memory_before_is_not_lent() {
    for (kind, kept) in [(Kind::Read, 0), (Kind::Write, 512)] {
        let mut requests = Requests::new(table(), DOMAIN, |_| {}, 4).expect("memory");
        let buffer = DmaBuffer::uncleared(MAX_DATA_BYTES).expect("memory");
        let request = Request {
            kind,
            target: 0,
            first_sector: 0,
            sectors: 1,
            len_bytes: 512,
        };
        requests.send(1, buffer.phys(), &request);
        let (data, rest) = buffer.bytes(0..MAX_DATA_BYTES).split_at(kept);
        assert!(data.iter().all(|byte| *byte == 0xA5));
        assert!(rest.iter().all(|byte| *byte == 0));
    }
}
