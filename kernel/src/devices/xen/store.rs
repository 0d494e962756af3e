//! XenStore: a tree of strings that all domains see a part of, over a page that is shared with its server, with a ring of bytes for
//! each direction (Xen, xen/include/public/io/xs_wire.h; docs/misc/xenstore.txt).
//!
//! Paths without a slash before them begin at what is the domain's own. A request waits for its answer, for a time only; a server that is late or
//! says nonsense is asked no more.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{Ordering, fence};

use crate::arch::mmio::Mmio;
use crate::devices::patience::wait_until;

/// Length of the page, in bytes.
pub(crate) const PAGE_BYTES: usize = 4096;
const RING_BYTES: u32 = 1024;
/// `struct xenstore_domain_interface`: requests, then what the server says.
pub(super) const REQUESTS: Direction = Direction {
    ring: 0,
    read: 2048,
    written: 2052,
};
pub(super) const ANSWERS: Direction = Direction {
    ring: 1024,
    read: 2056,
    written: 2060,
};
const HEADER_BYTES: usize = 16;
/// `XENSTORE_PAYLOAD_MAX`.
const MAX_PAYLOAD_BYTES: usize = 4096;
/// How long the server may take for an answer, or to read a request.
const LIMIT_NS: u64 = 10_000_000_000;
/// Messages that may come before an answer: what was watched, and late ones.
const MAX_MESSAGES: usize = 1000;
/// Names that are taken of a directory.
const MAX_NAMES: usize = 64;

// Kinds of messages (`xsd_sockmsg_type`).
pub(super) const DIRECTORY: u32 = 1;
pub(super) const READ: u32 = 2;
pub(super) const WATCH: u32 = 4;
pub(super) const WRITE: u32 = 11;
pub(super) const WATCH_EVENT: u32 = 15;
pub(super) const ERROR: u32 = 16;

/// Why a request to XenStore came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// The server says no; mostly there is nothing by that name.
    Refused,
    /// It does not answer.
    Timeout,
    /// What it says cannot be.
    Nonsense,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "XenStore has not what it needs",
            Self::Timeout => "XenStore does not answer",
            Self::Nonsense => "XenStore says nonsense",
        })
    }
}

/// Where the ring of one direction is in the page, and its counters.
#[derive(Clone, Copy)]
pub(super) struct Direction {
    ring: usize,
    read: usize,
    written: usize,
}

/// A message's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) kind: u32,
    pub(super) request: u32,
    pub(super) len: u32,
}

impl Header {
    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        // Without a transaction.
        let words = [self.kind, self.request, 0, self.len].map(u32::to_le_bytes);
        *words
            .as_flattened()
            .as_array()
            .unwrap_or(&[0; HEADER_BYTES])
    }

    pub(super) fn of_bytes(bytes: [u8; HEADER_BYTES]) -> Self {
        let [kind, request, _, len] = core::array::from_fn(|word| {
            u32::from_le_bytes(core::array::from_fn(|at| bytes[word * 4 + at]))
        });
        Self { kind, request, len }
    }
}

/// The bytes that wait in a ring; none where its counters cannot be.
pub(super) fn waiting(page: &Mmio, direction: Direction) -> Option<u32> {
    let written: u32 = page.read(direction.written);
    let waiting = written.wrapping_sub(page.read(direction.read));
    (waiting <= RING_BYTES).then_some(waiting)
}

/// Takes as many bytes from a ring as there are, and fit; how many.
pub(super) fn take(page: &Mmio, direction: Direction, bytes: &mut [u8]) -> Option<usize> {
    let count = (waiting(page, direction)? as usize).min(bytes.len());
    let read: u32 = page.read(direction.read);
    fence(Ordering::SeqCst);
    for (at, byte) in (read..).zip(&mut bytes[..count]) {
        *byte = page.read(direction.ring + (at % RING_BYTES) as usize);
    }
    fence(Ordering::SeqCst);
    page.write(direction.read, read.wrapping_add(count as u32));
    Some(count)
}

