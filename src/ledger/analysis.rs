//! What analysis clients read: members, accounts, the ledger and a day's totals, as lines of cells that suit JSON and CSV alike.
//!
//! Every list is paged by its key. **Invariant:** no hash of a PIN, a key or a password stands in any line.

use diesel::prelude::*;

use super::answers::{numbers_of, totals};
use super::calendar::text_from_day;
use super::query::DayTotal;
use super::rows::{Account, BusinessDay, DayState, LedgerRow, Member, Rate, Terminal, TerminalKind};
use super::secrets::same_hash;
use super::texts::Code;
use crate::model::{TerminalId, UnixMs};
use crate::store::StoreConnection;
use crate::store::column::{Column, unreadable};
use crate::store::table::Table;

/// Ledger numbers that one answer about one account goes through: the ledger has no index by account, and half a million rows take
/// SQLite 0.2 s (measured). An answer may therefore hold fewer lines than its limit and still have a next page.
const NUMBERS_SCANNED_MAX: i64 = 500_000;
/// Longest key of a terminal, bytes; as its envelope has it.
const KEY_LEN_MAX: usize = 128;

/// One value of a line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Cell {
    Empty,
    Number(i64),
    Flag(bool),
    Text(String),
}

/// What one read found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// What concerns all lines, by name.
    pub about: Vec<(&'static str, Cell)>,
    pub columns: &'static [&'static str],
    /// As many cells in each as there are columns.
    pub rows: Vec<Vec<Cell>>,
    /// The key to go on after; `None` at the end.
    pub next: Option<i64>,
}

/// Which part of a list.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Lines behind this key only.
    pub after: Option<i64>,
    /// Above 0.
    pub limit: i64,
}

/// Which ledger rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct LedgerFilter {
    /// Business day, days since 1970-01-01.
    pub day: Option<i32>,
    pub account_id: Option<i64>,
}

/// Whether this terminal may read: known, enabled, right key, of a kind that analyses. `Some` is the refusal.
///
/// # Errors
/// What the engine says.
pub fn refuse_reader(conn: &mut StoreConnection, terminal_id: &str, key: &str) -> QueryResult<Option<Code>> {
    if terminal_id.len() > TerminalId::LEN_MAX || key.len() > KEY_LEN_MAX {
        return Ok(Some(Code::UnknownTerminal));
    }
    let Some(terminal) = Terminal::get(conn, &(terminal_id.to_owned(),))? else { return Ok(Some(Code::UnknownTerminal)) };
    let right = same_hash(blake3::hash(key.as_bytes()).as_bytes(), &terminal.key_hash);
    Ok(match terminal.kind {
        _ if !terminal.enabled => Some(Code::TerminalDisabled),
        _ if !right => Some(Code::WrongKey),
        TerminalKind::Analysis | TerminalKind::HallComputer => None,
        _ => Some(Code::KindNotAllowed),
    })
}

/// All members by number.
///
/// # Errors
/// What the engine says.
pub fn members(conn: &mut StoreConnection, page: Page) -> QueryResult<Lines> {
    let found = Member::page(conn, page.after.map(|no| (no,)).as_ref(), page.limit + 1)?;
    Ok(lines(MEMBER, found, page, |member| member.member_no, member_cells))
}

/// One member.
///
/// # Errors
/// What the engine says.
pub fn member(conn: &mut StoreConnection, member_no: i64) -> QueryResult<Option<Lines>> {
    let found = Member::get(conn, &(member_no,))?;
    Ok(found.map(|member| Lines { columns: MEMBER, rows: vec![member_cells(member)], ..Lines::default() }))
}

/// All accounts by number, or those of one member.
///
/// # Errors
/// What the engine says.
pub fn accounts(conn: &mut StoreConnection, member_no: Option<i64>, page: Page) -> QueryResult<Lines> {
    // A member's accounts are numbered in one piece, so the list begins behind the last account of the member before.
    let before = match member_no.map(|no| no.checked_sub(1)?.checked_mul(Rate::ID_MAX + 1)?.checked_add(Rate::ID_MAX)) {
        // No member can have such a number.
        Some(None) => return Ok(Lines { columns: ACCOUNT, ..Lines::default() }),
        Some(before) => before,
        None => None,
    };
    let after = page.after.max(before).map(|id| (id,));
    let mut found = Account::page(conn, after.as_ref(), page.limit + 1)?;
    found.retain(|account| member_no.is_none_or(|no| account.member_no == no));
    Ok(lines(ACCOUNT, found, page, |account| account.account_id, account_cells))
}

