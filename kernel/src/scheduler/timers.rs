//! Deadlines of a core's threads, in a binary heap. Each thread knows its place, so that a deadline can be taken out when the thread
//! is woken before it.

use alloc::vec::Vec;

use super::thread::Thread;

/// Threads with deadlines, the next one first.
pub(super) struct Timers {
    heap: Vec<(u64, *const Thread)>,
}

/// Place of a thread that has no deadline.
const NOWHERE: usize = usize::MAX;

impl Timers {
    pub(super) const fn new() -> Self {
        Self { heap: Vec::new() }
    }

    /// The next deadline, in nanoseconds since boot.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.heap.first().map(|&(deadline, _)| deadline)
    }

    fn place(&mut self, index: usize, entry: (u64, *const Thread)) {
        self.heap[index] = entry;
        // SAFETY: a thread with a deadline is blocked or running, so it lives.
        unsafe { (*entry.1).timer_slot.set(index) };
    }

    pub(super) fn insert(&mut self, deadline_ns: u64, thread: &Thread) {
        self.heap.push((deadline_ns, thread));
        self.sift_up(self.heap.len() - 1);
    }

    pub(super) fn remove(&mut self, thread: &Thread) {
        let index = thread.timer_slot.replace(NOWHERE);
        if index == NOWHERE {
            return;
        }
        let Some(last) = self.heap.pop() else { return };
        if index < self.heap.len() {
            self.place(index, last);
            self.sift_down(index);
            // SAFETY: as in `place`.
            self.sift_up(unsafe { (*last.1).timer_slot.get() });
        }
    }

    fn sift_up(&mut self, mut index: usize) {
        let entry = self.heap[index];
        while index > 0 {
            let parent = (index - 1) / 2;
            if self.heap[parent].0 <= entry.0 {
                break;
            }
            self.place(index, self.heap[parent]);
            index = parent;
        }
        self.place(index, entry);
    }

    fn sift_down(&mut self, mut index: usize) {
        let entry = self.heap[index];
        loop {
            let mut child = 2 * index + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len() && self.heap[child + 1].0 < self.heap[child].0 {
                child += 1;
            }
            if self.heap[child].0 >= entry.0 {
                break;
            }
            self.place(index, self.heap[child]);
            index = child;
        }
        self.place(index, entry);
    }

    /// Takes out a thread whose deadline has passed.
    pub(super) fn pop_expired(&mut self, now_ns: u64) -> Option<*const Thread> {
        let &(deadline, thread) = self.heap.first()?;
        if deadline > now_ns {
            return None;
        }
        // SAFETY: as in `place`.
        self.remove(unsafe { &*thread });
        Some(thread)
    }
}
