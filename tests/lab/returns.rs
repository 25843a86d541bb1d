//! Servers that come back: stale, stopped, frozen, or killed again on the way.

use std::time::{Duration, Instant};

use duplex::cli::history::now_us;
use nix::sys::signal::Signal;

use crate::{
    DEALT, ON_ITS_WAY_US, RATE, SOME,
    checker::{applied, judge, last_entry},
    pair::{HALL_1, HALL_2, MAIN_ADDRESS, PAIR_LIMIT, Pair, TAKEOVER_LIMIT},
    say, under_load, until,
};

/// Entries that a returning server lacks.
const BACKLOG: usize = 100_000;

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
fn main_told_to_stop_under_load_hands_over_with_a_short_gap() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);

    let told_us = now_us();
    pair.servers[HALL_1].signal(Signal::SIGTERM);
    let status = pair.servers[HALL_1].ended();
    assert!(status.success(), "a clean stop is a success: {status}");
    assert!(pair.servers[HALL_1].has_said("the other server is main now"), "it gave its role away first");
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
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);

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
    pair.wait_until_said(HALL_1, "a pair, as sub", PAIR_LIMIT);
    load.wait_for_answers(SOME);
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    say(&format!("{}: terminals waited {} ms", pair.scenario, evidence.longest_gap_ms(frozen_us, served_us)));
}
