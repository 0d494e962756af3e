//! `epoll` (Linux: epoll(7), epoll_ctl(2), epoll_wait(2)): waiting for many descriptors at a cost per event.
//!
//! An instance observes the objects it watches. One that may have become ready is put in a queue, once; waiting takes from the
//! queue and asks each object whether it is ready indeed. A level-triggered one that is goes back to the end of the queue.
//!
//! As on Linux a watch is of a descriptor and its open description: it ends when the last descriptor of that description is
//! closed. An instance can be watched by another. `EPOLLEXCLUSIVE` promises that at least one of several instances is told; all are.
//!
//! Locks are taken in this order: `watches`, those of objects, `queue`.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, Ordering};

use super::clock::nanoseconds;
use super::convert::{c_result, c_status, get};
use super::object::{self, Description, Object};
use super::signal;
use crate::arch::clock;
use crate::error::{Errno, Result};
use crate::scheduler::{self, Notifier, Observer, Readiness, Turn, WaitQueue};
use crate::sync::SpinLock;

/// As many descriptors as an instance watches.
const MAX_WATCHES: usize = object::MAX_DESCRIPTORS;
/// Instances may watch instances, so deep.
const MAX_DEPTH: usize = 5;
/// A program that always finds events still lets devices and other threads have the core, every so many calls.
const CALLS_PER_YIELD: u32 = 16;

const EDGE: u32 = libc::EPOLLET as u32;
const ONE_SHOT: u32 = libc::EPOLLONESHOT as u32;
const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
const WAKE_UP: u32 = libc::EPOLLWAKEUP as u32;
const ALWAYS: Readiness = Readiness::ERROR.union(Readiness::HANGUP);

/// A watch's place in [`Watches::slots`], and the token under which objects know it.
type Index = u32;

struct Watch {
    key: Key,
    description: Weak<Description>,
    events: u32,
    data: u64,
    /// Cleared when a one-shot watch has told its event.
    is_armed: bool,
}

/// A descriptor and the address of its description.
type Key = (c_int, usize);

#[derive(Default)]
struct Watches {
    slots: Vec<Option<Watch>>,
    free: Vec<Index>,
    by_key: BTreeMap<Key, Index>,
}

#[derive(Default)]
struct Queue {
    indices: VecDeque<Index>,
    /// Which indices are in the queue, so that each is there once.
    is_queued: Vec<bool>,
}

struct Instance {
    /// One thread at a time takes from the queue, so that what it puts back is not told twice.
    collecting: Turn,
    watches: SpinLock<Watches>,
    queue: SpinLock<Queue>,
    sleepers: WaitQueue,
    /// For those who watch the instance itself.
    notifier: Notifier,
    calls: AtomicU32,
}

/// What a descriptor of an instance leads to.
struct Epoll(Arc<Instance>);

/// Only one watch of an instance by another is added at a time, so that no circle comes about.
static NESTING: Turn = Turn::new();

impl Observer for Instance {
    fn notified(&self, token: u64) {
        self.enqueue(token as Index);
    }

    fn gone(&self, token: u64) {
        let mut watches = self.watches.lock();
        watches.remove(token as Index);
    }
}

impl Watches {
    fn remove(&mut self, index: Index) {
        if let Some(watch) = self.slots.get_mut(index as usize).and_then(Option::take) {
            self.by_key.remove(&watch.key);
            self.free.push(index);
        }
    }

    fn find(&mut self, key: Key) -> Result<(Index, &mut Watch)> {
        let index = *self.by_key.get(&key).ok_or(Errno(libc::ENOENT))?;
        match &mut self.slots[index as usize] {
            Some(watch) => Ok((index, watch)),
            None => Err(Errno(libc::ENOENT)),
        }
    }
}

fn no_memory<E>(_: E) -> Errno {
    Errno(libc::ENOMEM)
}

impl Instance {
    /// Notes that a watch may have an event, and wakes one who waits.
    fn enqueue(&self, index: Index) {
        {
            let mut queue = self.queue.lock();
            match queue.is_queued.get_mut(index as usize) {
                Some(is_queued) if !*is_queued => *is_queued = true,
                _ => return,
            }
            queue.indices.push_back(index);
        }
        self.sleepers.wake_one();
        self.notifier.notify();
    }

