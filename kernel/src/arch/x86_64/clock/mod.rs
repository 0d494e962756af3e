//! Clocks: monotonic time from the time-stamp counter, wall time from the hypervisor or the RTC (when it is first asked for).
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

static TSC_AT_BOOT: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per tick of the counter, times 2^32.
static NS_PER_TICK_32: AtomicU64 = AtomicU64::new(1 << 32);
/// Ticks of the counter in a second.
static TSC_HZ: AtomicU64 = AtomicU64::new(NS_PER_S);
/// Wall time at boot, in nanoseconds since 1970; 0 until it is known.
static WALL_AT_BOOT_NS: AtomicU64 = AtomicU64::new(0);
/// Who reads the RTC: its registers are one place for all cores.
static READING_RTC: SpinLock<()> = SpinLock::new(());
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

/// Nanoseconds since 1970-01-01 00:00 UTC.
pub fn wall_ns() -> u64 {
    let at_boot_ns = match WALL_AT_BOOT_NS.load(Ordering::Relaxed) {
        0 => read_rtc(),
        ns => ns,
    };
    at_boot_ns.saturating_add(now_ns())
}

/// Wall time at boot by the RTC, which is read when somebody first asks: a start needs no date, and each of its registers costs an exit to
/// the hypervisor.
#[cold]
fn read_rtc() -> u64 {
    // On the host, tests must not touch ports.
    if cfg!(test) {
        return 0;
    }
    let _reading = READING_RTC.lock();
    let known = WALL_AT_BOOT_NS.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let now_wall_ns = super::rtc::read_unix_seconds().saturating_mul(NS_PER_S);
    let at_boot_ns = now_wall_ns.saturating_sub(now_ns()).max(1);
    WALL_AT_BOOT_NS.store(at_boot_ns, Ordering::Relaxed);
    at_boot_ns
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

    let told_wall_ns = clock.as_ref().and_then(|clock| match clock.kind {
        Kind::Kvm => kvm::wall_at_zero_ns(&clock.shared)?.checked_add(clock.at_boot_ns),
        Kind::HyperV => None,
    });
    WALL_AT_BOOT_NS.store(told_wall_ns.unwrap_or(0), Ordering::Relaxed);
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
