//! Messages between cores: a channel has one receiver, and a ring of slots for each core that sends to it. The sender's core alone
//! writes to its ring and the receiver alone reads, so no lock is taken while neither has to wait. A receiver that sleeps is woken
//! like every thread: by an interrupt only if its core halts.
//!
//! A message is a number of bytes to the kernel; what they mean, and what becomes of those that nobody takes, is the sender's and
//! the receiver's (the crate `toro`, `api/src/message.rs`).

use alloc::boxed::Box;
use core::alloc::Layout;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::WaitQueue;
use super::control::{self, Killed};
use super::core::current_core;
use super::ring::{Positions, Sleepers};
use super::thread::Waiting;
use super::wait::WaitOutcome;
use crate::arch::x86_64::core_local::MAX_CORES;
use crate::memory::{OutOfMemory, heap};
use crate::sync::SpinLock;

/// Why nothing was sent or received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageError {
    /// There is no room, or no message, and the caller does not wait.
    WouldBlock,
    /// The deadline passed.
    TimedOut,
    /// The other side is gone.
    Disconnected,
    /// The calling thread shall end.
    Killed,
    /// There is no memory for a ring.
    OutOfMemory,
}

/// How long a call waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Not at all.
    None,
    /// Until a time since boot.
    Until(u64),
    /// As long as it takes.
    Endless,
}

/// Slots written by one core.
struct Ring {
    positions: Positions,
    slots: *mut u8,
}

/// Threads that wait for the other side.
struct Side {
    sleepers: Sleepers,
    lock: SpinLock<()>,
    queue: WaitQueue,
    is_gone: AtomicBool,
}

/// A channel with one receiver.
pub struct Channel {
    /// Slots of each ring.
    capacity: usize,
    /// Bytes of a message.
    len_bytes: usize,
    /// Of a ring's slots, each of `stride` bytes.
    align: usize,
    stride: usize,
    /// Rings by the core that sends, made with its first message.
    rings: [AtomicPtr<Ring>; MAX_CORES],
    /// Cores that have a ring, one bit each.
    senders: AtomicU64,
    /// The core whose ring is read next, so that none waits for ever. Of the receiver alone.
    next: AtomicUsize,
    receiving: Side,
    sending: Side,
}

impl Side {
    fn new() -> Self {
        Self {
            sleepers: Sleepers::new(),
            lock: SpinLock::new(()),
            queue: WaitQueue::new(),
            is_gone: AtomicBool::new(false),
        }
    }

    /// Sleeps unless `is_over`, which is asked when a wake-up cannot be lost any more.
    fn sleep_unless(
        &self,
        deadline_ns: Option<u64>,
        is_over: impl Fn() -> bool,
    ) -> Result<WaitOutcome, Killed> {
        let guard = self.lock.lock();
        self.sleepers.enter();
        let outcome = if is_over() {
            Ok(WaitOutcome::Woken)
        } else {
            let (_guard, outcome) = self
                .queue
                .wait_killable(Waiting::Message, guard, deadline_ns);
            outcome
        };
        self.sleepers.leave();
        outcome
    }

    /// Wakes who sleeps, after something was done that they wait for.
    fn wake(&self) {
        if self.sleepers.are_there() {
            let _guard = self.lock.lock();
            self.queue.wake_all();
        }
    }

    fn leave(&self) {
        self.is_gone.store(true, Ordering::SeqCst);
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::SeqCst)
    }
}

impl Channel {
    /// A channel for messages of `layout`; each core that sends has `capacity` slots. `None` where these are too large together.
    pub fn new(layout: Layout, capacity: usize) -> Option<Self> {
        let align = layout.align().max(8);
        let stride = layout.size().max(1).checked_next_multiple_of(align)?;
        let total = stride.checked_mul(capacity)?;
        if capacity == 0 || total > isize::MAX as usize {
            return None;
        }
        Some(Self {
            capacity,
            len_bytes: layout.size(),
            align,
            stride,
            rings: [const { AtomicPtr::new(null_mut()) }; MAX_CORES],
            senders: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            receiving: Side::new(),
            sending: Side::new(),
        })
    }

    /// The ring of the calling core.
    fn own_ring(&self) -> Result<&Ring, OutOfMemory> {
        let core = current_core();
        let slot = &self.rings[core];
        // SAFETY: rings are made below and live as long as the channel.
        if let Some(ring) = unsafe { slot.load(Ordering::Acquire).as_ref() } {
            return Ok(ring);
        }
        let slots = heap::allocate(self.stride * self.capacity, self.align);
        if slots.is_null() {
            return Err(OutOfMemory);
        }
        let ring = Box::into_raw(Box::new(Ring {
            positions: Positions::new(self.capacity),
            slots,
        }));
        // Only this core makes its ring, and nothing here gives the core away.
        slot.store(ring, Ordering::Release);
        self.senders.fetch_or(1 << core, Ordering::Release);
        // SAFETY: made just now.
        Ok(unsafe { &*ring })
    }

