//! The ledger's promises, checked over the rows of one server. `audit` runs these on both servers, at close and on demand; each
//! takes rows in key order and names what is wrong. Streaming: memory grows with accounts and member days, not with ledger rows;
//! only I4 keeps the number and command of each ledger row whose record is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::chain;
use super::rows::{Account, AuditEvent, BusinessDay, DailyDraw, DayState, LedgerKind, LedgerRow, Payout, PayoutState, Site};
use crate::model::{CommandId, Response, Status, TerminalId};

/// Findings kept of one check: the first say what is wrong, the thousandth nothing new.
pub const FINDINGS_MAX: usize = 1_000;

/// One thing that is not as promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its number, as the checks below carry it: `I1`.
    pub invariant: &'static str,
    pub table: &'static str,
    pub key: String,
    pub expected: String,
    pub found: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, table, key, expected, found } = self;
        write!(f, "{invariant}: {table} {key}: expected {expected}, found {found}")
    }
}

/// What one check found, bounded.
struct Findings {
    invariant: &'static str,
    list: Vec<Finding>,
}

impl Findings {
    fn of(invariant: &'static str) -> Self {
        Self { invariant, list: Vec::new() }
    }

    fn add(&mut self, table: &'static str, key: impl ToString, expected: impl ToString, found: impl ToString) {
        if self.list.len() < FINDINGS_MAX {
            let (key, expected, found) = (key.to_string(), expected.to_string(), found.to_string());
            self.list.push(Finding { invariant: self.invariant, table, key, expected, found });
        }
    }

    fn compare<T: PartialEq + ToString>(&mut self, table: &'static str, key: impl ToString, expected: T, found: T) {
        if expected != found {
            self.add(table, key, expected.to_string(), found.to_string());
        }
    }
}

/// I1: an account's balance is the sum of its ledger rows and the last of their `balance_after`; none is ever negative.
/// `ledger` by `ledger_no`.
pub fn balances(accounts: impl IntoIterator<Item = Account>, ledger: impl IntoIterator<Item = LedgerRow>) -> Vec<Finding> {
    let mut out = Findings::of("I1");
    // Balance and number of the last row of each account.
    let mut last: BTreeMap<i64, (i128, i64)> = BTreeMap::new();
    for row in ledger {
        let (sum, no) = last.entry(row.account_id).or_default();
        *sum += i128::from(row.delta);
        *no = row.ledger_no;
        out.compare("ledger", row.ledger_no, *sum, row.balance_after.into());
        if row.balance_after < 0 {
            out.add("ledger", row.ledger_no, "a balance of 0 or more", row.balance_after);
        }
        if row.delta == 0 {
            out.add("ledger", row.ledger_no, "a delta that is not 0", 0);
        }
    }
    for account in accounts {
        let (sum, no) = last.remove(&account.account_id).unwrap_or_default();
        out.compare("account", account.account_id, sum, account.balance.into());
        out.compare("account", format!("{} last_ledger_no", account.account_id), no, account.last_ledger_no);
        let own = Account::owner_of(account.account_id) == (account.member_no, account.rate_id);
        if !own {
            out.add("account", account.account_id, "its number made of member and rate", account.member_no);
        }
    }
    for (account_id, _) in last {
        out.add("account", account_id, "a row", "none");
    }
    out.list
}

