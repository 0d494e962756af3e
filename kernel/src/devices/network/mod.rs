//! Network interface controllers: one folder or file per controller.
//!
//! A controller gives a [`NetworkDevice`]: what it is, and two halves that share nothing, a [`Receiver`] and a
//! [`Transmitter`] (the [`Device`] of the crate `tcpip`), so that an answer can be written while the frame it answers is still in the ring. Frames are lent, never copied.
//! What the frames say is the business of [`crate::network`].

pub mod e1000;
mod ne2000;
mod pcnet;
mod rtl8139;
mod tulip;
pub mod virtio;
mod vmxnet3;
mod xen;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Display};

pub use tcpip::{ChecksumRequest, Device, Offload};

use crate::arch::interrupts::Irq;
use crate::arch::x86_64::core_local::{self, CoreLocal};
use crate::command_line::VirtioMmioDevice;
use crate::devices::pci::{self, PciDevice};
use crate::devices::virtio as virtio_bus;
use crate::devices::virtio::mmio::MmioTransport;
use crate::devices::virtio::pci::PciTransport;
use crate::devices::virtio::pci_legacy::LegacyPciTransport;
use crate::memory::OutOfMemory;

/// Why a controller did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The BARs do not show register windows of the right size, or nothing sensible is in them.
    NoRegisters,
    /// The reset bit does not clear.
    ResetTimeout,
    /// It has no hardware address that a station can have.
    NoHardwareAddress,
    /// No memory for the rings.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRegisters => "it shows no register window",
            Self::ResetTimeout => "the reset does not end",
            Self::NoHardwareAddress => "it has no hardware address",
            Self::OutOfMemory => "out of memory",
        })
    }
}

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Whether an address is one that a single station can have.
fn is_usable(mac: [u8; 6]) -> bool {
    mac != [0; 6] && mac[0] & 1 == 0
}

/// Whether a controller's cable is plugged in, as far as it says; changes are logged.
#[derive(Default)]
struct LinkState {
    is_down: bool,
}

impl LinkState {
    /// The link is up or down now.
    fn is(&mut self, driver: &str, is_up: bool) {
        if is_up != self.is_down {
            return;
        }
        self.is_down = !is_up;
        if is_up {
            log::info!("network: {driver}: the link is up");
        } else {
            log::warn!("network: {driver}: the link is down");
        }
    }
}

/// What travels on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Ethernet II frames, without the frame check sequence.
    Ethernet,
    /// Bare IP packets (the loopback).
    Ip,
}

/// A controller, ready for use.
pub struct NetworkDevice {
    /// Name of the driver.
    pub driver: &'static str,
    /// Its own hardware address; all zeros where the medium has none.
    pub mac: [u8; 6],
    /// What travels on it.
    pub medium: Medium,
    /// Largest IP packet, in bytes.
    pub mtu: usize,
    /// Whether [`Device::send`] can fill in TCP checksums.
    pub has_checksum_offload: bool,
    /// The receiving half.
    pub receiver: Box<dyn Receiver>,
    /// The sending half.
    pub transmitter: Box<dyn Transmitter>,
    /// More of both, for other cores: the device says by which of them a frame comes.
    pub more: Vec<QueuePair>,
}

/// A receiving and a sending half that a core can have for itself.
pub struct QueuePair {
    /// The core that the receiving half interrupts.
    pub core: &'static CoreLocal,
    /// The receiving half.
    pub receiver: Box<dyn Receiver>,
    /// The sending half.
    pub transmitter: Box<dyn Transmitter>,
}

/// A received frame, lent by the ring.
pub struct Frame<'a> {
    /// The frame, without check sequence.
    pub bytes: &'a [u8],
    /// The device has verified the IP, TCP and UDP checksums and found them right.
    pub is_verified: bool,
}

/// The receiving half of a device.
pub trait Receiver: Send {
    /// Takes the interrupt's cause away, if there was an interrupt. Call it before looking for frames, or one could be missed. A device
    /// that can do so keeps quiet until [`Receiver::listen`], since it is looked at anyway: an interrupt costs several exits to the host.
    fn acknowledge(&mut self);

    /// The line by which the device interrupts, if it does.
    fn irq(&self) -> Option<Irq> {
        None
    }

    /// Has the device interrupt for the next frame. Whether a frame is there already, for which it may not interrupt.
    fn listen(&mut self) -> bool {
        self.is_ready()
    }

    /// Whether a frame is there. As cheap as can be: a load.
    fn is_ready(&self) -> bool;

