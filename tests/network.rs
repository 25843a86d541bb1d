//! Address takeover on real network segments: three boxes and a switch in network namespaces, made and removed by each
//! test. Needs root.
#![allow(clippy::unwrap_used, reason = "a test that fails may stop there")]

#[path = "network/interfaces.rs"]
mod interfaces;
#[path = "network/ipv6.rs"]
mod ipv6;
#[path = "support/netns.rs"]
mod netns;
#[path = "network/strangers.rs"]
mod strangers;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use duplex::network::{
    AddressNews, Aliases, ArpFrame, ArpPort, Mac, Neighbours, NetworkError, Operation, Sighting, watch_addresses,
};
use netns::{INTERFACE, Lab, LabBox, stay_on_one_processor};
use tokio::time::timeout;

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The same, as whoever deals in both kinds knows it.
const ALIAS: IpAddr = IpAddr::V4(SERVICE);
const LABEL: &str = "eth0:main";
const SHORTEST: Duration = Duration::from_secs(1);
/// The kernel looks for aged addresses once a second at most.
const KERNEL_SLACK: Duration = Duration::from_millis(1_100);
const LONG: Duration = Duration::from_secs(60);
/// For what happens within milliseconds; a busy machine may need longer.
const SOON: Duration = Duration::from_secs(10);

fn lab() -> Lab {
    Lab::new(&["main", "sub", "client"])
}

fn mac_of(machine: &LabBox) -> Mac {
    Mac(machine.mac)
}

/// Lets the box hold the service address, as if it had won it.
fn hold_service_address(machine: &LabBox) {
    hold(machine, ALIAS);
}

fn hold(machine: &LabBox, address: IpAddr) {
    machine.run(async || Aliases::open()?.add_or_refresh(INTERFACE, address, LONG, LABEL).await).expect("the alias is added");
}

/// The frames that `observer` hears until `enough` are heard, while `act` goes on.
fn heard_by(observer: &LabBox, enough: impl Fn(&[ArpFrame]) -> bool + Send, act: impl FnOnce()) -> Vec<ArpFrame> {
    let (is_listening, listening) = mpsc::channel();
    thread::scope(|scope| {
        let hear = move || async move {
            let port = ArpPort::open(INTERFACE).expect("the observer's port opens");
            is_listening.send(()).expect("somebody waits for it");
            let mut frames = Vec::new();
            while !enough(&frames) {
                let heard = timeout(SOON, port.next()).await.unwrap_or_else(|_| panic!("only heard {frames:?}"));
                frames.push(heard.expect("it hears"));
            }
            frames
        };
        let observer = scope.spawn(|| observer.run(hear));
        listening.recv().expect("the observer listens");
        act();
        observer.join().expect("the observer heard enough")
    })
}

/// Waits until the box believes that the service address is at `mac`.
fn wait_for_neighbour(machine: &LabBox, mac: Mac) {
    wait_for_entry(machine, ALIAS, mac);
}

fn wait_for_entry(machine: &LabBox, address: IpAddr, mac: Mac) {
    let begin = Instant::now();
    while !machine.neighbour(address).contains(&mac.to_string()) {
        assert!(begin.elapsed() < SOON, "the entry is still {}", machine.neighbour(address));
    }
}

#[test]
fn an_alias_is_a_labelled_host_address_that_leaves_the_routes_alone() {
    let lab = lab();
    let main = lab.machine("main");
    let routes = main.ip("route");
    hold_service_address(main);
    let shown = main.ip("-oneline -4 address show dev eth0");
    let alias = shown.lines().find(|line| line.contains("10.77.0.1/32")).expect("it is a /32");
    assert!(alias.contains("noprefixroute") && alias.contains(LABEL) && !alias.contains("forever"), "{alias}");
    assert_eq!(main.ip("route"), routes);
}

