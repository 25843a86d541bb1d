//! A store at one moment, a page of a table at a time: for whoever checks all of it, or compares it with another.

use std::cell::RefCell;

use diesel::QueryResult;
use diesel::result::Error as Engine;

use super::connection::StoreConnection;
use super::digest::PAGE_ROWS;
use super::error::StoreError;
use super::pair::{EpochStart, RecordRow};
use super::table::{StoredRow, Table};
use crate::model::{Epoch, Position, Sequence};

/// Why a page could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It has a row that no version of this program can have written; the rest of the store may be well.
    Row(String),
    Store(StoreError),
}

/// Every page is of the same moment; pages of several tables may be read in turn. Empty pages are behind the last row.
pub struct Snapshot<'c> {
    pub position: Position,
    place: &'c str,
    conn: RefCell<&'c mut StoreConnection>,
}

impl<'c> Snapshot<'c> {
    pub(super) fn new(position: Position, place: &'c str, conn: &'c mut StoreConnection) -> Self {
        Self { position, place, conn: RefCell::new(conn) }
    }

    /// Rows of one of the application's tables in key order, those behind `after`.
    ///
    /// # Errors
    /// [`Unread`]
    pub fn rows<R: StoredRow>(&self, table: &str, after: Option<&R::Key>) -> Result<Vec<R>, Unread> {
        self.page(|conn| R::page(conn, table, after, PAGE_ROWS))
    }

    /// # Errors
    /// [`Unread`]
    pub fn epochs(&self, after: Option<Epoch>) -> Result<Vec<EpochStart>, Unread> {
        self.page(|conn| EpochStart::page(conn, after.map(|epoch| (epoch,)).as_ref(), PAGE_ROWS))
    }

    /// # Errors
    /// [`Unread`]
    pub fn records(&self, after: Option<Sequence>) -> Result<Vec<RecordRow>, Unread> {
        self.page(|conn| RecordRow::page(conn, after.map(|sequence| (sequence,)).as_ref(), PAGE_ROWS))
    }

    fn page<T>(&self, read: impl FnOnce(&mut StoreConnection) -> QueryResult<Vec<T>>) -> Result<Vec<T>, Unread> {
        read(&mut self.conn.borrow_mut()).map_err(|error| match error {
            Engine::DeserializationError(reason) => Unread::Row(reason.to_string()),
            error => Unread::Store(StoreError::from_engine(self.place, &error)),
        })
    }
}
