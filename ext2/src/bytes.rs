//! Numbers in blocks, little-endian. What lies outside reads as 0 and is not written: callers keep
//! offsets inside, and no damaged disk can make that a panic.

/// Two bytes at an offset.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    bytes
        .get(offset..)
        .and_then(|tail| tail.first_chunk())
        .map_or(0, |chunk| u16::from_le_bytes(*chunk))
}

/// Four bytes at an offset.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..)
        .and_then(|tail| tail.first_chunk())
        .map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// Puts bytes at an offset.
pub(crate) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    let end = offset.saturating_add(value.len());
    if let Some(place) = bytes.get_mut(offset..end) {
        place.copy_from_slice(value);
    }
}