/// I2: at every rate, what was there before plus all movements is what is stored now; transfers sum to nothing.
/// `opening` holds the units per rate from before the first row of `ledger`; empty if that is row 1.
pub fn liability(
    opening: &BTreeMap<i64, i64>,
    accounts: impl IntoIterator<Item = Account>,
    ledger: impl IntoIterator<Item = LedgerRow>,
) -> Vec<Finding> {
    let mut out = Findings::of("I2");
    let mut closing: BTreeMap<i64, i128> = opening.iter().map(|(rate, units)| (*rate, i128::from(*units))).collect();
    let mut transferred = 0_i128;
    for row in ledger {
        let (_, rate_id) = Account::owner_of(row.account_id);
        *closing.entry(rate_id).or_default() += i128::from(row.delta);
        if row.kind == LedgerKind::Transfer {
            transferred += i128::from(row.delta);
        }
        if !sign_fits(row.kind, row.delta) {
            out.add("ledger", row.ledger_no, format!("a delta that fits {:?}", row.kind), row.delta);
        }
    }
    let mut stored: BTreeMap<i64, i128> = BTreeMap::new();
    for account in accounts {
        *stored.entry(account.rate_id).or_default() += i128::from(account.balance);
    }
    out.compare("ledger", "transfers", 0, transferred);
    for rate_id in closing.keys().chain(stored.keys()).copied().collect::<BTreeSet<_>>() {
        let of = |map: &BTreeMap<i64, i128>| map.get(&rate_id).copied().unwrap_or_default();
        out.compare("rate", rate_id, of(&closing), of(&stored));
    }
    out.list
}

/// Whether units of that kind go in that direction.
fn sign_fits(kind: LedgerKind, delta: i64) -> bool {
    match kind {
        LedgerKind::Deposit | LedgerKind::PayoutReturn | LedgerKind::ExchangeReturn => delta > 0,
        LedgerKind::Payout | LedgerKind::Exchange | LedgerKind::Expire => delta < 0,
        LedgerKind::Adjust | LedgerKind::Transfer | LedgerKind::Convert => delta != 0,
    }
}

/// I3: what the payouts of a member and day took of the limit is what is written down, and within the limit.
/// A limit lowered during a day does not make its earlier draws wrong, so `limit_yen` is the highest in force.
pub fn daily_draws(
    limit_yen: i64,
    payouts: impl IntoIterator<Item = Payout>,
    draws: impl IntoIterator<Item = DailyDraw>,
) -> Vec<Finding> {
    let mut out = Findings::of("I3");
    let mut taken: BTreeMap<(i64, i32), i64> = BTreeMap::new();
    for payout in payouts {
        let (member_no, _) = Account::owner_of(payout.account_id);
        *taken.entry((member_no, payout.day)).or_default() += payout.limit_yen;
        if let Some(fault) = payout_fault(&payout) {
            out.add("payout", payout.payout_id, fault, format!("{:?} {:?}", payout.state, payout.delivered));
        }
    }
    for draw in draws {
        let key = format!("member {} day {}", draw.member_no, draw.day);
        let sum = taken.remove(&(draw.member_no, draw.day)).unwrap_or_default();
        out.compare("daily_draw", &key, sum, draw.limit_yen);
        if draw.limit_yen > limit_yen {
            out.add("daily_draw", &key, format!("at most {limit_yen}"), draw.limit_yen);
        }
    }
    for ((member_no, day), sum) in taken {
        if sum != 0 {
            out.add("daily_draw", format!("member {member_no} day {day}"), sum, "no row");
        }
    }
    out.list
}

/// What a payout's state asks of `delivered`.
fn payout_fault(payout: &Payout) -> Option<&'static str> {
    let fits = match (payout.state, payout.delivered) {
        (PayoutState::Authorised | PayoutState::Unresolved, delivered) => delivered.is_none(),
        (PayoutState::Done, delivered) => delivered == Some(payout.units),
        (PayoutState::Void, delivered) => delivered == Some(0),
        (PayoutState::Short, delivered) => delivered.is_some_and(|units| 0 < units && units < payout.units),
    };
    (!fits).then_some("a state that fits what was delivered")
}

