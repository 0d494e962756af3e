//! The version of IP of a socket. One of IPv6 speaks IPv4 too, unless it was told not to (RFC 3493, sections 3.7 and 5.3).

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::hints::Hints;
use crate::network::binding::{self, Binding};
use crate::network::error::{Error, Result};

/// The version of IP of a socket, and the interface that it keeps to.
pub struct Family {
    /// It was made for IPv6.
    pub is_v6: bool,
    /// `IPV6_V6ONLY`.
    pub is_only: AtomicBool,
    /// `SO_BINDTODEVICE`, `SO_BINDTOIFINDEX`: the scope of the one interface that it speaks and hears by; 0: none in particular.
    pub scope: AtomicU32,
    /// `IP_FREEBIND`, `IPV6_FREEBIND`: it may be bound to an address that this machine does not have, or not yet.
    pub is_bound_freely: AtomicBool,
    /// `IP_TRANSPARENT`, `IPV6_TRANSPARENT`, which allow the same.
    pub is_transparent: AtomicBool,
    /// `IP_BIND_ADDRESS_NO_PORT`: bound to an address alone, its port is chosen when it connects or listens.
    pub is_port_late: AtomicBool,
    /// What the program says of it besides.
    pub hints: Hints,
}

impl Family {
    /// Of a socket that was just made.
    pub(super) const fn new(is_v6: bool) -> Self {
        Self {
            is_v6,
            is_only: AtomicBool::new(false),
            scope: AtomicU32::new(0),
            is_bound_freely: AtomicBool::new(false),
            is_transparent: AtomicBool::new(false),
            is_port_late: AtomicBool::new(false),
            hints: Hints::new(),
        }
    }

    /// The index of the one interface that it keeps to.
    pub(super) fn device(&self) -> Option<usize> {
        binding::index_of_scope(self.scope.load(Ordering::Relaxed))
    }

    fn is_dual(&self) -> bool {
        self.is_v6 && !self.is_only.load(Ordering::Relaxed)
    }

    /// No address and no port.
    pub(super) const fn none(&self) -> SocketAddr {
        binding::none(self.is_v6)
    }

    /// What a socket is bound to that takes an address.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the address is of a version that it does not speak.
    pub(super) fn binding(&self, address: SocketAddr) -> Result<Binding> {
        let is_dual = self.is_dual();
        if address.is_ipv6() != self.is_v6 && !is_dual {
            return Err(Error::Invalid);
        }
        let is_all = address.is_ipv6() && address.ip().is_unspecified();
        Ok(Binding {
            address,
            is_dual: is_dual && is_all,
            device: self.device(),
        })
    }

    /// Whether it may be bound to an address that is not this machine's.
    pub(super) fn may_have_any(&self) -> bool {
        self.is_bound_freely.load(Ordering::Relaxed) || self.is_transparent.load(Ordering::Relaxed)
    }

    /// Whether it can speak to an address.
    ///
    /// # Errors
    /// [`Error::NetworkUnreachable`] when it cannot.
    pub(super) fn check(&self, address: SocketAddr) -> Result<()> {
        match address.is_ipv6() == self.is_v6 || self.is_dual() {
            true => Ok(()),
            false => Err(Error::NetworkUnreachable),
        }
    }
}
