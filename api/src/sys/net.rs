//! Interfaces and services (`kernel/src/abi/native/net.rs`).

use std::ffi::c_int;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// What there is to know of an interface. Addresses are numbers whose first byte is the highest; 0 is none.
#[repr(C)]
#[derive(Default)]
pub(crate) struct InterfaceInfo {
    pub(crate) name: [u8; 16],
    pub(crate) driver: [u8; 16],
    pub(crate) mac: [u8; 6],
    pub(crate) is_dedicated: bool,
    pub(crate) prefix: u8,
    pub(crate) core: u32,
    pub(crate) address: u32,
    pub(crate) gateway: u32,
    pub(crate) queues: u32,
}

/// How a dedicated interface gets its address: 0, as it is; 1, by DHCP; 2, the one that follows.
#[repr(C)]
pub(crate) struct Addressing {
    pub(crate) kind: u32,
    pub(crate) address: u32,
    pub(crate) prefix: u32,
    pub(crate) gateway: u32,
}

/// An answer to a ping.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Pong {
    pub(crate) round_trip_ns: u64,
    pub(crate) ttl: u32,
}

/// What an interface has counted since it was started.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Frames received.
    pub received_frames: u64,
    /// Bytes of these.
    pub received_bytes: u64,
    /// Frames handed to the device.
    pub sent_frames: u64,
    /// Bytes of these.
    pub sent_bytes: u64,
    /// Frames received that are damaged, or of a protocol that is not spoken here.
    pub dropped_unusable: u64,
    /// Frames to be sent that the device had no free buffer for, for too long. TCP sends them again, but for answers to requests that went wrong.
    pub dropped_no_buffer: u64,
    /// Requests for connections to ports where nobody listens: they were refused.
    pub refused: u64,
    /// Requests for connections whose listener has too many waiting to be accepted. The peer asks again.
    pub dropped_backlog: u64,
    /// Requests for connections for which there was no room. The peer asks again.
    pub dropped_no_room: u64,
    /// Datagrams for ports that nobody has.
    pub dropped_no_port: u64,
    /// Connections that there are now, those that are closing included.
    pub connections: u64,
    /// Datagrams whose socket had no room for more, because its program reads too slowly.
    pub dropped_inbox: u64,
    /// Parts of packets that did not fit, overlapped, or whose packet never was whole.
    pub dropped_fragments: u64,
    /// Packets that waited in vain for the hardware address of their next station, or found no room to wait.
    pub dropped_no_neighbor: u64,
    /// Segments for which there was no memory.
    pub dropped_no_memory: u64,
    /// Segments outside of windows, of old times, or of no connection.
    pub dropped_segments: u64,
    /// Messages that were not sent because there were too many: errors, and challenges of TCP.
    pub unsaid: u64,
    /// Segments sent again, and answers to requests for connections: something was lost on its way, there or back.
    pub retransmitted: u64,
    /// Frames, and a connection's next segments, that waited for a free buffer of the device. They were sent later.
    pub waited_for_buffer: u64,
    /// Connections that were broken off for others, since there were too many (`docs/network.md`, "Memory").
    pub gave_way: u64,
}

/// A service's connections, in the kernel.
#[repr(C)]
struct KernelService {
    _private: [u8; 0],
}

/// What stops a service from outside, in the kernel.
#[repr(C)]
struct KernelEvents {
    _private: [u8; 0],
}

#[repr(C)]
struct Parts {
    service: *mut KernelService,
    events: *const KernelEvents,
    core: u32,
    port: u32,
}

/// A piece of news.
#[repr(C)]
struct Event {
    kind: u32,
    connection: u32,
    /// What was received, in bytes; or why it ended.
    value: usize,
    /// Where the bytes are that were received, until the next piece of news.
    data: *const u8,
}

/// A piece of news, as who serves is told.
pub(crate) struct News<'a> {
    pub(crate) kind: u32,
    pub(crate) connection: u32,
    /// Why it ended.
    pub(crate) value: usize,
    /// What was received.
    pub(crate) data: &'a [u8],
}

/// An address of either version: its bytes (of IPv4, the first four), its scope, and its port.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Address {
    bytes: [u8; 16],
    scope: u32,
    port: u16,
    /// The prefix's length, of an interface's own address.
    pub(crate) prefix: u8,
    is_v6: bool,
}

/// The ends of a connection.
#[repr(C)]
#[derive(Default)]
struct Ends {
    local: Address,
    peer: Address,
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let mut bytes = [0; 16];
        let scope = match address {
            SocketAddr::V4(v4) => {
                bytes[..4].copy_from_slice(&v4.ip().octets());
                0
            }
            SocketAddr::V6(v6) => {
                bytes = v6.ip().octets();
                v6.scope_id()
            }
        };
        Self {
            bytes,
            scope,
            port: address.port(),
            prefix: 0,
            is_v6: address.is_ipv6(),
        }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        let [a, b, c, d, ..] = address.bytes;
        match address.is_v6 {
            true => Self::V6(SocketAddrV6::new(
                Ipv6Addr::from(address.bytes),
                address.port,
                0,
                address.scope,
            )),
            false => Self::new(Ipv4Addr::new(a, b, c, d).into(), address.port),
        }
    }
}

