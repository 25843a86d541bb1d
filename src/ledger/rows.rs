//! The application's rows, one struct per table, and the enum over them that every image carries.
//!
//! All integers are `i64`, all times UTC milliseconds, all days days since 1970-01-01 (`i32`): both engines store them alike.
//! Postcard is not self-describing: enum variants and struct fields are only ever appended.

use serde::{Deserialize, Serialize};

use crate::model::{Row as ModelRow, UnixMs};

/// The one row of the site: its settings and the tails of every dense numbering and chain, so that all of them are rows by key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Always [`Site::NO`].
    pub site_no: i64,
    pub name: String,
    /// Wording profile: `generic` or `hall-ja`.
    pub profile: String,
    pub rate_table_version: i64,
    /// Draws per member and day, yen.
    pub daily_limit_yen: i64,
    pub min_age_years: i64,
    /// The business day that is not closed, if any.
    pub current_day: Option<i32>,
    /// The business day opened last, open or closed.
    pub last_day: Option<i32>,
    /// First day whose command records are kept.
    pub records_kept_from: Option<i32>,
    pub last_day_seq: i64,
    pub last_member_no: i64,
    pub last_payout_id: i64,
    pub last_ledger_no: i64,
    pub ledger_hash: [u8; 32],
    pub last_event_no: i64,
    pub event_hash: [u8; 32],
}

