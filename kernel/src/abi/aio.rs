//! Requests to files that go on by themselves (POSIX.1-2017, `aio.h`), as glibc has them: threads of the program carry them out, those of one
//! descriptor one after the other. All have the same priority. A thread ends when nothing waits.
//!
//! What came of a request is in the program's control block, where the program looks for it by [`aio_error64`].

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use super::clock::nanoseconds;
use super::convert::{also_named, bytes, bytes_mut, c_result, c_status, get};
use super::notice::Notice;
use super::object::{self, Description};
use super::thread::{pthread_create, pthread_detach};
use crate::arch::clock;
use crate::error::{Errno, Result};
use crate::scheduler::WaitQueue;
use crate::storage::vfs::content;
use crate::storage::vfs::file::OpenFile;
use crate::sync::SpinLock;

/// As many threads at most; requests of other descriptors wait for one.
const MAX_THREADS: usize = 16;
/// `AIO_PRIO_DELTA_MAX`.
const MAX_PRIORITY: c_int = 20;
/// What `lio_listio` is told to wait for: all, or nothing.
const WAIT: c_int = 0;
const NO_WAIT: c_int = 1;
/// What it is told to do.
const READ: c_int = 0;
const WRITE: c_int = 1;
const NOTHING: c_int = 2;
/// What came of [`aio_cancel64`].
const CANCELED: c_int = 0;
const NOT_CANCELED: c_int = 1;
const ALL_DONE: c_int = 2;

/// `struct aiocb`.
#[repr(C)]
pub(super) struct ControlBlock {
    descriptor: c_int,
    operation: c_int,
    priority: c_int,
    buffer: *mut c_void,
    len: usize,
    event: libc::sigevent,
    unused: [usize; 2],
    /// `EINPROGRESS`, or what came of it, with `value` before.
    error: AtomicI32,
    value: isize,
    offset: i64,
    reserved: [u8; 32],
}

const _: () = assert!(
    size_of::<ControlBlock>() == size_of::<libc::aiocb>()
        && offset_of!(ControlBlock, event) == offset_of!(libc::aiocb, aio_sigevent)
        && offset_of!(ControlBlock, offset) == offset_of!(libc::aiocb, aio_offset)
);

#[derive(Clone, Copy)]
enum Operation {
    Read,
    Write,
    Sync,
}

/// Requests of one call of `lio_listio`.
struct Group {
    left: AtomicUsize,
    has_failed: AtomicBool,
    /// Given with the last.
    notice: Notice,
}

struct Request {
    block: *mut ControlBlock,
    operation: Operation,
    /// What the descriptor was when it was asked: it may be closed meanwhile.
    description: Result<Arc<Description>>,
    buffer: *mut c_void,
    len: usize,
    offset: i64,
    notice: Notice,
    group: Option<Arc<Group>>,
}

// SAFETY: the pointers are the program's, which leaves what they lead to alone until the request is done (POSIX.1-2017, `aio_read`).
unsafe impl Send for Request {}

/// What is asked of one descriptor: there while something waits or is under way.
struct Line {
    descriptor: c_int,
    waiting: VecDeque<Request>,
    under_way: *mut ControlBlock,
}

// SAFETY: the address only tells requests apart.
unsafe impl Send for Line {}

struct Lines {
    lines: Vec<Line>,
    threads: usize,
}

static LINES: SpinLock<Lines> = SpinLock::new(Lines {
    lines: Vec::new(),
    threads: 0,
});
/// Held while what came of a request is written, so that nobody begins to wait in between.
static OUTCOMES: SpinLock<()> = SpinLock::new(());
static DONE: WaitQueue = WaitQueue::new();

impl Request {
    /// Does what is asked.
    fn carry_out(&self) -> Result<usize> {
        let description = self.description.as_ref().map_err(|error| *error)?;
        let file = description.downcast::<OpenFile>();
        let invalid = |_| Errno(libc::EINVAL);
        match (self.operation, file) {
            (Operation::Sync, Some(file)) => content::sync(&file.entry().node).map(|()| 0),
            (Operation::Sync, None) => Err(Errno(libc::EINVAL)),
            (Operation::Read, file) => {
                // SAFETY: the caller's buffer, until the request is done.
                let buf = unsafe { bytes_mut(self.buffer, self.len) }?;
                match file {
                    Some(file) => file.read_at(self.offset.try_into().map_err(invalid)?, buf),
                    None => description.object().read(buf, description.is_nonblocking()),
                }
            }
            (Operation::Write, file) => {
                // SAFETY: as above.
                let buf = unsafe { bytes(self.buffer, self.len) }?;
                match file {
                    Some(file) => file.write_at(self.offset.try_into().map_err(invalid)?, buf),
                    None => description
                        .object()
                        .write(buf, description.is_nonblocking()),
                }
            }
        }
    }