pub(crate) const ACCEPTED: u32 = 0;
pub(crate) const RECEIVED: u32 = 1;
pub(crate) const WRITABLE: u32 = 2;
pub(crate) const ENDED: u32 = 3;
pub(crate) const TIMED_OUT: u32 = 4;
pub(crate) const STOPPED: u32 = 5;

mod c {
    use super::{
        Address, Addressing, Ends, Event, InterfaceInfo, KernelEvents, KernelService, Parts, Pong,
        Statistics,
    };
    use std::ffi::c_int;

    unsafe extern "C" {
        pub(super) safe fn toro_net_interface_count() -> isize;
        pub(super) fn toro_net_interface(index: usize, info: *mut InterfaceInfo) -> c_int;
        pub(super) fn toro_net_dedicate(
            index: usize,
            core: usize,
            addressing: *const Addressing,
        ) -> c_int;
        pub(super) fn toro_net_ping(
            address: *const Address,
            len: usize,
            timeout_ns: u64,
            pong: *mut Pong,
        ) -> c_int;
        pub(super) fn toro_net_addresses(
            index: usize,
            addresses: *mut Address,
            count: usize,
        ) -> isize;
        pub(super) fn toro_net_service_accepted(service: *mut KernelService, ends: *mut Ends);
        pub(super) fn toro_net_statistics(index: usize, statistics: *mut Statistics) -> c_int;
        pub(super) fn toro_net_service_new(
            index: usize,
            queue: usize,
            port: u16,
            parts: *mut Parts,
        ) -> c_int;
        pub(super) fn toro_net_service_next(service: *mut KernelService, event: *mut Event);
        pub(super) fn toro_net_service_send(
            service: *mut KernelService,
            connection: u32,
            data: *const u8,
            len: usize,
            is_static: bool,
        ) -> c_int;
        pub(super) fn toro_net_service_waiting(
            service: *mut KernelService,
            connection: u32,
        ) -> usize;
        pub(super) fn toro_net_service_timeout(
            service: *mut KernelService,
            connection: u32,
            timeout_ns: u64,
        );
        pub(super) fn toro_net_service_close(
            service: *mut KernelService,
            connection: u32,
            is_abrupt: bool,
        );
        pub(super) fn toro_net_service_free(service: *mut KernelService);
        pub(super) fn toro_net_service_stop(events: *const KernelEvents);
        pub(super) fn toro_net_events_free(events: *const KernelEvents);
    }
}

/// The kernel's answer: 0, or the `errno` of what went wrong.
fn checked(answer: c_int) -> Result<(), i32> {
    match answer {
        0.. => Ok(()),
        error => Err(-error),
    }
}

/// How many interfaces there are, with the loopback.
pub(crate) fn interface_count() -> Result<usize, i32> {
    let count = c::toro_net_interface_count();
    usize::try_from(count).map_err(|_| -count as i32)
}

/// Describes the interface at an index.
pub(crate) fn interface(index: usize) -> Result<InterfaceInfo, i32> {
    let mut info = InterfaceInfo::default();
    // SAFETY: the place is written by the call only.
    checked(unsafe { c::toro_net_interface(index, &raw mut info) }).map(|()| info)
}

/// The addresses of an interface, of both versions.
pub(crate) fn addresses(index: usize) -> Result<Vec<Address>, i32> {
    /// More than an interface may have.
    const MOST: usize = 64;
    let mut addresses = vec![Address::default(); MOST];
    // SAFETY: the places are written by the call only.
    let count = unsafe { c::toro_net_addresses(index, addresses.as_mut_ptr(), MOST) };
    let count = usize::try_from(count).map_err(|_| -count as i32)?;
    addresses.truncate(count);
    Ok(addresses)
}

/// Gives an interface to a core.
pub(crate) fn dedicate(index: usize, core: usize, addressing: &Addressing) -> Result<(), i32> {
    // SAFETY: it is read by the call only.
    checked(unsafe { c::toro_net_dedicate(index, core, addressing) })
}

/// Sends an echo request and waits for the answer.
pub(crate) fn ping(address: SocketAddr, len: usize, timeout: Duration) -> Result<Pong, i32> {
    let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let mut pong = Pong::default();
    let address = Address::from(address);
    // SAFETY: the address is read and the place written by the call only.
    checked(unsafe { c::toro_net_ping(&raw const address, len, timeout_ns, &raw mut pong) })
        .map(|()| pong)
}

/// What an interface has counted.
pub(crate) fn statistics(index: usize) -> Result<Statistics, i32> {
    let mut statistics = Statistics::default();
    // SAFETY: the place is written by the call only.
    checked(unsafe { c::toro_net_statistics(index, &raw mut statistics) }).map(|()| statistics)
}

