//! A store at one moment, read table by table: every row of a check comes from the same snapshot.

use std::cell::{Cell, RefCell};

use diesel::QueryResult;
use diesel::result::Error as Engine;
use serde::Serialize;

use super::progress::Progress;
use super::report::{Finding, Table};
use crate::ledger::rows::{Key, Row};
use crate::model::{CommandId, Epoch, Position, Row as _, Sequence, TerminalId};
use crate::store::table::{Table as _, stored_table};
use crate::store::{StoreConnection, StoredRow};

/// Rows read at once: bounds memory to about a megabyte.
const PAGE_ROWS: i64 = 1_024;
pub(super) const EPOCH_HISTORY: &str = "epoch_history";
pub(super) const COMMAND_RECORD: &str = "command_record";

/// The first entry of an epoch, as its table has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct EpochStart {
    pub(super) epoch: Epoch,
    first_sequence: Sequence,
    first_digest: [u8; 32],
}

/// A command's record with its place, as its table has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Record {
    pub(super) sequence: Sequence,
    pub(super) epoch: Epoch,
    pub(super) terminal_id: TerminalId,
    pub(super) command_id: CommandId,
    pub(super) body_hash: [u8; 16],
    pub(super) day: Option<i32>,
    pub(super) response: Vec<u8>,
}

stored_table!(EpochStart in epoch_history key (epoch: Epoch) columns (first_sequence, first_digest));
stored_table!(Record in command_record key (sequence: Sequence) columns (
    epoch, terminal_id, command_id, body_hash, day, response,
));

/// The snapshot. Several of its tables may be read side by side.
pub(super) struct Moment<'c> {
    /// Of the server, for progress.
    name: &'c str,
    pub(super) position: Position,
    conn: RefCell<&'c mut StoreConnection>,
    progress: &'c Progress,
    /// Why reading ended early; whoever reads asks with [`Moment::whole`] before it relies on anything.
    failure: Cell<Option<Engine>>,
    unreadable: RefCell<Vec<Finding>>,
}

impl<'c> Moment<'c> {
    pub(super) fn new(name: &'c str, position: Position, conn: &'c mut StoreConnection, progress: &'c Progress) -> Self {
        let (conn, unreadable) = (RefCell::new(conn), RefCell::default());
        Self { name, position, conn, progress, failure: Cell::new(None), unreadable }
    }

    /// The rows of one of the application's tables, in key order.
    pub(super) fn rows(&self, table: &'static str) -> impl Iterator<Item = Row> {
        let page = move |conn: &mut StoreConnection, after: Option<&Key>| Row::page(conn, table, after, PAGE_ROWS);
        Paged::new(self, table, page, Row::key)
    }

    pub(super) fn epochs(&self) -> impl Iterator<Item = EpochStart> {
        let page = |conn: &mut StoreConnection, after: Option<&(Epoch,)>| EpochStart::page(conn, after, PAGE_ROWS);
        Paged::new(self, EPOCH_HISTORY, page, |start: &EpochStart| (start.epoch,))
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        let page = |conn: &mut StoreConnection, after: Option<&(Sequence,)>| Record::page(conn, after, PAGE_ROWS);
        Paged::new(self, COMMAND_RECORD, page, |record: &Record| (record.sequence,))
    }

    /// Number of rows and digest of every table, as `Store::digest` has them.
    pub(super) fn digests(&self) -> Vec<Table> {
        let rows = Row::TABLES.iter().map(|table| digest(table, self.rows(table)));
        let pair = [digest(EPOCH_HISTORY, self.epochs()), digest(COMMAND_RECORD, self.records())];
        rows.chain(pair).collect()
    }

    /// Rows that no version of this program can have written.
    ///
    /// # Errors
    /// The engine's, if any table could not be read to its end.
    pub(super) fn whole(&self) -> QueryResult<Vec<Finding>> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(self.unreadable.take()),
        }
    }

    fn end_early(&self, table: &'static str, after: String, error: Engine) {
        let Engine::DeserializationError(reason) = error else { return self.failure.set(Some(error)) };
        let expected = "rows that this program can read".to_owned();
        let finding = Finding { check: "readable", table, key: after, expected, found: reason.to_string() };
        let mut unreadable = self.unreadable.borrow_mut();
        if !unreadable.contains(&finding) {
            unreadable.push(finding);
        }
    }
}

/// Rows in their encoded form, each behind its length, so that no two tables give one stream.
fn digest<T: Serialize>(table: &'static str, rows: impl Iterator<Item = T>) -> Table {
    let mut hasher = blake3::Hasher::new();
    let mut count = 0;
    for row in rows {
        let bytes = postcard::to_stdvec(&row).expect("a row is numbers, strings and bytes");
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
        count += 1;
    }
    Table { table, rows: count, digest: hasher.finalize().to_hex().to_string() }
}

/// One table, a page at a time.
struct Paged<'m, 'c, T, K, P, F> {
    moment: &'m Moment<'c>,
    table: &'static str,
    next_page: P,
    key_of: F,
    page: std::vec::IntoIter<T>,
    after: Option<K>,
    ended: bool,
}

impl<'m, 'c, T, K, P, F> Paged<'m, 'c, T, K, P, F> {
    fn new(moment: &'m Moment<'c>, table: &'static str, next_page: P, key_of: F) -> Self {
        Self { moment, table, next_page, key_of, page: Vec::new().into_iter(), after: None, ended: false }
    }
}

impl<T, K, P, F> Iterator for Paged<'_, '_, T, K, P, F>
where
    K: std::fmt::Debug,
    P: FnMut(&mut StoreConnection, Option<&K>) -> QueryResult<Vec<T>>,
    F: Fn(&T) -> K,
{
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.page.len() == 0 && !self.ended {
            match (self.next_page)(&mut self.moment.conn.borrow_mut(), self.after.as_ref()) {
                Ok(page) => {
                    self.moment.progress.read(self.moment.name, self.table, page.len());
                    self.after = page.last().map(&self.key_of);
                    self.page = page.into_iter();
                }
                Err(error) => {
                    let after = self.after.as_ref().map_or("from the first on".to_owned(), |key| format!("after {key:?}"));
                    self.moment.end_early(self.table, after, error);
                }
            }
            self.ended = self.page.len() == 0;
        }
        self.page.next()
    }
}
