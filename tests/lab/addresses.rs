//! Service addresses: removed behind the server's back, claimed by a third machine, held on by a frozen server; in IPv4 and IPv6.

use std::{
    fs,
    net::IpAddr,
    time::{Duration, Instant},
};

use duplex::{
    cli::history::now_us,
    network::{Mac, Sighting},
};
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    RATE, SOME,
    checker::judge,
    netns::{INTERFACE, LabBox},
    pair::{
        CLIENT, HALL_1, HALL_2, MAIN_ADDRESS, MAIN_IPV6, PAIR_LIMIT, Pair, SERVERS, SUB_ADDRESS, SUB_IPV6, TAKEOVER_LIMIT,
        WITNESS,
    },
    say,
    site::Site,
    under_load, until,
    watchers::{ask_steadily, hear_claims, longest_gap_ms},
};

const BOTH_KINDS: [IpAddr; 2] = [IpAddr::V4(MAIN_ADDRESS), IpAddr::V6(MAIN_IPV6)];
/// What is removed by hand is back by then.
const BACK_LIMIT: Duration = Duration::from_secs(1);

fn mac(machine: &LabBox) -> String {
    Mac(machine.mac).to_string()
}

fn prefix_len(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The witness's box plays the third machine: nobody reaches it at a service address otherwise.
fn printer(pair: &Pair) -> &LabBox {
    pair.lab.machine(WITNESS)
}

fn conflicts(pair: &Pair, server: usize) -> serde_json::Value {
    pair.status(server)["conflicts"].clone()
}

fn wait_until_held(pair: &Pair, addresses: &[IpAddr], holder: usize, limit: Duration) {
    until("the addresses are there", limit, || addresses.iter().all(|address| pair.holders(*address) == [holder]));
}

#[test]
fn a_client_of_either_kind_is_served_across_a_takeover() {
    let (mut pair, mut teller, mut load) = under_load(Pair::of(Site { ipv6: true, ..Site::default() }), RATE);
    let analysis = ask_steadily(pair.client(), SUB_IPV6);
    let asked = ask_steadily(pair.client(), MAIN_IPV6);
    load.wait_for_answers(SOME);
    assert_eq!(pair.status(HALL_1)["addresses"], json!(["10.77.0.1", "fd77::1"]));
    assert!(pair.client().neighbour(MAIN_IPV6).contains(&mac(pair.machine(HALL_1))));

    let killed_us = now_us();
    pair.kill(HALL_1);
    load.wait_for_answers(SOME);
    assert_eq!(pair.status(HALL_2)["addresses"], json!(["10.77.0.1", "fd77::1", "10.77.0.2", "fd77::2"]));
    let (told, survivor) = (pair.client().neighbour(MAIN_IPV6), mac(pair.machine(HALL_2)));
    assert!(told.contains(&survivor), "{told}");
    pair.start(HALL_1);
    pair.wait_for_pair();
    wait_until_held(&pair, &[SUB_ADDRESS.into(), SUB_IPV6.into()], HALL_1, TAKEOVER_LIMIT);
    load.wait_for_answers(SOME);
    load.stop();
    let (answers, of_sub) = (asked.finish(), analysis.finish());
    assert!(answers.iter().any(|at_us| *at_us > killed_us + 1_000_000), "the survivor answers in IPv6");
    judge(&mut pair, &mut teller);
    let [gap_ms, sub_ms] = [&answers, &of_sub].map(|answers| longest_gap_ms(answers));
    say(&format!("{}: a client of IPv6 waited {gap_ms} ms at main, {sub_ms} ms at sub", pair.scenario));
    assert!(gap_ms < 2_000, "main in IPv6 was away for {gap_ms} ms");
}

#[test]
fn an_address_removed_by_hand_is_back_within_a_second_and_announced_again() {
    let (mut pair, mut teller, mut load) = under_load(Pair::of(Site { ipv6: true, ..Site::default() }), RATE);
    let (claims, own) = (hear_claims(pair.client(), BOTH_KINDS), Mac(pair.machine(HALL_1).mac));
    let removed_us = BOTH_KINDS.map(|address| {
        let removed_us = now_us();
        pair.machine(HALL_1).ip(&format!("address delete {address}/{} dev {INTERFACE}", prefix_len(address)));
        wait_until_held(&pair, &[address], HALL_1, BACK_LIMIT);
        let words = format!("it is put back, actor: address-keeper, address: {address}");
        until("it is told", BACK_LIMIT, || pair.servers[HALL_1].has_said(&words));
        load.wait_for_answers(SOME);
        removed_us
    });
    load.stop();
    let claims = claims.finish();
    for (address, removed_us) in BOTH_KINDS.into_iter().zip(removed_us) {
        let within = removed_us..removed_us + 1_500_000;
        let is_of = |(at_us, claim): &&(u64, Sighting)| {
            within.contains(at_us) && (claim.mac, claim.address, claim.to_everybody) == (own, address, true)
        };
        let announced = claims.iter().filter(is_of).count();
        assert!(announced >= 5, "{address} is announced again as after a takeover, not {announced} times");
    }
    judge(&mut pair, &mut teller);
}

#[test]
fn a_link_that_flaps_and_an_interface_that_is_made_anew_keep_no_address_away() {
    let site = Site { ipv6: true, direct: true, ..Site::default() };
    let (mut pair, mut teller, mut load) = under_load(Pair::of(site), RATE);
    let main = pair.machine(HALL_1);
    // The kernel takes away what is of IPv6, and the routes.
    for _ in 0..3 {
        main.ip(&format!("link set {INTERFACE} down"));
        main.ip(&format!("link set {INTERFACE} up"));
        wait_until_held(&pair, &BOTH_KINDS, HALL_1, BACK_LIMIT);
    }
    load.wait_for_answers(SOME);
    pair.lab.replace_interface(SERVERS[HALL_1]);
    // Its lifetime would end after two; a busy machine makes the new cable slowly.
    wait_until_held(&pair, &BOTH_KINDS, HALL_1, 4 * BACK_LIMIT);
    load.wait_for_answers(SOME);
    let told = pair.client().neighbour(MAIN_ADDRESS);
    assert!(told.contains(&mac(pair.machine(HALL_1))), "{told}");
    load.stop();
    judge(&mut pair, &mut teller);
}

#[test]
fn an_address_that_a_printer_has_is_not_taken_at_the_start_and_is_as_soon_as_the_printer_is_gone() {
    let (mut pair, mut teller, mut load) = under_load(Pair::of(Site { ipv6: true, ..Site::default() }), RATE);
    pair.servers.iter().for_each(|server| server.signal(Signal::SIGKILL));
    pair.servers.iter_mut().for_each(|server| {
        server.ended();
    });
    let has = |pair: &Pair, verb: &str| {
        for address in BOTH_KINDS {
            let of_ipv6 = if address.is_ipv6() && verb == "add" { " nodad" } else { "" };
            printer(pair).ip(&format!("address {verb} {address}/{} dev {INTERFACE}{of_ipv6}", prefix_len(address)));
        }
    };
    has(&pair, "add");
    let printers_mac = mac(printer(&pair));
    pair.start(HALL_1);
    pair.start(HALL_2);
    pair.wait_for_pair();
    let main = pair.serving().expect("a pair has a main server");
    until("status names the printer", TAKEOVER_LIMIT, || conflicts(&pair, main) == json!([printers_mac]));
    assert!(pair.servers[main].has_said("a third machine has the address"));
    until("it says why it is not reached", TAKEOVER_LIMIT, || {
        pair.status(main)["sentence"]["en"] == "Another device uses the service address"
    });
    // Longer than a server with a bad cable stays main.
    let begun = Instant::now();
    until("a round of probes is over", TAKEOVER_LIMIT, || begun.elapsed() > Duration::from_secs(4));
    assert!(pair.holders(MAIN_ADDRESS).is_empty() && pair.holders(MAIN_IPV6).is_empty(), "it is the printer's");
    assert_eq!(pair.serving(), Some(main), "the other server could not have it either");
    has(&pair, "delete");
    wait_until_held(&pair, &BOTH_KINDS, main, TAKEOVER_LIMIT);
    load.wait_for_answers(SOME);
    load.stop();
    judge(&mut pair, &mut teller);
}

#[test]
fn a_takeover_waits_for_no_printer_and_names_it() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);
    printer(&pair).ip(&format!("address add {MAIN_ADDRESS}/32 dev {INTERFACE}"));
    let printers_mac = mac(printer(&pair));
    // It says nothing by itself, and is asked with every announcement.
    until("main names the printer", TAKEOVER_LIMIT, || conflicts(&pair, HALL_1) == json!([printers_mac]));
    let killed = Instant::now();
    pair.kill(HALL_1);
    until("sub has the address", TAKEOVER_LIMIT, || pair.holders(MAIN_ADDRESS).contains(&HALL_2));
    let took_ms = killed.elapsed().as_millis();
    assert!(took_ms < 1_500, "no probe was waited for: {took_ms} ms");
    until("the survivor names the printer", TAKEOVER_LIMIT, || conflicts(&pair, HALL_2) == json!([printers_mac]));
    load.wait_for_answers(SOME);
    printer(&pair).ip(&format!("address delete {MAIN_ADDRESS}/32 dev {INTERFACE}"));
    pair.start(HALL_1);
    pair.wait_for_pair();
    load.wait_for_answers(SOME);
    load.stop();
    judge(&mut pair, &mut teller);
}

