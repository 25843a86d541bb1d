//! Who may keep the site busy with deriving passwords: terminals that are known, and nobody else.

use duplex::ledger::commands::Command;
use duplex::ledger::rows::{Key, Row};
use duplex::ledger::{commands::sign_in, sample};
use duplex::model::{Application, CommandId, Request, Status, TerminalId};
use serde_json::json;

use crate::world::World;

fn may_prepare(world: &mut World, terminal: &str, key: &str) -> bool {
    world.ledger.may_prepare(&TerminalId(terminal.into()), key, &mut world.rows).unwrap()
}

/// What goes on from the edge when a password was not derived.
fn underived(terminal: &str, key: &str) -> Request<Command> {
    let outside = json!({"staff_id": "manager", "password": sample::PASSWORD}).to_string();
    let body = sign_in::without_password(&outside).unwrap();
    Request {
        terminal_id: TerminalId(terminal.into()),
        key: key.into(),
        command_id: CommandId([8; 16]),
        body_hash: [0; 16],
        known_day: None,
        rate_table_version: None,
        staff_session: None,
        command: Command::parse("sign_in", &body).unwrap(),
    }
}

#[test]
fn only_a_known_and_enabled_terminal_with_its_key_causes_a_slow_step() {
    let mut world = World::new();
    let key = sample::key("office");
    assert!(may_prepare(&mut world, "office", &key));
    assert!(!may_prepare(&mut world, "office", "guess"));
    assert!(!may_prepare(&mut world, "pos", &key));
    assert!(!may_prepare(&mut world, "nobody", &key));
    world.change(&Key::Terminal("office".into()), |row| {
        if let Row::Terminal(terminal) = row {
            terminal.enabled = false;
        }
    });
    assert!(!may_prepare(&mut world, "office", &key));
}

#[test]
fn a_stranger_whose_password_was_not_derived_hears_what_any_stranger_hears() {
    let mut world = World::new();
    for (terminal, key, code) in [("nobody", "guess", "UNKNOWN_TERMINAL"), ("office", "guess", "WRONG_KEY")] {
        let answer = world.execute(&underived(terminal, key));
        assert_eq!((answer.code(), answer.stored), (code, false));
    }
}

#[test]
fn a_terminal_that_became_known_on_the_way_is_told_to_try_again_and_nothing_is_written_down() {
    let mut world = World::new();
    let request = underived("office", &sample::key("office"));
    assert!(!world.ledger.changes_data(&request.command));
    let answer = world.execute(&request);
    assert_eq!((answer.code(), answer.response.status, answer.stored), ("BUSY", Status::Retry, false));
    assert_eq!(world.events().len(), 0);
}

#[test]
fn a_body_is_read_as_strictly_where_its_password_is_not_derived() {
    for body in [json!({"staff_id": "manager"}), json!({"staff_id": "manager", "password": "x", "password_hash": "00"})] {
        let bad = sign_in::derive(&body.to_string(), &crate::world::secrets()).unwrap_err();
        assert_eq!(sign_in::without_password(&body.to_string()), Err(bad));
    }
}
