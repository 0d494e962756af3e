//! The Internet checksum (RFC 1071), eight bytes at a time.

use core::net::Ipv4Addr;

/// A sum under way: 16-bit words in memory order, carries not yet folded in.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum(u64);

impl Sum {
    /// The pseudo header of TCP and UDP over IPv4 (RFC 9293, section 3.1).
    #[inline]
    pub(super) fn pseudo_header(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: u8,
        len_bytes: u16,
    ) -> Self {
        let words = [
            u32::from_le_bytes(source.octets()),
            u32::from_le_bytes(destination.octets()),
            u32::from(len_bytes.swap_bytes()),
            u32::from(u16::from(protocol).swap_bytes()),
        ];
        Self(words.into_iter().map(u64::from).sum())
    }

    /// Goes on with `bytes`, which begin at an even place.
    #[inline]
    pub(super) fn add(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let (blocks, words) = words.as_chunks::<8>();
        let (mut sum, mut carries) = (0u64, 0u64);
        // An addition, and one of its carry, for each word.
        let mut take = |word: &[u8; 8]| {
            let (next, has_carry) = sum.overflowing_add(u64::from_le_bytes(*word));
            sum = next;
            carries += u64::from(has_carry);
        };
        // Written out, since a loop that is compiled to be small is not unrolled.
        for [a, b, c, d, e, f, g, h] in blocks {
            take(a);
            take(b);
            take(c);
            take(d);
            take(e);
            take(f);
            take(g);
            take(h);
        }
        words.iter().for_each(&mut take);
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        take(&last);
        // 2^32 and 2^64 are 1 in this arithmetic; the result stays so small that many can be added.
        Self(self.0 + (sum & 0xFFFF_FFFF) + (sum >> 32) + carries)
    }

    /// The sum in 16 bits, in memory order.
    #[inline]
    pub(super) fn fold(self) -> [u8; 2] {
        let mut sum = self.0;
        sum = (sum & 0xFFFF_FFFF) + (sum >> 32);
        sum = (sum & 0xFFFF_FFFF) + (sum >> 32);
        let mut sum = sum as u32;
        sum = (sum & 0xFFFF) + (sum >> 16);
        sum = (sum & 0xFFFF) + (sum >> 16);
        (sum as u16).to_le_bytes()
    }

    /// The checksum to put into the bytes summed up.
    #[inline]
    pub(super) fn checksum(self) -> [u8; 2] {
        self.fold().map(|byte| !byte)
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    fn reference(bytes: &[u8]) -> [u8; 2] {
        let mut sum: u32 = 0;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        (sum as u16).to_be_bytes()
    }

    #[test]
    fn the_example_of_rfc_1071_holds() {
        let bytes = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7];
        assert_eq!(Sum::default().add(&bytes).fold(), [0xDD, 0xF2]);
    }

    #[test]
    fn a_pseudo_header_is_the_sum_of_its_bytes() {
        let bytes = [10, 0, 2, 15, 10, 0, 2, 2, 0, 6, 0x12, 0x34];
        let sum = Sum::pseudo_header(
            Ipv4Addr::new(10, 0, 2, 15),
            Ipv4Addr::new(10, 0, 2, 2),
            6,
            0x1234,
        );
        assert_eq!(sum.fold(), reference(&bytes));
    }

    proptest! {
        #[test]
        fn sums_agree_with_the_definition(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(Sum::default().add(&bytes).fold(), reference(&bytes));
        }
    }
}
