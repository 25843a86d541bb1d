//! Random histories keep every promise; random bytes never panic.

use duplex::ledger::commands::{Command, TABLE};
use duplex::ledger::rows::Key;
use duplex::model::Status;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::World;

/// One thing that happens at a site. Small ranges, so that things collide.
#[derive(Clone, Debug)]
enum Step {
    Deposit { terminal: usize, card: usize, rate_id: i64, units: i64 },
    Authenticate { terminal: usize, card: usize, pin: usize },
    Authorise { terminal: usize, rate_id: i64, units: i64 },
    Complete { terminal: usize, payout_id: i64, delivered: i64 },
    Stop { card: usize },
    Issue { member_no: i64, card: usize, temporary: bool },
    Register { card: usize, checked: bool },
    Import { card: usize, units: i64 },
    BeginClose,
    CloseDay,
    OpenDay,
    Wait { minutes: i64 },
}

const TERMINALS: [&str; 4] = ["seat-1", "seat-3", "counter", "pos"];
const PINS: [&str; 3] = ["1234", "1234", "0000"];

fn step() -> impl Strategy<Value = Step> {
    let terminal = 0..TERMINALS.len();
    prop_oneof![
        6 => (terminal.clone(), 0..4_usize, 1..5_i64, 1..60_000_i64)
            .prop_map(|(terminal, card, rate_id, units)| Step::Deposit { terminal, card, rate_id, units }),
        6 => (terminal.clone(), 0..4_usize, 0..3_usize)
            .prop_map(|(terminal, card, pin)| Step::Authenticate { terminal, card, pin }),
        8 => (terminal.clone(), prop_oneof![Just(1), Just(1), Just(3)], 1..12_i64).prop_map(|(terminal, rate_id, steps)| {
            Step::Authorise { terminal, rate_id, units: steps * if rate_id == 1 { 125 } else { 47 } }
        }),
        6 => (terminal, 1..6_i64, 0..700_i64)
            .prop_map(|(terminal, payout_id, delivered)| Step::Complete { terminal, payout_id, delivered }),
        1 => (0..4_usize).prop_map(|card| Step::Stop { card }),
        1 => (1..4_i64, 0..8_usize, any::<bool>())
            .prop_map(|(member_no, card, temporary)| Step::Issue { member_no, card, temporary }),
        1 => (0..8_usize, any::<bool>()).prop_map(|(card, checked)| Step::Register { card, checked }),
        1 => (0..12_usize, 1..60_000_i64).prop_map(|(card, units)| Step::Import { card, units }),
        1 => Just(Step::BeginClose),
        1 => Just(Step::CloseDay),
        2 => Just(Step::OpenDay),
        1 => (1..40_i64).prop_map(|minutes| Step::Wait { minutes }),
    ]
}

/// A world, and the session that each terminal last got.
struct Site {
    world: World,
    sessions: [String; 4],
    date: i32,
}

impl Site {
    fn take(&mut self, step: &Step) {
        let today = duplex::ledger::calendar::text_from_day(self.date);
        match step {
            Step::Deposit { terminal, card, rate_id, units } => {
                let body = json!({"card_id": card_id(*card), "rate_id": rate_id, "units": units});
                self.send(TERMINALS[*terminal], "deposit", &body);
            }
            Step::Authenticate { terminal, card, pin } => {
                let body = json!({"card_id": card_id(*card), "pin": PINS[*pin]});
                if let Some(session) = self.send(TERMINALS[*terminal], "authenticate", &body)["session"].as_str() {
                    self.sessions[*terminal] = session.into();
                }
            }
            Step::Authorise { terminal, rate_id, units } => {
                let body = json!({"session": self.sessions[*terminal], "rate_id": rate_id, "units": units});
                self.send(TERMINALS[*terminal], "authorise_payout", &body);
            }
            Step::Complete { terminal, payout_id, delivered } => {
                let body = json!({"payout_id": payout_id, "delivered": delivered});
                self.send(TERMINALS[*terminal], "complete_payout", &body);
            }
            Step::Stop { card } => drop(self.send("office", "stop_card", &json!({"card_id": card_id(*card), "reason": "x"}))),
            Step::Issue { member_no, card, temporary } => {
                let body = json!({"member_no": member_no, "card_id": card_id(*card), "pin": "1234", "temporary": temporary});
                self.send("office", "issue_card", &body);
            }
            Step::Register { card, checked } => {
                let mut body = json!({"person": {"name": "x", "kana": "y", "birth_date": "1990-01-01"}, "card_id": card_id(*card), "pin": "1234"});
                if *checked {
                    body["id_checked_by"] = json!("clerk");
                }
                self.send("office", "register_member", &body);
            }
            Step::Import { card, units } => {
                let row = json!({
                    "person": {"name": "x", "kana": "z", "birth_date": "1990-01-01"}, "card_id": card_id(*card),
                    "opening": [{"rate_id": 1, "units": units}],
                });
                self.send("office", "import_members", &json!({"rows": [row]}));
            }
            Step::BeginClose => drop(self.send("office", "begin_close", &json!({"date": today}))),
            Step::CloseDay => drop(self.send("office", "close_day", &json!({"date": today}))),
            Step::OpenDay => {
                let next = duplex::ledger::calendar::text_from_day(self.date + 1);
                if self.send("office", "open_day", &json!({"date": next, "confirm": true})).get("seq").is_some() {
                    self.date += 1;
                }
            }
            Step::Wait { minutes } => self.world.now.0 += minutes * 60_000,
        }
    }

