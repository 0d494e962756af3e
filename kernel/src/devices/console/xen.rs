//! Xen's console, for domains without a serial line (PVH): a page that is shared with who shows it, with a ring of bytes in it for each direction (Xen,
//! xen/include/public/io/console.h). Nothing interrupts when something was typed.

use core::sync::atomic::{Ordering, fence};

use super::Shared;
use crate::arch::mmio::Mmio;
use crate::arch::x86_64::xen::{self, Parameter};

const PAGE_BYTES: usize = 4096;
// `struct xencons_interface`.
const TYPED_RING: usize = 0;
const TYPED_BYTES: u32 = 1024;
const RING: usize = 1024;
const RING_BYTES: u32 = 2048;
const TYPED_READ: usize = 3072;
const TYPED_WRITTEN: usize = 3076;
const READ: usize = 3080;
const WRITTEN: usize = 3084;
/// Who shows nothing for so many looks is waited for no more: a console must not stop the machine. Others run at each.
const MAX_LOOKS: u32 = 10_000;

/// The way to who shows what is written.
struct Ring {
    page: Mmio,
    notify: fn(channel: u32),
    channel: u32,
}

static CONSOLE: Shared<Option<Ring>> = Shared::new(None);

/// Looks for the console. Needs memory to map it.
pub(super) fn initialise() {
    let Some((page, channel)) =
        xen::parameter(Parameter::ConsolePage).zip(xen::parameter(Parameter::ConsoleChannel))
    else {
        return;
    };
    let (Some(phys), Ok(channel)) = (page.checked_mul(PAGE_BYTES as u64), u32::try_from(channel))
    else {
        return;
    };
    if let Ok(page) = Mmio::map(phys, PAGE_BYTES) {
        *CONSOLE.lock.lock() = Some(Ring {
            page,
            notify: xen::notify,
            channel,
        });
    }
}

impl Ring {
    /// Bytes that were not shown yet; more than there can be where the other end says nonsense.
    fn waiting(&self) -> u32 {
        let written: u32 = self.page.read(WRITTEN);
        written.wrapping_sub(self.page.read(READ))
    }

    /// Waits until no more than `most` bytes wait; whether it came to that.
    fn wait(&self, most: u32) -> bool {
        for _ in 0..MAX_LOOKS {
            if self.waiting() <= most {
                return true;
            }
            (self.notify)(self.channel);
            xen::let_others_run();
        }
        false
    }

    /// Sends bytes; whether all of them found room.
    fn send(&self, bytes: impl Iterator<Item = u8>) -> bool {
        for byte in bytes {
            if self.waiting() >= RING_BYTES && !self.wait(RING_BYTES - 1) {
                return false;
            }
            let written: u32 = self.page.read(WRITTEN);
            self.page
                .write(RING + (written % RING_BYTES) as usize, byte);
            fence(Ordering::SeqCst);
            self.page.write(WRITTEN, written.wrapping_add(1));
        }
        (self.notify)(self.channel);
        true
    }

    /// Takes the oldest byte that was typed. Where the other end says nonsense, there is none.
    fn receive(&self) -> Option<u8> {
        let written: u32 = self.page.read(TYPED_WRITTEN);
        let read: u32 = self.page.read(TYPED_READ);
        let waiting = written.wrapping_sub(read);
        if !(1..=TYPED_BYTES).contains(&waiting) {
            return None;
        }
        fence(Ordering::SeqCst);
        let place = TYPED_RING + (read % TYPED_BYTES) as usize;
        let byte = self.page.read(place);
        fence(Ordering::SeqCst);
        self.page.write(TYPED_READ, read.wrapping_add(1));
        if waiting == 1 {
            // It may wait for room.
            (self.notify)(self.channel);
        }
        Some(byte)
    }
}

/// Takes the oldest byte that was typed and not read.
pub(super) fn read() -> Option<u8> {
    CONSOLE.take()?.as_ref()?.receive()
}

/// Sends bytes, with a carriage return before newlines if they get one.
pub(super) fn send(bytes: &[u8], newline_returns: bool) {
    let Some(mut console) = CONSOLE.take() else {
        return;
    };
    let with_returns = bytes.iter().flat_map(|byte| {
        let before = (*byte == b'\n' && newline_returns).then_some(b'\r');
        before.into_iter().chain([*byte])
    });
    if console
        .as_ref()
        .is_some_and(|ring| !ring.send(with_returns))
    {
        *console = None;
    }
}

/// Waits until all that was written is shown.
pub(super) fn drain() {
    if let Some(console) = CONSOLE.take()
        && let Some(ring) = console.as_ref()
    {
        ring.wait(0);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        MAX_LOOKS, PAGE_BYTES, READ, RING, RING_BYTES, Ring, TYPED_BYTES, TYPED_READ,
        TYPED_WRITTEN, WRITTEN,
    };
    use crate::arch::mmio::Mmio;

    /// A page, and the ring in it.
    fn ring() -> (Box<[u64; PAGE_BYTES / 8]>, Ring) {
        let page = Box::new([0; PAGE_BYTES / 8]);
        let ring = Ring {
            page: Mmio::model(page.as_ptr() as usize, PAGE_BYTES),
            notify: |_| {},
            channel: 3,
        };
        (page, ring)
    }

    #[test]
    fn bytes_go_round_the_ring_and_its_counters_through_their_end() {
        let (_page, ring) = ring();
        for counter in [READ, WRITTEN] {
            ring.page.write(counter, u32::MAX - 5);
        }
        for round in 0..100_u8 {
            assert!(ring.send([round; 77].into_iter()));
            let read: u32 = ring.page.read(READ);
            for at in 0..77_u32 {
                let place = RING + (read.wrapping_add(at) % RING_BYTES) as usize;
                assert_eq!(ring.page.read::<u8>(place), round);
            }
            assert_eq!(ring.waiting(), 77);
            ring.page.write(READ, read.wrapping_add(77));
        }
        assert!(ring.wait(0));
    }

    #[test]
    fn who_shows_nothing_or_lies_is_given_up_and_nothing_is_written_over() {
        let (_page, ring) = ring();
        assert!(ring.send([1; RING_BYTES as usize].into_iter()));
        assert!(!ring.send([2].into_iter()), "{MAX_LOOKS} looks");
        assert_eq!(ring.page.read::<u8>(RING), 1);
        // More was read than was written.
        ring.page.write(READ, ring.page.read::<u32>(WRITTEN) + 1);
        assert!(!ring.send([2].into_iter()));
        assert_eq!(ring.page.read::<u8>(RING), 1);
    }

    #[test]
    fn what_is_typed_is_read_once_and_in_order() {
        let (_page, ring) = ring();
        for counter in [TYPED_READ, TYPED_WRITTEN] {
            ring.page.write(counter, u32::MAX - 5);
        }
        assert_eq!(ring.receive(), None);
        for round in 0..TYPED_BYTES {
            let written: u32 = ring.page.read(TYPED_WRITTEN);
            for at in 0..3 {
                let place = (written.wrapping_add(at) % TYPED_BYTES) as usize;
                ring.page.write(place, (round + at) as u8);
            }
            ring.page.write(TYPED_WRITTEN, written.wrapping_add(3));
            for at in 0..3 {
                assert_eq!(ring.receive(), Some((round + at) as u8));
            }
            assert_eq!(ring.receive(), None);
        }
        // More than there can be.
        let read: u32 = ring.page.read(TYPED_READ);
        ring.page
            .write(TYPED_WRITTEN, read.wrapping_add(TYPED_BYTES + 1));
        assert_eq!(ring.receive(), None);
    }
}