    /// Takes the first of the queue.
    fn dequeue(&self) -> Option<Index> {
        let mut queue = self.queue.lock();
        let index = queue.indices.pop_front()?;
        queue.is_queued[index as usize] = false;
        Some(index)
    }

    /// What a watch has to tell now: the events that there are, those that are wanted, its data.
    fn look(&self, index: Index) -> Option<(u32, u32, u64)> {
        let (description, wanted, data) = {
            let watches = self.watches.lock();
            let watch = watches.slots.get(index as usize)?.as_ref()?;
            if !watch.is_armed {
                return None;
            }
            (watch.description.upgrade()?, watch.events, watch.data)
        };
        let readiness = description.object().readiness() & readiness_of(wanted);
        Some((readiness.bits(), wanted, data))
    }

    /// Fills in the events there are; how many.
    fn collect(&self, events: &mut [libc::epoll_event]) -> usize {
        let _turn = self.collecting.take();
        let mut count = 0;
        // What is put back in the queue is not looked at again in this round.
        let candidates = self.queue.lock().indices.len();
        for _ in 0..candidates {
            let Some(slot) = events.get_mut(count) else {
                break;
            };
            let Some(index) = self.dequeue() else { break };
            let Some((found, wanted, data)) = self.look(index) else {
                continue;
            };
            if found == 0 {
                continue;
            }
            *slot = libc::epoll_event {
                events: found,
                u64: data,
            };
            count += 1;
            if wanted & ONE_SHOT != 0 {
                if let Some(Some(watch)) = self.watches.lock().slots.get_mut(index as usize) {
                    watch.is_armed = false;
                }
            } else if wanted & EDGE == 0 {
                self.requeue(index);
            }
        }
        count
    }

    fn requeue(&self, index: Index) {
        let mut queue = self.queue.lock();
        if !core::mem::replace(&mut queue.is_queued[index as usize], true) {
            queue.indices.push_back(index);
        }
    }

    /// Waits for events until the deadline; how many were filled in.
    fn wait(&self, events: &mut [libc::epoll_event], deadline_ns: Option<u64>) -> usize {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut has_yielded = calls % CALLS_PER_YIELD == CALLS_PER_YIELD - 1;
        if has_yielded {
            scheduler::yield_now();
        }
        loop {
            if !self.queue.lock().indices.is_empty() {
                let count = self.collect(events);
                if count != 0 {
                    if !self.queue.lock().indices.is_empty() {
                        self.sleepers.wake_one();
                    }
                    return count;
                }
            }
            if deadline_ns.is_some_and(|deadline| deadline <= clock::now_ns()) {
                // Somebody who only ever looks lets devices bring something to see.
                if has_yielded {
                    return 0;
                }
                has_yielded = true;
                scheduler::yield_now();
                continue;
            }
            let queue = self.queue.lock();
            if queue.indices.is_empty() {
                drop(self.sleepers.wait(queue, deadline_ns));
            }
        }
    }

    fn add(
        self: &Arc<Self>,
        key: Key,
        description: &Arc<Description>,
        event: libc::epoll_event,
    ) -> Result<()> {
        let notifier = description.object().notifier().ok_or(Errno(libc::EPERM))?;
        let index = {
            let mut watches = self.watches.lock();
            let watches = &mut *watches;
            if watches.by_key.contains_key(&key) {
                return Err(Errno(libc::EEXIST));
            }
            let index = match watches.free.pop() {
                Some(index) => index,
                None if watches.slots.len() >= MAX_WATCHES => return Err(Errno(libc::ENOSPC)),
                None => self.grow(watches)?,
            };
            watches.slots[index as usize] = Some(Watch {
                key,
                description: Arc::downgrade(description),
                events: event.events,
                data: event.u64,
                is_armed: true,
            });
            watches.by_key.insert(key, index);
            // With the lock held: nobody removes the watch before the object knows of it.
            notifier.subscribe(u64::from(index), self.clone());
            index
        };
        self.enqueue_if_ready(index, description, event.events);
        Ok(())
    }

    /// Makes a new slot, and room for it wherever it will be noted, so that nothing needs memory when events come.
    fn grow(&self, watches: &mut Watches) -> Result<Index> {
        let slots = watches.slots.len() + 1;
        watches.slots.try_reserve(1).map_err(no_memory)?;
        let missing = slots.saturating_sub(watches.free.len());
        watches.free.try_reserve(missing).map_err(no_memory)?;
        let mut queue = self.queue.lock();
        let missing = slots - queue.indices.len();
        queue.indices.try_reserve(missing).map_err(no_memory)?;
        queue.is_queued.try_reserve(1).map_err(no_memory)?;
        queue.is_queued.push(false);
        watches.slots.push(None);
        Ok((slots - 1) as Index)
    }

