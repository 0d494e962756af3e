//! Events (Xen, xen/include/public/event_channel.h and xen.h, the format of two levels): another domain rings, and a processor of ours is
//! interrupted by a vector of its local APIC.
//!
//! All events of a processor come by one line. Which channels they were for is not looked at: whoever waits looks at its ring, which is
//! cheaper than the page with the channels' bits. But these must be cleared, or a channel that rang once rings no more.

#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

// `struct shared_info`: a part for each processor, then a bit for each channel, twice.
const PROCESSOR_BYTES: usize = 64;
const PENDING: usize = 2048;
#[cfg(not(test))]
const MASK: usize = 2560;
const WORDS: usize = 64;
// `struct vcpu_info`.
const UPCALL: usize = 0;
const SELECTOR: usize = 8;

/// Takes note of all events of the processor whose part of the page is at `at`, so that later ones interrupt again.
fn clear(page: &DmaBuffer, at: usize) {
    // In this order: what comes meanwhile interrupts once more.
    page.write(at + UPCALL, 0_u8);
    let mut selector = page.swap(at + SELECTOR, 0);
    while selector != 0 {
        let word = selector.trailing_zeros() as usize;
        selector &= selector - 1;
        page.swap(PENDING + word * size_of::<u64>(), 0);
    }
}

#[cfg(not(test))]
pub(crate) use upcalls::attach;

#[cfg(not(test))]
mod upcalls {
    //! The processors that events interrupt.

    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use core::sync::atomic::{AtomicU32, Ordering};

    use super::{MASK, PENDING, PROCESSOR_BYTES, WORDS, clear};
    use crate::arch::interrupts::Irq;
    use crate::arch::x86_64::core_local;
    use crate::arch::x86_64::xen::{self, Space};
    use crate::devices::xen::Error;
    use crate::devices::xen::grants::PAGE_BYTES;
    use crate::memory::dma::DmaBuffer;
    use crate::scheduler::{self, Service};
    use crate::sync::{OnceCell, SpinLock};

    /// A processor that events interrupt.
    pub(crate) struct Upcall {
        core: usize,
        /// Its number among Xen's.
        processor: u32,
        /// The page with the events, and where in it this processor's part is.
        page: &'static DmaBuffer,
        at: usize,
        irq: Irq,
        shares: AtomicU32,
    }

    static UPCALLS: SpinLock<Vec<&'static Upcall>> = SpinLock::new(Vec::new());

    impl Service for Upcall {
        fn serve(&self) {
            if self.irq.take_pending() {
                clear(self.page, self.at);
                // After that: what was there is found by who looks now.
                self.irq.pass_on();
            }
        }
    }

    impl Upcall {
        /// The line by which the events interrupt, for one who needs no mark of its own.
        pub(crate) fn irq(&self) -> Irq {
            self.irq
        }

        /// The line for one who waits for a mark; there are seven of them.
        pub(crate) fn share(&self) -> Option<Irq> {
            self.irq.shared(self.shares.fetch_add(1, Ordering::Relaxed))
        }
    }

    /// The page with all events, none of which interrupts so far.
    fn shared_info() -> Result<&'static DmaBuffer, Error> {
        static PAGE: OnceCell<DmaBuffer> = OnceCell::new();
        static STARTING: SpinLock<()> = SpinLock::new(());
        let _guard = STARTING.lock();
        if let Some(page) = PAGE.get() {
            return Ok(page);
        }
        let page = DmaBuffer::new(PAGE_BYTES)?;
        // SAFETY: the page is new, and kept for ever below; if Xen refuses it, it is as it was.
        if !unsafe { xen::show(Space::SharedInfo, 0, page.phys()) } {
            return Err(Error::Events);
        }
        for word in 0..WORDS {
            page.swap(MASK + word * size_of::<u64>(), u64::MAX);
            page.swap(PENDING + word * size_of::<u64>(), 0);
        }
        PAGE.set(page).map_err(|_| Error::Events)
    }

    /// Has events interrupt the core that calls.
    fn upcall() -> Result<&'static Upcall, Error> {
        let page = shared_info()?;
        let here = core_local::current();
        let core = here.index();
        if let Some(known) = UPCALLS.lock().iter().find(|upcall| upcall.core == core) {
            return Ok(known);
        }
        let processor = xen::processor(here);
        let at = processor as usize * PROCESSOR_BYTES;
        // Those of more processors are elsewhere.
        if at >= PENDING {
            return Err(Error::Events);
        }
        let (irq, vector) = Irq::claim_vector().ok_or(Error::Events)?;
        let upcall: &'static Upcall = Box::leak(Box::new(Upcall {
            core,
            processor,
            page,
            at,
            irq,
            shares: AtomicU32::new(1),
        }));
        clear(page, at);
        if !xen::set_upcall_vector(processor, vector) {
            return Err(Error::Events);
        }
        // Before all who share the line, so that what it clears is not what they have not seen.
        scheduler::register_interrupt(irq, upcall);
        UPCALLS.lock().push(upcall);
        Ok(upcall)
    }

    /// Has the events of a channel interrupt the core that calls.
    ///
    /// # Errors
    /// [`Error::Events`], [`Error::OutOfMemory`].
    pub(crate) fn attach(channel: u32) -> Result<&'static Upcall, Error> {
        let upcall = upcall()?;
        let is_bound = xen::bind_channel(channel, upcall.processor);
        if !is_bound || !xen::unmask_channel(channel) {
            return Err(Error::Events);
        }
        Ok(upcall)
    }
}

#[cfg(test)]
mod tests {
    use super::{PENDING, PROCESSOR_BYTES, SELECTOR, UPCALL, WORDS, clear};
    use crate::devices::fake_memory::DmaBuffer;

    #[test]
    fn events_of_one_processor_are_cleared_and_those_of_others_stay() {
        let page = DmaBuffer::new(4096).expect("memory");
        let (ours, other) = (PROCESSOR_BYTES, 2 * PROCESSOR_BYTES);
        for at in [ours, other] {
            page.write(at + UPCALL, 1_u8);
        }
        page.write(ours + SELECTOR, 1_u64 << 63 | 1);
        page.write(other + SELECTOR, 2_u64);
        for word in 0..WORDS {
            page.write(PENDING + word * 8, 5_u64);
        }
        clear(&page, ours);
        assert_eq!(page.read::<u8>(ours + UPCALL), 0);
        assert_eq!(page.read::<u64>(ours + SELECTOR), 0);
        assert_eq!(page.read::<u8>(other + UPCALL), 1);
        assert_eq!(page.read::<u64>(other + SELECTOR), 2);
        for word in 0..WORDS {
            let expected = if word % 63 == 0 { 0 } else { 5 };
            assert_eq!(page.read::<u64>(PENDING + word * 8), expected, "{word}");
        }
    }
}
