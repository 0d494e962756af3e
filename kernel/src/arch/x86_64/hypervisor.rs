//! Which hypervisor there is, by its CPUID leaves: from 0x40000000 on, and where one shows the leaves of others too, in steps of 0x100
//! (Linux, Documentation/virt/kvm/x86/cpuid.rst; Microsoft, Hypervisor Top-Level Functional Specification, "Feature and Interface
//! Discovery"; Xen, xen/include/public/arch-x86/cpuid.h).

use core::arch::x86_64::{__cpuid_count, CpuidResult};

use crate::sync::OnceCell;

/// A hypervisor whose leaves are of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypervisor {
    /// KVM.
    Kvm,
    /// Hyper-V.
    HyperV,
    /// Xen.
    Xen,
    /// VMware.
    VmWare,
    /// QEMU's emulator (target/i386/cpu.c, `cpu_x86_cpuid`).
    Emulator,
}

/// How many there are.
const KINDS: usize = 5;
/// The letters that their leaves begin with.
const LETTERS: [[u32; 3]; KINDS] = [
    words(b"KVMKVMKVM\0\0\0"),
    words(b"Microsoft Hv"),
    words(b"XenVMMXenVMM"),
    words(b"VMwareVMware"),
    words(b"TCGTCGTCGTCG"),
];

/// Letters as registers have them.
const fn words(letters: &[u8; 12]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *letters;
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
        u32::from_le_bytes([i, j, k, l]),
    ]
}

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

/// The leaves of each hypervisor, where there are some.
type Found = [Option<Leaves>; KINDS];

/// The leaves of a hypervisor, if it is there. All of them are looked for once: each leaf costs an exit to the hypervisor.
pub fn find(hypervisor: Hypervisor) -> Option<Leaves> {
    found()[hypervisor as usize]
}

/// Whether any of them is there that may tell of time: the emulator does not.
#[inline(never)]
pub fn may_tell_time() -> bool {
    const TELLERS: usize = Hypervisor::Emulator as usize;
    found()[..TELLERS].iter().any(Option::is_some)
}

#[inline(never)]
fn found() -> &'static Found {
    static FOUND: OnceCell<Found> = OnceCell::new();
    FOUND.get_or_find(|| find_all(|leaf| __cpuid_count(leaf, 0)))
}

fn find_all(cpuid: impl Fn(u32) -> CpuidResult) -> Found {
    let mut found = [None; KINDS];
    // Bit 31 of ECX is for hypervisors.
    if cpuid(1).ecx >> 31 == 0 {
        return found;
    }
    for place in 0..PLACES {
        let base = FIRST + place * STEP;
        let first = cpuid(base);
        let is_of = |letters: &[u32; 3]| {
            let [ebx, ecx, edx] = letters;
            (first.ebx ^ ebx) | (first.ecx ^ ecx) | (first.edx ^ edx) == 0
        };
        let Some(kind) = LETTERS.iter().position(is_of) else {
            continue;
        };
        // Old versions of KVM say 0 and mean the first leaf behind.
        let highest = match first.eax {
            0 => base + 1,
            highest => highest.min(base + STEP - 1),
        };
        if found[kind].is_none() {
            found[kind] = Some(Leaves { base, highest });
        }
    }
    found
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
    use super::{Hypervisor, KINDS, LETTERS, Leaves, find_all};
    use core::arch::x86_64::CpuidResult;

    /// A processor with Hyper-V's leaves, and KVM's behind them.
    fn cpuid(leaf: u32) -> CpuidResult {
        if leaf == 1 {
            return CpuidResult {
                eax: 0,
                ebx: 0,
                ecx: 1 << 31,
                edx: 0,
            };
        }
        let letters_of = |hypervisor| LETTERS[hypervisor as usize];
        let (highest, [ebx, ecx, edx]) = match leaf {
            0x4000_0000 => (0x4000_000A, letters_of(Hypervisor::HyperV)),
            0x4000_0100 => (0, letters_of(Hypervisor::Kvm)),
            _ => (u32::MAX, super::words(b"whatever....")),
        };
        CpuidResult {
            eax: highest,
            ebx,
            ecx,
            edx,
        }
    }

    #[test]
    fn leaves_are_found_behind_those_of_another() {
        let leaves = |base, highest| Some(Leaves { base, highest });
        let hyper_v = leaves(0x4000_0000, 0x4000_000A);
        let kvm = leaves(0x4000_0100, 0x4000_0101);
        assert_eq!(find_all(cpuid), [kvm, hyper_v, None, None, None]);
    }

    #[test]
    fn without_a_hypervisor_its_leaves_are_not_asked_for() {
        let bare = |leaf| match leaf {
            1 => CpuidResult { ecx: 0, ..cpuid(1) },
            leaf => cpuid(leaf),
        };
        assert_eq!(find_all(bare), [None; KINDS]);
    }
}
