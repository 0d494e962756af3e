//! Split virtqueues (section 2.7): a table of descriptors, a ring of those offered to the device, a ring of those it has used.
//!
//! The layout is that of older devices (section 2.7.2), which newer ones take as well. What the device writes is checked: an entry
//! it gives back must be one it has.
//!
//! Whether to notify and to interrupt is said by a flag, or with event indices (sections 2.7.7 and 2.7.10) by the number of the entry that the
//! other side waits for.

use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};

use crate::arch::x86_64::cpu;
use crate::arch::x86_64::hypervisor::{self, Hypervisor};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

/// Alignment of the used ring in the layout of older devices, and the page size such devices are told.
pub(super) const ALIGN: usize = 4096;

const DESCRIPTOR_BYTES: usize = 16;
const HAS_NEXT: u16 = 1;
const DEVICE_WRITES: u16 = 2;
const NO_INTERRUPT: u16 = 1;
const NO_NOTIFY: u16 = 1;

/// A virtqueue.
pub struct Queue {
    memory: DmaBuffer,
    len: u16,
    /// Where the available and the used ring begin.
    available: usize,
    used: usize,
    /// Entries offered, and entries taken back, so far (both wrap).
    offered: u16,
    taken: u16,
    /// Entries that the device knows to be offered.
    published: u16,
    has_event_index: bool,
    /// The device is QEMU's, and so is the processor.
    is_emulated: bool,
    is_with_device: Vec<bool>,
}

