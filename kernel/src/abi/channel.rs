//! Bytes on their way from one end to another: what pipes and pairs of sockets are made of.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use crate::error::{Errno, Result};
use crate::scheduler::{Notifier, Readiness};
use crate::sync::SpinLock;

/// What a pipe holds, as on Linux.
pub(super) const PIPE_BYTES: usize = 64 << 10;
/// What one direction of a pair of sockets holds, as Linux has it by default.
pub(super) const SOCKET_BYTES: usize = 208 << 10;
/// A channel is writable when it takes so much at once; writes up to this size are not mixed with others (`PIPE_BUF`).
const ATOMIC_BYTES: usize = 4096;

/// A channel.
pub(super) struct Channel {
    state: SpinLock<State>,
    capacity_bytes: usize,
    /// Belongs to the end that reads, and to the end that writes.
    reader: Arc<Notifier>,
    writer: Arc<Notifier>,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    is_reader_gone: bool,
    is_writer_gone: bool,
}

impl Channel {
    pub(super) fn new(
        capacity_bytes: usize,
        reader: Arc<Notifier>,
        writer: Arc<Notifier>,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: SpinLock::new(State::default()),
            capacity_bytes,
            reader,
            writer,
        })
    }

    /// Reads what there is, or waits for something; 0 when nothing more will come. With `is_peek` it stays.
    pub(super) fn read(
        &self,
        buf: &mut [u8],
        is_nonblocking: bool,
        is_peek: bool,
        deadline_ns: Option<u64>,
    ) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut state = self.state.lock();
        while state.bytes.is_empty() {
            if state.is_writer_gone || state.is_reader_gone {
                return Ok(0);
            }
            if is_nonblocking || is_over(deadline_ns) {
                return Err(Errno(libc::EAGAIN));
            }
            (state, _) = self.reader.wait(state, deadline_ns);
        }
        let count = buf.len().min(state.bytes.len());
        let (first, second) = state.bytes.as_slices();
        let split = first.len().min(count);
        buf[..split].copy_from_slice(&first[..split]);
        buf[split..count].copy_from_slice(&second[..count - split]);
        if is_peek {
            return Ok(count);
        }
        let was_full = self.room(&state) < ATOMIC_BYTES;
        state.bytes.drain(..count);
        if state.bytes.is_empty() && state.bytes.capacity() > ATOMIC_BYTES {
            state.bytes = VecDeque::new();
        }
        drop(state);
        if was_full {
            self.writer.notify();
        }
        Ok(count)
    }

    fn room(&self, state: &State) -> usize {
        self.capacity_bytes - state.bytes.len()
    }

    /// Writes; waits for room for all of it unless `is_nonblocking`. Up to 4096 bytes are written together or not at all.
    pub(super) fn write(
        &self,
        data: &[u8],
        is_nonblocking: bool,
        deadline_ns: Option<u64>,
    ) -> Result<usize> {
        let needed = if data.len() <= ATOMIC_BYTES {
            data.len()
        } else {
            1
        };
        let mut written = 0;
        let mut state = self.state.lock();
        while written < data.len() {
            if state.is_reader_gone || state.is_writer_gone {
                return if written == 0 {
                    Err(Errno(libc::EPIPE))
                } else {
                    Ok(written)
                };
            }
            let room = self.room(&state);
            if room < needed {
                if is_nonblocking || is_over(deadline_ns) {
                    return if written == 0 {
                        Err(Errno(libc::EAGAIN))
                    } else {
                        Ok(written)
                    };
                }
                (state, _) = self.writer.wait(state, deadline_ns);
                continue;
            }
            let piece = &data[written..data.len().min(written + room)];
            if state.bytes.try_reserve(piece.len()).is_err() {
                return if written == 0 {
                    Err(Errno(libc::ENOMEM))
                } else {
                    Ok(written)
                };
            }
            state.bytes.extend(piece);
            written += piece.len();
            drop(state);
            self.reader.notify();
            state = self.state.lock();
        }
        Ok(written)
    }

    /// Nobody will read any more.
    pub(super) fn close_reader(&self) {
        let mut state = self.state.lock();
        state.is_reader_gone = true;
        let unread = core::mem::take(&mut state.bytes);
        drop(state);
        drop(unread);
        self.writer.notify();
        self.reader.notify();
    }

    /// Nobody will write any more.
    pub(super) fn close_writer(&self) {
        self.state.lock().is_writer_gone = true;
        self.reader.notify();
        self.writer.notify();
    }

    /// What the end that reads is ready for; hang-up when the other end is gone.
    pub(super) fn readable(&self) -> Readiness {
        let state = self.state.lock();
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::READABLE, !state.bytes.is_empty());
        readiness.set(Readiness::HANGUP, state.is_writer_gone);
        readiness
    }

    /// What the end that writes is ready for; an error when the other end is gone.
    pub(super) fn writable(&self) -> Readiness {
        let state = self.state.lock();
        let mut readiness = Readiness::empty();
        let is_gone = state.is_reader_gone;
        let has_room = self.room(&state) >= ATOMIC_BYTES;
        readiness.set(Readiness::WRITABLE, has_room || is_gone);
        readiness.set(Readiness::ERROR, is_gone);
        readiness
    }

    /// How many bytes can be read.
    pub(super) fn len(&self) -> usize {
        self.state.lock().bytes.len()
    }

    /// Whether the end that reads, and the one that writes, are closed.
    pub(super) fn closed(&self) -> (bool, bool) {
        let state = self.state.lock();
        (state.is_reader_gone, state.is_writer_gone)
    }
}

pub(super) fn is_over(deadline_ns: Option<u64>) -> bool {
    deadline_ns.is_some_and(|deadline_ns| deadline_ns <= crate::arch::clock::now_ns())
}
