//! Business days, staff, and what terminals learn when they connect.

use duplex::ledger::rows::{DayState, Key, Row};
use duplex::ledger::sample;
use duplex::model::application::PairCode;
use duplex::model::{Application, Row as _, Status};
use serde_json::json;

use crate::world::{DAY, TODAY, World};

fn next_day(world: &mut World, date: &str) {
    let current = world.site().current_day.unwrap();
    let today = duplex::ledger::calendar::text_from_day(current);
    world.ok("office", "close_day", &json!({"date": today}));
    world.ok("office", "open_day", &json!({"date": date, "confirm": true}));
}

#[test]
fn nothing_moves_before_the_day_is_open() {
    let mut world = World::new();
    let body = json!({"card_id": "card-1", "rate_id": 1, "units": 1});
    assert_eq!(world.refused("counter", "deposit", &body), "HALL_CLOSED");
}

#[test]
fn a_day_is_opened_once_the_one_before_it_is_closed_and_dates_rise() {
    let mut world = World::open();
    assert_eq!(world.refused("office", "open_day", &json!({"date": "2026-07-02"})), "PREVIOUS_DAY_NOT_CLOSED");
    world.ok("office", "close_day", &json!({"date": TODAY}));
    assert_eq!(world.refused("office", "open_day", &json!({"date": TODAY})), "DATE_NOT_LATER");
    assert_eq!(world.ok("office", "open_day", &json!({"date": "2026-07-02"})).number("seq"), 2);
    assert_eq!(world.findings(), []);
}

#[test]
fn a_date_far_from_the_clock_must_be_confirmed() {
    let mut world = World::new();
    world.sign_in("manager");
    for date in ["2026-06-29", "2026-07-03"] {
        assert_eq!(world.refused("office", "open_day", &json!({"date": date})), "DATE_FAR_FROM_CLOCK");
    }
    world.ok("office", "open_day", &json!({"date": "2026-07-03", "confirm": true}));
}

