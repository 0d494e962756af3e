//! Bytes on their way from one end to another: what pipes and connected sockets are made of. They are a stream, or records that stay apart;
//! descriptions may go along with them.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::object::Description;
use crate::error::{Errno, Result};
use crate::scheduler::{Notifier, Readiness};
use crate::sync::SpinLock;

/// What a pipe holds, as on Linux.
pub(super) const PIPE_BYTES: usize = 64 << 10;
/// What one direction of a pair of sockets holds, as Linux has it by default.
pub(super) const SOCKET_BYTES: usize = 208 << 10;
/// A channel is writable when it takes so much at once; writes up to this size are not mixed with others (`PIPE_BUF`).
const ATOMIC_BYTES: usize = 4096;

/// What each record counts for on top of its bytes.
const RECORD_BYTES: usize = 256;

/// What goes along with bytes.
#[derive(Clone, Default)]
pub(super) struct Along {
    /// Descriptions, for descriptors of who receives.
    pub(super) files: Vec<Arc<Description>>,
    /// Who sends, where the sender says it itself (`SCM_CREDENTIALS`).
    pub(super) credentials: Option<libc::ucred>,
}

impl Along {
    /// Nothing.
    pub(super) const fn new() -> Self {
        Self {
            files: Vec::new(),
            credentials: None,
        }
    }

    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.credentials.is_none()
    }
}

/// What was read: how much of how much, and what came along.
pub(super) struct Piece {
    pub(super) len: usize,
    pub(super) full_len: usize,
    pub(super) along: Along,
}

/// A channel.
pub(super) struct Channel {
    state: SpinLock<State>,
    /// Changed with the lock of `state` held.
    capacity_bytes: AtomicUsize,
    /// What is written at once is read at once.
    has_records: bool,
    /// Belongs to the end that reads, and to the end that writes.
    reader: Arc<Notifier>,
    writer: Arc<Notifier>,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// Lengths of the records.
    records: VecDeque<usize>,
    /// Bytes read so far, and written.
    read: u64,
    written: u64,
    /// What goes along with the byte of a number.
    along: VecDeque<(u64, Along)>,
    is_reader_gone: bool,
    is_writer_gone: bool,
}

impl Channel {
    pub(super) fn new(
        capacity_bytes: usize,
        reader: Arc<Notifier>,
        writer: Arc<Notifier>,
    ) -> Arc<Self> {
        Self::with(capacity_bytes, false, reader, writer)
    }

