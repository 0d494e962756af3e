//! The driver against a model of the other end, honest and not.

use std::sync::Mutex;

use super::{DRIVER, Events, parse_mac, start};
use crate::devices::fake_memory::{device_read, device_write};
use crate::devices::network::{ChecksumRequest, NetworkDevice, Offload};
use crate::devices::xen::Error;
use crate::devices::xen::frontend::Frontend;
use crate::devices::xen::grants::Table;
use crate::devices::xen::store::Store;
use crate::devices::xen::tests::{Server, table};
use crate::sync::SpinLock;

/// The other end's domain.
const DOMAIN: u16 = 5;
const FRONT: &str = "device/vif/0";
const BACK: &str = "/local/domain/5/backend/vif/1/0";
const OK: i16 = 0;
const FAILED: i16 = -1;
const NOTHING: i16 = 1;

/// How often it was told of news.
static TOLD: Mutex<usize> = Mutex::new(0);

/// What a request to send says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    reference: u32,
    offset: u16,
    flags: u16,
    id: u16,
    size: u16,
}

/// The other end.
struct Model {
    server: Server,
    store: Store,
    table: &'static SpinLock<Table>,
    device: NetworkDevice,
    watcher: super::Watcher,
    receive: u64,
    transmit: u64,
    /// Requests taken of both rings, and answers given.
    taken: [u32; 2],
    given: [u32; 2],
}

fn world(features: &[&str]) -> (Server, Store) {
    let (server, store) = Server::start();
    for (key, value) in [("backend", BACK), ("backend-id", "5"), ("state", "1")] {
        server.set(&format!("{FRONT}/{key}"), value);
    }
    server.set(&format!("{FRONT}/mac"), "00:16:3e:00:00:01");
    server.set(&format!("{BACK}/state"), "2");
    for feature in features {
        server.set(&format!("{BACK}/{feature}"), "1");
    }
    // The other end comes when ours is there.
    server.with(|model| {
        model.on_write = Some(Box::new(|path, value| {
            match path == format!("{FRONT}/state") && value == "4" {
                true => vec![(format!("{BACK}/state"), "4".into())],
                false => Vec::new(),
            }
        }));
    });
    (server, store)
}

fn try_start(
    store: &mut Store,
    table: &SpinLock<Table>,
) -> Result<(NetworkDevice, super::Watcher), Error> {
    let front = Frontend::find(store, "vif").remove(0);
    start(store, &front, table, |domain| {
        assert_eq!(domain, DOMAIN);
        Ok(Events {
            number: 9,
            notify: |_| *TOLD.lock().expect("no panic") += 1,
            irq: None,
        })
    })
}

const ALL: [&str; 4] = [
    "feature-ipv6-csum-offload",
    "feature-sg",
    "feature-gso-tcpv4",
    "feature-gso-tcpv6",
];

impl Model {
    fn new(features: &[&str]) -> Self {
        let (server, mut store) = world(features);
        let table = table();
        let (device, watcher) = try_start(&mut store, table).expect("it starts");
        let page = |key| {
            let reference = server.get(&format!("{FRONT}/{key}")).expect("said");
            let reference = reference.parse().expect("a number");
            let found = table.lock().look_up(reference, DOMAIN);
            let (page, is_read_only) = found.expect("lent");
            assert!(!is_read_only);
            page
        };
        Self {
            receive: page("rx-ring-ref"),
            transmit: page("tx-ring-ref"),
            server,
            store,
            table,
            device,
            watcher,
            taken: [0; 2],
            given: [0; 2],
        }
    }

    /// Answers with a frame, as `answer` says: offset, flags and length.
    fn deliver_as(&mut self, bytes: &[u8], offset: u16, flags: u16, status: i16) {
        let number = self.taken[0];
        let made = u32::from_le_bytes(device_read(self.receive));
        assert_ne!(made, number, "there is a buffer");
        let at = self.receive + 64 + u64::from(number % 256) * 8;
        let reference = u32::from_le_bytes(device_read(at + 4));
        let (page, is_read_only) = self.table.lock().look_up(reference, DOMAIN).expect("lent");
        assert!(!is_read_only);
        device_write(page + u64::from(offset) % 2048, bytes);
        for (at, word) in (at..)
            .step_by(2)
            .zip([0xFFFF, offset, flags, status as u16])
        {
            device_write(at, &word.to_le_bytes());
        }
        self.taken[0] = number.wrapping_add(1);
        device_write(self.receive + 8, &self.taken[0].to_le_bytes());
    }

