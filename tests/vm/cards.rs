//! Network cards: a page served through each, a cable that is pulled, several cards in one machine.

use vm_tests::{Boot, Guest, Machine, Nic, Running};

const CARDS: [Nic; 8] = [
    Nic::Virtio,
    Nic::E1000,
    Nic::E1000e,
    Nic::Vmxnet3,
    Nic::Ne2000,
    Nic::Tulip,
    Nic::Pcnet,
    Nic::Rtl8139,
];

const INDEX: &str = include_str!("../../examples/static-web/disk/web/index.html");

fn serving(guest: Guest) -> Running {
    let guest = guest.boot(Boot::Kernel).log_info().start();
    guest.wait_for("Serving /web on port 80");
    guest.wait_for("by DHCP");
    guest
}

#[test]
fn pages_are_served_through_every_card() {
    for machine in [Machine::Pc, Machine::Q35] {
        for nic in CARDS {
            let guest = serving(Guest::new("static-web").machine(machine).nic(nic));
            for round in 0..20 {
                let page = guest.http().get("/");
                assert_eq!(
                    (page.status, page.text().as_str()),
                    (200, INDEX),
                    "{machine:?} {nic:?} {round}"
                );
            }
        }
    }
}

#[test]
fn routers_are_heard_through_every_card() {
    // They speak to a group.
    for nic in CARDS {
        let guest = serving(Guest::new("static-web").nic(nic));
        guest.wait_for("fec0::5054:ff:fe12:3456 by its router");
    }
}

#[test]
fn a_cable_that_is_pulled_and_plugged_in_again_is_noticed_and_service_goes_on() {
    for nic in [Nic::E1000, Nic::E1000e, Nic::Vmxnet3, Nic::Rtl8139] {
        let guest = serving(Guest::new("static-web").nic(nic));
        assert_eq!(guest.http().get("/").text(), INDEX);
        guest.monitor("set_link net0 off");
        guest.wait_for("the link is down");
        guest.monitor("set_link net0 on");
        guest.wait_for("the link is up");
        assert_eq!(guest.http().get("/").text(), INDEX, "{nic:?}");
    }
}

#[test]
fn cards_that_share_interrupt_pins_all_work() {
    // More cards with a pin each than the machine has lines for.
    let models = ["tulip", "pcnet", "e1000", "rtl8139", "ne2k_pci"];
    let mut guest = Guest::new("static-web").nic(Nic::Ne2000).log_info();
    for (number, model) in (1..).zip(models) {
        let netdev = format!("user,id=net{number},net=10.0.{}.0/24", number + 2);
        let device = format!("{model},netdev=net{number},romfile=");
        guest = guest.qemu(&["-netdev", &netdev, "-device", &device]);
    }
    let guest = guest.boot(Boot::Kernel).start();
    for number in 2..models.len() + 3 {
        guest.wait_for(&format!("10.0.{number}.15/24 by DHCP"));
    }
    for _ in 0..20 {
        assert_eq!(guest.http().get("/").text(), INDEX);
    }
}

#[test]
fn virtio_cards_of_every_make_serve() {
    let makes: [&[&str]; 6] = [
        &["disable-modern=on"],
        &["disable-legacy=on"],
        &["disable-legacy=on", "iommu_platform=on"],
        &["disable-legacy=on", "packed=on"],
        &["vectors=0"],
        &["mrg_rxbuf=off", "event_idx=off", "csum=off"],
    ];
    for make in makes {
        let mut guest = Guest::new("static-web").nic(Nic::Virtio);
        for property in make {
            guest = guest.qemu(&["-global", &format!("virtio-net-pci.{property}")]);
        }
        let guest = serving(guest);
        for round in 0..20 {
            let page = guest.http().get("/");
            assert_eq!(
                (page.status, page.text().as_str()),
                (200, INDEX),
                "{make:?} {round}"
            );
        }
    }
}

#[test]
fn a_card_behind_a_further_host_bridge_is_found() {
    let bridge = ["-device", "pxb,id=further,bus_nr=0x40"];
    let card = ["-device", "e1000,netdev=second,bus=further,romfile="];
    let guest = Guest::new("static-web")
        .qemu(&bridge)
        .qemu(&["-netdev", "user,id=second,net=10.0.77.0/24"])
        .qemu(&card);
    serving(guest).wait_for("10.0.77.15/24 by DHCP");
}

#[test]
fn a_card_that_acpi_alone_tells_of_is_found() {
    // With ACPI, QEMU says nothing of it on the command line.
    let guest = Guest::new("static-web").machine(Machine::Microvm);
    let guest = serving(guest.qemu(&["-machine", "acpi=on"]));
    assert_eq!(guest.http().get("/").text(), INDEX);
}

#[test]
fn cards_on_a_pci_bus_that_no_firmware_has_set_up_are_found() {
    // Its configuration space is in memory alone, and no device has an address. The last card can interrupt by its pin alone.
    let models = ["virtio-net-pci", "e1000e", "vmxnet3", "e1000"];
    let mut guest = Guest::new("static-web").machine(Machine::Microvm);
    guest = guest.qemu(&["-machine", "acpi=on,pcie=on"]);
    for (number, model) in (1..).zip(models) {
        let netdev = format!("user,id=net{number},net=10.0.{}.0/24", number + 2);
        let device = format!("{model},netdev=net{number},romfile=");
        guest = guest.qemu(&["-netdev", &netdev, "-device", &device]);
    }
    let guest = serving(guest);
    for number in 2..models.len() + 3 {
        guest.wait_for(&format!("10.0.{number}.15/24 by DHCP"));
    }
    assert_eq!(guest.http().get("/").text(), INDEX);
}