/// Puts as many bytes into a ring as there is room for; how many.
pub(super) fn put(page: &Mmio, direction: Direction, bytes: &[u8]) -> Option<usize> {
    let room = RING_BYTES - waiting(page, direction)?;
    let count = (room as usize).min(bytes.len());
    let written: u32 = page.read(direction.written);
    for (at, byte) in bytes[..count].iter().enumerate() {
        let at = written.wrapping_add(at as u32) % RING_BYTES;
        page.write(direction.ring + at as usize, *byte);
    }
    fence(Ordering::SeqCst);
    page.write(direction.written, written.wrapping_add(count as u32));
    Some(count)
}

/// The way to the server.
pub(crate) struct Store {
    page: Mmio,
    notify: fn(channel: u32),
    rest: fn(),
    channel: u32,
    last_request: u32,
    /// How often the server has told of something that is watched.
    changes: u32,
    /// It was late, or said nonsense: where one message ends and the next begins is not known any more.
    broken: Option<Error>,
}

impl Store {
    /// Over the page that is shared with the server, who is told of news by a channel. Where there is nothing to do but to wait, `rest`
    /// does so until it tells of news, or for a moment: the server may have no other processor.
    pub(crate) fn new(page: Mmio, notify: fn(channel: u32), rest: fn(), channel: u32) -> Self {
        Self {
            page,
            notify,
            rest,
            channel,
            last_request: 0,
            changes: 0,
            broken: None,
        }
    }

    /// A count that changes when something does that is watched.
    pub(crate) fn changes(&self) -> u32 {
        self.changes
    }

