//! Hyper-V's reference time (Hypervisor Top-Level Functional Specification, "Partition Reference Time Enlightenment"): a page for all cores
//! says how the time-stamp counter becomes units of 100 ns, also after the machine has moved to another host.

use super::shared::{Shared, stable};
use crate::arch::x86_64::cpu;
use crate::arch::x86_64::hypervisor::{self, Hypervisor};

const MSR_COUNTER: u32 = 0x4000_0020;
const MSR_PAGE: u32 = 0x4000_0021;
/// In EAX of the leaf of features: the counter may be read, the page may be had.
const MAY_READ_COUNTER: u32 = 1 << 1;
const MAY_HAVE_PAGE: u32 = 1 << 9;
const ENABLE: u64 = 1;
const UNIT_NS: u64 = 100;
/// All the memory that is needed.
pub(super) const SHARED_BYTES: usize = 4096;

/// How the counter becomes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time {
    /// Units a tick, times 2^64.
    scale: u64,
    offset: i64,
}

/// Whether the hypervisor has both the page and the counter, which counts where the page says nothing.
pub(super) fn is_there() -> bool {
    let wanted = MAY_READ_COUNTER | MAY_HAVE_PAGE;
    hypervisor::find(Hypervisor::HyperV)
        .is_some_and(|leaves| leaves.leaf(3, 0).eax & wanted == wanted)
}

/// Has the hypervisor write the page.
pub(super) fn enable(shared: &Shared) {
    // SAFETY: the register exists (`is_there`); the page is ours for ever, and read as what it is: foreign.
    unsafe { cpu::write_msr(MSR_PAGE, shared.phys() | ENABLE) };
}

/// Nanoseconds on the hypervisor's clock when the counter is at `tsc`, which is now.
pub(super) fn now_ns(shared: &Shared, tsc: u64) -> Option<u64> {
    let time = stable(
        || shared.read(0),
        |_: u32| true,
        || {
            let time = Time {
                scale: shared.read(8),
                offset: shared.read::<u64>(16) as i64,
            };
            (shared.read::<u32>(0), time)
        },
    );
    let units = match time {
        // No number: the page says nothing now.
        Some((1.., time)) if time.scale != 0 => time.units_at(tsc),
        // SAFETY: the register exists (`is_there`).
        _ => unsafe { cpu::read_msr(MSR_COUNTER) },
    };
    units.checked_mul(UNIT_NS)
}

impl Time {
    fn units_at(&self, tsc: u64) -> u64 {
        let units = ((u128::from(tsc) * u128::from(self.scale)) >> 64) as u64;
        units.saturating_add_signed(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn ticks_become_units() {
        // 2 GHz: 200 ticks are a unit.
        let scale = u64::MAX / 200 + 1;
        let time = Time { scale, offset: -50 };
        assert_eq!(time.units_at(2_000_000_000), 9_999_950);
        assert_eq!(time.units_at(0), 0);
        let wrong = Time {
            scale: u64::MAX,
            offset: i64::MAX,
        };
        assert_eq!(wrong.units_at(u64::MAX), u64::MAX);
    }
}
