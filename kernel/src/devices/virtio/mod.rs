//! Virtio devices (OASIS Virtual I/O Device Version 1.2): how a driver and a device come to terms, over whatever carries them.
//!
//! [`mmio`], [`pci`] and [`pci_legacy`] are the transports, [`queue`] the split virtqueues. What is done with the queues is the drivers' business
//! ([`crate::devices::network::virtio`], [`crate::devices::block::virtio`]).

pub mod mmio;
pub mod pci;
pub mod pci_legacy;
pub mod queue;

use core::fmt;

use self::queue::Queue;
use crate::memory::OutOfMemory;

/// Device number of network cards.
pub const NETWORK: u32 = 1;
/// Device number of disks.
pub const BLOCK: u32 = 2;
/// Device number of SCSI adapters.
pub const SCSI: u32 = 8;

// Device status bits (section 2.1).
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;
const FAILED: u8 = 128;

/// Feature: the device follows version 1 of the specification.
pub const VERSION_1: u64 = 1 << 32;
/// Feature: both sides say which entry they wait for.
pub const EVENT_INDEX: u64 = 1 << 29;
/// Feature of older devices: what is in a buffer need not be cut at fixed places.
pub const ANY_LAYOUT: u64 = 1 << 27;

/// Feature: the device uses addresses as the platform has it, which may put an IOMMU in between. None is turned on here, so they are physical.
const ACCESS_PLATFORM: u64 = 1 << 33;
/// Longest queue whose length is the device's choice.
const MAX_FIXED_QUEUE_LEN: u16 = 1024;

/// Why a device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The registers are not what the specification says.
    BadRegisters,
    /// The reset does not end.
    ResetTimeout,
    /// The device lacks a feature the driver needs, or does not take the driver's choice.
    Features,
    /// A queue is missing or too short.
    NoQueue,
    /// No memory for the queues.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadRegisters => "its registers are not those of a virtio device",
            Self::ResetTimeout => "the reset does not end",
            Self::Features => "it lacks a needed feature",
            Self::NoQueue => "a queue is missing",
            Self::OutOfMemory => "out of memory",
        })
    }
}

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// What carries a device.
pub trait Transport: Send + Sync {
    /// Whether the device is older than version 1.
    fn is_legacy(&self) -> bool;
    /// Reads the device status.
    fn status(&self) -> u8;
    /// Writes the device status; 0 resets.
    fn set_status(&self, status: u8);
    /// What the device offers.
    fn offered_features(&self) -> u64;
    /// What the driver takes of it.
    fn accept_features(&self, features: u64);
    /// How long a queue may be; 0 if there is none.
    fn max_queue_len(&self, index: u16) -> u16;
    /// Whether a queue must be as long as the device says.
    fn has_fixed_queues(&self) -> bool {
        false
    }
    /// Tells the device where a queue is.
    fn enable_queue(&self, index: u16, queue: &Queue);
    /// Tells the device that a queue has something new for it.
    fn notify(&self, index: u16);
    /// Takes the cause of an interrupt away.
    fn acknowledge_interrupt(&self);
    /// Reads a byte of the device's own configuration.
    fn config(&self, offset: usize) -> u8;
    /// Reads four bytes of it, at a multiple of four. Fields of four and eight bytes are read so (sections 4.1.3.1 and 4.2.2.2).
    fn config32(&self, offset: usize) -> u32;
}

/// Resets a device and settles features with it (section 3.1.1): all of `needed`, and what `choose` takes of those that it offers. Those
/// that are agreed upon.
///
/// # Errors
/// When the device does not go along.
pub fn negotiate(
    transport: &dyn Transport,
    needed: u64,
    choose: impl FnOnce(u64) -> u64,
) -> Result<u64, Error> {
    const PATIENCE: usize = 100_000;
    transport.set_status(0);
    if !(0..PATIENCE).any(|_| transport.status() == 0) {
        return Err(Error::ResetTimeout);
    }
    transport.set_status(ACKNOWLEDGE);
    transport.set_status(ACKNOWLEDGE | DRIVER);
    let offered = transport.offered_features();
    let needed = match transport.is_legacy() {
        true => needed,
        false => needed | VERSION_1,
    };
    if offered & needed != needed {
        transport.set_status(FAILED);
        return Err(Error::Features);
    }
    let features = offered & (needed | choose(offered) | ACCESS_PLATFORM);
    transport.accept_features(features);
    if !transport.is_legacy() {
        transport.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        if transport.status() & FEATURES_OK == 0 {
            transport.set_status(FAILED);
            return Err(Error::Features);
        }
    }
    Ok(features)
}

/// Makes a queue of at most `len` entries and tells the device of it.
///
/// # Errors
/// When the device has no such queue, or there is no memory.
pub fn make_queue(transport: &dyn Transport, index: u16, len: u16) -> Result<Queue, Error> {
    let max = transport.max_queue_len(index);
    if max < 2 {
        return Err(Error::NoQueue);
    }
    let queue =
        Queue::new(queue_len(len, max, transport.has_fixed_queues()).ok_or(Error::NoQueue)?)?;
    transport.enable_queue(index, &queue);
    Ok(queue)
}

/// How long a queue becomes of which a driver wants `len` entries and the device has `max`.
fn queue_len(len: u16, max: u16, is_fixed: bool) -> Option<u16> {
    // A power of two (section 2.7); what a device offers need not be.
    match is_fixed {
        // The places of the rings follow from it.
        true => Some(max).filter(|max| max.is_power_of_two() && *max <= MAX_FIXED_QUEUE_LEN),
        false => Some(1 << len.min(max).ilog2()),
    }
}

/// The driver is ready: the device may begin.
pub fn start(transport: &dyn Transport) {
    let features_ok = if transport.is_legacy() {
        0
    } else {
        FEATURES_OK
    };
    transport.set_status(ACKNOWLEDGE | DRIVER | features_ok | DRIVER_OK);
}

#[cfg(test)]
mod tests {
    use super::queue_len;

    #[test]
    fn a_queue_has_a_length_that_driver_and_device_can_use() {
        assert_eq!(queue_len(64, 256, false), Some(64));
        assert_eq!(queue_len(64, 40, false), Some(32));
        // Of older devices on the PCI bus the length is what they say, or they are not used.
        assert_eq!(queue_len(64, 256, true), Some(256));
        assert_eq!(queue_len(64, 40, true), None);
        assert_eq!(queue_len(64, 0x8000, true), None);
    }
}
