//! Watches and the queues of what they saw (Linux: inotify(7)).
//!
//! A watch is on a node, by its file system and number: it holds neither, so that files go and file systems can be unmounted as if nobody looked.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::{WATCHER, WATCHES, Watcher};
use crate::error::{Errno, Result};
use crate::scheduler::Notifier;
use crate::storage::vfs::namespace::{Entry, Mount};
use crate::storage::vfs::node::NodeRef;
use crate::sync::SpinLock;

/// As many watches as there can be, and as many events as wait in a queue (Linux: `max_user_watches`, `max_queued_events`).
pub const MAX_WATCHES: usize = 65_536;
/// See [`MAX_WATCHES`].
pub const MAX_QUEUED: usize = 16_384;
/// Names that open files were given, which are kept.
const MAX_MOVES: usize = 256;
/// Number of watch, events, cookie, length of the name: 32 bits each.
const HEADER_BYTES: usize = size_of::<libc::inotify_event>();
/// What the program is told whether it asked for it or not.
const UNASKED: u32 = libc::IN_IGNORED | libc::IN_Q_OVERFLOW | libc::IN_UNMOUNT;

#[derive(PartialEq, Eq)]
struct Event {
    watch: i32,
    events: u32,
    cookie: u32,
    name: Box<[u8]>,
}

impl Event {
    /// The name is closed by a zero, and filled up to a multiple of the header's length.
    fn name_bytes(&self) -> usize {
        match self.name.len() {
            0 => 0,
            len => (len + 1).next_multiple_of(HEADER_BYTES),
        }
    }

    fn put(&self, record: &mut [u8]) {
        record.fill(0);
        let numbers = [
            self.watch as u32,
            self.events,
            self.cookie,
            self.name_bytes() as u32,
        ];
        for (place, number) in record.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        record[HEADER_BYTES..][..self.name.len()].copy_from_slice(&self.name);
    }
}

struct Waiting {
    events: VecDeque<Event>,
    last_watch: i32,
}

/// What waits to be read by a program, and what it watches.
pub struct Queue {
    waiting: SpinLock<Waiting>,
    notifier: Notifier,
}

/// A watch of a node.
struct Watch {
    queue: Arc<Queue>,
    number: i32,
    events: u32,
    /// Keeps the address in the key from being another's.
    _mount: Weak<Mount>,
}

/// A node: its file system by the address of its mount, its number.
type Key = (usize, u64);

fn key_of(mount: &Arc<Mount>, node: &NodeRef) -> Key {
    (Arc::as_ptr(mount) as usize, node.number())
}

/// A directory by its number, and a name in it.
type Name = (u64, Box<[u8]>);

/// Files may be open by a name that they have no more.
struct Move {
    node: Key,
    from: Name,
    to: Name,
}

struct Inotify {
    watches: SpinLock<BTreeMap<Key, Vec<Watch>>>,
    moves: SpinLock<VecDeque<Move>>,
}

static INOTIFY: Inotify = Inotify {
    watches: SpinLock::new(BTreeMap::new()),
    moves: SpinLock::new(VecDeque::new()),
};

impl Queue {
    /// An empty queue without watches.
    pub fn new() -> Arc<Self> {
        let _ = WATCHER.set(&INOTIFY);
        Arc::new(Self {
            waiting: SpinLock::new(Waiting {
                events: VecDeque::new(),
                last_watch: 0,
            }),
            notifier: Notifier::new(),
        })
    }

    /// Who wants to know when there is something to read.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// How many bytes can be read.
    pub fn unread(&self) -> usize {
        let waiting = self.waiting.lock();
        let lens = waiting.events.iter().map(Event::name_bytes);
        lens.map(|len| HEADER_BYTES + len).sum()
    }

