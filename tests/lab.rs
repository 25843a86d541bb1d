//! The laboratory: real processes in network namespaces, a client that records every answer, faults, and a checker that afterwards
//! proves P1, P2, P3 and P7. Needs root and iproute2; fails loudly without them.
#![allow(clippy::unwrap_used, reason = "a test that fails may stop there")]

#[path = "lab/checker.rs"]
mod checker;
#[path = "lab/load.rs"]
mod load;
#[path = "support/netns.rs"]
mod netns;
#[path = "lab/pair.rs"]
mod pair;
#[path = "lab/process.rs"]
mod process;
#[path = "lab/storms.rs"]
mod storms;
#[path = "lab/teller.rs"]
mod teller;
#[path = "lab/watchers.rs"]
mod watchers;

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use checker::{applied, judge, last_entry};
use duplex::{
    cli::{client::StoredOn, history::now_us},
    network::{Mac, Operation},
};
use nix::sys::signal::Signal;
use pair::{HALL_1, HALL_2, MAIN_ADDRESS, PAIR_LIMIT, Pair, SERVERS, SUB_ADDRESS, TAKEOVER_LIMIT};
use watchers::{ask_steadily, hear_arp, longest_gap_ms};

/// Commands a second of a scenario's terminals.
const RATE: Option<u32> = Some(200);
/// Answers before a fault, and after it: enough that every terminal has dealt several times.
const SOME: usize = 300;
/// What had been sent before a death may reach the client's history a little later.
const ON_ITS_WAY_US: u64 = 50_000;
/// Entries that a returning server lacks.
const BACKLOG: usize = 100_000;
/// Commands whose answers are asked for again at the end.
const DEALT: u64 = 12;

/// Waits for something that another process does. The only pause of the laboratory.
fn until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < limit, "waited for {} s in vain until {what}", limit.as_secs());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Past the test harness, which keeps what a passed test prints.
fn say(text: &str) {
    // Nothing can be done if nobody listens.
    let _ = writeln!(std::io::stderr(), "lab: {text}");
}

#[test]
fn main_killed_under_load_sub_takes_over_and_nothing_is_lost_or_doubled() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    teller.deal(pair.client(), DEALT);
    let survivor = Mac(pair.machine(HALL_2).mac);
    let (arp, analysis) = (hear_arp(pair.client()), ask_steadily(pair.client(), SUB_ADDRESS));
    let mut load = pair.load(RATE);
    load.wait_for_answers(SOME);

    let killed_us = now_us();
    pair.kill(HALL_1);
    load.wait_for_answers(SOME);
    let served_us = now_us();
    assert_eq!(pair.serving(), Some(HALL_2));
    assert!(pair.holders(MAIN_ADDRESS).contains(&HALL_2) && pair.holders(SUB_ADDRESS).contains(&HALL_2));
    assert!(pair.client().neighbour(MAIN_ADDRESS).contains(&survivor.to_string()), "{}", pair.client().neighbour(MAIN_ADDRESS));

    pair.start(HALL_1);
    pair.wait_for_pair();
    load.wait_for_answers(SOME);
    load.stop();
    let (frames, answers) = (arp.finish(), analysis.finish());
    for form in [Operation::Request, Operation::Reply] {
        let told = frames.iter().any(|(at_us, frame)| {
            (frame.operation, frame.sender_mac, frame.sender_ip, frame.target_ip) == (form, survivor, MAIN_ADDRESS, MAIN_ADDRESS)
                && *at_us > killed_us
        });
        assert!(told, "no gratuitous {form:?} among {} frames", frames.len());
    }
    let evidence = judge(&mut pair, &mut teller);
    let gap_ms = evidence.longest_gap_ms(killed_us, served_us);
    say(&format!("{}: terminals waited {gap_ms} ms, analysis {} ms", pair.scenario, longest_gap_ms(&answers)));
    assert!(evidence.stored_on(StoredOn::One) > 0, "the survivor said that it was alone");
}

