//! Pipes with names (POSIX.1-2017, `mkfifo`; Linux: fifo(7)). The name is in a file system; the pipe is there as long as somebody has it
//! open.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::{c_char, c_int};

use super::channel::{Channel, PIPE_BYTES};
use super::convert::{c_status, text};
use super::directory::umask_now;
use super::file::{self, STATUS_FLAGS};
use super::generated::Generated;
use super::object::{self, Description, Object};
use super::splice::PipeEnd;
use super::{metadata, signal};
use crate::error::{Errno, Result};
use crate::scheduler::{Notifier, Observer, Readiness, WaitQueue};
use crate::sorted_map::SortedMap;
use crate::storage::vfs::namespace::Entry;
use crate::storage::vfs::node::NewNode;
use crate::storage::vfs::{self, operations};
use crate::sync::SpinLock;

/// A pipe, and who has it open.
struct Fifo {
    channel: Arc<Channel>,
    /// Told by the channel, and telling the ends that read, and those that write.
    reading: Arc<Notifier>,
    writing: Arc<Notifier>,
    ends: SpinLock<Ends>,
    opened: WaitQueue,
}

/// Ends that are open, and how often one was opened.
#[derive(Clone, Copy, Default)]
struct Ends {
    readers: usize,
    writers: usize,
    reader_opens: u64,
    writer_opens: u64,
}

/// File system and number of the node.
type Key = (u64, u64);

static FIFOS: SpinLock<SortedMap<Key, Arc<Fifo>>> = SpinLock::new(SortedMap::new());

/// The pipe's end behind a descriptor, if it is one of a pipe with a name.
pub(super) fn end_of(description: &Description) -> Option<PipeEnd> {
    let end = description.downcast::<End>()?;
    Some(PipeEnd {
        channel: end.fifo.channel.clone(),
        can_read: end.can_read,
        can_write: end.can_write,
    })
}

/// One who has it open, for reading, for writing, or for both.
struct End {
    fifo: Arc<Fifo>,
    key: Key,
    /// Keeps the node's number from being used again.
    entry: Arc<Entry>,
    can_read: bool,
    can_write: bool,
    /// How many had opened it for writing before: there is no hang-up before one of them has come.
    writer_opens_before: u64,
    notifier: Arc<Notifier>,
    relay: Arc<dyn Observer>,
}

/// Tells one end what the channel tells all of them.
struct Relay(Arc<Notifier>);

impl Observer for Relay {
    fn notified(&self, _token: u64) {
        self.0.notify();
    }
}

impl Fifo {
    fn new() -> Self {
        let (reading, writing) = (Arc::new(Notifier::new()), Arc::new(Notifier::new()));
        let channel = Channel::new(PIPE_BYTES, reading.clone(), writing.clone());
        Self {
            channel,
            reading,
            writing,
            ends: SpinLock::new(Ends::default()),
            opened: WaitQueue::new(),
        }
    }

    /// Changes who has it open; what it was before.
    fn change(&self, change: impl FnOnce(&mut Ends)) -> Ends {
        let mut ends = self.ends.lock();
        let before = *ends;
        change(&mut ends);
        self.channel.set_ends(ends.readers != 0, ends.writers != 0);
        drop(ends);
        self.opened.wake_all();
        before
    }
}

