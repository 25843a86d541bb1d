//! What executing costs, printed for whoever asks (`--nocapture`); the only assertion is that the work was done.

use std::time::Instant;

use duplex::ledger::sample;
use duplex::model::{Application, CommandId, Draft, Image, Request, Row as _, TerminalId};

use serde_json::json;

use crate::world::World;

const DEPOSITS: u64 = 20_000;

#[test]
fn twenty_thousand_deposits_are_executed_and_timed() {
    let mut world = World::with_member(0);
    let ledger = world.ledger.clone();
    let body = r#"{"card_id":"card-1","rate_id":1,"units":1}"#;
    let (mut parsing, mut executing) = (0, 0);
    for no in 0..DEPOSITS {
        let start = Instant::now();
        let command = ledger.parse("deposit", body).unwrap();
        parsing += start.elapsed().as_nanos();
        let request = Request {
            terminal_id: TerminalId("counter".into()),
            key: sample::key("counter"),
            command_id: CommandId((u128::from(no) << 64).to_le_bytes()),
            body_hash: [0; 16],
            known_day: None,
            rate_table_version: Some(1),
            staff_session: None,
            command,
        };
        let start = Instant::now();
        assert!(ledger.identify(&request, &mut world.rows).unwrap().is_none());
        let mut draft = Draft::new(&mut world.rows);
        ledger.execute(&request, None, &mut draft, world.now).unwrap();
        let images = draft.into_images();
        executing += start.elapsed().as_nanos();
        for image in images {
            if let Image::Put(row) = image {
                world.rows.0.insert(row.key(), row);
            }
        }
    }
    assert_eq!(world.balance(1, 1), i64::try_from(DEPOSITS).unwrap());
    let each = |total: u128| total / u128::from(DEPOSITS);
    println!("deposit: parse {} ns, identify and execute {} ns", each(parsing), each(executing));
}

#[test]
fn a_full_import_is_one_entry_and_is_timed() {
    let mut world = World::open();
    let row = |no: usize| {
        let person = json!({"name": "佐藤 花子", "kana": "サトウ", "birth_date": "1990-01-01"});
        let opening: Vec<_> = (1..=3).map(|rate_id| json!({"rate_id": rate_id, "units": 1_000})).collect();
        json!({"person": person, "card_id": format!("old-{no}"), "pin": "0000", "opening": opening})
    };
    let body = json!({"rows": (0..256).map(row).collect::<Vec<_>>()});
    let start = Instant::now();
    let answer = world.ok("office", "import_members", &body);
    println!("import of 256 members with 3 balances each: {} us", start.elapsed().as_micros());
    assert_eq!(answer.images.len(), 256 * (2 + 2 * 3) + 2);
}
