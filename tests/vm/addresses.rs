//! How a machine comes by its address, and what it says when it cannot.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::thread;
use vm_tests::namespace::{enter, ip};
use vm_tests::wire::Plug;
use vm_tests::{Boot, Guest, Machine, Nic};

/// What the guest says about itself when it has talked to this host.
fn connected(guest: Guest, gateway: &str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // The thread ends with the test program if nobody ever connects.
    thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.read_to_end(&mut Vec::new())
    });
    guest
        .args(&["connect", &format!("{gateway}:{port}")])
        .run()
        .showing(0, &["sockets: done"])
}

fn guest() -> Guest {
    Guest::new("test-sockets").boot(Boot::Kernel)
}

#[test]
fn an_address_is_asked_for_by_dhcp() {
    let console = connected(guest().log_info(), "10.0.2.2");
    assert!(console.contains("from 10.0.2.15"), "{console}");
    assert!(
        console.contains("10.0.2.15/24 by DHCP, gateway 10.0.2.2"),
        "{console}"
    );
}

/// QEMU's words for a second card, found after the first, on a network of QEMU's user network with these words.
fn second_card(network: &str) -> [String; 4] {
    [
        "-netdev".to_owned(),
        format!("user,id=net1{network}"),
        "-device".to_owned(),
        "e1000,netdev=net1,romfile=,addr=0x10".to_owned(),
    ]
}

#[test]
fn a_first_card_without_an_address_is_not_waited_for_when_a_second_one_has_one() {
    let second = second_card("");
    let guest = guest()
        .cable("hubport,id=net0,hubid=1")
        .card("virtio-net-pci")
        .qemu(&second.each_ref().map(String::as_str));
    let console = connected(guest, "10.0.2.2");
    assert!(console.contains("from 10.0.2.15"), "{console}");
}

#[test]
fn what_is_sent_from_an_address_goes_by_the_card_that_has_it() {
    let test = "addresses::what_is_sent_from_an_address_goes_by_the_card_that_has_it";
    if !enter(test, &["test-sockets"]) {
        return;
    }
    ip("link set lo up");
    ip("addr add 192.0.2.7/32 dev lo");
    let echo = UdpSocket::bind("192.0.2.7:0").expect("an address of lo");
    let address = echo.local_addr().expect("a bound socket").to_string();
    thread::spawn(move || {
        let mut buf = [0; 9];
        while let Ok((len, from)) = echo.recv_from(&mut buf) {
            let _ = echo.send_to(&buf[..len], from);
        }
    });
    let second = second_card(",net=10.0.3.0/24");
    guest()
        .cable("user,id=net0")
        .card("virtio-net-pci")
        .qemu(&second.each_ref().map(String::as_str))
        .args(&["homes", &address])
        .run()
        .showing(0, &["homes: 10.0.2.15 and 10.0.3.15", "sockets: done"]);
}

#[test]
fn members_of_groups_are_told_of_the_address_that_comes() {
    let told = "new address 10.0.2.15/24 of 2";
    guest()
        .args(&["changes"])
        .run()
        .showing(0, &[told, "new route with a prefix of 0"]);
}

#[test]
fn an_address_may_be_given() {
    let guest = guest().address("192.168.7.9/24,gateway=192.168.7.1");
    let console = connected(guest, "192.168.7.1");
    assert!(console.contains("from 192.168.7.9"), "{console}");
}

#[test]
fn a_virtio_card_serves_as_well() {
    for machine in [Machine::Pc, Machine::Q35] {
        let console = connected(guest().machine(machine).nic(Nic::Virtio), "10.0.2.2");
        assert!(console.contains("from 10.0.2.15"), "{machine:?}: {console}");
    }
}

#[test]
fn a_service_without_a_network_card_serves_its_own_machine() {
    let guest = Guest::new("static-web").nic(Nic::None).start();
    guest.wait_for("Serving");
    guest.power_button();
    guest.end().with_status(130);
}

#[test]
fn a_machine_that_gets_no_address_says_so_and_keeps_nobody_waiting_twice() {
    // A cable with nobody at the other end who could give one.
    let plug = Plug::new();
    let guest = guest()
        .args(&["in vain", "10.0.2.2:80"])
        .cable(&plug.netdev())
        .start();
    let _wire = plug.wire();
    guest.end().showing(
        0,
        &[
            "connect: NetworkUnreachable",
            "waited: true",
            "connect: NetworkUnreachable",
            "waited: false",
        ],
    );
}
