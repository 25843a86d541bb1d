//! A ledger over rows in memory: what DataUpdater and store do between them, without either.

use std::collections::HashMap;
use std::sync::OnceLock;

use duplex::ledger::query::{DayAtClose, DayTotal, Found, Query};
use duplex::ledger::rows::{Account, Key, LedgerKind, LedgerRow, MemberState, PayoutState, Row, Site};
use duplex::ledger::{Ledger, Secrets, SiteDefinition, commands, genesis, invariants, sample};
use duplex::model::{
    Application, Bad, CommandId, Draft, Image, Request, Response, Row as _, Rows, Status, TerminalId, Unavailable, UnixMs,
    Verdict,
};
use serde_json::{Value, json};

/// 2026-07-01, 10:00 in Japan.
pub const MORNING: UnixMs = UnixMs(1_782_867_600_000);
pub const TODAY: &str = "2026-07-01";
pub const DAY: i32 = 20_635;

#[derive(Clone, Default)]
pub struct Table(pub HashMap<Key, Row>);

impl Rows<Row> for Table {
    fn get(&mut self, key: &Key) -> Result<Option<Row>, Unavailable> {
        Ok(self.0.get(key).cloned())
    }
}

#[derive(Clone)]
pub struct World {
    pub ledger: Ledger,
    pub rows: Table,
    pub now: UnixMs,
    pub staff_session: Option<String>,
    /// The terminal that the staff session goes along with.
    pub staff_at: &'static str,
    pub rate_table_version: Option<i64>,
    /// Every answer that was stored.
    pub records: Vec<(TerminalId, CommandId, Response)>,
    next_id: u64,
}

/// What came of a command.
pub struct Answer {
    pub response: Response,
    pub stored: bool,
    pub images: Vec<Image<Row>>,
    pub command_id: CommandId,
}

impl Answer {
    pub fn code(&self) -> &str {
        &self.response.code
    }

    pub fn body(&self) -> Value {
        serde_json::from_str(&self.response.body).expect("a body is JSON")
    }

    pub fn number(&self, field: &str) -> i64 {
        self.body()[field].as_i64().unwrap_or_else(|| panic!("no number {field} in {:?}", self.response))
    }

    pub fn text(&self, field: &str) -> String {
        self.body()[field].as_str().unwrap_or_else(|| panic!("no text {field} in {:?}", self.response)).to_owned()
    }
}

/// Deriving a password is slow on purpose; once for all tests is enough.
fn sample_site() -> SiteDefinition {
    static SAMPLE: OnceLock<SiteDefinition> = OnceLock::new();
    SAMPLE.get_or_init(|| SiteDefinition::sample(6, &secrets()).expect("the sample is valid")).clone()
}

/// The body of `sign_in` as it goes on from the edge.
fn sign_in_body(staff_id: &str) -> Value {
    static BODIES: OnceLock<[Value; 2]> = OnceLock::new();
    let derive = |staff_id| {
        let outside = json!({"staff_id": staff_id, "password": sample::PASSWORD}).to_string();
        let derived = commands::sign_in::derive(&outside, &secrets()).expect("a good body");
        serde_json::from_str(&derived).expect("JSON")
    };
    let bodies = BODIES.get_or_init(|| ["manager", "clerk"].map(derive));
    bodies[usize::from(staff_id == "clerk")].clone()
}

pub fn secrets() -> Secrets {
    Secrets::derive(&[7; 32])
}

impl World {
    /// The sample site before its first day.
    pub fn new() -> Self {
        Self::of(&sample_site())
    }

    pub fn of(definition: &SiteDefinition) -> Self {
        let mut world = Self {
            ledger: Ledger::new(secrets()),
            rows: Table::default(),
            now: MORNING,
            staff_session: None,
            staff_at: "office",
            rate_table_version: Some(1),
            records: Vec::new(),
            next_id: 0,
        };
        world.apply(&genesis(definition).expect("a valid site"));
        world
    }

    /// The sample site, with the manager signed in and the day open.
    pub fn open() -> Self {
        let mut world = Self::new();
        world.sign_in("manager");
        world.ok("office", "open_day", &json!({"date": TODAY}));
        world
    }

    /// An open site with one member whose card is `card-1`, PIN 1234, and `units` of rate 1.
    pub fn with_member(units: i64) -> Self {
        let mut world = Self::open();
        world.register("card-1");
        if units > 0 {
            world.ok("counter", "deposit", &json!({"card_id": "card-1", "rate_id": 1, "units": units}));
        }
        world
    }