impl Site {
    pub const NO: i64 = 1;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DayState {
    Open,
    Closing,
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusinessDay {
    pub day: i32,
    pub seq: i64,
    pub state: DayState,
    pub opened_at: UnixMs,
    pub opened_by: String,
    pub closed_at: Option<UnixMs>,
    pub closed_by: Option<String>,
    /// Last ledger row of the day and its hash, set at close.
    pub last_ledger_no: i64,
    pub chain_hash: [u8; 32],
    pub offsite_copied_at: Option<UnixMs>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    Provisional,
    Active,
    Dormant,
    Suspended,
    Withdrawn,
    Erased,
}

/// Personal columns are `None` once the member is erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub member_no: i64,
    pub state: MemberState,
    pub name: Option<String>,
    pub kana: Option<String>,
    /// Days since 1970-01-01, negative before.
    pub birth_day: Option<i32>,
    pub sex: Option<String>,
    pub postal: Option<String>,
    pub address: Option<String>,
    pub phone: Option<String>,
    pub email: Option<String>,
    pub dm_ok: bool,
    pub id_checked_by: Option<String>,
    pub joined_day: i32,
    pub last_used_day: Option<i32>,
    /// The one active regular card.
    pub active_card: Option<String>,
    pub version: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CardKind {
    Regular,
    Temporary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CardState {
    Blank,
    Active,
    Stopped,
    Lost,
    Void,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    pub card_id: String,
    pub member_no: Option<i64>,
    pub kind: CardKind,
    pub state: CardState,
    /// HMAC of the PIN under the pair's secret; 10^4 values deserve no slow function.
    pub pin_hash: Option<[u8; 32]>,
    pub pin_fail: i64,
    pub valid_until: Option<i32>,
    pub issued_day: i32,
    pub replaced_by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    Ball,
    Medal,
}

/// What one unit is worth: `lend_units` units for `lend_yen` yen (47 medals for 1,000 yen is no whole yen each, so the pair is kept).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    pub rate_id: i64,
    pub medium: Medium,
    pub name: String,
    pub lend_units: i64,
    pub lend_yen: i64,
    pub payout_step: i64,
    pub max_units: i64,
    pub active: bool,
}

impl Rate {
    /// Highest rate number: an account's number is `member_no * 1000 + rate_id`, so that it is found by key.
    pub const ID_MAX: i64 = 999;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// `member_no * 1000 + rate_id`.
    pub account_id: i64,
    pub member_no: i64,
    pub rate_id: i64,
    pub balance: i64,
    pub last_ledger_no: i64,
    pub version: i64,
}

impl Account {
    pub fn id_of(member_no: i64, rate_id: i64) -> i64 {
        member_no * (Rate::ID_MAX + 1) + rate_id
    }

    /// Member and rate of an account's number.
    pub fn owner_of(account_id: i64) -> (i64, i64) {
        (account_id / (Rate::ID_MAX + 1), account_id % (Rate::ID_MAX + 1))
    }

    /// As it is before its first ledger row.
    pub fn empty(member_no: i64, rate_id: i64) -> Self {
        let account_id = Self::id_of(member_no, rate_id);
        Self { account_id, member_no, rate_id, balance: 0, last_ledger_no: 0, version: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerKind {
    Deposit,
    Payout,
    PayoutReturn,
    Exchange,
    ExchangeReturn,
    Adjust,
    Transfer,
    Convert,
    Expire,
}

/// Append-only; `hash` covers every other column and `prev_hash`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    pub ledger_no: i64,
    pub day: i32,
    pub at: UnixMs,
    pub account_id: i64,
    pub kind: LedgerKind,
    pub delta: i64,
    pub balance_after: i64,
    pub ref_type: Option<String>,
    pub ref_id: Option<String>,
    pub terminal_id: String,
    pub staff_id: Option<String>,
    pub command_id: [u8; 16],
    pub reason: Option<String>,
    pub prev_hash: [u8; 32],
    pub hash: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayoutState {
    Authorised,
    Done,
    Short,
    Void,
    Unresolved,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    pub payout_id: i64,
    pub account_id: i64,
    pub day: i32,
    pub terminal_id: String,
    pub units: i64,
    pub limit_yen: i64,
    pub state: PayoutState,
    pub delivered: Option<i64>,
    pub receipt_no: Option<String>,
}

/// What one member has drawn on one day, so that the daily limit is a row by key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DailyDraw {
    pub member_no: i64,
    pub day: i32,
    pub limit_yen: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TerminalKind {
    Seat,
    Counter,
    Replay,
    Pos,
    Enrol,
    Kiosk,
    Analysis,
    HallComputer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    pub terminal_id: String,
    pub kind: TerminalKind,
    pub zone: String,
    pub machine_no: Option<String>,
    /// The only rate a seat or counter deals in; `None` deals in all.
    pub rate_id: Option<i64>,
    /// BLAKE3 of the terminal's key (256 random bits, so no slow function).
    pub key_hash: [u8; 32],
    pub enabled: bool,
    /// The payout that this terminal has authorised and not completed.
    pub open_payout: Option<i64>,
}

/// Ordered: a later role may do what an earlier one may. Maintenance stands beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StaffRole {
    Clerk,
    Supervisor,
    Manager,
    Maintenance,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staff {
    pub staff_id: String,
    pub name: String,
    pub role: StaffRole,
    /// Argon2id of the password, salted with staff id and pair secret; computed before admission, never in DataUpdater.
    pub password_hash: [u8; 32],
    pub active: bool,
}

/// Append-only with a hash chain: card use, refusals worth a look, changes by staff. Never a name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    pub event_no: i64,
    pub at: UnixMs,
    pub day: Option<i32>,
    pub staff_id: Option<String>,
    pub terminal_id: String,
    pub kind: String,
    pub member_no: Option<i64>,
    pub card_id: Option<String>,
    pub detail: String,
    pub prev_hash: [u8; 32],
    pub hash: [u8; 32],
}

/// Any row. The order of the variants is part of the wire format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row {
    Site(Box<Site>),
    BusinessDay(BusinessDay),
    Member(Box<Member>),
    Card(Card),
    Rate(Rate),
    Account(Account),
    Ledger(Box<LedgerRow>),
    Payout(Payout),
    DailyDraw(DailyDraw),
    Terminal(Terminal),
    Staff(Staff),
    AuditEvent(Box<AuditEvent>),
}

/// Key of any row. The order of the variants is part of the wire format.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    Site(i64),
    BusinessDay(i32),
    Member(i64),
    Card(String),
    Rate(i64),
    Account(i64),
    Ledger(i64),
    Payout(i64),
    DailyDraw(i64, i32),
    Terminal(String),
    Staff(String),
    AuditEvent(i64),
}

impl ModelRow for Row {
    type Key = Key;

    fn records_kept_from(&self) -> Option<i32> {
        if let Self::Site(site) = self { site.records_kept_from } else { None }
    }

    fn is_asked_for(&self) -> bool {
        !matches!(self, Self::Ledger(_) | Self::AuditEvent(_))
    }

    fn key(&self) -> Key {
        match self {
            Self::Site(row) => Key::Site(row.site_no),
            Self::BusinessDay(row) => Key::BusinessDay(row.day),
            Self::Member(row) => Key::Member(row.member_no),
            Self::Card(row) => Key::Card(row.card_id.clone()),
            Self::Rate(row) => Key::Rate(row.rate_id),
            Self::Account(row) => Key::Account(row.account_id),
            Self::Ledger(row) => Key::Ledger(row.ledger_no),
            Self::Payout(row) => Key::Payout(row.payout_id),
            Self::DailyDraw(row) => Key::DailyDraw(row.member_no, row.day),
            Self::Terminal(row) => Key::Terminal(row.terminal_id.clone()),
            Self::Staff(row) => Key::Staff(row.staff_id.clone()),
            Self::AuditEvent(row) => Key::AuditEvent(row.event_no),
        }
    }
}