    /// Writes down what came of it, and tells the program.
    fn finish(self, result: Result<usize>) {
        let (error, value) = match result {
            Ok(count) => (0, count as isize),
            Err(Errno(error)) => (error, -1),
        };
        if let Some(group) = &self.group
            && error != 0
        {
            group.has_failed.store(true, Ordering::Relaxed);
        }
        let outcomes = OUTCOMES.lock();
        // SAFETY: the program's until `error` says that it is done; not touched from then on.
        unsafe {
            (*self.block).value = value;
            (*self.block).error.store(error, Ordering::Release);
        }
        let is_last = self
            .group
            .as_ref()
            .is_some_and(|group| group.left.fetch_sub(1, Ordering::AcqRel) == 1);
        drop(outcomes);
        DONE.wake_all();
        self.notice.give(libc::SI_ASYNCIO);
        if let Some(group) = self.group.filter(|_| is_last) {
            group.notice.give(libc::SI_ASYNCIO);
        }
    }
}

impl Lines {
    /// The next request of a descriptor for which nothing is under way. Without one the thread that asks is to end.
    fn take(&mut self) -> Option<Request> {
        for line in &mut self.lines {
            if line.under_way.is_null()
                && let Some(request) = line.waiting.pop_front()
            {
                line.under_way = request.block;
                return Some(request);
            }
        }
        self.threads -= 1;
        None
    }

    /// What was under way is done.
    fn leave(&mut self, block: *mut ControlBlock) {
        for line in &mut self.lines {
            if line.under_way == block {
                line.under_way = null_mut();
            }
        }
        self.lines
            .retain(|line| !line.waiting.is_empty() || !line.under_way.is_null());
    }

    /// Takes requests back that wait: one, or with null all of a descriptor. With them, whether one of those meant is under way.
    fn take_back(
        &mut self,
        descriptor: c_int,
        block: *mut ControlBlock,
    ) -> (VecDeque<Request>, bool) {
        let line = self
            .lines
            .iter_mut()
            .find(|line| line.descriptor == descriptor);
        let Some(line) = line else {
            return (VecDeque::new(), false);
        };
        let is_meant = |other: *mut ControlBlock| block.is_null() || other == block;
        let is_under_way = !line.under_way.is_null() && is_meant(line.under_way);
        let (taken, kept) = line
            .waiting
            .drain(..)
            .partition(|request| is_meant(request.block));
        line.waiting = kept;
        self.leave(null_mut());
        (taken, is_under_way)
    }
}

extern "C" fn serve(_: *mut c_void) -> *mut c_void {
    loop {
        let Some(request) = LINES.lock().take() else {
            return null_mut();
        };
        let block = request.block;
        let result = request.carry_out();
        // First: what is told of it may ask for the next.
        LINES.lock().leave(block);
        request.finish(result);
    }
}

/// Has a request carried out by itself.
///
/// # Errors
/// `EINVAL` of what cannot be asked for, `EAGAIN` without a thread that would do it.
///
/// # Safety
/// 1. `block` and its buffer are the callee's until the request is done.
unsafe fn submit(
    block: *mut ControlBlock,
    operation: Operation,
    group: Option<Arc<Group>>,
) -> Result<()> {
    if block.is_null() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: not null, and (1).
    let (asked, event) = unsafe { (&*block, &raw const (*block).event) };
    // SAFETY: a part of the block (1).
    let notice = match unsafe { Notice::asked_for(event) } {
        Ok(notice) if (0..=MAX_PRIORITY).contains(&asked.priority) => {
            notice.unwrap_or(Notice::None)
        }
        _ => {
            asked.error.store(libc::EINVAL, Ordering::Release);
            return Err(Errno(libc::EINVAL));
        }
    };
    let descriptor = asked.descriptor;
    let request = Request {
        block,
        operation,
        description: object::get(descriptor),
        buffer: asked.buffer,
        len: asked.len,
        offset: asked.offset,
        notice,
        group,
    };
    asked.error.store(libc::EINPROGRESS, Ordering::Release);
    let needs_thread = {
        let mut all = LINES.lock();
        let place = all
            .lines
            .iter()
            .position(|line| line.descriptor == descriptor);
        match place {
            // Who is at work on this descriptor goes on with it.
            Some(place) => all.lines[place].waiting.push_back(request),
            None => all.lines.push(Line {
                descriptor,
                waiting: VecDeque::from([request]),
                under_way: null_mut(),
            }),
        }
        let needs_thread = place.is_none() && all.threads < MAX_THREADS;
        all.threads += usize::from(needs_thread);
        needs_thread
    };
    if !needs_thread {
        return Ok(());
    }
    let mut thread = 0;
    // SAFETY: local variables, and a function that takes no argument.
    unsafe {
        if pthread_create(&raw mut thread, core::ptr::null(), serve, null_mut()) == 0 {
            pthread_detach(thread);
            return Ok(());
        }
    }
    let mut all = LINES.lock();
    all.threads -= 1;
    if all.threads != 0 {
        return Ok(());
    }
    let (taken, _) = all.take_back(descriptor, block);
    drop(all);
    drop(taken);
    asked.error.store(libc::EAGAIN, Ordering::Release);
    Err(Errno(libc::EAGAIN))
}