#[test]
fn sub_killed_under_load_main_goes_on_alone_with_both_addresses() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    teller.deal(pair.client(), DEALT);
    let analysis = ask_steadily(pair.client(), SUB_ADDRESS);
    let mut load = pair.load(RATE);
    load.wait_for_answers(SOME);

    let killed_us = now_us();
    pair.kill(HALL_2);
    load.wait_for_answers(SOME);
    let served_us = now_us();
    assert_eq!(pair.serving(), Some(HALL_1));
    assert!(pair.holders(MAIN_ADDRESS).contains(&HALL_1) && pair.holders(SUB_ADDRESS).contains(&HALL_1));

    pair.start(HALL_2);
    pair.wait_for_pair();
    load.wait_for_answers(SOME);
    load.stop();
    let answers = analysis.finish();
    let evidence = judge(&mut pair, &mut teller);
    let gap_ms = evidence.longest_gap_ms(killed_us, served_us);
    say(&format!("{}: terminals waited {gap_ms} ms, analysis {} ms", pair.scenario, longest_gap_ms(&answers)));
    assert!(evidence.stored_on(StoredOn::One) > 0, "main said that it was alone");
}

#[test]
fn witness_killed_under_load_changes_nothing_and_when_it_is_back_sub_can_take_over() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    teller.deal(pair.client(), DEALT);
    let mut load = pair.load(RATE);
    load.wait_for_answers(SOME);

    let lost_us = now_us();
    pair.kill_witness();
    load.wait_for_answers(4 * SOME);
    let back_us = now_us();
    pair.wait_for_pair();
    pair.start_witness();
    load.wait_for_answers(SOME);

    let killed_us = now_us();
    pair.kill(HALL_1);
    load.wait_for_answers(SOME);
    let served_us = now_us();
    pair.start(HALL_1);
    pair.wait_for_pair();
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    let epochs: std::collections::BTreeSet<_> =
        evidence.acknowledged_within(lost_us, back_us).iter().filter_map(|told| told.place()).map(|(epoch, _)| epoch).collect();
    assert_eq!(epochs.len(), 1, "the pair stayed what it was: {epochs:?}");
    let (without_ms, gap_ms) = (evidence.longest_gap_ms(lost_us, back_us), evidence.longest_gap_ms(killed_us, served_us));
    say(&format!("{}: without the witness {without_ms} ms, at the takeover {gap_ms} ms", pair.scenario));
}

/// Kills both at once under load, starts them again as `restart` says, and judges.
fn after_both_died(restart: impl FnOnce(&mut Pair)) {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    teller.deal(pair.client(), DEALT);
    let mut load = pair.load(RATE);
    load.wait_for_answers(SOME);

    let killed_us = now_us();
    pair.servers.iter().for_each(|server| server.signal(Signal::SIGKILL));
    pair.servers.iter_mut().for_each(|server| {
        server.ended();
    });
    restart(&mut pair);
    pair.wait_for_pair();
    load.wait_for_answers(SOME);
    let served_us = now_us();
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    say(&format!("{}: terminals waited {} ms", pair.scenario, evidence.longest_gap_ms(killed_us, served_us)));
}

/// Starts one, lets it serve alone, then starts the other.
fn one_after_the_other(pair: &mut Pair, first: usize) {
    pair.start(first);
    until(&format!("{} serves alone", SERVERS[first]), TAKEOVER_LIMIT, || pair.serving() == Some(first));
    pair.start(1 - first);
}

#[test]
fn after_both_died_the_former_main_may_return_first() {
    after_both_died(|pair| one_after_the_other(pair, HALL_1));
}

#[test]
fn after_both_died_the_former_sub_may_return_first() {
    after_both_died(|pair| one_after_the_other(pair, HALL_2));
}

#[test]
fn after_both_died_both_may_return_at_once() {
    after_both_died(|pair| {
        pair.start(HALL_1);
        pair.start(HALL_2);
    });
}

/// Under full load there is always something that only one journal has when its server dies.
#[test]
fn servers_killed_again_and_again_under_full_load_lose_and_double_nothing() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    let mut load = pair.load(None);
    let mut gaps = Vec::new();
    for round in 0..6 {
        teller.deal(pair.client(), 1);
        load.wait_for_answers(SOME);
        let main = pair.serving().expect("a pair has a main server");
        // Twice main, then sub.
        let victim = if round % 3 == 2 { 1 - main } else { main };
        let killed_us = now_us();
        pair.kill(victim);
        load.wait_for_answers(SOME);
        gaps.push((killed_us, now_us()));
        pair.start(victim);
        pair.wait_for_pair();
    }
    load.stop();
    let saved = pair.saved_tails();
    let evidence = judge(&mut pair, &mut teller);
    let gaps_ms: Vec<u64> = gaps.into_iter().map(|(from_us, to_us)| evidence.longest_gap_ms(from_us, to_us)).collect();
    say(&format!("{}: terminals waited {gaps_ms:?} ms; {saved} tails saved", pair.scenario));
}