/// The ledger by number, or a day's or an account's part of it.
///
/// # Errors
/// What the engine says.
pub fn ledger(conn: &mut StoreConnection, filter: LedgerFilter, page: Page) -> QueryResult<Lines> {
    let none = Lines { columns: LEDGER, ..Lines::default() };
    let (before, last) = match filter.day {
        None => (0, i64::MAX),
        Some(day) => match BusinessDay::get(conn, &(day,))? {
            None => return Ok(none),
            Some(row) => numbers_of(conn, &row)?,
        },
    };
    let after = page.after.unwrap_or(0).max(before);
    match filter.account_id {
        None => {
            let mut found = LedgerRow::page(conn, Some(&(after,)), page.limit + 1)?;
            found.retain(|row| row.ledger_no <= last);
            Ok(lines(LEDGER, found, page, |row| row.ledger_no, ledger_cells))
        }
        Some(account_id) => match Account::get(conn, &(account_id,))? {
            None => Ok(none),
            Some(account) => ledger_of(conn, &account, (after, last.min(account.last_ledger_no)), page),
        },
    }
}

fn ledger_of(conn: &mut StoreConnection, account: &Account, (after, last): (i64, i64), page: Page) -> QueryResult<Lines> {
    use crate::schema::ledger;
    let through = last.min(after.saturating_add(NUMBERS_SCANNED_MAX));
    let numbers: Vec<i64> = ledger::table
        .filter(ledger::ledger_no.gt(after).and(ledger::ledger_no.le(through)).and(ledger::account_id.eq(account.account_id)))
        .order(ledger::ledger_no)
        .limit(page.limit + 1)
        .select(ledger::ledger_no)
        .load(conn)?;
    let found = numbers.into_iter().map(|no| {
        let row = LedgerRow::get(conn, &(no,))?;
        row.ok_or_else(|| unreadable(format_args!("ledger row {no} is listed and not there")))
    });
    let found = found.collect::<QueryResult<Vec<_>>>()?;
    let mut lines = lines(LEDGER, found, page, |row| row.ledger_no, ledger_cells);
    if lines.next.is_none() && through < last {
        lines.next = Some(through);
    }
    Ok(lines)
}

/// What a business day came to, by rate and kind; so far, if it is not closed. `None`: there was no such day.
///
/// # Errors
/// What the engine says.
pub fn day_totals(conn: &mut StoreConnection, day: i32) -> QueryResult<Option<Lines>> {
    let Some(row) = BusinessDay::get(conn, &(day,))? else { return Ok(None) };
    let (before, _) = numbers_of(conn, &row)?;
    let totals = totals(conn, &row)?;
    let rates = Rate::page(conn, None, Rate::ID_MAX)?;
    let cells = |total: DayTotal| {
        let rate = rates.iter().find(|rate| rate.rate_id == total.rate_id);
        let medium = rate.map_or(Cell::Empty, |rate| word(&rate.medium));
        let name = rate.map_or(Cell::Empty, |rate| Cell::Text(rate.name.clone()));
        vec![
            date(day),
            Cell::Number(total.rate_id),
            name,
            medium,
            word(&total.kind),
            Cell::Number(total.rows),
            Cell::Number(total.units),
        ]
    };
    let rows = totals.into_iter().map(cells).collect();
    Ok(Some(Lines { about: about_day(&row, before), columns: TOTAL, rows, next: None }))
}

