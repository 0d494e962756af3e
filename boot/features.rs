//! What a processor must have: the baseline of the System V ABI for x86-64 (section 3.1.1), for which programs are compiled, and what the
//! kernel itself uses. CPUID shows the instruction `syscall`, which belongs to both, only in long mode (Intel SDM volume 2A, table 3-8): it
//! is not asked for.
//!
//! The kernel asks for it first of all, whatever started it, and says what is missing on serial line and text screen (its `baseline.rs`). The
//! loader for UEFI, where there is no text screen, asks before and says so on the firmware's console. Both include this file.

/// A feature, by its bit in EDX of CPUID's leaf 1 or in that of leaf 0x80000001, and its name as it is said: as hypervisors take it, with
/// a space before it and a zero behind.
#[repr(C)]
pub(super) struct Feature {
    pub(super) basic: u32,
    pub(super) extended: u32,
    pub(super) name: [u8; 8],
}

const fn basic(bit: u32, name: [u8; 8]) -> Feature {
    let (basic, extended) = (1 << bit, 0);
    Feature {
        basic,
        extended,
        name,
    }
}

const fn extended(bit: u32, name: [u8; 8]) -> Feature {
    let (basic, extended) = (0, 1 << bit);
    Feature {
        basic,
        extended,
        name,
    }
}

const COUNT: usize = 13;

pub(super) static FEATURES: [Feature; COUNT] = [
    extended(29, *b" lm\0\0\0\0\0"),
    extended(20, *b" nx\0\0\0\0\0"),
    basic(0, *b" fpu\0\0\0\0"),
    basic(4, *b" tsc\0\0\0\0"),
    basic(5, *b" msr\0\0\0\0"),
    basic(6, *b" pae\0\0\0\0"),
    basic(8, *b" cx8\0\0\0\0"),
    basic(9, *b" apic\0\0\0"),
    basic(15, *b" cmov\0\0\0"),
    basic(23, *b" mmx\0\0\0\0"),
    basic(24, *b" fxsr\0\0\0"),
    basic(25, *b" sse\0\0\0\0"),
    basic(26, *b" sse2\0\0\0"),
];

/// What is missing where EDX of CPUID's leaves 1 and 0x80000001 are these.
pub(super) const fn missing(has: [u32; 2]) -> [u32; 2] {
    let mut missing = [0; 2];
    let mut index = 0;
    while index < COUNT {
        missing[0] |= FEATURES[index].basic & !has[0];
        missing[1] |= FEATURES[index].extended & !has[1];
        index += 1;
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::{FEATURES, missing};

    #[test]
    fn every_feature_is_asked_for_once_and_has_a_name() {
        let [mut basic, mut extended] = missing([0; 2]);
        for feature in &FEATURES {
            let bits = feature.basic.count_ones() + feature.extended.count_ones();
            assert_eq!(bits, 1);
            basic ^= feature.basic;
            extended ^= feature.extended;
            let name = core::ffi::CStr::from_bytes_until_nul(&feature.name).unwrap();
            let name = name.to_str().unwrap().strip_prefix(' ').unwrap();
            assert!(
                name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{name}"
            );
        }
        assert_eq!((basic, extended), (0, 0));
        assert_eq!(missing([u32::MAX; 2]), [0; 2]);
    }
}
