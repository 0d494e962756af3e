//! Multicast groups: what programs have joined, and what routers are told of it (RFC 3376, RFC 3810).

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::address::Address;
use crate::checksum::Sum;
use crate::device::{Device, Medium};
use crate::engine::Engine;
use crate::error::Error;
use crate::sockets::Sockets;
use crate::timers::Key;
use crate::wire::groups::{IGMP_QUERY, REPORTS_V4, Record, report, reports_v6};
use crate::wire::ip::Packet;
use crate::wire::{ethernet, ip, protocol, put};

/// Groups of an interface.
const MAX_GROUPS: usize = 64;
/// An announcement is made twice, as the first may be lost.
const ROBUSTNESS: u8 = 2;
const REPEAT_US: u64 = 1_000_000;
/// Longest time to answer a router.
const MAX_DELAY_US: u64 = 10_000_000;

/// A group that is wanted, or was.
struct Group {
    address: Address,
    /// How many programs have joined it.
    members: u32,
    /// How often its change is still to be told.
    untold: u8,
}

/// The groups of an interface.
#[derive(Default)]
pub(super) struct Groups {
    list: Vec<Group>,
    /// When changes are told next, and when a router is answered; `u64::MAX`: not at all.
    tell_at: Option<u64>,
    answer_at: Option<u64>,
}

impl Groups {
    /// Whether packets to a group are wanted.
    pub(super) fn contains(&self, address: Address) -> bool {
        self.list
            .iter()
            .any(|group| group.address == address && group.members != 0)
    }
}

impl<D: Device, S: Sockets> Engine<D, S> {
    /// Packets to a group are wanted from now on, until [`Engine::leave_group`] was called as often.
    ///
    /// # Errors
    /// When it is no group, or there are too many.
    pub fn join_group(&mut self, group: IpAddr, now: u64) -> Result<(), Error> {
        let address = Address::from(group);
        if !address.is_multicast() {
            return Err(Error::AddressNotAvailable);
        }
        let list = &mut self.groups.list;
        let is_full = list.len() >= MAX_GROUPS;
        match list.iter_mut().find(|group| group.address == address) {
            Some(group) => {
                group.members += 1;
                if group.members > 1 {
                    return Ok(());
                }
                group.untold = ROBUSTNESS;
            }
            None if is_full => return Err(Error::OutOfMemory),
            None => list.push(Group {
                address,
                members: 1,
                untold: ROBUSTNESS,
            }),
        }
        self.groups.tell_at = Some(now);
        self.run_groups(now);
        Ok(())
    }

    /// Takes one joining back.
    ///
    /// # Errors
    /// When nobody has joined the group.
    pub fn leave_group(&mut self, group: IpAddr, now: u64) -> Result<(), Error> {
        let address = Address::from(group);
        let known = self
            .groups
            .list
            .iter_mut()
            .find(|group| group.address == address && group.members != 0)
            .ok_or(Error::AddressNotAvailable)?;
        known.members -= 1;
        if known.members == 0 {
            known.untold = ROBUSTNESS;
            self.groups.tell_at = Some(now);
            self.run_groups(now);
        }
        Ok(())
    }

    /// Whether packets to a group are taken.
    pub(super) fn is_member(&self, group: Address) -> bool {
        let all_hosts = Address::v4([224, 0, 0, 1]);
        group == all_hosts
            || group == Address::ALL_NODES
            || self.groups.contains(group)
            || self
                .addresses
                .iter()
                .any(|own| !group.is_v4() && own.prefix.address.solicited_node() == group)
    }

    /// Tells what is to be told now.
    pub(super) fn run_groups(&mut self, now: u64) {
        if self.groups.answer_at.is_some_and(|at| at <= now) {
            self.groups.answer_at = None;
            self.report_groups(|group| (group.members != 0).then_some(Record::Wanted), now);
        }
        if self.groups.tell_at.is_some_and(|at| at <= now) {
            self.report_groups(
                |group| match (group.untold, group.members) {
                    (0, _) => None,
                    (_, 0) => Some(Record::Left),
                    _ => Some(Record::Joined),
                },
                now,
            );
            for group in &mut self.groups.list {
                group.untold = group.untold.saturating_sub(1);
            }
            self.groups
                .list
                .retain(|group| group.members != 0 || group.untold != 0);
            let is_over = self.groups.list.iter().all(|group| group.untold == 0);
            self.groups.tell_at = (!is_over).then_some(now + REPEAT_US);
        }
        let next = [self.groups.tell_at, self.groups.answer_at];
        if let Some(at) = next.into_iter().flatten().min() {
            self.timers.set(Key::Groups, at);
        }
    }