#[test]
fn the_list_says_of_each_address_what_ip_says() {
    let lab = lab();
    let main = lab.machine("main");
    hold_service_address(main);
    let mut list = main.run(async || Aliases::open()?.list(INTERFACE).await).expect("a list");
    list.retain(|held| held.address.is_ipv4());
    let [fixed, alias] = list.as_slice() else { panic!("two addresses: {list:?}") };
    let fixed_ip = IpAddr::V4(main.address);
    assert_eq!((fixed.address, fixed.prefix_len, fixed.prefix_route, fixed.expires_in), (fixed_ip, 24, true, None));
    assert_eq!((alias.address, alias.prefix_len, alias.prefix_route), (ALIAS, 32, false));
    assert_eq!(alias.label, LABEL);
    assert!(alias.expires_in.is_some_and(|rest| rest <= LONG && rest > LONG - SOON));
}

/// Gives the alias its last and shortest lifetime, and sees it go.
async fn wait_for_its_end(aliases: &Aliases, alias: IpAddr) {
    aliases.add_or_refresh(INTERFACE, alias, SHORTEST, LABEL).await.unwrap();
    let begin = Instant::now();
    // Asking without a pause keeps the processor awake, which the kernel would not wake to look for aged addresses.
    while aliases.holds(INTERFACE, alias).await.unwrap() {
        assert!(begin.elapsed() < SHORTEST + KERNEL_SLACK, "it is still there");
    }
}

#[test]
fn without_refresh_the_kernel_removes_an_alias_when_its_latest_lifetime_ends() {
    let lab = lab();
    lab.machine("main").run(async || {
        let (aliases, mut news) = (Aliases::open().unwrap(), watch_addresses().unwrap());
        stay_on_one_processor();
        aliases.add_or_refresh(INTERFACE, ALIAS, LONG, LABEL).await.unwrap();
        wait_for_its_end(&aliases, ALIAS).await;
        assert_eq!(news.recv().await, Some(AddressNews::Removed { address: ALIAS }));
    });
}

#[test]
fn refreshing_keeps_an_alias_beyond_its_first_lifetime() {
    let lab = lab();
    lab.machine("main").run(async || {
        let (aliases, mut news) = (Aliases::open().unwrap(), watch_addresses().unwrap());
        aliases.add_or_refresh(INTERFACE, ALIAS, SHORTEST, LABEL).await.unwrap();
        aliases.add_or_refresh(INTERFACE, ALIAS, LONG, LABEL).await.unwrap();
        timeout(SHORTEST + KERNEL_SLACK, news.recv()).await.expect_err("nothing was removed");
        assert!(aliases.holds(INTERFACE, ALIAS).await.unwrap());
    });
}

#[test]
fn removing_an_alias_that_is_gone_already_succeeds() {
    let lab = lab();
    lab.machine("main").run(async || {
        let aliases = Aliases::open().unwrap();
        aliases.add_or_refresh(INTERFACE, ALIAS, LONG, LABEL).await.unwrap();
        for _ in 0..2 {
            aliases.remove(INTERFACE, ALIAS).await.unwrap();
            assert!(!aliases.holds(INTERFACE, ALIAS).await.unwrap());
        }
        aliases.remove("eth9", ALIAS).await.expect("an interface that is gone holds nothing");
    });
}

#[test]
fn an_address_that_somebody_added_with_a_wider_prefix_is_removed_too() {
    let lab = lab();
    let main = lab.machine("main");
    hold_service_address(main);
    main.ip("address add 10.77.0.1/24 dev eth0");
    main.run(async || Aliases::open()?.remove(INTERFACE, ALIAS).await).unwrap();
    let left = main.run(async || Aliases::open()?.list(INTERFACE).await).unwrap();
    let left: Vec<_> = left.iter().map(|held| held.address).filter(IpAddr::is_ipv4).collect();
    assert_eq!(left, [IpAddr::V4(main.address)]);
}

#[test]
fn an_alias_survives_the_removal_of_its_subnets_first_address() {
    let lab = lab();
    let main = lab.machine("main");
    hold_service_address(main);
    main.ip("address delete 10.77.0.11/24 dev eth0");
    assert!(main.run(async || Aliases::open()?.holds(INTERFACE, ALIAS).await).unwrap());
}

#[test]
fn a_removal_by_hand_is_told_at_once() {
    let lab = lab();
    let main = lab.machine("main");
    hold_service_address(main);
    main.run(async || {
        let mut news = watch_addresses().unwrap();
        main.ip("address delete 10.77.0.1/32 dev eth0");
        let told = timeout(Duration::from_secs(1), news.recv()).await.expect("within a second");
        assert_eq!(told, Some(AddressNews::Removed { address: ALIAS }));
    });
}

