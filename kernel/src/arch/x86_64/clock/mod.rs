//! Clocks: monotonic time from the time-stamp counter, wall time from the hypervisor or the RTC.
//!
//! Where the hypervisor says how its time comes out of the counter (`kvm`, `hyper_v`), that is the time, so it goes on rightly when the machine has
//! moved to a host with another counter. Else the counter's frequency comes from the processor or the hypervisor where they tell it
//! (`frequency`), else it is measured against the interval timer (`pit`).

mod frequency;
mod hyper_v;
mod kvm;
mod pit;
mod shared;

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};

use super::core_local;
use crate::sync::OnceCell;
use shared::Shared;

const NS_PER_S: u64 = 1_000_000_000;
/// Time from a hypervisor is cut here, so that deadlines do not overflow: 146 years.
const MAX_NS: u64 = 1 << 62;

static TSC_AT_BOOT: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per tick of the counter, times 2^32.
static NS_PER_TICK_32: AtomicU64 = AtomicU64::new(1 << 32);
/// Ticks of the counter in a second.
static TSC_HZ: AtomicU64 = AtomicU64::new(NS_PER_S);
/// Wall time at boot, in nanoseconds since 1970.
static WALL_AT_BOOT_NS: AtomicU64 = AtomicU64::new(0);
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
    let ticks = tsc().wrapping_sub(TSC_AT_BOOT.load(Ordering::Relaxed));
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
    WALL_AT_BOOT_NS
        .load(Ordering::Relaxed)
        .saturating_add(now_ns())
}

/// What is known of a counter whose frequency is wanted.
pub enum Counter<F: FnMut() -> u32> {
    /// Nobody needs the frequency.
    Unused,
    /// It counts down, and is read so.
    Down(F),
}

/// Starts the clocks on the first core. Returns the frequency of the timers' `counter` in hertz, 0 where it is unused.
pub fn initialise(counter: Counter<impl FnMut() -> u32>) -> u64 {
    TSC_AT_BOOT.store(tsc(), Ordering::Relaxed);
    let clock = Paravirtual::find();
    let own_hz = clock.as_ref().and_then(|clock| match clock.kind {
        Kind::Kvm => kvm::read(&clock.shared, core_local::current().index()).map(|t| t.tsc_hz()),
        Kind::HyperV => None,
    });
    let mut tsc_hz = own_hz.or_else(frequency::tsc_hz);
    let apic_hz = match counter {
        Counter::Unused => Some(0),
        Counter::Down(_) => frequency::apic_hz(),
    };
    let counter_hz = match (counter, apic_hz, tsc_hz) {
        (_, Some(hz), Some(_)) => hz,
        (Counter::Down(sample), _, Some(tsc_hz)) => measure_by_tsc(sample, tsc_hz),
        (Counter::Unused, _, _) => {
            let (measured_hz, _) = measure(|| 0);
            tsc_hz = Some(measured_hz);
            0
        }
        (Counter::Down(sample), _, None) => {
            let (measured_hz, counter_hz) = measure(sample);
            tsc_hz = Some(measured_hz);
            apic_hz.unwrap_or(counter_hz)
        }
    };
    let tsc_hz = tsc_hz.unwrap_or(NS_PER_S).max(1_000_000);
    TSC_HZ.store(tsc_hz, Ordering::Relaxed);
    let scale = (u128::from(NS_PER_S) << 32) / u128::from(tsc_hz);
    NS_PER_TICK_32.store(scale as u64, Ordering::Relaxed);

    let told_wall_ns = clock.as_ref().and_then(|clock| match clock.kind {
        Kind::Kvm => kvm::wall_at_zero_ns(&clock.shared)?.checked_add(clock.at_boot_ns),
        Kind::HyperV => None,
    });
    let wall_ns = told_wall_ns.unwrap_or_else(|| super::rtc::read_unix_seconds() * NS_PER_S);
    WALL_AT_BOOT_NS.store(wall_ns, Ordering::Relaxed);
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
    counter_hz
}

/// Enables the hypervisor's clock on another core, before it reads the time.
pub fn enable_on_this_core() {
    if let Some(clock) = PARAVIRTUAL.get()
        && clock.kind == Kind::Kvm
    {
        kvm::enable(&clock.shared, core_local::current().index());
    }
}

/// A look at the interval timer, and at the other counters around it.
struct Look {
    pit: u16,
    before: u64,
    after: u64,
    counter: u32,
}

impl Look {
    fn take(sample: &mut impl FnMut() -> u32) -> Self {
        let before = tsc();
        let (pit, counter) = (pit::read(), sample());
        Self {
            pit,
            before,
            after: tsc(),
            counter,
        }
    }

    /// How long it took.
    fn ticks(&self) -> u64 {
        self.after.wrapping_sub(self.before)
    }
}

/// Measures the time-stamp counter and another one, which counts down, for 2 ms; in hertz. When the host takes the processor away in a
/// look, the measurement is not worth much: then there is another one, and the best counts.
fn measure(mut sample: impl FnMut() -> u32) -> (u64, u64) {
    const MAX_TRIES: u32 = 5;
    /// A look that takes longer than so many of the quickest was disturbed.
    const DISTURBED: u64 = 8;
    /// A machine without the timer ends a measurement after a number of looks.
    const MAX_LOOKS: u32 = 300_000;
    let mut best = (u64::MAX, (0, 0));
    for _ in 0..MAX_TRIES {
        pit::start();
        // The first one takes long where code is translated when it is first executed.
        Look::take(&mut sample);
        let start = Look::take(&mut sample);
        let mut end = Look::take(&mut sample);
        let mut looks = 0;
        let mut quickest = start.ticks().min(end.ticks());
        while u64::from(start.pit.wrapping_sub(end.pit)) < pit::TICKS && looks < MAX_LOOKS {
            end = Look::take(&mut sample);
            quickest = quickest.min(end.ticks());
            looks += 1;
        }
        let elapsed = u64::from(start.pit.wrapping_sub(end.pit)).max(1);
        let ticks = end.before.wrapping_sub(start.before);
        let in_looks = start.ticks().max(end.ticks());
        let counted = u64::from(start.counter.wrapping_sub(end.counter));
        let found = (
            ticks.saturating_mul(pit::HZ) / elapsed,
            counted * pit::HZ / elapsed,
        );
        if in_looks < best.0 {
            best = (in_looks, found);
        }
        if in_looks <= quickest.saturating_mul(DISTURBED) || looks == MAX_LOOKS {
            break;
        }
    }
    best.1
}

/// Measures a counter that counts down against the time-stamp counter, whose frequency is known, for 1 ms; in hertz.
fn measure_by_tsc(mut sample: impl FnMut() -> u32, tsc_hz: u64) -> u64 {
    let (tsc_start, sample_start) = (tsc(), sample());
    while tsc().wrapping_sub(tsc_start) < tsc_hz / 1000 {
        core::hint::spin_loop();
    }
    let (tsc_end, sample_end) = (tsc(), sample());
    let counted = u128::from(sample_start.wrapping_sub(sample_end));
    let ticks = u128::from(tsc_end.wrapping_sub(tsc_start)).max(1);
    (counted * u128::from(tsc_hz) / ticks) as u64
}
