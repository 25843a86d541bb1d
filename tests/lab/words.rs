//! A person's word: where no arbiter can tell that the other server is off.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use duplex::cli::history::now_us;
use serde_json::Value;

use crate::{
    RATE, SOME,
    checker::judge,
    pair::{HALL_1, HALL_2, Pair, SERVERS, TAKEOVER_LIMIT, program},
    say,
    site::Site,
    under_load, until,
};

/// Long enough for three silences: whoever would serve without a word would do so by then.
const A_WHILE: Duration = Duration::from_millis(1_500);

fn by_a_person() -> Pair {
    Pair::of(Site { arbiter: Some("kind = \"operator\"\n"), ..Site::default() })
}

/// `duplex confirm-alone` on this server, about the one called `off`: why not, if it is refused.
fn confirm_alone(pair: &Pair, server: usize, off: &str, accept_loss: bool) -> Result<u64, String> {
    let mut command = program(pair.machine(server));
    command.args(["confirm-alone", "--json", "--other-is-off", off]).args(accept_loss.then_some("--accept-loss"));
    command.arg("--config").arg(pair.file(&format!("pair/{}/duplex.toml", SERVERS[server])));
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let said: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    match said["epoch"].as_u64().filter(|_| output.status.success()) {
        Some(epoch) => Ok(epoch),
        None => Err(said["reason"].as_str().expect("a refusal has a reason").to_owned()),
    }
}

fn nobody_serves_for_a_while(pair: &Pair) {
    let asked = Instant::now();
    until("a while has passed", TAKEOVER_LIMIT, || asked.elapsed() > A_WHILE);
    assert_eq!(pair.serving(), None);
}

/// Beside a witness a word is not taken: it might grant the same to the other one.
#[test]
fn witness_and_main_lost_nobody_serves_until_the_witness_is_back_whatever_a_person_says() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);
    pair.kill_witness();
    pair.kill(HALL_1);
    pair.wait_until_said(HALL_2, "lost the other server", TAKEOVER_LIMIT);
    nobody_serves_for_a_while(&pair);
    let refused = confirm_alone(&pair, HALL_2, SERVERS[HALL_1], false);
    assert!(refused.as_ref().is_err_and(|why| why.contains("an arbiter that decides")), "{refused:?}");
    nobody_serves_for_a_while(&pair);
    pair.start_witness();
    load.wait_for_answers(SOME);
    assert_eq!(pair.serving(), Some(HALL_2));
    pair.start(HALL_1);
    pair.wait_for_pair();
    load.wait_for_answers(SOME);
    load.stop();
    judge(&mut pair, &mut teller);
}

#[test]
fn a_stale_server_says_since_when_the_other_one_has_newer_data_and_takes_no_word() {
    let (mut pair, _, mut load) = under_load(Pair::at_work(), RATE);
    pair.kill(HALL_2);
    load.wait_for_answers(SOME);
    load.stop();
    pair.kill(HALL_1);

    pair.start(HALL_2);
    pair.wait_until_said(HALL_2, "the other server has newer data", TAKEOVER_LIMIT);
    pair.wait_until_said(HALL_2, "has newer data since", TAKEOVER_LIMIT);
    let since = pair.status(HALL_2)["arbiter"]["holder_since"].as_str().map(|since| since.parse::<jiff::Timestamp>());
    let age = jiff::Timestamp::now().duration_since(since.expect("it is told").expect("a date"));
    assert!((0..60).contains(&age.as_secs()), "the witness noted when hall-1 went on alone: {age:?} ago");
    until("the sentence names who, and since when", TAKEOVER_LIMIT, || {
        pair.status(HALL_2)["line"]["en"].as_str().is_some_and(|line| line.starts_with("hall-1 has newer records, since 20"))
    });
    let refused = confirm_alone(&pair, HALL_2, SERVERS[HALL_1], true);
    assert!(refused.as_ref().is_err_and(|why| why.contains("an arbiter that decides")), "{refused:?}");
    nobody_serves_for_a_while(&pair);
    pair.start(HALL_1);
    pair.wait_for_pair();
}

#[test]
fn a_pair_without_a_third_machine_goes_on_by_a_persons_word_and_is_a_pair_again_without_one() {
    let (mut pair, mut teller, mut load) = under_load(by_a_person(), RATE);
    assert_eq!(pair.status(HALL_1)["arbiter"]["kind"], "operator");
    let forecast = &pair.status(HALL_2)["forecast"]["peer_dies"]["en"];
    assert!(forecast.as_str().is_some_and(|text| text.contains("until a person")), "{forecast}");
    let killed_us = now_us();
    pair.kill(HALL_1);
    pair.wait_until_said(HALL_2, "lost the other server", TAKEOVER_LIMIT);
    nobody_serves_for_a_while(&pair);
    let line = &pair.status(HALL_2)["line"]["en"];
    assert!(line.as_str().is_some_and(|text| text.contains("Make sure that hall-1 is off")), "{line}");
    confirm_alone(&pair, HALL_2, SERVERS[HALL_1], false).expect("a person's word is enough");
    load.wait_for_answers(SOME);
    let served_us = now_us();

    pair.start(HALL_1);
    pair.wait_for_pair();
    load.wait_for_answers(SOME);
    let (outcome, succeeds) = pair.switch_over(HALL_2);
    assert!(succeeds, "{outcome}");
    load.wait_for_answers(SOME);
    pair.wait_for_pair();
    assert_eq!(pair.serving(), Some(HALL_1));
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    say(&format!("{}: terminals waited {} ms for a person", pair.scenario, evidence.longest_gap_ms(killed_us, served_us)));
}

#[test]
fn two_servers_told_to_serve_alone_at_once_part_and_one_yields_when_they_meet() {
    let (mut pair, _, load) = under_load(by_a_person(), RATE);
    load.stop();
    pair.lab.plug(SERVERS[HALL_1], false);
    for server in [HALL_1, HALL_2] {
        pair.wait_until_said(server, "lost the other server", TAKEOVER_LIMIT);
        confirm_alone(&pair, server, SERVERS[1 - server], false).expect("it is not heard");
    }
    let epochs = [HALL_1, HALL_2].map(|server| pair.status(server)["epoch"].as_u64());
    assert_ne!(epochs[0], epochs[1]);
    pair.lab.plug(SERVERS[HALL_1], true);
    until("one of them yields", TAKEOVER_LIMIT, || {
        let roles = [HALL_1, HALL_2].map(|server| pair.status(server)["role"].clone());
        roles == ["none", "main"] || roles == ["main", "none"]
    });
    pair.cut_the_power();
}
