//! Addresses for devices of a machine that no firmware has set up: each window of memory gets the next that fits (PCI Local Bus
//! Specification 3.0, section 6.2.5.1). Windows of ports get none, nor does what is behind a bridge.

use core::ops::Range;

use super::{BAR_COUNT, BARS, HEADER_TYPE, PciDevice};

/// Header of a device that is no bridge.
const HEADER_OF_DEVICE: u8 = 0;

/// Gives each window of memory that has no address one within `window`, as far as that reaches.
pub(super) fn place(devices: &[PciDevice], window: Range<u64>) {
    let mut free = window;
    for device in devices {
        if device.read8(HEADER_TYPE) & 0x7F != HEADER_OF_DEVICE {
            continue;
        }
        let mut index = 0;
        while index < BAR_COUNT as u8 {
            let offset = BARS + index * 4;
            index += 1 + u8::from(place_register(device, offset, &mut free));
        }
    }
}

/// Gives the window of a register an address; whether the next register is the upper half of it.
fn place_register(device: &PciDevice, offset: u8, free: &mut Range<u64>) -> bool {
    let low = device.read32(offset);
    if low & 1 != 0 {
        return false;
    }
    let is_64_bit = low >> 1 & 3 == 2 && offset < BARS + 5 * 4;
    let high = if is_64_bit {
        device.read32(offset + 4)
    } else {
        0
    };
    if low & !0xF == 0 && high == 0 {
        device.write32(offset, u32::MAX);
        let len = size(device.read32(offset));
        let address = len.and_then(|len| take(free, len)).unwrap_or(0);
        if len.is_some() && address == 0 {
            log::warn!("PCI: {device} finds no room for its registers");
        }
        device.write32(offset, address as u32);
        if is_64_bit {
            device.write32(offset + 4, (address >> 32) as u32);
        }
    }
    is_64_bit
}

/// The size of a window in bytes, by the lower half of what its register took of all ones; none where there is no window, or one of 4 GiB
/// or more.
fn size(mask: u32) -> Option<u64> {
    let mask = mask & !0xF;
    (mask != 0).then(|| 1 << mask.trailing_zeros())
}

/// Takes the first `len_bytes` bytes, a power of two, that begin at a multiple of it.
fn take(free: &mut Range<u64>, len_bytes: u64) -> Option<u64> {
    let start = free.start.checked_next_multiple_of(len_bytes)?;
    let end = start.checked_add(len_bytes)?;
    if end > free.end {
        return None;
    }
    free.start = end;
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::{size, take};

    #[test]
    fn windows_lie_at_multiples_of_their_size_and_never_over_each_other() {
        let mut free = 0xC000_1000..0xC001_0000;
        assert_eq!(take(&mut free, 0x4000), Some(0xC000_4000));
        assert_eq!(take(&mut free, 0x1000), Some(0xC000_8000));
        assert_eq!(take(&mut free, 0x8000), None);
        assert_eq!(take(&mut free, 0x4000), Some(0xC000_C000));
        assert_eq!(take(&mut free, 0x10), None);
        assert_eq!(take(&mut (u64::MAX - 8..u64::MAX), 0x10), None);
    }

    #[test]
    fn the_lowest_bit_that_a_register_takes_is_its_size() {
        assert_eq!(size(0xFFFF_C00C), Some(0x4000));
        assert_eq!(size(0xF000_0000), Some(0x1000_0000));
        // No window, and one beyond 4 GiB.
        assert_eq!(size(0), None);
        assert_eq!(size(0xC), None);
    }
}