    /// Takes what the server has said without being asked.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn listen(&mut self) -> Result<(), Error> {
        for _ in 0..MAX_MESSAGES {
            if self.broken.is_some() || waiting(&self.page, ANSWERS) == Some(0) {
                break;
            }
            self.receive()?;
        }
        self.broken.map_or(Ok(()), Err)
    }

    /// Waits until the server tells of news, or for a moment.
    pub(crate) fn rest(&self) {
        (self.rest)();
    }

    /// What is there by this name.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is nothing, and see [`Error`].
    pub(crate) fn read(&mut self, path: &str) -> Result<String, Error> {
        let bytes = self.request(READ, &[path.as_bytes(), b"\0"])?;
        String::from_utf8(bytes).map_err(|_| Error::Nonsense)
    }

    /// The number that is there by this name.
    ///
    /// # Errors
    /// As [`Store::read`]; [`Error::Nonsense`] where it is none.
    pub(crate) fn number(&mut self, path: &str) -> Result<u64, Error> {
        let text = self.read(path)?;
        text.trim_end_matches('\0')
            .parse()
            .map_err(|_| Error::Nonsense)
    }

    /// The names below this one, not all where there are very many.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub(crate) fn names(&mut self, path: &str) -> Result<Vec<String>, Error> {
        let bytes = self.request(DIRECTORY, &[path.as_bytes(), b"\0"])?;
        let names = bytes.split(|&byte| byte == 0).filter(|n| !n.is_empty());
        let names = names.take(MAX_NAMES).map(|name| {
            let name = core::str::from_utf8(name).map_err(|_| Error::Nonsense)?;
            Ok(String::from(name))
        });
        names.collect()
    }

    /// Writes something by this name.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn write(&mut self, path: &str, value: &str) -> Result<(), Error> {
        self.request(WRITE, &[path.as_bytes(), b"\0", value.as_bytes()])
            .map(drop)
    }

    /// Has [`Store::changes`] tell of what happens to this name and those below it, and once at once.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn watch(&mut self, path: &str) -> Result<(), Error> {
        self.request(WATCH, &[path.as_bytes(), b"\0toro\0"])
            .map(drop)
    }

    /// Asks the server; its answer.
    fn request(&mut self, kind: u32, parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        self.last_request = self.last_request.wrapping_add(1);
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len > MAX_PAYLOAD_BYTES {
            return Err(Error::Refused);
        }
        let header = Header {
            kind,
            request: self.last_request,
            len: len as u32,
        };
        self.send(&header.to_bytes())?;
        for part in parts {
            self.send(part)?;
        }
        for _ in 0..MAX_MESSAGES {
            let (header, payload) = self.receive()?;
            if header.request == self.last_request && header.kind != WATCH_EVENT {
                return match header.kind {
                    ERROR => Err(Error::Refused),
                    answer if answer == kind => Ok(payload),
                    _ => Err(self.give_up(Error::Nonsense)),
                };
            }
        }
        Err(self.give_up(Error::Nonsense))
    }

    /// The next message of the server's, which has begun, or is to come soon.
    fn receive(&mut self) -> Result<(Header, Vec<u8>), Error> {
        let mut bytes = [0; HEADER_BYTES];
        self.fill(&mut bytes)?;
        let header = Header::of_bytes(bytes);
        if header.len as usize > MAX_PAYLOAD_BYTES {
            return Err(self.give_up(Error::Nonsense));
        }
        let mut payload = vec![0; header.len as usize];
        self.fill(&mut payload)?;
        if header.kind == WATCH_EVENT {
            self.changes = self.changes.wrapping_add(1);
        }
        Ok((header, payload))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        let (page, notify, channel) = (self.page, self.notify, self.channel);
        self.transfer(bytes.len(), |done| {
            let count = take(&page, ANSWERS, &mut bytes[done..])?;
            if count != 0 {
                // It may wait for room.
                notify(channel);
            }
            Some(count)
        })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (page, notify, channel) = (self.page, self.notify, self.channel);
        self.transfer(bytes.len(), |done| {
            let count = put(&page, REQUESTS, &bytes[done..])?;
            if count != 0 {
                notify(channel);
            }
            Some(count)
        })
    }

    /// Repeats `step`, which is told how much is done and does some more, until all is done, or for a time.
    fn transfer(
        &mut self,
        len: usize,
        mut step: impl FnMut(usize) -> Option<usize>,
    ) -> Result<(), Error> {
        let mut done = 0;
        let mut is_nonsense = false;
        let rest = self.rest;
        let is_over = wait_until(LIMIT_NS, || {
            match step(done) {
                Some(0) if done != len => rest(),
                Some(count) => done += count,
                None => is_nonsense = true,
            }
            is_nonsense || done == len
        });
        match (is_over, is_nonsense) {
            (_, true) => Err(self.give_up(Error::Nonsense)),
            (false, _) => Err(self.give_up(Error::Timeout)),
            _ => Ok(()),
        }
    }

    fn give_up(&mut self, error: Error) -> Error {
        self.broken = Some(error);
        error
    }
}

/// The domain's store, for one thread at a time, which may wait in `work`; none where there is no Xen.
#[cfg(not(test))]
pub(crate) fn with<T>(work: impl FnOnce(&mut Store) -> T) -> Option<T> {
    use crate::arch::x86_64::xen::{self, Parameter};
    use crate::scheduler::Turn;
    use crate::sync::SpinLock;

    static TURN: Turn = Turn::new();
    static STORE: SpinLock<Option<Store>> = SpinLock::new(None);

    let channel = channel()?;
    let _turn = TURN.take();
    // Out of its place, as no lock is held where somebody waits; the turn is ours.
    let known = STORE.lock().take();
    let mut store = match known {
        Some(store) => store,
        None => {
            let page = xen::parameter(Parameter::StorePage)?;
            let phys = page.checked_mul(PAGE_BYTES as u64)?;
            let page = Mmio::map(phys, PAGE_BYTES).ok()?;
            Store::new(page, xen::notify, super::watch::rest, channel)
        }
    };
    let before = store.changes();
    let result = work(&mut store);
    let has_changes = store.changes() != before;
    *STORE.lock() = Some(store);
    if has_changes {
        super::watch::wake();
    }
    Some(result)
}

/// The event channel of the store; none where there is no Xen.
#[cfg(not(test))]
pub(crate) fn channel() -> Option<u32> {
    use crate::arch::x86_64::xen::{self, Parameter};

    u32::try_from(xen::parameter(Parameter::StoreChannel)?).ok()
}

