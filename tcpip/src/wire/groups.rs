//! Messages about multicast groups: IGMPv3 (RFC 3376) and MLDv2 (RFC 3810). Groups are wanted from all senders or not at all.

use alloc::vec;
use alloc::vec::Vec;

use super::{icmp, put};
use crate::address::Address;
use crate::checksum::Sum;

/// A router asks which groups are wanted (IGMP).
pub(crate) const IGMP_QUERY: u8 = 0x11;
const IGMP_REPORT: u8 = 0x22;
/// The same of IPv6.
pub(crate) const MLD_QUERY: u8 = 130;
const MLD_REPORT: u8 = 143;

/// What is said of a group (RFC 3376, section 4.2.12: no sender is excluded, or all are).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// It is wanted, as was asked.
    Wanted = 2,
    /// It is wanted no more.
    Left = 3,
    /// It is wanted from now on.
    Joined = 4,
}

/// Where reports of IPv4 go, `224.0.0.22`.
pub(crate) const REPORTS_V4: Address = Address::v4([224, 0, 0, 22]);

/// Where reports of IPv6 go, `ff02::16`.
pub(crate) fn reports_v6() -> Address {
    let mut octets = [0; 16];
    (octets[0], octets[1], octets[15]) = (0xFF, 2, 0x16);
    Address::v6(octets)
}

/// A report about groups of one version.
pub(crate) fn report(source: Address, groups: &[(Address, Record)]) -> Vec<u8> {
    let is_v4 = source.is_v4();
    let width = if is_v4 { 8 } else { 20 };
    let mut bytes = vec![0; 8 + groups.len() * width];
    put(
        &mut bytes,
        0,
        &[if is_v4 { IGMP_REPORT } else { MLD_REPORT }],
    );
    put(&mut bytes, 6, &(groups.len() as u16).to_be_bytes());
    for (at, (group, record)) in groups.iter().enumerate() {
        let at = 8 + at * width;
        put(&mut bytes, at, &[*record as u8]);
        if is_v4 {
            put(&mut bytes, at + 4, &group.octets_v4());
        } else {
            put(&mut bytes, at + 4, &group.octets_v6());
        }
    }
    if is_v4 {
        let checksum = Sum::default().add(&bytes).checksum();
        put(&mut bytes, 2, &checksum);
    } else {
        icmp::finish(&mut bytes, source, reports_v6());
    }
    bytes
}
