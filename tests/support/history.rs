//! Histories of entries, numbered and chained, over the application's rows.

use std::sync::Arc;

use diesel::prelude::*;
use duplex::ledger::rows::{
    Account, AuditEvent, BusinessDay, Card, CardKind, CardState, DailyDraw, DayState, Key, LedgerKind, LedgerRow, Medium, Member,
    MemberState, Payout, PayoutState, Rate, Row, Site, Staff, StaffRole, Terminal, TerminalKind,
};
use duplex::model::application::Day;
use duplex::model::entry::SharedEntry;
use duplex::model::{
    Application, Bad, CommandId, CommandRecord, Digest, Draft, Entry, Fingerprint, Image, Position, Request, Response, Rows,
    Sealed, Status, TerminalId, Unavailable, UnixMs, Verdict, application::PairCode,
};
use duplex::store::{Answers, StoreConnection};

/// The application's rows without its commands: the store asks for no more.
#[derive(Clone)]
pub struct Bare;

/// The accounts of a member, with their balances.
#[derive(Clone, Debug)]
pub struct AccountsOf(pub i64);

impl Answers for Bare {
    fn answer(query: &AccountsOf, conn: &mut StoreConnection) -> QueryResult<Vec<(i64, i64)>> {
        use duplex::schema::account;
        account::table
            .filter(account::member_no.eq(query.0))
            .order(account::account_id)
            .select((account::account_id, account::balance))
            .load(conn)
    }
}

impl Application for Bare {
    type Row = Row;
    type Command = ();
    type Query = AccountsOf;
    type Found = Vec<(i64, i64)>;

    fn name(&self, _: &Self::Command) -> &'static str {
        "bare"
    }

    fn parse(&self, name: &str, _: &str) -> Result<(), Bad> {
        Err(Bad { field: "command".to_owned(), reason: format!("`{name}` is unknown: this application has no commands") })
    }

    fn identify(&self, _: &Request<()>, _: &mut dyn Rows<Row>) -> Result<Option<Response>, Unavailable> {
        Ok(None)
    }

    fn changes_data(&self, (): &()) -> bool {
        false
    }

    fn execute(
        &self,
        _: &Request<()>,
        _: Option<&Vec<(i64, i64)>>,
        _: &mut Draft<'_, Row>,
        _: UnixMs,
    ) -> Result<Verdict<AccountsOf>, Unavailable> {
        Err(Unavailable("this application has no commands".to_owned()))
    }

    fn day(&self, _: &mut dyn Rows<Row>) -> Result<Day, Unavailable> {
        Ok(Day::default())
    }

    fn refusal(&self, code: PairCode) -> Response {
        let none = String::new;
        Response { status: Status::Rejected, code: format!("{code:?}"), text_ja: none(), text_en: none(), body: none() }
    }
}

/// Entries behind one another.
#[derive(Clone, Default)]
pub struct History {
    pub last: Position,
}

impl History {
    pub fn entry(&mut self, images: Vec<Image<Row>>) -> SharedEntry<Row> {
        self.last.sequence = self.last.sequence.next();
        self.last.epoch.0 = self.last.epoch.0.max(1);
        let sequence = self.last.sequence.0;
        let entry = Entry { images, record: record(sequence) };
        let payload = postcard::to_stdvec(&entry).expect("an entry can be encoded");
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.last.digest.0).update(&self.last.epoch.0.to_le_bytes()).update(&payload);
        self.last.digest = Digest(*hasher.finalize().as_bytes());
        let fingerprint = Fingerprint(u128::from_le_bytes(entry.record.command_id.0));
        Arc::new(Sealed { position: self.last, fingerprint, payload, entry })
    }

    pub fn puts(&mut self, rows: impl IntoIterator<Item = Row>) -> SharedEntry<Row> {
        self.entry(rows.into_iter().map(Image::Put).collect())
    }

    pub fn begin_epoch(&mut self) {
        self.last.epoch = self.last.epoch.next();
    }

    /// A deposit, as the application stores it: the account, a ledger row and the site's tail.
    pub fn deposit(&mut self, members: u64) -> SharedEntry<Row> {
        let number = self.last.sequence.0 + 1;
        let member_no = i64::try_from(number * 7919 % members + 1).expect("few members");
        let balance = i64::try_from(number).expect("few entries");
        let row = ledger_row(balance, member_no);
        let site = Site { last_ledger_no: balance, ledger_hash: row.hash, ..site() };
        self.puts([Row::Account(account(member_no, balance)), Row::Ledger(Box::new(row)), Row::Site(Box::new(site))])
    }

    pub fn deposits(&mut self, entries: usize, members: u64) -> Vec<SharedEntry<Row>> {
        (0..entries).map(|_| self.deposit(members)).collect()
    }
}