    /// Watches what is at a place, for these events and as these flags say; the number of the watch. What is watched already keeps its number.
    ///
    /// # Errors
    /// `EINVAL` without an event; `EEXIST` where nothing may be changed (`IN_MASK_CREATE`); `ENOSPC` when there are too many watches.
    pub fn watch(self: &Arc<Self>, entry: &Entry, asked: u32) -> Result<i32> {
        let has = |flag: u32| asked & flag != 0;
        // What may be said of a watch; the rest concerns only how it is made.
        let known = libc::IN_ALL_EVENTS | libc::IN_ONESHOT | libc::IN_EXCL_UNLINK | UNASKED;
        let events = asked & known;
        if events == 0 || has(libc::IN_MASK_ADD) && has(libc::IN_MASK_CREATE) {
            return Err(Errno(libc::EINVAL));
        }
        let mut all = INOTIFY.watches.lock();
        let of_node = all.entry(key_of(&entry.mount, &entry.node)).or_default();
        let own = of_node
            .iter_mut()
            .find(|watch| Arc::ptr_eq(&watch.queue, self));
        if let Some(watch) = own {
            if has(libc::IN_MASK_CREATE) {
                return Err(Errno(libc::EEXIST));
            }
            watch.events = match has(libc::IN_MASK_ADD) {
                true => watch.events | events,
                false => events,
            };
            return Ok(watch.number);
        }
        if WATCHES.load(Ordering::Relaxed) >= MAX_WATCHES {
            return Err(Errno(libc::ENOSPC));
        }
        let number = {
            let mut waiting = self.waiting.lock();
            let next = waiting.last_watch.checked_add(1);
            waiting.last_watch = next.ok_or(Errno(libc::ENOSPC))?;
            waiting.last_watch
        };
        of_node.push(Watch {
            queue: self.clone(),
            number,
            events,
            _mount: Arc::downgrade(&entry.mount),
        });
        WATCHES.fetch_add(1, Ordering::Relaxed);
        Ok(number)
    }

    /// Ends a watch, of which the queue tells (`IN_IGNORED`).
    ///
    /// # Errors
    /// `EINVAL` when there is none of this number.
    pub fn unwatch(self: &Arc<Self>, number: i32) -> Result<()> {
        if self.end_watches(|watch| watch.number == number) == 0 {
            return Err(Errno(libc::EINVAL));
        }
        self.push(number, libc::IN_IGNORED, 0, &[]);
        self.notifier.notify();
        Ok(())
    }

    /// Ends all watches: nobody reads any more.
    pub fn close(self: &Arc<Self>) {
        self.end_watches(|_| true);
    }

    fn end_watches(self: &Arc<Self>, is_meant: impl Fn(&Watch) -> bool) -> usize {
        let mut ended = Vec::new();
        INOTIFY.watches.lock().retain(|_, of_node| {
            ended.extend(of_node.extract_if(.., |watch| {
                Arc::ptr_eq(&watch.queue, self) && is_meant(watch)
            }));
            !of_node.is_empty()
        });
        WATCHES.fetch_sub(ended.len(), Ordering::Relaxed);
        ended.len()
    }

    /// Reads as many events as there is room for, waiting for the first if allowed.
    ///
    /// # Errors
    /// `EINVAL` when there is no room for the first event; `EAGAIN` when there is none.
    pub fn read(&self, buf: &mut [u8], may_wait: bool) -> Result<usize> {
        let mut waiting = self.waiting.lock();
        while waiting.events.is_empty() {
            if !may_wait {
                return Err(Errno(libc::EAGAIN));
            }
            (waiting, _) = self.notifier.wait(waiting, None);
        }
        let mut filled = 0;
        while let Some(event) = waiting.events.front() {
            let len = HEADER_BYTES + event.name_bytes();
            let Some(record) = buf[filled..].get_mut(..len) else {
                break;
            };
            event.put(record);
            filled += len;
            waiting.events.pop_front();
        }
        match filled {
            0 => Err(Errno(libc::EINVAL)),
            _ => Ok(filled),
        }
    }

    /// Puts an event behind the others; what is the same as the last is it.
    fn push(&self, watch: i32, events: u32, cookie: u32, name: &[u8]) {
        let mut waiting = self.waiting.lock();
        let event = match waiting.events.len() {
            MAX_QUEUED.. => return,
            len if len == MAX_QUEUED - 1 => Event {
                watch: -1,
                events: libc::IN_Q_OVERFLOW,
                cookie: 0,
                name: Box::default(),
            },
            _ => Event {
                watch,
                events,
                cookie,
                name: Box::from(name),
            },
        };
        let is_same = |last: &Event| {
            Event {
                cookie,
                ..copy(last)
            } == event
        };
        if events & libc::IN_IGNORED != 0 || !waiting.events.back().is_some_and(is_same) {
            waiting.events.push_back(event);
        }
    }
}

