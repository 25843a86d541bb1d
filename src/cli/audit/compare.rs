//! Both servers at one position: rows that differ, by table and key, and where the two journals part, if they do.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::entries::{released_meanwhile, visit};
use super::moment::{COMMAND_RECORD, EPOCH_HISTORY, Moment};
use super::report::{Comparison, Finding, ServerReport};
use crate::journal::JournalError;
use crate::ledger::rows::Row;
use crate::model::{Position, Row as _, Sequence};
use crate::store::{EpochStart, RecordRow, StoreError};

/// Rows named of one table: the first say what is wrong, the hundredth nothing new.
const ROWS_NAMED_MAX: usize = 100;
/// Columns whose content is nobody's business in a report: personal, or derived from a secret.
const NOT_SHOWN: [&str; 11] =
    ["name", "kana", "birth_day", "sex", "postal", "address", "phone", "email", "pin_hash", "password_hash", "key_hash"];

/// One server's half of a comparison.
pub(super) struct Half<'m, 'c> {
    pub(super) report: &'m ServerReport,
    pub(super) moment: &'m Moment<'c>,
    pub(super) journal: &'m Path,
}

/// Compares what both servers have.
///
/// # Errors
/// A store's.
pub(super) fn compare(one: &Half<'_, '_>, other: &Half<'_, '_>) -> Result<Comparison, StoreError> {
    let (here, there) = (one.moment.snapshot.position, other.moment.snapshot.position);
    let (mut findings, notes) = match here.sequence == there.sequence {
        true if here == there => (rows(one, other), Vec::new()),
        true => (vec![apart(one, other)], Vec::new()),
        // No promise is about stores at two positions: each is checked against its own journal, and the journals with each other.
        false => (Vec::new(), vec![behind(one, other)]),
    };
    one.moment.whole()?;
    other.moment.whole()?;
    let journals_equal_up_to = match journals(one, other) {
        Ok(Shared::UpTo(sequence)) => Some(sequence.0),
        Ok(Shared::Nothing) => None,
        Ok(Shared::PartAt(finding)) => {
            findings.push(finding);
            None
        }
        Err(error) => {
            findings.push(finding("journal", String::new(), "two journals to compare".into(), error.to_string()));
            None
        }
    };
    Ok(Comparison { positions_equal: here == there, journals_equal_up_to, notes, findings })
}

fn finding(table: &'static str, key: String, expected: String, found: String) -> Finding {
    Finding { check: "P7", table, key, expected, found }
}

fn at(half: &Half<'_, '_>) -> String {
    format!("{} on {}", half.moment.snapshot.position, half.report.server)
}

/// One number, two histories.
fn apart(one: &Half<'_, '_>, other: &Half<'_, '_>) -> Finding {
    let found = format!("{}: their rows were not compared", at(other));
    finding("applied", "position".into(), format!("{}, and the same on both", at(one)), found)
}

/// A clean stop leaves the stores as far as each had come.
fn behind(one: &Half<'_, '_>, other: &Half<'_, '_>) -> String {
    let (one, other) = (at(one), at(other));
    format!("applied positions differ: {one}, {other}; start both servers and compare again for equality of the stores")
}

/// Rows that differ, of the tables whose digests do.
fn rows(one: &Half<'_, '_>, other: &Half<'_, '_>) -> Vec<Finding> {
    let names = [one.report.server.as_str(), other.report.server.as_str()];
    let differ = one.report.tables.iter().zip(&other.report.tables).filter(|(one, other)| one != other);
    let of_table = |table: &'static str| {
        let merge = Merge { table, names, findings: Vec::new() };
        match table {
            EPOCH_HISTORY => merge.all(one.moment.epochs(), other.moment.epochs(), |start: &EpochStart| start.epoch.0),
            COMMAND_RECORD => merge.all(one.moment.records(), other.moment.records(), |record: &RecordRow| record.sequence.0),
            _ => merge.all(one.moment.rows(table), other.moment.rows(table), Row::key),
        }
    };
    differ.flat_map(|(digest, _)| of_table(digest.table)).collect()
}

/// Two tables in key order.
struct Merge<'n> {
    table: &'static str,
    names: [&'n str; 2],
    findings: Vec<Finding>,
}