/// Whether what went from `old` to `new` has passed the entry that was waited for (section 2.7.10.1, `vring_need_event`).
fn has_passed(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

impl Queue {
    /// An empty queue of `len` entries, a power of two.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(len: u16) -> Result<Self, OutOfMemory> {
        let entries = usize::from(len);
        debug_assert!(len.is_power_of_two());
        let available = DESCRIPTOR_BYTES * entries;
        let used = (available + 6 + 2 * entries).next_multiple_of(ALIGN);
        Ok(Self {
            memory: DmaBuffer::new((used + 6 + 8 * entries).next_multiple_of(ALIGN))?,
            len,
            available,
            used,
            offered: 0,
            taken: 0,
            published: 0,
            has_event_index: false,
            is_emulated: hypervisor::find(Hypervisor::Emulator).is_some(),
            is_with_device: vec![false; entries],
        })
    }

    /// Both sides use event indices: they have agreed on [`super::EVENT_INDEX`]. Call it before the device begins.
    pub fn use_event_index(&mut self) {
        self.has_event_index = true;
    }

    /// Whether both sides use event indices.
    #[inline]
    pub fn has_event_index(&self) -> bool {
        self.has_event_index
    }

    /// The place of a number in tables and rings, whose length is a power of two.
    #[inline]
    fn place(&self, number: u16) -> usize {
        usize::from(number & (self.len - 1))
    }

    /// How many entries there are.
    pub fn len(&self) -> u16 {
        self.len
    }

    /// Whether there are no entries; a queue has some.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Physical addresses of the table, the available and the used ring.
    pub fn addresses(&self) -> [u64; 3] {
        let base = self.memory.phys();
        [base, base + self.available as u64, base + self.used as u64]
    }

    /// Says which memory an entry is for.
    #[inline]
    pub fn set_buffer(
        &mut self,
        entry: u16,
        address: u64,
        len_bytes: u32,
        does_device_write: bool,
    ) {
        let at = self.place(entry) * DESCRIPTOR_BYTES;
        let flags = if does_device_write { DEVICE_WRITES } else { 0 };
        // Length, flags and the entry that continues it: none.
        let rest = u64::from(len_bytes) | u64::from(flags) << 32;
        self.memory.write(at, [address.to_le(), rest.to_le()]);
    }

    /// Makes `next` the continuation of an entry: both are offered and given back as one, by the first. After [`Queue::set_buffer`],
    /// which makes an entry stand alone.
    pub fn link(&mut self, entry: u16, next: u16) {
        let at = self.place(entry) * DESCRIPTOR_BYTES;
        let flags: u16 = self.memory.read(at + 12);
        self.memory.write(at + 12, flags | HAS_NEXT);
        self.memory.write(at + 14, next & (self.len - 1));
    }

    /// Gives an entry to the device; [`Queue::publish`] makes it known.
    #[inline]
    pub fn offer(&mut self, entry: u16) {
        let at = self.available + 4 + 2 * self.place(self.offered);
        self.memory.write(at, entry);
        self.offered = self.offered.wrapping_add(1);
        if let Some(is_with_device) = self.is_with_device.get_mut(usize::from(entry)) {
            *is_with_device = true;
        }
    }

    /// Makes known what was offered; whether the device wants to be notified.
    #[inline(always)]
    pub fn publish(&mut self) -> bool {
        // The entries before the index, and the index before the look at the flag (sections 2.7.13.3 and 2.7.13.4).
        fence(Ordering::Release);
        self.memory.write(self.available + 2, self.offered);
        cpu::device_barrier(self.is_emulated);
        let old = core::mem::replace(&mut self.published, self.offered);
        if self.has_event_index {
            let event = self.used + 4 + 8 * usize::from(self.len);
            return has_passed(self.memory.read(event), self.offered, old);
        }
        let flags: u16 = self.memory.read(self.used);
        flags & NO_NOTIFY == 0
    }

    /// How many entries the device has given back, as it says.
    #[inline]
    pub fn used_count(&self) -> u16 {
        let index: u16 = self.memory.read(self.used + 2);
        index.wrapping_sub(self.taken)
    }

    /// Whether the device has given something back.
    #[inline]
    pub fn has_used(&self) -> bool {
        self.used_count() != 0
    }

    /// Takes everything back at once if the device has used all that it was given; whether it has.
    #[inline]
    pub fn take_all_used(&mut self) -> bool {
        let index: u16 = self.memory.read(self.used + 2);
        if index != self.published || index != self.offered {
            return false;
        }
        fence(Ordering::Acquire);
        self.taken = index;
        self.is_with_device.fill(false);
        true
    }

    /// Takes back what the device has used first: the entry, and how many bytes it wrote, as it says. What it gives back without having it
    /// is passed over.
    #[inline]
    pub fn take_used(&mut self) -> Option<(u16, u32)> {
        for _ in 0..self.len {
            if !self.has_used() {
                return None;
            }
            if let Some(taken) = self.take_counted() {
                return Some(taken);
            }
        }
        None
    }

    /// Takes back the first of those that [`Queue::used_count`] has counted; none if the device gives it back without having it.
    #[inline]
    pub fn take_counted(&mut self) -> Option<(u16, u32)> {
        fence(Ordering::Acquire);
        let at = self.used + 4 + self.place(self.taken) * 8;
        let [entry, len]: [u32; 2] = self.memory.read(at);
        self.taken = self.taken.wrapping_add(1);
        let is_with_device = self.is_with_device.get_mut(entry as usize)?;
        core::mem::take(is_with_device).then_some((entry as u16, len))
    }

    /// Asks the device not to interrupt when it gives something back (or to). What it gave back before it is asked to is found by
    /// looking after this (section 2.7.10). With event indices it interrupts once when it is asked to, and once in 65,536 entries when it
    /// is asked not to.
    #[inline]
    pub fn set_silent(&mut self, is_silent: bool) {
        if self.has_event_index {
            let event = self.available + 4 + 2 * usize::from(self.len);
            self.memory
                .write(event, self.taken.wrapping_sub(u16::from(is_silent)));
        } else {
            let flags = if is_silent { NO_INTERRUPT } else { 0 };
            self.memory.write(self.available, flags);
        }
        cpu::device_barrier(self.is_emulated);
    }
}

#[cfg(test)]
pub(crate) mod model {
    //! The device's side of a queue, for tests.

    use crate::devices::fake_memory::{device_read, device_write};

    /// A device that knows where a queue is.
    #[derive(Clone, Copy, Default)]
    pub(crate) struct DeviceSide {
        pub(crate) addresses: [u64; 3],
        pub(crate) len: u16,
        pub(crate) seen: u16,
        pub(crate) used: u16,
    }

    impl DeviceSide {
        /// The next entry on offer, with address and length of its buffer.
        pub(crate) fn next(&mut self) -> Option<(u16, u64, u32)> {
            let [table, available, _] = self.addresses;
            let offered = u16::from_le_bytes(device_read(available + 2));
            if self.seen == offered {
                return None;
            }
            let place = u64::from(self.seen % self.len);
            let entry = u16::from_le_bytes(device_read(available + 4 + 2 * place));
            self.seen = self.seen.wrapping_add(1);
            let descriptor = table + u64::from(entry) * 16;
            let address = u64::from_le_bytes(device_read(descriptor));
            let len = u32::from_le_bytes(device_read(descriptor + 8));
            Some((entry, address, len))
        }

        /// Waits for the entry after so many more, where there are event indices.
        pub(crate) fn wait_for_offer(&self, after: u16) {
            let event = self.addresses[2] + 4 + u64::from(self.len) * 8;
            device_write(event, &self.seen.wrapping_add(after).to_le_bytes());
        }