fn about_day(row: &BusinessDay, before: i64) -> Vec<(&'static str, Cell)> {
    let closed = row.state == DayState::Closed;
    vec![
        ("date", date(row.day)),
        ("seq", Cell::Number(row.seq)),
        ("state", word(&row.state)),
        ("opened_at", time(row.opened_at)),
        ("opened_by", Cell::Text(row.opened_by.clone())),
        ("closed_at", row.closed_at.map_or(Cell::Empty, time)),
        ("closed_by", maybe(row.closed_by.clone())),
        ("first_ledger_no", Cell::Number(before + 1)),
        ("last_ledger_no", if closed { Cell::Number(row.last_ledger_no) } else { Cell::Empty }),
        ("chain_hash", if closed { hex(&row.chain_hash) } else { Cell::Empty }),
    ]
}

const MEMBER: &[&str] = &[
    "member_no",
    "state",
    "name",
    "kana",
    "birth_date",
    "sex",
    "postal",
    "address",
    "phone",
    "email",
    "dm_ok",
    "id_checked_by",
    "joined_date",
    "last_used_date",
    "active_card",
    "version",
];

fn member_cells(member: Member) -> Vec<Cell> {
    vec![
        Cell::Number(member.member_no),
        word(&member.state),
        maybe(member.name),
        maybe(member.kana),
        member.birth_day.map_or(Cell::Empty, date),
        maybe(member.sex),
        maybe(member.postal),
        maybe(member.address),
        maybe(member.phone),
        maybe(member.email),
        Cell::Flag(member.dm_ok),
        maybe(member.id_checked_by),
        date(member.joined_day),
        member.last_used_day.map_or(Cell::Empty, date),
        maybe(member.active_card),
        Cell::Number(member.version),
    ]
}

const ACCOUNT: &[&str] = &["account_id", "member_no", "rate_id", "balance", "last_ledger_no", "version"];

fn account_cells(account: Account) -> Vec<Cell> {
    let Account { account_id, member_no, rate_id, balance, last_ledger_no, version } = account;
    [account_id, member_no, rate_id, balance, last_ledger_no, version].map(Cell::Number).into()
}

const LEDGER: &[&str] = &[
    "ledger_no",
    "date",
    "at",
    "account_id",
    "member_no",
    "rate_id",
    "kind",
    "delta",
    "balance_after",
    "ref_type",
    "ref_id",
    "terminal_id",
    "staff_id",
    "command_id",
    "reason",
    "hash",
];

fn ledger_cells(row: LedgerRow) -> Vec<Cell> {
    let (member_no, rate_id) = Account::owner_of(row.account_id);
    vec![
        Cell::Number(row.ledger_no),
        date(row.day),
        time(row.at),
        Cell::Number(row.account_id),
        Cell::Number(member_no),
        Cell::Number(rate_id),
        word(&row.kind),
        Cell::Number(row.delta),
        Cell::Number(row.balance_after),
        maybe(row.ref_type),
        maybe(row.ref_id),
        Cell::Text(row.terminal_id),
        maybe(row.staff_id),
        hex(&row.command_id),
        maybe(row.reason),
        hex(&row.hash),
    ]
}

const TOTAL: &[&str] = &["date", "rate_id", "rate", "medium", "kind", "rows", "units"];

/// A page's lines; one row more than the page's limit says that there is a next page.
fn lines<R>(
    columns: &'static [&'static str],
    mut found: Vec<R>,
    page: Page,
    key: impl Fn(&R) -> i64,
    cells: impl Fn(R) -> Vec<Cell>,
) -> Lines {
    let limit = usize::try_from(page.limit).unwrap_or(0);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(key);
    Lines { about: Vec::new(), columns, rows: found.into_iter().map(cells).collect(), next }
}

fn maybe(text: Option<String>) -> Cell {
    text.map_or(Cell::Empty, Cell::Text)
}

/// An enum as its table spells it.
fn word<'a, T: Column<Plain<'a> = &'static str> + 'a>(value: &'a T) -> Cell {
    Cell::Text(value.plain().to_owned())
}

fn date(day: i32) -> Cell {
    Cell::Text(text_from_day(day))
}

/// UTC; a time outside the calendar, which no command can make, as its number.
fn time(at: UnixMs) -> Cell {
    jiff::Timestamp::from_millisecond(at.0).map_or(Cell::Number(at.0), |at| Cell::Text(at.to_string()))
}

fn hex(bytes: &[u8]) -> Cell {
    Cell::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
