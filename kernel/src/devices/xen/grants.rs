//! The table of the pages that this domain lends to others (Xen, xen/include/public/grant_table.h, version 1): an entry a page, which the
//! other domain names by its number.
//!
//! What was lent stays so: a backend may keep a page mapped for as long as it likes, so its memory is never used for anything else.

use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{Ordering, fence};

#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;
use crate::sync::SpinLock;

/// A page of memory, in bytes.
pub(crate) const PAGE_BYTES: usize = 4096;

// An entry: flags, domain, number of the page.
const ENTRY_BYTES: usize = 8;
const FLAGS: usize = 0;
const DOMAIN: usize = 2;
const PAGE: usize = 4;
const PERMIT_ACCESS: u16 = 1;
const READ_ONLY: u16 = 4;

const ENTRIES_PER_PAGE: u32 = (PAGE_BYTES / ENTRY_BYTES) as u32;
/// The first are for what the toolstack lends in the domain's name.
const RESERVED: u32 = 8;
/// More than that Xen need not give (its default is 64).
const MAX_PAGES: usize = 32;

/// The table.
pub(crate) struct Table {
    pages: Vec<DmaBuffer>,
    used: u32,
    /// Has a page of ours show this page of the table.
    show: fn(index: u64, phys: u64) -> bool,
}

impl Table {
    /// A table of which nothing is used; none of its pages is there before it is needed.
    pub(crate) const fn new(show: fn(index: u64, phys: u64) -> bool) -> Self {
        Self {
            pages: Vec::new(),
            used: RESERVED,
            show,
        }
    }

    /// Takes so many entries, which follow on one another; the first. Nothing is lent by them yet.
    ///
    /// # Errors
    /// When there is no memory, or the table cannot grow.
    pub(crate) fn reserve(&mut self, count: u32) -> Result<u32, OutOfMemory> {
        let end = self.used.checked_add(count).ok_or(OutOfMemory)?;
        while (self.pages.len() as u32) * ENTRIES_PER_PAGE < end {
            if self.pages.len() == MAX_PAGES {
                return Err(OutOfMemory);
            }
            let page = DmaBuffer::new(PAGE_BYTES)?;
            if !(self.show)(self.pages.len() as u64, page.phys()) {
                return Err(OutOfMemory);
            }
            self.pages.push(page);
        }
        Ok(core::mem::replace(&mut self.used, end))
    }

    /// Lends a page, by an entry that was reserved and not used so far, to a domain. It is never used for anything else.
    pub(crate) fn lend(&mut self, entry: u32, domain: u16, phys: u64, is_read_only: bool) {
        let Some(table) = self.pages.get((entry / ENTRIES_PER_PAGE) as usize) else {
            return;
        };
        let at = (entry % ENTRIES_PER_PAGE) as usize * ENTRY_BYTES;
        let page = (phys / PAGE_BYTES as u64) as u32;
        table.write(at + PAGE, page);
        table.write(at + DOMAIN, domain);
        // The flags last: they give it away.
        fence(Ordering::SeqCst);
        let only = if is_read_only { READ_ONLY } else { 0 };
        table.write(at + FLAGS, PERMIT_ACCESS | only);
    }

    /// What a domain would find: the page's address, and whether it may only be read.
    #[cfg(test)]
    pub(crate) fn look_up(&self, entry: u32, by: u16) -> Option<(u64, bool)> {
        let table = self.pages.get((entry / ENTRIES_PER_PAGE) as usize)?;
        let at = (entry % ENTRIES_PER_PAGE) as usize * ENTRY_BYTES;
        let (flags, domain): (u16, u16) = (table.read(at + FLAGS), table.read(at + DOMAIN));
        let page: u32 = table.read(at + PAGE);
        let is_lent = flags & PERMIT_ACCESS != 0 && domain == by;
        is_lent.then_some((u64::from(page) * PAGE_BYTES as u64, flags & READ_ONLY != 0))
    }
}

