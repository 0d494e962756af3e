//! The device as smoltcp sees it: at most one frame to receive, and a transmitter.
//!
//! Checksums of TCP and UDP are filled in here (or by the device), faster than the stack would.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::phy::{self, Checksum, ChecksumCapabilities, DeviceCapabilities};
use smoltcp::time::Instant;
use smoltcp::wire::checksum;

use crate::devices::network::{ChecksumRequest, Medium, Offload, Transmitter};

const ETHERNET_HEADER: usize = 14;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// The way out of an interface.
pub(super) struct Port {
    transmitter: Box<dyn Transmitter>,
    medium: Medium,
    mtu: usize,
    has_checksum_offload: bool,
    /// IP packets handed to the transmitter so far.
    pub(super) sent_packets: u64,
    /// Frames handed to it, and their bytes; and those that found no free buffer.
    pub(super) sent_frames: u64,
    pub(super) sent_bytes: u64,
    pub(super) lost_frames: u64,
    /// Takes an answer that finds no free buffer, and is then thrown away.
    overflow: Vec<u8>,
}

impl Port {
    /// A port over a transmitter.
    pub(super) fn new(
        transmitter: Box<dyn Transmitter>,
        medium: Medium,
        mtu: usize,
        has_checksum_offload: bool,
    ) -> Self {
        Self {
            transmitter,
            medium,
            mtu,
            has_checksum_offload,
            sent_packets: 0,
            sent_frames: 0,
            sent_bytes: 0,
            lost_frames: 0,
            overflow: Vec::new(),
        }
    }

    /// Whether a frame can be sent now.
    pub(super) fn has_room(&mut self) -> bool {
        self.transmitter.has_room()
    }

    /// The port as smoltcp's device, with a frame to receive or none.
    pub(super) fn device<'a>(&'a mut self, frame: Option<&'a [u8]>) -> FrameDevice<'a> {
        FrameDevice { frame, port: self }
    }

    fn transmit<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        if !self.transmitter.has_room() {
            self.lost_frames += 1;
            self.overflow.resize(len, 0);
            return fill(&mut self.overflow);
        }
        self.sent_frames += 1;
        self.sent_bytes += len as u64;
        let buffer = self.transmitter.buffer(len);
        let result = fill(buffer);
        let packet_at = match self.medium {
            Medium::Ip => 0,
            Medium::Ethernet => ETHERNET_HEADER,
        };
        if self.medium == Medium::Ip || buffer[12..14] == [0x08, 0x00] {
            self.sent_packets += 1;
        }
        let request = fill_checksum(buffer, packet_at, self.has_checksum_offload);
        let offload = Offload {
            checksum: request,
            ..Offload::default()
        };
        self.transmitter.send(len, offload);
        result
    }
}

/// Puts the TCP or UDP checksum of a frame of our own in its place, or only the pseudo header's sum when the device does the rest.
fn fill_checksum(
    frame: &mut [u8],
    packet_at: usize,
    is_offloaded: bool,
) -> Option<ChecksumRequest> {
    let (ethernet, packet) = frame.split_at_mut(packet_at);
    if ethernet.len() == ETHERNET_HEADER && ethernet[12..14] != [0x08, 0x00] {
        return None;
    }
    let (header, segment) = packet.split_at_mut_checked(20)?;
    let protocol = header[9];
    let at = match protocol {
        PROTOCOL_TCP => 16,
        PROTOCOL_UDP => 6,
        _ => return None,
    };
    let address =
        |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    let len_bytes = segment.len() as u32;
    let sum = checksum::pseudo_header_v4(&address(12), &address(16), protocol.into(), len_bytes);
    let field = segment.get_mut(at..at + 2)?;
    if is_offloaded {
        field.copy_from_slice(&sum.to_be_bytes());
        let start = packet_at + 20;
        return Some(ChecksumRequest {
            start: start as u8,
            at: (start + at) as u8,
        });
    }
    field.fill(0);
    let sum = !checksum::combine(&[sum, checksum::data(segment)]);
    // In UDP, 0 means that there is none.
    let is_none = sum == 0 && protocol == PROTOCOL_UDP;
    let sum = if is_none { u16::MAX } else { sum };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    None
}

/// See [`Port::device`].
pub(super) struct FrameDevice<'a> {
    frame: Option<&'a [u8]>,
    port: &'a mut Port,
}

impl phy::Device for FrameDevice<'_> {
    type RxToken<'b>
        = RxToken<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = TxToken<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let frame = self.frame.take()?;
        Some((RxToken(frame), TxToken(self.port)))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_>> {
        self.port.has_room().then_some(TxToken(self.port))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut checksum = ChecksumCapabilities::default();
        checksum.ipv4 = Checksum::Tx;
        checksum.tcp = Checksum::None;
        checksum.udp = Checksum::None;
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = match self.port.medium {
            Medium::Ip => (phy::Medium::Ip, self.port.mtu),
            Medium::Ethernet => (phy::Medium::Ethernet, self.port.mtu + ETHERNET_HEADER),
        };
        capabilities.checksum = checksum;
        capabilities
    }
}

/// The frame that is there.
pub(super) struct RxToken<'a>(&'a [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// The right to send a frame.
pub(super) struct TxToken<'a>(&'a mut Port);

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.transmit(len, f)
    }
}
