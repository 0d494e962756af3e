//! Interfaces and services (`api/src/sys/net.rs`).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::ffi::c_int;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::abi::socket::start_network;
use crate::error::{Errno, Result};
use crate::network::Network;
use crate::network::binding;
use crate::network::config::Address;
use crate::network::dedicate::{Addressing, name_of};
use crate::network::service::{End, Event, Events, Service};
use crate::network::statistics::Statistics;

/// What there is to know of an interface. Addresses are numbers whose first byte is the highest; 0 is none.
#[repr(C)]
pub(super) struct InterfaceInfo {
    name: [u8; 16],
    driver: [u8; 16],
    mac: [u8; 6],
    is_dedicated: bool,
    prefix: u8,
    core: u32,
    address: u32,
    gateway: u32,
    queues: u32,
}

/// How a dedicated interface gets its address.
#[repr(C)]
pub(super) struct AddressingC {
    /// 0: as it is. 1: by DHCP. 2: the one that follows.
    kind: u32,
    address: u32,
    prefix: u32,
    gateway: u32,
}

/// A new service.
#[repr(C)]
pub(super) struct ServiceParts {
    service: *mut Service,
    events: *const Events,
    core: u32,
    port: u32,
}

/// A piece of news of a service; see [`Event`].
#[repr(C)]
pub(super) struct EventC {
    kind: u32,
    connection: u32,
    /// What was received, in bytes; or why it ended.
    value: usize,
    /// Where the bytes are that were received, until the next piece of news.
    data: *const u8,
}

/// An address of either version: its bytes (of IPv4, the first four), its scope, and its port.
#[repr(C)]
pub(super) struct AddressC {
    bytes: [u8; 16],
    scope: u32,
    port: u16,
    /// The prefix's length, of an interface's own address.
    prefix: u8,
    is_v6: bool,
}

/// The ends of a connection.
#[repr(C)]
pub(super) struct EndsC {
    local: AddressC,
    remote: AddressC,
}

impl AddressC {
    fn new(address: SocketAddr, prefix: u8) -> Self {
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
            prefix,
            is_v6: address.is_ipv6(),
        }
    }

    fn read(&self) -> SocketAddr {
        let [a, b, c, d, ..] = self.bytes;
        binding::canonical(match self.is_v6 {
            true => SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(self.bytes),
                self.port,
                0,
                self.scope,
            )),
            false => SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), self.port),
        })
    }
}

const ACCEPTED: u32 = 0;
const RECEIVED: u32 = 1;
const WRITABLE: u32 = 2;
const ENDED: u32 = 3;
const TIMED_OUT: u32 = 4;
const STOPPED: u32 = 5;

fn answer(result: Result<()>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(Errno(number)) => -number,
    }
}

fn text(from: &str) -> [u8; 16] {
    let mut text = [0; 16];
    let len = from.len().min(15);
    text[..len].copy_from_slice(&from.as_bytes()[..len]);
    text
}

/// How many interfaces there are, with the loopback.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_net_interface_count() -> isize {
    start_network().interface_count() as isize
}

/// Describes the interface at an index.
///
/// # Safety
/// 1. `info` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_interface(
    index: usize,
    info: *mut InterfaceInfo,
) -> c_int {
    let network = start_network();
    answer((|| {
        let described = describe(network, index)?;
        // SAFETY: (1).
        unsafe { info.write(described) };
        Ok(())
    })())
}

/// The addresses of the interface at an index, of both versions: as many as there is room for; how many there are.
///
/// # Safety
/// 1. `count` addresses can be written at `addresses`.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_addresses(
    index: usize,
    addresses: *mut AddressC,
    count: usize,
) -> isize {
    let write = || -> Result<usize> {
        let interface = start_network().interface(index);
        let interface = interface.ok_or(Errno(libc::ENODEV))?;
        let stack = interface.lock();
        let mut total = 0;
        for (at, (ip, prefix)) in stack.addresses().enumerate() {
            total = at + 1;
            if at < count {
                let address = binding::end(SocketAddr::new(ip, 0), index);
                // SAFETY: (1).
                unsafe { addresses.add(at).write(AddressC::new(address, prefix)) };
            }
        }
        Ok(total)
    };
    match write() {
        Ok(total) => total as isize,
        Err(Errno(number)) => -(number as isize),
    }
}

