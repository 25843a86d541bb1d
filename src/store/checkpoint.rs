//! How far the store would survive a power cut. Commits are not flushed, so the journal keeps what is behind this position.

use std::fs::File;
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Integer;

use super::apply::applied;
use super::connection::{StoreConnection, snapshot, write};
use super::error::{Failure, StoreError};
use super::place::Place;
use crate::model::Position;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything up to here is on the disk.
    pub synced: Position,
    /// Bytes that SQLite's checkpoint could not move from the log into the database, since a reader still needs the older pages.
    /// What was written meanwhile does not count; 0 on PostgreSQL, which looks after its own.
    pub unmoved_bytes: u64,
}

pub(super) fn checkpoint(conn: &mut StoreConnection, place: &Place) -> Result<Checkpoint, StoreError> {
    let named = place.to_string();
    // Read before anything is flushed: what is committed meanwhile may or may not be.
    let synced = snapshot(conn, |conn| applied(conn, &named)).map_err(|failure| failure.at(&named))?;
    let unmoved_bytes = match place {
        Place::Sqlite(path) => {
            sync_log(path, &named)?;
            passive(conn).map_err(|error| StoreError::from_engine(&named, &error))?
        }
        Place::Postgres(_) => {
            flush(conn).map_err(|failure| failure.at(&named))?;
            0
        }
    };
    Ok(Checkpoint { synced, unmoved_bytes })
}

/// SQLite's page size as `connection` sets it.
const PAGE_BYTES: u64 = 4096;

/// Flushes the write-ahead log, and the directory that names it, through descriptors of our own: outside of SQLite's locks, and sure
/// to happen where a passive checkpoint that is held back by a reader syncs nothing. SQLite takes no POSIX lock on this file, so
/// closing the descriptor releases none.
fn sync_log(path: &Path, place: &str) -> Result<(), StoreError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(&log).and_then(|log| log.sync_data()).and_then(|()| File::open(directory)?.sync_all());
    synced.map_err(|error| StoreError::Corrupt {
        place: place.to_owned(),
        reason: format!("cannot flush {}: {error}", Path::new(&log).display()),
    })
}

#[derive(QueryableByName)]
struct Frames {
    #[diesel(sql_type = Integer)]
    log: i32,
    #[diesel(sql_type = Integer)]
    checkpointed: i32,
}

/// Moves pages from the log into the database as far as no reader is in the way; waits for nobody.
fn passive(conn: &mut StoreConnection) -> QueryResult<u64> {
    let frames: Frames = diesel::sql_query("PRAGMA wal_checkpoint(PASSIVE)").get_result(conn)?;
    let held_back = frames.log.saturating_sub(frames.checkpointed);
    Ok(u64::try_from(held_back).unwrap_or(0) * PAGE_BYTES)
}

/// A commit that does wait for the disk flushes the log up to itself, and so everything committed before. The message is read by
/// nobody; it makes the transaction write something.
fn flush(conn: &mut StoreConnection) -> Result<(), Failure> {
    write(conn, |conn| {
        conn.batch_execute("SET LOCAL synchronous_commit = on; SELECT pg_logical_emit_message(true, 'duplex', 'flush')")?;
        Ok(())
    })
}
