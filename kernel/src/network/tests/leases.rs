//! Addresses that come and go, and who waits for one.

use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use smoltcp::socket::tcp;
use smoltcp::wire::{DhcpMessageType, EthernetAddress};

use super::{CLIENT, CLIENT_MAC, SERVER, World};
use crate::network::config::Address;
use crate::network::error::Error;
use crate::network::stack::Progress;

/// A DHCP server's answer to a message of the client, which lends `address`: an offer to a discovery, an acknowledgement to a request.
fn dhcp_answer(frame: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    dhcp_answer_of(CLIENT, frame, address, DhcpMessageType::Ack)
}

/// The same of any server, with what it says to a request.
fn dhcp_answer_of(
    server: Ipv4Addr,
    frame: &[u8],
    address: Ipv4Addr,
    to_request: DhcpMessageType,
) -> Option<Vec<u8>> {
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{
        DhcpPacket, DhcpRepr, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv4Repr,
        UdpPacket, UdpRepr,
    };
    let checksums = ChecksumCapabilities::default();
    let ip = Ipv4Packet::new_checked(frame.get(14..)?).ok()?;
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    let message = DhcpPacket::new_checked(udp.payload()).ok()?;
    let asked = DhcpRepr::parse(&message).ok()?;
    let message_type = match asked.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request => to_request,
        _ => return None,
    };
    let mut answer = DhcpRepr {
        message_type,
        your_ip: address,
        server_ip: server,
        server_identifier: Some(server),
        subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
        router: Some(CLIENT),
        lease_duration: Some(100),
        dns_servers: Some(Default::default()),
        requested_ip: None,
        client_identifier: None,
        parameter_request_list: None,
        max_size: None,
        ..asked
    };
    answer
        .dns_servers
        .as_mut()
        .expect("just set")
        .push(CLIENT)
        .expect("room");
    let udp = UdpRepr {
        src_port: 67,
        dst_port: 68,
    };
    let ip = Ipv4Repr {
        src_addr: CLIENT,
        dst_addr: Ipv4Addr::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: 8 + answer.buffer_len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; 14 + 20 + ip.payload_len];
    let mut ethernet = EthernetFrame::new_unchecked(&mut bytes[..]);
    ethernet.set_dst_addr(EthernetAddress::BROADCAST);
    ethernet.set_src_addr(EthernetAddress(CLIENT_MAC));
    ethernet.set_ethertype(EthernetProtocol::Ipv4);
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[14..]);
    ip.emit(&mut packet, &checksums);
    let mut datagram = UdpPacket::new_unchecked(&mut bytes[34..]);
    udp.emit(
        &mut datagram,
        &CLIENT.into(),
        &Ipv4Addr::BROADCAST.into(),
        answer.buffer_len(),
        |payload| {
            answer
                .emit(&mut DhcpPacket::new_unchecked(payload))
                .expect("room")
        },
        &checksums,
    );
    Some(bytes)
}

impl World {
    /// Lets the server's DHCP client and the network talk until a time.
    fn serve_leases(&mut self, is_answered: bool, until_us: u64) {
        while self.now_us < until_us {
            while let Some(frame) = {
                let mut wire = self.from_server.lock();
                wire.take()
            } {
                if let Some(answer) = dhcp_answer(&frame, SERVER).filter(|_| is_answered) {
                    self.to_server.lock().put(answer);
                }
            }
            self.stack.serve(self.now_us * 1000);
            self.now_us += 100_000;
        }
    }
}

#[test]
fn an_address_is_leased_and_given_up_when_the_server_is_gone() {
    let mut world = World::new();
    world.stack.set_address(None, 0);
    world.stack.start_dhcp(world.now_us * 1000);
    assert_eq!(world.stack.address(), None);
    let start = world.now_us;
    world.serve_leases(true, start + 1_000_000);
    let expected = Address {
        ip: SERVER,
        prefix: 24,
        gateway: Some(CLIENT),
        dns: vec![CLIENT],
    };
    assert_eq!(world.stack.address(), Some(&expected));
    let changes = world.stack.address_changes();
    world.serve_leases(true, start + 500_000_000);
    assert_eq!(
        world.stack.address(),
        Some(&expected),
        "renewed several times"
    );
    assert_eq!(world.stack.address_changes(), changes);
    world.serve_leases(false, start + 700_000_000);
    assert_eq!(world.stack.address(), None, "the lease is over");
}

