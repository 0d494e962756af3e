//! `/proc/net/tcp`, `udp` and `unix` and their kin (Linux: proc_net(5), Documentation/networking/proc_net_tcp.rst): sockets of the program, by the
//! numbers that `/proc/self/fd` shows, and connections that no program holds, with the number 0.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::net::{IpAddr, SocketAddr};

use tcpip::State;

use super::network::all;
use super::text;
use crate::abi::object::{self, Description};
use crate::abi::socket::connection::number;
use crate::abi::unix::UnixSocket;
use crate::error::Result;
use crate::network::binding;
use crate::network::ports::FourTuple;
use crate::network::socket::tcp::{Condition, TcpSocket};
use crate::network::socket::udp::{Protocol, UdpSocket};

/// Linux's `TCP_LISTEN`, and what it says of sockets for datagrams with a peer and without one.
const LISTENS: u8 = 10;
const HAS_PEER: u8 = 1;
const HAS_NONE: u8 = 7;
/// Rows of TCP and of UDP have so many columns, the line's end not counted.
const TCP_WIDTH: usize = 149;
const UDP_WIDTH: usize = 127;

/// A socket as a row shows it.
struct Row {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    unsent: usize,
    unread: usize,
    /// What names it; 0: no program holds it.
    number: u32,
}

/// An end of a connection: words as they lie in memory, shown as numbers of the machine.
struct End(SocketAddr, bool);

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(address, is_v6) = *self;
        let wide = match address.ip() {
            IpAddr::V4(ip) if !is_v6 => {
                write!(out, "{:08X}", u32::from_ne_bytes(ip.octets()))?;
                return write!(out, ":{:04X}", address.port());
            }
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        for word in wide.octets().as_chunks::<4>().0 {
            write!(out, "{:08X}", u32::from_ne_bytes(*word))?;
        }
        write!(out, ":{:04X}", address.port())
    }
}

/// Writes a row, as wide as Linux makes it.
fn write_row(
    out: &mut String,
    (at, row): (usize, &Row),
    is_v6: bool,
    (indent, width, end): (usize, usize, &str),
) -> fmt::Result {
    let begin = out.len();
    write!(
        out,
        "{at:indent$}: {} {} {:02X} {:08X}:{:08X} 00:00000000 00000000     0        0 {} {end}",
        End(row.local, is_v6),
        End(row.remote, is_v6),
        row.state,
        row.unsent,
        row.unread,
        row.number,
    )?;
    let rest = width.saturating_sub(out.len() - begin);
    writeln!(out, "{:rest$}", "")
}

/// The sockets of TCP that have connections or listen, and whether they are of IPv6.
fn held() -> Vec<(bool, Row)> {
    let row = |description: &Description| {
        let socket = description.downcast::<TcpSocket>()?;
        let Condition {
            local,
            remote,
            state,
            unsent,
            unread,
        } = socket.condition()?;
        let row = Row {
            local,
            remote,
            state: state.map_or(LISTENS, number),
            unsent,
            unread,
            number: description.number(),
        };
        (state != Some(State::Closed)).then_some((socket.family.is_v6, row))
    };
    let all = object::all().into_iter();
    all.filter_map(|(_, description)| row(&description))
        .collect()
}

/// Connections that none of the sockets has: waiting to be accepted, of the native services, or given up by their program.
fn unheld(held: &[(bool, Row)], is_v6: bool) -> Vec<Row> {
    let known: BTreeSet<_> = held
        .iter()
        .map(|(_, row)| (row.local, row.remote))
        .collect();
    let mut rows = Vec::new();
    for lane in all().flat_map(|(_, interface)| interface.lanes()) {
        let connections: Vec<_> = lane.lock().connections().collect();
        for (FourTuple { local, remote }, state) in connections {
            if local.is_ipv6() == is_v6 && !known.contains(&(local, remote)) {
                rows.push(Row {
                    local,
                    remote,
                    state: number(state),
                    unsent: 0,
                    unread: 0,
                    number: 0,
                });
            }
        }
    }
    rows
}

/// The titles of both ends, in the width of their columns.
fn titles(is_v6: bool) -> &'static str {
    match is_v6 {
        true => "local_address                         remote_address                       ",
        false => "local_address rem_address  ",
    }
}

/// `/proc/net/tcp` or `tcp6`.
pub(super) fn tcp(is_v6: bool) -> Result<Vec<u8>> {
    let held = held();
    let strangers = unheld(&held, is_v6);
    let own = held.iter().filter(|(of_v6, _)| *of_v6 == is_v6);
    let rows = own.map(|(_, row)| row).chain(&strangers);
    text(|out| {
        write!(
            out,
            "  sl  {} st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
            titles(is_v6)
        )?;
        let rest = TCP_WIDTH.saturating_sub(out.len());
        writeln!(out, "{:rest$}", "")?;
        for one in rows.enumerate() {
            let columns = (4, TCP_WIDTH, "1 0000000000000000 20 4 0 10 -1");
            write_row(out, one, is_v6, columns)?;
        }
        Ok(())
    })
}

/// `/proc/net/udp` or `udp6`.
pub(super) fn udp(is_v6: bool) -> Result<Vec<u8>> {
    let mut rows = Vec::new();
    for (_, description) in object::all() {
        let Some(socket) = description.downcast::<UdpSocket>() else {
            continue;
        };
        let is_wanted = socket.protocol == Protocol::Udp && socket.is_bound();
        if socket.family.is_v6 != is_v6 || !is_wanted {
            continue;
        }
        let peer = socket.peer();
        rows.push(Row {
            local: socket.local(),
            remote: peer.unwrap_or(binding::none(is_v6)),
            state: if peer.is_some() { HAS_PEER } else { HAS_NONE },
            unsent: 0,
            unread: socket.unread(),
            number: description.number(),
        });
    }
    text(|out| {
        writeln!(
            out,
            "   sl  {} st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops",
            titles(is_v6)
        )?;
        for one in rows.iter().enumerate() {
            write_row(out, one, is_v6, (5, UDP_WIDTH, "2 0000000000000000 0"))?;
        }
        Ok(())
    })
}

/// `/proc/net/unix`.
pub(super) fn unix(_: u64) -> Result<Vec<u8>> {
    /// Linux's `__SO_ACCEPTCON`; `SS_UNCONNECTED`, `SS_CONNECTED`.
    const ACCEPTS: u32 = 1 << 16;
    const ALONE: u8 = 1;
    const CONNECTED: u8 = 3;
    text(|out| {
        writeln!(
            out,
            "Num       RefCount Protocol Flags    Type St Inode Path"
        )?;
        for (_, description) in object::all() {
            let Some(socket) = description.downcast::<UnixSocket>() else {
                continue;
            };
            let flags = if socket.is_listening() { ACCEPTS } else { 0 };
            let state = match socket.peer_name() {
                Ok(_) => CONNECTED,
                Err(_) => ALONE,
            };
            write!(
                out,
                "0000000000000000: 00000002 00000000 {flags:08X} {:04X} {state:02X} {:5}",
                socket.kind(),
                description.number()
            )?;
            let name = socket.name();
            if !name.is_empty() {
                // An abstract name begins with a zero, which is shown as another letter, as others in it are.
                let shown: Vec<u8> = name
                    .iter()
                    .map(|b| if *b == 0 { b'@' } else { *b })
                    .collect();
                write!(out, " {}", String::from_utf8_lossy(&shown))?;
            }
            writeln!(out)?;
        }
        Ok(())
    })
}
