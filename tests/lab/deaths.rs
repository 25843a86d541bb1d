//! Servers and the witness die, one, both or again and again.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use duplex::{
    cli::{client::StoredOn, history::now_us},
    network::{Mac, Operation},
};
use nix::sys::signal::Signal;

use crate::{
    ON_ITS_WAY_US, RATE, SOME,
    checker::judge,
    lose,
    pair::{HALL_1, HALL_2, MAIN_ADDRESS, Pair, SERVERS, SUB_ADDRESS, TAKEOVER_LIMIT},
    say, take_in_again, under_load, until,
    watchers::{ask_steadily, hear_arp, longest_gap_ms},
};

#[test]
fn main_killed_under_load_sub_takes_over_and_nothing_is_lost_or_doubled() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);
    let survivor = Mac(pair.machine(HALL_2).mac);
    let (arp, analysis) = (hear_arp(pair.client()), ask_steadily(pair.client(), SUB_ADDRESS));
    load.wait_for_answers(SOME);

    let (killed_us, served_us) = lose(&mut pair, &mut load, HALL_1);
    assert!(pair.holders(MAIN_ADDRESS).contains(&HALL_2) && pair.holders(SUB_ADDRESS).contains(&HALL_2));
    assert!(pair.client().neighbour(MAIN_ADDRESS).contains(&survivor.to_string()), "{}", pair.client().neighbour(MAIN_ADDRESS));

    take_in_again(&mut pair, load, HALL_1);
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
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);
    let analysis = ask_steadily(pair.client(), SUB_ADDRESS);
    load.wait_for_answers(SOME);

    let (killed_us, served_us) = lose(&mut pair, &mut load, HALL_2);
    assert!(pair.holders(MAIN_ADDRESS).contains(&HALL_1) && pair.holders(SUB_ADDRESS).contains(&HALL_1));

    take_in_again(&mut pair, load, HALL_2);
    let answers = analysis.finish();
    let evidence = judge(&mut pair, &mut teller);
    let gap_ms = evidence.longest_gap_ms(killed_us, served_us);
    say(&format!("{}: terminals waited {gap_ms} ms, analysis {} ms", pair.scenario, longest_gap_ms(&answers)));
    assert!(evidence.stored_on(StoredOn::One) > 0, "main said that it was alone");
}

#[test]
fn witness_killed_under_load_changes_nothing_and_when_it_is_back_sub_can_take_over() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);

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
    let epochs: BTreeSet<_> =
        evidence.acknowledged_within(lost_us, back_us).iter().filter_map(|told| told.place()).map(|(epoch, _)| epoch).collect();
    assert_eq!(epochs.len(), 1, "the pair stayed what it was: {epochs:?}");
    let (without_ms, gap_ms) = (evidence.longest_gap_ms(lost_us, back_us), evidence.longest_gap_ms(killed_us, served_us));
    say(&format!("{}: without the witness {without_ms} ms, at the takeover {gap_ms} ms", pair.scenario));
}

/// Kills both at once under load, starts them again as `restart` says, and judges.
fn after_both_died(restart: impl FnOnce(&mut Pair)) {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);

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
fn main_killed_while_the_witness_is_away_nobody_serves_until_it_is_back() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);

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