/// Reads by itself, from an offset where there is one.
///
/// # Safety
/// `block` and its buffer are the callee's until the request is done.
#[unsafe(no_mangle)]
unsafe extern "C" fn aio_read64(block: *mut ControlBlock) -> c_int {
    // SAFETY: the same contract.
    c_status(unsafe { submit(block, Operation::Read, None) })
}

/// Writes by itself, at an offset where there is one.
///
/// # Safety
/// As [`aio_read64`].
#[unsafe(no_mangle)]
unsafe extern "C" fn aio_write64(block: *mut ControlBlock) -> c_int {
    // SAFETY: the same contract.
    c_status(unsafe { submit(block, Operation::Write, None) })
}

/// Puts on the medium by itself what was asked for before.
///
/// # Safety
/// As [`aio_read64`].
#[unsafe(no_mangle)]
unsafe extern "C" fn aio_fsync64(operation: c_int, block: *mut ControlBlock) -> c_int {
    if !matches!(operation, libc::O_SYNC | libc::O_DSYNC) {
        return c_status(Err(Errno(libc::EINVAL)));
    }
    // SAFETY: the caller's block.
    let descriptor = unsafe { get(block.cast::<c_int>()) }.ok_or(Errno(libc::EINVAL));
    // SAFETY: the same contract.
    c_status(
        descriptor
            .and_then(object::get)
            .and_then(|_| unsafe { submit(block, Operation::Sync, None) }),
    )
}

/// What came of a request: `EINPROGRESS` while it is not done, 0, or an error number.
///
/// # Safety
/// `block` was given to one of these functions.
#[unsafe(no_mangle)]
unsafe extern "C" fn aio_error64(block: *const ControlBlock) -> c_int {
    // SAFETY: the caller's.
    unsafe { (*block).error.load(Ordering::Acquire) }
}

/// What `read`, `write` or `fsync` would have returned. The request is done.
///
/// # Safety
/// As [`aio_error64`].
#[unsafe(no_mangle)]
unsafe extern "C" fn aio_return64(block: *const ControlBlock) -> isize {
    // SAFETY: the caller's.
    unsafe { (*block).value }
}

/// Waits until `is_over`, which changes when a request is done.
fn wait_until(deadline_ns: Option<u64>, is_over: impl Fn() -> bool) -> Result<()> {
    let mut outcomes = OUTCOMES.lock();
    while !is_over() {
        if deadline_ns.is_some_and(|deadline_ns| deadline_ns <= clock::now_ns()) {
            return Err(Errno(libc::EAGAIN));
        }
        (outcomes, _) = DONE.wait(outcomes, deadline_ns);
    }
    Ok(())
}

/// Waits until one of these requests is done; null ones are none.
///
/// # Safety
/// There are `count` pointers at `blocks`, as [`aio_error64`] takes them or null; `span` is null or can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn aio_suspend64(
    blocks: *const *const ControlBlock,
    count: c_int,
    span: *const libc::timespec,
) -> c_int {
    c_status((|| {
        let count = usize::try_from(count).map_err(|_| Errno(libc::EINVAL))?;
        let blocks = match blocks.is_null() {
            true => &[][..],
            // SAFETY: the caller's.
            false => unsafe { core::slice::from_raw_parts(blocks, count) },
        };
        // SAFETY: null, or the caller's.
        let deadline_ns = match unsafe { get(span) } {
            Some(span) => Some(clock::now_ns().saturating_add(nanoseconds(&span)?)),
            None => None,
        };
        let all = || blocks.iter().filter(|block| !block.is_null());
        wait_until(deadline_ns, || {
            // SAFETY: not null, and the caller's.
            let is_done =
                |block: &*const ControlBlock| unsafe { aio_error64(*block) != libc::EINPROGRESS };
            all().next().is_none() || all().any(is_done)
        })
    })())
}