fn copy(event: &Event) -> Event {
    Event {
        name: event.name.clone(),
        ..*event
    }
}

impl Inotify {
    /// Tells all who watch a node.
    fn tell(&self, node: Key, events: u32, cookie: u32, name: &[u8], is_unlinked: bool) {
        let is_last = events & (libc::IN_DELETE_SELF | libc::IN_UNMOUNT) != 0;
        let mut told = Vec::new();
        let mut ended = Vec::new();
        let mut all = self.watches.lock();
        let Some(of_node) = all.get_mut(&node) else {
            return;
        };
        of_node.retain(|watch| {
            let is_wanted = (watch.events | UNASKED) & events & !libc::IN_ISDIR != 0
                && !(is_unlinked && watch.events & libc::IN_EXCL_UNLINK != 0);
            if is_wanted {
                watch.queue.push(watch.number, events, cookie, name);
            }
            let is_over = is_last || is_wanted && watch.events & libc::IN_ONESHOT != 0;
            if is_over {
                watch.queue.push(watch.number, libc::IN_IGNORED, 0, &[]);
            }
            if is_wanted || is_over {
                told.push(watch.queue.clone());
            }
            if is_over {
                ended.push(watch.queue.clone());
            }
            !is_over
        });
        WATCHES.fetch_sub(ended.len(), Ordering::Relaxed);
        if of_node.is_empty() {
            all.remove(&node);
        }
        drop(all);
        told.iter().for_each(|queue| queue.notifier.notify());
    }

    /// The directory and name of a place, as they are now.
    fn name_now(&self, node: Key, directory: u64, name: &[u8]) -> Option<Name> {
        let moves = self.moves.lock();
        let found = moves
            .iter()
            .find(|one| one.node == node && one.from.0 == directory && *one.from.1 == *name);
        found.map(|one| one.to.clone())
    }
}

impl Watcher for Inotify {
    fn at(&self, entry: &Entry, events: u32) {
        let events = events | super::kind_of(&entry.node);
        let key = key_of(&entry.mount, &entry.node);
        if let Some((directory, name)) = entry.place() {
            let parent = key_of(&directory.mount, &directory.node);
            let now = self.name_now(key, parent.1, name);
            let (number, name) = now.as_ref().map_or((parent.1, name), |now| (now.0, &now.1));
            let parent = (parent.0, number);
            if self.watches.lock().contains_key(&parent) {
                let is_unlinked = entry.node.metadata().is_ok_and(|facts| facts.links == 0);
                self.tell(parent, events, 0, name, is_unlinked);
            }
        }
        self.tell(key, events, 0, &[], false);
    }

    fn to(&self, mount: &Arc<Mount>, node: &NodeRef, events: u32) {
        self.tell(key_of(mount, node), events, 0, &[], false);
    }

    fn inside(&self, directory: &Entry, name: &[u8], events: u32, cookie: u32) {
        let key = key_of(&directory.mount, &directory.node);
        self.tell(key, events, cookie, name, false);
    }

    fn named(&self, node: &NodeRef, from: Option<(&Entry, &[u8])>, to: (&Entry, &[u8])) {
        let key = key_of(&to.0.mount, node);
        let name = |(directory, name): (&Entry, &[u8])| (directory.node.number(), Box::from(name));
        let to = name(to);
        let mut moves = self.moves.lock();
        let Some(from) = from.map(name) else {
            // A number that was another file's before.
            return moves.retain(|one| one.node != key);
        };
        for one in moves.iter_mut() {
            if one.node == key && one.to == from {
                one.to = to.clone();
            }
        }
        moves.retain(|one| one.from != one.to);
        moves.push_back(Move {
            node: key,
            from,
            to,
        });
        if moves.len() > MAX_MOVES {
            moves.pop_front();
        }
    }

    fn is_watched(&self, mount: &Arc<Mount>, node: &NodeRef) -> bool {
        self.watches.lock().contains_key(&key_of(mount, node))
    }

    fn unmounted(&self, mount: &Arc<Mount>) {
        let address = Arc::as_ptr(mount) as usize;
        let range = (address, 0)..=(address, u64::MAX);
        let nodes: Vec<Key> = self
            .watches
            .lock()
            .range(range)
            .map(|(key, _)| *key)
            .collect();
        for node in nodes {
            self.tell(node, libc::IN_UNMOUNT, 0, &[], false);
        }
    }
}
