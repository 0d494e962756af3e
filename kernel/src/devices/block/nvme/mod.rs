//! NVMe disks (NVM Express Base Specification 1.4), as VMware, VirtualBox and clouds have them.
//!
//! [`discover`] finds controllers, [`controller`] drives one, [`queue`] is a pair of its queues, [`registers`] are its registers and
//! commands. Each namespace is a disk.

mod controller;
mod queue;
mod registers;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use self::controller::Nvme;
use self::registers::WINDOW_BYTES;
use super::BlockDriver;
use super::Name;
use super::exchange::{Exchange, Interrupt};
use super::queued::QueuedDisk;
use super::queues::Queues;
use super::slots::{MAX_DATA_BYTES, MAX_SLOTS};
use crate::arch::interrupts::Irq;
use crate::arch::mmio::Mmio;
use crate::devices::pci::{Bar, Bars, PciDevice};
use crate::devices::registers::Registers;
use crate::memory::OutOfMemory;

/// Mass storage, non-volatile memory, NVMe.
const CLASS_NVME: u32 = 0x01_0802;
/// Bytes of a page, in which the largest transfer is counted.
const PAGE_BYTES: usize = 4096;

/// Why a controller or a namespace is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Error {
    /// BAR 0 or the capabilities are not those of a controller that the driver knows.
    BadRegisters,
    /// It does not get ready, or does not stop.
    ResetTimeout,
    /// A command has no answer.
    NoAnswer,
    /// A command has an answer that is not good: its status.
    Refused(u16),
    /// The namespace has no sectors.
    NoNamespace,
    /// The namespace's sectors have a size, or further data, that the driver does not know.
    Format,
    /// No memory for the queues.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadRegisters => "its registers are not those of an NVMe controller",
            Self::ResetTimeout => "the reset does not end",
            Self::NoAnswer => "it does not answer",
            Self::Refused(status) => return write!(f, "it refuses a command: {status:#x}"),
            Self::NoNamespace => "it has no sectors",
            Self::Format => "its sectors have an unknown format",
            Self::OutOfMemory => "out of memory",
        })
    }
}

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Of what a controller says of itself (figure 247), what is in use here.
struct Identity {
    model: String,
    /// Most bytes of a transfer.
    max_bytes: usize,
    namespaces: u32,
    has_cache: bool,
}

impl Identity {
    fn parse(page: &[u8]) -> Self {
        let byte = |at: usize| page.get(at).copied().unwrap_or(0);
        let text = page.get(24..64).unwrap_or_default().iter();
        let text: String = text
            .map(|byte| match byte {
                0x20..0x7F => char::from(*byte),
                _ => ' ',
            })
            .collect();
        let count = core::array::from_fn(|at| byte(516 + at));
        Self {
            model: String::from(text.trim()),
            // A power of two of pages; 0 is no limit, and neither is more than a request can have.
            max_bytes: match byte(77) {
                shift @ 1..4 => PAGE_BYTES << shift,
                _ => MAX_DATA_BYTES,
            },
            namespaces: u32::from_le_bytes(count),
            has_cache: byte(525) & 1 != 0,
        }
    }
}

/// Of what a namespace says of itself (figure 245), what is in use here.
struct Namespace {
    sector_count: u64,
    sector_len_bytes: usize,
    is_read_only: bool,
}

impl Namespace {
    fn parse(page: &[u8]) -> Result<Self, Error> {
        let byte = |at: usize| page.get(at).copied().unwrap_or(0);
        let sector_count = u64::from_le_bytes(core::array::from_fn(byte));
        if sector_count == 0 {
            return Err(Error::NoNamespace);
        }
        let format = 128 + 4 * usize::from(byte(26) & 0xF);
        let (metadata, shift) = ([byte(format), byte(format + 1)], byte(format + 2));
        if !(9..=12).contains(&shift) || metadata != [0; 2] || sector_count > u64::MAX >> shift {
            return Err(Error::Format);
        }
        Ok(Self {
            sector_count,
            sector_len_bytes: 1 << shift,
            is_read_only: byte(99) & 1 != 0,
        })
    }
}

/// Whether it is a controller that this drives.
pub(super) fn is_ours(device: &PciDevice) -> bool {
    device.class == CLASS_NVME
}

/// Looks for the disks of the machine's NVMe controllers.
pub(super) fn discover(devices: &[PciDevice], disks: &mut Vec<Arc<dyn BlockDriver>>) {
    for device in devices.iter().filter(|device| is_ours(device)) {
        let bars = device.enable_with_bars();
        let window = match bars[0] {
            Some(Bar::Memory { phys, len_bytes }) => {
                let len = usize::try_from(len_bytes).unwrap_or(WINDOW_BYTES);
                Mmio::map(phys, len.min(WINDOW_BYTES)).map_err(Error::from)
            }
            _ => Err(Error::BadRegisters),
        };
        let name = format!("NVMe {device}");
        let found = window.and_then(|window| {
            let len_bytes = window.len_bytes();
            start(&name, window, len_bytes, || claim(device, &bars))
        });
        match found {
            Ok(found) => disks.extend(found.into_iter().map(|disk| Arc::new(disk) as Arc<_>)),
            Err(error) => log::error!("{name} did not start: {error}"),
        }
    }
}

/// An interrupt, and whether it is by message.
fn claim(device: &PciDevice, bars: &Bars) -> Option<(Irq, bool)> {
    if let Some((irq, message)) = Irq::claim_message()
        && (device.enable_msix(&[message], bars) || device.enable_msi(message))
    {
        return Some((irq, true));
    }
    let irq = device.claim_pin()?;
    Some((irq, false))
}

/// Starts a controller; its namespaces.
fn start<R: Registers>(
    name: &str,
    registers: R,
    window_bytes: usize,
    claim: impl FnOnce() -> Option<(Irq, bool)>,
) -> Result<Vec<QueuedDisk>, Error> {
    let stride_shift = match window_bytes {
        0..8 => return Err(Error::BadRegisters),
        _ => registers.read(registers::CAP + 4) & 0xF,
    };
    if window_bytes < registers::DOORBELLS + 4 * (4 << stride_shift) {
        return Err(Error::BadRegisters);
    }
    let mut nvme = Nvme::start(registers)?;
    let identity = nvme.identity();
    let claimed = match &identity {
        Ok(_) => claim(),
        Err(_) => None,
    };
    let (irq, has_message) = claimed.map_or((None, false), |(irq, by)| (Some(irq), by));
    let identity = match identity.and_then(|identity| {
        nvme.create_queues(irq.is_some(), has_message)?;
        Ok(identity)
    }) {
        Ok(identity) => identity,
        Err(error) => {
            nvme.give_up();
            return Err(error);
        }
    };
    let namespaces = nvme.namespaces(identity.namespaces);
    let exchange = Exchange::new(Box::new(nvme), MAX_SLOTS, irq.is_some())?;
    let interrupt = irq.map(|irq| Interrupt::register(irq, vec![exchange]));
    let disk = |(number, namespace): (u32, Namespace)| QueuedDisk {
        name: Name::Told(format!("{name} namespace {number} {}", identity.model)),
        sector_len_bytes: namespace.sector_len_bytes,
        sector_count: namespace.sector_count,
        is_read_only: namespace.is_read_only,
        has_flush: identity.has_cache,
        max_bytes: identity.max_bytes,
        target: number,
        queues: Queues::one(exchange, interrupt),
    };
    Ok(namespaces.into_iter().map(disk).collect())
}
