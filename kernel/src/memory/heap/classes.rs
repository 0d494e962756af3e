//! Sizes of small objects: each size is rounded up to one of these classes.

/// Every object is aligned to this, as C's `malloc` promises.
pub const MIN_ALIGN: usize = 16;

/// Steps of 16, then about a quarter, then what divides a span well.
pub(super) const CLASSES: [u16; 26] = [
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1008,
    1152, 1344, 1616, 2032, 2704, 4064,
];
/// The largest class.
pub(super) const LARGEST_SMALL: usize = 4064;

/// Class of each size, by multiples of 16.
const CLASS_OF: [u8; LARGEST_SMALL / 16 + 1] = {
    let mut table = [0; LARGEST_SMALL / 16 + 1];
    let mut class = 0;
    let mut index = 0;
    while index < table.len() {
        if index * 16 > CLASSES[class] as usize {
            class += 1;
        }
        table[index] = class as u8;
        index += 1;
    }
    table
};

/// The class of objects of `size` bytes, which is at most [`LARGEST_SMALL`].
#[inline]
pub(super) fn class_of(size: usize) -> usize {
    usize::from(CLASS_OF[(size + 15) >> 4])
}

#[cfg(test)]
mod tests {
    use super::{CLASSES, LARGEST_SMALL, MIN_ALIGN, class_of};

    #[test]
    fn a_class_is_the_smallest_that_holds_the_size() {
        for size in 0..=LARGEST_SMALL {
            let class = class_of(size);
            assert!(usize::from(CLASSES[class]) >= size);
            assert!(class == 0 || usize::from(CLASSES[class - 1]) < size);
        }
        assert!(
            CLASSES
                .iter()
                .all(|&c| usize::from(c).is_multiple_of(MIN_ALIGN))
        );
    }
}