#[test]
fn after_begin_close_deposits_go_on_and_new_payouts_do_not() {
    let mut world = World::with_member(500);
    let session = world.session("seat-1", "card-1");
    let draw = json!({"session": session, "rate_id": 1, "units": 125});
    world.ok("seat-1", "authorise_payout", &draw);
    world.ok("office", "begin_close", &json!({"date": TODAY}));
    world.ok("office", "begin_close", &json!({"date": TODAY}));
    world.ok("seat-1", "complete_payout", &json!({"payout_id": 1, "delivered": 125}));
    assert_eq!(world.refused("seat-1", "authorise_payout", &draw), "HALL_CLOSED");
    world.ok("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 1, "units": 1}));
    assert_eq!(world.findings(), []);
}

#[test]
fn a_day_with_open_payouts_is_not_closed_but_prepares_to_close_and_they_are_listed() {
    let mut world = World::with_member(500);
    let session = world.session("seat-1", "card-1");
    world.ok("seat-1", "authorise_payout", &json!({"session": session, "rate_id": 1, "units": 125}));
    let refused = world.send("office", "close_day", &json!({"date": TODAY}));
    assert!(refused.stored);
    assert_eq!((refused.code(), refused.number("count")), ("OPEN_PAYOUTS", 1));
    assert_eq!(refused.body()["payouts"], json!([{"payout_id": 1, "terminal_id": "seat-1", "units": 125}]));
    assert_eq!(world.days()[0].state, DayState::Closing);
    assert_eq!(world.events().pop().unwrap().kind, "close_begun");
    assert_eq!(world.findings(), []);
}

#[test]
fn once_a_close_was_tried_no_payout_begins_and_trying_again_closes_when_the_last_is_completed() {
    let mut world = World::with_member(500);
    let session = world.session("seat-1", "card-1");
    let draw = json!({"session": session, "rate_id": 1, "units": 125});
    world.ok("seat-1", "authorise_payout", &draw);
    assert_eq!(world.refused("office", "close_day", &json!({"date": TODAY})), "OPEN_PAYOUTS");
    let other = world.session("seat-2", "card-1");
    let elsewhere = json!({"session": other, "rate_id": 1, "units": 125});
    assert_eq!(world.refused("seat-2", "authorise_payout", &elsewhere), "HALL_CLOSED");
    world.ok("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 1, "units": 1}));
    assert_eq!(world.refused("office", "close_day", &json!({"date": TODAY})), "OPEN_PAYOUTS");
    assert_eq!(world.events().iter().filter(|event| event.kind == "close_begun").count(), 1, "said once");
    world.ok("seat-1", "complete_payout", &json!({"payout_id": 1, "delivered": 0}));
    world.ok("office", "close_day", &json!({"date": TODAY}));
    assert_eq!(world.days()[0].state, DayState::Closed);
    assert_eq!(world.findings(), []);
}

#[test]
fn a_closed_day_keeps_its_last_line_and_hash_and_answers_its_totals() {
    let mut world = World::with_member(500);
    let answer = world.ok("office", "close_day", &json!({"date": TODAY}));
    let day = world.days().remove(0);
    assert_eq!((day.state, day.last_ledger_no, day.closed_by.as_deref()), (DayState::Closed, 1, Some("manager")));
    assert_eq!(day.chain_hash, world.ledger_rows()[0].hash);
    assert_eq!(answer.body()["totals"], json!([{"rate_id": 1, "kind": "deposit", "rows": 1, "units": 500}]));
    assert_eq!(world.site().current_day, None);
    assert_eq!(world.findings(), []);
}

#[test]
fn only_the_current_day_is_closed() {
    let mut world = World::open();
    assert_eq!(world.refused("office", "close_day", &json!({"date": "2026-07-02"})), "OTHER_DAY");
    world.ok("office", "close_day", &json!({"date": TODAY}));
    assert_eq!(world.refused("office", "close_day", &json!({"date": TODAY})), "HALL_CLOSED");
}

#[test]
fn records_are_kept_for_fourteen_closed_days() {
    let mut world = World::open();
    for date in 2..=14 {
        next_day(&mut world, &format!("2026-07-{date:02}"));
        assert_eq!(world.site().records_kept_from, None);
    }
    next_day(&mut world, "2026-07-20");
    assert_eq!(world.site().records_kept_from, Some(DAY));
    next_day(&mut world, "2026-08-01");
    assert_eq!(world.site().records_kept_from, Some(DAY + 1));
    let day = world.ledger.day(&mut world.rows).unwrap();
    assert_eq!((day.current, day.records_kept_from), (Some(DAY + 31), Some(DAY + 1)));
}

#[test]
fn a_command_made_before_the_days_whose_records_are_kept_is_too_old() {
    let mut world = World::open();
    for date in 2..=16 {
        next_day(&mut world, &format!("2026-07-{date:02}"));
    }
    let day = world.ledger.day(&mut world.rows).unwrap();
    assert_eq!(day.records_kept_from, Some(DAY + 1));
    assert!(day.has_forgotten(Some(DAY)));
    assert!(!day.has_forgotten(Some(DAY + 1)) && !day.has_forgotten(Some(DAY + 15)));
    assert!(!day.has_forgotten(None), "such a terminal gives up by itself");
    let refusal = world.ledger.refusal(PairCode::CommandTooOld);
    assert_eq!((refusal.code.as_str(), refusal.status), ("COMMAND_TOO_OLD", Status::Rejected));
}

#[test]
fn the_sites_row_says_from_which_day_on_records_are_kept() {
    let mut world = World::open();
    for date in 2..=15 {
        next_day(&mut world, &format!("2026-07-{date:02}"));
    }
    let saying: Vec<_> = world.rows.0.values().filter_map(|row| row.records_kept_from()).collect();
    assert_eq!(saying, [DAY]);
}

#[test]
fn only_a_supervisor_or_above_opens_and_closes_the_day() {
    let mut world = World::new();
    assert_eq!(world.refused("office", "open_day", &json!({"date": TODAY})), "NOT_SIGNED_IN");
    world.sign_in("clerk");
    assert_eq!(world.refused("office", "open_day", &json!({"date": TODAY})), "ROLE_NOT_ALLOWED");
    world.sign_in("manager");
    world.ok("office", "open_day", &json!({"date": TODAY}));
    assert_eq!(world.days()[0].opened_by, "manager");
}

#[test]
fn a_wrong_password_and_an_unknown_person_sound_alike_and_are_written_down() {
    let mut world = World::new();
    for staff_id in ["manager", "nobody"] {
        let body = json!({"staff_id": staff_id, "password_hash": "00".repeat(32)});
        let answer = world.send("office", "sign_in", &body);
        assert_eq!((answer.code(), answer.response.body.as_str()), ("WRONG_PASSWORD", "{}"));
        assert_eq!(world.events().pop().unwrap().detail, staff_id);
    }
}

#[test]
fn a_password_hash_from_outside_never_reaches_the_ledger() {
    let outside = json!({"staff_id": "manager", "password_hash": "00".repeat(32)}).to_string();
    let bad = duplex::ledger::commands::sign_in::derive(&outside, &crate::world::secrets()).unwrap_err();
    assert!(bad.reason.contains("password_hash"), "{bad:?}");
}

#[test]
fn a_staff_session_ends_with_its_shift_its_terminal_and_its_owners_leaving() {
    let mut world = World::open();
    let register = json!({"person": {"name": "x"}});
    world.ok("office", "register_member", &register);
    world.staff_at = "enrol";
    assert_eq!(world.refused("enrol", "register_member", &register), "NOT_SIGNED_IN");
    world.staff_at = "office";
    let mut later = world.clone();
    later.now.0 += 12 * 3_600_000 + 1;
    assert_eq!(later.refused("office", "register_member", &register), "NOT_SIGNED_IN");
    world.change(&Key::Staff("manager".into()), |row| {
        if let Row::Staff(staff) = row {
            staff.active = false;
        }
    });
    assert_eq!(world.refused("office", "register_member", &register), "NOT_SIGNED_IN");
}

#[test]
fn hello_gives_day_settings_and_rate_table_and_writes_nothing() {
    let mut world = World::open();
    let answer = world.send("seat-1", "hello", &json!({"software": "seat 1.0"}));
    let body = answer.body();
    assert!(!answer.stored);
    assert_eq!(body["day"], json!({"date": TODAY, "seq": 1, "state": "open"}));
    assert_eq!((&body["settings"]["daily_limit_yen"], &body["settings"]["words"]["draw"]), (&json!(10_000), &json!("draw")));
    assert_eq!((&body["rate_table"]["version"], body["rate_table"]["rates"].as_array().unwrap().len()), (&json!(1), 3));
    assert_eq!(body["rate_table"]["rates"][2]["lend_units"], 47);
}

#[test]
fn a_terminal_with_software_that_is_too_old_is_told_which_would_do() {
    let mut world = World::open();
    for command in ["hello", "heartbeat"] {
        let answer = world.send("seat-1", command, &json!({"software": "seat 0.9"}));
        assert_eq!((answer.code(), answer.text("software_min").as_str()), ("VERSION_TOO_OLD", "1.0"));
        assert!(!answer.stored);
        world.ok("seat-1", command, &json!({"software": "seat 1.0"}));
        world.ok("seat-1", command, &json!({}));
    }
}

#[test]
fn a_heartbeat_brings_the_rate_table_only_to_a_terminal_that_holds_another() {
    let mut world = World::open();
    assert!(world.ok("seat-1", "heartbeat", &json!({"rate_table_ver": 1})).body().get("rate_table").is_none());
    assert_eq!(world.ok("seat-1", "heartbeat", &json!({"rate_table_ver": 0})).body()["rate_table"]["version"], 1);
}

#[test]
fn a_heartbeat_with_new_faults_is_recorded_and_any_other_is_not() {
    let mut world = World::new();
    assert!(!world.send("seat-1", "heartbeat", &json!({})).stored);
    assert!(world.send("seat-1", "heartbeat", &json!({"fault_codes": ["E12", "E13"]})).stored);
    let events = world.events();
    assert_eq!(events.iter().map(|e| e.detail.as_str()).collect::<Vec<_>>(), ["E12 ", "E13 "]);
    assert_eq!(events[0].terminal_id, "seat-1");
}

#[test]
fn the_sample_password_opens_no_door_by_itself() {
    assert_ne!(sample::key("seat-1"), sample::key("seat-2"));
    let mut world = World::new();
    let body = json!({"staff_id": "manager", "password_hash": blake3::hash(sample::PASSWORD.as_bytes()).to_hex().as_str()});
    assert_eq!(world.refused("office", "sign_in", &body), "WRONG_PASSWORD");
}
