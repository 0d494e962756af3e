//! Clocks: monotonic time from the time-stamp counter, wall time from the hypervisor or the RTC (when it is first asked
//! for, and now and then after that).
//!
//! Where the hypervisor says how its time comes out of the counter (`kvm`, `hyper_v`), that is the time, so it goes on rightly when the machine has
//! moved to a host with another counter. Else the counter's frequency comes from the processor or the hypervisor where they tell it
//! (`frequency`), else it is measured (`measurement`).

mod frequency;
mod hyper_v;
mod kvm;
mod measurement;
mod pit;
mod shared;

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{core_local, hypervisor};
use crate::sync::{OnceCell, SpinLock};
pub use measurement::{CounterMeasurement, TscMeasurement};
use shared::Shared;

const NS_PER_S: u64 = 1_000_000_000;
/// Time from a hypervisor is cut here, so that deadlines do not overflow: 146 years.
const MAX_NS: u64 = 1 << 62;

/// Wall time is not compared with the host's more often than this.
const COMPARISON_NS: u64 = 10 * NS_PER_S;
/// As much may they differ: the RTC has whole seconds, and hosts that keep their own time right change it by less.
const TOLERANCE_NS: u64 = 2 * NS_PER_S;

static TSC_AT_BOOT: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per tick of the counter, times 2^32.
static NS_PER_TICK_32: AtomicU64 = AtomicU64::new(1 << 32);
/// Ticks of the counter in a second.
static TSC_HZ: AtomicU64 = AtomicU64::new(NS_PER_S);
/// Wall time at boot, in nanoseconds since 1970; 0 until it is known.
static WALL_AT_BOOT_NS: AtomicU64 = AtomicU64::new(0);
/// When wall time is to be compared with the host's, in nanoseconds since boot.
static NEXT_COMPARISON_NS: AtomicU64 = AtomicU64::new(0);
/// Who asks for the host's: registers of the RTC, and what the hypervisor writes, are one place for all cores.
static ASKING_WALL: SpinLock<()> = SpinLock::new(());
/// The hypervisor's clock, where it has one.
static PARAVIRTUAL: OnceCell<Paravirtual> = OnceCell::new();
/// The latest time that any core has read, where cores may disagree.
static LATEST_NS: AtomicU64 = AtomicU64::new(0);

/// A clock of the hypervisor's.
struct Paravirtual {
    kind: Kind,
    shared: Shared,
    /// Its time at boot, in nanoseconds.
    at_boot_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Kvm,
    HyperV,
}

impl Paravirtual {
    /// The clock that this machine has, with this core enabled.
    fn find() -> Option<Self> {
        let kind = match () {
            () if !hypervisor::may_tell_time() => return None,
            () if kvm::is_there() => Kind::Kvm,
            () if hyper_v::is_there() => Kind::HyperV,
            () => return None,
        };
        let shared = Shared::new(match kind {
            Kind::Kvm => kvm::SHARED_BYTES,
            Kind::HyperV => hyper_v::SHARED_BYTES,
        })
        .ok()?;
        match kind {
            Kind::Kvm => kvm::enable(&shared, core_local::current().index()),
            Kind::HyperV => hyper_v::enable(&shared),
        }
        let mut clock = Self {
            kind,
            shared,
            at_boot_ns: 0,
        };
        // One that does not tell the time now is none.
        clock.at_boot_ns = clock.read_ns()?;
        Some(clock)
    }

    /// Nanoseconds since its zero, as this core reads them.
    fn read_ns(&self) -> Option<u64> {
        match self.kind {
            Kind::Kvm => {
                let time = kvm::read(&self.shared, core_local::current().index())?;
                let ns = time.ns_at(tsc());
                if time.is_stable() {
                    return Some(ns);
                }
                Some(LATEST_NS.fetch_max(ns, Ordering::Relaxed).max(ns))
            }
            Kind::HyperV => hyper_v::now_ns(&self.shared, tsc()),
        }
    }

    /// Nanoseconds since boot.
    fn now_ns(&self) -> Option<u64> {
        let ns = self.read_ns()?;
        Some(ns.saturating_sub(self.at_boot_ns).min(MAX_NS))
    }
}

/// The time-stamp counter.
#[inline]
pub fn tsc() -> u64 {
    // SAFETY: every x86-64 processor has it.
    unsafe { _rdtsc() }
}

/// Ticks of the time-stamp counter in a second.
pub fn tsc_hz() -> u64 {
    TSC_HZ.load(Ordering::Relaxed)
}

/// Nanoseconds since boot.
#[inline]
pub fn now_ns() -> u64 {
    PARAVIRTUAL
        .get()
        .and_then(Paravirtual::now_ns)
        .unwrap_or_else(counted_ns)
}

/// Nanoseconds since boot by the counter and its frequency at boot.
#[inline]
fn counted_ns() -> u64 {
    ticks_ns(tsc().wrapping_sub(TSC_AT_BOOT.load(Ordering::Relaxed)))
}

/// So many ticks of the time-stamp counter, in nanoseconds.
#[inline]
pub fn ticks_ns(ticks: u64) -> u64 {
    ((u128::from(ticks) * u128::from(NS_PER_TICK_32.load(Ordering::Relaxed))) >> 32) as u64
}

