//! SATA disks behind AHCI controllers (Serial ATA AHCI 1.3.1), as q35, VirtualBox and VMware have them.
//!
//! [`discover`] finds controllers and their ports, [`port`] is a port with its disk, [`registers`] are both's. Packet devices (CD-ROMs)
//! are left alone.

mod port;
mod registers;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use self::port::Port;
use self::registers::{
    BOHC, BOHC_BIOS, BOHC_SYSTEM, CAP, CAP_STAGGERED_SPIN_UP, CAP2, CAP2_HANDOFF, GHC, GHC_AHCI,
    GHC_INTERRUPTS, MEMORY_BYTES, PI, WINDOW_BYTES,
};
use super::BlockDriver;
use super::Name;
use super::exchange::{Exchange, Interrupt};
use super::ide::identify::Identity;
use super::queued::QueuedDisk;
use super::queues::Queues;
use super::slots::{MAX_DATA_BYTES, MAX_SLOTS};
use crate::arch::mmio::Mmio;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::patience::wait_until;
use crate::devices::pci::{Bar, PciDevice};
use crate::devices::registers::Registers;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

/// Mass storage, SATA, AHCI.
const CLASS_AHCI: u32 = 0x01_0601;
/// The BAR with the registers.
const ABAR: u8 = 5;
/// How long a BIOS may take to let go of a controller (10.6.3).
const HANDOFF_LIMIT_NS: u64 = 2_000_000_000;

/// Whether it is a controller that this drives.
pub(super) fn is_ours(device: &PciDevice) -> bool {
    device.class == CLASS_AHCI
}

/// Looks for SATA disks at the machine's AHCI controllers.
pub(super) fn discover(devices: &[PciDevice], disks: &mut Vec<Arc<dyn BlockDriver>>) {
    for device in devices.iter().filter(|device| is_ours(device)) {
        device.enable();
        let window = match device.bar(ABAR) {
            Some(Bar::Memory { phys, len_bytes }) if len_bytes >= registers::port(1) as u64 => {
                let len = usize::try_from(len_bytes).unwrap_or(WINDOW_BYTES);
                Mmio::map(phys, len.min(WINDOW_BYTES)).map(|window| (window, window.len_bytes()))
            }
            _ => {
                log::error!("AHCI {device}: BAR 5 shows no register window");
                continue;
            }
        };
        let started = window.and_then(|(window, len_bytes)| start(window, len_bytes));
        let Ok((ports, window)) = started.map(|ports| (ports, window)) else {
            log::error!("AHCI {device} did not start: out of memory");
            continue;
        };
        if ports.is_empty() {
            continue;
        }
        let irq = device.claim_interrupt();
        let (mut exchanges, mut found) = (Vec::new(), Vec::new());
        for (number, port, identity) in ports {
            port.enable_interrupts();
            let Ok(disk) = disk(
                format!("AHCI {device}"),
                number,
                port,
                identity,
                irq.is_some(),
            ) else {
                log::error!("AHCI {device} port {number} did not start: out of memory");
                continue;
            };
            exchanges.push(disk.queues.of(0).exchange);
            found.push(disk);
        }
        if let (Some(irq), Ok((window, _))) = (irq, window) {
            let interrupt = Interrupt::register(irq, exchanges);
            for disk in &mut found {
                disk.queues = Queues::one(disk.queues.of(0).exchange, Some(interrupt));
            }
            let control = Registers::read(&window, GHC);
            Registers::write(&window, GHC, control | GHC_INTERRUPTS);
        }
        disks.extend(found.into_iter().map(|disk| Arc::new(disk) as Arc<_>));
    }
}

/// A port with a disk: number, port, what the disk says of itself.
type Found<R> = (u8, Port<R>, Identity);

/// Takes a controller over; its ports with disks. Interrupts stay off.
fn start<R: Registers>(registers: R, window_bytes: usize) -> Result<Vec<Found<R>>, OutOfMemory> {
    if registers.read(CAP2) & CAP2_HANDOFF != 0 {
        registers.write(BOHC, registers.read(BOHC) | BOHC_SYSTEM);
        // Whether it does or not: it had its time.
        wait_until(HANDOFF_LIMIT_NS, || registers.read(BOHC) & BOHC_BIOS == 0);
    }
    registers.write(GHC, registers.read(GHC) & !GHC_INTERRUPTS | GHC_AHCI);
    let spins_up = registers.read(CAP) & CAP_STAGGERED_SPIN_UP != 0;
    let implemented = registers.read(PI);
    let mut found = Vec::new();
    for number in (0..32).filter(|number| implemented >> number & 1 != 0) {
        if registers::port(number + 1) > window_bytes {
            break;
        }
        let memory = DmaBuffer::new(MEMORY_BYTES)?;
        let Some(mut port) = Port::start(registers.clone(), number, spins_up, memory) else {
            continue;
        };
        match port.identify() {
            Some(Ok(identity)) => found.push((number, port, identity)),
            Some(Err(error)) => {
                log::warn!("AHCI port {number}: a disk that cannot be used: {error}");
                port.give_up();
            }
            None => {
                log::warn!("AHCI port {number}: the disk does not say what it is");
                port.give_up();
            }
        }
    }
    Ok(found)
}

/// The disk of a port.
fn disk<R: Registers>(
    controller: alloc::string::String,
    number: u8,
    port: Port<R>,
    identity: Identity,
    has_interrupt: bool,
) -> Result<QueuedDisk, OutOfMemory> {
    Ok(QueuedDisk {
        name: Name::Told(format!("{controller} port {number} {}", identity.model)),
        sector_len_bytes: identity.sector_len_bytes,
        sector_count: identity.sector_count,
        is_read_only: false,
        has_flush: identity.has_flush,
        max_bytes: MAX_DATA_BYTES,
        target: 0,
        queues: Queues::one(
            Exchange::new(Box::new(port), MAX_SLOTS, has_interrupt)?,
            None,
        ),
    })
}
