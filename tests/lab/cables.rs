//! Cables pulled out and put back.

use duplex::cli::history::now_us;

use crate::{
    RATE, SOME,
    checker::judge,
    pair::{HALL_1, HALL_2, MAIN_ADDRESS, PAIR_LIMIT, Pair, SERVERS, SUB_ADDRESS},
    say, under_load,
};

#[test]
fn subs_cable_pulled_under_load_main_goes_on_alone_and_sub_serves_nobody() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);

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
    // As fast as they are answered: main has then begun what sub will never hear of.
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), None);

    let pulled_us = now_us();
    pair.lab.plug(SERVERS[HALL_1], false);
    load.wait_for_answers(SOME);
    let served_us = now_us();
    assert_eq!(pair.holders(MAIN_ADDRESS), [HALL_2], "the isolated server gave its address up");
    pair.lab.plug(SERVERS[HALL_1], true);
    pair.wait_until_said(HALL_1, "a pair, as sub", PAIR_LIMIT);
    load.wait_for_answers(SOME);
    let conflicts = [HALL_1, HALL_2].map(|server| pair.status(server)["conflicts"].clone());
    assert_eq!(conflicts, [serde_json::json!([]), serde_json::json!([])], "the peer is no third machine");
    let paired_us = now_us();
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    let (gap_ms, back_ms) = (evidence.longest_gap_ms(pulled_us, served_us), evidence.longest_gap_ms(served_us, paired_us));
    let saved = pair.saved_tails();
    say(&format!("{}: terminals waited {gap_ms} ms, and {back_ms} ms at the return; {saved} tails saved", pair.scenario));
}