    pub fn sign_in(&mut self, staff_id: &str) {
        let answer = self.ok("office", "sign_in", &sign_in_body(staff_id));
        self.staff_session = Some(answer.text("staff_session"));
    }

    pub fn register(&mut self, card_id: &str) -> i64 {
        let body = json!({
            "person": {"name": "山田 太郎", "kana": format!("ヤマダ {card_id}"), "birth_date": "1980-02-29"},
            "card_id": card_id, "pin": "1234", "id_checked_by": "clerk",
        });
        self.ok("office", "register_member", &body).number("member_no")
    }

    /// A session of `card_id` at `terminal`, with its PIN.
    pub fn session(&mut self, terminal: &str, card_id: &str) -> String {
        self.ok(terminal, "authenticate", &json!({"card_id": card_id, "pin": "1234"})).text("session")
    }

    pub fn ok(&mut self, terminal: &str, command: &str, body: &Value) -> Answer {
        let answer = self.send(terminal, command, body);
        assert_eq!(answer.response.status, Status::Ok, "{command} {body}: {:?}", answer.response);
        answer
    }

    /// The code of a refusal.
    pub fn refused(&mut self, terminal: &str, command: &str, body: &Value) -> String {
        let answer = self.send(terminal, command, body);
        assert_eq!(answer.response.status, Status::Rejected, "{command} {body}: {:?}", answer.response);
        answer.response.code
    }

    pub fn send(&mut self, terminal: &str, command: &str, body: &Value) -> Answer {
        self.try_send(terminal, command, &body.to_string())
            .unwrap_or_else(|bad| panic!("{command} {body}: {} {}", bad.field, bad.reason))
    }

    pub fn try_send(&mut self, terminal: &str, command: &str, body: &str) -> Result<Answer, Bad> {
        let command = self.ledger.parse(command, body)?;
        self.next_id += 1;
        let mut command_id = [0; 16];
        command_id[..8].copy_from_slice(&self.next_id.to_le_bytes());
        let request = Request {
            terminal_id: TerminalId(terminal.into()),
            key: sample::key(terminal),
            command_id: CommandId(command_id),
            body_hash: [0; 16],
            known_day: None,
            rate_table_version: self.rate_table_version,
            staff_session: self.staff_session.clone().filter(|_| terminal == self.staff_at),
            command,
        };
        Ok(self.execute(&request))
    }

    pub fn execute(&mut self, request: &Request<duplex::ledger::commands::Command>) -> Answer {
        let command_id = request.command_id;
        let identified = self.ledger.identify(request, &mut self.rows).expect("memory is available");
        if let Some(response) = identified {
            return Answer { response, stored: false, images: vec![], command_id };
        }
        let mut found = None;
        loop {
            let mut rows = self.rows.take();
            let mut draft = Draft::new(&mut rows);
            let verdict = self.ledger.execute(request, found.as_ref(), &mut draft, self.now).expect("memory is available");
            let images = draft.into_images();
            self.rows = rows;
            match verdict {
                Verdict::Query(query) => found = Some(self.find(&query)),
                Verdict::Answer(response) => return Answer { response, stored: false, images: vec![], command_id },
                Verdict::Store(response) => {
                    self.apply(&images);
                    self.records.push((request.terminal_id.clone(), command_id, response.clone()));
                    return Answer { response, stored: true, images, command_id };
                }
            }
        }
    }

    fn apply(&mut self, images: &[Image<Row>]) {
        for image in images {
            match image {
                Image::Put(row) => drop(self.rows.0.insert(row.key(), row.clone())),
                Image::Delete(key) => drop(self.rows.0.remove(key)),
            }
        }
    }

    fn find(&self, query: &Query) -> Found {
        match query {
            Query::DayAtClose { day, open_payouts_max, earlier_days_max } => {
                Found::DayAtClose(self.day_at_close(*day, *open_payouts_max, *earlier_days_max))
            }
            Query::SamePerson { kana, birth_day, members_max } => {
                let same = self.all(|row| match row {
                    Row::Member(member) => Some(*member),
                    _ => None,
                });
                let same = same.into_iter().filter(|member| {
                    member.state != MemberState::Erased
                        && member.kana.as_ref() == Some(kana)
                        && member.birth_day == Some(*birth_day)
                });
                Found::SamePerson(same.map(|member| member.member_no).take(*members_max).collect())
            }
        }
    }

