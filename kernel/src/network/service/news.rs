//! What a service's thread is told: which connections have news, and the bytes that came for them.
//!
//! The stack puts small pieces of bytes aside here as they come, so that they pass neither a connection's buffer nor another look at the
//! stack. Each connection has one such piece at most ([`Notifier::set_taking`]): what comes while the thread has not handled it yet
//! waits in the connection's buffer. The thread takes all that it was told at once, so that it needs the lock once for many.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::network::error::{Error, Result};
use crate::scheduler::{Observer, SleepGuard, SleepLock};

/// As many bytes are put aside; what comes beyond waits in the connections' buffers.
const ASIDE_BYTES: usize = 16 << 10;
/// As what the listener is known to its observer; connections have smaller tokens.
pub(super) const LISTENER: u64 = u64::MAX;

/// What the thread is to look at.
#[derive(Clone, Copy)]
pub(super) struct Item {
    /// The connection, as the stack knows it: its number, and which of those it is that had the number.
    pub(super) token: u64,
    /// Its bytes among those put aside; none: it has to be asked.
    start: u32,
    pub(super) len: u32,
}

/// The number of a connection that is known by a token.
#[inline]
pub(super) fn number_of(token: u64) -> u32 {
    token as u32
}

/// What was told, in order.
pub(super) struct Batch {
    items: Vec<Item>,
    /// Room for bytes, and how many there are.
    bytes: Vec<u8>,
    len: usize,
    /// How many items the thread has handled.
    done: usize,
}

impl Batch {
    /// An empty one.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(super) fn new() -> Result<Box<Self>> {
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(ASIDE_BYTES)
            .map_err(|_| Error::OutOfMemory)?;
        bytes.resize(ASIDE_BYTES, 0);
        Ok(Box::new(Self {
            items: Vec::new(),
            bytes,
            len: 0,
            done: 0,
        }))
    }

    /// The next item.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Item> {
        let item = self.items.get(self.done).copied()?;
        self.done += 1;
        Some(item)
    }

    /// The bytes of an item.
    #[inline]
    pub(super) fn bytes(&self, item: Item) -> &[u8] {
        let start = item.start as usize;
        let range = start..start + item.len as usize;
        self.bytes.get(range).unwrap_or_default()
    }

    #[inline]
    fn clear(&mut self) {
        self.items.clear();
        (self.len, self.done) = (0, 0);
    }
}

pub(super) struct Queue {
    told: Box<Batch>,
    /// By number: the connection is among the items to be asked.
    is_due: Vec<bool>,
    pub(super) has_arrivals: bool,
}

impl Queue {
    fn new() -> Result<Self> {
        Ok(Self {
            told: Batch::new()?,
            is_due: Vec::new(),
            has_arrivals: false,
        })
    }

    /// Makes room for the marks of so many connections.
    pub(super) fn make_room(&mut self, connections: usize) {
        if self.is_due.len() < connections {
            self.is_due.resize(connections, false);
        }
    }

    /// Notes that a connection has news, once.
    pub(super) fn add(&mut self, token: u64) {
        if let Some(is_due) = self.is_due.get_mut(number_of(token) as usize)
            && !core::mem::replace(is_due, true)
        {
            let (start, len) = (0, 0);
            self.told.items.push(Item { token, start, len });
        }
    }

    /// Puts bytes of a connection aside; whether there was room.
    #[inline]
    fn put_aside(&mut self, token: u64, bytes: &[u8]) -> bool {
        let told = &mut *self.told;
        let start = told.len;
        let Some(place) = told.bytes.get_mut(start..start + bytes.len()) else {
            return false;
        };
        if bytes.is_empty() {
            return false;
        }
        place.copy_from_slice(bytes);
        told.len = start + bytes.len();
        told.items.push(Item {
            token,
            start: start as u32,
            len: bytes.len() as u32,
        });
        true
    }

    /// Exchanges all that was told for a batch that is done; whether it was anything.
    #[inline]
    pub(super) fn take(&mut self, batch: &mut Box<Batch>) -> bool {
        if self.told.items.is_empty() {
            return false;
        }
        batch.clear();
        core::mem::swap(&mut self.told, batch);
        for item in &batch.items {
            if item.len == 0
                && let Some(is_due) = self.is_due.get_mut(number_of(item.token) as usize)
            {
                *is_due = false;
            }
        }
        true
    }
}

/// What is to be looked at, told by the stack and by whoever stops the service.
pub struct Events {
    queue: SleepLock<Queue>,
    is_stopped: AtomicBool,
}

impl Events {
    pub(super) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            queue: SleepLock::new(Queue::new()?),
            is_stopped: AtomicBool::new(false),
        }))
    }

    #[inline]
    pub(super) fn lock(&self) -> SleepGuard<'_, Queue> {
        self.queue.lock()
    }

    /// Ends the service: its thread is told next.
    pub fn stop(&self) {
        let mut queue = self.lock();
        self.is_stopped.store(true, Ordering::Relaxed);
        queue.wake();
    }

    #[inline]
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }
}

impl Observer for Events {
    fn notified(&self, token: u64) {
        let mut queue = self.lock();
        match token {
            LISTENER => queue.has_arrivals = true,
            token => queue.add(token),
        }
        queue.wake();
    }

    fn take(&self, token: u64, bytes: &[u8]) -> bool {
        let mut queue = self.lock();
        let is_taken = queue.put_aside(token, bytes);
        if is_taken {
            queue.wake();
        }
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use super::{ASIDE_BYTES, Batch, Queue};

    #[test]
    fn what_was_told_comes_in_order_and_asking_once() {
        let mut queue = Queue::new().expect("memory");
        let mut batch = Batch::new().expect("memory");
        queue.make_room(8);
        assert!(!queue.take(&mut batch));
        queue.add(3);
        assert!(queue.put_aside(7 << 32 | 5, b"abc"));
        queue.add(3);
        assert!(queue.put_aside(4, b"de"));
        // The bytes of the first batch stay while more comes.
        assert!(queue.take(&mut batch));
        queue.add(3);
        assert!(queue.put_aside(5, b"f"));
        let all: Vec<_> = std::iter::from_fn(|| batch.next()).collect();
        let all: Vec<_> = all
            .iter()
            .map(|item| (item.token, batch.bytes(*item)))
            .collect();
        let none: &[u8] = b"";
        assert_eq!(all, [(3, none), (7 << 32 | 5, b"abc"), (4, b"de")]);
        assert!(queue.take(&mut batch));
        assert_eq!(batch.next().map(|item| item.token), Some(3));
        assert_eq!(
            batch.next().map(|item| batch.bytes(item).to_vec()),
            Some(b"f".to_vec())
        );
        assert!(batch.next().is_none() && !queue.take(&mut batch));
    }

    #[test]
    fn only_so_many_bytes_are_put_aside() {
        let mut queue = Queue::new().expect("memory");
        assert!(!queue.put_aside(1, &[0; ASIDE_BYTES + 1]));
        assert!(queue.put_aside(1, &[0; ASIDE_BYTES]));
        assert!(!queue.put_aside(2, b"x"));
        assert!(queue.take(&mut Batch::new().expect("memory")));
        assert!(queue.put_aside(2, b"x"));
    }
}
