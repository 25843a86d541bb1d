//! Somebody else has the address, or is about to take it.

use std::net::IpAddr;

use duplex::network::{ArpPort, Said, Sighting};

use crate::netns::INTERFACE;
use crate::{ALIAS, SERVICE, heard_by, hold_service_address, lab, mac_of};

/// Whether the frame tells this address, and what it tells of it.
fn told_of(address: IpAddr, frame: &duplex::network::ArpFrame) -> Option<Sighting> {
    Some(Sighting::from(frame)).filter(|sighting| sighting.address == address)
}

#[test]
fn who_probes_is_answered_by_the_owner_alone_and_nobody_elses_table_changes() {
    let lab = lab();
    let (main, sub, client) = (lab.machine("main"), lab.machine("sub"), lab.machine("client"));
    hold_service_address(main);
    client.talk_to(SERVICE);
    let heard = heard_by(
        sub,
        |frames| frames.iter().any(|frame| told_of(ALIAS, frame).is_some()),
        || {
            sub.run(async || ArpPort::open(INTERFACE)?.probe(SERVICE)).unwrap();
        },
    );
    let answer = heard.iter().find_map(|frame| told_of(ALIAS, frame));
    assert_eq!(answer, Some(Sighting { mac: mac_of(main), address: ALIAS, said: Said::Mine, to_everybody: false }));
    assert!(client.neighbour(SERVICE).contains(&mac_of(main).to_string()));
}

#[test]
fn a_stranger_that_is_about_to_take_our_address_or_announces_it_is_sighted_with_its_mac() {
    let lab = lab();
    let (main, client) = (lab.machine("main"), lab.machine("client"));
    hold_service_address(main);
    let heard = heard_by(
        main,
        |frames| frames.iter().any(|frame| frame.claims(SERVICE)),
        || {
            client
                .run(async || {
                    let port = ArpPort::open(INTERFACE)?;
                    port.probe(SERVICE)?;
                    port.announce(SERVICE)
                })
                .unwrap();
        },
    );
    let told: Vec<Sighting> = heard.iter().filter_map(|frame| told_of(ALIAS, frame)).collect();
    let sighting = |said| Sighting { mac: mac_of(client), address: ALIAS, said, to_everybody: true };
    assert_eq!(told[..2], [sighting(Said::Wanted), sighting(Said::Mine)]);
}
