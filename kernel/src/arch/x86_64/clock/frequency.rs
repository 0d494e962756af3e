//! Frequencies as processor and hypervisors tell them. What is not plausible counts as not told.

use crate::arch::x86_64::cpu;
use crate::arch::x86_64::hypervisor::{self, Hypervisor};

/// Slower or faster counters do not exist.
const PLAUSIBLE_HZ: core::ops::RangeInclusive<u64> = 10_000_000..=100_000_000_000;

/// Ticks in a second of the time-stamp counter, and of the timers of local APICs, as far as somebody tells them.
pub(super) fn told() -> (Option<u64>, Option<u64>) {
    let plausible = |hz: &u64| PLAUSIBLE_HZ.contains(hz);
    if !hypervisor::may_tell_time() {
        return (processor().filter(plausible), None);
    }
    let (tsc_of_hyper_v, apic_of_hyper_v) = hyper_v().unzip();
    let (tsc_of_vmware, apic_of_vmware) = vmware().unzip();
    let tsc = [tsc_of_hyper_v, xen(), tsc_of_vmware, processor()];
    let apic = [apic_of_hyper_v, apic_of_vmware];
    (
        tsc.into_iter().flatten().find(plausible),
        apic.into_iter().flatten().find(plausible),
    )
}

const MSR_TSC_HZ: u32 = 0x4000_0022;
const MSR_APIC_HZ: u32 = 0x4000_0023;

/// Hyper-V's (Hypervisor Top-Level Functional Specification, "Partition Reference Time" and leaf 0x40000003).
fn hyper_v() -> Option<(u64, u64)> {
    /// EAX: the registers may be read. EDX: they exist.
    const MAY_READ: u32 = 1 << 11;
    const EXIST: u32 = 1 << 8;
    let features = hypervisor::find(Hypervisor::HyperV)?.leaf(3, 0);
    if features.eax & MAY_READ == 0 || features.edx & EXIST == 0 {
        return None;
    }
    // SAFETY: the hypervisor says that it has the registers; reading them has no effect.
    Some(unsafe { (cpu::read_msr(MSR_TSC_HZ), cpu::read_msr(MSR_APIC_HZ)) })
}

/// Xen's leaf of time tells kHz (xen/include/public/arch-x86/cpuid.h, leaf 4, subleaf 0).
fn xen() -> Option<u64> {
    let time = hypervisor::find(Hypervisor::Xen)?.leaf(3, 0);
    Some(u64::from(time.ecx) * 1000)
}

/// VMware's leaf of frequencies, in kHz: of the time-stamp counter and of the bus, which is that of the timers. KVM can have it too.
fn vmware() -> Option<(u64, u64)> {
    let leaves =
        hypervisor::find(Hypervisor::VmWare).or_else(|| hypervisor::find(Hypervisor::Kvm))?;
    let leaf = leaves.leaf(0x10, 0);
    Some((u64::from(leaf.eax) * 1000, u64::from(leaf.ebx) * 1000))
}

/// The processor's own leaves (Intel SDM volume 3B, 18.7.3): 0x15 has the ratio to a crystal; where it does not tell that of the crystal,
/// the counter has the frequency that 0x16 tells in MHz.
fn processor() -> Option<u64> {
    let ratio = cpu::cpuid(0x15);
    let base_mhz = cpu::cpuid(0x16).eax & 0xFFFF;
    by_ratio(ratio.eax, ratio.ebx, ratio.ecx, base_mhz)
}

fn by_ratio(denominator: u32, numerator: u32, crystal_hz: u32, base_mhz: u32) -> Option<u64> {
    if denominator == 0 || numerator == 0 {
        return None;
    }
    match crystal_hz {
        0 => Some(u64::from(base_mhz) * 1_000_000),
        hz => Some(u64::from(hz) * u64::from(numerator) / u64::from(denominator)),
    }
}

#[cfg(test)]
mod tests {
    use super::by_ratio;

    #[test]
    fn a_crystal_and_its_ratio_make_a_frequency() {
        assert_eq!(by_ratio(2, 166, 24_000_000, 0), Some(1_992_000_000));
        assert_eq!(by_ratio(2, 166, 0, 2000), Some(2_000_000_000));
        assert_eq!(by_ratio(0, 166, 24_000_000, 2000), None);
        assert_eq!(
            by_ratio(1, u32::MAX, u32::MAX, 0),
            Some(u64::from(u32::MAX).pow(2))
        );
    }
}
