//! The connection of a TCP socket.

use alloc::boxed::Box;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::network::binding::Binding;
use crate::network::interface::Interface;
use crate::network::ports::FourTuple;
use crate::sync::{OnceCell, SpinLock};

/// A connection and where it is. One that could not be made may be followed by another one, which has its place if it goes by the same
/// interface.
pub(super) struct Stream {
    pub(super) interface: &'static Interface,
    /// Read and changed only while the interface is locked.
    pub(super) slot: AtomicU32,
    pub(super) ends: SpinLock<FourTuple>,
    /// What the program bound, whose port goes with the socket.
    pub(super) bound: Option<Binding>,
    /// The connection is by another interface, behind this one.
    pub(super) is_left: AtomicBool,
    pub(super) next: OnceCell<Box<Self>>,
}

impl Stream {
    pub(super) fn new(
        interface: &'static Interface,
        slot: u32,
        ends: FourTuple,
        bound: Option<Binding>,
    ) -> Self {
        Self {
            interface,
            slot: AtomicU32::new(slot),
            ends: SpinLock::new(ends),
            bound,
            is_left: AtomicBool::new(false),
            next: OnceCell::new(),
        }
    }

    #[inline]
    pub(super) fn slot(&self) -> u32 {
        self.slot.load(Ordering::Relaxed)
    }

    /// Its own address.
    pub(super) fn local(&self) -> SocketAddr {
        let FourTuple { local, .. } = *self.ends.lock();
        if !local.ip().is_unspecified() {
            return local;
        }
        // It may have had to wait for the machine's address.
        let mut stack = self.interface.lock();
        let tuple = stack.tuple(self.slot());
        tuple.map_or(local, |tuple| tuple.local)
    }

    pub(super) fn remote(&self) -> SocketAddr {
        self.ends.lock().remote
    }
}