    fn modify(&self, key: Key, description: &Description, event: libc::epoll_event) -> Result<()> {
        let index = {
            let mut watches = self.watches.lock();
            let (index, watch) = watches.find(key)?;
            if (watch.events | event.events) & EXCLUSIVE != 0 {
                return Err(Errno(libc::EINVAL));
            }
            watch.events = event.events;
            watch.data = event.u64;
            watch.is_armed = true;
            index
        };
        self.enqueue_if_ready(index, description, event.events);
        Ok(())
    }

    fn enqueue_if_ready(&self, index: Index, description: &Description, events: u32) {
        if description
            .object()
            .readiness()
            .intersects(readiness_of(events))
        {
            self.enqueue(index);
        }
    }

    fn delete(self: &Arc<Self>, key: Key, description: &Description) -> Result<()> {
        let mut watches = self.watches.lock();
        let (index, _) = watches.find(key)?;
        let observer: Arc<dyn Observer> = self.clone();
        if let Some(notifier) = description.object().notifier() {
            notifier.unsubscribe(u64::from(index), &observer);
        }
        watches.remove(index);
        Ok(())
    }

    /// The descriptions that are watched.
    fn watched(&self) -> Vec<Arc<Description>> {
        let watches = self.watches.lock();
        let watches = watches.slots.iter().flatten();
        watches
            .filter_map(|watch| watch.description.upgrade())
            .collect()
    }

    /// Whether the instance can be watched by `other`: with no circle, and not too deep.
    fn can_be_watched_by(&self, other: &Instance, depth: usize) -> bool {
        depth < MAX_DEPTH
            && !core::ptr::eq(self, other)
            && self
                .watched()
                .iter()
                .filter_map(|description| description.downcast::<Epoll>())
                .all(|epoll| epoll.0.can_be_watched_by(other, depth + 1))
    }
}

fn readiness_of(events: u32) -> Readiness {
    Readiness::from_bits_truncate(events) | ALWAYS
}

impl Object for Epoll {
    /// Readable while there is an event to wait for.
    fn readiness(&self) -> Readiness {
        let mut candidates = self.0.queue.lock().indices.len();
        while candidates != 0
            && let Some(index) = self.0.dequeue()
        {
            candidates -= 1;
            if self.0.look(index).is_some_and(|(found, ..)| found != 0) {
                self.0.requeue(index);
                return Readiness::READABLE;
            }
        }
        Readiness::empty()
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(&self.0.notifier)
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        object::stat_anonymous(stat);
        Ok(())
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        let watches = core::mem::take(&mut *self.0.watches.lock());
        let observer: Arc<dyn Observer> = self.0.clone();
        for (watch, index) in watches.slots.iter().zip(0..) {
            let description = watch.as_ref().and_then(|watch| watch.description.upgrade());
            if let Some(notifier) = description.as_ref().and_then(|d| d.object().notifier()) {
                notifier.unsubscribe(index, &observer);
            }
        }
    }
}

/// Makes an instance.
#[unsafe(no_mangle)]
pub(super) extern "C" fn epoll_create1(flags: c_int) -> c_int {
    if flags & !libc::EPOLL_CLOEXEC != 0 {
        return c_result(Err(Errno(libc::EINVAL)));
    }
    let instance = Arc::new(Instance {
        collecting: Turn::new(),
        watches: SpinLock::new(Watches::default()),
        queue: SpinLock::new(Queue::default()),
        sleepers: WaitQueue::new(),
        notifier: Notifier::new(),
        calls: AtomicU32::new(0),
    });
    c_result(object::insert(
        Box::new(Epoll(instance)),
        (libc::O_RDWR | flags) as u32,
    ))
}

/// Makes an instance; the size only has to be positive.
#[unsafe(no_mangle)]
pub(super) extern "C" fn epoll_create(size: c_int) -> c_int {
    if size <= 0 {
        return c_result(Err(Errno(libc::EINVAL)));
    }
    epoll_create1(0)
}

