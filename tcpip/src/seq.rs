//! Sequence numbers (RFC 9293, section 3.4): 32 bits that wrap around, compared by which is ahead.

use core::ops::{Add, AddAssign, Sub};

/// A sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seq(pub(crate) u32);

impl Seq {
    /// Whether it comes before another.
    #[inline]
    pub(crate) fn is_before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether it comes after another.
    #[inline]
    pub(crate) fn is_after(self, other: Self) -> bool {
        other.is_before(self)
    }

    /// The later of two.
    #[inline]
    pub(crate) fn max(self, other: Self) -> Self {
        if self.is_before(other) { other } else { self }
    }

    /// The earlier of two.
    #[inline]
    pub(crate) fn min(self, other: Self) -> Self {
        if self.is_before(other) { self } else { other }
    }

    /// How far it is ahead of another; 0 if it is behind.
    #[inline]
    pub(crate) fn ahead_of(self, other: Self) -> u32 {
        if other.is_before(self) {
            self - other
        } else {
            0
        }
    }
}

impl Add<u32> for Seq {
    type Output = Self;
    #[inline]
    fn add(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }
}

impl AddAssign<u32> for Seq {
    #[inline]
    fn add_assign(&mut self, count: u32) {
        *self = *self + count;
    }
}

impl Sub<u32> for Seq {
    type Output = Self;
    #[inline]
    fn sub(self, count: u32) -> Self {
        Self(self.0.wrapping_sub(count))
    }
}

impl Sub for Seq {
    type Output = u32;
    #[inline]
    fn sub(self, other: Self) -> u32 {
        self.0.wrapping_sub(other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Seq;

    #[test]
    fn order_goes_round_the_end() {
        let (old, new) = (Seq(u32::MAX - 1), Seq(3));
        assert!(old.is_before(new) && new.is_after(old));
        assert_eq!((new - old, new.ahead_of(old), old.ahead_of(new)), (5, 5, 0));
        assert_eq!((old.max(new), old.min(new), old + 5), (new, old, new));
        assert!(!old.is_before(old) && !old.is_after(old));
    }
}
