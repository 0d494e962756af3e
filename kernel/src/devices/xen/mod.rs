//! Xen's paravirtual devices, which are all that a domain without a PC's devices (PVH) has: what they have in common.
//!
//! The device that a domain sees is one half, the frontend; the other is the backend, in another domain. They find each other in
//! XenStore, a tree of strings ([`store`], [`frontend`]). Then they share pages that the frontend's domain lends ([`grants`]), with a ring of
//! requests and answers in one of them ([`ring`]), and tell each other of news by events ([`events`]). [`watch`] hears what changes in XenStore
//! later, and so does [`shutdown`], which is the domain's power button. The devices themselves are with their kind: `network/xen`,
//! `block/xen`.
//!
//! Backends and XenStore are others' programs, and not believed: pages that are lent hold nothing else, are lent for ever, and what is in them is checked
//! like anything that comes from a device.

pub(crate) mod events;
pub(crate) mod frontend;
pub(crate) mod grants;
pub(crate) mod ring;
#[cfg(not(test))]
pub mod shutdown;
pub(crate) mod store;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(not(test))]
pub(crate) mod watch;

use core::fmt;

use crate::memory::OutOfMemory;

/// Why a device of Xen's did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// XenStore does not answer, or not with sense.
    Store(store::Error),
    /// The backend does not get ready.
    Backend,
    /// What the backend says of itself cannot be.
    Nonsense,
    /// Xen gives no event channel, or cannot interrupt by it.
    Events,
    /// No memory, or no room in the table of what is lent.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Backend => f.write_str("its backend does not get ready"),
            Self::Nonsense => f.write_str("its backend does not describe it"),
            Self::Events => f.write_str("Xen has no events for it"),
            Self::OutOfMemory => f.write_str("out of memory"),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}
