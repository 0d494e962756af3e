//! What packets look like: views that check every length before they believe it, and writers.
//!
//! A view borrows the frame. All that is read comes from strangers, so nothing here indexes a slice without a check.

#![deny(clippy::indexing_slicing, reason = "lengths come from strangers")]

pub(crate) mod arp;
pub(crate) mod dhcp;
pub(crate) mod dhcp6;
pub(crate) mod domains;
pub(crate) mod ethernet;
pub(crate) mod groups;
pub(crate) mod icmp;
pub(crate) mod ip;
pub(crate) mod ndp;
pub(crate) mod tcp;
pub(crate) mod udp;
pub(crate) mod usual;

/// Protocol numbers (IANA).
pub(crate) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IGMP: u8 = 2;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const ICMP_V6: u8 = 58;
    pub(crate) const NONE: u8 = 59;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
}

/// The big-endian word at `at` of a header whose length is known.
macro_rules! be16 {
    ($header:expr, $at:literal) => {
        u16::from_be_bytes([$header[$at], $header[$at + 1]])
    };
}
/// The big-endian double word at `at` of a header whose length is known.
macro_rules! be32 {
    ($header:expr, $at:literal) => {
        u32::from_be_bytes([
            $header[$at],
            $header[$at + 1],
            $header[$at + 2],
            $header[$at + 3],
        ])
    };
}
pub(crate) use {be16, be32};

/// Puts bytes into a buffer; what does not fit is left out.
#[inline]
pub(crate) fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = at
        .checked_add(bytes.len())
        .and_then(|end| buffer.get_mut(at..end))
    {
        place.copy_from_slice(bytes);
    } else {
        debug_assert!(false, "{} bytes at {at} of {}", bytes.len(), buffer.len());
    }
}
