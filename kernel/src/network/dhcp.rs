//! The DHCP client (RFC 2131) of an interface: smoltcp's, in a socket set of its own.

use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Duration;

use super::config::Address;

/// The port of DHCP clients.
pub(super) const CLIENT_PORT: u16 = 68;

/// What the client found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// There is an address, or a changed one.
    Leased(Address),
    /// The lease is over.
    Lost,
}

/// The client.
pub(super) struct Dhcp {
    /// Holds its socket.
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
    /// Where its timer is set.
    pub(super) timer: Option<u64>,
}

impl Dhcp {
    /// A client that begins to look for a server.
    pub(super) fn new() -> Self {
        let mut socket = dhcpv4::Socket::new();
        // A server on the same machine answers at once, and a lost first packet should not cost ten seconds.
        let mut retry = socket.get_retry_config();
        retry.discover_timeout = Duration::from_secs(2);
        retry.initial_request_timeout = Duration::from_secs(2);
        socket.set_retry_config(retry);
        let mut set = SocketSet::new(vec![]);
        let handle = set.add(socket);
        Self {
            set,
            handle,
            timer: None,
        }
    }

    /// What has happened since the last call.
    pub(super) fn event(&mut self) -> Option<Event> {
        let socket: &mut dhcpv4::Socket = self.set.get_mut(self.handle);
        match socket.poll()? {
            dhcpv4::Event::Deconfigured => Some(Event::Lost),
            dhcpv4::Event::Configured(config) => {
                let is_usable = |address: &Ipv4Addr| {
                    !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast()
                };
                let ip = config.address.address();
                // The server is a stranger too: an address that no host can have is no lease.
                if !is_usable(&ip) {
                    return None;
                }
                Some(Event::Leased(Address {
                    ip,
                    prefix: config.address.prefix_len().min(32),
                    gateway: config.router.filter(is_usable),
                    dns: config
                        .dns_servers
                        .iter()
                        .copied()
                        .filter(is_usable)
                        .collect::<Vec<_>>(),
                }))
            }
        }
    }
}