#[test]
fn a_frozen_main_that_answers_on_is_no_stranger_its_clients_move_and_it_is_told_in_the_end() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);
    let (old, new) = (mac(pair.machine(HALL_1)), mac(pair.machine(HALL_2)));
    assert!(pair.client().neighbour(MAIN_ADDRESS).contains(&old));
    pair.servers[HALL_1].signal(Signal::SIGSTOP);
    // As a kernel that hangs with everything but its network card: nothing takes the address away.
    pair.machine(HALL_1)
        .ip(&format!("address replace {MAIN_ADDRESS}/32 dev {INTERFACE} valid_lft forever preferred_lft forever"));
    until("sub has taken over", TAKEOVER_LIMIT, || pair.holders(MAIN_ADDRESS) == [HALL_1, HALL_2]);
    load.wait_for_answers(SOME);
    pair.wait_until_said(HALL_2, "the other server still answers for the address; switch it off", TAKEOVER_LIMIT);
    let told = pair.client().neighbour(MAIN_ADDRESS);
    assert!(told.contains(&new), "{told}");
    assert_eq!(conflicts(&pair, HALL_2), json!([]), "it is the pair's own");
    pair.servers[HALL_1].signal(Signal::SIGCONT);
    pair.wait_until_said(HALL_1, "a pair, as sub", PAIR_LIMIT);
    pair.wait_for_holders(HALL_2, HALL_1);
    assert_eq!([conflicts(&pair, HALL_1), conflicts(&pair, HALL_2)], [json!([]), json!([])]);
    load.wait_for_answers(SOME);
    load.stop();
    judge(&mut pair, &mut teller);
}

