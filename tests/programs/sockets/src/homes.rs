//! A machine with two cards on two networks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

/// A station of each network.
const STATIONS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 2, 2), Ipv4Addr::new(10, 0, 3, 2)];

/// Sends from each of its two addresses: beyond the routers, where `echo` sends back what comes, and to the other one.
pub(crate) fn homes(echo: &str) -> io::Result<()> {
    let echo: SocketAddr = echo.parse().map_err(io::Error::other)?;
    let mut own = STATIONS.map(own_for);
    // Until there is a lease of the second network, the way there leads through the first.
    while own[0] == own[1] {
        thread::sleep(Duration::from_millis(10));
        own = STATIONS.map(own_for);
    }
    let [first, second] = own;
    println!("homes: {first} and {second}");
    for (from, other) in [(first, second), (second, first)] {
        let socket = UdpSocket::bind((from, 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        socket.send_to(b"far", echo)?;
        assert_eq!(socket.recv_from(&mut [0; 9])?, (3, echo), "{from}");
        let neighbor = UdpSocket::bind((other, 0))?;
        socket.send_to(b"here", neighbor.local_addr()?)?;
        let from = socket.local_addr()?;
        assert_eq!(neighbor.recv_from(&mut [0; 9])?, (4, from));
    }
    Ok(())
}

/// The address that speaks to another.
fn own_for(to: Ipv4Addr) -> IpAddr {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    socket.connect((to, 1)).expect("a way there");
    socket.local_addr().expect("an address").ip()
}