/// RFC 2131, section 4.4.6 and table 5.
#[test]
fn a_lease_is_given_back_to_its_server_at_the_end() {
    let mut world = World::new();
    world.stack.set_address(None, 0);
    world.stack.start_dhcp(world.now_us * 1000);
    let start = world.now_us;
    world.serve_leases(true, start + 1_000_000);
    while world.from_server.lock().take().is_some() {}
    world.stack.give_addresses_back(world.now_us * 1000);
    assert_ne!(
        world.stack.unsettled(),
        0,
        "its server is to be found first"
    );
    let asked = world.from_server.lock().take().expect("a question of ARP");
    let mut answer = [&asked[6..12], &CLIENT_MAC, &asked[12..20], &[0, 2]].concat();
    answer.extend([&CLIENT_MAC[..], &CLIENT.octets(), &asked[22..32]].concat());
    world.to_server.lock().put(answer);
    world.stack.serve(world.now_us * 1000);
    assert_eq!(world.stack.unsettled(), 0);
    let frame = world.from_server.lock().take().expect("a message");
    // From the address, to the server alone.
    assert_eq!(frame[26..30], SERVER.octets());
    assert_eq!(frame[30..34], CLIENT.octets());
    let message = smoltcp::wire::DhcpPacket::new_checked(&frame[42..]).expect("a message");
    assert_eq!(message.client_ip(), SERVER);
    let options: Vec<u8> = message.options().map(|option| option.kind).collect();
    assert_eq!(options, [53, 61, 54]);
    let kind = message
        .options()
        .find(|option| option.kind == 53)
        .expect("a kind");
    assert_eq!(kind.data, [7]);
    world.now_us += 1_000_000_000;
    world.stack.serve(world.now_us * 1000);
    assert!(
        world.from_server.lock().take().is_none(),
        "nothing is asked for"
    );
}

/// RFC 2131, figure 5: an answer that nobody has asked for, as one that came twice, changes nothing.
#[test]
fn answers_to_a_client_that_has_not_asked_are_passed_over() {
    let mut world = World::new();
    world.stack.set_address(None, 0);
    world.stack.start_dhcp(world.now_us * 1000);
    let mut asked = None;
    for _ in 0..10 {
        let frame = world.from_server.lock().take();
        if let Some(answer) = frame
            .as_deref()
            .and_then(|frame| dhcp_answer(frame, SERVER))
        {
            asked = frame;
            world.to_server.lock().put(answer);
        }
        world.stack.serve(world.now_us * 1000);
        world.now_us += 100_000;
    }
    assert_eq!(
        world.stack.address().map(|address| address.ip),
        Some(SERVER)
    );
    let other = Ipv4Addr::from(u32::from(SERVER) + 1);
    let answer = dhcp_answer(&asked.expect("a request"), other).expect("an answer");
    world.to_server.lock().put(answer);
    world.stack.serve(world.now_us * 1000);
    assert_eq!(
        world.stack.address().map(|address| address.ip),
        Some(SERVER)
    );
}

/// Another station of the link answers as well, and first: a client that has asked one server, by its offer or for more time, does not take
/// the other one's word, neither for another address nor for having lost its own. And what it asks one server alone has a number
/// that others have not seen.
#[test]
fn the_word_of_a_server_that_was_not_asked_does_not_count() {
    let mut world = World::new();
    world.stack.set_address(None, 0);
    world.stack.start_dhcp(world.now_us * 1000);
    let rogue = Ipv4Addr::from(u32::from(CLIENT) + 5);
    let other = Ipv4Addr::from(u32::from(SERVER) + 1);
    let (mut ids, mut nak) = (Vec::new(), false);
    for _ in 0..4_000 {
        while let Some(frame) = {
            let mut wire = world.from_server.lock();
            wire.take()
        } {
            if frame[12..14] == [8, 6] && frame[38..42] == CLIENT.octets() {
                // Only so can it ask the server alone.
                let mut answer = [&frame[6..12], &CLIENT_MAC, &frame[12..20], &[0, 2]].concat();
                answer.extend([&CLIENT_MAC[..], &CLIENT.octets(), &frame[22..32]].concat());
                world.to_server.lock().put(answer);
            }
            let Some(answer) = dhcp_answer(&frame, SERVER) else {
                continue;
            };
            ids.push(frame[46..50].to_vec());
            let kind = match nak {
                true => DhcpMessageType::Nak,
                false => DhcpMessageType::Ack,
            };
            nak = !nak;
            // To the first question there is only one offer.
            if ids.len() > 1 {
                let lie = dhcp_answer_of(rogue, &frame, other, kind).expect("an answer");
                world.to_server.lock().put(lie);
            }
            world.to_server.lock().put(answer);
        }
        world.stack.serve(world.now_us * 1000);
        world.now_us += 100_000;
        let address = world.stack.address().map(|address| address.ip);
        assert!(ids.len() < 2 || address == Some(SERVER), "{address:?}");
    }
    // Four times renewed.
    assert!(ids.len() >= 5, "{}", ids.len());
    assert_eq!(ids[0], ids[1], "a request is for an offer");
    ids.dedup();
    assert_eq!(
        ids.len(),
        1 + ids
            .iter()
            .skip(1)
            .collect::<std::collections::HashSet<_>>()
            .len()
    );
    assert!(ids.len() >= 4, "a number for each renewal");
}

