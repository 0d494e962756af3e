//! TCP segments (RFC 9293, section 3.1) and their options (RFC 7323, RFC 2018).

use super::{be16, be32, protocol, put};
use crate::checksum::Sum;
use crate::seq::Seq;
use crate::wire::ip::Packet;

/// Length of the header without options.
pub(crate) const HEADER: usize = 20;
/// Longest header.
#[cfg(test)]
const MAX_HEADER: usize = 60;
/// Blocks that fit into a header.
pub(crate) const MAX_SACK: usize = 4;

bitflags::bitflags! {
    /// The control bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Flags: u8 {
        const FIN = 1 << 0;
        const SYN = 1 << 1;
        const RST = 1 << 2;
        const PSH = 1 << 3;
        const ACK = 1 << 4;
        const URG = 1 << 5;
        const _ = !0;
    }
}

/// A received segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    /// The number behind the urgent byte, from `seq` on; of use only with the flag.
    pub(crate) urgent: u16,
    pub(crate) options: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Reads a packet's payload; none when its lengths lie or its checksum is wrong.
    #[inline]
    pub(crate) fn read(packet: &Packet<'a>, is_verified: bool) -> Option<Self> {
        let bytes = packet.payload;
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let header_len = usize::from(header[12] >> 4) * 4;
        let options = bytes.get(HEADER..header_len)?;
        let payload = bytes.get(header_len..)?;
        let is_right = || {
            let len = bytes.len();
            Sum::pseudo_header(packet.source, packet.destination, protocol::TCP, len)
                .add(bytes)
                .is_right()
        };
        if !is_verified && !is_right() {
            return None;
        }
        Some(Self {
            source_port: be16!(header, 0),
            destination_port: be16!(header, 2),
            seq: Seq(be32!(header, 4)),
            ack: Seq(be32!(header, 8)),
            flags: Flags::from_bits_retain(header[13]),
            window: be16!(header, 14),
            urgent: be16!(header, 18),
            options,
            payload,
        })
    }

    /// Numbers of the sequence that it takes: its bytes, and its beginning and end of a connection.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        let ends =
            u32::from(self.flags.contains(Flags::SYN)) + u32::from(self.flags.contains(Flags::FIN));
        self.payload.len() as u32 + ends
    }

    /// The number after its last.
    #[inline]
    pub(crate) fn end(&self) -> Seq {
        self.seq + self.len()
    }

    /// Whether it asks for a new connection, and nothing else.
    #[inline]
    pub(crate) fn is_opening(&self) -> bool {
        self.flags & (Flags::SYN | Flags::RST | Flags::ACK | Flags::FIN) == Flags::SYN
    }
}

/// The usual option of a segment: two times to fill up, then a timestamp (RFC 7323, appendix A).
pub(crate) const TIMESTAMP_PREFIX: [u8; 4] = [1, 1, 8, 10];

/// What the options of a segment say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) is_sack_permitted: bool,
    /// The sender's time, and the time of ours that it echoes.
    pub(crate) timestamps: Option<(u32, u32)>,
    sack: [(Seq, Seq); MAX_SACK],
    sack_len: u8,
}

impl Options {
    /// Reads options; what is not known is passed over, and what is cut off ends them.
    pub(crate) fn read(mut bytes: &[u8]) -> Self {
        let mut options = Self::default();
        // Nearly always there is a time and nothing else.
        if let Some((&TIMESTAMP_PREFIX, body)) = bytes.split_first_chunk()
            && let Ok(body) = <&[u8; 8]>::try_from(body)
        {
            options.timestamps = Some((be32!(body, 0), be32!(body, 4)));
            return options;
        }
        while let [kind, rest @ ..] = bytes {
            match kind {
                0 => break,
                1 => {
                    bytes = rest;
                    continue;
                }
                _ => {}
            }
            let Some((len, _)) = rest.split_first() else {
                break;
            };
            let len = usize::from(*len);
            let (Some(body), Some(next)) = (bytes.get(2..len), bytes.get(len..)) else {
                break;
            };
            options.take(*kind, body);
            bytes = next;
        }
        options
    }

    fn take(&mut self, kind: u8, body: &[u8]) {
        match (kind, body) {
            (2, [a, b]) => self.mss = Some(u16::from_be_bytes([*a, *b])),
            (3, [scale]) => self.window_scale = Some((*scale).min(14)),
            (4, []) => self.is_sack_permitted = true,
            (5, blocks) => {
                for block in blocks.as_chunks::<8>().0.iter().take(MAX_SACK) {
                    if let Some(place) = self.sack.get_mut(usize::from(self.sack_len)) {
                        *place = (Seq(be32!(block, 0)), Seq(be32!(block, 4)));
                        self.sack_len += 1;
                    }
                }
            }
            (8, body) => {
                if let Ok(body) = <&[u8; 8]>::try_from(body) {
                    self.timestamps = Some((be32!(body, 0), be32!(body, 4)));
                }
            }
            _ => {}
        }
    }

    /// What the peer has beyond what it acknowledges.
    pub(crate) fn sack(&self) -> &[(Seq, Seq)] {
        self.sack
            .get(..usize::from(self.sack_len))
            .unwrap_or_default()
    }
}

/// A header of ours, with the options that it shall have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) is_sack_permitted: bool,
    pub(crate) timestamps: Option<(u32, u32)>,
    pub(crate) sack: &'a [(Seq, Seq)],
}