    /// Sends the bytes behind `message`, which are the channel's from then on; waits for room as `patience` says.
    ///
    /// # Errors
    /// Any of [`MessageError`]; the message is the caller's still.
    ///
    /// # Safety
    /// 1. `message` leads to as many bytes as the channel's messages have.
    pub unsafe fn send(&self, message: *const u8, patience: Patience) -> Result<(), MessageError> {
        loop {
            if self.receiving.is_gone() {
                return Err(MessageError::Disconnected);
            }
            let ring = self.own_ring().map_err(|_| MessageError::OutOfMemory)?;
            if let Some(index) = ring.positions.to_write() {
                // SAFETY: the slot is the writer's, which is this core, and as long as a message (1).
                unsafe {
                    ring.slots
                        .add(index * self.stride)
                        .copy_from_nonoverlapping(message, self.len_bytes);
                }
                ring.positions.written();
                self.receiving.wake();
                return Ok(());
            }
            let is_over = || ring.positions.to_write().is_some() || self.receiving.is_gone();
            wait(&self.sending, patience, is_over)?;
        }
    }

    /// Receives a message into `out`; waits for one as `patience` says.
    ///
    /// # Errors
    /// Any of [`MessageError`] but want of memory.
    ///
    /// # Safety
    /// 1. `out` leads to room for a message.
    /// 2. No other thread receives from the channel at the same time.
    pub unsafe fn receive(&self, out: *mut u8, patience: Patience) -> Result<(), MessageError> {
        loop {
            // Asked first: what was sent before the senders went is still received.
            let are_gone = self.sending.is_gone();
            // SAFETY: the caller's promises.
            if unsafe { self.take(out) } {
                self.sending.wake();
                return Ok(());
            }
            if are_gone {
                return Err(MessageError::Disconnected);
            }
            let is_over = || self.full_ring().is_some() || self.sending.is_gone();
            wait(&self.receiving, patience, is_over)?;
        }
    }

    /// A ring that has a message, and its core: the first one from the next core on.
    fn full_ring(&self) -> Option<(&Ring, usize)> {
        let next = self.next.load(Ordering::Relaxed);
        let mut senders = self
            .senders
            .load(Ordering::Acquire)
            .rotate_right(next as u32);
        while senders != 0 {
            let core = (next + senders.trailing_zeros() as usize) % MAX_CORES;
            senders &= senders - 1;
            // SAFETY: as in `own_ring`.
            let ring = unsafe { self.rings[core].load(Ordering::Acquire).as_ref() };
            if let Some(ring) = ring.filter(|ring| ring.positions.to_read().is_some()) {
                return Some((ring, core));
            }
        }
        None
    }

    /// Takes a message into `out`, if there is one.
    ///
    /// # Safety
    /// 1. As for [`Channel::receive`].
    unsafe fn take(&self, out: *mut u8) -> bool {
        let Some((ring, core)) = self.full_ring() else {
            return false;
        };
        let Some(index) = ring.positions.to_read() else {
            return false;
        };
        // SAFETY: the slot is the reader's, which is the caller, and `out` has room (1).
        unsafe {
            out.copy_from_nonoverlapping(ring.slots.add(index * self.stride), self.len_bytes)
        };
        ring.positions.read();
        self.next.store((core + 1) % MAX_CORES, Ordering::Relaxed);
        true
    }

    /// The last sender is gone: the receiver gets what is there still, then learns it.
    pub fn close_sending(&self) {
        self.sending.leave();
        self.receiving.wake();
    }

    /// The receiver is gone: senders learn it.
    pub fn close_receiving(&self) {
        self.receiving.leave();
        self.sending.wake();
    }
}

/// Waits on a side as `patience` says, until `is_over` may be true.
fn wait(side: &Side, patience: Patience, is_over: impl Fn() -> bool) -> Result<(), MessageError> {
    if control::is_killed() {
        return Err(MessageError::Killed);
    }
    let deadline_ns = match patience {
        Patience::None => return Err(MessageError::WouldBlock),
        Patience::Until(deadline_ns) => Some(deadline_ns),
        Patience::Endless => None,
    };
    match side.sleep_unless(deadline_ns, &is_over) {
        Err(Killed) => Err(MessageError::Killed),
        Ok(WaitOutcome::TimedOut) if !is_over() => Err(MessageError::TimedOut),
        Ok(_) => Ok(()),
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        for ring in &mut self.rings {
            let ring = core::mem::replace(ring.get_mut(), null_mut());
            if !ring.is_null() {
                // SAFETY: made in `own_ring`, and nobody else has the channel any more.
                unsafe {
                    let ring = Box::from_raw(ring);
                    heap::free(ring.slots);
                }
            }
        }
    }
}
