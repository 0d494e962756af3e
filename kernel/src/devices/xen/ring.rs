//! A ring of requests and answers in one shared page (Xen, xen/include/public/io/ring.h), the frontend's side of it. An answer takes the
//! place of a request, in the order in which answers come.

use core::sync::atomic::{Ordering, fence};

use super::grants::{Lent, PAGE_BYTES, Table};
use crate::memory::OutOfMemory;
use crate::sync::SpinLock;

// Counters at the page's begin, then the entries.
const REQUESTS_MADE: usize = 0;
const REQUEST_EVENT: usize = 4;
const ANSWERS_MADE: usize = 8;
const ANSWER_EVENT: usize = 12;
const ENTRIES: usize = 64;

/// The frontend's side.
pub(crate) struct Ring {
    page: Lent,
    entry_bytes: usize,
    /// How many entries there are: a power of two.
    len: u32,
    /// Requests written, and how many of them the backend was told of.
    made: u32,
    published: u32,
    /// Answers taken.
    taken: u32,
}

impl Ring {
    /// An empty ring of entries of so many bytes, lent to a domain.
    ///
    /// # Errors
    /// When there is no memory, or no room in the table.
    pub(crate) fn new(
        table: &SpinLock<Table>,
        domain: u16,
        entry_bytes: usize,
    ) -> Result<Self, OutOfMemory> {
        let page = Lent::new(table, PAGE_BYTES, domain, false)?;
        let (request_event, answer_event) = (1_u32, 1_u32);
        page.write(REQUEST_EVENT, request_event);
        page.write(ANSWER_EVENT, answer_event);
        let most = (PAGE_BYTES - ENTRIES) / entry_bytes;
        Ok(Self {
            page,
            entry_bytes,
            len: 1 << most.ilog2(),
            made: 0,
            published: 0,
            taken: 0,
        })
    }

    /// By what the backend knows the page.
    pub(crate) fn reference(&self) -> u32 {
        self.page.reference(0)
    }

    /// The page, to write requests and to read answers.
    pub(crate) fn page(&self) -> &Lent {
        &self.page
    }

    /// Entries for which there is room.
    #[inline]
    pub(crate) fn room(&self) -> u32 {
        self.len - self.made.wrapping_sub(self.taken)
    }

    /// Whether all requests that the backend has were answered, and all of them were taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.made == self.taken
    }

    fn place(&self, number: u32) -> usize {
        ENTRIES + (number & (self.len - 1)) as usize * self.entry_bytes
    }

    /// The number of the next request, and where in the page it is to be written before [`Ring::push`]. There must be room.
    #[inline]
    pub(crate) fn next(&self) -> (u32, usize) {
        (self.made, self.place(self.made))
    }

    /// The next request is written.
    #[inline]
    pub(crate) fn push(&mut self) {
        self.made = self.made.wrapping_add(1);
    }

    /// Gives the backend all requests that are written; whether it wants to be told.
    #[must_use]
    pub(crate) fn publish(&mut self) -> bool {
        let before = core::mem::replace(&mut self.published, self.made);
        if before == self.made {
            return false;
        }
        fence(Ordering::SeqCst);
        self.page.write(REQUESTS_MADE, self.made);
        // The backend says how far it has looked before it rests, and looks again.
        fence(Ordering::SeqCst);
        let event: u32 = self.page.read(REQUEST_EVENT);
        self.made.wrapping_sub(event) < self.made.wrapping_sub(before)
    }

    /// Answers that are there. More than there are requests is a lie, and nothing.
    #[inline]
    pub(crate) fn waiting(&self) -> u32 {
        let made: u32 = self.page.read(ANSWERS_MADE);
        match made.wrapping_sub(self.taken) {
            waiting if waiting <= self.published.wrapping_sub(self.taken) => waiting,
            _ => 0,
        }
    }

    /// The number of the oldest answer, and where in the page it is, until [`Ring::take`].
    #[inline]
    pub(crate) fn answer(&self) -> Option<(u32, usize)> {
        if self.waiting() == 0 {
            return None;
        }
        fence(Ordering::Acquire);
        Some((self.taken, self.place(self.taken)))
    }

    /// The oldest answer is read: its place is free for a request.
    #[inline]
    pub(crate) fn take(&mut self) {
        self.taken = self.taken.wrapping_add(1);
    }

    /// Has the backend tell of the next answer; whether one is there already.
    #[inline]
    pub(crate) fn listen(&self) -> bool {
        self.page.write(ANSWER_EVENT, self.taken.wrapping_add(1));
        fence(Ordering::SeqCst);
        self.waiting() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{ANSWERS_MADE, REQUEST_EVENT, REQUESTS_MADE, Ring};
    use crate::devices::xen::tests::table;

    fn ring(entry_bytes: usize) -> Ring {
        Ring::new(table(), 0, entry_bytes).expect("memory")
    }

    #[test]
    fn rings_have_as_many_entries_as_the_header_says() {
        for (bytes, len) in [(112, 32), (12, 256), (8, 256)] {
            assert_eq!(ring(bytes).room(), len);
        }
    }

    #[test]
    fn requests_and_answers_go_round_and_their_counters_through_their_end() {
        let mut ring = ring(12);
        let start = u32::MAX - 100;
        (ring.made, ring.published, ring.taken) = (start, start, start);
        for at in [REQUESTS_MADE, ANSWERS_MADE] {
            ring.page.write(at, start);
        }
        for round in 0..300_u32 {
            let number = start.wrapping_add(round);
            assert_eq!(ring.next().0, number);
            ring.push();
            ring.page.write(REQUEST_EVENT, number.wrapping_add(1));
            assert!(ring.publish());
            assert!(!ring.publish(), "nothing new");
            assert_eq!(ring.answer(), None);
            ring.page.write(ANSWERS_MADE, number.wrapping_add(1));
            assert_eq!(ring.answer().map(|(number, _)| number), Some(number));
            ring.take();
            assert!(ring.is_idle());
        }
    }

    #[test]
    fn a_backend_that_still_looks_is_not_told() {
        let mut ring = ring(12);
        ring.push();
        assert!(ring.publish());
        ring.push();
        assert!(!ring.publish(), "it wanted to know of the first alone");
        ring.page.write(REQUEST_EVENT, 3_u32);
        ring.push();
        assert!(ring.publish());
    }

    #[test]
    fn answers_to_what_was_not_asked_are_none() {
        let mut ring = ring(8);
        for lie in [1, 2, 256, u32::MAX] {
            ring.page.write(ANSWERS_MADE, lie);
            assert_eq!(ring.answer(), None);
            assert!(!ring.listen());
        }
        ring.push();
        // Written, but the backend was not told of it.
        ring.page.write(ANSWERS_MADE, 1_u32);
        assert_eq!(ring.answer(), None);
        assert!(ring.publish());
        assert!(ring.answer().is_some());
        ring.page.write(ANSWERS_MADE, 2_u32);
        assert_eq!(ring.answer(), None);
    }
}
