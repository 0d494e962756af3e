//! Network cards: a page served through each, a cable that is pulled, several cards in one machine.

use vm_tests::{Boot, Guest, Machine, Nic, Running};

const CARDS: [Nic; 6] = [
    Nic::Virtio,
    Nic::E1000,
    Nic::E1000e,
    Nic::Vmxnet3,
    Nic::Ne2000,
    Nic::Tulip,
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
