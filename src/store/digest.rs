//! A digest of everything in a store, the same on either engine: BLAKE3 of each table's rows in key order.

use std::fmt;

use serde::Serialize;

use super::apply::applied;
use super::connection::StoreConnection;
use super::error::{Failure, StoreError};
use super::pair::{EpochStart, RecordRow};
use super::table::{StoredRow, Table};
use crate::model::Position;

/// Rows read at once: bounds memory to about a megabyte.
pub(super) const PAGE_ROWS: i64 = 1024;

/// Equal digests mean equal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreDigest {
    pub position: Position,
    /// The application's tables in its order, then the pair's.
    pub tables: Vec<TableDigest>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct TableDigest {
    pub table: &'static str,
    pub rows: u64,
    pub digest: [u8; 32],
}

impl fmt::Debug for TableDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} rows, {}", self.table, self.rows, blake3::Hash::from_bytes(self.digest).to_hex())
    }
}

/// Inside one snapshot, so that position and rows belong together.
pub(super) fn digest<R: StoredRow>(conn: &mut StoreConnection, place: &str) -> Result<StoreDigest, Failure> {
    let position = applied(conn, place)?;
    let mut tables = Vec::with_capacity(R::TABLES.len() + 2);
    for table in R::TABLES {
        tables.push(table_digest(table, |after: Option<&R>| R::page(conn, table, after.map(R::key).as_ref(), PAGE_ROWS), place)?);
    }
    let epochs = |after: Option<&EpochStart>| EpochStart::page(conn, after.map(|start| (start.epoch,)).as_ref(), PAGE_ROWS);
    tables.push(table_digest(EpochStart::NAME, epochs, place)?);
    let records = |after: Option<&RecordRow>| RecordRow::page(conn, after.map(|row| (row.sequence,)).as_ref(), PAGE_ROWS);
    tables.push(table_digest(RecordRow::NAME, records, place)?);
    Ok(StoreDigest { position, tables })
}

/// Rows in their encoded form, each behind its length, so that no two tables give one stream.
fn table_digest<T: Serialize>(
    table: &'static str,
    mut page_after: impl FnMut(Option<&T>) -> diesel::QueryResult<Vec<T>>,
    place: &str,
) -> Result<TableDigest, Failure> {
    let mut hasher = blake3::Hasher::new();
    let mut rows = 0;
    let mut last = None;
    loop {
        let page = page_after(last.as_ref())?;
        for row in &page {
            let bytes = postcard::to_stdvec(row)
                .map_err(|error| StoreError::Corrupt { place: place.to_owned(), reason: format!("a row of {table}: {error}") })?;
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
            rows += 1;
        }
        match page.into_iter().next_back() {
            Some(row) => last = Some(row),
            None => return Ok(TableDigest { table, rows, digest: *hasher.finalize().as_bytes() }),
        }
    }
}
