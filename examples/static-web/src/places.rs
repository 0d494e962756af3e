//! The places for connections, and who gives one up when all are taken: the connection that has stood still for longest, where the time between two
//! requests counts several times, as its peer loses nothing. So peers that connect and do nothing, or that never read their answers, keep nobody out for long.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// In [`Guest::moves`]: the peer has no request under way.
const RESTING: u32 = 1;
/// In [`Guest::moves`]: one move more.
const MOVE: u32 = 2;
/// So many times the time of a connection at rest counts.
const REST_WEIGHT: u32 = 4;

/// A connection as the others see it.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    /// How often something was read or written, and whether it rests. Written by the connection's own thread, which so needs no clock for it.
    moves: AtomicU32,
}

impl Guest {
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr) -> Self {
        Self {
            stream,
            peer,
            moves: AtomicU32::new(RESTING),
        }
    }

    /// Something was read or written.
    pub(crate) fn moved(&self) {
        let moves = self.moves.load(Ordering::Relaxed) & !RESTING;
        self.moves
            .store(moves.wrapping_add(MOVE), Ordering::Relaxed);
    }

    /// All requests are answered.
    pub(crate) fn rests(&self) {
        let moves = self.moves.load(Ordering::Relaxed);
        self.moves.store(moves | RESTING, Ordering::Relaxed);
    }
}

struct Entry {
    guest: Arc<Guest>,
    /// What its moves were when somebody last looked, and since when they may have been so.
    moves: u32,
    since: Instant,
}

/// All places.
pub(crate) struct Places {
    count: usize,
    /// How long a connection may stand still while another one wants its place.
    patience: Duration,
    taken: Mutex<Vec<Entry>>,
}

/// A place that is taken; gives itself back.
pub(crate) struct Place {
    places: Arc<Places>,
    pub(crate) guest: Arc<Guest>,
}

impl Places {
    pub(crate) fn new(count: usize, patience: Duration) -> Self {
        let taken = Mutex::new(Vec::new());
        Self {
            count,
            patience,
            taken,
        }
    }

    /// Takes a place for a connection; if there is none left, that of another one, which is closed. `None` if none stands still.
    pub(crate) fn take(self: &Arc<Self>, guest: &Arc<Guest>) -> Option<Place> {
        let mut taken = self.lock();
        let now = Instant::now();
        if taken.len() >= self.count {
            let loser = self.slowest(&mut taken, now)?;
            let loser = taken.swap_remove(loser);
            // Its thread finds out, wherever it waits. An error: the peer has closed already.
            let _ = loser.guest.stream.shutdown(Shutdown::Both);
        }
        taken.push(Entry {
            guest: Arc::clone(guest),
            moves: guest.moves.load(Ordering::Relaxed),
            since: now,
        });
        Some(Place {
            places: Arc::clone(self),
            guest: Arc::clone(guest),
        })
    }

    /// Who has to go, of those that have stood still for long enough.
    fn slowest(&self, taken: &mut [Entry], now: Instant) -> Option<usize> {
        for entry in taken.iter_mut() {
            let moves = entry.guest.moves.load(Ordering::Relaxed);
            if moves != entry.moves {
                (entry.moves, entry.since) = (moves, now);
            }
        }
        let still = taken.iter().map(|entry| now - entry.since).enumerate();
        let still = still.filter(|(_, span)| *span >= self.patience);
        let slowest = still.max_by_key(|(index, span)| match taken[*index].moves & RESTING {
            0 => *span,
            _ => *span * REST_WEIGHT,
        });
        slowest.map(|(index, _)| index)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        // A list that somebody panicked beside is still one.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        let own = taken
            .iter()
            .position(|entry| Arc::ptr_eq(&entry.guest, &self.guest));
        // Whoever had to go has none any more.
        if let Some(own) = own {
            taken.swap_remove(own);
        }
    }
}
