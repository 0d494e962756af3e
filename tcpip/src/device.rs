//! The way out of an interface, as the engine sees it: frames are made in the device's own buffers.

/// What travels on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Ethernet II frames, without the frame check sequence.
    Ethernet,
    /// Bare IP packets (a loopback, a tunnel).
    Ip,
}

/// What a device can do and where it is.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// What travels on it.
    pub medium: Medium,
    /// Its hardware address; all zeros where the medium has none.
    pub mac: [u8; 6],
    /// Largest IP packet, in bytes.
    pub mtu: usize,
    /// It fills in TCP checksums ([`Offload::checksum`]).
    pub fills_checksums: bool,
    /// Largest IP packet that it takes apart into segments itself ([`Offload::segment_bytes`]); 0 if it does not.
    pub largest_send: usize,
}

/// A checksum the device shall fill in: the one's complement sum from `start` to the end of the frame, stored at `at`, where the
/// sum of the pseudo header already is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumRequest {
    /// Where the TCP header begins in the frame.
    pub start: u8,
    /// Where its checksum is in the frame.
    pub at: u8,
}

/// What the device shall do with a frame besides sending it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// The TCP checksum to fill in.
    pub checksum: Option<ChecksumRequest>,
    /// Payload bytes of each segment to take the frame apart into; 0: it is one already.
    pub segment_bytes: u16,
    /// Length of all headers, where it is to be taken apart.
    pub header_bytes: u8,
    /// The packet is one of IPv6.
    pub is_v6: bool,
}

/// The sending half of a device.
pub trait Device {
    /// Itself, or what it passes everything on to.
    fn as_dyn(&mut self) -> &mut dyn Device
    where
        Self: Sized,
    {
        self
    }

    /// Whether there is a free buffer.
    fn has_room(&mut self) -> bool;

    /// The next free buffer, cut to `len_bytes`. Called only after [`Device::has_room`] said yes, with at most a full frame
    /// or what [`Device::large_room`] said.
    fn buffer(&mut self, len_bytes: usize) -> &mut [u8];

    /// Length of the largest frame to be taken apart ([`Offload::segment_bytes`]) for which there is room now; 0 if there is none. Asked only
    /// where [`Capabilities::largest_send`] is not 0.
    fn large_room(&mut self) -> usize {
        0
    }

    /// Queues the first `len_bytes` bytes of that buffer.
    fn send(&mut self, len_bytes: usize, offload: Offload);

    /// Tells the device of everything queued.
    fn flush(&mut self);
}
