//! A store at one moment, read table by table: every row of a check comes from the same snapshot.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde::Serialize;

use super::progress::Progress;
use super::report::{Finding, Table};
use crate::ledger::rows::{Key, Row};
use crate::model::{Epoch, Row as _, Sequence};
use crate::store::{EpochStart, RecordRow, Snapshot, StoreError, StoredRow, Unread};

pub(super) const EPOCH_HISTORY: &str = "epoch_history";
pub(super) const COMMAND_RECORD: &str = "command_record";

/// The snapshot. Several of its tables may be read side by side.
pub(super) struct Moment<'c> {
    /// Of the server, for progress.
    name: String,
    pub(super) snapshot: Snapshot<'c>,
    progress: Rc<Progress>,
    /// Why reading ended early; whoever reads asks with [`Moment::whole`] before it relies on anything.
    failure: Cell<Option<StoreError>>,
    unreadable: RefCell<Vec<Finding>>,
}

impl<'c> Moment<'c> {
    pub(super) fn new(name: &str, snapshot: Snapshot<'c>, progress: &Rc<Progress>) -> Self {
        let (name, progress) = (name.to_owned(), Rc::clone(progress));
        Self { name, snapshot, progress, failure: Cell::new(None), unreadable: RefCell::default() }
    }

    /// The rows of one of the application's tables, in key order.
    pub(super) fn rows(&self, table: &'static str) -> impl Iterator<Item = Row> {
        let page = move |snapshot: &Snapshot<'_>, after: Option<&Key>| snapshot.rows(table, after);
        Paged::new(self, table, page, Row::key)
    }

    pub(super) fn epochs(&self) -> impl Iterator<Item = EpochStart> {
        let page = |snapshot: &Snapshot<'_>, after: Option<&Epoch>| snapshot.epochs(after.copied());
        Paged::new(self, EPOCH_HISTORY, page, |start: &EpochStart| start.epoch)
    }

    pub(super) fn records(&self) -> impl Iterator<Item = RecordRow> {
        let page = |snapshot: &Snapshot<'_>, after: Option<&Sequence>| snapshot.records(after.copied());
        Paged::new(self, COMMAND_RECORD, page, |record: &RecordRow| record.sequence)
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
    /// The store's, if any table could not be read to its end.
    pub(super) fn whole(&self) -> Result<Vec<Finding>, StoreError> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(self.unreadable.take()),
        }
    }

    fn end_early(&self, table: &'static str, after: String, unread: Unread) {
        let found = match unread {
            Unread::Row(reason) => reason,
            Unread::Store(error) => return self.failure.set(Some(error)),
        };
        let expected = "rows that this program can read".to_owned();
        let finding = Finding { check: "readable", table, key: after, expected, found };
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
    P: FnMut(&Snapshot<'_>, Option<&K>) -> Result<Vec<T>, Unread>,
    F: Fn(&T) -> K,
{
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.page.len() == 0 && !self.ended {
            match (self.next_page)(&self.moment.snapshot, self.after.as_ref()) {
                Ok(page) => {
                    self.moment.progress.read(&self.moment.name, self.table, page.len());
                    self.after = page.last().map(&self.key_of);
                    self.page = page.into_iter();
                }
                Err(unread) => {
                    let after = self.after.as_ref().map_or("from the first on".to_owned(), |key| format!("after {key:?}"));
                    self.moment.end_early(self.table, after, unread);
                }
            }
            self.ended = self.page.len() == 0;
        }
        self.page.next()
    }
}