    /// One for records, if it `has_records`.
    pub(super) fn with(
        capacity_bytes: usize,
        has_records: bool,
        reader: Arc<Notifier>,
        writer: Arc<Notifier>,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: SpinLock::new(State::default()),
            capacity_bytes: AtomicUsize::new(capacity_bytes),
            has_records,
            reader,
            writer,
        })
    }

    /// How much it holds at most.
    pub(super) fn capacity_bytes(&self) -> usize {
        self.capacity_bytes.load(Ordering::Relaxed)
    }

    /// Sets that.
    ///
    /// # Errors
    /// `EBUSY` when it holds more now.
    pub(super) fn set_capacity_bytes(&self, capacity_bytes: usize) -> Result<()> {
        let state = self.state.lock();
        if state.bytes.len() > capacity_bytes {
            return Err(Errno(libc::EBUSY));
        }
        self.capacity_bytes.store(capacity_bytes, Ordering::Relaxed);
        drop(state);
        self.writer.notify();
        Ok(())
    }

    /// Reads what there is, or waits for something; 0 when nothing more will come. With `is_peek` it stays. What came along is lost.
    pub(super) fn read(
        &self,
        buf: &mut [u8],
        is_nonblocking: bool,
        is_peek: bool,
        deadline_ns: Option<u64>,
    ) -> Result<usize> {
        let piece = self.read_piece(buf, is_nonblocking, is_peek, deadline_ns)?;
        Ok(piece.len)
    }

    /// The same, with what came along: with the first byte that is read, and no further than to the next that something goes along with.
    /// Of a record only as much as fits.
    pub(super) fn read_piece(
        &self,
        buf: &mut [u8],
        is_nonblocking: bool,
        is_peek: bool,
        deadline_ns: Option<u64>,
    ) -> Result<Piece> {
        let nothing = Piece {
            len: 0,
            full_len: 0,
            along: Along::new(),
        };
        if buf.is_empty() && !self.has_records {
            return Ok(nothing);
        }
        let mut state = self.state.lock();
        while self.is_empty(&state) {
            if state.is_writer_gone || state.is_reader_gone {
                return Ok(nothing);
            }
            if is_nonblocking || is_over(deadline_ns) {
                return Err(Errno(libc::EAGAIN));
            }
            (state, _) = self.reader.wait(state, deadline_ns);
        }
        let mut along = Along::new();
        if state.along.front().is_some_and(|(at, _)| *at == state.read) {
            along = match is_peek {
                true => state
                    .along
                    .front()
                    .map_or(Along::new(), |(_, along)| along.clone()),
                false => state
                    .along
                    .pop_front()
                    .map_or(Along::new(), |(_, along)| along),
            };
        }
        let full_len = match state.records.front() {
            Some(len) => *len,
            None => {
                let next = state.along.iter().map(|(at, _)| at - state.read);
                let to_next = next.filter(|count| *count != 0).min();
                let most = to_next.map_or(usize::MAX, |count| count as usize);
                buf.len().min(state.bytes.len()).min(most)
            }
        };
        let len = full_len.min(buf.len());
        let (first, second) = state.bytes.as_slices();
        let split = first.len().min(len);
        buf[..split].copy_from_slice(&first[..split]);
        buf[split..len].copy_from_slice(&second[..len - split]);
        let piece = Piece {
            len,
            full_len,
            along,
        };
        if is_peek {
            return Ok(piece);
        }
        let was_full = self.room(&state) < ATOMIC_BYTES;
        state.bytes.drain(..full_len);
        state.read += full_len as u64;
        state.records.pop_front();
        if state.bytes.is_empty() && state.bytes.capacity() > ATOMIC_BYTES {
            state.bytes = VecDeque::new();
        }
        drop(state);
        if was_full {
            self.writer.notify();
        }
        Ok(piece)
    }

    fn is_empty(&self, state: &State) -> bool {
        match self.has_records {
            true => state.records.is_empty(),
            false => state.bytes.is_empty(),
        }
    }

    fn room(&self, state: &State) -> usize {
        let used = state.bytes.len() + state.records.len() * RECORD_BYTES;
        self.capacity_bytes().saturating_sub(used)
    }

    /// Writes; waits for room for all of it unless `is_nonblocking`. Up to 4096 bytes are written together or not at all.
    pub(super) fn write(
        &self,
        data: &[u8],
        is_nonblocking: bool,
        deadline_ns: Option<u64>,
    ) -> Result<usize> {
        self.write_with(data, Along::new(), is_nonblocking, deadline_ns)
    }

    /// The same, with descriptions that go along. A record is written whole or not at all.
    pub(super) fn write_with(
        &self,
        data: &[u8],
        along: Along,
        is_nonblocking: bool,
        deadline_ns: Option<u64>,
    ) -> Result<usize> {
        let needed = match self.has_records {
            true => data.len() + RECORD_BYTES,
            false if data.len() <= ATOMIC_BYTES => data.len(),
            false => 1,
        };
        if self.has_records && needed > self.capacity_bytes() {
            return Err(Errno(libc::EMSGSIZE));
        }
        let mut written = 0;
        let mut is_record_due = self.has_records;
        let mut along = Some(along).filter(|along| !along.is_empty());
        let mut state = self.state.lock();
        while written < data.len() || is_record_due {
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
            let at = state.written;
            if let Some(along) = along.take() {
                state.along.push_back((at, along));
            }
            state.bytes.extend(piece);
            state.written += piece.len() as u64;
            written += piece.len();
            if core::mem::take(&mut is_record_due) {
                state.records.push_back(data.len());
            }
            drop(state);
            self.reader.notify();
            state = self.state.lock();
        }
        Ok(written)
    }

    /// Waits until a write of a byte would not; how many there is room for.
    ///
    /// # Errors
    /// `EAGAIN` with `is_nonblocking`, `EPIPE` when nobody reads any more.
    pub(super) fn wait_for_room(&self, is_nonblocking: bool) -> Result<usize> {
        let mut state = self.state.lock();
        loop {
            if state.is_reader_gone || state.is_writer_gone {
                return Err(Errno(libc::EPIPE));
            }
            match self.room(&state) {
                0 if is_nonblocking => return Err(Errno(libc::EAGAIN)),
                0 => (state, _) = self.writer.wait(state, None),
                room => return Ok(room),
            }
        }
    }

    /// What was read and could not be passed on is read again.
    pub(super) fn put_back(&self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        if !state.is_reader_gone {
            data.iter()
                .rev()
                .for_each(|byte| state.bytes.push_front(*byte));
            state.read -= data.len() as u64;
        }
        drop(state);
        self.reader.notify();
    }

    /// Nobody will read any more.
    pub(super) fn close_reader(&self) {
        let mut state = self.state.lock();
        state.is_reader_gone = true;
        let unread = core::mem::take(&mut state.bytes);
        let along = core::mem::take(&mut state.along);
        state.records.clear();
        drop(state);
        drop((unread, along));
        self.writer.notify();
        self.reader.notify();
    }

    /// Nobody will write any more.
    pub(super) fn close_writer(&self) {
        self.state.lock().is_writer_gone = true;
        self.reader.notify();
        self.writer.notify();
    }

    /// There is somebody who reads, and somebody who writes, or not; what is under way stays.
    pub(super) fn set_ends(&self, has_reader: bool, has_writer: bool) {
        let mut state = self.state.lock();
        state.is_reader_gone = !has_reader;
        state.is_writer_gone = !has_writer;
        drop(state);
        self.reader.notify();
        self.writer.notify();
    }

    /// What the end that reads is ready for; hang-up when the other end is gone.
    pub(super) fn readable(&self) -> Readiness {
        let state = self.state.lock();
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::READABLE, !self.is_empty(&state));
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

    /// How many bytes can be read: of records, those of the first.
    pub(super) fn len(&self) -> usize {
        let state = self.state.lock();
        match self.has_records {
            true => state.records.front().copied().unwrap_or(0),
            false => state.bytes.len(),
        }
    }

    /// Whether something was written that has not been read.
    pub(super) fn has_unread(&self) -> bool {
        !self.is_empty(&self.state.lock())
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
