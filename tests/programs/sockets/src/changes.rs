//! What members of netlink's groups are told while DHCP gives the machine its address.

use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::fd::FromRawFd;
use std::{fs::File, mem};

/// Says what comes, until there are an address and a way out.
pub(super) fn changes() -> io::Result<()> {
    // SAFETY: a descriptor that nobody else has.
    let mut socket = unsafe {
        let descriptor = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE);
        let mut address: libc::sockaddr_nl = mem::zeroed();
        address.nl_family = libc::AF_NETLINK as u16;
        address.nl_groups = (libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV4_ROUTE) as u32;
        let len = size_of_val(&address) as libc::socklen_t;
        if libc::bind(descriptor, (&raw const address).cast(), len) != 0 {
            return Err(io::Error::last_os_error());
        }
        File::from_raw_fd(descriptor)
    };
    // A message each, as Linux tells of changes.
    let mut message = [0; 4096];
    loop {
        let len = socket.read(&mut message)?;
        let (header, body) = message[..len].split_at(16);
        match u16::from_ne_bytes([header[4], header[5]]) {
            libc::RTM_NEWADDR => {
                let index = u32::from_ne_bytes([body[4], body[5], body[6], body[7]]);
                let ip: [u8; 4] = body[12..16].try_into().expect("four bytes");
                println!("new address {}/{} of {index}", Ipv4Addr::from(ip), body[1]);
            }
            libc::RTM_NEWROUTE => {
                println!("new route with a prefix of {}", body[1]);
                if body[1] == 0 {
                    return Ok(());
                }
            }
            kind => println!("something of kind {kind}"),
        }
    }
}
