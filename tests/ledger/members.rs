//! Registering and importing members.

use duplex::ledger::rows::{Key, LedgerKind, MemberState};
use serde_json::{Value, json};

use crate::world::{DAY, World};

fn person(kana: &str, born: &str) -> Value {
    json!({"name": "佐藤 花子", "kana": kana, "birth_date": born})
}

#[test]
fn a_member_whose_papers_were_seen_is_active_and_has_the_card() {
    let mut world = World::open();
    let body = json!({"person": person("サトウ ハナコ", "2008-07-01"), "card_id": "c1", "id_checked_by": "clerk"});
    let answer = world.ok("enrol", "register_member", &body);
    assert_eq!((answer.number("member_no"), answer.number("version")), (1, 1));
    let member = world.member(1);
    assert_eq!((member.state, member.joined_day, member.active_card.as_deref()), (MemberState::Active, DAY, Some("c1")));
    assert_eq!(member.name.as_deref(), Some("佐藤 花子"));
}

#[test]
fn nobody_younger_than_eighteen_joins() {
    let mut world = World::open();
    let body = json!({"person": person("サトウ ハナコ", "2008-07-02"), "card_id": "c1", "id_checked_by": "clerk"});
    let refused = world.send("enrol", "register_member", &body);
    assert_eq!((refused.code(), refused.number("min_age_years")), ("UNDER_AGE", 18));
}

#[test]
fn papers_are_seen_by_somebody_who_works_here() {
    let mut world = World::open();
    let body = json!({"person": person("サトウ", "1990-01-01"), "card_id": "c1", "id_checked_by": "nobody"});
    assert_eq!(world.refused("office", "register_member", &body), "UNKNOWN_STAFF");
}

#[test]
fn a_card_that_is_somebodys_is_not_given_out_again() {
    let mut world = World::with_member(0);
    let body = json!({"person": person("サトウ", "1990-01-01"), "card_id": "card-1"});
    let refused = world.send("office", "register_member", &body);
    assert_eq!((refused.code(), refused.text("card_id").as_str()), ("CARD_IN_USE", "card-1"));
}

#[test]
fn a_second_person_of_one_name_and_birthday_is_pointed_out_and_may_be_allowed() {
    let mut world = World::open();
    let mut body = json!({"person": person("サトウ ハナコ", "1990-01-01"), "card_id": "c1"});
    world.ok("office", "register_member", &body);
    body["card_id"] = json!("c2");
    let refused = world.send("office", "register_member", &body);
    assert_eq!((refused.code(), refused.body()["member_nos"].clone()), ("DUPLICATE_SUSPECTED", json!([1])));
    body["allow_duplicate"] = json!(true);
    assert_eq!(world.ok("office", "register_member", &body).number("member_no"), 2);
    assert_eq!(world.findings(), []);
}