/// What entry `sequence` records: some with a business day, some without.
pub fn record(sequence: u64) -> CommandRecord {
    let id = blake3::hash(&sequence.to_le_bytes());
    CommandRecord {
        terminal_id: TerminalId(format!("seat-{:03}", sequence % 200)),
        command_id: CommandId(id.as_bytes()[..16].try_into().expect("16 of 32 bytes")),
        body_hash: id.as_bytes()[16..].try_into().expect("16 of 32 bytes"),
        day: sequence.is_multiple_of(2).then_some(20_000),
        response: format!("{{\"status\":\"ok\",\"balance_after\":{sequence},\"text_ja\":\"お預かりしました\"}}").into_bytes(),
    }
}

pub fn site() -> Site {
    Site {
        site_no: Site::NO,
        name: "駅前店".to_owned(),
        profile: "hall-ja".to_owned(),
        rate_table_version: 3,
        daily_limit_yen: 50_000,
        min_age_years: 18,
        current_day: Some(20_000),
        last_day: Some(20_000),
        records_kept_from: None,
        last_day_seq: 7,
        last_member_no: 20_000,
        last_payout_id: 12,
        last_ledger_no: 0,
        ledger_hash: [1; 32],
        last_event_no: 0,
        event_hash: [2; 32],
    }
}

pub fn account(member_no: i64, balance: i64) -> Account {
    let account_id = Account::id_of(member_no, 1);
    Account { account_id, member_no, rate_id: 1, balance, last_ledger_no: balance, version: balance }
}

pub fn ledger_row(ledger_no: i64, member_no: i64) -> LedgerRow {
    LedgerRow {
        ledger_no,
        day: 20_000,
        at: UnixMs(1_728_000_000_000 + ledger_no),
        account_id: Account::id_of(member_no, 1),
        kind: LedgerKind::Deposit,
        delta: 125,
        balance_after: ledger_no,
        ref_type: None,
        ref_id: None,
        terminal_id: "seat-001".to_owned(),
        staff_id: None,
        command_id: [3; 16],
        reason: None,
        prev_hash: [4; 32],
        hash: *blake3::hash(&ledger_no.to_le_bytes()).as_bytes(),
    }
}

pub fn card(card_id: &str, pin_fail: i64) -> Card {
    Card {
        card_id: card_id.to_owned(),
        member_no: Some(4),
        kind: CardKind::Regular,
        state: CardState::Active,
        pin_hash: Some([5; 32]),
        pin_fail,
        valid_until: Some(21_000),
        issued_day: 19_000,
        replaced_by: Some("次の\u{1F0CF}カード".to_owned()),
    }
}

pub fn member(member_no: i64, state: MemberState) -> Member {
    Member {
        member_no,
        state,
        name: Some("山田 花子".to_owned()),
        kana: Some("ヤマダ ハナコ".to_owned()),
        birth_day: Some(-3_000),
        sex: Some("f".to_owned()),
        postal: Some("100-0001".to_owned()),
        address: Some("'; DROP TABLE member; --".to_owned()),
        phone: Some(String::new()),
        email: None,
        dm_ok: true,
        id_checked_by: Some("clerk-1".to_owned()),
        joined_day: i32::MIN,
        last_used_day: Some(i32::MAX),
        active_card: Some("a".to_owned()),
        version: i64::MAX,
    }
}

/// Every table, with every nullable column null and not, every variant of every enum, and the ends of the ranges.
pub fn every_kind_of_row() -> Vec<Row> {
    let mut rows = vec![Row::Site(Box::new(site()))];
    rows.extend([DayState::Open, DayState::Closing, DayState::Closed].into_iter().zip(-1..).map(business_day));
    rows.extend(
        [
            MemberState::Provisional,
            MemberState::Active,
            MemberState::Dormant,
            MemberState::Suspended,
            MemberState::Withdrawn,
            MemberState::Erased,
        ]
        .into_iter()
        .zip(1..)
        .map(|(state, member_no)| Row::Member(Box::new(member(member_no, state)))),
    );
    rows.push(Row::Member(Box::new(erased_member(i64::MIN))));
    rows.push(Row::Member(Box::new(erased_member(i64::MAX))));
    rows.extend(cards());
    rows.extend([(1, Medium::Ball), (Rate::ID_MAX, Medium::Medal)].map(|(rate_id, medium)| {
        let name = format!("rate {rate_id}");
        let active = rate_id == 1;
        Row::Rate(Rate { rate_id, medium, name, lend_units: 47, lend_yen: 1_000, payout_step: 1, max_units: i64::MAX, active })
    }));
    rows.push(Row::Account(account(1, i64::MIN)));
    rows.extend(ledger_rows());
    rows.extend(payouts());
    rows.extend(
        [(1, -1), (1, 0), (2, i32::MIN)].map(|(member_no, day)| Row::DailyDraw(DailyDraw { member_no, day, limit_yen: 500 })),
    );
    rows.extend(terminals());
    rows.extend([StaffRole::Clerk, StaffRole::Supervisor, StaffRole::Manager, StaffRole::Maintenance].map(|role| {
        let staff_id = format!("{role:?}");
        Row::Staff(Staff { staff_id, name: "係".to_owned(), role, password_hash: [255; 32], active: role != StaffRole::Clerk })
    }));
    rows.extend(audit_events());
    rows
}