#[cfg(test)]
mod tests {
    use super::{ANSWERS, ERROR, Error, MAX_PAYLOAD_BYTES, READ, REQUESTS};
    use crate::devices::xen::tests::Server;

    #[test]
    fn what_is_written_is_read_and_listed() {
        let (server, mut store) = Server::start();
        assert_eq!(store.read("device/vif"), Err(Error::Refused));
        assert_eq!(store.write("device/vif/0/state", "1"), Ok(()));
        assert_eq!(store.write("device/vif/3/state", "4"), Ok(()));
        assert_eq!(store.read("device/vif/0/state").as_deref(), Ok("1"));
        assert_eq!(store.number("device/vif/3/state"), Ok(4));
        let names = store.names("device/vif").expect("names");
        assert_eq!(names, ["0", "3"]);
        assert_eq!(store.names("device/vbd"), Err(Error::Refused));
        // Longer than the ring, and round its end often.
        let long = "x".repeat(3000);
        for _ in 0..20 {
            assert_eq!(store.write("long", &long), Ok(()));
            assert_eq!(store.read("long").as_deref(), Ok(&*long));
        }
        assert_eq!(server.get("long").as_deref(), Some(&*long));
        let beyond = "x".repeat(MAX_PAYLOAD_BYTES);
        assert_eq!(store.write("long", &beyond), Err(Error::Refused));
        assert_eq!(store.number("long"), Err(Error::Nonsense));
    }

    #[test]
    fn changes_of_what_is_watched_are_counted_also_between_requests() {
        let (server, mut store) = Server::start();
        assert_eq!(store.watch("control/shutdown"), Ok(()));
        store.listen().expect("sense");
        let before = store.changes();
        server.set("control/shutdown", "poweroff");
        store.listen().expect("sense");
        assert_eq!(store.changes(), before + 1);
        server.set("control/shutdown", "halt");
        assert_eq!(store.read("control/shutdown").as_deref(), Ok("halt"));
        assert_eq!(store.changes(), before + 2);
        server.set("other", "halt");
        store.listen().expect("sense");
        assert_eq!(store.changes(), before + 2);
    }

    #[test]
    fn a_server_that_does_not_answer_is_asked_once() {
        let (server, mut store) = Server::start();
        server.with(|model| model.is_deaf = true);
        assert_eq!(store.read("a"), Err(Error::Timeout));
        server.with(|model| model.is_deaf = false);
        assert_eq!(store.read("a"), Err(Error::Timeout), "out of step");
        assert_eq!(store.listen(), Err(Error::Timeout));
    }

    #[test]
    fn nonsense_is_no_answer() {
        // A length beyond what there can be, an answer to something else, one of another kind.
        let lies: [(u32, u32, u32); 3] = [(READ, 1, 4097), (READ, 1, u32::MAX), (7, 1, 0)];
        for (kind, request, len) in lies {
            let (server, mut store) = Server::start();
            server.with(|model| model.lie = Some((kind, request, len)));
            assert_eq!(store.read("a"), Err(Error::Nonsense), "{kind} {len}");
        }
        // Answers to what was not asked are passed over.
        let (server, mut store) = Server::start();
        server.set("a", "b");
        server.with(|model| model.lie = Some((ERROR, 7, 0)));
        assert_eq!(store.read("a").as_deref(), Ok("b"));
        // No letters.
        server.set_bytes("a", &[0xFF, 0xFE]);
        assert_eq!(store.read("a"), Err(Error::Nonsense));
        assert_eq!(store.read("c"), Err(Error::Refused), "goes on");
    }

    #[test]
    fn counters_that_cannot_be_are_believed_by_nobody() {
        for direction in [REQUESTS, ANSWERS] {
            let (server, mut store) = Server::start();
            server.page().write(direction.written, 1025_u32);
            assert_eq!(store.read("a"), Err(Error::Nonsense));
        }
    }
}