    fn deliver(&mut self, bytes: &[u8]) {
        self.deliver_as(bytes, 0, 0, bytes.len() as i16);
    }

    /// All frames that the driver hands over.
    fn received(&mut self) -> Vec<(Vec<u8>, bool)> {
        let mut frames = Vec::new();
        self.device.receiver.serve(1000, &mut |bytes, is_verified| {
            frames.push((bytes.to_vec(), is_verified));
        });
        frames
    }

    /// The requests to send that came since.
    fn requests(&mut self) -> Vec<Request> {
        let made = u32::from_le_bytes(device_read(self.transmit));
        let mut requests = Vec::new();
        while self.taken[1] != made {
            let at = self.transmit + 64 + u64::from(self.taken[1] % 256) * 12;
            let half = |offset| u16::from_le_bytes(device_read(at + offset));
            requests.push(Request {
                reference: u32::from_le_bytes(device_read(at)),
                offset: half(4),
                flags: half(6),
                id: half(8),
                size: half(10),
            });
            self.taken[1] = self.taken[1].wrapping_add(1);
        }
        requests
    }

    fn answer(&mut self, id: u16, status: i16) {
        let at = self.transmit + 64 + u64::from(self.given[1] % 256) * 12;
        device_write(at, &id.to_le_bytes());
        device_write(at + 2, &status.to_le_bytes());
        self.given[1] = self.given[1].wrapping_add(1);
        device_write(self.transmit + 8, &self.given[1].to_le_bytes());
    }

    fn content(&self, request: &Request, len: usize) -> Vec<u8> {
        let found = self.table.lock().look_up(request.reference, DOMAIN);
        let (page, is_read_only) = found.expect("lent");
        assert!(is_read_only);
        let at = page + u64::from(request.offset);
        (at..at + len as u64).flat_map(device_read::<1>).collect()
    }

    fn send(&mut self, bytes: &[u8], offload: Offload) {
        assert!(self.device.transmitter.has_room());
        self.device
            .transmitter
            .buffer(bytes.len())
            .copy_from_slice(bytes);
        self.device.transmitter.send(bytes.len(), offload);
        self.device.transmitter.flush();
    }
}

#[test]
fn both_ends_come_together() {
    let model = Model::new(&ALL);
    assert_eq!(model.device.mac, [0, 0x16, 0x3E, 0, 0, 1]);
    assert_eq!(model.device.driver, DRIVER);
    assert!(model.device.has_checksum_offload);
    assert_ne!(model.device.transmitter.largest_send(), 0);
    let said = |key: &str| model.server.get(&format!("{FRONT}/{key}"));
    for (key, value) in [
        ("event-channel", "9"),
        ("request-rx-copy", "1"),
        ("feature-rx-notify", "1"),
        ("state", "4"),
    ] {
        assert_eq!(said(key).as_deref(), Some(value), "{key}");
    }
    let model = Model::new(&["feature-no-csum-offload", "feature-ipv6-csum-offload"]);
    assert!(!model.device.has_checksum_offload);
    assert_eq!(Model::new(&ALL[..1]).device.transmitter.largest_send(), 0);
}

#[test]
fn cards_that_cannot_be_do_not_start() {
    for (path, value, error) in [
        (format!("{FRONT}/mac"), "01:16:3e:00:00:01", Error::Nonsense),
        (format!("{FRONT}/mac"), "00:00:00:00:00:00", Error::Nonsense),
        (format!("{FRONT}/mac"), "no", Error::Nonsense),
        (format!("{BACK}/state"), "1", Error::Backend),
        (format!("{BACK}/state"), "6", Error::Backend),
        (format!("{BACK}/state"), "no", Error::Backend),
    ] {
        let (server, mut store) = world(&ALL);
        server.set(&path, value);
        let started = try_start(&mut store, table()).map(drop);
        assert_eq!(started, Err(error), "{path} {value}");
    }
    // Without events nothing is said to the other end.
    let (server, mut store) = world(&ALL);
    let front = Frontend::find(&mut store, "vif").remove(0);
    let started = start(&mut store, &front, table(), |_| Err(Error::Events)).map(drop);
    assert_eq!(started, Err(Error::Events));
    assert_eq!(server.get(&format!("{FRONT}/tx-ring-ref")), None);
    // No room for what is lent: what the other end was not told of is not there for it.
    let (_server, mut store) = world(&ALL);
    let full = SpinLock::new(Table::new(|_, _| false));
    let started = try_start(&mut store, &full).map(drop);
    assert_eq!(started, Err(Error::OutOfMemory));
}

