//! Virtio over PCI as it was before version 1 (section 4.1.4, "Legacy Interfaces: A Note on PCI Device Layout"): registers at ports, as old
//! machine models of QEMU have them and devices with `disable-modern`. Such a device interrupts by its pin here: with messages its
//! registers lie elsewhere.

use super::queue::{ALIGN, Queue};
use super::{Error, Transport};
use crate::arch::port;
use crate::devices::pci::{Bar, PciDevice};

// Registers, by their distance from the first port.
const DEVICE_FEATURES: u16 = 0;
const DRIVER_FEATURES: u16 = 4;
const QUEUE_PAGE: u16 = 8;
const QUEUE_LEN: u16 = 12;
const QUEUE_SELECT: u16 = 14;
const QUEUE_NOTIFY: u16 = 16;
const STATUS: u16 = 18;
const INTERRUPT_STATUS: u16 = 19;
const CONFIG: u16 = 20;
/// The registers and the longest configuration in use here.
const PORTS: u16 = 0x80;

/// A device whose registers are at ports.
pub struct LegacyPciTransport {
    first_port: u16,
}

impl LegacyPciTransport {
    /// Turns a device on that has no structures of registers in memory ([`super::pci::PciTransport::new`]).
    ///
    /// # Errors
    /// When it has no ports either.
    pub fn new(pci: &PciDevice) -> Result<Self, Error> {
        match pci.bar(0) {
            Some(Bar::Io { port }) if port <= u16::MAX - PORTS => {
                pci.enable();
                Ok(Self { first_port: port })
            }
            _ => Err(Error::BadRegisters),
        }
    }

    /// The port of a byte of the device's own configuration.
    fn config_port(&self, offset: usize, len: usize) -> Option<u16> {
        let end = usize::from(CONFIG).checked_add(offset)?.checked_add(len)?;
        (end <= usize::from(PORTS)).then(|| self.first_port + (end - len) as u16)
    }
}

impl Transport for LegacyPciTransport {
    fn is_legacy(&self) -> bool {
        true
    }

    fn has_fixed_queues(&self) -> bool {
        true
    }

    fn status(&self) -> u8 {
        port::read8(self.first_port + STATUS)
    }

    fn set_status(&self, status: u8) {
        port::write8(self.first_port + STATUS, status);
    }

    fn offered_features(&self) -> u64 {
        u64::from(port::read32(self.first_port + DEVICE_FEATURES))
    }

    fn accept_features(&self, features: u64) {
        port::write32(self.first_port + DRIVER_FEATURES, features as u32);
    }

    fn max_queue_len(&self, index: u16) -> u16 {
        port::write16(self.first_port + QUEUE_SELECT, index);
        port::read16(self.first_port + QUEUE_LEN)
    }

    fn enable_queue(&self, index: u16, queue: &Queue) {
        port::write16(self.first_port + QUEUE_SELECT, index);
        // Rings are below 4 GiB, so the page number fits.
        let [table, ..] = queue.addresses();
        port::write32(self.first_port + QUEUE_PAGE, (table / ALIGN as u64) as u32);
    }

    fn notify(&self, index: u16) {
        port::write16(self.first_port + QUEUE_NOTIFY, index);
    }

    fn acknowledge_interrupt(&self) {
        // Reading takes the cause away.
        port::read8(self.first_port + INTERRUPT_STATUS);
    }

    fn config(&self, offset: usize) -> u8 {
        self.config_port(offset, 1).map_or(0, port::read8)
    }

    fn config32(&self, offset: usize) -> u32 {
        self.config_port(offset, 4).map_or(0, port::read32)
    }
}

#[cfg(test)]
mod tests {
    use super::LegacyPciTransport;

    #[test]
    fn nothing_is_read_behind_the_ports_of_a_device() {
        let transport = LegacyPciTransport { first_port: 0xC000 };
        assert_eq!(transport.config_port(0, 1), Some(0xC014));
        assert_eq!(transport.config_port(0x80 - 20 - 4, 4), Some(0xC07C));
        assert_eq!(transport.config_port(0x80 - 20 - 3, 4), None);
        assert_eq!(transport.config_port(usize::MAX, 1), None);
    }
}