impl Header<'_> {
    /// Its length, a multiple of 4.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let mut len = HEADER;
        if self.flags.contains(Flags::SYN) {
            len += if self.mss.is_some() { 4 } else { 0 };
            len += if self.window_scale.is_some() { 4 } else { 0 };
            len += if self.is_sack_permitted { 4 } else { 0 };
        }
        len += if self.timestamps.is_some() { 12 } else { 0 };
        len += match self.sack.len() {
            0 => 0,
            blocks => 4 + 8 * blocks,
        };
        len
    }

    /// Writes it without its checksum, which is left 0.
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let len = self.len();
        let Some((fixed, options)) = bytes.split_first_chunk_mut::<HEADER>() else {
            return;
        };
        let [a, b] = self.source_port.to_be_bytes();
        let [c, d] = self.destination_port.to_be_bytes();
        let [e, f, g, h] = self.seq.0.to_be_bytes();
        let [i, j, k, l] = self.ack.0.to_be_bytes();
        let [m, n] = self.window.to_be_bytes();
        let offset = (len as u8) << 2;
        let flags = self.flags.bits();
        *fixed = [
            a, b, c, d, e, f, g, h, i, j, k, l, offset, flags, m, n, 0, 0, 0, 0,
        ];
        if len == HEADER {
            return;
        }
        let mut at = 0;
        let mut add = |option: &[u8]| {
            put(options, at, option);
            at += option.len();
        };
        if self.flags.contains(Flags::SYN) {
            if let Some(mss) = self.mss {
                let [a, b] = mss.to_be_bytes();
                add(&[2, 4, a, b]);
            }
            if self.is_sack_permitted {
                add(&[1, 1, 4, 2]);
            }
            if let Some(scale) = self.window_scale {
                add(&[1, 3, 3, scale]);
            }
        }
        if let Some((value, echo)) = self.timestamps {
            let [p, q, r, s] = TIMESTAMP_PREFIX;
            let [a, b, c, d] = value.to_be_bytes();
            let [e, f, g, h] = echo.to_be_bytes();
            add(&[p, q, r, s, a, b, c, d, e, f, g, h]);
        }
        if !self.sack.is_empty() {
            add(&[1, 1, 5, 2 + 8 * self.sack.len() as u8]);
            for (start, end) in self.sack {
                add(&start.0.to_be_bytes());
                add(&end.0.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests may fail so")]
mod tests {
    use super::{Flags, Header, MAX_HEADER, Options, Segment, protocol};
    use crate::address::Address;
    use crate::checksum::Sum;
    use crate::seq::Seq;
    use crate::wire::ip::Packet;
    use proptest::prelude::*;

    const HEADER: Header<'_> = Header {
        source_port: 80,
        destination_port: 40_000,
        seq: Seq(7),
        ack: Seq(9),
        flags: Flags::ACK,
        window: 500,
        mss: None,
        window_scale: None,
        is_sack_permitted: false,
        timestamps: None,
        sack: &[],
    };

    fn packet(payload: &[u8]) -> Packet<'_> {
        Packet {
            source: Address::v4([10, 0, 2, 2]),
            destination: Address::v4([10, 0, 2, 15]),
            protocol: protocol::TCP,
            hop_limit: 64,
            payload,
            fragment: None,
            whole: payload,
            has_router_alert: false,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let sack = [(Seq(10), Seq(20)), (Seq(30), Seq(40)), (Seq(50), Seq(60))];
        let syn = Header {
            flags: Flags::SYN,
            mss: Some(1460),
            window_scale: Some(7),
            is_sack_permitted: true,
            timestamps: Some((1, 2)),
            ..HEADER
        };
        let data = Header {
            timestamps: Some((3, 4)),
            sack: &sack,
            ..HEADER
        };
        for header in [syn, data, HEADER] {
            let len = header.len();
            assert!(len <= MAX_HEADER && len % 4 == 0);
            let mut bytes = vec![0; len];
            header.write(&mut bytes);
            bytes.extend(b"body");
            let sum = Sum::pseudo_header(
                packet(&bytes).source,
                packet(&bytes).destination,
                protocol::TCP,
                bytes.len(),
            );
            let checksum = sum.add(&bytes).checksum();
            bytes[16..18].copy_from_slice(&checksum);
            let segment = Segment::read(&packet(&bytes), false).expect("right");
            assert_eq!((segment.seq, segment.ack), (Seq(7), Seq(9)));
            assert_eq!((segment.flags, segment.window), (header.flags, 500));
            assert_eq!(segment.payload, b"body");
            let options = Options::read(segment.options);
            assert_eq!(options.mss, header.mss);
            assert_eq!(options.window_scale, header.window_scale);
            assert_eq!(options.timestamps, header.timestamps);
            assert_eq!(options.sack(), header.sack);
            bytes[20] ^= 1;
            assert!(Segment::read(&packet(&bytes), false).is_none(), "damaged");
        }
    }

    #[test]
    fn options_that_lie_end_the_list() {
        assert_eq!(Options::read(&[2, 4, 5, 0xB4, 2, 0]).mss, Some(1460));
        assert_eq!(Options::read(&[3, 0, 1]), Options::default());
        assert_eq!(Options::read(&[3, 1, 1, 3, 3, 2]), Options::default());
        assert_eq!(Options::read(&[8, 10, 1]), Options::default());
        assert_eq!(Options::read(&[3, 3, 200]).window_scale, Some(14));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(segment) = Segment::read(&packet(&bytes), true) {
                let _ = Options::read(segment.options).sack();
            }
            let _ = Options::read(&bytes);
        }
    }
}