#[test]
fn a_pulled_cable_and_its_return_are_told_once_each() {
    let lab = lab();
    lab.machine("main").run(async || {
        let (aliases, mut news) = (Aliases::open().unwrap(), watch_addresses().unwrap());
        for up in [false, true] {
            lab.plug("main", up);
            let told = timeout(SOON, news.recv()).await.expect("it is told");
            assert_eq!(told, Some(AddressNews::Carrier { interface: INTERFACE.to_owned(), up }));
            assert_eq!(aliases.carrier(INTERFACE).await.unwrap(), up);
        }
    });
}

#[test]
fn an_interface_that_is_replaced_is_told_as_a_lost_and_regained_carrier() {
    let lab = lab();
    lab.machine("main").run(async || {
        let mut news = watch_addresses().unwrap();
        lab.replace_interface("main");
        let mut states = Vec::new();
        while states.last() != Some(&true) {
            match timeout(SOON, news.recv()).await.expect("it is told") {
                Some(AddressNews::Carrier { interface, up }) if interface == INTERFACE => states.push(up),
                Some(_) => {}
                None => panic!("the news ended"),
            }
        }
        states.dedup();
        assert_eq!(states, [false, true]);
    });
}

#[test]
fn news_that_nobody_reads_are_dropped_beyond_the_limit() {
    let lab = lab();
    lab.machine("main").run(async || {
        let (aliases, mut news) = (Aliases::open().unwrap(), watch_addresses().unwrap());
        for _ in 0..2 * duplex::network::NEWS_LEN_MAX {
            aliases.add_or_refresh(INTERFACE, ALIAS, LONG, LABEL).await.unwrap();
            aliases.remove(INTERFACE, ALIAS).await.unwrap();
        }
        assert_eq!(news.len(), duplex::network::NEWS_LEN_MAX);
        assert_eq!(news.recv().await, Some(AddressNews::Removed { address: ALIAS }));
    });
}

#[test]
fn the_default_gateway_is_found_by_interface() {
    let lab = lab();
    let main = lab.machine("main");
    let gateway = || main.run(async || Aliases::open()?.gateway(INTERFACE).await).unwrap();
    assert_eq!(gateway(), None);
    main.ip("route add default via 10.77.0.254");
    assert_eq!(gateway(), Some(Ipv4Addr::new(10, 77, 0, 254)));
}

#[test]
fn errors_name_the_interface_and_the_address() {
    let lab = lab();
    lab.machine("main").run(async || {
        let aliases = Aliases::open().unwrap();
        let missing = aliases.add_or_refresh("eth9", ALIAS, LONG, LABEL).await.unwrap_err();
        assert_eq!(missing.to_string(), "there is no interface eth9");
        let too_long = aliases.add_or_refresh(INTERFACE, ALIAS, 2 * LONG, LABEL).await.unwrap_err();
        assert_eq!(too_long.to_string(), "cannot hold 10.77.0.1 on eth0: the lifetime 120s is not within 1 s and 60s");
        assert!(matches!(ArpPort::open("eth9"), Err(NetworkError::NoInterface { interface }) if interface == "eth9"));
        assert!(matches!(ArpPort::open("lo"), Err(NetworkError::NotEthernet { interface }) if interface == "lo"));
        lab.machine("main").ip("link set eth0 down");
        let port = ArpPort::open(INTERFACE).unwrap();
        let off = port.announce(SERVICE).unwrap_err().to_string();
        assert!(off.starts_with("cannot send arp for 10.77.0.1 on eth0: "), "{off}");
    });
}

#[test]
fn an_announcement_reaches_everybody_in_both_forms() {
    let lab = lab();
    let main = lab.machine("main");
    let announced = heard_by(
        lab.machine("client"),
        |frames| frames.len() == 2,
        || {
            main.run(async || ArpPort::open(INTERFACE)?.announce(SERVICE)).unwrap();
        },
    );
    assert_eq!(announced.iter().map(|frame| frame.operation).collect::<Vec<_>>(), [Operation::Request, Operation::Reply]);
    for frame in announced {
        assert_eq!((frame.destination, frame.sender_mac), (Mac::EVERYBODY, mac_of(main)));
        assert_eq!((frame.sender_ip, frame.target_ip), (SERVICE, SERVICE));
    }
}

