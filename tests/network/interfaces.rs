//! Interfaces that are no plain cable, under the names that VLANs and bonds have.

use std::net::IpAddr;

use duplex::network::{Aliases, Mac, Neighbours, Segment};

use crate::netns::LabBox;
use crate::{LABEL, LONG, SERVICE, hold_service_address, lab, mac_of, wait_for_neighbour};

const BOTH: [IpAddr; 2] = [IpAddr::V4(SERVICE), IpAddr::V6(std::net::Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1))];

fn hold_and_announce(machine: &LabBox, interface: &str) {
    machine.run(async || {
        let (aliases, segment) = (Aliases::open().unwrap(), Segment::open(interface, &BOTH).unwrap());
        for address in BOTH {
            aliases.add_or_refresh(interface, address, LONG, LABEL).await.unwrap();
            segment.announce(address, &Neighbours::new(), &[]).unwrap();
        }
    });
    let shown = machine.ip(&format!("-oneline address show dev {interface}"));
    assert!(shown.contains("10.77.0.1/32") && shown.contains("fd77::1/128"), "{shown}");
}

#[test]
fn an_address_is_held_and_announced_on_an_interface_stacked_on_another() {
    let lab = lab();
    let (main, sub, client) = (lab.machine("main"), lab.machine("sub"), lab.machine("client"));
    hold_service_address(main);
    client.talk_to(SERVICE);
    sub.ip("link add link eth0 name eth0.100 address 02:00:00:00:01:00 type macvlan mode bridge");
    sub.ip("link set eth0.100 up");
    hold_and_announce(sub, "eth0.100");
    wait_for_neighbour(client, Mac([2, 0, 0, 0, 1, 0]));
}

#[test]
fn an_address_is_held_and_announced_on_an_interface_that_is_called_as_a_bond_or_a_vlan_of_it() {
    let lab = lab();
    let (main, sub, client) = (lab.machine("main"), lab.machine("sub"), lab.machine("client"));
    for (machine, name) in [(sub, "bond0"), (main, "bond0.4094")] {
        machine.ip("link set eth0 down");
        machine.ip(&format!("link set eth0 name {name}"));
        machine.ip(&format!("link set {name} up"));
    }
    hold_and_announce(main, "bond0.4094");
    client.talk_to(SERVICE);
    hold_and_announce(sub, "bond0");
    wait_for_neighbour(client, mac_of(sub));
}