    fn day_at_close(&self, day: i32, open_max: usize, earlier_max: usize) -> DayAtClose {
        let open: Vec<_> = self.payouts().into_iter().filter(|p| p.day == day && p.state == PayoutState::Authorised).collect();
        let mut totals: Vec<DayTotal> = Vec::new();
        for row in self.ledger_rows().into_iter().filter(|row| row.day == day) {
            let (_, rate_id) = Account::owner_of(row.account_id);
            match totals.iter_mut().find(|total| (total.rate_id, total.kind) == (rate_id, row.kind)) {
                Some(total) => (total.rows, total.units) = (total.rows + 1, total.units + row.delta),
                None => totals.push(DayTotal { rate_id, kind: row.kind, rows: 1, units: row.delta }),
            }
        }
        totals.sort_by_key(|total| (total.rate_id, total.kind as i32));
        let mut days: Vec<i32> = self.days().into_iter().map(|row| row.day).filter(|other| *other < day).collect();
        days.reverse();
        days.truncate(earlier_max);
        let open_payouts_count = i64::try_from(open.len()).expect("few");
        let open_payouts = open.into_iter().take(open_max).collect();
        DayAtClose { open_payouts, open_payouts_count, totals, earlier_days: days }
    }

    /// Rows of one table in key order.
    fn all<T>(&self, pick: impl Fn(Row) -> Option<T>) -> Vec<T> {
        let mut rows: Vec<_> = self.rows.0.iter().collect();
        rows.sort_by_key(|(key, _)| (*key).clone());
        rows.into_iter().filter_map(|(_, row)| pick(row.clone())).collect()
    }

    pub fn site(&self) -> Site {
        match &self.rows.0[&Key::Site(Site::NO)] {
            Row::Site(site) => (**site).clone(),
            other => panic!("{other:?} is no site"),
        }
    }

    pub fn accounts(&self) -> Vec<Account> {
        self.all(|row| if let Row::Account(row) = row { Some(row) } else { None })
    }

    pub fn ledger_rows(&self) -> Vec<LedgerRow> {
        self.all(|row| if let Row::Ledger(row) = row { Some(*row) } else { None })
    }

    pub fn payouts(&self) -> Vec<duplex::ledger::rows::Payout> {
        self.all(|row| if let Row::Payout(row) = row { Some(row) } else { None })
    }

    pub fn draws(&self) -> Vec<duplex::ledger::rows::DailyDraw> {
        self.all(|row| if let Row::DailyDraw(row) = row { Some(row) } else { None })
    }

    pub fn days(&self) -> Vec<duplex::ledger::rows::BusinessDay> {
        self.all(|row| if let Row::BusinessDay(row) = row { Some(row) } else { None })
    }

    pub fn events(&self) -> Vec<duplex::ledger::rows::AuditEvent> {
        self.all(|row| if let Row::AuditEvent(row) = row { Some(*row) } else { None })
    }

    pub fn card(&self, card_id: &str) -> duplex::ledger::rows::Card {
        match &self.rows.0[&Key::Card(card_id.into())] {
            Row::Card(card) => card.clone(),
            other => panic!("{other:?} is no card"),
        }
    }

    pub fn member(&self, member_no: i64) -> duplex::ledger::rows::Member {
        match &self.rows.0[&Key::Member(member_no)] {
            Row::Member(member) => (**member).clone(),
            other => panic!("{other:?} is no member"),
        }
    }

    /// Changes a row behind the ledger's back.
    pub fn change(&mut self, key: &Key, change: impl Fn(&mut Row)) {
        change(self.rows.0.get_mut(key).expect("the row is there"));
    }

    pub fn balance(&self, member_no: i64, rate_id: i64) -> i64 {
        let own = self.accounts().into_iter().find(|a| (a.member_no, a.rate_id) == (member_no, rate_id));
        own.map_or(0, |account| account.balance)
    }

    /// Every invariant that the ledger's commands must keep.
    pub fn findings(&self) -> Vec<invariants::Finding> {
        let site = self.site();
        let mut all = invariants::balances(self.accounts(), self.ledger_rows());
        all.extend(invariants::liability(&[].into(), self.accounts(), self.ledger_rows()));
        all.extend(invariants::daily_draws(site.daily_limit_yen, self.payouts(), self.draws()));
        all.extend(invariants::records(site.records_kept_from, self.ledger_rows(), self.records.clone()));
        all.extend(invariants::ledger_chain(&site, self.ledger_rows()));
        all.extend(invariants::event_chain(&site, self.events()));
        all.extend(invariants::closed_days(&site, self.days(), self.payouts()));
        all
    }

    pub fn deposits(&self) -> usize {
        self.ledger_rows().iter().filter(|row| row.kind == LedgerKind::Deposit).count()
    }
}

impl Table {
    /// Takes the rows out, so that a draft can borrow them while the world looks on.
    fn take(&mut self) -> Self {
        Self(std::mem::take(&mut self.0))
    }
}
