//! The same in IPv6: lifetimes, neighbour advertisements, and addresses that the kernel found in use.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use duplex::network::{AddressNews, Aliases, Mac, NdpFrame, NdpMessage, NdpPort, Said, Segment, Sighting, Was, watch_addresses};
use tokio::time::timeout;

use crate::netns::{INTERFACE, Lab, LabBox, stay_on_one_processor};
use crate::{KERNEL_SLACK, LABEL, LONG, SHORTEST, SOON, hold, lab, mac_of, wait_for_entry, wait_for_its_end};

const SERVICE: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
const ALIAS: IpAddr = IpAddr::V6(SERVICE);

fn lab_with_ipv6() -> Lab {
    let lab = lab();
    ["main", "sub", "client"].iter().for_each(|name| lab.machine(name).add_ipv6());
    lab
}

/// The frames that `observer` hears until one is as wanted, while `act` goes on.
fn heard_by(observer: &LabBox, wanted: impl Fn(&NdpFrame) -> bool + Send, act: impl FnOnce()) -> NdpFrame {
    let (is_listening, listening) = mpsc::channel();
    thread::scope(|scope| {
        let hear = move || async move {
            let port = NdpPort::open(INTERFACE).expect("the observer's port opens");
            is_listening.send(()).expect("somebody waits for it");
            loop {
                let heard = timeout(SOON, port.next()).await.expect("it comes soon").expect("it hears");
                if wanted(&heard) {
                    return heard;
                }
            }
        };
        let observer = scope.spawn(|| observer.run(hear));
        listening.recv().expect("the observer listens");
        act();
        observer.join().expect("the observer heard it")
    })
}

fn shown(machine: &LabBox) -> String {
    let all = machine.ip("-oneline -6 address show dev eth0");
    all.lines().find(|line| line.contains("fd77::1/")).unwrap_or_default().to_owned()
}

#[test]
fn an_ipv6_alias_is_usable_at_once_expires_and_leaves_the_routes_alone() {
    let lab = lab_with_ipv6();
    let main = lab.machine("main");
    let routes = main.ip("-6 route");
    hold(main, ALIAS);
    let alias = shown(main);
    assert!(alias.contains("fd77::1/128") && alias.contains("noprefixroute") && alias.contains("nodad"), "{alias}");
    assert!(!alias.contains("tentative") && !alias.contains("forever"), "{alias}");
    assert_eq!(main.ip("-6 route"), routes);
    // Without a second of looking whether somebody else has it.
    lab.machine("client").talk_to(SERVICE);
}

#[test]
fn without_refresh_the_kernel_removes_an_ipv6_alias_too_and_with_refresh_it_stays() {
    let lab = lab_with_ipv6();
    lab.machine("main").run(async || {
        let (aliases, mut news) = (Aliases::open().unwrap(), watch_addresses().unwrap());
        stay_on_one_processor();
        aliases.add_or_refresh(INTERFACE, ALIAS, SHORTEST, LABEL).await.unwrap();
        aliases.add_or_refresh(INTERFACE, ALIAS, LONG, LABEL).await.unwrap();
        timeout(SHORTEST + KERNEL_SLACK, news.recv()).await.expect_err("nothing was removed");
        wait_for_its_end(&aliases, ALIAS).await;
        assert_eq!(news.recv().await, Some(AddressNews::Removed { address: ALIAS }));
    });
}

#[test]
fn an_address_that_the_kernel_disabled_because_another_station_has_it_is_added_anew() {
    let lab = lab_with_ipv6();
    let main = lab.machine("main");
    hold(lab.machine("client"), ALIAS);
    main.ip("address add fd77::1/64 dev eth0");
    let begin = Instant::now();
    while !shown(main).contains("dadfailed") {
        assert!(begin.elapsed() < SOON, "the kernel asks before it uses an address: {}", shown(main));
    }
    let added = main.run(async || {
        let aliases = Aliases::open()?;
        let first = aliases.add_or_refresh(INTERFACE, ALIAS, LONG, LABEL).await?;
        Ok::<_, duplex::network::NetworkError>([first, aliases.add_or_refresh(INTERFACE, ALIAS, LONG, LABEL).await?])
    });
    assert_eq!(added.unwrap(), [Was::Disabled, Was::Well]);
    let alias = shown(main);
    assert!(alias.contains("fd77::1/128") && !alias.contains("dadfailed") && !alias.contains("tentative"), "{alias}");
}

#[test]
fn an_ipv6_address_removed_by_hand_is_told_at_once() {
    let lab = lab_with_ipv6();
    let main = lab.machine("main");
    hold(main, ALIAS);
    main.run(async || {
        let mut news = watch_addresses().unwrap();
        main.ip("address delete fd77::1/128 dev eth0");
        let told = timeout(Duration::from_secs(1), news.recv()).await.expect("within a second");
        assert_eq!(told, Some(AddressNews::Removed { address: ALIAS }));
    });
}

