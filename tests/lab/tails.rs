//! Entries that only Main has, because nothing larger than a heartbeat reaches Sub any more.

use duplex::cli::{client::StoredOn, history::now_us};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    RATE, SOME,
    checker::{Evidence, judge, judge_apart},
    load::Load,
    pair::{HALL_1, HALL_2, MAIN_ADDRESS, Pair, SUB_ADDRESS, TAKEOVER_LIMIT},
    say,
    site::Site,
    take_in_again,
    teller::Teller,
    under_load, until,
};

/// Entries that main stores and sub never hears of; a third of the terminals have then a command under way.
const TAIL: u64 = 8;

/// Entries that main has stored and sub has not, as main's status says.
fn lag(pair: &Pair) -> u64 {
    pair.status(HALL_1)["peer"]["lag_entries"].as_u64().unwrap_or(0)
}

/// Cuts only the way of main's entries to sub, kills main once it has a tail, and lets sub take over.
fn main_dies_with_a_tail(site: Site) -> (Pair, Teller, Load, [u64; 2]) {
    let (mut pair, teller, mut load) = under_load(Pair::of(site), RATE);
    pair.stop_entries(HALL_1, true);
    until("main has stored what sub has not", TAKEOVER_LIMIT, || lag(&pair) >= TAIL);
    let killed_us = now_us();
    pair.servers[HALL_1].signal(Signal::SIGKILL);
    assert!(!pair.servers[HALL_1].has_said("lost the other server"), "main was killed too late to have a tail");
    pair.servers[HALL_1].ended();
    pair.stop_entries(HALL_1, false);
    load.wait_for_answers(SOME);
    let served_us = now_us();
    assert_eq!(pair.serving(), Some(HALL_2));
    (pair, teller, load, [killed_us, served_us])
}

/// The one file of the former main, line by line.
fn tail_of(pair: &Pair) -> Vec<Value> {
    assert!(pair.servers[HALL_1].has_said("kept the entries that the other server lacks, and cut them off"));
    let [tail] = <[_; 1]>::try_from(pair.saved(HALL_1)).expect("one tail was cut");
    assert!(tail.len() as u64 >= TAIL, "{} entries were kept", tail.len());
    assert!(pair.saved(HALL_2).is_empty(), "who took over cut nothing");
    let sequences: Vec<u64> = tail.iter().map(|line| line["sequence"].as_u64().unwrap()).collect();
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1), "{sequences:?}");
    for line in &tail {
        let readable = line["images"].is_array()
            && line["response"]["body"].as_str().is_some_and(|body| body.starts_with("{\"ledger_no\":"));
        assert!(readable && line["server"] == "a" && line["command_id"].is_string(), "{line}");
    }
    tail
}

fn report(pair: &Pair, evidence: &Evidence, [killed_us, served_us]: [u64; 2], tail: usize) {
    let gap_ms = evidence.longest_gap_ms(killed_us, served_us);
    say(&format!("{}: terminals waited {gap_ms} ms; a tail of {tail} entries was kept", pair.scenario));
}

#[test]
fn a_tail_that_nobody_was_told_of_is_kept_readable_and_cut_when_the_dead_main_returns() {
    let (mut pair, mut teller, load, window) = main_dies_with_a_tail(Site { patient: true, ..Site::default() });
    take_in_again(&mut pair, load, HALL_1);
    let tail = tail_of(&pair);
    // The judge finds every acknowledged command in both journals, so none of the tail's was one.
    let evidence = judge(&mut pair, &mut teller);
    report(&pair, &evidence, window, tail.len());
}

