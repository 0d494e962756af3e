//! Virtio over PCI (section 4.1): structures of registers that capabilities of the vendor kind lead to.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::queue::Queue;
use super::{Error, Transport};
use crate::arch::interrupts::{Irq, Message};
use crate::arch::mmio::Mmio;
use crate::arch::x86_64::core_local::{CoreLocal, MAX_CORES};
use crate::devices::pci::{Bar, Bars, PciDevice};

const VENDOR: u16 = 0x1AF4;
/// Current devices are numbered from here by their virtio number.
const FIRST_CURRENT: u16 = 0x1040;
/// A network card and a disk that can also be driven as older ones are.
const TRANSITIONAL_NETWORK: u16 = 0x1000;
const TRANSITIONAL_BLOCK: u16 = 0x1001;
const TRANSITIONAL_SCSI: u16 = 0x1004;

const CAPABILITY_VENDOR: u8 = 0x09;
/// Queues of one device that can be used: a network card has a pair for each core, and one by which it is told how many.
const MAX_QUEUES: usize = 2 * MAX_CORES + 1;
/// Length of the longest kind of capability.
const CAPABILITY_BYTES: u8 = 20;

// Kinds of structures (section 4.1.4): common, notification, interrupt status (3), device.
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const DEVICE: u8 = 4;

// The common structure (section 4.1.4.3).
const DEVICE_FEATURE_SELECT: usize = 0x00;
const DEVICE_FEATURE: usize = 0x04;
const DRIVER_FEATURE_SELECT: usize = 0x08;
const DRIVER_FEATURE: usize = 0x0C;
const DEVICE_STATUS: usize = 0x14;
const QUEUE_SELECT: usize = 0x16;
const QUEUE_SIZE: usize = 0x18;
const QUEUE_MESSAGE: usize = 0x1A;
const QUEUE_ENABLE: usize = 0x1C;
const QUEUE_NOTIFY_OFF: usize = 0x1E;
const QUEUE_ADDRESSES: [usize; 3] = [0x20, 0x28, 0x30];
const COMMON_BYTES: usize = 0x38;

/// The virtio number of a PCI device, if it is a virtio device that can be driven as a current one.
pub fn device_id(device: &PciDevice) -> Option<u32> {
    match (device.vendor, device.device) {
        (VENDOR, TRANSITIONAL_NETWORK) => Some(super::NETWORK),
        (VENDOR, TRANSITIONAL_BLOCK) => Some(super::BLOCK),
        (VENDOR, TRANSITIONAL_SCSI) => Some(super::SCSI),
        (VENDOR, number @ FIRST_CURRENT..=0x107F) => Some(u32::from(number - FIRST_CURRENT)),
        _ => None,
    }
}

/// A device on the PCI bus.
pub struct PciTransport {
    common: Mmio<COMMON_BYTES>,
    notify: Mmio,
    isr: Mmio,
    device: Mmio,
    notify_multiplier: u32,
    bars: Bars,
    /// Where to notify of each queue: looked up once, since each access costs an exit to the host.
    notify_offsets: [AtomicUsize; MAX_QUEUES],
    /// Messages by which the queues interrupt, and how many queues in a row share one.
    messages: u16,
    queues_per_message: u16,
}

impl PciTransport {
    /// Finds and maps the structures of a device, and turns it on.
    ///
    /// # Errors
    /// When a structure is missing or outside its window, or there is no memory to map it.
    pub fn new(pci: &PciDevice) -> Result<Self, Error> {
        let mut found: [Option<Mmio>; 5] = [None; 5];
        let mut notify_multiplier = 0;
        let bars = pci.enable_with_places();
        let is_ours =
            |&(id, at): &(u8, u8)| id == CAPABILITY_VENDOR && at <= u8::MAX - CAPABILITY_BYTES;
        for (_, at) in pci.capabilities().filter(is_ours) {
            let kind = pci.read8(at + 3);
            if (COMMON..=DEVICE).contains(&kind) {
                let slot = &mut found[usize::from(kind)];
                // The first of a kind is the one the device prefers.
                if slot.is_none() {
                    *slot = map(pci, at, &bars)?;
                    if kind == NOTIFY {
                        notify_multiplier = pci.read32(at + 16);
                    }
                }
            }
        }
        let [_, Some(common), Some(notify), Some(isr), Some(device)] = found else {
            return Err(Error::BadRegisters);
        };
        let common = common.at_least().ok_or(Error::BadRegisters)?;
        Ok(Self {
            common,
            notify,
            isr,
            device,
            notify_multiplier,
            bars,
            notify_offsets: [const { AtomicUsize::new(usize::MAX) }; MAX_QUEUES],
            messages: 0,
            queues_per_message: u16::MAX,
        })
    }