/// The time-stamp counter at a time since boot.
pub fn tsc_at(ns: u64) -> u64 {
    let ticks = |ns: u64| (u128::from(ns) * u128::from(tsc_hz()) / u128::from(NS_PER_S)) as u64;
    match PARAVIRTUAL.get() {
        // From now on: how the counter has run so far is the hypervisor's business.
        Some(_) => tsc().wrapping_add(ticks(ns.saturating_sub(now_ns()))),
        None => TSC_AT_BOOT.load(Ordering::Relaxed).wrapping_add(ticks(ns)),
    }
}

/// Nanoseconds since 1970-01-01 00:00 UTC. The host's time goes on while the machine is stopped, saved or moved, and its counter does not:
/// so it is compared with the host's from time to time.
pub fn wall_ns() -> u64 {
    let now_ns = now_ns();
    if now_ns >= NEXT_COMPARISON_NS.load(Ordering::Relaxed) {
        compare_wall(now_ns);
    }
    let at_boot_ns = WALL_AT_BOOT_NS.load(Ordering::Relaxed);
    at_boot_ns.saturating_add(now_ns)
}

/// Learns wall time, when somebody first asks for it, and later whether it is another one: a start needs no date, and each register of the
/// RTC costs an exit to the hypervisor.
#[cold]
fn compare_wall(now_ns: u64) {
    // On the host, tests must not touch ports.
    if cfg!(test) {
        return;
    }
    let _asking = ASKING_WALL.lock();
    if now_ns < NEXT_COMPARISON_NS.load(Ordering::Relaxed) {
        return;
    }
    if let Some(told_ns) = told_wall_at_boot_ns() {
        let known_ns = WALL_AT_BOOT_NS.load(Ordering::Relaxed);
        WALL_AT_BOOT_NS.store(corrected(known_ns, told_ns), Ordering::Relaxed);
    }
    NEXT_COMPARISON_NS.store(now_ns.saturating_add(COMPARISON_NS), Ordering::Relaxed);
}

/// Wall time at boot by what the hypervisor says, else by the RTC; `None` if that makes no sense.
fn told_wall_at_boot_ns() -> Option<u64> {
    let by_hypervisor = PARAVIRTUAL.get().and_then(|clock| match clock.kind {
        Kind::Kvm => kvm::wall_at_zero_ns(&clock.shared)?.checked_add(clock.at_boot_ns),
        Kind::HyperV => None,
    });
    by_hypervisor.or_else(|| {
        let wall_ns = super::rtc::read_unix_seconds().checked_mul(NS_PER_S)?;
        wall_ns.checked_sub(now_ns()).filter(|ns| *ns != 0)
    })
}

/// Wall time at boot: what is known, unless what is told is another time.
fn corrected(known_ns: u64, told_ns: u64) -> u64 {
    if known_ns.abs_diff(told_ns) > TOLERANCE_NS {
        told_ns
    } else {
        known_ns
    }
}

/// Starts the clocks on the first core. The `measurement` of the time-stamp counter ends here, where nobody tells the frequency, and that of the
/// timers' `counter`; returns the frequency of the latter in hertz, 0 where there is none.
pub fn initialise(
    measurement: TscMeasurement,
    counter: Option<CounterMeasurement<impl FnMut() -> u32>>,
) -> u64 {
    TSC_AT_BOOT.store(tsc(), Ordering::Relaxed);
    let clock = Paravirtual::find();
    let own_hz = clock.as_ref().and_then(|clock| match clock.kind {
        Kind::Kvm => kvm::read(&clock.shared, core_local::current().index()).map(|t| t.tsc_hz()),
        Kind::HyperV => None,
    });
    let (told_tsc_hz, told_counter_hz) = frequency::told();
    let tsc_hz = own_hz
        .or(told_tsc_hz)
        .unwrap_or_else(|| measurement.finish())
        .max(1_000_000);
    TSC_HZ.store(tsc_hz, Ordering::Relaxed);
    NS_PER_TICK_32.store((NS_PER_S << 32) / tsc_hz, Ordering::Relaxed);

    log::info!(
        "clock: {}, {} kHz",
        match &clock {
            Some(clock) => match clock.kind {
                Kind::Kvm => "KVM's",
                Kind::HyperV => "Hyper-V's reference time",
            },
            None => "time-stamp counter",
        },
        tsc_hz / 1000
    );
    if let Some(clock) = clock {
        let _ = PARAVIRTUAL.set(clock);
    }
    counter.map_or(0, |counter| {
        told_counter_hz.unwrap_or_else(|| counter.finish(tsc_hz))
    })
}

/// Enables the hypervisor's clock on another core, before it reads the time.
pub fn enable_on_this_core() {
    if let Some(clock) = PARAVIRTUAL.get()
        && clock.kind == Kind::Kvm
    {
        kvm::enable(&clock.shared, core_local::current().index());
    }
}

#[cfg(test)]
mod tests {
    use super::{NS_PER_S, TOLERANCE_NS, corrected};

    #[test]
    fn wall_time_is_set_where_it_is_another_and_not_for_a_reading_of_whole_seconds() {
        let known = 1_800_000_000 * NS_PER_S;
        for (told, is_taken) in [
            (known + 999_999_999, false),
            (known - NS_PER_S, false),
            (known + TOLERANCE_NS + 1, true),
            (known + 3600 * NS_PER_S, true),
            (known - 3600 * NS_PER_S, true),
        ] {
            assert_eq!(corrected(known, told) == told, is_taken, "{told}");
        }
        // The first one.
        assert_eq!(corrected(0, known), known);
    }
}
