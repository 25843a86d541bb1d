//! The office reads on: `GET /api/v1/members` at the sub address, while servers die.

use duplex::cli::history::now_us;

use crate::{
    RATE, SOME,
    checker::judge,
    lose,
    pair::{HALL_1, HALL_2, Pair, SUB_ADDRESS},
    say, under_load,
    watchers::{Read, longest_gap_ms, read_steadily},
};

#[test]
fn an_analysis_client_reads_on_at_the_sub_address_through_the_death_of_sub_and_of_main() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);
    let reading = read_steadily(pair.client(), SUB_ADDRESS, pair.key_of("office"));
    let mut windows = Vec::new();
    for victim in [HALL_2, HALL_1] {
        load.wait_for_answers(SOME);
        let (killed_us, _) = lose(&mut pair, &mut load, victim);
        pair.start(victim);
        pair.wait_for_pair();
        windows.push((victim, killed_us, now_us()));
    }
    load.wait_for_answers(SOME);
    load.stop();
    let reads = reading.finish();
    judge(&mut pair, &mut teller);
    for Read { status, body, .. } in &reads {
        // Asked again later it is answered: the servers are switching over, or the store is not as far yet.
        let retryable = *status == 503 && body["code"].is_string() && body["text_en"].is_string();
        assert!((*status == 200 && body["rows"].is_array()) || retryable, "{status}: {body}");
    }
    let answered: Vec<u64> = reads.iter().filter(|read| read.status == 200).map(|read| read.at_us).collect();
    for (victim, killed_us, paired_us) in windows {
        let last = answered.iter().rposition(|at| *at < killed_us).expect("it was answered before");
        let first = answered.iter().position(|at| *at > paired_us).expect("it was answered afterwards");
        let gap_ms = longest_gap_ms(&answered[last..=first]);
        let who = if victim == HALL_2 { "sub" } else { "main" };
        say(&format!("{}: {who} killed and back, the reader waited {gap_ms} ms", pair.scenario));
    }
    let refused = reads.len() - answered.len();
    say(&format!("{}: {} reads answered, {refused} told to ask again", pair.scenario, answered.len()));
}