impl Merge<'_> {
    fn all<T: PartialEq + Serialize, K: Ord + Debug + Serialize>(
        mut self,
        one: impl Iterator<Item = T>,
        other: impl Iterator<Item = T>,
        key_of: impl Fn(&T) -> K,
    ) -> Vec<Finding> {
        let (mut one, mut other) = (one.peekable(), other.peekable());
        while self.findings.len() < ROWS_NAMED_MAX {
            let order = match (one.peek(), other.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(left), Some(right)) => key_of(left).cmp(&key_of(right)),
            };
            let left = if order.is_le() { one.next() } else { None };
            let right = if order.is_ge() { other.next() } else { None };
            if left != right {
                let key = left.as_ref().or(right.as_ref()).map(|row| plain(&key_of(row)).to_string()).unwrap_or_default();
                let [expected, found] = self.differing(left.as_ref(), right.as_ref());
                self.findings.push(finding(self.table, key.trim_matches('"').to_owned(), expected, found));
            }
        }
        self.findings
    }

    fn differing<T: Serialize>(&self, left: Option<&T>, right: Option<&T>) -> [String; 2] {
        let [one, other] = self.names;
        match (left.map(columns), right.map(columns)) {
            (Some(left), Some(right)) => {
                [format!("{} as on {one}", shown(&left, &right)), format!("{} on {other}", shown(&right, &left))]
            }
            (left, _) => {
                let [expected, found] = if left.is_some() { ["a row", "none"] } else { ["no row", "one"] };
                [format!("{expected} as on {one}"), format!("{found} on {other}")]
            }
        }
    }
}

/// Without the name of the enum's variant, which is the table's.
fn plain(value: &impl Serialize) -> Value {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) if object.len() == 1 => object.into_iter().next().map_or(Value::Null, |(_, inner)| inner),
        Ok(value) => value,
        Err(_) => Value::Null,
    }
}

fn columns(row: &impl Serialize) -> Map<String, Value> {
    match plain(row) {
        Value::Object(columns) => columns,
        _ => Map::new(),
    }
}

/// The columns of `row` that `other` has otherwise.
fn shown(row: &Map<String, Value>, other: &Map<String, Value>) -> String {
    let differing = row.iter().filter(|(column, value)| other.get(*column) != Some(value));
    let texts = differing.map(|(column, value)| match NOT_SHOWN.contains(&column.as_str()) {
        true => format!("{column} (not shown)"),
        false => format!("{column} {}", short(value)),
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// Bytes in hexadecimal: JSON has them as lists of numbers.
fn short(value: &Value) -> String {
    let byte = |byte: &Value| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()).map(|byte| format!("{byte:02x}"));
    let bytes: Option<String> = value.as_array().and_then(|list| list.iter().map(byte).collect());
    bytes.unwrap_or_else(|| value.to_string())
}

/// What two journals have in common.
enum Shared {
    UpTo(Sequence),
    /// One begins where the other has ended.
    Nothing,
    PartAt(Finding),
}

/// Each digest covers everything before it, so one equal pair of positions proves all records up to there.
fn journals(one: &Half<'_, '_>, other: &Half<'_, '_>) -> Result<Shared, JournalError> {
    let (Some(left), Some(right)) = (&one.report.journal, &other.report.journal) else { return Ok(Shared::Nothing) };
    let common = Sequence(left.end.sequence.min(right.end.sequence));
    if common.0 <= left.start.sequence.max(right.start.sequence) {
        return Ok(Shared::Nothing);
    }
    match position_at(one.journal, common)? == position_at(other.journal, common)? {
        true => Ok(Shared::UpTo(common)),
        false => parting(one, other),
    }
}

fn position_at(journal: &Path, sequence: Sequence) -> Result<Option<Position>, JournalError> {
    let mut found = None;
    released_meanwhile(|| {
        visit(journal, Sequence(sequence.0 - 1), |position, _| {
            if position.sequence == sequence {
                found = Some(position);
            }
        })
    })?;
    Ok(found)
}

/// The first record that differs. Eight bytes of each digest tell two records apart well enough to name one.
fn parting(one: &Half<'_, '_>, other: &Half<'_, '_>) -> Result<Shared, JournalError> {
    let short = |position: Position| u64::from_le_bytes(position.digest.0[..8].try_into().expect("a digest has 32 bytes"));
    let (mut first, mut digests) = (Sequence(0), Vec::new());
    visit(one.journal, Sequence(0), |position, _| {
        if digests.is_empty() {
            first = position.sequence;
        }
        digests.push(short(position));
    })?;
    let mut parting = None;
    visit(other.journal, Sequence(0), |position, _| {
        let place = position.sequence.0.checked_sub(first.0).and_then(|place| usize::try_from(place).ok());
        let same = place.and_then(|place| digests.get(place)).is_none_or(|digest| *digest == short(position));
        if !same && parting.is_none() {
            parting = Some(position);
        }
    })?;
    let Some(position) = parting else { return Ok(Shared::Nothing) };
    let found = format!("{position} on {}: the journals part there", other.report.server);
    let expected = format!("the record as on {}", one.report.server);
    Ok(Shared::PartAt(finding("journal", position.sequence.0.to_string(), expected, found)))
}
