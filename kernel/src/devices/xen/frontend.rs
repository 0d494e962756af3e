//! A device as it stands in XenStore, and how its two ends come together (Xen, xen/include/public/io/xenbus.h): each has a folder of its
//! own with what it says of itself, and the state that it is in.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;

use super::Error;
use super::store::{self, Store};
use crate::devices::patience::wait_until;

/// How long the other end may take to get ready.
const LIMIT_NS: u64 = 10_000_000_000;
/// Devices of a kind.
const MAX_DEVICES: usize = 16;

/// The states of an end (`XenbusState*`), as far as it is seen here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are the header's")]
pub(crate) enum State {
    InitWait = 2,
    Initialised = 3,
    Connected = 4,
    Closed = 6,
}

/// What a backend does, as far as its frontend is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// It waits for us, or gets ready.
    Starts,
    /// It has all that it wants.
    Works,
    /// It ends, or has ended, or there is none.
    Ends,
}

/// This domain's end of a device.
#[derive(Clone, Debug)]
pub(crate) struct Frontend {
    /// Its folder.
    path: String,
    /// That of the other end, and whose domain that is.
    backend: String,
    /// The other end's domain.
    pub(crate) domain: u16,
}

impl Frontend {
    /// All devices of a kind (`vif`, `vbd`), in the order of their numbers. One that XenStore does not say enough of is left out.
    pub(crate) fn find(store: &mut Store, kind: &str) -> Vec<Self> {
        let folder = format!("device/{kind}");
        let names = store.names(&folder).unwrap_or_default();
        let numbers = names.iter().filter_map(|name| name.parse::<u32>().ok());
        let mut numbers: Vec<u32> = numbers.take(MAX_DEVICES).collect();
        numbers.sort_unstable();
        let find = |number| Self::at(store, format!("{folder}/{number}")).ok();
        numbers.into_iter().filter_map(find).collect()
    }

    fn at(store: &mut Store, path: String) -> Result<Self, Error> {
        let backend = store.read(&format!("{path}/backend"))?;
        let domain = store.number(&format!("{path}/backend-id"))?;
        Ok(Self {
            backend: backend.trim_end_matches('\0').into(),
            domain: u16::try_from(domain).map_err(|_| Error::Nonsense)?,
            path,
        })
    }

    /// Its name in messages.
    pub(crate) fn name(&self) -> &str {
        &self.path
    }

    /// What our folder says, or the other end's.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub(crate) fn own(&self, store: &mut Store, key: &str) -> Result<String, store::Error> {
        store.read(&format!("{}/{key}", self.path))
    }

    /// A number that the other end says.
    ///
    /// # Errors
    /// As [`Store::number`].
    pub(crate) fn told(&self, store: &mut Store, key: &str) -> Result<u64, store::Error> {
        store.number(&format!("{}/{key}", self.backend))
    }

    /// A text that the other end says.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub(crate) fn told_text(&self, store: &mut Store, key: &str) -> Result<String, store::Error> {
        store.read(&format!("{}/{key}", self.backend))
    }

    /// Whether the other end says that it has something.
    pub(crate) fn has(&self, store: &mut Store, key: &str) -> bool {
        self.told(store, key) == Ok(1)
    }

    /// Says something of our end.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub(crate) fn say(
        &self,
        store: &mut Store,
        key: &str,
        value: impl Display,
    ) -> Result<(), store::Error> {
        store.write(&format!("{}/{key}", self.path), &format!("{value}"))
    }

    /// Our end is in this state now.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub(crate) fn enter(&self, store: &mut Store, state: State) -> Result<(), store::Error> {
        self.say(store, "state", state as u32)
    }

    /// Has [`Store::changes`] tell of the other end's states.
    ///
    /// # Errors
    /// As [`Store::watch`].
    pub(crate) fn watch(&self, store: &mut Store) -> Result<(), store::Error> {
        store.watch(&format!("{}/state", self.backend))
    }

    fn backend_state(&self, store: &mut Store) -> u64 {
        self.told(store, "state").unwrap_or(0)
    }

    /// What the other end does.
    pub(crate) fn backend(&self, store: &mut Store) -> Backend {
        match self.backend_state(store) {
            // Initialising, waiting, initialised; reconfiguring and reconfigured.
            1..=3 | 7 | 8 => Backend::Starts,
            4 => Backend::Works,
            _ => Backend::Ends,
        }
    }

    /// Waits until the other end, which is watched, is in this state or beyond it.
    ///
    /// # Errors
    /// [`Error::Backend`] when it does not come to that, or ends.
    pub(crate) fn await_backend(&self, store: &mut Store, state: State) -> Result<(), Error> {
        let mut seen = self.backend_state(store);
        let mut changes = store.changes();
        wait_until(LIMIT_NS, || {
            let is_heard = store.listen().is_ok();
            if store.changes() != changes {
                changes = store.changes();
                seen = self.backend_state(store);
            } else {
                store.rest();
            }
            !is_heard || seen >= state as u64
        });
        match seen {
            seen if seen >= state as u64 && seen <= State::Connected as u64 => Ok(()),
            _ => Err(Error::Backend),
        }
    }

    /// The other end is over: says that ours is, if anybody still knows of it.
    pub(crate) fn close(&self, store: &mut Store) {
        // What was taken away is not to come back by this.
        if self.own(store, "state").is_ok() {
            let _ = self.enter(store, State::Closed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Backend, Frontend, MAX_DEVICES, State};
    use crate::devices::xen::Error;
    use crate::devices::xen::tests::Server;

    fn add(server: &Server, number: u32) {
        let path = format!("device/vif/{number}");
        server.set(&format!("{path}/backend"), "/backend/vif");
        server.set(&format!("{path}/backend-id"), "7");
        server.set(&format!("{path}/state"), "1");
    }

    #[test]
    fn devices_are_found_in_order_and_those_without_an_other_end_are_not() {
        let (server, mut store) = Server::start();
        assert!(Frontend::find(&mut store, "vif").is_empty());
        for number in [10, 9, 0] {
            add(&server, number);
        }
        server.set("device/vif/x/backend", "/backend/vif");
        server.set("device/vif/3/backend", "/backend/vif");
        server.set("device/vif/4/backend", "/backend/vif");
        server.set("device/vif/4/backend-id", "65536");
        let found = Frontend::find(&mut store, "vif");
        let names: Vec<_> = found.iter().map(Frontend::name).collect();
        assert_eq!(names, ["device/vif/0", "device/vif/9", "device/vif/10"]);
        assert_eq!(found[0].domain, 7);
        for number in 0..60 {
            add(&server, number);
        }
        assert_eq!(Frontend::find(&mut store, "vif").len(), MAX_DEVICES);
    }

    #[test]
    fn the_other_end_is_waited_for_but_not_for_ever() {
        let (server, mut store) = Server::start();
        add(&server, 0);
        let front = Frontend::find(&mut store, "vif").remove(0);
        front.watch(&mut store).expect("watched");
        server.set("/backend/vif/state", "1");
        let wait = |store: &mut _| front.await_backend(store, State::InitWait);
        assert_eq!(wait(&mut store), Err(Error::Backend));
        assert_eq!(front.backend(&mut store), Backend::Starts);
        for (state, ready) in [("2", true), ("4", true), ("5", false), ("x", false)] {
            server.set("/backend/vif/state", state);
            assert_eq!(wait(&mut store).is_ok(), ready, "{state}");
        }
        assert_eq!(front.backend(&mut store), Backend::Ends);
        front.close(&mut store);
        assert_eq!(server.get("device/vif/0/state").as_deref(), Some("6"));
    }
}
