//! The order of the checks: a request that fails two neighbouring ones hears of the first.

use duplex::ledger::commands::Command;
use duplex::ledger::rows::{CardState, Key, MemberState, Row, Site};
use duplex::ledger::sample;
use duplex::model::{CommandId, Request, TerminalId};
use serde_json::json;

use crate::world::World;

/// A request, and the world that it meets, before somebody breaks something.
struct Scene {
    world: World,
    terminal: String,
    key: String,
    command: &'static str,
    session: String,
    rate_id: i64,
    units: i64,
}

/// Something wrong with a scene, and what the terminal hears of it.
type Fault = (&'static str, fn(&mut Scene));

/// In the order in which a terminal must hear of them: who asks, whether anybody may, what is asked, whom it concerns.
const FAULTS: [Fault; 16] = [
    ("UNKNOWN_TERMINAL", |s| s.terminal = "nobody".into()),
    ("TERMINAL_DISABLED", |s| s.terminal(|terminal| terminal.enabled = false)),
    ("WRONG_KEY", |s| s.key = "guess".into()),
    ("HALL_CLOSED", |s| {
        s.world.change(&Key::Site(Site::NO), |row| {
            if let Row::Site(site) = row {
                site.current_day = None
            }
        })
    }),
    ("KIND_NOT_ALLOWED", |s| s.terminal(|terminal| terminal.kind = duplex::ledger::rows::TerminalKind::Kiosk)),
    ("RATE_TABLE_OLD", |s| s.world.rate_table_version = Some(0)),
    ("WRONG_MEDIUM", |s| s.terminal(|terminal| terminal.rate_id = Some(2))),
    ("UNKNOWN_CARD", |s| drop(s.world.rows.0.remove(&Key::Card("card-1".into())))),
    ("CARD_STOPPED", |s| s.card(CardState::Stopped)),
    ("MEMBER_SUSPENDED", |s| s.member(MemberState::Suspended)),
    ("SESSION_ENDED", |s| s.world.now.0 += 16 * 60_000),
    ("OVER_DAILY_LIMIT", |s| {
        s.world.change(&Key::Site(Site::NO), |row| {
            if let Row::Site(site) = row {
                site.daily_limit_yen = 100
            }
        })
    }),
    ("INSUFFICIENT_BALANCE", |s| {
        s.world.change(&Key::Account(1_001), |row| {
            if let Row::Account(row) = row {
                row.balance = 100
            }
        })
    }),
    ("UNITS_NOT_IN_STEPS", |s| s.units = 124),
    ("PAYOUT_PENDING", |s| s.terminal(|terminal| terminal.open_payout = Some(9))),
    ("", |_| ()),
];

impl Scene {
    fn new() -> Self {
        let mut world = World::with_member(1_000);
        let session = world.session("seat-1", "card-1");
        let terminal = "seat-1".to_owned();
        let key = sample::key(&terminal);
        Self { world, terminal, key, command: "authorise_payout", session, rate_id: 1, units: 125 }
    }

    fn terminal(&mut self, change: impl Fn(&mut duplex::ledger::rows::Terminal)) {
        self.world.change(&Key::Terminal("seat-1".into()), |row| {
            if let Row::Terminal(terminal) = row {
                change(terminal);
            }
        });
    }

    fn card(&mut self, state: CardState) {
        if let Some(Row::Card(card)) = self.world.rows.0.get_mut(&Key::Card("card-1".into())) {
            card.state = state;
        }
    }

    fn member(&mut self, state: MemberState) {
        if let Some(Row::Member(member)) = self.world.rows.0.get_mut(&Key::Member(1)) {
            member.state = state;
        }
    }

    fn code(mut self) -> String {
        let body = json!({"session": self.session, "rate_id": self.rate_id, "units": self.units}).to_string();
        let request = Request {
            terminal_id: TerminalId(self.terminal),
            key: self.key,
            command_id: CommandId([9; 16]),
            body_hash: [0; 16],
            known_day: None,
            rate_table_version: self.world.rate_table_version,
            staff_session: None,
            command: Command::parse(self.command, &body).unwrap(),
        };
        self.world.execute(&request).response.code
    }
}

#[test]
fn each_fault_alone_is_heard() {
    for (code, fault) in FAULTS {
        let mut scene = Scene::new();
        fault(&mut scene);
        assert_eq!(scene.code(), code);
    }
}

#[test]
fn of_any_two_faults_the_earlier_check_is_heard() {
    for (place, (code, first)) in FAULTS.iter().enumerate() {
        for (other, second) in &FAULTS[place + 1..] {
            let mut scene = Scene::new();
            second(&mut scene);
            first(&mut scene);
            assert_eq!(scene.code(), *code, "{code} before {other}");
        }
    }
}

#[test]
fn a_wrong_pin_is_heard_only_once_card_and_member_are_in_order() {
    let body = json!({"card_id": "card-1", "pin": "0000"});
    let mut scene = Scene::new();
    assert_eq!(scene.world.refused("seat-1", "authenticate", &body), "WRONG_PIN");
    scene.member(MemberState::Dormant);
    assert_eq!(scene.world.refused("seat-1", "authenticate", &body), "MEMBER_SUSPENDED");
    scene.card(CardState::Void);
    assert_eq!(scene.world.refused("seat-1", "authenticate", &body), "CARD_VOID");
}

#[test]
fn an_office_desk_without_staff_signed_in_hears_so_before_anything_about_cards() {
    let mut world = World::with_member(0);
    world.staff_session = None;
    let body = json!({"card_id": "no-such-card", "reason": "x"});
    assert_eq!(world.refused("office", "stop_card", &body), "NOT_SIGNED_IN");
    assert_eq!(world.refused("pos", "stop_card", &body), "UNKNOWN_CARD");
}
