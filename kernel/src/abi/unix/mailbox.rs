//! Datagrams on their way to a socket of the family `AF_UNIX`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::name::Name;
use crate::abi::channel::{Along, SOCKET_BYTES, is_over};
use crate::error::{Errno, Result};
use crate::scheduler::Notifier;
use crate::sync::SpinLock;

/// What each message counts for on top of its bytes.
const OVERHEAD_BYTES: usize = 256;

/// What a socket receives.
pub(super) struct Mailbox {
    state: SpinLock<State>,
    /// The socket's own.
    reader: Arc<Notifier>,
    /// Senders that wait for room.
    room: Notifier,
}

#[derive(Default)]
struct State {
    messages: VecDeque<(Box<[u8]>, Name, Along)>,
    used_bytes: usize,
    is_closed: bool,
    /// Sockets whose sender found no room, to be told once.
    told: Vec<Arc<Notifier>>,
}

/// A datagram that was received: how much of it was copied, of how much, from whom.
pub(super) struct Letter {
    pub(super) len: usize,
    pub(super) full_len: usize,
    pub(super) from: Name,
    pub(super) along: Along,
}

impl Mailbox {
    pub(super) fn new(reader: Arc<Notifier>) -> Self {
        Self {
            state: SpinLock::new(State::default()),
            reader,
            room: Notifier::new(),
        }
    }

    /// Receives the next one, as much as fits. With `is_peek` it stays.
    pub(super) fn receive(
        &self,
        buf: &mut [u8],
        is_peek: bool,
        is_nonblocking: bool,
        deadline_ns: Option<u64>,
    ) -> Result<Letter> {
        let mut state = self.state.lock();
        loop {
            if let Some((data, from, along)) = state.messages.front() {
                let len = data.len().min(buf.len());
                buf[..len].copy_from_slice(&data[..len]);
                let letter = Letter {
                    len,
                    full_len: data.len(),
                    from: from.clone(),
                    along: along.clone(),
                };
                if !is_peek {
                    let taken = state.messages.pop_front();
                    state.used_bytes -= letter.full_len + OVERHEAD_BYTES;
                    let told = core::mem::take(&mut state.told);
                    drop(state);
                    drop(taken);
                    self.room.notify();
                    told.iter().for_each(|sender| sender.notify());
                }
                return Ok(letter);
            }
            if state.is_closed {
                return Ok(Letter {
                    len: 0,
                    full_len: 0,
                    from: Name::default(),
                    along: Along::new(),
                });
            }
            if is_nonblocking || is_over(deadline_ns) {
                return Err(Errno(libc::EAGAIN));
            }
            (state, _) = self.reader.wait(state, deadline_ns);
        }
    }

    /// Takes a datagram, whole or not at all. `sender` is told when there is room again, if there is none.
    pub(super) fn send(
        &self,
        (data, from, along): (&[u8], Name, Along),
        sender: &Arc<Notifier>,
        is_nonblocking: bool,
        deadline_ns: Option<u64>,
    ) -> Result<usize> {
        if data.len() + OVERHEAD_BYTES > SOCKET_BYTES {
            return Err(Errno(libc::EMSGSIZE));
        }
        let copy = Box::from(data);
        let mut state = self.state.lock();
        loop {
            if state.is_closed {
                return Err(Errno(libc::ECONNREFUSED));
            }
            if state.used_bytes + data.len() + OVERHEAD_BYTES <= SOCKET_BYTES {
                break;
            }
            if is_nonblocking || is_over(deadline_ns) {
                Self::remember(&mut state, sender);
                return Err(Errno(libc::EAGAIN));
            }
            (state, _) = self.room.wait(state, deadline_ns);
        }
        state.used_bytes += data.len() + OVERHEAD_BYTES;
        state.messages.push_back((copy, from, along));
        drop(state);
        self.reader.notify();
        Ok(data.len())
    }

    fn remember(state: &mut State, sender: &Arc<Notifier>) {
        if !state.told.iter().any(|known| Arc::ptr_eq(known, sender)) {
            state.told.push(sender.clone());
        }
    }

    /// Whether there is a datagram.
    pub(super) fn is_readable(&self) -> bool {
        let state = self.state.lock();
        !state.messages.is_empty() || state.is_closed
    }

    /// Whether there is room for half as much as there can be; if not, `sender` is told when there may be.
    pub(super) fn has_room(&self, sender: &Arc<Notifier>) -> bool {
        let mut state = self.state.lock();
        let has_room = state.is_closed || state.used_bytes <= SOCKET_BYTES / 2;
        if !has_room {
            Self::remember(&mut state, sender);
        }
        has_room
    }

    /// How many bytes the next datagram has.
    pub(super) fn unread(&self) -> usize {
        let state = self.state.lock();
        state.messages.front().map_or(0, |(data, ..)| data.len())
    }

    /// Nobody reads any more, and nobody sends.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let told = core::mem::take(&mut state.told);
        drop(state);
        self.reader.notify();
        self.room.notify();
        told.iter().for_each(|sender| sender.notify());
    }
}
