//! The Internet checksum (RFC 1071), eight bytes at a time.

use crate::address::Address;

/// A sum under way: 16-bit words in memory order, carries not yet folded in.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// The pseudo header of what IP carries (RFC 9293, section 3.1; RFC 8200, section 8.1).
    #[inline]
    pub(crate) fn pseudo_header(
        source: Address,
        destination: Address,
        protocol: u8,
        len_bytes: usize,
    ) -> Self {
        Self::addresses(source, destination, protocol).add_u16(len_bytes as u16)
    }

    /// The pseudo header without its length.
    pub(crate) fn addresses(source: Address, destination: Address, protocol: u8) -> Self {
        let start = Self(u64::from(u16::from(protocol).swap_bytes()));
        if source.is_v4() {
            let word = |address: Address| u64::from(u32::from_le_bytes(address.octets_v4()));
            Self(start.0 + word(source) + word(destination))
        } else {
            start.add(&source.octets_v6()).add(&destination.octets_v6())
        }
    }

    /// Goes on with one word of 16 bits.
    #[inline]
    pub(crate) fn add_u16(self, word: u16) -> Self {
        Self(self.0 + u64::from(word.swap_bytes()))
    }

    /// Goes on with `bytes`, which begin at an even place.
    #[inline]
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let (blocks, words) = words.as_chunks::<8>();
        // Beside the sum, what is too small to overflow: carries, and the last bytes.
        let (mut sum, mut small) = (0u64, 0u64);
        // Written out, so that each addition takes the carry of the one before: an instruction for a word, however much the compiler unrolls.
        for [a, b, c, d, e, f, g, h] in blocks {
            let carry;
            (sum, carry) = sum.overflowing_add(u64::from_le_bytes(*a));
            let (next, carry) = sum.carrying_add(u64::from_le_bytes(*b), carry);
            let (next, carry) = next.carrying_add(u64::from_le_bytes(*c), carry);
            let (next, carry) = next.carrying_add(u64::from_le_bytes(*d), carry);
            let (next, carry) = next.carrying_add(u64::from_le_bytes(*e), carry);
            let (next, carry) = next.carrying_add(u64::from_le_bytes(*f), carry);
            let (next, carry) = next.carrying_add(u64::from_le_bytes(*g), carry);
            let (next, carry) = next.carrying_add(u64::from_le_bytes(*h), carry);
            sum = next;
            small += u64::from(carry);
        }
        for word in words {
            let (next, has_carry) = sum.overflowing_add(u64::from_le_bytes(*word));
            sum = next;
            small += u64::from(has_carry);
        }
        // Fewer than eight bytes are left; a last odd one is the first of its word.
        let mut rest = rest;
        if let Some((four, behind)) = rest.split_first_chunk() {
            small += u64::from(u32::from_le_bytes(*four));
            rest = behind;
        }
        if let Some((two, behind)) = rest.split_first_chunk() {
            small += u64::from(u16::from_le_bytes(*two));
            rest = behind;
        }
        if let [one] = rest {
            small += u64::from(*one);
        }
        // 2^32 and 2^64 are 1 in this arithmetic; the result stays so small that many can be added.
        Self(self.0 + (sum & 0xFFFF_FFFF) + (sum >> 32) + small)
    }

    /// The same sum with all carries folded in: what [`Sum::fold_one`] needs.
    pub(crate) fn folded(self) -> Self {
        Self(u64::from(u16::from_le_bytes(self.fold())))
    }

    /// The same as [`Sum::fold`] for a sum of [`Sum::folded`] and one word more, which makes one carry at most.
    #[inline]
    pub(crate) fn fold_one(self) -> [u8; 2] {
        let sum = self.0 as u32;
        ((sum + (sum >> 16)) as u16).to_le_bytes()
    }

    /// The sum in 16 bits, in memory order.
    #[inline]
    pub(crate) fn fold(self) -> [u8; 2] {
        let mut sum = self.0;
        sum = (sum & 0xFFFF_FFFF) + (sum >> 32);
        sum = (sum & 0xFFFF_FFFF) + (sum >> 32);
        let mut sum = sum as u32;
        sum = (sum & 0xFFFF) + (sum >> 16);
        sum = (sum & 0xFFFF) + (sum >> 16);
        (sum as u16).to_le_bytes()
    }

    /// Whether the sum is that of bytes with a right checksum among them.
    #[inline]
    pub(crate) fn is_right(self) -> bool {
        self.fold() == [0xFF; 2]
    }

    /// The checksum to put into the bytes summed up.
    #[inline]
    pub(crate) fn checksum(self) -> [u8; 2] {
        self.fold().map(|byte| !byte)
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;
    use crate::address::Address;
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
            Address::v4([10, 0, 2, 15]),
            Address::v4([10, 0, 2, 2]),
            6,
            0x1234,
        );
        assert_eq!(sum.fold(), reference(&bytes));
    }

    #[test]
    fn a_pseudo_header_of_ipv6_is_the_sum_of_its_bytes() {
        let (source, destination): ([u8; 16], [u8; 16]) = (
            core::array::from_fn(|at| at as u8),
            core::array::from_fn(|at| 0xF0 | at as u8),
        );
        let mut bytes = [source, destination].concat();
        bytes.extend([0, 0, 0x12, 0x34, 0, 0, 0, 58]);
        let sum = Sum::pseudo_header(Address::v6(source), Address::v6(destination), 58, 0x1234);
        assert_eq!(sum.fold(), reference(&bytes));
    }

    proptest! {
        #[test]
        fn sums_agree_with_the_definition(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(Sum::default().add(&bytes).fold(), reference(&bytes));
        }

        #[test]
        fn one_word_more_than_a_folded_sum_needs_one_carry(bytes in proptest::collection::vec(any::<u8>(), 1..40), word: u16) {
            let sum = Sum::default().add(&bytes);
            let [one, any] = [sum.folded().add_u16(word).fold_one(), sum.add_u16(word).fold()];
            prop_assert_eq!(one, any);
        }
    }
}