/// Adds, changes or removes a watch.
///
/// # Safety
/// `event` is null or can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_ctl(
    epoll: c_int,
    operation: c_int,
    descriptor: c_int,
    event: *const libc::epoll_event,
) -> c_int {
    c_status((|| {
        let instance = object::get(epoll)?;
        let description = object::get(descriptor)?;
        let invalid = Errno(libc::EINVAL);
        let instance = &instance.downcast::<Epoll>().ok_or(invalid)?.0;
        let key = (descriptor, Arc::as_ptr(&description) as usize);
        if operation == libc::EPOLL_CTL_DEL {
            return instance.delete(key, &description);
        }
        // SAFETY: null, or the caller's event.
        let event = unsafe { get(event) }.ok_or(Errno(libc::EFAULT))?;
        let inner = description.downcast::<Epoll>();
        if inner.is_some_and(|inner| Arc::ptr_eq(&inner.0, instance)) {
            return Err(invalid);
        }
        match operation {
            libc::EPOLL_CTL_ADD => {
                let with_exclusive = (libc::EPOLLIN | libc::EPOLLOUT) as u32;
                let with_exclusive = with_exclusive | ALWAYS.bits() | EDGE | EXCLUSIVE | WAKE_UP;
                let events = event.events;
                if events & EXCLUSIVE != 0 && (events & !with_exclusive != 0 || inner.is_some()) {
                    return Err(invalid);
                }
                let _nesting = inner.map(|_| NESTING.take());
                if inner.is_some_and(|inner| !inner.0.can_be_watched_by(instance, 1)) {
                    return Err(Errno(libc::ELOOP));
                }
                instance.add(key, &description, event)
            }
            libc::EPOLL_CTL_MOD => instance.modify(key, &description, event),
            _ => Err(invalid),
        }
    })())
}

/// Waits until a time since boot, with these signals blocked meanwhile.
///
/// # Safety
/// `max_events` events can be written at `events`; `mask` is null or can be read.
unsafe fn wait_until(
    epoll: c_int,
    events: *mut libc::epoll_event,
    max_events: c_int,
    deadline_ns: Option<u64>,
    mask: *const u64,
) -> Result<c_int> {
    let description = object::get(epoll)?;
    let invalid = Errno(libc::EINVAL);
    let instance = description.downcast::<Epoll>().ok_or(invalid)?;
    let max_events = usize::try_from(max_events).ok().filter(|&max| max != 0);
    let max_events = max_events.ok_or(invalid)?.min(MAX_WATCHES);
    if events.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: not null, and the caller's array.
    let events = unsafe { core::slice::from_raw_parts_mut(events, max_events) };
    // SAFETY: null, or the caller's set, whose first word holds all signals there are.
    let _mask = unsafe { get(mask) }.map(signal::blocked_meanwhile);
    Ok(instance.0.wait(events, deadline_ns) as c_int)
}

/// Waits for events, up to `timeout_ms` milliseconds; for ever if that is negative.
///
/// # Safety
/// `max_events` events can be written at `events`.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    max_events: c_int,
    timeout_ms: c_int,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { epoll_pwait(epoll, events, max_events, timeout_ms, core::ptr::null()) }
}

/// As [`epoll_wait`], with a set of signals blocked meanwhile.
///
/// # Safety
/// As there; `mask` is null or can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_pwait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    max_events: c_int,
    timeout_ms: c_int,
    mask: *const u64,
) -> c_int {
    let deadline_ns = u64::try_from(timeout_ms)
        .ok()
        .map(|ms| clock::now_ns().saturating_add(ms * 1_000_000));
    // SAFETY: the same contract.
    c_result(unsafe { wait_until(epoll, events, max_events, deadline_ns, mask) })
}

/// As [`epoll_pwait`], with a timeout in nanoseconds; null is for ever.
///
/// # Safety
/// As there; `timeout` is null or can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_pwait2(
    epoll: c_int,
    events: *mut libc::epoll_event,
    max_events: c_int,
    timeout: *const libc::timespec,
    mask: *const u64,
) -> c_int {
    c_result((|| {
        // SAFETY: null, or the caller's time.
        let timeout = unsafe { get(timeout) };
        let timeout_ns = timeout.map(|time| nanoseconds(&time)).transpose()?;
        let deadline_ns = timeout_ns.map(|ns| clock::now_ns().saturating_add(ns));
        // SAFETY: the same contract.
        unsafe { wait_until(epoll, events, max_events, deadline_ns, mask) }
    })())
}
