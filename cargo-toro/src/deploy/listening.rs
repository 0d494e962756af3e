//! Which ports of a host are taken: the kernel's tables of sockets (proc_net(5): /proc/net/tcp and its kin).

use crate::values::{Port, Protocol};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Prints the tables, each after a line with its protocol.
pub(super) const SCRIPT: &str =
    "for p in tcp udp; do echo $p; cat /proc/net/$p /proc/net/${p}6 2>/dev/null; done; :";

/// The state of a TCP socket that listens, and of a UDP socket that is not connected.
const TCP_LISTEN: &str = "0A";
const UDP_OPEN: &str = "07";

/// Addresses and ports that programs listen at; no address stands for all of them.
#[derive(Debug, Default)]
pub(super) struct Listening {
    tcp: BTreeSet<(Option<Ipv4Addr>, u16)>,
    udp: BTreeSet<(Option<Ipv4Addr>, u16)>,
}

impl Listening {
    /// Reads what [`SCRIPT`] printed; lines that are none of a table are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut sockets = Self::default();
        let mut is_tcp = true;
        for line in text.lines() {
            match line.trim() {
                "tcp" => is_tcp = true,
                "udp" => is_tcp = false,
                line => {
                    let socket = socket(line, if is_tcp { TCP_LISTEN } else { UDP_OPEN });
                    let set = if is_tcp {
                        &mut sockets.tcp
                    } else {
                        &mut sockets.udp
                    };
                    set.extend(socket);
                }
            }
        }
        sockets
    }

    /// Whether somebody listens where `port` would.
    pub(super) fn has(&self, port: &Port) -> bool {
        let set = match port.protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
        };
        let wanted = port.address;
        set.iter().any(|&(address, number)| {
            number == port.host
                && (wanted.is_unspecified() || address.is_none_or(|address| address == wanted))
        })
    }
}

/// The local address of a line of a table, if the socket is in that state.
fn socket(line: &str, state: &str) -> Option<(Option<Ipv4Addr>, u16)> {
    let mut words = line.split_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    if words.nth(1)? != state {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    if address.len() != 8 {
        // IPv6: all addresses of IPv4 too if it is `::`, else none of them.
        return address.bytes().all(|c| c == b'0').then_some((None, port));
    }
    // Written as a number of the host, which is an x86.
    let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.swap_bytes());
    Some(((!address.is_unspecified()).then_some(address), port))
}

/// Where a published port is, as a URL if it is one of HTTP.
pub(super) fn place(port: &Port, address: &str) -> String {
    match (port.protocol, port.guest, port.host) {
        (Protocol::Tcp, 80 | 8000 | 8080, 80) => format!("http://{address}/"),
        (Protocol::Tcp, 80 | 8000 | 8080, host) => format!("http://{address}:{host}/"),
        (Protocol::Tcp, guest, host) => {
            format!("TCP {address}:{host} as port {guest} of the guest")
        }
        (Protocol::Udp, guest, host) => {
            format!("UDP {address}:{host} as port {guest} of the guest")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "\
tcp
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:9999 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
   3: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000
udp
   0: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4 2 0 0
";

    #[test]
    fn ports_that_are_listened_at_are_taken() {
        let sockets = Listening::parse(TABLES);
        let has = |text: &str| sockets.has(&text.parse().unwrap());
        assert!(has("127.0.0.1:8080:80") && has("0.0.0.0:8080:80"));
        assert!(!has("10.0.0.1:8080:80"), "another address of the host");
        assert!(has("10.0.0.1:22:22") && has("443:443"), "all addresses");
        assert!(has("53:53/udp") && !has("53:53"));
        assert!(!has("39321:80"), "a connection is not a listener");
        assert!(!Listening::parse("nonsense\n1: x y z").has(&"1:1".parse().unwrap()));
    }
}
