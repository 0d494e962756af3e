//! Keyed hashes: a quick one for tables, and SipHash for what a stranger must not guess.

use core::hash::{BuildHasher, Hasher};

/// Key of the tables' hash.
#[derive(Clone)]
pub(crate) struct Seed(u64);

impl Seed {
    /// A key from a number nobody can guess.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }
}

impl BuildHasher for Seed {
    type Hasher = Folding;
    #[inline]
    fn build_hasher(&self) -> Folding {
        Folding {
            state: self.0,
            key: self.0 ^ 0xA076_1D64_78BD_642F,
        }
    }
}

/// Multiplies and folds the halves of the product onto each other, with a secret factor.
pub(crate) struct Folding {
    state: u64,
    key: u64,
}

impl Folding {
    #[inline]
    fn mix(&mut self, value: u64) {
        let product = u128::from(self.state ^ value) * u128::from(self.key);
        self.state = product as u64 ^ (product >> 64) as u64;
    }
}

impl Hasher for Folding {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.mix(u64::from_le_bytes(word));
        }
    }
    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }
    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }
}

/// SipHash-2-4 (Aumasson, Bernstein: SipHash, a fast short-input PRF), over whole words.
#[derive(Clone, Copy)]
pub(crate) struct Secret([u64; 2]);

impl Secret {
    /// A key of 128 bits.
    pub(crate) fn new(key: [u64; 2]) -> Self {
        Self(key)
    }

    /// The hash of some words; what they say must not be sayable otherwise with the same words.
    pub(crate) fn hash(&self, words: &[u64]) -> u64 {
        let [k0, k1] = self.0;
        let mut v = [
            k0 ^ 0x736F_6D65_7073_6575,
            k1 ^ 0x646F_7261_6E64_6F6D,
            k0 ^ 0x6C79_6765_6E65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        let length = (words.len() as u64 * 8) << 56;
        for word in words.iter().copied().chain([length]) {
            v[3] ^= word;
            round(&mut v);
            round(&mut v);
            v[0] ^= word;
        }
        v[2] ^= 0xFF;
        for _ in 0..4 {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

fn round(v: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *v;
    a = a.wrapping_add(b);
    c = c.wrapping_add(d);
    b = b.rotate_left(13) ^ a;
    d = d.rotate_left(16) ^ c;
    a = a.rotate_left(32);
    c = c.wrapping_add(b);
    a = a.wrapping_add(d);
    b = b.rotate_left(17) ^ c;
    d = d.rotate_left(21) ^ a;
    c = c.rotate_left(32);
    *v = [a, b, c, d];
}

/// Numbers that nobody can guess who does not know the key.
pub(crate) struct Random {
    secret: Secret,
    count: u64,
}

impl Random {
    /// A generator.
    pub(crate) fn new(secret: Secret) -> Self {
        Self { secret, count: 0 }
    }

    /// The next number.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.count += 1;
        self.secret.hash(&[self.count])
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn the_first_vectors_of_the_reference_come_out() {
        // The key is 00 01 … 0f, the input nothing, then 00 01 … 07.
        let key = Secret::new([0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908]);
        assert_eq!(key.hash(&[]), 0x726F_DB47_DD0E_0E31);
        assert_eq!(key.hash(&[0x0706_0504_0302_0100]), 0x93F5_F579_9A93_2462);
    }
}
