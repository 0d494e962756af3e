//! Points in time, and how inodes hold them.
//!
//! Linux, Documentation/filesystems/ext4/inodes.rst, "Inode Timestamps": 32 bits of seconds, and in
//! inodes of more than 128 bytes two more bits of them and nanoseconds.

/// Seconds since 1970, and nanoseconds on top of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub seconds: i64,
    /// Nanoseconds of the second, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Time {
    /// From the two fields of an inode; the second one is 0 if the inode does not have it.
    pub(crate) fn from_disk(low: u32, extra: u32) -> Self {
        Self {
            seconds: i64::from(low.cast_signed()).saturating_add(i64::from(extra & 3) << 32),
            nanoseconds: (extra >> 2).min(999_999_999),
        }
    }

    /// The two fields of an inode. Without the second one, times end in 2038 and begin in 1901.
    pub(crate) fn to_disk(self, has_extra: bool) -> (u32, u32) {
        let first = i64::from(i32::MIN);
        let last = i64::from(i32::MAX).saturating_add(if has_extra { 3 << 32 } else { 0 });
        let from_first = self
            .seconds
            .clamp(first, last)
            .saturating_sub(first)
            .cast_unsigned();
        let epoch = u32::try_from(from_first >> 32).unwrap_or(0);
        let low = u32::try_from(from_first & 0xFFFF_FFFF).unwrap_or(0) ^ 1 << 31;
        (low, self.nanoseconds.min(999_999_999) << 2 | epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn times_survive_the_disk_where_it_has_room() {
        let at = |seconds, nanoseconds| Time {
            seconds,
            nanoseconds,
        };
        for time in [
            at(0, 0),
            at(-1, 5),
            at(1 << 31, 999_999_999),
            at(3 << 32, 7),
            at(-(1 << 31), 1),
        ] {
            let (low, extra) = time.to_disk(true);
            assert_eq!(Time::from_disk(low, extra), time);
        }
        let (low, _) = at(1 << 40, 3).to_disk(false);
        assert_eq!(Time::from_disk(low, 0), at((1 << 31) - 1, 0));
    }
}
