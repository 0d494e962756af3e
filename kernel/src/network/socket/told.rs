//! What a program wants to be told of each datagram (RFC 3542; Linux: ip(7), ipv6(7)), and how it is told.

use alloc::vec::Vec;
use core::ffi::c_int;
use core::net::IpAddr;
use core::sync::atomic::{AtomicU16, Ordering};

use bitflags::bitflags;

use super::mailbox::Origin;
use crate::arch::clock;
use crate::network::binding;

bitflags! {
    /// What a program wants to be told.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Told: u16 {
        /// `IP_PKTINFO`: interface and address of one of IPv4.
        const INFO_V4 = 1 << 0;
        /// `IP_RECVTTL`.
        const HOP_LIMIT_V4 = 1 << 1;
        /// `IP_RECVTOS`.
        const CLASS_V4 = 1 << 2;
        /// `IPV6_RECVPKTINFO`: interface and address.
        const INFO_V6 = 1 << 3;
        /// `IPV6_RECVHOPLIMIT`.
        const HOP_LIMIT_V6 = 1 << 4;
        /// `IPV6_RECVTCLASS`.
        const CLASS_V6 = 1 << 5;
        /// `SO_TIMESTAMP`: when it came.
        const TIME_US = 1 << 6;
        /// `SO_TIMESTAMPNS`: the same, in nanoseconds.
        const TIME_NS = 1 << 7;
        /// `UDP_GRO`: datagrams that are alike are received at once, and their length is told.
        const SEGMENTS = 1 << 8;
    }
}

/// The same, of a socket.
#[derive(Default)]
pub struct TellWhat(AtomicU16);

impl TellWhat {
    /// All of it.
    pub fn all(&self) -> Told {
        Told::from_bits_truncate(self.0.load(Ordering::Relaxed))
    }

    /// Switches one on or off.
    pub fn set(&self, what: Told, is_on: bool) {
        match is_on {
            true => self.0.fetch_or(what.bits(), Ordering::Relaxed),
            false => self.0.fetch_and(!what.bits(), Ordering::Relaxed),
        };
    }
}

impl Told {
    /// What is told of a datagram: level, kind and body of each record.
    pub fn of(self, origin: &Origin, is_v6_socket: bool) -> Vec<(c_int, c_int, Vec<u8>)> {
        let scope = binding::scope_of(origin.interface);
        let number = |value: u8| c_int::from(value).to_ne_bytes().to_vec();
        let mut records = Vec::new();
        if self.intersects(Self::TIME_US | Self::TIME_NS) {
            // One that came before the program asked.
            let wall_ns = match origin.wall_ns {
                0 => clock::wall_ns(),
                wall_ns => wall_ns,
            };
            let (kind, part) = match self.contains(Self::TIME_NS) {
                true => (libc::SO_TIMESTAMPNS, wall_ns % 1_000_000_000),
                false => (libc::SO_TIMESTAMP, wall_ns % 1_000_000_000 / 1000),
            };
            let seconds = wall_ns / 1_000_000_000;
            let body = [seconds.to_ne_bytes(), part.to_ne_bytes()].concat();
            records.push((libc::SOL_SOCKET, kind, body));
        }
        if self.contains(Self::SEGMENTS) && origin.segment_bytes != 0 {
            let body = c_int::from(origin.segment_bytes).to_ne_bytes().to_vec();
            records.push((libc::SOL_UDP, libc::UDP_GRO, body));
        }
        if let IpAddr::V4(to) = origin.to {
            if self.contains(Self::INFO_V4) {
                let octets = to.octets();
                let body = [&scope.to_ne_bytes()[..], &octets, &octets].concat();
                records.push((libc::IPPROTO_IP, libc::IP_PKTINFO, body));
            }
            if self.contains(Self::HOP_LIMIT_V4) {
                records.push((libc::IPPROTO_IP, libc::IP_TTL, number(origin.hop_limit)));
            }
            if self.contains(Self::CLASS_V4) {
                let body = Vec::from([origin.traffic_class]);
                records.push((libc::IPPROTO_IP, libc::IP_TOS, body));
            }
        }
        if is_v6_socket && self.contains(Self::INFO_V6) {
            let to = match origin.to {
                IpAddr::V4(to) => to.to_ipv6_mapped(),
                IpAddr::V6(to) => to,
            };
            let body = [&to.octets()[..], &scope.to_ne_bytes()].concat();
            records.push((libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, body));
        }
        if origin.to.is_ipv6() {
            if self.contains(Self::HOP_LIMIT_V6) {
                let body = number(origin.hop_limit);
                records.push((libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, body));
            }
            if self.contains(Self::CLASS_V6) {
                let body = number(origin.traffic_class);
                records.push((libc::IPPROTO_IPV6, libc::IPV6_TCLASS, body));
            }
        }
        records
    }
}