#[test]
fn a_former_main_that_returns_without_the_survivor_serves_nobody_until_the_survivor_is_back() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    let mut load = pair.load(RATE);
    load.wait_for_answers(SOME);
    pair.kill(HALL_1);
    load.wait_for_answers(SOME);
    pair.kill(HALL_2);
    let dead_us = now_us();
    pair.start(HALL_1);
    // The register is the survivor's: whoever reads it knows.
    pair.wait_until_said(HALL_1, "the other server has newer data", TAKEOVER_LIMIT);
    let asked = Instant::now();
    until("it has had time for a mistake", TAKEOVER_LIMIT, || asked.elapsed() > Duration::from_secs(3));
    assert_eq!((pair.serving(), pair.holders(MAIN_ADDRESS)), (None, vec![]));
    let back_us = now_us();
    pair.start(HALL_2);
    pair.wait_for_pair();
    teller.deal(pair.client(), DEALT);
    load.wait_for_answers(SOME);
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    assert_eq!(evidence.acknowledged_within(dead_us + ON_ITS_WAY_US, back_us).len(), 0, "the stale server acknowledged");
}

#[test]
fn subs_cable_pulled_under_load_main_goes_on_alone_and_sub_serves_nobody() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    teller.deal(pair.client(), DEALT);
    let mut load = pair.load(RATE);
    load.wait_for_answers(SOME);

    let pulled_us = now_us();
    pair.lab.plug(SERVERS[HALL_2], false);
    load.wait_for_answers(SOME);
    let served_us = now_us();
    assert_eq!(pair.serving(), Some(HALL_1));
    assert_eq!(
        [pair.holders(MAIN_ADDRESS), pair.holders(SUB_ADDRESS)],
        [[HALL_1], [HALL_1]],
        "the isolated server holds nothing"
    );
    pair.lab.plug(SERVERS[HALL_2], true);
    pair.wait_for_pair();
    load.wait_for_answers(SOME);
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    say(&format!("{}: terminals waited {} ms", pair.scenario, evidence.longest_gap_ms(pulled_us, served_us)));
}

#[test]
fn mains_cable_pulled_under_load_sub_takes_over_when_the_leases_have_run_out() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    teller.deal(pair.client(), DEALT);
    // As fast as they are answered: main has then begun what sub will never hear of.
    let mut load = pair.load(None);
    load.wait_for_answers(SOME);

    let pulled_us = now_us();
    pair.lab.plug(SERVERS[HALL_1], false);
    load.wait_for_answers(SOME);
    let served_us = now_us();
    assert_eq!(pair.holders(MAIN_ADDRESS), [HALL_2], "the isolated server gave its address up");
    pair.lab.plug(SERVERS[HALL_1], true);
    pair.wait_until_said(HALL_1, "a pair again, as sub", PAIR_LIMIT);
    load.wait_for_answers(SOME);
    let paired_us = now_us();
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    let (gap_ms, back_ms) = (evidence.longest_gap_ms(pulled_us, served_us), evidence.longest_gap_ms(served_us, paired_us));
    let saved = pair.saved_tails();
    say(&format!("{}: terminals waited {gap_ms} ms, and {back_ms} ms at the return; {saved} tails saved", pair.scenario));
}