/// Takes a request back that waits, or with null all of a descriptor; whether that did it.
///
/// # Safety
/// `block` is null or as [`aio_error64`] takes it.
#[unsafe(no_mangle)]
unsafe extern "C" fn aio_cancel64(descriptor: c_int, block: *mut ControlBlock) -> c_int {
    c_result((|| {
        object::get(descriptor)?;
        // SAFETY: null, or the caller's; the descriptor is first.
        if unsafe { get(block.cast::<c_int>()) }.is_some_and(|of_block| of_block != descriptor) {
            return Err(Errno(libc::EINVAL));
        }
        let (taken, is_under_way) = LINES.lock().take_back(descriptor, block);
        let answer = match (is_under_way, taken.is_empty()) {
            (true, _) => NOT_CANCELED,
            (false, false) => CANCELED,
            (false, true) => ALL_DONE,
        };
        for request in taken {
            request.finish(Err(Errno(libc::ECANCELED)));
        }
        Ok(answer)
    })())
}

/// Asks for all of a list, and waits until all are done, or is told of it by `event`.
///
/// # Errors
/// `EIO` where something could not be asked for, or went wrong while it was waited for: the blocks say what.
///
/// # Safety
/// There are `count` pointers at `blocks`, as [`aio_read64`] takes them or null; `event` is null or can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn lio_listio64(
    mode: c_int,
    blocks: *const *mut ControlBlock,
    count: c_int,
    event: *const libc::sigevent,
) -> c_int {
    c_status((|| {
        if !matches!(mode, WAIT | NO_WAIT) {
            return Err(Errno(libc::EINVAL));
        }
        let count = usize::try_from(count).map_err(|_| Errno(libc::EINVAL))?;
        let notice = match mode {
            // SAFETY: null, or the caller's.
            NO_WAIT => unsafe { Notice::asked_for(event) }?.unwrap_or(Notice::None),
            _ => Notice::None,
        };
        let group = Arc::new(Group {
            // One for this function, so that nothing is told before all are asked for.
            left: AtomicUsize::new(1),
            has_failed: AtomicBool::new(false),
            notice,
        });
        let mut are_accepted = true;
        for at in 0..count {
            // SAFETY: the caller's list.
            let block = unsafe { *blocks.add(at) };
            // SAFETY: null, or the caller's; the operation is the second number.
            let operation = match (!block.is_null()).then(|| unsafe { (*block).operation }) {
                None | Some(NOTHING) => continue,
                Some(READ) => Operation::Read,
                Some(WRITE) => Operation::Write,
                Some(_) => {
                    // SAFETY: not null, and the caller's.
                    unsafe { (*block).error.store(libc::EINVAL, Ordering::Release) };
                    are_accepted = false;
                    continue;
                }
            };
            group.left.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the same contract.
            if unsafe { submit(block, operation, Some(group.clone())) }.is_err() {
                group.left.fetch_sub(1, Ordering::AcqRel);
                are_accepted = false;
            }
        }
        let is_last = group.left.fetch_sub(1, Ordering::AcqRel) == 1;
        if mode == WAIT {
            wait_until(None, || group.left.load(Ordering::Acquire) == 0)?;
        } else if is_last {
            group.notice.give(libc::SI_ASYNCIO);
        }
        match are_accepted && !(mode == WAIT && group.has_failed.load(Ordering::Relaxed)) {
            true => Ok(()),
            false => Err(Errno(libc::EIO)),
        }
    })())
}

also_named! {
    aio_read = aio_read64(block: *mut ControlBlock) -> c_int;
    aio_write = aio_write64(block: *mut ControlBlock) -> c_int;
    aio_fsync = aio_fsync64(operation: c_int, block: *mut ControlBlock) -> c_int;
    aio_error = aio_error64(block: *const ControlBlock) -> c_int;
    aio_return = aio_return64(block: *const ControlBlock) -> isize;
    aio_suspend = aio_suspend64(blocks: *const *const ControlBlock, count: c_int, span: *const libc::timespec) -> c_int;
    aio_cancel = aio_cancel64(descriptor: c_int, block: *mut ControlBlock) -> c_int;
    lio_listio = lio_listio64(mode: c_int, blocks: *const *mut ControlBlock, count: c_int, event: *const libc::sigevent) -> c_int;
}