/// The domain's table.
#[cfg(not(test))]
pub(crate) fn table() -> &'static SpinLock<Table> {
    use crate::arch::x86_64::xen::{self, Space};

    static TABLE: SpinLock<Table> = SpinLock::new(Table::new(|index, phys| {
        // SAFETY: the page is new, and stays in the table for ever; if Xen refuses it, it is as it was.
        unsafe { xen::show(Space::GrantTable, index, phys) }
    }));
    &TABLE
}

/// Memory that is lent to another domain, for ever.
pub(crate) struct Lent {
    memory: ManuallyDrop<DmaBuffer>,
    first: u32,
}

impl Lent {
    /// New memory, in whole pages, all zero, that a domain may use, or only read.
    ///
    /// # Errors
    /// When there is none, or no room in the table.
    pub(crate) fn new(
        table: &SpinLock<Table>,
        len_bytes: usize,
        domain: u16,
        is_read_only: bool,
    ) -> Result<Self, OutOfMemory> {
        // Zeros: another domain is to see nothing of what was there.
        let memory = DmaBuffer::new(len_bytes)?;
        let pages = len_bytes.div_ceil(PAGE_BYTES) as u32;
        let mut table = table.lock();
        let first = table.reserve(pages)?;
        for page in 0..pages {
            let phys = memory.phys() + u64::from(page) * PAGE_BYTES as u64;
            table.lend(first + page, domain, phys, is_read_only);
        }
        let memory = ManuallyDrop::new(memory);
        Ok(Self { memory, first })
    }

    /// By what the other domain knows a page.
    #[inline]
    pub(crate) fn reference(&self, page: u32) -> u32 {
        self.first + page
    }
}

impl Deref for Lent {
    type Target = DmaBuffer;

    fn deref(&self) -> &DmaBuffer {
        &self.memory
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut DmaBuffer {
        &mut self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES_PER_PAGE, Lent, MAX_PAGES, PAGE_BYTES, RESERVED, Table};
    use crate::memory::OutOfMemory;
    use crate::sync::SpinLock;

    #[test]
    fn a_page_is_lent_to_its_domain_alone() {
        let table = SpinLock::new(Table::new(|_, _| true));
        let first = Lent::new(&table, PAGE_BYTES, 0, false).expect("memory");
        let second = Lent::new(&table, 2 * PAGE_BYTES, 3, true).expect("memory");
        assert_eq!(first.reference(0), RESERVED);
        let table = table.lock();
        let found = |entry, by| table.look_up(entry, by);
        assert_eq!(found(first.reference(0), 0), Some((first.phys(), false)));
        assert_eq!(found(first.reference(0), 1), None);
        let page = second.phys() + PAGE_BYTES as u64;
        assert_eq!(found(second.reference(1), 3), Some((page, true)));
        assert_eq!(found(second.reference(1), 0), None);
        for reserved in 0..RESERVED {
            assert_eq!(found(reserved, 0), None);
        }
        assert_eq!(found(second.reference(2), 3), None);
    }

    #[test]
    fn a_table_that_cannot_grow_is_full() {
        let mut table = Table::new(|index, _| index < 2);
        let most = 2 * ENTRIES_PER_PAGE - RESERVED;
        assert_eq!(table.reserve(most), Ok(RESERVED));
        assert_eq!(table.reserve(1), Err(OutOfMemory));
        assert_eq!(table.reserve(0), Ok(RESERVED + most));
        let mut table = Table::new(|_, _| true);
        let most = MAX_PAGES as u32 * ENTRIES_PER_PAGE - RESERVED;
        assert_eq!(table.reserve(most + 1), Err(OutOfMemory));
        assert_eq!(table.reserve(u32::MAX), Err(OutOfMemory));
        assert_eq!(table.reserve(most), Ok(RESERVED));
    }
}
