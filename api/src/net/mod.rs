//! Network interfaces that belong to cores, services with callbacks, and ping.
//!
//! Interfaces have names: `net0`, `net1`, … in the order in which their devices were found, and `lo`. Until a program says otherwise, all
//! belong to the core that used the network first; [`dedicate`] gives one to another core, once and for good. Its interrupts and its
//! protocol stack are there from then on. Sockets of `std` go on working from any core, next to services.
//!
//! A [`Service`] answers the connections of one port of one interface by callbacks on the interface's core, with no thread for a
//! connection. See [`serve`]. A card with several queues is served by as many cores; [`serve_each`] has a service on each of them.
//!
//! ```no_run
//! use toro::net::{self, Connection, Service};
//!
//! /// Sends back what it receives (RFC 862).
//! struct Echo;
//!
//! impl Service for Echo {
//!     type State = ();
//!
//!     fn on_accept(&mut self, _: &mut Connection<'_>) -> Option<()> {
//!         Some(())
//!     }
//!
//!     fn on_receive(&mut self, connection: &mut Connection<'_>, _: &mut (), data: &[u8]) {
//!         if connection.send(data).is_err() {
//!             connection.abort();
//!         }
//!     }
//! }
//!
//! # fn main() -> toro::error::Result<()> {
//! net::dedicate("net0", 0, net::Addressing::Dhcp)?;
//! net::serve("net0", 7, Echo)?.join()
//! # }
//! ```

mod interface;
mod ping;
mod service;
mod statistics;

pub use interface::{Addressing, Interface, dedicate, interface, interfaces};
pub use ping::{MAX_PING_BYTES, PingError, Pong, ping, ping_scoped};
pub use service::{Close, Connection, Handle, Service, serve, serve_each};
pub use statistics::{Statistics, print_statistics, statistics};

/// `errno` as the kernel numbers them (Linux, `asm-generic/errno-base.h`, `asm-generic/errno.h`).
mod errno {
    pub(super) const ENXIO: i32 = 6;
    pub(super) const ENOMEM: i32 = 12;
    pub(super) const EBUSY: i32 = 16;
    pub(super) const ENODEV: i32 = 19;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const EOPNOTSUPP: i32 = 95;
    pub(super) const EMSGSIZE: i32 = 90;
    pub(super) const EADDRINUSE: i32 = 98;
    pub(super) const ENETDOWN: i32 = 100;
    pub(super) const ENETUNREACH: i32 = 101;
    pub(super) const ENOBUFS: i32 = 105;
    pub(super) const ETIMEDOUT: i32 = 110;
    pub(super) const EHOSTUNREACH: i32 = 113;
}