/// I4: every ledger row of a day whose records are kept has its command's record, and every answer that names a ledger row has it.
/// `records` are all that are kept, with their answers decoded.
pub fn records(
    records_kept_from: Option<i32>,
    ledger: impl IntoIterator<Item = LedgerRow>,
    records: impl IntoIterator<Item = (TerminalId, CommandId, Response)>,
) -> Vec<Finding> {
    let mut out = Findings::of("I4");
    // What each command moved, until its record is seen.
    let mut moved: BTreeMap<(String, [u8; 16]), Vec<i64>> = BTreeMap::new();
    for row in ledger.into_iter().filter(|row| records_kept_from.is_none_or(|first| row.day >= first)) {
        moved.entry((row.terminal_id, row.command_id)).or_default().push(row.ledger_no);
    }
    for (terminal_id, command_id, response) in records {
        let rows = moved.remove(&(terminal_id.0.clone(), command_id.0)).unwrap_or_default();
        let key = || format!("{} {}", terminal_id.0, hex_of_id(&command_id.0));
        if response.status != Status::Ok && !rows.is_empty() {
            out.add("command_record", key(), "an answer that is ok", &response.code);
        }
        if let Some(ledger_no) = promised_row(&response).filter(|no| !rows.contains(no)) {
            out.add("command_record", key(), format!("ledger row {ledger_no}"), format!("{rows:?}"));
        }
    }
    for ((terminal_id, command_id), rows) in moved {
        let found = format!("none for ledger rows {rows:?}");
        out.add("command_record", format!("{terminal_id} {}", hex_of_id(&command_id)), "a record", found);
    }
    out.list
}

fn hex_of_id(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The ledger row that an answer names.
fn promised_row(response: &Response) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct Body {
        ledger_no: Option<i64>,
    }
    serde_json::from_str::<Body>(&response.body).ok()?.ledger_no
}

/// I5: ledger numbers have no gaps, each hash covers its row and the hash before, and the site's row holds the last of both.
pub fn ledger_chain(site: &Site, ledger: impl IntoIterator<Item = LedgerRow>) -> Vec<Finding> {
    let links = ledger.into_iter().map(|row| Link {
        no: row.ledger_no,
        prev_hash: row.prev_hash,
        hash: row.hash,
        covered: chain::ledger_hash(&row),
    });
    unbroken("ledger", (site.last_ledger_no, site.ledger_hash), links)
}

/// I5 for the audit: the same over its events.
pub fn event_chain(site: &Site, events: impl IntoIterator<Item = AuditEvent>) -> Vec<Finding> {
    let links = events.into_iter().map(|event| Link {
        no: event.event_no,
        prev_hash: event.prev_hash,
        hash: event.hash,
        covered: chain::event_hash(&event),
    });
    unbroken("audit_event", (site.last_event_no, site.event_hash), links)
}

struct Link {
    no: i64,
    prev_hash: [u8; 32],
    hash: [u8; 32],
    /// What `hash` should be.
    covered: [u8; 32],
}

fn unbroken(table: &'static str, tail: (i64, [u8; 32]), links: impl Iterator<Item = Link>) -> Vec<Finding> {
    let mut out = Findings::of("I5");
    let (mut no, mut hash) = (0, [0; 32]);
    for link in links {
        out.compare(table, format!("{} number", link.no), no + 1, link.no);
        out.compare(table, format!("{} prev_hash", link.no), hex(hash), hex(link.prev_hash));
        out.compare(table, format!("{} hash", link.no), hex(link.covered), hex(link.hash));
        (no, hash) = (link.no, link.hash);
    }
    out.compare("site", format!("last number of {table}"), no, tail.0);
    out.compare("site", format!("last hash of {table}"), hex(hash), hex(tail.1));
    out.list
}

fn hex(hash: [u8; 32]) -> String {
    blake3::Hash::from_bytes(hash).to_hex().to_string()
}

/// I9: no payout of a closed day is still authorised; and at most one day is not closed, the site's.
pub fn closed_days(
    site: &Site,
    days: impl IntoIterator<Item = BusinessDay>,
    payouts: impl IntoIterator<Item = Payout>,
) -> Vec<Finding> {
    let mut out = Findings::of("I9");
    for day in days.into_iter().filter(|day| day.state != DayState::Closed) {
        out.compare("business_day", day.day, format!("{:?}", site.current_day), format!("{:?}", Some(day.day)));
    }
    for payout in payouts.into_iter().filter(|payout| payout.state == PayoutState::Authorised) {
        if site.current_day != Some(payout.day) {
            out.add("payout", payout.payout_id, "done, short, void or unresolved: its day is closed", "authorised");
        }
    }
    out.list
}
