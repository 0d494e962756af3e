//! The ports of this machine, as the engine of an interface sees them.

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

use tcpip::{Admission, Sockets, Tuple};

use super::error::Error;
use super::ping::Pings;
use super::ports::{FourTuple, Pending, Ports};
use crate::scheduler::Notifier;

/// What is above an engine.
pub(super) struct Above {
    /// Which of the network's interfaces this is.
    index: usize,
    ports: Arc<Ports>,
    /// Echo requests, if there were any.
    pub(super) pings: Option<Pings>,
}

impl Above {
    /// For the interface at `index`.
    pub(super) fn new(index: usize, ports: Arc<Ports>) -> Self {
        Self {
            index,
            ports,
            pings: None,
        }
    }

    /// A number that nobody can guess.
    pub(super) fn random_u64(&self) -> u64 {
        self.ports.random_u64()
    }
}

impl Sockets for Above {
    type Holder = Arc<Notifier>;

    fn admits(&mut self, local: SocketAddr) -> Admission {
        let SocketAddr::V4(local) = local else {
            return Admission::Refused;
        };
        self.ports.admits(local, self.index)
    }

    fn accept(&mut self, slot: u32, tuple: &Tuple) -> Option<Arc<Notifier>> {
        let tuple = FourTuple::from_tuple(tuple)?;
        let listener = self.ports.listener(tuple.local, self.index)?;
        let notifier: Arc<Notifier> = Arc::default();
        let pending = Pending {
            interface: self.index,
            slot,
            tuple,
            notifier: notifier.clone(),
        };
        listener.push(pending).ok()?;
        Some(notifier)
    }

    #[inline]
    fn notify(&mut self, _slot: u32, holder: &Arc<Notifier>) {
        holder.notify();
    }

    fn deliver(&mut self, local: SocketAddr, remote: SocketAddr, payload: &[u8]) -> bool {
        let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (local, remote) else {
            return false;
        };
        match self.ports.mailbox(local) {
            Some(mailbox) => {
                mailbox.deliver(remote, payload);
                true
            }
            None => false,
        }
    }

    fn undeliverable(&mut self, local: SocketAddr, remote: SocketAddr, error: tcpip::Error) {
        if let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (local, remote)
            && let Some(mailbox) = self.ports.mailbox(local)
        {
            mailbox.fail(remote, error.into());
        }
    }

    fn echoed(&mut self, from: IpAddr, hop_limit: u8, id: u16, sequence: u16, content: &[u8]) {
        if let Some(pings) = &mut self.pings {
            pings.answered(from, hop_limit, id, sequence, content);
        }
    }

    fn echo_failed(&mut self, to: IpAddr, id: u16, sequence: u16, error: tcpip::Error) {
        if let Some(pings) = &mut self.pings {
            pings.failed(to, id, sequence, Error::from(error));
        }
    }

    fn ephemeral_port(&mut self, is_free: &dyn Fn(u16) -> bool) -> Option<u16> {
        self.ports.ephemeral_tcp(is_free)
    }
}
