//! Virtio over memory-mapped registers (section 4.2), as QEMU's microvm and Firecracker have it; the loader says where they are.
//! Both the current register layout and the older one (section 4.2.4).

use super::queue::{ALIGN, Queue};
use super::{Error, Transport};
use crate::arch::mmio::Mmio;

const MAGIC: usize = 0x000;
const VERSION: usize = 0x004;
const DEVICE_ID: usize = 0x008;
const DEVICE_FEATURES: usize = 0x010;
const DEVICE_FEATURES_SELECT: usize = 0x014;
const DRIVER_FEATURES: usize = 0x020;
const DRIVER_FEATURES_SELECT: usize = 0x024;
/// Older devices only.
const GUEST_PAGE_SIZE: usize = 0x028;
const QUEUE_SELECT: usize = 0x030;
const QUEUE_LEN_MAX: usize = 0x034;
const QUEUE_LEN: usize = 0x038;
/// Older devices only.
const QUEUE_ALIGN: usize = 0x03C;
/// Older devices only.
const QUEUE_PAGE: usize = 0x040;
const QUEUE_READY: usize = 0x044;
const QUEUE_NOTIFY: usize = 0x050;
const INTERRUPT_STATUS: usize = 0x060;
const INTERRUPT_ACK: usize = 0x064;
const STATUS: usize = 0x070;
const QUEUE_ADDRESSES: [usize; 3] = [0x080, 0x090, 0x0A0];
const CONFIG: usize = 0x100;

const MAGIC_VALUE: u32 = u32::from_le_bytes(*b"virt");
const LEGACY: u32 = 1;
const CURRENT: u32 = 2;
/// The registers and the longest configuration in use here.
const WINDOW_BYTES: usize = 0x200;

/// A device behind a register window.
pub struct MmioTransport {
    registers: Mmio,
    is_legacy: bool,
}

impl MmioTransport {
    /// Looks at a window; the transport and the number of the device behind it, 0 if there is none.
    ///
    /// # Errors
    /// When there are no registers of virtio.
    pub fn probe(phys: u64, len_bytes: u64) -> Result<(Self, u32), Error> {
        if len_bytes < WINDOW_BYTES as u64 {
            return Err(Error::BadRegisters);
        }
        let registers = Mmio::map(phys, WINDOW_BYTES)?;
        if registers.read::<u32>(MAGIC) != MAGIC_VALUE {
            return Err(Error::BadRegisters);
        }
        let is_legacy = match registers.read(VERSION) {
            LEGACY => true,
            CURRENT => false,
            _ => return Err(Error::BadRegisters),
        };
        let device = registers.read(DEVICE_ID);
        Ok((
            Self {
                registers,
                is_legacy,
            },
            device,
        ))
    }
}

impl Transport for MmioTransport {
    fn is_legacy(&self) -> bool {
        self.is_legacy
    }

    fn status(&self) -> u8 {
        self.registers.read::<u32>(STATUS) as u8
    }

    fn set_status(&self, status: u8) {
        self.registers.write(STATUS, u32::from(status));
    }

    fn offered_features(&self) -> u64 {
        let half = |select: u32| {
            self.registers.write(DEVICE_FEATURES_SELECT, select);
            u64::from(self.registers.read::<u32>(DEVICE_FEATURES))
        };
        half(0) | half(1) << 32
    }

    fn accept_features(&self, features: u64) {
        for (select, half) in [(0u32, features as u32), (1, (features >> 32) as u32)] {
            self.registers.write(DRIVER_FEATURES_SELECT, select);
            self.registers.write(DRIVER_FEATURES, half);
        }
    }

    fn max_queue_len(&self, index: u16) -> u16 {
        self.registers.write(QUEUE_SELECT, u32::from(index));
        u16::try_from(self.registers.read::<u32>(QUEUE_LEN_MAX)).unwrap_or(u16::MAX)
    }

    fn enable_queue(&self, index: u16, queue: &Queue) {
        self.registers.write(QUEUE_SELECT, u32::from(index));
        self.registers.write(QUEUE_LEN, u32::from(queue.len()));
        let addresses = queue.addresses();
        if self.is_legacy {
            self.registers.write(GUEST_PAGE_SIZE, ALIGN as u32);
            self.registers.write(QUEUE_ALIGN, ALIGN as u32);
            // Rings are below 4 GiB, so the page number fits.
            self.registers
                .write(QUEUE_PAGE, (addresses[0] / ALIGN as u64) as u32);
            return;
        }
        for (register, address) in QUEUE_ADDRESSES.into_iter().zip(addresses) {
            self.registers.write(register, address as u32);
            self.registers.write(register + 4, (address >> 32) as u32);
        }
        self.registers.write(QUEUE_READY, 1u32);
    }

    fn notify(&self, index: u16) {
        self.registers.write(QUEUE_NOTIFY, u32::from(index));
    }

    fn acknowledge_interrupt(&self) {
        let causes: u32 = self.registers.read(INTERRUPT_STATUS);
        self.registers.write(INTERRUPT_ACK, causes);
    }

    fn config(&self, offset: usize) -> u8 {
        self.registers.read(CONFIG + offset)
    }

    fn config32(&self, offset: usize) -> u32 {
        self.registers.read(CONFIG + offset)
    }
}
