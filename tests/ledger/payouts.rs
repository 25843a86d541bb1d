//! Draws: authorised, then completed.

use duplex::ledger::rows::{Key, LedgerKind, PayoutState, Row};
use serde_json::json;

use crate::world::{Answer, World};

/// A member with `units` of rate 1, and a session with the PIN at seat 1.
fn seated(units: i64) -> (World, String) {
    let mut world = World::with_member(units);
    let session = world.session("seat-1", "card-1");
    (world, session)
}

fn authorise(world: &mut World, session: &str, units: i64) -> Answer {
    world.send("seat-1", "authorise_payout", &json!({"session": session, "rate_id": 1, "units": units}))
}

fn complete(world: &mut World, payout_id: i64, delivered: i64) -> Answer {
    world.send("seat-1", "complete_payout", &json!({"payout_id": payout_id, "delivered": delivered}))
}

#[test]
fn units_and_limit_are_taken_before_the_machine_delivers() {
    let (mut world, session) = seated(1_000);
    let answer = authorise(&mut world, &session, 250);
    assert_eq!((answer.number("payout_id"), answer.number("balance")), (1, 750));
    assert_eq!((answer.number("limit_left"), answer.number("limit_left_yen")), (2_250, 9_000));
    assert_eq!((world.balance(1, 1), world.draws()[0].limit_yen), (750, 1_000));
    let row = world.ledger_rows().pop().unwrap();
    assert_eq!(
        (row.kind, row.delta, row.ref_type.as_deref(), row.ref_id.as_deref()),
        (LedgerKind::Payout, -250, Some("payout"), Some("1"))
    );
    assert_eq!(world.findings(), []);
}

#[test]
fn a_delivered_payout_is_done_and_frees_the_terminal() {
    let (mut world, session) = seated(1_000);
    authorise(&mut world, &session, 250);
    let answer = complete(&mut world, 1, 250);
    assert_eq!((answer.number("balance"), answer.number("returned")), (750, 0));
    assert_eq!((world.payouts()[0].state, world.payouts()[0].delivered), (PayoutState::Done, Some(250)));
    assert_eq!(authorise(&mut world, &session, 125).code(), "");
    assert_eq!(world.findings(), []);
}

#[test]
fn what_was_not_delivered_goes_back_with_its_part_of_the_limit() {
    let (mut world, session) = seated(1_000);
    authorise(&mut world, &session, 250);
    let answer = complete(&mut world, 1, 100);
    assert_eq!((answer.number("balance"), answer.number("returned")), (900, 150));
    assert_eq!((world.payouts()[0].state, world.draws()[0].limit_yen), (PayoutState::Short, 400));
    assert_eq!(world.events().pop().unwrap().kind, "payout_short");
    assert_eq!(world.findings(), []);
}

#[test]
fn nothing_delivered_cancels_the_draw() {
    let (mut world, session) = seated(250);
    authorise(&mut world, &session, 250);
    assert_eq!(complete(&mut world, 1, 0).number("balance"), 250);
    assert_eq!((world.payouts()[0].state, world.draws()[0].limit_yen), (PayoutState::Void, 0));
    assert_eq!(world.findings(), []);
}

#[test]
fn completing_once_more_under_another_id_changes_nothing() {
    let (mut world, session) = seated(250);
    authorise(&mut world, &session, 250);
    complete(&mut world, 1, 125);
    let again = complete(&mut world, 1, 125);
    assert_eq!((again.number("balance"), again.images.len()), (125, 0));
    assert_eq!(complete(&mut world, 1, 0).code(), "PAYOUT_CLOSED");
    assert_eq!(world.findings(), []);
}

#[test]
fn more_than_authorised_is_never_completed() {
    let (mut world, session) = seated(250);
    authorise(&mut world, &session, 125);
    assert_eq!(complete(&mut world, 1, 126).code(), "DELIVERED_TOO_MANY");
    assert_eq!(world.payouts()[0].state, PayoutState::Authorised);
}