#[test]
fn audit_events_name_members_by_number_only() {
    let mut world = World::with_member(0);
    let printed = format!("{:?}", world.events());
    assert!(printed.contains("member_registered") && !printed.contains("山田"), "{printed}");
    world.ok("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 1, "units": 1}));
}

#[test]
fn bodies_that_contradict_themselves_name_the_field() {
    let mut world = World::open();
    let cases = [
        (json!({"person": {"name": "x"}, "pin": "1234"}), "body.pin"),
        (json!({"person": {"name": "x"}, "id_checked_by": "clerk"}), "body.person"),
        (json!({"person": {}}), "body.person.name"),
        (json!({"person": {"name": "a\u{0}b"}}), "body.person.name"),
        (json!({"person": {"name": "x", "birth_date": "1990-02-30"}}), "body.person.birth_date"),
        (json!({"person": {"name": "x".repeat(61)}}), "body.person.name"),
        (json!({"person": {"name": "x", "nickname": "y"}}), "body.person.nickname"),
        (json!({"person": {"name": "x"}, "card_id": "a b"}), "body.card_id"),
        (json!({"person": {"name": "x"}, "card_id": "c", "pin": "12345"}), "body.pin"),
        (json!({}), "body"),
    ];
    for (body, field) in cases {
        let bad = world.try_send("office", "register_member", &body.to_string()).err().unwrap();
        assert_eq!(bad.field, field, "{body}: {}", bad.reason);
    }
}

fn import_row(no: usize) -> Value {
    json!({
        "person": person(&format!("サトウ {no}"), "1990-01-01"), "card_id": format!("old-{no}"), "pin": "0000",
        "opening": [{"rate_id": 1, "units": 100 + no}, {"rate_id": 3, "units": 47}],
    })
}

#[test]
fn an_import_makes_members_cards_and_opening_balances_in_one_entry() {
    let mut world = World::open();
    let rows: Vec<_> = (0..256).map(import_row).collect();
    let answer = world.ok("office", "import_members", &json!({"rows": rows}));
    assert_eq!((answer.number("first_member_no"), answer.number("last_member_no")), (1, 256));
    assert_eq!((world.balance(2, 1), world.balance(256, 3)), (101, 47));
    let row = world.ledger_rows().pop().unwrap();
    assert_eq!((row.kind, row.reason.as_deref(), row.staff_id.as_deref()), (LedgerKind::Adjust, Some("import"), Some("manager")));
    world.ok("seat-1", "authenticate", &json!({"card_id": "old-255", "pin": "0000"}));
    assert_eq!(world.findings(), []);
}

#[test]
fn an_import_with_one_bad_row_imports_nothing_and_names_the_row() {
    let mut world = World::with_member(0);
    let mut rows: Vec<_> = (0..3).map(import_row).collect();
    rows[2]["card_id"] = json!("card-1");
    let refused = world.send("office", "import_members", &json!({"rows": rows}));
    assert_eq!((refused.code(), refused.number("row"), refused.images.len()), ("CARD_IN_USE", 2, 0));
    rows[2]["card_id"] = json!("old-2");
    rows[1]["opening"][1]["units"] = json!(50_001);
    let refused = world.send("office", "import_members", &json!({"rows": rows}));
    assert_eq!((refused.code(), refused.number("row")), ("ACCOUNT_CEILING", 1));
    assert!(!world.rows.0.contains_key(&Key::Member(2)));
}

#[test]
fn an_import_can_be_asked_about_and_every_bad_row_is_named_and_nothing_changes() {
    let mut world = World::with_member(0);
    world.ok("office", "import_members", &json!({"rows": [import_row(0)]}));
    let mut rows: Vec<_> = (0..4).map(import_row).collect();
    rows[1]["card_id"] = json!("card-1");
    rows[2]["person"]["birth_date"] = json!("2025-01-01");
    let before = world.rows.0.clone();
    let answer = world.send("office", "import_members", &json!({"rows": rows, "check_only": true}));
    let body = answer.body();
    let refused: Vec<_> = body["refused"].as_array().unwrap().iter().map(|row| (&row["row"], &row["code"])).collect();
    assert_eq!(refused, [(&json!(1), &json!("CARD_IN_USE")), (&json!(2), &json!("UNDER_AGE"))]);
    assert_eq!((answer.code(), &body["present"]), ("", &json!([0])));
    assert!(answer.images.is_empty() && world.rows.0 == before, "a question changes nothing");
}

#[test]
fn an_import_is_refused_as_a_whole_if_it_repeats_itself_or_is_too_long() {
    let mut world = World::open();
    let mut twice = vec![import_row(1), import_row(1)];
    let field = |world: &mut World, rows: &[Value]| {
        world.try_send("office", "import_members", &json!({"rows": rows}).to_string()).err().unwrap().field
    };
    assert_eq!(field(&mut world, &twice), "body.rows[1].card_id");
    twice[1] = import_row(2);
    twice[1]["opening"][1]["rate_id"] = json!(1);
    assert_eq!(field(&mut world, &twice), "body.rows[1].opening");
    assert_eq!(field(&mut world, &[]), "body.rows");
    assert_eq!(field(&mut world, &(0..257).map(import_row).collect::<Vec<_>>()), "body.rows");
}

#[test]
fn only_a_supervisor_imports() {
    let mut world = World::open();
    world.sign_in("clerk");
    assert_eq!(world.refused("office", "import_members", &json!({"rows": [import_row(1)]})), "ROLE_NOT_ALLOWED");
}