        /// The entry whose giving back is to interrupt, where there are event indices.
        pub(crate) fn awaited(&self) -> u16 {
            let event = self.addresses[1] + 4 + u64::from(self.len) * 2;
            u16::from_le_bytes(device_read(event))
        }

        /// Gives an entry back, with any claim about its length.
        pub(crate) fn give_back(&mut self, entry: u32, len: u32) {
            let used = self.addresses[2];
            let at = used + 4 + u64::from(self.used % self.len) * 8;
            device_write(at, &entry.to_le_bytes());
            device_write(at + 4, &len.to_le_bytes());
            self.used = self.used.wrapping_add(1);
            device_write(used + 2, &self.used.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use super::model::DeviceSide;
    use proptest::prelude::*;

    fn pair() -> (Queue, DeviceSide) {
        let queue = Queue::new(4).expect("memory");
        let device = DeviceSide {
            addresses: queue.addresses(),
            len: 4,
            ..DeviceSide::default()
        };
        (queue, device)
    }

    #[test]
    fn entries_go_round_and_round() {
        let (mut queue, mut device) = pair();
        for round in 0..70_000u32 {
            let entry = (round % 4) as u16;
            queue.set_buffer(entry, u64::from(round) + 1, 100, true);
            queue.offer(entry);
            assert!(queue.publish());
            assert!(!queue.has_used());
            assert_eq!(device.next(), Some((entry, u64::from(round) + 1, 100)));
            device.give_back(u32::from(entry), round);
            assert_eq!(queue.take_used(), Some((entry, round)));
        }
    }

    #[test]
    fn with_event_indices_the_device_is_notified_when_what_it_waits_for_is_offered() {
        let (mut queue, mut device) = pair();
        queue.use_event_index();
        for round in 0..70_000u32 {
            let entry = (round % 2) as u16;
            // At times it waits for the entry after the next.
            let after = u16::from(round % 3 == 0);
            device.wait_for_offer(after);
            queue.offer(entry);
            assert_eq!(queue.publish(), after == 0);
            assert!(device.next().is_some());
            device.give_back(u32::from(entry), 1);
            assert!(queue.take_used().is_some());
        }
    }

    #[test]
    fn with_event_indices_the_next_entry_interrupts_or_one_that_is_far() {
        let (mut queue, mut device) = pair();
        queue.use_event_index();
        for entry in 0..3 {
            queue.offer(entry);
        }
        queue.publish();
        device.give_back(0, 1);
        queue.take_used();
        queue.set_silent(false);
        assert_eq!(device.awaited(), 1);
        queue.set_silent(true);
        assert_eq!(device.awaited(), 0);
    }

    #[test]
    fn all_are_taken_back_at_once_only_when_the_device_has_used_all() {
        let (mut queue, mut device) = pair();
        for round in 0..70_000u32 {
            queue.offer(0);
            queue.offer(1);
            assert!(!queue.take_all_used(), "it knows of none");
            queue.publish();
            device.give_back(1, 1);
            assert!(!queue.take_all_used(), "it has one still");
            if round % 3 == 0 {
                assert_eq!(queue.take_used(), Some((1, 1)));
            }
            device.give_back(0, 1);
            assert!(queue.take_all_used() && !queue.has_used());
        }
        device.give_back(0, 1);
        assert_eq!(queue.take_used(), None, "it has none");
    }

    #[test]
    fn an_entry_the_device_does_not_have_is_passed_over() {
        let (mut queue, mut device) = pair();
        queue.offer(2);
        queue.publish();
        for entry in [1, 7, u32::MAX] {
            device.give_back(entry, 1);
        }
        device.give_back(2, 5);
        assert_eq!(queue.take_used(), Some((2, 5)));
        device.give_back(2, 5);
        assert_eq!(queue.take_used(), None, "given back twice");
    }

    proptest! {
        #[test]
        fn a_device_that_writes_anything_gives_back_only_what_it_has(
            used in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..20),
            index: u16,
        ) {
            let (mut queue, mut device) = pair();
            for entry in 0..4 {
                queue.offer(entry);
            }
            queue.publish();
            for (entry, len) in used {
                device.give_back(entry % 6, len);
            }
            crate::devices::fake_memory::device_write(device.addresses[2] + 2, &index.to_le_bytes());
            let mut taken = Vec::new();
            for _ in 0..100 {
                if let Some((entry, _)) = queue.take_used() {
                    prop_assert!(entry < 4 && !taken.contains(&entry));
                    taken.push(entry);
                }
            }
        }
    }
}
