//! Cards, PINs and sessions.

use duplex::ledger::rows::{CardKind, CardState};
use duplex::model::UnixMs;
use serde_json::json;

use crate::world::{DAY, World};

fn with_pin(world: &mut World, pin: &str) -> (String, i64) {
    let answer = world.send("seat-1", "authenticate", &json!({"card_id": "card-1", "pin": pin}));
    let left = answer.body()["left"].as_i64().unwrap_or(-1);
    (answer.response.code, left)
}

#[test]
fn three_misses_lock_the_pin_even_for_the_right_one() {
    let mut world = World::with_member(0);
    assert_eq!(with_pin(&mut world, "0000"), ("WRONG_PIN".into(), 2));
    assert_eq!(with_pin(&mut world, "0001"), ("WRONG_PIN".into(), 1));
    assert_eq!(with_pin(&mut world, "0002"), ("PIN_LOCKED".into(), -1));
    assert_eq!(with_pin(&mut world, "1234"), ("PIN_LOCKED".into(), -1));
    let kinds: Vec<_> = world.events().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds[kinds.len() - 3..], ["wrong_pin", "wrong_pin", "pin_locked"]);
    assert_eq!(world.findings(), []);
}

#[test]
fn a_right_pin_forgives_earlier_misses() {
    let mut world = World::with_member(0);
    with_pin(&mut world, "0000");
    with_pin(&mut world, "0000");
    assert_eq!(with_pin(&mut world, "1234").0, "");
    assert_eq!(world.card("card-1").pin_fail, 0);
    assert_eq!(with_pin(&mut world, "0000"), ("WRONG_PIN".into(), 2));
}

#[test]
fn a_wrong_pin_is_an_answer_that_is_stored_with_its_count() {
    let mut world = World::with_member(0);
    let answer = world.send("seat-1", "authenticate", &json!({"card_id": "card-1", "pin": "9999"}));
    assert!(answer.stored);
    assert_eq!(answer.response.text_ja, "暗証番号が違います。(あと2回)");
    assert_eq!(world.card("card-1").pin_fail, 1);
}

#[test]
fn no_pin_is_kept_in_the_clear_and_equal_pins_of_two_cards_look_different() {
    let mut world = World::with_member(0);
    world.register("card-2");
    assert_ne!(world.card("card-1").pin_hash, world.card("card-2").pin_hash);
    let body = r#"{"card_id":"card-1","pin":"1234"}"#;
    let printed = format!("{:?}", duplex::ledger::commands::Command::parse("authenticate", body).unwrap());
    assert!(!printed.contains("1234"), "{printed}");
}

#[test]
fn a_session_is_good_only_at_its_terminal_and_on_its_day() {
    let mut world = World::with_member(250);
    let session = world.session("seat-1", "card-1");
    let body = json!({"session": session, "rate_id": 1, "units": 125});
    assert_eq!(world.refused("pos", "authorise_payout", &body), "SESSION_ENDED");
    world.ok("office", "close_day", &json!({"date": "2026-07-01"}));
    world.ok("office", "open_day", &json!({"date": "2026-07-02"}));
    assert_eq!(world.refused("seat-1", "authorise_payout", &body), "SESSION_ENDED");
}

#[test]
fn a_session_that_this_pair_did_not_make_is_refused() {
    let mut world = World::with_member(250);
    let session = world.session("seat-1", "card-1");
    let mut forged = session.clone();
    forged.replace_range(session.len() - 1.., if session.ends_with('0') { "1" } else { "0" });
    for token in [forged.as_str(), "00", "x"] {
        let body = json!({"session": token, "rate_id": 1, "units": 125});
        assert_eq!(world.refused("seat-1", "authorise_payout", &body), "SESSION_ENDED", "{token}");
    }
}

#[test]
fn stopping_a_card_ends_its_sessions_with_the_next_command() {
    let mut world = World::with_member(250);
    let session = world.session("seat-1", "card-1");
    world.ok("office", "stop_card", &json!({"member_no": 1, "reason": "asked by phone"}));
    let body = json!({"session": session, "rate_id": 1, "units": 125});
    assert_eq!(world.refused("seat-1", "authorise_payout", &body), "CARD_STOPPED");
    assert_eq!(world.refused("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 1, "units": 1})), "CARD_STOPPED");
    assert_eq!((world.member(1).active_card, world.balance(1, 1)), (None, 250));
}

#[test]
fn a_card_can_be_stopped_while_the_site_is_closed() {
    let mut world = World::with_member(0);
    world.ok("office", "close_day", &json!({"date": "2026-07-01"}));
    world.ok("office", "stop_card", &json!({"card_id": "card-1", "reason": "found in the street", "lost": true}));
    assert_eq!(world.card("card-1").state, CardState::Lost);
    assert_eq!(world.findings(), []);
}

#[test]
fn a_member_has_one_active_regular_card_and_the_balance_follows_the_member() {
    let mut world = World::with_member(250);
    let second = json!({"member_no": 1, "card_id": "card-2", "pin": "4321"});
    assert_eq!(world.refused("enrol", "issue_card", &second), "MEMBER_HAS_CARD");
    world.ok("office", "stop_card", &json!({"card_id": "card-1", "reason": "lost"}));
    world.ok("enrol", "issue_card", &second);
    let answer = world.ok("seat-1", "authenticate", &json!({"card_id": "card-2", "pin": "4321"}));
    let balance = world.ok("seat-1", "get_balance", &json!({"session": answer.text("session")}));
    assert_eq!(balance.body()["accounts"][0]["balance"], 250);
}

#[test]
fn a_card_id_is_never_used_twice() {
    let mut world = World::with_member(0);
    world.ok("office", "stop_card", &json!({"card_id": "card-1", "reason": "lost"}));
    let body = json!({"member_no": 1, "card_id": "card-1"});
    assert_eq!(world.refused("enrol", "issue_card", &body), "CARD_IN_USE");
}

#[test]
fn a_temporary_card_is_good_beside_the_regular_one_until_the_day_ends() {
    let mut world = World::with_member(250);
    world.ok("enrol", "issue_card", &json!({"member_no": 1, "card_id": "temp-1", "temporary": true}));
    assert_eq!((world.card("temp-1").kind, world.card("temp-1").valid_until), (CardKind::Temporary, Some(DAY)));
    world.ok("counter", "deposit", &json!({"card_id": "temp-1", "rate_id": 1, "units": 1}));
    world.ok("office", "close_day", &json!({"date": "2026-07-01"}));
    world.ok("office", "open_day", &json!({"date": "2026-07-02"}));
    let body = json!({"card_id": "temp-1", "rate_id": 1, "units": 1});
    assert_eq!(world.refused("counter", "deposit", &body), "CARD_VOID");
    assert_eq!(world.member(1).active_card.as_deref(), Some("card-1"));
}

#[test]
fn the_use_of_a_card_is_written_down_with_seat_and_time() {
    let mut world = World::with_member(0);
    world.now = UnixMs(world.now.0 + 5);
    world.session("seat-3", "card-1");
    let event = world.events().pop().unwrap();
    assert_eq!((event.kind.as_str(), event.detail.as_str(), event.at), ("card_use", "3", world.now));
    assert_eq!((event.card_id.as_deref(), event.member_no), (Some("card-1"), Some(1)));
}
