//! Interfaces by name, and the cores they belong to.
//!
//! The loopback is `lo`; the others are `net0`, `net1`, … in the order in which their devices were found. The network starts on the core
//! that used it first, and all interfaces with it. [`Network::dedicate`] gives one to another core, once: there its interrupts go from
//! then on, and there its stack is served. Sockets stay what they were; they can be used from any core.

use alloc::format;
use alloc::string::String;

use super::binding;
use super::config::Address;
use super::error::{Error, Result};
use super::interface::{self, Interface};
use super::{LOOPBACK, Network, lanes};
use crate::arch::clock;
use crate::arch::x86_64::core_local::{self, CoreLocal};
use crate::scheduler;

/// What a dedicated interface shall do about its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// Nothing new: what the command line says.
    Keep,
    /// Ask for one.
    Dhcp,
    /// Take this one.
    Static(Address),
}

/// The name of the interface at an index.
pub fn name_of(index: usize) -> String {
    match index.checked_sub(1) {
        None => String::from("lo"),
        Some(number) => format!("net{number}"),
    }
}

/// The index of an interface of this name, should there be one.
fn index_of(name: &str) -> Option<usize> {
    if name == "lo" {
        return Some(LOOPBACK);
    }
    let number: usize = name.strip_prefix("net")?.parse().ok()?;
    let index = number.checked_add(1)?;
    // Numbers have one way to be written.
    (name_of(index) == name).then_some(index)
}

/// The scope of an interface of this name, as it can be written behind an address.
pub fn scope_of_name(name: &str) -> Option<u32> {
    index_of(name).map(binding::scope_of)
}

impl Network {
    /// The index and the interface of a name.
    ///
    /// # Errors
    /// [`Error::NoInterface`] when there is none.
    pub fn named(&self, name: &str) -> Result<(usize, &'static Interface)> {
        let index = index_of(name).ok_or(Error::NoInterface)?;
        let interface = self.interface(index).ok_or(Error::NoInterface)?;
        Ok((index, interface))
    }

    /// How many interfaces there are, with the loopback.
    pub fn interface_count(&self) -> usize {
        self.interfaces.len()
    }

    /// Gives an interface with all its lanes to a core for good, with an address.
    ///
    /// # Errors
    /// - [`Error::NoInterface`]: there is none at the index.
    /// - [`Error::NoSuchCore`].
    /// - [`Error::AlreadyDedicated`]: it was given to a core before.
    /// - [`Error::NotSupported`]: it is the loopback, or its interrupts cannot reach the core.
    /// - [`Error::OutOfMemory`].
    pub fn dedicate(&self, index: usize, core: usize, addressing: Addressing) -> Result<()> {
        let interface = self.interface(index).ok_or(Error::NoInterface)?;
        if index == LOOPBACK {
            return Err(Error::NotSupported);
        }
        let home = core_local::get(core).ok_or(Error::NoSuchCore)?;
        if !interface.claim() {
            return Err(Error::AlreadyDedicated);
        }
        let mut lanes = interface.lanes().into_iter().enumerate();
        let result = lanes.try_for_each(|(number, lane)| move_lane((index, number), lane, home));
        if result.is_err() {
            interface.give_up_claim();
            return result;
        }
        let mut stack = interface.lock();
        match addressing {
            Addressing::Keep => {}
            Addressing::Dhcp => stack.start_dhcp(clock::now_ns()),
            Addressing::Static(address) => {
                stack.stop_dhcp();
                stack.set_address(Some(address), clock::now_ns());
                interface::report(interface, &stack, "the program");
                drop(stack);
                super::tell_address_change();
            }
        }
        Ok(())
    }
}

/// Gives a lane of an interface to a core.
fn move_lane(
    place: (usize, usize),
    lane: &'static Interface,
    home: &'static CoreLocal,
) -> Result<()> {
    let core = home.index();
    if core == lane.core() {
        return Ok(());
    }
    // Registered first, so that nothing that the line announces there finds nobody.
    if core == scheduler::current_core() {
        lane.register();
    } else {
        let thread = lanes::register_on(core, place).map_err(|_| Error::OutOfMemory)?;
        thread.join();
    }
    match lane.move_to(home) {
        true => Ok(()),
        false => Err(Error::NotSupported),
    }
}

#[cfg(test)]
mod tests {
    use super::{index_of, name_of};

    #[test]
    fn a_name_and_an_index_lead_to_each_other_and_other_names_to_nothing() {
        for index in [0, 1, 2, 11, 64] {
            assert_eq!(index_of(&name_of(index)), Some(index));
        }
        assert_eq!((name_of(0).as_str(), name_of(1).as_str()), ("lo", "net0"));
        for name in [
            "",
            "net",
            "net00",
            "net+1",
            "net-1",
            "eth0",
            "lo0",
            "net18446744073709551615",
        ] {
            assert_eq!(index_of(name), None, "{name}");
        }
    }
}