impl End {
    /// Opens the pipe of a name, and waits for somebody at the other end, unless that is there, or is not to be waited for.
    fn open(entry: Arc<Entry>, flags: c_int) -> Result<Self> {
        let mode = flags & libc::O_ACCMODE;
        let (can_read, can_write) = (mode != libc::O_WRONLY, mode != libc::O_RDONLY);
        let is_nonblocking = flags & libc::O_NONBLOCK != 0;
        let key = (entry.mount.device, entry.node.number());
        let notifier = Arc::new(Notifier::new());
        let relay: Arc<dyn Observer> = Arc::new(Relay(notifier.clone()));
        let (fifo, before) = {
            let mut fifos = FIFOS.lock();
            let found = fifos.get(&key).cloned();
            let has_reader = can_read
                || found
                    .as_ref()
                    .is_some_and(|fifo| fifo.ends.lock().readers != 0);
            if is_nonblocking && !has_reader {
                return Err(Errno(libc::ENXIO));
            }
            let fifo = found.unwrap_or_else(|| Arc::new(Fifo::new()));
            fifos.get_or_insert_with(key, || fifo.clone());
            let before = fifo.change(|ends| {
                ends.readers += usize::from(can_read);
                ends.reader_opens += u64::from(can_read);
                ends.writers += usize::from(can_write);
                ends.writer_opens += u64::from(can_write);
            });
            (fifo, before)
        };
        if can_read {
            fifo.reading.subscribe(0, relay.clone());
        }
        if can_write {
            fifo.writing.subscribe(0, relay.clone());
        }
        let end = Self {
            fifo,
            key,
            entry,
            can_read,
            can_write,
            writer_opens_before: before.writer_opens,
            notifier,
            relay,
        };
        if !is_nonblocking {
            end.wait_for_other(before);
        }
        Ok(end)
    }

    /// Returns when the other end is open, or was since this one is.
    fn wait_for_other(&self, before: Ends) {
        let mut ends = self.fifo.ends.lock();
        loop {
            let is_alone = match (self.can_read, self.can_write) {
                (true, false) => ends.writers == 0 && ends.writer_opens == before.writer_opens,
                (false, true) => ends.readers == 0 && ends.reader_opens == before.reader_opens,
                _ => false,
            };
            if !is_alone {
                return;
            }
            (ends, _) = self.fifo.opened.wait(ends, None);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.fifo.reading.unsubscribe(0, &self.relay);
        self.fifo.writing.unsubscribe(0, &self.relay);
        let mut fifos = FIFOS.lock();
        self.fifo.change(|ends| {
            ends.readers -= usize::from(self.can_read);
            ends.writers -= usize::from(self.can_write);
        });
        let ends = *self.fifo.ends.lock();
        let unused = (ends.readers + ends.writers == 0).then(|| fifos.remove(&self.key));
        drop(fifos);
        drop(unused);
    }
}

impl Object for End {
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        match self.can_read {
            true => self.fifo.channel.read(buf, is_nonblocking, false, None),
            false => Err(Errno(libc::EBADF)),
        }
    }

    fn write(&self, buf: &[u8], is_nonblocking: bool) -> Result<usize> {
        match self.can_write {
            true => signal::with_broken_pipe(self.fifo.channel.write(buf, is_nonblocking, None)),
            false => Err(Errno(libc::EBADF)),
        }
    }

    fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::empty();
        if self.can_read {
            readiness |= self.fifo.channel.readable();
            if self.fifo.ends.lock().writer_opens == self.writer_opens_before {
                readiness.remove(Readiness::HANGUP);
            }
        }
        if self.can_write {
            readiness |= self.fifo.channel.writable();
        }
        readiness
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(&self.notifier)
    }

    fn unread(&self) -> Result<usize> {
        Ok(self.fifo.channel.len())
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        metadata::fill(stat, &self.entry).map(|_| ())
    }
}

/// Programs that make pipes with names can open them.
#[unsafe(link_section = ".toro.generated.pipes")]
static OPENING: Generated = Generated::Fifo(|entry, flags| {
    let end = End::open(entry, flags)?;
    object::insert(Box::new(end), (flags & STATUS_FLAGS) as u32)
});

/// Makes a pipe with a name.
///
/// # Safety
/// `path` is null or a C string.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn mkfifo(path: *const c_char, mode: libc::mode_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { mkfifoat(libc::AT_FDCWD, path, mode) }
}

/// As [`mkfifo`], by a path from a directory.
///
/// # Safety
/// `path` is null or a C string.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn mkfifoat(
    directory: c_int,
    path: *const c_char,
    mode: libc::mode_t,
) -> c_int {
    core::hint::black_box(&raw const OPENING);
    // SAFETY: the caller's string.
    let path = unsafe { text(path) };
    c_status(path.and_then(|path| {
        let base = file::base(directory, path)?;
        let permissions = mode & 0o777 & !umask_now();
        operations::make_name(vfs::names()?, &base, path, NewNode::Fifo, permissions).map(|_| ())
    }))
}