/// What `async` acknowledged is applied at once, and no row is undone: copying will mend that server, and until then it stays out.
#[test]
fn in_async_every_answer_says_one_and_a_dead_main_that_returns_keeps_its_tail_and_stays_out() {
    let (mut pair, _, mut load, window) = main_dies_with_a_tail(Site { asynchronous: true, patient: true, ..Site::default() });
    assert!(pair.servers[HALL_2].has_said("acknowledged entries may be lost"), "the takeover says what it may cost");
    let may_be_lost = pair.status(HALL_2)["last_takeover"]["may_be_lost"].as_u64().unwrap();
    pair.start(HALL_1);
    pair.wait_until_said(HALL_1, "cannot cut the journal below", TAKEOVER_LIMIT);
    load.wait_for_answers(SOME);
    load.stop();
    assert_eq!((pair.serving(), pair.holders(MAIN_ADDRESS)), (Some(HALL_2), vec![HALL_2]));
    let evidence = judge_apart(&mut pair);
    assert!(evidence.stored_on(StoredOn::One) > 0 && evidence.stored_on(StoredOn::Both) == 0);
    assert!(evidence.only_on[HALL_1] > 0, "main acknowledged what only it had");
    assert!((1..=evidence.only_on[HALL_1] as u64).contains(&may_be_lost), "{may_be_lost} of {}", evidence.only_on[HALL_1]);
    report(&pair, &evidence, window, evidence.only_on[HALL_1]);
}

/// Cuts something of main's, has `served_by` serve all, mends it, and has the pair be one again.
fn cut_and_mended(served_by: usize, cut: impl Fn(&Pair, bool)) {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);
    let cut_us = now_us();
    cut(&pair, true);
    load.wait_for_answers(SOME);
    let served_us = now_us();
    assert_eq!(pair.serving(), Some(served_by));
    assert_eq!([MAIN_ADDRESS, SUB_ADDRESS].map(|address| pair.holders(address)), [vec![served_by], vec![served_by]]);
    cut(&pair, false);
    pair.wait_for_pair();
    load.wait_for_answers(SOME);
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    say(&format!("{}: terminals waited {} ms", pair.scenario, evidence.longest_gap_ms(cut_us, served_us)));
}

/// As with a switch that lets heartbeats pass and loses what is larger.
#[test]
fn main_whose_entries_never_arrive_goes_on_alone_though_both_hear_each_other() {
    cut_and_mended(HALL_1, |pair, stop| pair.stop_entries(HALL_1, stop));
}

/// At night nobody sends anything: no entry shows that the other server is out of reach, and the first question must be answered.
#[test]
fn an_idle_main_whose_frames_do_not_arrive_goes_on_alone() {
    let mut pair = Pair::at_work();
    pair.stop_entries(HALL_1, true);
    pair.wait_until_said(HALL_1, "carrying on alone", TAKEOVER_LIMIT);
    let (asked_us, mut teller) = (now_us(), pair.teller());
    teller.learn_the_rates(pair.client());
    let waited_ms = (now_us() - asked_us) / 1000;
    assert_eq!((pair.serving(), pair.holders(SUB_ADDRESS)), (Some(HALL_1), vec![HALL_1]));
    pair.stop_entries(HALL_1, false);
    pair.wait_for_pair();
    teller.deal(pair.client(), 1);
    judge(&mut pair, &mut teller);
    say(&format!("{}: a question waited {waited_ms} ms", pair.scenario));
}

/// As if its cable to everybody were pulled and the one between the servers were not: nobody can be served by it, and it is heard all
/// the same.
#[test]
fn main_that_reaches_neither_sub_nor_witness_gives_way_though_it_is_heard() {
    cut_and_mended(HALL_2, |pair, stop| {
        pair.stop_witnessing(HALL_1, stop);
        pair.stop_entries(HALL_1, stop);
    });
}

/// Nobody may decide, and nobody has to: both hold the same, and need each other only.
#[test]
fn a_stream_that_was_cut_while_the_witness_is_away_makes_a_pair_again() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    pair.kill_witness();
    pair.stop_entries(HALL_1, true);
    pair.wait_until_said(HALL_1, "lost the other server", TAKEOVER_LIMIT);
    pair.stop_entries(HALL_1, false);
    pair.wait_for_pair();
    teller.deal(pair.client(), 1);
    pair.start_witness();
    judge(&mut pair, &mut teller);
}