fn describe(network: &'static Network, index: usize) -> Result<InterfaceInfo> {
    let interface = network.interface(index).ok_or(Errno(libc::ENODEV))?;
    let stack = interface.lock();
    let address = stack.address();
    Ok(InterfaceInfo {
        name: text(&name_of(index)),
        driver: text(interface.driver),
        mac: interface.mac,
        is_dedicated: interface.is_dedicated(),
        prefix: address.map_or(0, |address| address.prefix),
        core: interface.core() as u32,
        address: address.map_or(0, |address| address.ip.to_bits()),
        gateway: address
            .and_then(|address| address.gateway)
            .map_or(0, |gateway| gateway.to_bits()),
        queues: interface.lanes().len() as u32,
    })
}

/// Gives the interface at an index to a core.
///
/// # Safety
/// 1. `addressing` can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_dedicate(
    index: usize,
    core: usize,
    addressing: *const AddressingC,
) -> c_int {
    // SAFETY: (1).
    let wanted = unsafe { &*addressing };
    let network = start_network();
    answer((|| {
        let addressing = match wanted.kind {
            0 => Addressing::Keep,
            1 => Addressing::Dhcp,
            _ => Addressing::Static(static_address(wanted)?),
        };
        Ok(network.dedicate(index, core, addressing)?)
    })())
}

fn static_address(wanted: &AddressingC) -> Result<Address> {
    let is_usable =
        |ip: &Ipv4Addr| !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast();
    let ip = Ipv4Addr::from_bits(wanted.address);
    if !is_usable(&ip) || ip.is_loopback() || !(1..=32).contains(&wanted.prefix) {
        return Err(Errno(libc::EINVAL));
    }
    let gateway = match wanted.gateway {
        0 => None,
        gateway => Some(
            Some(Ipv4Addr::from_bits(gateway))
                .filter(is_usable)
                .ok_or(Errno(libc::EINVAL))?,
        ),
    };
    Ok(Address {
        ip,
        prefix: wanted.prefix as u8,
        gateway,
        dns: vec![],
    })
}

/// Makes a service at a port of the interface at an index, on the core of one of its queues. Its service belongs to the thread that will use it, its events to anybody.
///
/// # Safety
/// 1. `parts` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_service_new(
    index: usize,
    queue: usize,
    port: u16,
    parts: *mut ServiceParts,
) -> c_int {
    let network = start_network();
    answer((|| {
        let service = Service::new(network, index, queue, port)?;
        let made = ServiceParts {
            events: Arc::into_raw(service.events()),
            core: network.lane(index, queue).map_or(0, |one| one.core()) as u32,
            port: u32::from(service.port()),
            service: Box::into_raw(Box::new(service)),
        };
        // SAFETY: (1).
        unsafe { parts.write(made) };
        Ok(())
    })())
}

/// Waits for a service's next piece of news.
///
/// # Safety
/// 1. `service` is from [`toro_net_service_new`], is not freed, and is used by this thread alone.
/// 2. `event` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_service_next(service: *mut Service, event: *mut EventC) {
    // SAFETY: (1).
    let service = unsafe { &mut *service };
    let news = match service.next_event() {
        Event::Received { connection, len } => EventC {
            kind: RECEIVED,
            connection,
            value: len,
            // Until the next call the service changes nothing of it.
            data: service.received().as_ptr(),
        },
        other => event_c(other),
    };
    // SAFETY: (2).
    unsafe { event.write(news) };
}

/// A piece of news without bytes.
#[inline(never)]
fn event_c(news: Event) -> EventC {
    let plain = |kind, connection, value| EventC {
        kind,
        connection,
        value,
        data: core::ptr::null(),
    };
    match news {
        Event::Accepted { connection } => plain(ACCEPTED, connection, 0),
        Event::Received { connection, len } => plain(RECEIVED, connection, len),
        Event::Writable { connection } => plain(WRITABLE, connection, 0),
        Event::Ended { connection, end } => {
            let reason = match end {
                End::Closed => 0,
                End::Reset => 1,
                End::Lost => 2,
            };
            plain(ENDED, connection, reason)
        }
        Event::TimedOut { connection } => plain(TIMED_OUT, connection, 0),
        Event::Stopped => plain(STOPPED, 0, 0),
    }
}