/// As a switch does whose spanning tree is not sure of the client's port yet.
#[test]
fn clients_that_hear_nothing_at_first_move_by_a_later_announcement() {
    let mut pair = Pair::at_work();
    let client = pair.client();
    client.talk_to(MAIN_ADDRESS);
    let (old, new) = (mac(pair.machine(HALL_1)), mac(pair.machine(HALL_2)));
    pair.lab.let_through(CLIENT, false);
    pair.kill(HALL_1);
    until("sub has taken over", TAKEOVER_LIMIT, || pair.holders(MAIN_ADDRESS) == [HALL_2]);
    let taken = Instant::now();
    until("the dense announcements are over", TAKEOVER_LIMIT, || taken.elapsed() > Duration::from_millis(2_500));
    let told = pair.client().neighbour(MAIN_ADDRESS);
    assert!(told.contains(&old), "it sent nothing, and heard nothing: {told}");
    pair.lab.let_through(CLIENT, true);
    until("a later announcement moves it", 2 * BACK_LIMIT, || pair.client().neighbour(MAIN_ADDRESS).contains(&new));
}

/// Its life begins anew in a server that is in service: nothing is asked for then.
#[test]
fn an_address_keeper_that_fails_takes_its_addresses_again_without_asking_who_has_them() {
    let files = TempDir::new().expect("there is room for files");
    let now = files.path().join("now");
    let fault = format!("address-keeper/keep:1@{}", now.display());
    let (mut pair, mut teller, mut load) = under_load(Pair::of(Site { faults: [Some(fault), None], ..Site::default() }), RATE);
    let taken = |pair: &Pair| {
        let words = format!("took the address, actor: address-keeper, address: {MAIN_ADDRESS}");
        [HALL_1, HALL_2].map(|server| pair.servers[server].words().matches(&words).count()).iter().sum::<usize>()
    };
    let before = taken(&pair);
    fs::write(&now, "").expect("there is room for files");
    until("it has failed, and the address is taken again", BACK_LIMIT, || taken(&pair) > before);
    pair.wait_for_pair();
    load.wait_for_answers(SOME);
    load.stop();
    judge(&mut pair, &mut teller);
}
