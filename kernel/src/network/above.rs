//! The ports of this machine, as the engine of an interface sees them.

use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use tcpip::{Admission, Arrival, Parcel, Sockets, To, Tuple, Undelivered};

use super::binding;
use super::error::Error;
use super::lanes::Mail;
use super::ping::Pings;
use super::ports::{FourTuple, MAX_BACKLOG, Pending, Ports};
use crate::scheduler::Notifier;

/// What is above an engine.
pub(super) struct Above {
    /// Which of the network's interfaces this is.
    pub(super) index: usize,
    ports: Arc<Ports>,
    /// Echo requests, if there were any.
    pub(super) pings: Option<Pings>,
    /// The address that means all stations of the network.
    pub(super) broadcast: Option<Ipv4Addr>,
    /// Datagrams whose socket had no room for more.
    pub(super) inbox_full: u64,
    /// The other lanes of the interface, if it has several.
    pub(super) mail: Option<Mail>,
    /// Which of them this is.
    pub(super) lane: usize,
}

impl Above {
    /// For the interface at `index`.
    pub(super) fn new(index: usize, ports: Arc<Ports>) -> Self {
        Self {
            index,
            ports,
            pings: None,
            broadcast: None,
            inbox_full: 0,
            mail: None,
            lane: 0,
        }
    }

    /// Whether an address is a group's, or means all stations.
    fn is_for_many(&self, ip: IpAddr) -> bool {
        let is_broadcast = |ip: Ipv4Addr| ip.is_broadcast() || self.broadcast == Some(ip);
        ip.is_multicast() || matches!(ip, IpAddr::V4(ip) if is_broadcast(ip))
    }

    /// A number that nobody can guess.
    pub(super) fn random_u64(&self) -> u64 {
        self.ports.random_u64()
    }
}

impl Sockets for Above {
    type Holder = Arc<Notifier>;

    fn admits(&mut self, local: SocketAddr) -> Admission {
        self.ports.admits(local, self.index, self.lane)
    }

    fn accept(&mut self, slot: u32, tuple: &Tuple) -> Result<Arc<Notifier>, Admission> {
        let tuple = FourTuple::from_tuple(tuple, self.index);
        let listener = self.ports.listener(tuple.local, self.index, self.lane);
        let listener = listener.ok_or(Admission::Refused)?;
        // The backlog bounds requests. One that was answered is taken: a peer that believes to be connected would repeat itself only much later.
        if listener.waiting() >= MAX_BACKLOG {
            return Err(Admission::Full);
        }
        let notifier: Arc<Notifier> = Arc::default();
        let pending = Pending {
            interface: self.index,
            lane: self.lane,
            slot,
            tuple,
            notifier: notifier.clone(),
        };
        listener.push(pending).map_err(|_| Admission::Refused)?;
        Ok(notifier)
    }

    #[inline]
    fn notify(&mut self, _slot: u32, holder: &Arc<Notifier>) {
        holder.notify();
    }

    #[inline]
    fn take(&mut self, _slot: u32, holder: &Arc<Notifier>, bytes: &[u8]) -> bool {
        holder.offer(bytes)
    }

    fn deliver(&mut self, datagram: &Arrival<'_>) -> bool {
        let to = binding::end(datagram.local, self.index);
        let arrival = Arrival {
            local: to,
            remote: binding::end(datagram.remote, self.index),
            ..*datagram
        };
        if self.is_for_many(to.ip()) {
            let all = self.ports.mailboxes(to, arrival.remote, self.index);
            for mailbox in &all {
                self.inbox_full += u64::from(!mailbox.deliver(&arrival, self.index));
            }
            return !all.is_empty();
        }
        match self.ports.mailbox(to, arrival.remote, self.index) {
            Some(mailbox) => {
                self.inbox_full += u64::from(!mailbox.deliver(&arrival, self.index));
                true
            }
            None => false,
        }
    }

    fn undeliverable(&mut self, datagram: &Undelivered<'_>) {
        let remote = binding::end(datagram.remote, self.index);
        let local = binding::end(datagram.local, self.index);
        if let Some(mailbox) = self.ports.mailbox(local, remote, self.index) {
            mailbox.fail(&Undelivered {
                local,
                remote,
                ..*datagram
            });
        }
    }

    fn echoed(&mut self, from: IpAddr, hop_limit: u8, id: u16, sequence: u16, content: &[u8]) {
        if let Some(pings) = &mut self.pings {
            pings.answered(from, hop_limit, id, sequence, content);
        }
    }

    fn echo_failed(&mut self, sequence: u16, request: &Undelivered<'_>) {
        let (to, id) = (request.remote.ip(), request.local.port());
        if let Some(pings) = &mut self.pings {
            pings.failed(to, id, sequence, Error::from(request.error));
        }
        let (local, remote) = (
            binding::end(request.local, self.index),
            binding::end(request.remote, self.index),
        );
        if let Some(post) = self.ports.messages.get() {
            let request = Undelivered {
                local,
                remote,
                ..*request
            };
            post.echo_failed(&request, self.index);
        }
    }

    fn message(&mut self, message: &Arrival<'_>) {
        let arrival = Arrival {
            local: binding::end(message.local, self.index),
            remote: binding::end(message.remote, self.index),
            ..*message
        };
        if let Some(post) = self.ports.messages.get() {
            self.inbox_full += post.deliver(&arrival, self.index);
        }
    }

    fn hand_over(&mut self, to: To, parcel: Parcel) {
        if let Some(mail) = &self.mail {
            mail.send(to, parcel);
        }
    }

    fn ephemeral_port(&mut self, is_free: &dyn Fn(u16) -> bool) -> Option<u16> {
        self.ports.ephemeral_tcp(is_free)
    }
}
