//! Bitmaps of blocks and inodes: searching and changing runs of bits.

use core::ops::Range;

/// Is a bit set? What lies beyond the end counts as set.
pub(crate) fn is_set(bitmap: &[u8], bit: u32) -> bool {
    bitmap
        .get(bit as usize / 8)
        .is_none_or(|byte| byte & (1 << (bit % 8)) != 0)
}

/// Sets or clears a row of bits.
pub(crate) fn fill(bitmap: &mut [u8], bits: Range<u32>, value: bool) {
    for bit in bits {
        if let Some(byte) = bitmap.get_mut(bit as usize / 8) {
            let mask = 1u8 << (bit % 8);
            *byte = if value { *byte | mask } else { *byte & !mask };
        }
    }
}

/// How many bits of the first `len` are clear.
pub(crate) fn count_clear(bitmap: &[u8], len: u32) -> u32 {
    let whole = bitmap.iter().take(len as usize / 8);
    let clear = whole.fold(0u32, |sum, byte| sum.saturating_add(byte.count_zeros()));
    let rest = (len & !7..len).filter(|bit| !is_set(bitmap, *bit)).count();
    clear.saturating_add(u32::try_from(rest).unwrap_or(0))
}

/// The first bit in a range that is set (or clear), or the range's end.
fn next(bitmap: &[u8], range: Range<u32>, value: bool) -> u32 {
    // A byte with none of the bits that are looked for is passed at once.
    let dull = if value { 0x00 } else { 0xFF };
    let mut bit = range.start;
    while bit < range.end {
        if bit.is_multiple_of(8) && bitmap.get(bit as usize / 8) == Some(&dull) {
            bit = bit.saturating_add(8);
        } else if is_set(bitmap, bit) == value {
            return bit;
        } else {
            bit = bit.saturating_add(1);
        }
    }
    range.end
}

/// Finds clear bits: what is clear at the start of the range itself, else the first run of `wanted`
/// bits, else the longest one. At most `wanted` bits are returned.
pub(crate) fn find_clear(bitmap: &[u8], range: Range<u32>, wanted: u32) -> Option<Range<u32>> {
    let mut best: Option<Range<u32>> = None;
    let mut from = range.start;
    while from < range.end {
        let start = next(bitmap, from..range.end, false);
        if start >= range.end {
            break;
        }
        let limit = range.end.min(start.saturating_add(wanted));
        let end = next(bitmap, start..limit, true);
        let len = end.saturating_sub(start);
        if start == range.start || len >= wanted {
            return Some(start..end);
        }
        if best.as_ref().is_none_or(|best| best.len() < len as usize) {
            best = Some(start..end);
        }
        from = end;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::{count_clear, fill, find_clear};

    #[test]
    fn the_start_wins_then_the_first_long_enough_then_the_longest() {
        let mut bitmap = [0xFF; 16];
        fill(&mut bitmap, 3..5, false);
        fill(&mut bitmap, 20..50, false);
        fill(&mut bitmap, 100..110, false);
        assert_eq!(find_clear(&bitmap, 3..128, 10), Some(3..5));
        assert_eq!(find_clear(&bitmap, 0..128, 10), Some(20..30));
        assert_eq!(find_clear(&bitmap, 0..128, 64), Some(20..50));
        assert_eq!(find_clear(&bitmap, 60..128, 1), Some(100..101));
        assert_eq!(find_clear(&bitmap, 110..128, 1), None);
        assert_eq!(find_clear(&bitmap, 0..999, 200), Some(20..50));
        assert_eq!(count_clear(&bitmap, 105), 37);
    }
}