    /// Has all queues interrupt by one message, which needs no register to be read and no line to be shared; call it before the device
    /// is started. `None` where there are no messages.
    pub fn claim_message(&mut self, pci: &PciDevice) -> Option<Irq> {
        let (irq, message) = Irq::claim_message()?;
        self.messages = u16::from(pci.enable_msix(&[message], &self.bars));
        (self.messages != 0).then_some(irq)
    }

    /// Has every `queues_per_message` queues in a row interrupt a core of their own, and what is left the last; call it before the device
    /// is started. Nothing where there are not messages for all of the cores: then each would wait for another.
    pub fn claim_messages(
        &mut self,
        pci: &PciDevice,
        cores: &[&'static CoreLocal],
        queues_per_message: u16,
    ) -> Option<Vec<Irq>> {
        if pci.message_count() < cores.len() {
            return None;
        }
        let claimed: Option<Vec<(Irq, Message)>> = cores
            .iter()
            .map(|core| Irq::claim_message_to(core))
            .collect();
        let (lines, messages): (Vec<_>, Vec<_>) = claimed?.into_iter().unzip();
        if !pci.enable_msix(&messages, &self.bars) {
            return None;
        }
        self.messages = u16::try_from(messages.len()).ok()?;
        self.queues_per_message = queues_per_message;
        Some(lines)
    }
}

/// Maps the structure that a capability describes; `None` if it is not in memory.
fn map(pci: &PciDevice, at: u8, bars: &Bars) -> Result<Option<Mmio>, Error> {
    /// More than any structure in use here needs.
    const MAX_BYTES: u32 = 0x1_0000;
    let index = pci.read8(at + 4);
    let bar = bars.get(usize::from(index)).copied().flatten();
    let Some(Bar::Memory { phys, len_bytes }) = bar else {
        return Ok(None);
    };
    let (offset, len) = (pci.read32(at + 8), pci.read32(at + 12).min(MAX_BYTES));
    if u64::from(offset) + u64::from(len) > len_bytes || len == 0 {
        return Err(Error::BadRegisters);
    }
    Ok(Some(Mmio::map(phys + u64::from(offset), len as usize)?))
}

impl Transport for PciTransport {
    fn is_legacy(&self) -> bool {
        false
    }

    fn status(&self) -> u8 {
        self.common.read(DEVICE_STATUS)
    }

    fn set_status(&self, status: u8) {
        self.common.write(DEVICE_STATUS, status);
    }

    fn offered_features(&self) -> u64 {
        let half = |select: u32| {
            self.common.write(DEVICE_FEATURE_SELECT, select);
            u64::from(self.common.read::<u32>(DEVICE_FEATURE))
        };
        half(0) | half(1) << 32
    }

    fn accept_features(&self, features: u64) {
        for (select, half) in [(0u32, features as u32), (1, (features >> 32) as u32)] {
            self.common.write(DRIVER_FEATURE_SELECT, select);
            self.common.write(DRIVER_FEATURE, half);
        }
    }

    fn max_queue_len(&self, index: u16) -> u16 {
        self.common.write(QUEUE_SELECT, index);
        let offset: u16 = self.common.read(QUEUE_NOTIFY_OFF);
        let offset = usize::from(offset) * self.notify_multiplier as usize;
        // A queue that cannot be notified is as good as none.
        let Some(known) = self.notify_offsets.get(usize::from(index)) else {
            return 0;
        };
        if offset + 2 > self.notify.len_bytes() {
            return 0;
        }
        known.store(offset, Ordering::Relaxed);
        self.common.read(QUEUE_SIZE)
    }

    fn enable_queue(&self, index: u16, queue: &Queue) {
        self.common.write(QUEUE_SELECT, index);
        self.common.write(QUEUE_SIZE, queue.len());
        for (register, address) in QUEUE_ADDRESSES.into_iter().zip(queue.addresses()) {
            self.common.write(register, address as u32);
            self.common.write(register + 4, (address >> 32) as u32);
        }
        if let Some(last) = self.messages.checked_sub(1) {
            let message = (index / self.queues_per_message).min(last);
            self.common.write(QUEUE_MESSAGE, message);
        }
        self.common.write(QUEUE_ENABLE, 1u16);
    }

    fn notify(&self, index: u16) {
        if let Some(offset) = self.notify_offsets.get(usize::from(index))
            && let offset @ ..usize::MAX = offset.load(Ordering::Relaxed)
        {
            self.notify.write(offset, index);
        }
    }

    fn acknowledge_interrupt(&self) {
        // Reading takes the cause away. A message has none.
        if self.messages == 0 {
            self.isr.read::<u8>(0);
        }
    }

    fn config(&self, offset: usize) -> u8 {
        if offset < self.device.len_bytes() {
            self.device.read(offset)
        } else {
            0
        }
    }

    fn config32(&self, offset: usize) -> u32 {
        if offset + 4 <= self.device.len_bytes() {
            self.device.read(offset)
        } else {
            0
        }
    }
}