    /// Sends, and holds the answer to what every refusal promises.
    fn send(&mut self, terminal: &str, command: &str, body: &Value) -> Value {
        let Ok(answer) = self.world.try_send(terminal, command, &body.to_string()) else { return Value::Null };
        if answer.response.status != Status::Ok {
            for image in &answer.images {
                let harmless = match image.key() {
                    Key::Card(_) | Key::AuditEvent(_) | Key::Site(_) => true,
                    Key::BusinessDay(_) => answer.code() == "OPEN_PAYOUTS",
                    _ => false,
                };
                assert!(harmless, "{command} refused with {} but changed {:?}", answer.response.code, image.key());
            }
        }
        answer.body()
    }
}

fn card_id(card: usize) -> String {
    format!("card-{card}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_history_keeps_every_invariant(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::with_member(2_000);
        world.register("card-2");
        let mut site = Site { world, sessions: Default::default(), date: crate::world::DAY };
        for step in &steps {
            site.take(step);
        }
        prop_assert_eq!(site.world.findings(), vec![]);
        prop_assert!(site.world.accounts().iter().all(|account| account.balance >= 0));
    }

    #[test]
    fn a_history_executed_twice_leads_to_the_same_rows(steps in prop::collection::vec(step(), 1..40)) {
        let run = || {
            let mut site = Site { world: World::with_member(2_000), sessions: Default::default(), date: crate::world::DAY };
            steps.iter().for_each(|step| site.take(step));
            site.world.rows.0
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn no_body_makes_parsing_panic(name in 0..TABLE.len(), body in "\\PC{0,60}") {
        let _ = Command::parse(TABLE[name].name, &body);
    }

    #[test]
    fn no_well_formed_json_makes_any_command_panic(name in 0..TABLE.len(), body in body(), terminal in 0..TERMINALS.len()) {
        let mut world = WORLD.with(Clone::clone);
        for terminal in [TERMINALS[terminal], "office"] {
            let _ = world.try_send(terminal, TABLE[name].name, &body.to_string());
        }
        prop_assert_eq!(world.findings(), vec![]);
    }
}

thread_local! {
    static WORLD: World = World::with_member(2_000);
}

/// Objects made of the fields that commands know, holding values that fit and values that do not.
fn body() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..300_i64).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!(null)),
        Just(json!("card-1")),
        Just(json!("2026-07-01")),
        Just(json!("1234")),
        Just(json!({"name": "x"})),
        Just(json!([{}])),
        Just(json!({"name": "a\u{0}"})),
    ];
    let field = prop::sample::select(vec![
        "card_id",
        "session",
        "rate_id",
        "units",
        "payout_id",
        "delivered",
        "pin",
        "date",
        "confirm",
        "person",
        "rows",
        "member_no",
        "reason",
        "staff_id",
        "password_hash",
        "fault_codes",
        "software",
        "origin",
        "unheard_of",
    ]);
    prop::collection::btree_map(field, value, 0..5).prop_map(|fields| json!(fields))
}