#[test]
fn a_payout_belongs_to_its_terminal() {
    let (mut world, session) = seated(250);
    authorise(&mut world, &session, 125);
    let body = json!({"payout_id": 1, "delivered": 125});
    assert_eq!(world.refused("seat-2", "complete_payout", &body), "UNKNOWN_PAYOUT");
    assert_eq!(complete(&mut world, 2, 0).code(), "UNKNOWN_PAYOUT");
}

#[test]
fn a_terminal_has_one_open_payout_at_a_time() {
    let (mut world, session) = seated(500);
    authorise(&mut world, &session, 125);
    let second = authorise(&mut world, &session, 125);
    assert_eq!((second.code(), second.number("payout_id"), world.balance(1, 1)), ("PAYOUT_PENDING", 1, 375));
}

#[test]
fn a_day_has_one_limit_across_rates_and_says_what_is_left_of_it() {
    let (mut world, session) = seated(5_000);
    world.ok("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 3, "units": 470}));
    let medals = world.session("seat-3", "card-1");
    world.ok("seat-3", "authorise_payout", &json!({"session": medals, "rate_id": 3, "units": 47}));
    let refused = authorise(&mut world, &session, 2_500);
    assert_eq!((refused.code(), refused.number("left")), ("OVER_DAILY_LIMIT", 2_250));
    assert_eq!(refused.response.text_ja, "本日の再プレイ上限に達しました。(残り2250)");
    assert_eq!(authorise(&mut world, &session, 2_250).code(), "");
    assert_eq!(world.draws()[0].limit_yen, 10_000);
    assert_eq!(world.findings(), []);
}

#[test]
fn part_of_a_step_of_medals_gives_its_rounded_worth_back() {
    let mut world = World::with_member(0);
    world.ok("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 3, "units": 94}));
    let session = world.session("seat-3", "card-1");
    world.ok("seat-3", "authorise_payout", &json!({"session": session, "rate_id": 3, "units": 94}));
    world.ok("seat-3", "complete_payout", &json!({"payout_id": 1, "delivered": 48}));
    assert_eq!((world.balance(1, 3), world.draws()[0].limit_yen), (46, 1_022));
    assert_eq!(world.findings(), []);
}

#[test]
fn nobody_draws_more_than_is_stored() {
    let (mut world, session) = seated(124);
    let refused = authorise(&mut world, &session, 125);
    assert_eq!((refused.code(), refused.number("left")), ("INSUFFICIENT_BALANCE", 124));
    assert_eq!(refused.response.text_en, "Not enough stored units (124 left).");
}

#[test]
fn a_draw_needs_a_session_that_rests_on_the_pin() {
    let mut world = World::with_member(250);
    let session = world.ok("seat-1", "authenticate", &json!({"card_id": "card-1"})).text("session");
    assert_eq!(authorise(&mut world, &session, 125).code(), "PIN_REQUIRED");
}

#[test]
fn a_renewed_session_outlives_the_first_one() {
    let (mut world, first) = seated(500);
    world.now.0 += 10 * 60_000;
    let renewed = authorise(&mut world, &first, 125).text("session");
    complete(&mut world, 1, 125);
    world.now.0 += 10 * 60_000;
    assert_eq!(authorise(&mut world, &first, 125).code(), "SESSION_ENDED");
    assert_eq!(authorise(&mut world, &renewed, 125).code(), "");
}

#[test]
fn a_payout_is_completed_even_if_card_and_member_were_stopped_meanwhile() {
    let (mut world, session) = seated(250);
    authorise(&mut world, &session, 125);
    world.ok("office", "stop_card", &json!({"card_id": "card-1", "reason": "lost", "lost": true}));
    world.change(&Key::Terminal("seat-1".into()), |row| {
        if let Row::Terminal(terminal) = row {
            terminal.rate_id = Some(2);
        }
    });
    assert_eq!(complete(&mut world, 1, 0).number("balance"), 250);
}
