//! Groups: within the machine, and as others on the cable see them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xFF15, 0, 0, 0, 0, 0, 0, 0x77);
/// How long it is believed that nothing comes.
const SILENCE: Duration = Duration::from_millis(100);

/// A socket at a port that others may have too.
fn shared(address: SocketAddr) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn heard(socket: &UdpSocket) -> String {
    let mut buffer = [0; 100];
    socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
    match socket.recv(&mut buffer) {
        Ok(count) => String::from_utf8_lossy(&buffer[..count]).into_owned(),
        Err(_) => "nothing".to_string(),
    }
}

/// Both sockets of a port hear a group that the machine has joined, and nobody after it was left.
pub(crate) fn own() -> io::Result<()> {
    let any = Ipv4Addr::UNSPECIFIED;
    let one = shared(SocketAddr::from((any, 5353)))?;
    let two = shared(SocketAddr::from((GROUP, 5353)))?;
    println!(
        "not shared: {:?}",
        UdpSocket::bind((any, 5353))
            .map_err(|error| error.kind())
            .map(drop)
    );
    // The address comes by DHCP; without one there is nothing to speak from.
    one.join_multicast_v4(&GROUP, &any)?;
    println!(
        "joined twice: {:?}",
        one.join_multicast_v4(&GROUP, &any)
            .map_err(|error| error.kind())
    );
    println!(
        "no group: {:?}",
        one.join_multicast_v4(&Ipv4Addr::LOCALHOST, &any)
            .map_err(|error| error.kind())
    );
    let speaker = UdpSocket::bind((any, 0))?;
    println!(
        "hops {} loop {}",
        speaker.multicast_ttl_v4()?,
        speaker.multicast_loop_v4()?
    );
    speaker.set_multicast_ttl_v4(3)?;
    speaker.send_to(b"to all", (GROUP, 5353))?;
    println!(
        "hops {}, heard {:?} {:?}",
        speaker.multicast_ttl_v4()?,
        heard(&one),
        heard(&two)
    );
    speaker.set_multicast_loop_v4(false)?;
    speaker.send_to(b"to others", (GROUP, 5353))?;
    println!("not looped: {:?} {:?}", heard(&one), heard(&two));
    speaker.set_multicast_loop_v4(true)?;
    one.leave_multicast_v4(&GROUP, &any)?;
    println!(
        "left twice: {:?}",
        one.leave_multicast_v4(&GROUP, &any)
            .map_err(|error| error.kind())
    );
    speaker.send_to(b"to nobody", (GROUP, 5353))?;
    println!("left: {:?} {:?}", heard(&one), heard(&two));
    let six = shared(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 5454)))?;
    six.join_multicast_v6(&GROUP_V6, 0)?;
    let speaker = UdpSocket::bind("[::]:0")?;
    speaker.send_to(b"to six", (GROUP_V6, 5454))?;
    println!("of IPv6: {:?}", heard(&six));
    six.leave_multicast_v6(&GROUP_V6, 0)?;
    speaker.send_to(b"to six", (GROUP_V6, 5454))?;
    println!("of IPv6, left: {:?}", heard(&six));
    // On the loopback, without a card.
    let local = shared(SocketAddr::from((any, 5555)))?;
    local.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)?;
    let speaker = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    speaker.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    let speaker = UdpSocket::from(speaker);
    speaker.send_to(b"within", (GROUP, 5555))?;
    println!("by the loopback: {:?} {:?}", heard(&local), heard(&local));
    println!(
        "broadcast: {:?}",
        speaker
            .send_to(b"?", (Ipv4Addr::BROADCAST, 9))
            .map_err(|error| error.kind())
    );
    speaker.set_broadcast(true)?;
    println!(
        "allowed: {:?}",
        speaker.send_to(b"?", (Ipv4Addr::BROADCAST, 9)).is_ok()
    );
    Ok(())
}

/// Joins groups and says what is heard there, until somebody says `end`.
pub(crate) fn hear() -> io::Result<()> {
    let any = Ipv4Addr::UNSPECIFIED;
    let socket = UdpSocket::bind(("::", 5353))?;
    let four = UdpSocket::bind((any, 5454))?;
    four.join_multicast_v4(&GROUP, &any)?;
    socket.join_multicast_v6(&GROUP_V6, 2)?;
    println!("joined");
    let mut buffer = [0; 100];
    // The last answer needs no hardware address that has to be asked for: it goes before the machine ends.
    for socket in [&socket, &four] {
        let (count, from) = socket.recv_from(&mut buffer)?;
        let word = String::from_utf8_lossy(&buffer[..count]).into_owned();
        println!("heard {word:?} from {from}");
        let answer = format!("{word} back");
        socket.send_to(answer.as_bytes(), from)?;
    }
    Ok(())
}
