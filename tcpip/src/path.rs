//! The way to a peer: the headers that all packets of a connection share, and the sums over them.

use crate::address::Address;
use crate::checksum::Sum;
use crate::wire::ethernet::{self, Mac};
use crate::wire::{ip, protocol, put};

/// Longest headers in front of TCP's.
const MAX: usize = ethernet::HEADER + ip::V6_HEADER;

/// Length of the headers of Ethernet and IPv4.
pub(crate) const USUAL: usize = ethernet::HEADER + ip::V4_HEADER;

/// Headers of Ethernet, if there is one, and IP; only the length is missing.
#[derive(Clone, Copy)]
pub(crate) struct Path {
    bytes: [u8; MAX],
    /// Where the IP header begins.
    ip_at: u8,
    len: u8,
    /// Of the IPv4 header without its length, folded.
    header_sum: Sum,
    /// Of the pseudo header without its length, folded.
    pseudo_sum: Sum,
    /// Until when it may be used without asking again.
    pub(crate) valid_until: u64,
    /// Of the neighbours when it was found: with another, it may lead to a wrong one.
    pub(crate) generation: u32,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            bytes: [0; MAX],
            ip_at: 0,
            len: 0,
            header_sum: Sum::default(),
            pseudo_sum: Sum::default(),
            valid_until: 0,
            generation: 0,
        }
    }
}

impl Path {
    /// Whether it may be used without asking again.
    #[inline]
    pub(crate) fn is_valid(&self, now_us: u64, generation: u32) -> bool {
        now_us < self.valid_until && self.generation == generation
    }

    /// The hardware address of the next station, where there are such.
    pub(crate) fn station(&self) -> Option<Mac> {
        let header = self.bytes.get(..usize::from(self.ip_at))?;
        header.first_chunk().copied()
    }

    /// A way, by the hardware addresses of this end and of the next station (none where the medium has none).
    pub(crate) fn new(
        macs: Option<(Mac, Mac)>,
        source: Address,
        destination: Address,
        (hop_limit, traffic_class): (u8, u8),
        valid_until: u64,
    ) -> Self {
        let mut path = Self {
            valid_until,
            pseudo_sum: Sum::addresses(source, destination, protocol::TCP).folded(),
            ..Self::default()
        };
        let mut at = 0;
        if let Some((from, to)) = macs {
            let kind = if source.is_v4() {
                ethernet::IPV4
            } else {
                ethernet::IPV6
            };
            ethernet::write(&mut path.bytes, to, from, kind);
            at = ethernet::HEADER;
        }
        path.ip_at = at as u8;
        path.len = (at + ip::header_len(source.is_v4())) as u8;
        let header = path.bytes.get_mut(at..).unwrap_or_default();
        ip::write_header(header, source, destination, protocol::TCP, hop_limit, 0);
        ip::mark(header, traffic_class);
        if source.is_v4() {
            put(header, 2, &[0, 0]);
            put(header, 10, &[0, 0]);
            let header = header.get(..ip::V4_HEADER).unwrap_or_default();
            path.header_sum = Sum::default().add(header).folded();
        }
        path
    }

    /// Length of the headers.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether it is one of IPv6.
    #[inline]
    pub(crate) fn is_v6(&self) -> bool {
        self.len - self.ip_at == ip::V6_HEADER as u8
    }

    /// The sum of the pseudo header of a segment, for [`Sum::fold_one`] too.
    #[inline]
    pub(crate) fn pseudo_header(&self, len: usize) -> Sum {
        // A segment that the device takes apart may be longer than fits; its own length is put in by the device.
        self.pseudo_sum.add_u16(len as u16)
    }

    /// Whether the headers are those of Ethernet and IPv4, of [`USUAL`] bytes.
    #[inline]
    pub(crate) fn is_usual(&self) -> bool {
        usize::from(self.ip_at) == ethernet::HEADER && usize::from(self.len) == USUAL
    }

    /// Writes the headers in front of `len` bytes if [`Path::is_usual`], with everything at a known place.
    #[inline]
    pub(crate) fn write_usual(&self, headers: &mut [u8; USUAL], len: usize) {
        let Some(known) = self.bytes.first_chunk() else {
            return;
        };
        *headers = *known;
        let total = (ip::V4_HEADER + len) as u16;
        [headers[16], headers[17]] = total.to_be_bytes();
        let sum = self.header_sum.add_u16(total).fold_one();
        [headers[24], headers[25]] = sum.map(|byte| !byte);
    }

    /// Writes the headers in front of `len` bytes.
    #[inline]
    pub(crate) fn write(&self, frame: &mut [u8], len: usize) {
        let at = usize::from(self.ip_at);
        put(frame, 0, self.bytes.get(..self.len()).unwrap_or_default());
        if self.is_v6() {
            put(frame, at + 4, &(len as u16).to_be_bytes());
        } else {
            let total = (ip::V4_HEADER + len) as u16;
            put(frame, at + 2, &total.to_be_bytes());
            put(frame, at + 10, &self.header_sum.add_u16(total).checksum());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Path;
    use crate::address::Address;
    use crate::wire::ip::{Packet, mark, traffic_class, write_header};

    #[test]
    fn a_way_writes_what_would_be_written_each_time() {
        for (source, destination, header) in [
            (Address::v4([10, 0, 2, 15]), Address::v4([10, 0, 2, 2]), 20),
            (Address::v6([1; 16]), Address::v6([2; 16]), 40),
        ] {
            let macs = Some(([1; 6], [2; 6]));
            for (macs, at) in [(None, 0), (macs, 14)] {
                let path = Path::new(macs, source, destination, (9, 0xB8), 0);
                let mut frame = vec![0; at + header + 77];
                assert_eq!(path.len(), at + header);
                path.write(&mut frame, 77);
                if path.is_usual() {
                    let mut usual = [0; super::USUAL];
                    path.write_usual(&mut usual, 77);
                    assert_eq!(frame[..super::USUAL], usual);
                }
                let mut packet = vec![0; header + 77];
                write_header(&mut packet, source, destination, 6, 9, 77);
                mark(&mut packet, 0xB8);
                assert_eq!(traffic_class(&packet), 0xB8);
                assert_eq!(frame[at..], packet);
                assert!(Packet::read(&frame[at..], false).is_some());
            }
        }
    }
}
