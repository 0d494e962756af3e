//! The groups of `NETLINK_ROUTE` (Linux: rtnetlink(7), `linux/rtnetlink.h`), whose members are told of what changes by itself: addresses and routes, which
//! DHCP and routers give and take. Interfaces stay as they are.
//!
//! What is to be told is the difference between what a socket knows and what there is, made when somebody reads: a socket that is never read costs
//! nothing, and its queue cannot overflow.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::message::Heading;
use super::route::{
    DELETED_ADDRESS, DELETED_ROUTE, NEW_ADDRESS, NEW_ROUTE, OwnAddress, Route, all_routes,
    own_addresses,
};
use crate::error::{Errno, Result};

/// `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV4_ROUTE`, `RTNLGRP_IPV6_IFADDR`, `RTNLGRP_IPV6_ROUTE`.
const ADDRESSES_V4: u32 = 5;
const ROUTES_V4: u32 = 7;
const ADDRESSES_V6: u32 = 9;
const ROUTES_V6: u32 = 11;
/// The highest one that Linux has, `RTNLGRP_STATS`.
const LAST: u32 = 36;

/// The groups that a socket is in: of each number from 1 the bit below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::abi) struct Groups(pub(in crate::abi) u64);

impl Groups {
    /// With one of them more, or less.
    ///
    /// # Errors
    /// `EINVAL`: there is no such group.
    pub(in crate::abi) fn with(self, number: u32, is_member: bool) -> Result<Self> {
        if !(1..=LAST).contains(&number) {
            return Err(Errno(libc::EINVAL));
        }
        let bit = 1 << (number - 1);
        Ok(Self(if is_member {
            self.0 | bit
        } else {
            self.0 & !bit
        }))
    }

    /// With others for the first 32, which addresses name.
    pub(super) fn with_first(self, groups: u32) -> Self {
        Self(self.0 & !u64::from(u32::MAX) | u64::from(groups))
    }

    fn has(self, ip: IpAddr, [v4, v6]: [u32; 2]) -> bool {
        let number = if ip.is_ipv4() { v4 } else { v6 };
        self.0 & 1 << (number - 1) != 0
    }
}

/// What a socket knows.
pub(super) struct Known {
    addresses: Vec<OwnAddress>,
    routes: Vec<Route>,
}

impl Known {
    /// All there is now.
    pub(super) fn now() -> Self {
        Self {
            addresses: own_addresses(),
            routes: all_routes(),
        }
    }

    /// The messages that lead from what was known `before` to this: first what is no more.
    pub(super) fn since(&self, before: &Self, groups: Groups) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        before.tell(
            self,
            groups,
            [DELETED_ROUTE, DELETED_ADDRESS],
            &mut messages,
        );
        self.tell(before, groups, [NEW_ROUTE, NEW_ADDRESS], &mut messages);
        messages
    }

    /// Adds what this has and another has not, as messages of two kinds: addresses, then routes.
    #[inline(never)]
    fn tell(
        &self,
        other: &Self,
        groups: Groups,
        [route, address]: [u16; 2],
        messages: &mut Vec<Vec<u8>>,
    ) {
        let heading = Heading::default();
        for own in &self.addresses {
            if groups.has(own.ip, [ADDRESSES_V4, ADDRESSES_V6]) && !other.addresses.contains(own) {
                messages.push(own.write(address, heading));
            }
        }
        for way in &self.routes {
            if groups.has(way.to, [ROUTES_V4, ROUTES_V6]) && !other.routes.contains(way) {
                messages.push(way.write(route, heading));
            }
        }
    }
}