#[test]
fn addresses_are_six_bytes_in_hexadecimal() {
    let good = [0, 0x16, 0x3E, 0xA, 0xBC, 0xFF];
    for text in ["00:16:3e:0a:bc:ff", "0:16:3E:a:bc:FF\0"] {
        assert_eq!(parse_mac(text), Some(good));
    }
    for text in [
        "",
        "00:16:3e:0a:bc",
        "00:16:3e:0a:bc:ff:00",
        "00:16:3e:0a:bc:100",
        "+0:16:3e:0a:bc:+f:",
    ] {
        assert_eq!(parse_mac(text), None, "{text}");
    }
}

#[test]
fn frames_come_in_order_and_buffers_go_back() {
    let mut model = Model::new(&ALL);
    for round in 0..1000_u32 {
        let count = round % 7 + 1;
        for number in 0..count {
            let mut frame = vec![round as u8; 60 + number as usize];
            frame[0] = number as u8;
            model.deliver(&frame);
        }
        assert!(model.device.receiver.is_ready());
        let frames = model.received();
        assert_eq!(frames.len(), count as usize);
        for (number, (frame, is_verified)) in frames.iter().enumerate() {
            assert_eq!(frame.len(), 60 + number);
            assert_eq!((frame[0], frame[1]), (number as u8, round as u8));
            assert!(!is_verified);
        }
        // What the other end was not told of yet, it is before we rest.
        assert!(!model.device.receiver.listen());
    }
    // At a place of its own, with checksums that are right or blank.
    for (flags, verified) in [(0, false), (1, true), (2, true), (3, true)] {
        model.deliver_as(&[7; 100], 200, flags, 100);
        let bytes = vec![7; 100];
        assert_eq!(model.received(), [(bytes, verified)]);
    }
}

#[test]
fn frames_one_by_one_are_the_same() {
    let mut model = Model::new(&ALL);
    assert!(model.device.receiver.frame().is_none());
    model.device.receiver.release();
    model.deliver(&[1; 64]);
    model.deliver_as(&[2; 64], 0, 0, -1);
    model.deliver(&[3; 64]);
    for byte in [1, 3] {
        let frame = model.device.receiver.frame().expect("a frame");
        assert_eq!(frame.bytes, [byte; 64]);
        model.device.receiver.release();
    }
    assert!(model.device.receiver.frame().is_none());
}

#[test]
fn what_is_no_frame_is_passed_over() {
    let mut model = Model::new(&ALL);
    for (offset, flags, status) in [
        (0, 0, 0),
        (0, 0, 13),
        (0, 0, -1),
        (0, 0, i16::MIN),
        (0, 0, 4097),
        (1, 0, 4096),
        (4096, 0, 14),
        (u16::MAX, 0, 60),
        // Begins what the next goes on with.
        (0, 4, 60),
        (0, 0, 60),
        // Something besides.
        (0, 8, 60),
    ] {
        model.deliver_as(&[1; 60], offset, flags, status);
        assert_eq!(model.received(), [], "{offset} {flags} {status}");
    }
    model.deliver_as(&[9; 14], 4082 - 4082 % 2048, 0, 14);
    assert_eq!(model.received().len(), 1);
    // More answers than there were buffers.
    for lie in [128, 200, u32::MAX] {
        let made = model.taken[0].wrapping_add(lie).wrapping_add(1);
        device_write(model.receive + 8, &made.to_le_bytes());
        assert!(!model.device.receiver.is_ready(), "{lie}");
        assert_eq!(model.received(), []);
    }
}

