//! The usual frame: a segment of TCP in a packet of IPv4 without options that is whole, in a frame of Ethernet. All but the end of TCP's header
//! is at a known place.

use crate::address::{Address, Tuple};
use crate::checksum::Sum;
use crate::seq::Seq;
use crate::wire::ethernet;
use crate::wire::protocol;
use crate::wire::tcp::{Flags, Segment};
use crate::wire::{be16, be32};

/// Where TCP's header begins.
const TCP: usize = ethernet::HEADER + 20;
/// With as much of it as is always there.
const FIXED: usize = TCP + 20;
/// Version 4, and a header without options.
const VERSION: u8 = 0x45;
/// What is set of a fragment: all but the wish that there be none.
const FRAGMENT: u16 = 0xBFFF;

/// Both ends of the connection of a usual frame, as they stand in it: addresses and ports follow on one another.
pub(crate) type Ends = [u8; 12];

/// The same as everywhere else.
#[inline]
pub(crate) fn tuple(ends: &Ends) -> Tuple {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *ends;
    Tuple {
        local: Address::v4([e, f, g, h]),
        remote: Address::v4([a, b, c, d]),
        local_port: u16::from_be_bytes([k, l]),
        remote_port: u16::from_be_bytes([i, j]),
    }
}

/// Reads a frame; none if it is not usual, its lengths lie, or its checksums are wrong. If it `is_verified`, the device has found these right.
#[inline]
pub(crate) fn read(frame: &[u8], is_verified: bool) -> Option<(&Ends, Segment<'_>)> {
    let fixed: &[u8; FIXED] = frame.first_chunk()?;
    let [e, f] = ethernet::IPV4;
    let is_usual = [fixed[12], fixed[13], fixed[14]] == [e, f, VERSION]
        && be16!(fixed, 20) & FRAGMENT == 0
        && fixed[23] == protocol::TCP;
    if !is_usual {
        return None;
    }
    let end = ethernet::HEADER + usize::from(be16!(fixed, 16));
    let data = TCP + usize::from(fixed[46] >> 4) * 4;
    let options = frame.get(FIXED..data)?;
    let payload = frame.get(data..end)?;
    let ends: &Ends = fixed[26..].first_chunk()?;
    if !is_verified {
        let header = frame.get(ethernet::HEADER..TCP)?;
        let bytes = frame.get(TCP..end)?;
        let Tuple { remote, local, .. } = tuple(ends);
        let is_right = Sum::default().add(header).is_right()
            && Sum::pseudo_header(remote, local, protocol::TCP, bytes.len())
                .add(bytes)
                .is_right();
        if !is_right {
            return None;
        }
    }
    let segment = Segment {
        source_port: be16!(fixed, 34),
        destination_port: be16!(fixed, 36),
        seq: Seq(be32!(fixed, 38)),
        ack: Seq(be32!(fixed, 42)),
        flags: Flags::from_bits_retain(fixed[47]),
        window: be16!(fixed, 48),
        urgent: be16!(fixed, 52),
        options,
        payload,
    };
    Some((ends, segment))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests may fail so")]
mod tests {
    use super::{read, tuple};
    use crate::address::{Address, Tuple};
    use crate::checksum::Sum;
    use crate::wire::ip::Packet;
    use crate::wire::tcp::Segment;
    use proptest::prelude::*;

    fn frame() -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + 32 + 5];
        frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 57, 1, 2, 0x40, 0, 64, 6]);
        frame[26..34].copy_from_slice(&[10, 0, 2, 2, 10, 0, 2, 15]);
        frame[34..50].copy_from_slice(&[1, 2, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x80, 0x18, 9, 10]);
        frame[54..58].copy_from_slice(&[1, 1, 8, 10]);
        frame[66..].copy_from_slice(b"bytes");
        frame
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_the_long_way_reads(changes in proptest::collection::vec((12usize..71, any::<u8>()), 0..4), cut in 0usize..90) {
            let mut frame = frame();
            for (at, byte) in changes {
                frame[at] = byte;
            }
            frame.resize(cut.max(20), 0);
            if let Some((ends, segment)) = read(&frame, true) {
                let tuple = tuple(ends);
                let packet = Packet::read(&frame[14..], true).expect("a packet");
                prop_assert!(packet.fragment.is_none() && !packet.has_router_alert);
                let other = Segment::read(&packet, true).expect("a segment");
                prop_assert_eq!(tuple, Tuple {
                    local: packet.destination,
                    remote: packet.source,
                    local_port: other.destination_port,
                    remote_port: other.source_port,
                });
                prop_assert_eq!(format!("{segment:?}"), format!("{other:?}"));
            }
        }
    }

    #[test]
    fn the_usual_frame_is_read_and_a_fragment_is_not() {
        let mut frame = frame();
        let (_, segment) = read(&frame, true).expect("usual");
        assert_eq!(
            (segment.payload, segment.options.len()),
            (&b"bytes"[..], 12)
        );
        frame[20] = 0x20;
        assert!(read(&frame, true).is_none());
    }

    #[test]
    fn checksums_count_unless_the_device_has_verified_them() {
        let mut frame = frame();
        let sum = Sum::default().add(&frame[14..34]).checksum();
        frame[24..26].copy_from_slice(&sum);
        let ends = Address::v4([10, 0, 2, 2]);
        let sum = Sum::pseudo_header(ends, Address::v4([10, 0, 2, 15]), 6, 37).add(&frame[34..]);
        frame[50..52].copy_from_slice(&sum.checksum());
        assert!(read(&frame, false).is_some());
        for at in 14..frame.len() {
            frame[at] ^= 1;
            assert!(read(&frame, false).is_none(), "byte {at}");
            frame[at] ^= 1;
        }
    }
}
