//! Groups that a socket has joined, and how it speaks to groups.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use crate::arch::clock;
use crate::network::Network;
use crate::network::binding;
use crate::network::error::{Error, Result};
use crate::sync::SpinLock;

/// Groups that one socket may join.
const MAX_GROUPS: usize = 64;

/// What a socket has to do with groups.
pub struct Groups {
    joined: SpinLock<Vec<(IpAddr, usize)>>,
    /// `IP_MULTICAST_TTL`, `IPV6_MULTICAST_HOPS`.
    pub hop_limit: AtomicU8,
    /// `IP_MULTICAST_LOOP`, `IPV6_MULTICAST_LOOP`: this machine hears what it says.
    pub is_looped: AtomicBool,
    /// `IP_MULTICAST_IF`, `IPV6_MULTICAST_IF`: the scope of the interface to speak by; 0: none in particular.
    pub scope: AtomicU32,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            joined: SpinLock::new(Vec::new()),
            hop_limit: AtomicU8::new(1),
            is_looped: AtomicBool::new(true),
            scope: AtomicU32::new(0),
        }
    }
}

impl Groups {
    /// Hears a group on the interface at an index from now on.
    ///
    /// # Errors
    /// - [`Error::Invalid`]: it is no group.
    /// - [`Error::AddressInUse`]: it was joined there before.
    /// - [`Error::QueueFull`]: too many are.
    pub(super) fn join(
        &self,
        network: &'static Network,
        group: IpAddr,
        index: usize,
    ) -> Result<()> {
        if !group.is_multicast() {
            return Err(Error::Invalid);
        }
        let interface = network.interface(index).ok_or(Error::NoDevice)?;
        interface.start();
        let mut joined = self.joined.lock();
        if joined.contains(&(group, index)) {
            return Err(Error::AddressInUse);
        }
        if joined.len() >= MAX_GROUPS {
            return Err(Error::QueueFull);
        }
        let mut stack = interface.lock();
        stack
            .join_group(group, clock::now_ns())
            .map_err(|_| Error::QueueFull)?;
        drop(stack);
        joined.push((group, index));
        Ok(())
    }

    /// Takes a joining back: on one interface, or wherever it was.
    ///
    /// # Errors
    /// [`Error::AddressNotAvailable`] when there was none.
    pub(super) fn leave(
        &self,
        network: &'static Network,
        group: IpAddr,
        index: Option<usize>,
    ) -> Result<()> {
        let mut joined = self.joined.lock();
        let at = joined
            .iter()
            .position(|(known, at)| *known == group && index.is_none_or(|index| index == *at))
            .ok_or(Error::AddressNotAvailable)?;
        let (_, index) = joined.swap_remove(at);
        if let Some(interface) = network.interface(index) {
            interface.lock().leave_group(group, clock::now_ns());
        }
        Ok(())
    }

    /// Leaves them all.
    pub(super) fn leave_all(&self, network: &'static Network) {
        while let Some((group, index)) = self.joined.lock().pop() {
            if let Some(interface) = network.interface(index) {
                interface.lock().leave_group(group, clock::now_ns());
            }
        }
    }

    /// The interface to speak by, if one was chosen.
    pub(super) fn interface(&self) -> Option<usize> {
        binding::index_of_scope(self.scope.load(Ordering::Relaxed))
    }
}
