//! A service that does what it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use toro::Error;
use toro::net::{Close, Connection, Service};

/// How much a flood is, in pieces of how much, and how much may wait.
pub(crate) const FLOOD_BYTES: usize = 3 << 20;
const PIECE_BYTES: usize = 10_000;
pub(crate) const LIMIT: usize = 256 << 10;
/// How long a silence may be.
pub(crate) const HURRY: Duration = Duration::from_millis(50);

/// What has happened.
pub(crate) struct Counts {
    pub(crate) open: AtomicUsize,
    pub(crate) closed: AtomicUsize,
    pub(crate) full: AtomicUsize,
    pub(crate) most_waiting: AtomicUsize,
}

pub(crate) static COUNTS: Counts = Counts {
    open: AtomicUsize::new(0),
    closed: AtomicUsize::new(0),
    full: AtomicUsize::new(0),
    most_waiting: AtomicUsize::new(0),
};

/// The byte at a place of a flood.
pub(crate) fn flood_byte(at: usize) -> u8 {
    (at % 251) as u8
}

pub(crate) struct Words {
    core: usize,
}

impl Words {
    /// A service that demands to run on a core.
    pub(crate) fn new(core: usize) -> Self {
        Self { core }
    }
}

/// A connection: where its flood is.
pub(crate) struct Talk {
    flood: Option<usize>,
}

impl Talk {
    fn new() -> Self {
        COUNTS.open.fetch_add(1, Ordering::Relaxed);
        Self { flood: None }
    }

    fn go_on(&mut self, connection: &mut Connection<'_>) {
        while let Some(at) = self.flood {
            let end = FLOOD_BYTES.min(at + PIECE_BYTES);
            let piece: Vec<u8> = (at..end).map(flood_byte).collect();
            match connection.send(&piece) {
                Ok(()) => self.flood = (end != FLOOD_BYTES).then_some(end),
                Err(Error::Full) => {
                    COUNTS.full.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Err(error) => panic!("{error}"),
            }
            let waiting = connection.waiting();
            COUNTS.most_waiting.fetch_max(waiting, Ordering::Relaxed);
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        COUNTS.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service for Words {
    type State = Talk;

    fn on_init(&mut self) {
        assert_eq!(toro::core::current(), self.core);
    }

    fn on_accept(&mut self, connection: &mut Connection<'_>) -> Option<Talk> {
        assert_eq!(connection.local().port(), 80);
        assert_ne!(connection.peer().port(), 0);
        Some(Talk::new())
    }

    fn on_receive(&mut self, connection: &mut Connection<'_>, talk: &mut Talk, data: &[u8]) {
        assert_eq!(toro::core::current(), self.core);
        match data {
            b"panic" => panic!("as it was told"),
            b"refuse me" => connection.abort(),
            b"flood" => {
                talk.flood = Some(0);
                talk.go_on(connection);
            }
            b"which core" => connection.send(&[self.core as u8]).expect("little waits"),
            b"hurry" => connection.set_timeout(Some(HURRY)),
            _ => {
                connection.send(data).expect("little waits");
            }
        }
    }

    fn on_writable(&mut self, connection: &mut Connection<'_>, talk: &mut Talk) {
        talk.go_on(connection);
    }

    fn on_close(&mut self, connection: &mut Connection<'_>, _: &mut Talk, reason: Close) {
        COUNTS.closed.fetch_add(1, Ordering::Relaxed);
        if reason == Close::ByPeer {
            // The peer may be gone altogether.
            let _ = connection.send(b"good bye");
        }
    }

    fn on_timeout(&mut self, connection: &mut Connection<'_>, _: &mut Talk) {
        connection.send(b"too late").expect("nothing waits");
        connection.close();
    }
}
