//! KVM's clock (Linux, Documentation/virt/kvm/x86/msr.rst; `struct pvclock_vcpu_time_info`): each core has a structure in which the
//! hypervisor says how the time-stamp counter becomes nanoseconds, also after the machine has moved to another host.

use super::shared::{Shared, stable};
use crate::arch::x86_64::cpu;
use crate::arch::x86_64::hypervisor::{self, Hypervisor};

const MSR_WALL: u32 = 0x4B56_4D00;
const MSR_TIME: u32 = 0x4B56_4D01;
/// In the leaf of features: these registers exist.
const FEATURE_CLOCK: u32 = 1 << 3;
const ENABLE: u64 = 1;
/// Bytes from one core's structure to the next.
const STRIDE: usize = 32;
/// Where the structure of wall time is: behind those of all cores.
pub(super) const WALL_AT: usize = STRIDE * crate::arch::x86_64::core_local::MAX_CORES;
/// All the memory that is needed.
pub(super) const SHARED_BYTES: usize = WALL_AT + 16;

/// How the counter becomes nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    tsc: u64,
    ns: u64,
    multiplier: u32,
    shift: i8,
    flags: u8,
}

/// Whether the hypervisor has the clock.
pub(super) fn is_there() -> bool {
    hypervisor::find(Hypervisor::Kvm)
        .is_some_and(|leaves| leaves.leaf(1, 0).eax & FEATURE_CLOCK != 0)
}

/// Has the hypervisor write the structure of this core, number `core`.
pub(super) fn enable(shared: &Shared, core: usize) {
    let phys = shared.phys() + (core * STRIDE) as u64;
    // SAFETY: the register exists (`is_there`); what the hypervisor writes to is ours for ever, and read as what it is: foreign.
    unsafe { cpu::write_msr(MSR_TIME, phys | ENABLE) };
}

/// What the structure of a core says, if it makes sense.
pub(super) fn read(shared: &Shared, core: usize) -> Option<Time> {
    let at = core * STRIDE;
    stable(
        || shared.read(at),
        |version: u32| version != 0 && version.is_multiple_of(2),
        || Time {
            tsc: shared.read(at + 8),
            ns: shared.read(at + 16),
            multiplier: shared.read(at + 24),
            shift: shared.read::<u8>(at + 28) as i8,
            flags: shared.read(at + 29),
        },
    )
    .filter(Time::makes_sense)
}

impl Time {
    /// The structures of all cores agree.
    const STABLE: u8 = 1;

    fn makes_sense(&self) -> bool {
        self.multiplier != 0 && (-31..=31).contains(&self.shift)
    }

    /// Whether all cores read the same time.
    pub(super) fn is_stable(&self) -> bool {
        self.flags & Self::STABLE != 0
    }

    /// Nanoseconds on the hypervisor's clock when the counter is at `tsc`.
    pub(super) fn ns_at(&self, tsc: u64) -> u64 {
        // Another core's counter may be a little behind.
        let ticks = u128::from(tsc.saturating_sub(self.tsc));
        let ticks = match self.shift {
            0.. => ticks << self.shift,
            _ => ticks >> -self.shift,
        };
        let ns = (ticks * u128::from(self.multiplier)) >> 32;
        self.ns
            .saturating_add(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// Ticks of the counter in a second.
    pub(super) fn tsc_hz(&self) -> u64 {
        let hz = (1_000_000_000_u128 << 32) / u128::from(self.multiplier);
        let hz = match self.shift {
            0.. => hz >> self.shift,
            _ => hz << -self.shift,
        };
        u64::try_from(hz).unwrap_or(u64::MAX)
    }
}

/// Nanoseconds from 1970 to the zero of the hypervisor's clock, if they make sense.
pub(super) fn wall_at_zero_ns(shared: &Shared) -> Option<u64> {
    // SAFETY: as in `enable`; the structure is written before the instruction ends.
    unsafe { cpu::write_msr(MSR_WALL, shared.phys() + WALL_AT as u64) };
    let (seconds, ns) = stable(
        || shared.read(WALL_AT),
        |version: u32| version.is_multiple_of(2),
        || {
            (
                shared.read::<u32>(WALL_AT + 4),
                shared.read::<u32>(WALL_AT + 8),
            )
        },
    )?;
    (seconds != 0 && ns < 1_000_000_000)
        .then_some(u64::from(seconds) * 1_000_000_000 + u64::from(ns))
}

#[cfg(test)]
mod tests {
    use super::Time;

    const TIME: Time = Time {
        tsc: 1000,
        ns: 5_000_000,
        // 2 GHz: half a nanosecond a tick.
        multiplier: 1 << 31,
        shift: 0,
        flags: 1,
    };

    #[test]
    fn ticks_become_nanoseconds() {
        assert_eq!(TIME.ns_at(1000), 5_000_000);
        assert_eq!(TIME.ns_at(3000), 5_001_000);
        // A counter that is behind does not count backwards.
        assert_eq!(TIME.ns_at(0), 5_000_000);
        assert_eq!(TIME.tsc_hz(), 2_000_000_000);
        let slow = Time { shift: 1, ..TIME };
        assert_eq!(
            (slow.ns_at(3000), slow.tsc_hz()),
            (5_002_000, 1_000_000_000)
        );
        let quick = Time { shift: -1, ..TIME };
        assert_eq!(
            (quick.ns_at(3000), quick.tsc_hz()),
            (5_000_500, 4_000_000_000)
        );
    }

    #[test]
    fn no_value_overflows() {
        for multiplier in [1, u32::MAX] {
            for shift in [-31, 0, 31] {
                for tsc in [0, u64::MAX] {
                    let time = Time {
                        tsc,
                        ns: u64::MAX,
                        multiplier,
                        shift,
                        flags: 0,
                    };
                    assert!(time.makes_sense());
                    assert_eq!(time.ns_at(u64::MAX), u64::MAX);
                    let _ = time.tsc_hz();
                }
            }
        }
        assert!(
            !Time {
                multiplier: 0,
                ..TIME
            }
            .makes_sense()
        );
        assert!(!Time { shift: 32, ..TIME }.makes_sense());
        assert!(
            !Time {
                shift: i8::MIN,
                ..TIME
            }
            .makes_sense()
        );
    }
}
