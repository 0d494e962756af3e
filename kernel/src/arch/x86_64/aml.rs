//! What is found in ACPI's machine language by its bytes, without a machine that runs it (ACPI Specification 6.5, chapter 20): how to power
//! off, and where devices of virtio are in memory.

use core::ops::Range;

use super::acpi::PciMemory;

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

/// Where the configuration space of PCI devices is in memory, as the method `_CBA` of a host bridge returns it (PCI Firmware Specification
/// 3.0, section 4.1.3): all buses.
pub(super) fn pci_memory(aml: &[u8]) -> Option<PciMemory> {
    // It has no arguments, and does nothing but to return a doubleword.
    const METHOD: &[u8] = b"_CBA\x00\xA4\x0C";
    let at = aml.windows(METHOD.len()).position(|name| name == METHOD)?;
    let number = aml[at + METHOD.len()..].first_chunk()?;
    Some(PciMemory {
        phys: u64::from(u32::from_le_bytes(*number)),
        first_bus: 0,
        last_bus: u8::MAX,
    })
}

/// The addresses below 4 GiB that a host bridge of PCI Express passes on to its devices' memory: its number, and somewhere behind it a
/// descriptor of a range of memory (section 6.4.3.5.2) that is not moved on the way.
pub(super) fn pci_window(aml: &[u8]) -> Option<Range<u64>> {
    /// As text, and as section 19.3.4 compresses it.
    const NUMBERS: [&[u8]; 2] = [b"\x0DPNP0A08\0", &[0x0C, 0x41, 0xD0, 0x0A, 0x08]];
    const DESCRIPTOR: &[u8] = &[0x87, 0x17, 0, 0];
    const DESCRIPTOR_BYTES: usize = 26;
    let is_at = |at: &usize| NUMBERS.iter().any(|number| aml[*at..].starts_with(number));
    let at = (0..aml.len()).find(is_at)?;
    aml[at..].windows(DESCRIPTOR_BYTES).find_map(|descriptor| {
        let (_, numbers) = descriptor.split_at_checked(6)?;
        let mut numbers = numbers.as_chunks().0.iter().map(|n| u32::from_le_bytes(*n));
        let mut next = || numbers.next().map(u64::from);
        let (granularity, first, last, moved, len) = (next()?, next()?, next()?, next()?, next()?);
        let is_window = descriptor.starts_with(DESCRIPTOR)
            && (granularity, moved) == (0, 0)
            && first != 0
            && first + len == last + 1
            && len != 0;
        is_window.then_some(first..last + 1)
    })
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
    use super::{PciMemory, Resources, find_soft_off, pci_memory, pci_window, virtio_devices};

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

    #[test]
    fn the_configuration_space_is_where_the_host_bridge_says() {
        let method = b"\x14\x0C_CBA\x00\xA4\x0C\x00\x00\x00\xE0";
        let place = PciMemory {
            phys: 0xE000_0000,
            first_bus: 0,
            last_bus: 0xFF,
        };
        assert_eq!(pci_memory(method), Some(place));
        for cut in 0..method.len() {
            assert_eq!(pci_memory(&method[..cut]), None, "{cut}");
        }
        // One that finds it out.
        assert_eq!(pci_memory(b"\x14\x0B_CBA\x00\xA0\x04\x00\x00\xE0"), None);
    }

    #[test]
    fn the_window_of_a_pci_express_host_bridge_is_found_behind_its_number() {
        const BRIDGE: &[u8] = b"\x5B\x82\x4FPCI0\x08_HID\x0C\x41\xD0\x0A\x08";
        let range = |fields: [u32; 5]| {
            let mut bytes = vec![0x87, 0x17, 0, 0, 0x0C, 1];
            bytes.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
            bytes
        };
        let window = range([0, 0xC000_0000, 0xDFFF_FFFF, 0, 0x2000_0000]);
        let whole = [BRIDGE, &window].concat();
        assert_eq!(pci_window(&whole), Some(0xC000_0000..0xE000_0000));
        for cut in 0..whole.len() {
            assert_eq!(pci_window(&whole[..cut]), None, "{cut}");
        }
        let named = [&b"\x08_HID\x0DPNP0A08\0"[..], &window].concat();
        assert_eq!(pci_window(&named), Some(0xC000_0000..0xE000_0000));
        // Another device's, one that is moved, of another length than it says, of none; ports.
        assert_eq!(pci_window(&window), None);
        for lie in [
            [0, 0xC000_0000, 0xDFFF_FFFF, 1, 0x2000_0000],
            [0, 0xC000_0000, 0xDFFF_FFFF, 0, 0x1000_0000],
            [0, 0xC000_0000, 0xBFFF_FFFF, 0, 0],
            [0, 0, 0xFFFF_FFFF, 0, 0],
        ] {
            assert_eq!(pci_window(&[BRIDGE, &range(lie)].concat()), None);
        }
        let mut ports = window.clone();
        ports[3] = 1;
        assert_eq!(pci_window(&[BRIDGE, &ports].concat()), None);
        // The first that can be.
        let both = [BRIDGE, &range([0, 0, 9, 0, 10]), &window].concat();
        assert_eq!(pci_window(&both), Some(0xC000_0000..0xE000_0000));
    }
}
