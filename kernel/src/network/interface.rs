//! A stack behind a lock, as a service of the core its device is dedicated to.

use super::stack::Stack;
use crate::arch::clock;
use crate::scheduler::{Notifier, Service};
use crate::sync::{SpinGuard, SpinLock};

/// How often the stack is asked in a row as long as it has work; in between other cores may use it.
const ROUNDS: usize = 8;

/// An interface: one device and its stack.
pub struct Interface {
    /// Name of the driver.
    pub driver: &'static str,
    /// Hardware address.
    pub mac: [u8; 6],
    stack: SpinLock<Stack>,
    /// Tells of a new address.
    pub address_changed: Notifier,
}

impl Interface {
    /// An interface over a stack.
    pub fn new(driver: &'static str, mac: [u8; 6], stack: Stack) -> Self {
        Self {
            driver,
            mac,
            stack: SpinLock::new(stack),
            address_changed: Notifier::new(),
        }
    }

    /// The stack, for a moment.
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, Stack> {
        self.stack.lock()
    }
}

impl Service for Interface {
    fn serve(&self) -> bool {
        for round in 0..ROUNDS {
            let mut stack = self.stack.lock();
            let before = stack.address_changes();
            let has_worked = stack.serve(clock::now_ns());
            if stack.address_changes() != before {
                report(self, &stack, "DHCP");
                self.address_changed.notify();
            }
            if !has_worked {
                return round != 0;
            }
        }
        true
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        self.stack.lock().next_deadline_ns()
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
