//! The firmware's memory map (UEFI Specification 2.10, 7.2.3) as the one of PVH.

/// Bytes of a descriptor that have a meaning here.
const DESCRIPTOR_BYTES: usize = 32;
const PAGE_BYTES: u64 = 4096;
/// As many ranges as the kernel keeps.
pub(crate) const MOST_RANGES: usize = 64;

/// A range of RAM: `hvm_memmap_table_entry` (Xen, start_info.h).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) len_bytes: u64,
    kind: u32,
    reserved: u32,
}

const RAM: u32 = 1;

/// What memory of a type (7.2.1, table 7-10) is when boot services have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Free: conventional memory, and what was the loader's and boot services'.
    Free,
    /// Kept for sleeping (S3), which nothing here ever does.
    Sleep,
    /// All else.
    Taken,
}

fn use_of(kind: u32) -> Use {
    match kind {
        1..=4 | 7 => Use::Free,
        10 => Use::Sleep,
        _ => Use::Taken,
    }
}

/// Type, first byte and end of the descriptors in a map, without those whose numbers cannot be.
fn descriptors(map: &[u8], stride_bytes: usize) -> impl Iterator<Item = (u32, u64, u64)> {
    let u64_at = |bytes: &[u8], at: usize| {
        let bytes = bytes
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok());
        u64::from_le_bytes(bytes.unwrap_or_default())
    };
    map.chunks_exact(stride_bytes.max(DESCRIPTOR_BYTES))
        .filter_map(move |descriptor| {
            let start = u64_at(descriptor, 8);
            let len = u64_at(descriptor, 24).checked_mul(PAGE_BYTES)?;
            // The type is an u32, with padding behind it.
            Some((u64_at(descriptor, 0) as u32, start, start.checked_add(len)?))
        })
}

/// Writes the ranges of free RAM, ascending, neighbours joined; returns how many. The firmware need not list them in order. What
/// is more than there is room for stays unused.
pub(crate) fn ranges(map: &[u8], stride_bytes: usize, ranges: &mut [Range; MOST_RANGES]) -> usize {
    let mut count = 0;
    let mut after = 0;
    // As often as there are ranges: the next one is the lowest that is not yet below `after`.
    while count < MOST_RANGES {
        let free = || {
            descriptors(map, stride_bytes)
                .filter(|&(kind, start, end)| use_of(kind) == Use::Free && start < end)
        };
        let Some(start) = free()
            .filter(|&(_, _, end)| end > after)
            .map(|(_, start, _)| start.max(after))
            .min()
        else {
            break;
        };
        let mut end = start;
        while let Some(further) = free()
            .filter(|&(_, from, to)| from <= end && to > end)
            .map(|(_, _, to)| to)
            .max()
        {
            end = further;
        }
        ranges[count] = Range {
            start,
            len_bytes: end - start,
            kind: RAM,
            reserved: 0,
        };
        count += 1;
        after = end;
    }
    count
}

/// Whether an image can be put from `start` to `end`: all of it is RAM that is free, or was for sleeping.
pub(crate) fn can_hold(map: &[u8], stride_bytes: usize, start: u64, end: u64) -> bool {
    let mut at = start;
    while at < end {
        let further = descriptors(map, stride_bytes)
            .filter(|&(kind, from, to)| use_of(kind) != Use::Taken && from <= at && at < to)
            .map(|(_, _, to)| to)
            .max();
        match further {
            Some(further) => at = further,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{MOST_RANGES, Range, can_hold, ranges};

    fn map(descriptors: &[(u32, u64, u64)]) -> Vec<u8> {
        let mut map = Vec::new();
        for &(kind, start, pages) in descriptors {
            map.extend(u64::from(kind).to_le_bytes());
            map.extend(
                [start, 0, pages, 15, 0]
                    .iter()
                    .flat_map(|n| n.to_le_bytes()),
            );
        }
        map
    }

    fn free(descriptors: &[(u32, u64, u64)]) -> Vec<(u64, u64)> {
        let mut found = [Range::default(); MOST_RANGES];
        let count = ranges(&map(descriptors), 48, &mut found);
        found[..count]
            .iter()
            .map(|r| (r.start, r.len_bytes))
            .collect()
    }

    #[test]
    fn neighbours_are_joined_whatever_their_order() {
        let found = free(&[
            (4, 0x3000, 1),
            (7, 0x1000, 2),
            (10, 0x4000, 1),
            (0, 0x8000, 4),
            (2, 0x6000, 2),
            (3, 0x5000, 1),
        ]);
        assert_eq!(found, [(0x1000, 0x3000), (0x5000, 0x3000)]);
    }

    #[test]
    fn a_map_that_lies_ends() {
        assert_eq!(
            free(&[(7, u64::MAX, 1), (7, 0x1000, u64::MAX), (7, 0x1000, 0)]),
            []
        );
        assert_eq!(free(&[(7, 0x1000, 8), (7, 0x2000, 2)]), [(0x1000, 0x8000)]);
        let many: Vec<_> = (0..100).map(|i| (7, i * 0x2000, 1)).collect();
        assert_eq!(free(&many).len(), MOST_RANGES);
        let mut found = [Range::default(); MOST_RANGES];
        assert_eq!(ranges(&[1; 40], 0, &mut found), 0);
    }

    #[test]
    fn an_image_lies_on_free_memory_only() {
        let map = map(&[
            (7, 0x1000, 1),
            (4, 0x2000, 1),
            (10, 0x3000, 1),
            (6, 0x4000, 1),
        ]);
        assert!(can_hold(&map, 48, 0x1800, 0x4000));
        assert!(!can_hold(&map, 48, 0x1800, 0x4001));
        assert!(!can_hold(&map, 48, 0, 0x2000));
    }
}