    /// The oldest frame, until [`Receiver::release`]. Frames the device marks as damaged are dropped inside.
    fn frame(&mut self) -> Option<Frame<'_>>;

    /// Gives the buffer of the frame that [`Receiver::frame`] lent back to the device. Without such a frame, nothing.
    fn release(&mut self);

    /// All of the above: takes the interrupt's cause away, then lends one frame after the other to `take` (its bytes, and whether it is
    /// verified), up to `most`; how many there were.
    fn serve(&mut self, most: usize, take: &mut dyn FnMut(&[u8], bool)) -> usize {
        self.acknowledge();
        let mut count = 0;
        while count < most
            && self.is_ready()
            && let Some(frame) = self.frame()
        {
            take(frame.bytes, frame.is_verified);
            self.release();
            count += 1;
        }
        count
    }
}

/// The sending half of a device.
pub trait Transmitter: Device + Send {
    /// Largest IP packet that the device takes apart into segments; 0 if it does not.
    fn largest_send(&self) -> usize {
        0
    }

    /// Whether the device has taken all frames, as far as it tells without being asked for each: then the machine may end.
    fn has_sent_all(&mut self) -> bool {
        true
    }
}

/// All controllers of the machine that a driver knows: those on the PCI bus, then those at `virtio_mmio`, which the loader told of, and where
/// there is none of these, those of Xen's. One that fails to start is left out, with an error in the log.
pub fn find(virtio_mmio: &[VirtioMmioDevice]) -> Vec<NetworkDevice> {
    let mut found = Vec::new();
    for device in pci::devices() {
        if e1000::is_supported(device) {
            keep("e1000", e1000::start(device), &mut found);
        } else if vmxnet3::is_supported(device) {
            keep("vmxnet3", vmxnet3::start(device), &mut found);
        } else if tulip::is_supported(device) {
            keep("tulip", tulip::start(device), &mut found);
        } else if ne2000::is_supported(device) {
            keep("ne2000", ne2000::start(device), &mut found);
        } else if pcnet::is_supported(device) {
            keep("pcnet", pcnet::start(device), &mut found);
        } else if rtl8139::is_supported(device) {
            keep("rtl8139", rtl8139::start(device), &mut found);
        } else if virtio_bus::pci::device_id(device) == Some(virtio_bus::NETWORK) {
            keep("virtio-net", start_virtio(device), &mut found);
        }
    }
    for place in virtio_mmio {
        // Most places have no device, and others not a network card.
        if let Ok((transport, virtio_bus::NETWORK)) =
            MmioTransport::probe(place.phys, place.len_bytes)
        {
            let claim = || Irq::claim_global(place.interrupt, false);
            keep(
                "virtio-net",
                virtio::start(Arc::new(transport), claim, Vec::new()),
                &mut found,
            );
        }
    }
    #[cfg(not(test))]
    if found.is_empty() {
        xen::discover(&mut found);
    }
    found
}

/// Starts a virtio card on the PCI bus, with a pair of queues for each core if it has as many.
fn start_virtio(device: &PciDevice) -> Result<NetworkDevice, virtio_bus::Error> {
    let claim_pin = || device.claim_pin();
    let Ok(mut transport) = PciTransport::new(device) else {
        let transport = LegacyPciTransport::new(device)?;
        return virtio::start(Arc::new(transport), claim_pin, Vec::new());
    };
    let cores: Vec<_> = cores().take(virtio::pair_count(&transport)).collect();
    if cores.len() > 1
        && let Some(lines) = transport.claim_messages(device, &cores, virtio::QUEUES_OF_PAIR)
    {
        let mut lines = lines.into_iter().zip(cores);
        let first = lines.next().map(|(line, _)| line);
        return virtio::start(Arc::new(transport), || first, lines.collect());
    }
    let message = transport.claim_message(device);
    virtio::start(
        Arc::new(transport),
        || message.or_else(claim_pin),
        Vec::new(),
    )
}

/// All cores, this one first.
fn cores() -> impl Iterator<Item = &'static CoreLocal> {
    let own = core_local::current();
    let others = (0..core_local::count()).filter_map(core_local::get);
    core::iter::once(own).chain(others.filter(move |core| !core::ptr::eq(*core, own)))
}

fn keep<E: Display>(
    driver: &str,
    started: Result<NetworkDevice, E>,
    found: &mut Vec<NetworkDevice>,
) {
    match started {
        Ok(device) => found.push(device),
        Err(error) => log::error!("network: {driver} did not start: {error}"),
    }
}
