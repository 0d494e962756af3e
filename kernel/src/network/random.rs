//! Numbers that a peer should not guess: ports, hash keys, identifiers. SplitMix64 over a seed from the processor's entropy.

/// Another number for each number, of which every bit depends on all of its bits.
pub(super) fn mixed(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

/// A generator.
pub(super) struct Random(u64);

impl Random {
    /// Starts from `seed`, which is different at each boot.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(super) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0)
    }

    /// A port of the dynamic range (RFC 6335, section 6).
    pub(super) fn next_port(&mut self) -> u16 {
        0xC000 | self.next_u64() as u16
    }
}