#[test]
fn an_announcement_moves_a_clients_neighbour_entry_from_a_frozen_main_to_sub() {
    let lab = lab();
    let (main, sub, client) = (lab.machine("main"), lab.machine("sub"), lab.machine("client"));
    hold_service_address(main);
    client.talk_to(SERVICE);
    assert!(client.neighbour(SERVICE).contains(&mac_of(main).to_string()));
    hold_service_address(sub);
    sub.run(async || ArpPort::open(INTERFACE)?.announce(SERVICE)).unwrap();
    wait_for_neighbour(client, mac_of(sub));
}

#[test]
fn a_neighbour_that_is_answered_or_asked_learns_the_new_owner_without_any_broadcast_announcement() {
    let lab = lab();
    let (main, sub, client) = (lab.machine("main"), lab.machine("sub"), lab.machine("client"));
    // By default Linux ignores an answer that was not asked for within a second of the last one.
    client.enter(|| std::fs::write("/proc/sys/net/ipv4/neigh/eth0/locktime", "0")).unwrap();
    hold_service_address(main);
    client.talk_to(SERVICE);
    let neighbour = (client.address, mac_of(client));
    sub.run(async || ArpPort::open(INTERFACE)?.reply_to(neighbour, SERVICE)).unwrap();
    wait_for_neighbour(client, mac_of(sub));
    main.run(async || ArpPort::open(INTERFACE)?.ask(client.address, SERVICE)).unwrap();
    wait_for_neighbour(client, mac_of(main));
}

#[test]
fn who_asks_for_an_address_is_remembered_as_a_neighbour() {
    let lab = lab();
    let (main, client) = (lab.machine("main"), lab.machine("client"));
    hold_service_address(main);
    let heard = heard_by(lab.machine("sub"), |frames| !frames.is_empty(), || client.talk_to(SERVICE));
    let mut neighbours = Neighbours::new();
    heard.iter().for_each(|frame| neighbours.heard(&Sighting::from(frame)));
    assert_eq!(neighbours.ipv4().collect::<Vec<_>>(), [(client.address, mac_of(client))]);
}

#[test]
fn a_port_announces_again_as_soon_as_its_interface_is_back() {
    let lab = lab();
    let main = lab.machine("main");
    main.run(async || {
        let port = ArpPort::open(INTERFACE).unwrap();
        main.ip("link set eth0 down");
        port.announce(SERVICE).expect_err("it is switched off");
        main.ip("link set eth0 up");
        port.announce(SERVICE).expect("it is switched on again");
    });
}

#[test]
fn a_port_follows_its_interface_when_that_is_recreated() {
    let lab = lab();
    let (main, client) = (lab.machine("main"), lab.machine("client"));
    main.run(async || {
        let port = ArpPort::open(INTERFACE).unwrap();
        lab.replace_interface("main");
        let announced = heard_by(
            client,
            |frames| frames.iter().any(|frame| frame.claims(SERVICE)),
            || {
                port.announce(SERVICE).expect("the new interface is found");
            },
        );
        assert!(announced.iter().any(|frame| frame.sender_mac == mac_of(main)));
        client.run(async || ArpPort::open(INTERFACE)?.announce(SERVICE)).unwrap();
        let heard = timeout(SOON, port.next()).await.expect("it hears again").unwrap();
        assert!(heard.claims(SERVICE) && heard.sender_mac == mac_of(client));
    });
}

#[test]
fn a_laboratory_leaves_nothing_behind_also_when_its_test_panics() {
    let (tell, told) = mpsc::channel();
    let failed = thread::spawn(move || {
        let lab = lab();
        tell.send(lab.machine("main").namespace.clone()).unwrap();
        lab.machine("main").enter(|| panic!("this panic is part of the test"));
    });
    failed.join().expect_err("it panicked");
    let namespace = told.recv().unwrap();
    assert!(!std::path::Path::new("/run/netns").join(&namespace).exists());
}
