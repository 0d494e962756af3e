//! Which hypervisor there is, by its CPUID leaves: from 0x40000000 on, and where one shows the leaves of others too, in steps of 0x100
//! (Linux, Documentation/virt/kvm/x86/cpuid.rst; Microsoft, Hypervisor Top-Level Functional Specification, "Feature and Interface
//! Discovery"; Xen, xen/include/public/arch-x86/cpuid.h).

use core::arch::x86_64::{__cpuid_count, CpuidResult};

use super::cpu;

/// The letters that KVM begins its leaves with.
pub const KVM: &[u8; 12] = b"KVMKVMKVM\0\0\0";
/// Hyper-V's.
pub const HYPER_V: &[u8; 12] = b"Microsoft Hv";
/// Xen's.
pub const XEN: &[u8; 12] = b"XenVMMXenVMM";
/// VMware's.
pub const VMWARE: &[u8; 12] = b"VMwareVMware";

const FIRST: u32 = 0x4000_0000;
const STEP: u32 = 0x100;
/// As many places are looked at.
const PLACES: u32 = 4;

/// The leaves of one hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaves {
    base: u32,
    /// The highest leaf.
    highest: u32,
}

/// The leaves that begin with these letters, if there are some.
pub fn find(letters: &[u8; 12]) -> Option<Leaves> {
    // Bit 31 of ECX is for hypervisors.
    if cpu::cpuid(1).ecx >> 31 == 0 {
        return None;
    }
    find_by(letters, |leaf| __cpuid_count(leaf, 0))
}

fn find_by(letters: &[u8; 12], cpuid: impl Fn(u32) -> CpuidResult) -> Option<Leaves> {
    (0..PLACES)
        .map(|place| FIRST + place * STEP)
        .find_map(|base| {
            let first = cpuid(base);
            let found = [first.ebx, first.ecx, first.edx].map(u32::to_le_bytes);
            // Old versions of KVM say 0 and mean the first leaf behind.
            let highest = match first.eax {
                0 => base + 1,
                highest => highest.min(base + STEP - 1),
            };
            (found.as_flattened() == letters).then_some(Leaves { base, highest })
        })
}

impl Leaves {
    /// A leaf, by its number from the first one on, and its subleaf; zeros where it does not exist.
    pub fn leaf(&self, number: u32, subleaf: u32) -> CpuidResult {
        if number > self.highest.saturating_sub(self.base) {
            return CpuidResult {
                eax: 0,
                ebx: 0,
                ecx: 0,
                edx: 0,
            };
        }
        __cpuid_count(self.base + number, subleaf)
    }
}

#[cfg(test)]
mod tests {
    use super::{HYPER_V, KVM, Leaves, XEN, find_by};
    use core::arch::x86_64::CpuidResult;

    /// A processor with Hyper-V's leaves, and KVM's behind them.
    fn cpuid(leaf: u32) -> CpuidResult {
        let (highest, letters): (u32, &[u8; 12]) = match leaf {
            0x4000_0000 => (0x4000_000A, HYPER_V),
            0x4000_0100 => (0, KVM),
            _ => (u32::MAX, b"whatever...."),
        };
        let word = |at: usize| u32::from_le_bytes(letters[at..at + 4].try_into().unwrap());
        CpuidResult {
            eax: highest,
            ebx: word(0),
            ecx: word(4),
            edx: word(8),
        }
    }

    #[test]
    fn leaves_are_found_behind_those_of_another() {
        let leaves = |base, highest| Some(Leaves { base, highest });
        assert_eq!(find_by(HYPER_V, cpuid), leaves(0x4000_0000, 0x4000_000A));
        assert_eq!(find_by(KVM, cpuid), leaves(0x4000_0100, 0x4000_0101));
        assert_eq!(find_by(XEN, cpuid), None);
    }
}
