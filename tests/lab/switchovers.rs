//! Roles that change hands while both servers are well.

use std::time::{Duration, Instant};

use duplex::{
    cli::{client::StoredOn, history::now_us},
    network::Mac,
};

use crate::{
    RATE, SOME,
    checker::judge,
    pair::{HALL_1, HALL_2, MAIN_ADDRESS, Pair, SUB_ADDRESS, TAKEOVER_LIMIT},
    say, under_load, until,
    watchers::{ask_steadily, hear_arp, longest_gap_ms},
};

/// There and back, often enough for a median.
const SWITCHOVERS: usize = 10;

#[test]
fn roles_change_hands_under_load_and_everything_goes_on_stored_on_both() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);
    let (arp, analysis) = (hear_arp(pair.client()), ask_steadily(pair.client(), SUB_ADDRESS));
    load.wait_for_answers(SOME);
    let begun_us = now_us();

    let mut gaps = Vec::new();
    for round in 0..SWITCHOVERS {
        let main = [HALL_1, HALL_2][round % 2];
        let (refused, succeeds) = pair.switch_over(1 - main);
        assert!(!succeeds && refused["outcome"] == "refused", "only main gives its role away: {refused}");
        let ordered_us = now_us();
        let (outcome, succeeds) = pair.switch_over(main);
        assert!(succeeds, "{outcome}");
        load.wait_for_answers(SOME);
        pair.wait_for_holders(1 - main, main);
        let (told, new) = (pair.client().neighbour(MAIN_ADDRESS), Mac(pair.machine(1 - main).mac).to_string());
        assert!(told.contains(&new), "{told}");
        gaps.push((ordered_us, now_us()));
    }
    load.stop();
    let (frames, answers) = (arp.finish(), analysis.finish());
    let saved = pair.saved_tails();
    let evidence = judge(&mut pair, &mut teller);
    assert_eq!(evidence.stored_on(StoredOn::One), 0, "nothing was ever on one server only");
    assert_eq!(saved, 0);
    let mut gaps_ms: Vec<u64> = gaps.into_iter().map(|(from_us, to_us)| evidence.longest_gap_ms(from_us, to_us)).collect();
    gaps_ms.sort_unstable();
    let claims = |(at_us, frame): &&(u64, duplex::network::ArpFrame)| *at_us > begun_us && frame.claims(MAIN_ADDRESS);
    say(&format!(
        "{}: terminals waited {gaps_ms:?} ms, analysis {} ms; {} announcements of the main address",
        pair.scenario,
        longest_gap_ms(&answers),
        frames.iter().filter(claims).count()
    ));
}

/// Whoever dies, and whenever: the other one goes on, by the switchover or by a takeover.
#[test]
fn a_server_that_dies_in_the_middle_of_a_switchover_costs_no_more_than_its_death() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), None);
    let mut gaps = Vec::new();
    for round in 0..8 {
        let main = pair.serving().expect("a pair has a main server");
        let victim = if round % 2 == 0 { main } else { 1 - main };
        let ordered_us = now_us();
        pair.begin_switchover(main);
        // The whole of it takes some thirty milliseconds, most of them the order's way there.
        let begin = Instant::now();
        until("its moment", TAKEOVER_LIMIT, || begin.elapsed() >= Duration::from_millis(6 * round));
        pair.kill(victim);
        load.wait_for_answers(SOME);
        gaps.push((ordered_us, now_us()));
        pair.start(victim);
        pair.wait_for_orders();
        pair.wait_for_pair();
    }
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    let gaps_ms: Vec<u64> = gaps.into_iter().map(|(from_us, to_us)| evidence.longest_gap_ms(from_us, to_us)).collect();
    say(&format!("{}: terminals waited {gaps_ms:?} ms", pair.scenario));
}

#[test]
fn without_the_witness_nothing_is_switched_over_and_nobody_waits() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);
    pair.kill_witness();
    pair.wait_until_said(HALL_1, "the arbiter does not help", TAKEOVER_LIMIT);
    let ordered_us = now_us();
    let (outcome, succeeds) = pair.switch_over(HALL_1);
    assert!(!succeeds && outcome["reason"].as_str().is_some_and(|why| why.contains("the arbiter does not answer")), "{outcome}");
    load.wait_for_answers(SOME);
    let served_us = now_us();
    assert_eq!(pair.serving(), Some(HALL_1));
    pair.start_witness();
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    say(&format!("{}: terminals waited {} ms", pair.scenario, evidence.longest_gap_ms(ordered_us, served_us)));
}
