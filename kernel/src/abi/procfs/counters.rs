//! What the protocols have counted: `/proc/net/snmp` and `/proc/net/netstat` (Linux: Documentation/networking/snmp_counter.rst; RFC 1213). Of
//! Linux's counters there are those that are counted here, by Linux's names, which readers go by.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use tcpip::{State, Stats};

use super::network::all as interfaces;
use super::text;
use crate::error::Result;

/// What all lanes of all interfaces have counted.
struct Sum {
    stats: Stats,
    /// Connections that both sides know of and that this side has not closed.
    established: u64,
    /// Datagrams that found no room.
    no_room: u64,
}

fn sum() -> Sum {
    let mut sum = Sum {
        stats: Stats::default(),
        established: 0,
        no_room: 0,
    };
    for (_, interface) in interfaces() {
        for lane in interface.lanes() {
            let stack = lane.lock();
            sum.stats.add(&stack.counted());
            sum.no_room += stack.statistics().dropped_inbox;
            let is_open = |state: &State| matches!(state, State::Established | State::CloseWait);
            let states = stack.connections().map(|(_, state)| state);
            sum.established += states.filter(is_open).count() as u64;
        }
    }
    sum
}

/// Two lines: the names, and the counts.
fn write_group(out: &mut String, group: &str, counts: &[(&str, u64)]) -> fmt::Result {
    write!(out, "{group}:")?;
    counts
        .iter()
        .try_for_each(|(name, _)| write!(out, " {name}"))?;
    write!(out, "\n{group}:")?;
    counts
        .iter()
        .try_for_each(|(_, count)| write!(out, " {count}"))?;
    writeln!(out)
}

/// `/proc/net/snmp`.
pub(super) fn all(_: u64) -> Result<Vec<u8>> {
    let Sum {
        stats,
        established,
        no_room,
    } = sum();
    // This machine passes nothing on; packets are given so many routers.
    let ip = [
        ("Forwarding", 2),
        ("DefaultTTL", 64),
        ("InAddrErrors", stats.wrong_address),
        ("ReasmOKs", stats.reassembled),
        ("ReasmFails", stats.fragments_lost),
    ];
    let tcp = [
        ("ActiveOpens", stats.connected),
        ("PassiveOpens", stats.accepted),
        ("CurrEstab", established),
        ("InSegs", stats.segments_in),
        ("OutSegs", stats.segments_out),
        (
            "RetransSegs",
            stats.retransmitted + stats.handshakes_repeated,
        ),
        ("OutRsts", stats.resets_sent),
    ];
    let udp = [
        ("InDatagrams", stats.datagrams_in.saturating_sub(no_room)),
        ("NoPorts", stats.no_port),
        ("InErrors", no_room),
        ("OutDatagrams", stats.datagrams_out),
        ("RcvbufErrors", no_room),
    ];
    text(|out| {
        write_group(out, "Ip", &ip)?;
        write_group(out, "Tcp", &tcp)?;
        write_group(out, "Udp", &udp)
    })
}

/// `/proc/net/netstat`.
pub(super) fn more(_: u64) -> Result<Vec<u8>> {
    let stats = sum().stats;
    let tcp = [
        ("SyncookiesSent", stats.cookies_sent),
        ("SyncookiesRecv", stats.cookies_taken),
        ("SyncookiesFailed", stats.cookies_wrong),
        ("ListenOverflows", stats.requests_ignored),
        (
            "ListenDrops",
            stats.requests_ignored + stats.requests_without_room,
        ),
        ("TCPHPHits", stats.predicted),
        ("TCPTimeouts", stats.timeouts),
        ("TCPOFOQueue", stats.out_of_order),
        ("TCPChallengeACK", stats.challenges),
    ];
    text(|out| write_group(out, "TcpExt", &tcp))
}