    fn report_groups(&mut self, record: impl Fn(&Group) -> Option<Record>, _now: u64) {
        if self.capabilities.medium != Medium::Ethernet {
            return;
        }
        for is_v4 in [true, false] {
            let told: Vec<(Address, Record)> = self
                .groups
                .list
                .iter()
                .filter(|group| group.address.is_v4() == is_v4)
                .filter_map(|group| Some((group.address, record(group)?)))
                .collect();
            if !told.is_empty() {
                self.send_report(is_v4, &told);
            }
        }
        self.device.flush();
    }

    /// Sends a report, with the option that has routers look at it (RFC 2113, RFC 2711) and a hop limit of 1.
    fn send_report(&mut self, is_v4: bool, told: &[(Address, Record)]) {
        let to = if is_v4 { REPORTS_V4 } else { reports_v6() };
        let any = if is_v4 {
            Address::ANY_V4
        } else {
            Address::ANY_V6
        };
        let source = self.addresses.source_for(to).unwrap_or(any);
        let message = report(source, told);
        let own = self.capabilities.mac;
        let header = if is_v4 {
            ip::V4_HEADER + 4
        } else {
            ip::V6_HEADER + 8
        };
        let mut packet = vec![0; header + message.len()];
        if is_v4 {
            ip::write_header(
                &mut packet,
                source,
                to,
                protocol::IGMP,
                1,
                4 + message.len(),
            );
            // One more word of header, and its sum anew.
            put(&mut packet, 0, &[0x46]);
            put(&mut packet, ip::V4_HEADER, &[0x94, 4, 0, 0]);
            put(&mut packet, 10, &[0, 0]);
            let sum = Sum::default().add(packet.get(..header).unwrap_or_default());
            put(&mut packet, 10, &sum.checksum());
        } else {
            ip::write_v6(
                &mut packet,
                source,
                to,
                protocol::HOP_BY_HOP,
                1,
                8 + message.len(),
            );
            put(
                &mut packet,
                ip::V6_HEADER,
                &[protocol::ICMP_V6, 0, 5, 2, 0, 0, 1, 0],
            );
        }
        put(&mut packet, header, &message);
        let kind = if is_v4 {
            ethernet::IPV4
        } else {
            ethernet::IPV6
        };
        self.send_frame(ethernet::HEADER + packet.len(), &mut |frame| {
            ethernet::write(frame, to.group_mac(), own, kind);
            put(frame, ethernet::HEADER, &packet);
        });
    }

    /// A router asks which groups are wanted.
    pub(super) fn receive_igmp(&mut self, packet: &Packet<'_>, now: u64) {
        let Some([kind, delay, ..]) = packet.payload.first_chunk::<8>() else {
            self.stats.damaged += 1;
            return;
        };
        if !Sum::default().add(packet.payload).is_right() {
            self.stats.damaged += 1;
            return;
        }
        if *kind == IGMP_QUERY {
            // In tenths of a second; 0 is version 1's, which means ten seconds.
            let delay_us = match u64::from(*delay) {
                0 => MAX_DELAY_US,
                tenths => tenths * 100_000,
            };
            self.answer_query(delay_us, now);
        }
    }

    /// Answers some time within `delay_us`, so that not all hosts do at once.
    pub(super) fn answer_query(&mut self, delay_us: u64, now: u64) {
        if self.groups.list.is_empty() || self.groups.answer_at.is_some() {
            return;
        }
        let delay = self.random.next_u64() % delay_us.clamp(1, MAX_DELAY_US);
        self.groups.answer_at = Some(now + delay);
        self.timers.set(Key::Groups, now + delay);
    }
}
