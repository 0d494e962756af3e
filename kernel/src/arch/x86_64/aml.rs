//! What is found in ACPI's machine language by its bytes, without a machine that runs it (ACPI Specification 6.5, chapter 20): how to power
//! off, and where devices of virtio are in memory.

/// The first number of the package named `_S5_` (section 7.4.2.6), found by its bytes: the name, a package, a number.
pub(super) fn find_soft_off(aml: &[u8]) -> Option<u8> {
    let at = aml.windows(4).position(|name| name == b"_S5_")?;
    let package = aml.get(at + 4..)?;
    let [0x12, length, ..] = *package else {
        return None;
    };
    // The top two bits tell how many more bytes the length has; the number of elements follows.
    let elements = package.get(2 + usize::from(length >> 6) + 1..)?;
    match *elements {
        [0x0A, value, ..] => Some(value),
        [value @ (0 | 1), ..] => Some(value),
        _ => None,
    }
}

/// A window of registers and its interrupt, as a device says that it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Physical address.
    pub phys: u64,
    /// Size of the window in bytes.
    pub len_bytes: u64,
    /// Global interrupt.
    pub interrupt: u32,
}

/// The devices of virtio in memory (virtio's own number in ACPI, as Linux, QEMU's microvm and Firecracker have it): a name, and behind it, within
/// the same device, resource descriptors (section 6.4.3).
pub(super) fn virtio_devices(aml: &[u8]) -> impl Iterator<Item = Resources> {
    const NUMBER: &[u8] = b"LNRO0005\0";
    /// As many are looked at, and so far each is looked into.
    const MAX_DEVICES: usize = 64;
    const MAX_BYTES: usize = 192;
    let mut rest = aml;
    core::iter::from_fn(move || {
        let at = rest.windows(NUMBER.len()).position(|n| n == NUMBER)?;
        rest = rest.get(at + NUMBER.len()..)?;
        let device = &rest[..rest.len().min(MAX_BYTES)];
        let end = device.windows(NUMBER.len()).position(|n| n == NUMBER);
        Some(resources(&device[..end.unwrap_or(device.len())]))
    })
    .take(MAX_DEVICES)
    .flatten()
}

/// A fixed window of memory (section 6.4.3.4) and an interrupt (6.4.3.6), where both are there.
fn resources(device: &[u8]) -> Option<Resources> {
    let mut window = None;
    let mut interrupt = None;
    for at in 0..device.len() {
        match device[at..] {
            [0x86, 9, 0, _, a, b, c, d, e, f, g, h, ..] if window.is_none() => {
                window = Some((
                    u32::from_le_bytes([a, b, c, d]),
                    u32::from_le_bytes([e, f, g, h]),
                ));
            }
            [0x89, 6, 0, _, 1, a, b, c, d, ..] if interrupt.is_none() => {
                interrupt = Some(u32::from_le_bytes([a, b, c, d]));
            }
            _ => {}
        }
    }
    let (phys, len_bytes) = window?;
    Some(Resources {
        phys: u64::from(phys),
        len_bytes: u64::from(len_bytes),
        interrupt: interrupt?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Resources, find_soft_off, virtio_devices};

    #[test]
    fn soft_off_is_found_in_either_encoding() {
        assert_eq!(
            find_soft_off(b"xx\x08_S5_\x12\x06\x04\x0A\x05\x0A\x05\x00\x00"),
            Some(5)
        );
        assert_eq!(find_soft_off(b"_S5_\x12\x06\x04\x00\x00\x00\x00"), Some(0));
        assert_eq!(find_soft_off(b"_S5_\x12"), None);
        assert_eq!(find_soft_off(b"_S5_\x12\xC6"), None);
    }

    const NAME: &[u8] = b"\x08_HID\x0DLNRO0005\0\x08_UID\x0A\x07\x08_CRS\x11\x1A\x0A\x17";
    const WINDOW: &[u8] = b"\x86\x09\0\x01\0\x0E\xB0\xFE\0\x02\0\0";
    const INTERRUPT: &[u8] = b"\x89\x06\0\x01\x01\x1E\0\0\0\x79\0";

    #[test]
    fn virtio_devices_are_found_with_their_windows_and_interrupts() {
        let device = Resources {
            phys: 0xFEB0_0E00,
            len_bytes: 0x200,
            interrupt: 30,
        };
        let found = |parts: &[&[u8]]| virtio_devices(&parts.concat()).collect::<Vec<_>>();
        let whole = [NAME, WINDOW, INTERRUPT];
        assert_eq!(found(&whole), [device]);
        assert_eq!(found(&[whole, whole].concat()), [device; 2]);
        // What one lacks is not taken from the next one.
        assert_eq!(found(&[NAME, INTERRUPT, NAME, WINDOW, INTERRUPT]), [device]);
        assert_eq!(found(&[NAME, WINDOW, NAME, INTERRUPT]), []);
        // Another device's.
        assert_eq!(found(&[WINDOW, INTERRUPT]), []);
    }

    #[test]
    fn cut_and_endless_machine_language_ends() {
        let whole = [NAME, WINDOW, INTERRUPT].concat();
        for len in 0..whole.len() - 2 {
            assert_eq!(virtio_devices(&whole[..len]).count(), 0, "{len}");
        }
        assert_eq!(virtio_devices(&whole.repeat(100)).count(), 64);
    }
}