fn business_day((state, day): (DayState, i32)) -> Row {
    let closed = state == DayState::Closed;
    Row::BusinessDay(BusinessDay {
        day,
        seq: 1,
        state,
        opened_at: UnixMs(i64::MAX),
        opened_by: "manager-1".to_owned(),
        closed_at: closed.then_some(UnixMs(-1)),
        closed_by: closed.then(|| "manager-2".to_owned()),
        last_ledger_no: 9,
        chain_hash: [0; 32],
        offsite_copied_at: closed.then_some(UnixMs(0)),
    })
}

fn erased_member(member_no: i64) -> Member {
    Member {
        name: None,
        kana: None,
        birth_day: None,
        sex: None,
        postal: None,
        address: None,
        phone: None,
        email: None,
        dm_ok: false,
        id_checked_by: None,
        last_used_day: None,
        active_card: None,
        ..member(member_no, MemberState::Erased)
    }
}

/// Names that an English collation and plain bytes order differently.
fn cards() -> impl Iterator<Item = Row> {
    let states = [CardState::Blank, CardState::Active, CardState::Stopped, CardState::Lost, CardState::Void];
    ["a", "B", "b", "_", "é"].into_iter().zip(states).map(|(card_id, state)| {
        let blank = Card { member_no: None, kind: CardKind::Temporary, pin_hash: None, valid_until: None, ..card(card_id, 0) };
        Row::Card(if state == CardState::Blank {
            Card { replaced_by: None, ..blank }
        } else {
            Card { state, ..card(card_id, 3) }
        })
    })
}

fn ledger_rows() -> impl Iterator<Item = Row> {
    let kinds = [
        LedgerKind::Deposit,
        LedgerKind::Payout,
        LedgerKind::PayoutReturn,
        LedgerKind::Exchange,
        LedgerKind::ExchangeReturn,
        LedgerKind::Adjust,
        LedgerKind::Transfer,
        LedgerKind::Convert,
        LedgerKind::Expire,
    ];
    kinds.into_iter().zip(1..).map(|(kind, ledger_no)| {
        let adjusted = (kind == LedgerKind::Adjust).then(|| "理由".to_owned());
        let text = || adjusted.clone();
        let row =
            LedgerRow { kind, ref_type: text(), ref_id: text(), staff_id: text(), reason: text(), ..ledger_row(ledger_no, 1) };
        Row::Ledger(Box::new(row))
    })
}

fn payouts() -> impl Iterator<Item = Row> {
    let states = [PayoutState::Authorised, PayoutState::Done, PayoutState::Short, PayoutState::Void, PayoutState::Unresolved];
    states.into_iter().zip(1..).map(|(state, payout_id)| {
        Row::Payout(Payout {
            payout_id,
            account_id: 1001,
            day: 20_000,
            terminal_id: "seat-001".to_owned(),
            units: 125,
            limit_yen: 500,
            state,
            delivered: (state == PayoutState::Short).then_some(100),
            receipt_no: (state == PayoutState::Short).then(|| "r-1".to_owned()),
        })
    })
}

fn terminals() -> impl Iterator<Item = Row> {
    let kinds = [
        TerminalKind::Seat,
        TerminalKind::Counter,
        TerminalKind::Replay,
        TerminalKind::Pos,
        TerminalKind::Enrol,
        TerminalKind::Kiosk,
        TerminalKind::Analysis,
        TerminalKind::HallComputer,
    ];
    kinds.into_iter().map(|kind| {
        let seat = kind == TerminalKind::Seat;
        Row::Terminal(Terminal {
            terminal_id: format!("{kind:?}"),
            kind,
            zone: "島 1".to_owned(),
            machine_no: seat.then(|| "101".to_owned()),
            rate_id: seat.then_some(1),
            key_hash: [9; 32],
            enabled: seat,
            open_payout: seat.then_some(5),
        })
    })
}

fn audit_events() -> [Row; 2] {
    let bare = AuditEvent {
        event_no: 1,
        at: UnixMs(0),
        day: None,
        staff_id: None,
        terminal_id: "seat-001".to_owned(),
        kind: "card_used".to_owned(),
        member_no: None,
        card_id: None,
        detail: String::new(),
        prev_hash: [0; 32],
        hash: [6; 32],
    };
    let full = AuditEvent {
        event_no: 2,
        day: Some(1),
        staff_id: Some("clerk-1".to_owned()),
        member_no: Some(1),
        card_id: Some("a".to_owned()),
        detail: "x".repeat(20_000),
        ..bare.clone()
    };
    [bare, full].map(|event| Row::AuditEvent(Box::new(event)))
}

pub fn account_key(member_no: i64) -> Key {
    Key::Account(Account::id_of(member_no, 1))
}