#[test]
fn an_advertisement_reaches_everybody_overrides_and_names_the_owner() {
    let lab = lab_with_ipv6();
    let main = lab.machine("main");
    let told = heard_by(
        lab.machine("client"),
        |frame| frame.claims(SERVICE),
        || {
            main.run(async || NdpPort::open(INTERFACE)?.announce(SERVICE)).unwrap();
        },
    );
    assert_eq!(told.message, NdpMessage::Advertisement { solicited: false, overrides: true });
    assert_eq!((told.receiver, told.destination), ("ff02::1".parse().unwrap(), Mac([0x33, 0x33, 0, 0, 0, 1])));
    assert_eq!((told.source, told.source_mac, told.link_layer), (SERVICE, mac_of(main), Some(mac_of(main))));
}

#[test]
fn an_advertisement_moves_a_clients_neighbour_entry_from_a_frozen_main_to_sub() {
    let lab = lab_with_ipv6();
    let (main, sub, client) = (lab.machine("main"), lab.machine("sub"), lab.machine("client"));
    hold(main, ALIAS);
    client.talk_to(SERVICE);
    assert!(client.neighbour(SERVICE).contains(&mac_of(main).to_string()));
    hold(sub, ALIAS);
    sub.run(async || NdpPort::open(INTERFACE)?.announce(SERVICE)).unwrap();
    wait_for_entry(client, ALIAS, mac_of(sub));
}

#[test]
fn a_neighbour_that_is_told_by_name_or_asked_learns_the_new_owner_without_any_announcement_to_all() {
    let lab = lab_with_ipv6();
    let (main, sub, client) = (lab.machine("main"), lab.machine("sub"), lab.machine("client"));
    hold(main, ALIAS);
    client.talk_to(SERVICE);
    let neighbour = (client.ipv6(), mac_of(client));
    sub.run(async || NdpPort::open(INTERFACE)?.reply_to(neighbour, SERVICE)).unwrap();
    wait_for_entry(client, ALIAS, mac_of(sub));
    main.run(async || NdpPort::open(INTERFACE)?.ask(client.ipv6(), SERVICE)).unwrap();
    wait_for_entry(client, ALIAS, mac_of(main));
}

#[test]
fn who_probes_hears_the_owner_and_nobody_else_is_told_anything() {
    let lab = lab_with_ipv6();
    let (main, sub, client) = (lab.machine("main"), lab.machine("sub"), lab.machine("client"));
    hold(main, ALIAS);
    client.talk_to(SERVICE);
    let known = client.neighbour(SERVICE);
    let answer = heard_by(
        sub,
        |frame| frame.claims(SERVICE),
        || {
            sub.run(async || NdpPort::open(INTERFACE)?.probe(SERVICE)).unwrap();
        },
    );
    let sighting = Sighting { mac: mac_of(main), address: ALIAS, said: Said::Mine, to_everybody: false };
    assert_eq!(Sighting::from(&answer), sighting);
    assert!(known.contains(&mac_of(main).to_string()) && client.neighbour(SERVICE).contains(&mac_of(main).to_string()));
}

#[test]
fn a_stranger_that_is_about_to_take_our_address_is_sighted_with_its_mac() {
    let lab = lab_with_ipv6();
    let (main, client) = (lab.machine("main"), lab.machine("client"));
    hold(main, ALIAS);
    let asked = heard_by(main, |frame| frame.probes(SERVICE), || drop(client.ip("address add fd77::1/64 dev eth0")));
    let sighting = Sighting { mac: mac_of(client), address: ALIAS, said: Said::Wanted, to_everybody: true };
    assert_eq!(Sighting::from(&asked), sighting);
}

#[test]
fn a_segment_announces_in_both_kinds_and_hears_both() {
    let lab = lab_with_ipv6();
    let (main, client) = (lab.machine("main"), lab.machine("client"));
    let both = [IpAddr::V4(crate::SERVICE), ALIAS];
    main.run(async || {
        let segment = Segment::open(INTERFACE, &both).unwrap();
        client
            .run(async || {
                let segment = Segment::open(INTERFACE, &both)?;
                both.iter().try_for_each(|address| segment.announce(*address, &duplex::network::Neighbours::new(), &[]))
            })
            .unwrap();
        let mut heard = Vec::new();
        while !both.iter().all(|address| heard.contains(address)) {
            let sighting = timeout(SOON, segment.next()).await.expect("soon").unwrap();
            // The others' kernels look for their own addresses meanwhile.
            if both.contains(&sighting.address) {
                assert_eq!(sighting.mac, mac_of(client), "{sighting:?}");
                heard.push(sighting.address);
            }
        }
    });
}
