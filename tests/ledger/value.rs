//! Deposits and balances.

use duplex::ledger::rows::{Key, LedgerKind, MemberState, Row};
use serde_json::json;

use crate::world::{DAY, World};

#[test]
fn a_deposit_opens_the_account_and_is_one_line_of_the_ledger() {
    let mut world = World::with_member(0);
    let answer = world.ok("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 3, "units": 47}));
    assert_eq!((answer.number("ledger_no"), answer.number("balance")), (1, 47));
    let row = world.ledger_rows().remove(0);
    assert_eq!((row.day, row.account_id, row.kind, row.delta, row.balance_after), (DAY, 1_003, LedgerKind::Deposit, 47, 47));
    assert_eq!((row.terminal_id.as_str(), row.command_id), ("counter", answer.command_id.0));
    assert_eq!(world.findings(), []);
}

#[test]
fn deposits_of_one_rate_add_up_and_those_of_another_stay_apart() {
    let mut world = World::with_member(125);
    world.ok("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 1, "units": 1}));
    world.ok("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 2, "units": 7}));
    assert_eq!((world.balance(1, 1), world.balance(1, 2)), (126, 7));
    assert_eq!(world.findings(), []);
}

#[test]
fn a_deposit_needs_no_pin_and_takes_a_session_as_well_as_a_card() {
    let mut world = World::with_member(0);
    let session = world.ok("counter", "authenticate", &json!({"card_id": "card-1"})).text("session");
    world.ok("counter", "deposit", &json!({"session": session, "rate_id": 1, "units": 125}));
    assert_eq!(world.balance(1, 1), 125);
}

#[test]
fn units_sold_for_cash_are_marked_in_the_ledger() {
    let mut world = World::with_member(0);
    world.ok("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 1, "units": 1, "origin": "sold"}));
    assert_eq!(world.ledger_rows()[0].reason.as_deref(), Some("sold"));
}

#[test]
fn an_account_takes_no_more_than_its_ceiling_and_says_how_much_still_fits() {
    let mut world = World::with_member(249_999);
    let refused = world.send("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 1, "units": 2}));
    assert_eq!((refused.code(), refused.number("left")), ("ACCOUNT_CEILING", 1));
    world.ok("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 1, "units": 1}));
    assert_eq!(world.balance(1, 1), 250_000);
}

#[test]
fn a_refused_deposit_moves_nothing_and_leaves_an_audit_event() {
    let mut world = World::with_member(10);
    let answer = world.send("seat-1", "deposit", &json!({"card_id": "card-1", "rate_id": 2, "units": 5}));
    assert!(answer.stored);
    let images: Vec<_> = answer.images.iter().map(duplex::model::Image::key).collect();
    assert!(matches!(images[..], [Key::AuditEvent(_), Key::Site(1)]), "{images:?}");
    let event = world.events().pop().unwrap();
    assert_eq!((event.kind.as_str(), event.detail.as_str()), ("deposit_refused", "WRONG_MEDIUM rate 2 units 5"));
}

#[test]
fn a_provisional_member_may_deposit_but_not_draw() {
    let mut world = World::open();
    let body = json!({"person": {}, "card_id": "card-9", "pin": "1234"});
    let member_no = world.ok("enrol", "register_member", &body).number("member_no");
    assert_eq!(world.member(member_no).state, MemberState::Provisional);
    world.ok("counter", "deposit", &json!({"card_id": "card-9", "rate_id": 1, "units": 125}));
    let answer = world.ok("seat-1", "authenticate", &json!({"card_id": "card-9", "pin": "1234"}));
    assert_eq!(answer.body()["can_draw"], false);
    let body = json!({"session": answer.text("session"), "rate_id": 1, "units": 125});
    assert_eq!(world.refused("seat-1", "authorise_payout", &body), "MEMBER_SUSPENDED");
}

#[test]
fn the_first_use_of_a_day_is_noted_with_the_member_and_later_ones_are_not() {
    let mut world = World::with_member(0);
    let deposit = json!({"card_id": "card-1", "rate_id": 1, "units": 1});
    let touches_member = |world: &mut World| {
        let answer = world.ok("counter", "deposit", &deposit);
        answer.images.iter().any(|image| matches!(image.key(), Key::Member(1)))
    };
    assert!(touches_member(&mut world));
    assert!(!touches_member(&mut world));
    assert_eq!(world.member(1).last_used_day, Some(DAY));
}

#[test]
fn a_balance_shows_every_rate_with_what_may_be_drawn_now() {
    let mut world = World::with_member(300);
    let session = world.session("kiosk", "card-1");
    let answer = world.send("kiosk", "get_balance", &json!({"session": session}));
    assert!(!answer.stored);
    let lines = answer.body()["accounts"].clone();
    assert_eq!(lines[0], json!({"rate_id": 1, "balance": 300, "limit_left": 2_500, "drawable": 250}));
    assert_eq!(lines[2], json!({"rate_id": 3, "balance": 0, "limit_left": 470, "drawable": 0}));
    world.ok("kiosk", "get_balance", &json!({"session": answer.text("session")}));
}

#[test]
fn staff_at_an_office_desk_see_a_balance_without_the_card_and_nobody_else_does() {
    let mut world = World::with_member(300);
    let answer = world.ok("office", "get_balance", &json!({"member_no": 1}));
    assert_eq!(answer.body()["accounts"][0]["balance"], 300);
    assert_eq!(world.refused("kiosk", "get_balance", &json!({"member_no": 1})), "SESSION_ENDED");
    assert_eq!(world.refused("office", "get_balance", &json!({"member_no": 2})), "UNKNOWN_MEMBER");
}

#[test]
fn a_terminal_with_an_old_rate_table_moves_nothing() {
    let mut world = World::with_member(0);
    for version in [None, Some(0), Some(2)] {
        world.rate_table_version = version;
        let body = json!({"card_id": "card-1", "rate_id": 1, "units": 1});
        assert_eq!(world.refused("counter", "deposit", &body), "RATE_TABLE_OLD");
    }
    assert_eq!(world.deposits(), 0);
}

#[test]
fn a_rate_that_is_no_longer_in_use_takes_nothing() {
    let mut world = World::with_member(0);
    world.change(&Key::Rate(1), |row| {
        if let Row::Rate(rate) = row {
            rate.active = false;
        }
    });
    for rate_id in [1, 4] {
        let body = json!({"card_id": "card-1", "rate_id": rate_id, "units": 1});
        assert_eq!(world.refused("counter", "deposit", &body), "WRONG_MEDIUM");
    }
}