#[test]
fn a_connection_that_cannot_wait_is_begun_with_the_lease() {
    let mut world = World::new();
    world.stack.set_address(None, 0);
    world.stack.start_dhcp(world.now_us * 1000);
    let peer = world.socket();
    world.tcp(peer).listen(8080).expect("fresh");
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let now_ns = world.now_ns();
    let mut connect = |port| {
        let to = SocketAddr::new(IpAddr::V4(CLIENT), port);
        let begun =
            world
                .stack
                .connect(Arc::default(), any, to, tcpip::Settings::default(), now_ns);
        begun.expect("awaits the address")
    };
    let (slot, given_up) = (connect(8080), connect(8081));
    assert_eq!(world.stack.progress(slot), Progress::Connecting);
    assert_eq!(world.receive(slot), Err(Error::WouldBlock));
    assert!(world.stack.readiness(slot).is_empty());
    world.release(given_up);
    let start = world.now_us;
    world.serve_leases(true, start + 1_000_000);
    world.pass(5_000_000);
    assert_eq!(world.stack.progress(slot), Progress::Connected);
    let local = world.stack.tuple(slot).map(|tuple| tuple.local.ip());
    assert_eq!(local, Some(SERVER.into()));
    assert_eq!(world.stack.census()[0], 1);
}

#[test]
fn a_connection_does_not_wait_for_ever_for_a_lease() {
    let mut world = World::new();
    world.stack.set_address(None, 0);
    world.stack.start_dhcp(world.now_us * 1000);
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let (now_ns, to) = (world.now_ns(), SocketAddr::new(IpAddr::V4(CLIENT), 8080));
    let begun = world
        .stack
        .connect(Arc::default(), any, to, tcpip::Settings::default(), now_ns);
    let slot = begun.expect("awaits the address");
    let start = world.now_us;
    world.serve_leases(false, start + 9_000_000);
    assert_eq!(world.stack.progress(slot), Progress::Connecting);
    world.serve_leases(false, start + 11_000_000);
    let unreachable = Progress::Failed(Error::NetworkUnreachable);
    assert_eq!(world.stack.progress(slot), unreachable);
    world.release(slot);
    assert_eq!(world.stack.census()[..4], [0, 1, 0, 0]);
}

/// QEMU's user network forwards a connection to the address that it has offered before the client has it, and says what got lost again only
/// after six seconds.
#[test]
fn what_comes_for_an_address_on_offer_waits_until_it_is_there() {
    for (to_request, state, refused) in [
        (DhcpMessageType::Ack, tcp::State::Established, 0),
        (DhcpMessageType::Nak, tcp::State::SynSent, 1),
    ] {
        let mut world = World::new();
        let listener = world.listen(80, 4);
        // The peer knows our hardware address.
        let _ = world.connected(&listener);
        world.stack.set_address(None, 0);
        world.stack.start_dhcp(world.now_us * 1000);
        world.settle();
        let answer = |world: &mut World, kind| {
            let asked = world.seen.last().expect("a question");
            let answer = dhcp_answer_of(CLIENT, asked, SERVER, kind).expect("an answer");
            world.to_server.lock().put(answer);
        };
        answer(&mut world, DhcpMessageType::Offer);
        let client = world.dial(80);
        world.stack.serve(world.now_us * 1000);
        let dropped = world.stack.statistics().dropped_unusable;
        // First of the offer, then the peer's.
        world.settle();
        assert_eq!(world.tcp(client).state(), tcp::State::SynSent);
        assert_eq!(world.stack.statistics().dropped_unusable, dropped);
        let request = world.seen.iter().rposition(|frame| frame[..6] == [0xFF; 6]);
        let request = world.seen.remove(request.expect("a request"));
        world.seen.push(request);
        answer(&mut world, to_request);
        world.settle();
        assert_eq!(world.tcp(client).state(), state);
        let dropped = world.stack.statistics().dropped_unusable - dropped;
        assert_eq!(dropped, refused, "{to_request:?}");
    }
}