/// The ends of the connection that the last piece of news accepted.
///
/// # Safety
/// 1. `service` as in [`toro_net_service_next`].
/// 2. `ends` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_service_accepted(service: *mut Service, ends: *mut EndsC) {
    // SAFETY: (1).
    if let Some(tuple) = unsafe { &*service }.accepted() {
        let made = EndsC {
            local: AddressC::new(tuple.local, 0),
            remote: AddressC::new(tuple.remote, 0),
        };
        // SAFETY: (2).
        unsafe { ends.write(made) };
    }
}

/// Sends bytes on a connection; if `is_static`, they stay where they are for ever and need not be copied.
///
/// # Safety
/// 1. `service` as in [`toro_net_service_next`].
/// 2. `data` can be read for `len` bytes; for ever if `is_static`.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_service_send(
    service: *mut Service,
    connection: u32,
    data: *const u8,
    len: usize,
    is_static: bool,
) -> c_int {
    // SAFETY: (1), (2). A longer life than the call's is only used if `is_static`.
    let (service, data) = unsafe {
        (
            &mut *service,
            core::slice::from_raw_parts::<'static, u8>(data, len),
        )
    };
    let sent = service.send(connection, data, is_static.then_some(data));
    answer(sent.map_err(Errno::from))
}

/// Bytes of a connection that wait to be sent.
///
/// # Safety
/// 1. `service` as in [`toro_net_service_next`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_service_waiting(
    service: *mut Service,
    connection: u32,
) -> usize {
    // SAFETY: (1).
    unsafe { &mut *service }.waiting_bytes(connection)
}

/// Sets the timeout of a connection, in nanoseconds; `u64::MAX` is none.
///
/// # Safety
/// 1. `service` as in [`toro_net_service_next`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_service_timeout(
    service: *mut Service,
    connection: u32,
    timeout_ns: u64,
) {
    let timeout_ns = (timeout_ns != u64::MAX).then_some(timeout_ns);
    // SAFETY: (1).
    unsafe { &mut *service }.set_timeout(connection, timeout_ns);
}

/// Closes a connection.
///
/// # Safety
/// 1. `service` as in [`toro_net_service_next`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_service_close(
    service: *mut Service,
    connection: u32,
    is_abrupt: bool,
) {
    // SAFETY: (1).
    unsafe { &mut *service }.close(connection, is_abrupt);
}

/// Ends a service: its port is free, its connections are closed.
///
/// # Safety
/// 1. `service` is from [`toro_net_service_new`], and nobody uses it any more.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_service_free(service: *mut Service) {
    // SAFETY: (1).
    drop(unsafe { Box::from_raw(service) });
}

/// Asks a service to stop.
///
/// # Safety
/// 1. `events` is from [`toro_net_service_new`], and not freed.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_service_stop(events: *const Events) {
    // SAFETY: (1).
    unsafe { &*events }.stop();
}

/// Forgets the events of a service.
///
/// # Safety
/// 1. `events` is from [`toro_net_service_new`], and nobody uses it any more.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_events_free(events: *const Events) {
    // SAFETY: (1).
    drop(unsafe { Arc::from_raw(events) });
}

/// An answer to [`toro_net_ping`].
#[repr(C)]
pub(super) struct PongC {
    round_trip_ns: u64,
    ttl: u32,
}

/// Sends an echo request with `len` bytes of content, and waits for the answer.
///
/// # Safety
/// 1. `address` can be read.
/// 2. `pong` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_ping(
    address: *const AddressC,
    len: usize,
    timeout_ns: u64,
    pong: *mut PongC,
) -> c_int {
    // SAFETY: (1).
    let to = unsafe { &*address }.read();
    let network = start_network();
    answer((|| {
        let answered = network.ping(to, len, timeout_ns)?;
        let answered = PongC {
            round_trip_ns: answered.round_trip_ns,
            ttl: answered.ttl.into(),
        };
        // SAFETY: (2).
        unsafe { pong.write(answered) };
        Ok(())
    })())
}

/// What the interface at an index has counted.
///
/// # Safety
/// 1. `statistics` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_net_statistics(
    index: usize,
    statistics: *mut Statistics,
) -> c_int {
    let network = start_network();
    answer((|| {
        let interface = network.interface(index).ok_or(Errno(libc::ENODEV))?;
        let counted = interface.statistics();
        // SAFETY: (1).
        unsafe { statistics.write(counted) };
        Ok(())
    })())
}
