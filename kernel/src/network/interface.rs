//! A stack behind a lock, as a service of the core its device is dedicated to.

use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tcpip::Steering;

use super::stack::Stack;
use super::statistics::Statistics;
use crate::arch::clock;
use crate::arch::x86_64::core_local::CoreLocal;
use crate::scheduler::{self, Service};
use crate::sync::{OnceCell, SpinGuard, SpinLock};

/// How often the stack is asked in a row as long as it has work; in between other cores may use it.
const ROUNDS: usize = 8;

/// An interface: one device and its stack.
pub struct Interface {
    index: usize,
    /// Name of the driver.
    pub driver: &'static str,
    /// Hardware address.
    pub mac: [u8; 6],
    stack: SpinLock<Stack>,
    /// It was given to a core for good.
    is_dedicated: AtomicBool,
    /// The core that serves it.
    core: AtomicUsize,
    /// The cores that ask it, a bit for each: the one it belongs to, and those it has left.
    registered: AtomicU64,
    /// All lanes of the interface, of which this is one, if it has several.
    lanes: OnceCell<(Vec<&'static Interface>, Steering)>,
}

impl Interface {
    /// An interface over a stack; it belongs to the core that calls.
    pub fn new(index: usize, driver: &'static str, mac: [u8; 6], stack: Stack) -> Self {
        Self {
            index,
            driver,
            mac,
            stack: SpinLock::new(stack),
            is_dedicated: AtomicBool::new(false),
            core: AtomicUsize::new(scheduler::current_core()),
            registered: AtomicU64::new(0),
            lanes: OnceCell::new(),
        }
    }

    /// The same for a stack that another core serves.
    pub(super) fn at(self, home: &'static CoreLocal) -> Self {
        self.core.store(home.index(), Ordering::Relaxed);
        self.stack.lock().set_home_at(home);
        self
    }

    /// Notes that there are others of the same card.
    pub(super) fn set_lanes(&self, lanes: Vec<&'static Self>, steering: Steering) {
        // Nobody else does.
        let _ = self.lanes.set((lanes, steering));
    }

    /// All lanes, and which connection belongs to which, if there are several.
    #[inline]
    pub(super) fn lanes_with_steering(&self) -> Option<(&[&'static Self], &Steering)> {
        let (lanes, steering) = self.lanes.get()?;
        Some((lanes, steering))
    }

    /// All lanes, this one if there are no others.
    pub fn lanes(&'static self) -> Vec<&'static Self> {
        match self.lanes.get() {
            Some((lanes, _)) => lanes.clone(),
            None => vec![self],
        }
    }

    /// What was counted so far, in all lanes.
    pub fn statistics(&'static self) -> Statistics {
        let lanes = self.lanes().into_iter();
        lanes.fold(Statistics::default(), |sum, lane| {
            let of_lane = lane.lock().statistics();
            sum.plus(&of_lane)
        })
    }

    /// Has the core that calls serve the interface, whenever it is the one that the interface belongs to.
    pub fn register(&'static self) {
        let bit = 1 << scheduler::current_core();
        if self.registered.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            scheduler::register_service(self);
        }
    }

    /// Has the core that calls serve the interface from its first use on: as long as it is not used, it costs nothing.
    #[inline]
    pub(super) fn start(&'static self) {
        if self.registered.load(Ordering::Relaxed) == 0 {
            self.start_here();
        }
    }

    #[inline(never)]
    fn start_here(&'static self) {
        let mut stack = self.stack.lock();
        if self.registered.load(Ordering::Relaxed) == 0 {
            self.core
                .store(scheduler::current_core(), Ordering::Relaxed);
            stack.set_home();
            self.register();
        }
    }

    /// Its place among all.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The core that it belongs to.
    #[inline]
    pub fn core(&self) -> usize {
        self.core.load(Ordering::Relaxed)
    }

    /// Gives it to another core, which has registered it. Whether the device's interrupts can go there.
    pub(super) fn move_to(&self, home: &'static CoreLocal) -> bool {
        let mut stack = self.stack.lock();
        let old = self.core.swap(home.index(), Ordering::Relaxed);
        let has_moved = stack.move_home(home);
        if !has_moved {
            self.core.store(old, Ordering::Relaxed);
        }
        has_moved
    }

    /// Whether it was given to a core for good.
    pub fn is_dedicated(&self) -> bool {
        self.is_dedicated.load(Ordering::Relaxed)
    }

    /// Marks it as dedicated; whether it was not before.
    pub(super) fn claim(&self) -> bool {
        !self.is_dedicated.swap(true, Ordering::Relaxed)
    }

    /// Takes the mark of [`Interface::claim`] back.
    pub(super) fn give_up_claim(&self) {
        self.is_dedicated.store(false, Ordering::Relaxed);
    }

    /// The stack, for a moment.
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, Stack> {
        self.stack.lock()
    }
}

impl Service for Interface {
    fn serve(&self) {
        if self.core() != scheduler::current_core() {
            return;
        }
        for _ in 0..ROUNDS {
            let mut stack = self.stack.lock();
            let before = stack.address_changes();
            let has_more = stack.serve(clock::now_ns());
            if stack.address_changes() != before {
                self.tell_addresses(&mut stack);
            }
            // What comes from now on is found before the core halts.
            if !has_more {
                break;
            }
        }
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        if self.core() != scheduler::current_core() {
            return None;
        }
        self.stack.lock().next_deadline_ns()
    }
}

impl Interface {
    /// Has the log and those who wait know what has changed.
    #[inline(never)]
    fn tell_addresses(&self, stack: &mut Stack) {
        let changes = stack.take_changes();
        if changes.is_lease {
            report(self, stack, "DHCP");
        }
        for address in changes.new {
            let source = match stack.is_by_dhcp6(address) {
                true => "DHCPv6",
                false => "its router",
            };
            log::info!("network: {}, {address} by {source}", self.driver);
        }
        super::tell_address_change();
    }
}

/// Logs the address of an interface and where it is from.
pub(super) fn report(interface: &Interface, stack: &Stack, source: &str) {
    let [a, b, c, d, e, f] = interface.mac;
    let driver = interface.driver;
    match stack.address() {
        Some(address) => match address.gateway {
            Some(gateway) => log::info!(
                "network: {driver} {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, {}/{} by {source}, gateway {gateway}",
                address.ip,
                address.prefix
            ),
            None => log::info!(
                "network: {driver} {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, {}/{} by {source}, no gateway",
                address.ip,
                address.prefix
            ),
        },
        None => log::warn!("network: {driver} has lost its address"),
    }
}