#[test]
fn a_server_killed_twice_while_it_catches_up_still_comes_back_whole() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    teller.deal(pair.client(), DEALT);
    pair.kill(HALL_2);
    let (begin, mut load) = (last_entry(&pair, HALL_1), pair.load(None));
    until("the backlog is written", Duration::from_secs(240), || load.answers() >= BACKLOG);
    load.stop();
    let backlog_end = last_entry(&pair, HALL_1);
    let mut load = pair.load(RATE);

    let mut reached = vec![last_entry(&pair, HALL_2)];
    for further in [1, BACKLOG as u64 / 4] {
        let enough = reached[reached.len() - 1] + further;
        pair.start(HALL_2);
        until("it has caught up with some of it", PAIR_LIMIT, || applied(&pair, HALL_2) >= enough);
        pair.kill(HALL_2);
        reached.push(last_entry(&pair, HALL_2));
    }
    assert!(reached.is_sorted() && reached[2] < backlog_end, "killed while it caught up: {reached:?} of {backlog_end}");
    let started_us = now_us();
    pair.start(HALL_2);
    pair.wait_for_pair();
    let paired_us = now_us();
    load.wait_for_answers(SOME);
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    let (gap_ms, whole_ms) = (evidence.longest_gap_ms(started_us, paired_us), (paired_us - started_us) / 1_000);
    say(&format!(
        "{}: {begin} to {backlog_end}, killed at {reached:?}, back in {whole_ms} ms, terminals waited {gap_ms} ms",
        pair.scenario
    ));
}

#[test]
fn main_killed_while_the_witness_is_away_nobody_serves_until_it_is_back() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    teller.deal(pair.client(), DEALT);
    let mut load = pair.load(RATE);
    load.wait_for_answers(SOME);

    pair.kill_witness();
    let killed_us = now_us();
    pair.kill(HALL_1);
    let dead_us = now_us();
    pair.wait_until_said(HALL_2, "lost the other server", TAKEOVER_LIMIT);
    // Long enough for three silences: whoever would serve without a grant would do so by then.
    let asked = Instant::now();
    until("it has asked in vain for a while", TAKEOVER_LIMIT, || asked.elapsed() > Duration::from_millis(1_500));
    assert_eq!(pair.serving(), None);
    let back_us = now_us();
    pair.start_witness();
    load.wait_for_answers(SOME);
    let served_us = now_us();
    pair.start(HALL_1);
    pair.wait_for_pair();
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    let alone = evidence.acknowledged_within(dead_us + ON_ITS_WAY_US, back_us);
    assert!(alone.is_empty(), "{} commands were acknowledged without a grant, as {:?}", alone.len(), alone[0]);
    let (gap_ms, resumed_ms) = (evidence.longest_gap_ms(killed_us, served_us), evidence.longest_gap_ms(back_us, served_us));
    say(&format!("{}: terminals waited {gap_ms} ms ({resumed_ms} ms touches the witness's return)", pair.scenario));
}

#[test]
fn main_told_to_stop_under_load_hands_over_with_a_short_gap() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    teller.deal(pair.client(), DEALT);
    let mut load = pair.load(RATE);
    load.wait_for_answers(SOME);

    let told_us = now_us();
    pair.servers[HALL_1].signal(Signal::SIGTERM);
    let status = pair.servers[HALL_1].ended();
    assert!(status.success(), "a clean stop is a success: {status}");
    load.wait_for_answers(SOME);
    let served_us = now_us();
    assert_eq!(pair.holders(MAIN_ADDRESS), [HALL_2], "who stops gives its address up");
    pair.start(HALL_1);
    pair.wait_for_pair();
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    say(&format!("{}: terminals waited {} ms", pair.scenario, evidence.longest_gap_ms(told_us, served_us)));
}

#[test]
fn main_frozen_for_three_seconds_answers_nothing_as_main_when_it_wakes() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    teller.deal(pair.client(), DEALT);
    let mut load = pair.load(RATE);
    load.wait_for_answers(SOME);

    let (frozen_us, frozen) = (now_us(), Instant::now());
    pair.servers[HALL_1].signal(Signal::SIGSTOP);
    load.wait_for_answers(SOME);
    let served_us = now_us();
    let stale = teller.ask_at(pair.machine(HALL_1).address, pair.client());
    until("three seconds are over", TAKEOVER_LIMIT, || frozen.elapsed() >= Duration::from_secs(3));
    assert_eq!(pair.holders(MAIN_ADDRESS), [HALL_2], "the kernel took the address away");
    pair.servers[HALL_1].signal(Signal::SIGCONT);
    let answer = stale.wait();
    assert!(answer.is_none_or(|answer| answer["status"] == "retry"), "the stale server answered as main");
    pair.wait_until_said(HALL_1, "a pair again, as sub", PAIR_LIMIT);
    load.wait_for_answers(SOME);
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    say(&format!("{}: terminals waited {} ms", pair.scenario, evidence.longest_gap_ms(frozen_us, served_us)));
}