/// A service; it is used by the thread that has it.
pub(crate) struct Service(Connections);

/// What can be done with a service's connections.
pub(crate) struct Connections {
    service: *mut KernelService,
}

// SAFETY: the kernel asks that one thread at a time uses it, not which.
unsafe impl Send for Connections {}

/// What stops a service.
pub(crate) struct Stopper {
    events: *const KernelEvents,
}

// SAFETY: the kernel's object behind it is made to be used from all cores.
unsafe impl Send for Stopper {}
// SAFETY: as above.
unsafe impl Sync for Stopper {}

/// A new service, what stops it, its core and its port.
pub(crate) fn new_service(
    index: usize,
    queue: usize,
    port: u16,
) -> Result<(Service, Stopper, usize, u16), i32> {
    let mut parts = Parts {
        service: std::ptr::null_mut(),
        events: std::ptr::null(),
        core: 0,
        port: 0,
    };
    // SAFETY: the place is written by the call only.
    checked(unsafe { c::toro_net_service_new(index, queue, port, &raw mut parts) })?;
    let service = Service(Connections {
        service: parts.service,
    });
    let stopper = Stopper {
        events: parts.events,
    };
    Ok((service, stopper, parts.core as usize, parts.port as u16))
}

impl Service {
    /// Waits for one piece of news after the other and hands each to `handle`, until the service is stopped.
    pub(crate) fn serve(mut self, mut handle: impl FnMut(&mut Connections, News<'_>)) {
        let mut event = Event {
            kind: STOPPED,
            connection: 0,
            value: 0,
            data: std::ptr::null(),
        };
        loop {
            // SAFETY: this thread is the service's one user, as it has it; the place is written by the call only.
            unsafe { c::toro_net_service_next(self.0.service, &raw mut event) };
            let data = match event.kind {
                STOPPED => return,
                // SAFETY: the kernel has written where so many bytes are, and changes nothing of them before it is asked for the next
                // piece of news, which only the line above does: `Connections` cannot.
                RECEIVED => unsafe { std::slice::from_raw_parts(event.data, event.value) },
                _ => &[],
            };
            handle(
                &mut self.0,
                News {
                    kind: event.kind,
                    connection: event.connection,
                    value: event.value,
                    data,
                },
            );
        }
    }
}

impl Connections {
    /// The ends of the connection that the last piece of news accepted: ours and the peer's.
    pub(crate) fn accepted(&mut self) -> (SocketAddr, SocketAddr) {
        let mut ends = Ends::default();
        // SAFETY: this is the service's one user, as it is borrowed mutably; the place is written by the call only.
        unsafe { c::toro_net_service_accepted(self.service, &raw mut ends) };
        (ends.local.into(), ends.peer.into())
    }

    /// Sends bytes, which are copied as far as they must wait.
    #[inline]
    pub(crate) fn send(&mut self, connection: u32, data: &[u8]) -> Result<(), i32> {
        // SAFETY: as in `accepted`; the bytes are read by the call only.
        checked(unsafe {
            c::toro_net_service_send(self.service, connection, data.as_ptr(), data.len(), false)
        })
    }

    /// Sends bytes that are there for ever.
    #[inline]
    pub(crate) fn send_static(&mut self, connection: u32, data: &'static [u8]) -> Result<(), i32> {
        // SAFETY: as in `accepted`; the bytes are there for ever.
        checked(unsafe {
            c::toro_net_service_send(self.service, connection, data.as_ptr(), data.len(), true)
        })
    }

    /// Bytes that wait to be sent.
    pub(crate) fn waiting(&mut self, connection: u32) -> usize {
        // SAFETY: as in `accepted`.
        unsafe { c::toro_net_service_waiting(self.service, connection) }
    }

    /// Sets or ends a timeout.
    pub(crate) fn set_timeout(&mut self, connection: u32, timeout: Option<Duration>) {
        let timeout_ns = timeout.map_or(u64::MAX, |timeout| {
            u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX - 1)
        });
        // SAFETY: as in `accepted`.
        unsafe { c::toro_net_service_timeout(self.service, connection, timeout_ns) }
    }

    /// Closes a connection.
    pub(crate) fn close(&mut self, connection: u32, is_abrupt: bool) {
        // SAFETY: as in `accepted`.
        unsafe { c::toro_net_service_close(self.service, connection, is_abrupt) }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // SAFETY: it is the only user, and uses it no more.
        unsafe { c::toro_net_service_free(self.service) }
    }
}

impl Stopper {
    /// Has the service's next piece of news be its end.
    pub(crate) fn stop(&self) {
        // SAFETY: it is freed when this is dropped.
        unsafe { c::toro_net_service_stop(self.events) }
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        // SAFETY: it is used no more.
        unsafe { c::toro_net_events_free(self.events) }
    }
}