#[test]
fn sent_frames_are_lent_until_they_are_answered() {
    let mut model = Model::new(&[]);
    let mut sent = 0_usize;
    while model.device.transmitter.has_room() {
        model.send(&[sent as u8; 90], Offload::default());
        sent += 1;
        assert!(sent <= 256);
    }
    assert!(!model.device.transmitter.has_sent_all());
    let requests = model.requests();
    assert_eq!(requests.len(), sent);
    for (number, request) in requests.iter().enumerate() {
        assert_eq!((request.flags, request.size), (0, 90));
        assert_eq!(model.content(request, 90), [number as u8; 90]);
    }
    // Answers in any order; what was not asked frees nothing.
    for lie in [200, u16::MAX] {
        model.answer(lie, OK);
    }
    assert!(!model.device.transmitter.has_room());
    model.answer(requests[5].id, FAILED);
    assert!(!model.device.transmitter.has_room(), "the oldest is next");
    model.answer(requests[0].id, OK);
    assert!(model.device.transmitter.has_room());
    model.send(&[0xEE; 90], Offload::default());
    assert_eq!(model.requests()[0].id, requests[0].id);
    assert!(!model.device.transmitter.has_room());
    // The same once more: the new frame is the other end's still.
    model.answer(requests[5].id, OK);
    assert!(!model.device.transmitter.has_room());
}

#[test]
fn checksums_are_left_to_the_other_end() {
    let mut model = Model::new(&ALL);
    let request = ChecksumRequest { start: 34, at: 50 };
    model.send(
        &[3; 80],
        Offload {
            checksum: Some(request),
            ..Offload::default()
        },
    );
    assert_eq!(model.requests()[0].flags, 3);
    assert!(*TOLD.lock().expect("no panic") > 0);
}

#[test]
fn large_frames_lie_in_pages_and_say_how_they_are_taken_apart() {
    let mut model = Model::new(&ALL);
    for round in 0..200_u32 {
        let room = model.device.transmitter.large_room();
        assert!(room >= 4 * 4096 || room == 0, "{room}");
        let len = match room {
            0 => 1000,
            room => room.min(9000 + round as usize * 300),
        };
        let bytes: Vec<u8> = (0..len).map(|at| (at / 100) as u8 ^ round as u8).collect();
        let is_large = len > 1514;
        model.send(
            &bytes,
            Offload {
                checksum: Some(ChecksumRequest { start: 34, at: 50 }),
                segment_bytes: if is_large { 1448 } else { 0 },
                header_bytes: 66,
                is_v6: round % 2 == 1,
            },
        );
        let requests = model.requests();
        assert_eq!(usize::from(requests[0].size), len);
        let mut found = Vec::new();
        let mut rest = len;
        for (index, request) in requests.iter().enumerate() {
            if is_large && index == 1 {
                assert_eq!(request.reference, 1 | 1448 << 16);
                let kind = if round % 2 == 1 { 2 } else { 1 };
                assert_eq!((request.offset, request.flags), (kind, 0));
                continue;
            }
            let part = rest.min(4096);
            let mut flags = if index == 0 { 3 } else { 0 };
            if index == 0 && is_large {
                flags |= 8;
            }
            if rest > 4096 {
                flags |= 4;
            }
            assert_eq!(request.flags, flags, "{index}");
            if index != 0 {
                assert_eq!(usize::from(request.size), part);
            }
            found.extend(model.content(request, part));
            rest -= part;
        }
        assert_eq!(rest, 0);
        assert_eq!(found, bytes);
        for (index, request) in requests.iter().enumerate() {
            match is_large && index == 1 {
                // What lies there is whatever was there before.
                true => model.answer(requests[0].id, NOTHING),
                false => model.answer(request.id, OK),
            }
        }
        assert!(model.device.transmitter.has_sent_all());
    }
}

#[test]
fn an_end_of_the_other_end_is_heard() {
    let mut model = Model::new(&ALL);
    model.server.set(&format!("{BACK}/state"), "4");
    model.watcher.look(&mut model.store);
    let state = |model: &Model| model.server.get(&format!("{FRONT}/state"));
    assert_eq!(state(&model).as_deref(), Some("4"));
    model.send(&[1; 60], Offload::default());
    assert!(!model.device.transmitter.has_sent_all());
    model.server.set(&format!("{BACK}/state"), "5");
    model.watcher.look(&mut model.store);
    assert_eq!(state(&model).as_deref(), Some("6"));
    // Nobody takes it any more.
    assert!(model.device.transmitter.has_sent_all());
}
