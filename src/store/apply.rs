//! One batch of entries into the tables, inside the caller's transaction.

use diesel::prelude::*;
use diesel::result::Error as Engine;

use super::connection::{StoreConnection, write};
use super::error::{Failure, StoreError};
use super::forget::forget_old;
use super::pair::{Applied, EpochStart, RecordRow};
use super::table::{StoredRow, Table};
use crate::model::entry::SharedEntry;
use crate::model::{Image, Position};

/// The position inside the database, which no other memory of it replaces.
pub(super) fn applied(conn: &mut StoreConnection, place: &str) -> Result<Position, Failure> {
    match Applied::get(conn, &(Applied::NO,))? {
        Some(applied) => Ok(applied.position()),
        None => Err(StoreError::Corrupt { place: place.to_owned(), reason: "table `applied` is empty".to_owned() }.into()),
    }
}

/// Applies `entries`, which must follow what is applied, and moves the position, all or nothing.
pub(super) fn apply<R: StoredRow>(
    conn: &mut StoreConnection,
    place: &str,
    entries: &[SharedEntry<R>],
) -> Result<Position, StoreError> {
    let batch = Batch::of(entries);
    write(conn, |conn| {
        hold_position(conn)?;
        let before = applied(conn, place)?;
        let after = follow(before, entries, place)?;
        batch.put(conn)?;
        let starts = epoch_starts(before, entries);
        EpochStart::put_all(conn, &starts.iter().collect::<Vec<_>>())?;
        Applied::put_all(conn, &[&Applied::at(after)])?;
        forget_old(conn, entries)?;
        Ok(after)
    })
    .map_err(|failure| match failure.at(place) {
        StoreError::Refused { place, reason, .. } => {
            let subject = batch.refused(conn).unwrap_or_else(|| "a batch, though each row of it alone is taken".to_owned());
            StoreError::Refused { place, subject, reason }
        }
        other => other,
    })
}

/// SQLite has one writer. On PostgreSQL a second applier by mistake waits here, and then finds that its entries do not follow.
fn hold_position(conn: &mut StoreConnection) -> QueryResult<()> {
    use crate::schema::applied;
    if let StoreConnection::Postgres(conn) = conn {
        applied::table.select(applied::applied_no).for_update().execute(conn)?;
    }
    Ok(())
}

/// The position after `entries`, if each is the next.
fn follow<R: StoredRow>(before: Position, entries: &[SharedEntry<R>], place: &str) -> Result<Position, StoreError> {
    entries.iter().try_fold(before, |last, sealed| {
        let next = sealed.position;
        if next.sequence == last.sequence.next() && next.epoch >= last.epoch {
            return Ok(next);
        }
        Err(StoreError::NotNext { place: place.to_owned(), expected: last.sequence.next(), found: next.sequence })
    })
}

fn epoch_starts<R: StoredRow>(before: Position, entries: &[SharedEntry<R>]) -> Vec<EpochStart> {
    let mut epoch = before.epoch;
    let positions = entries.iter().map(|sealed| sealed.position);
    positions.filter(|next| std::mem::replace(&mut epoch, next.epoch) < next.epoch).map(EpochStart::at).collect()
}

/// What a batch leaves behind: of several images of one row the last, in key order, and a record for each entry.
struct Batch<'a, R: StoredRow> {
    puts: Vec<&'a R>,
    deletes: Vec<R::Key>,
    records: Vec<RecordRow>,
}

impl<'a, R: StoredRow> Batch<'a, R> {
    fn of(entries: &'a [SharedEntry<R>]) -> Self {
        let mut images: Vec<(R::Key, &Image<R>)> =
            entries.iter().flat_map(|sealed| &sealed.entry.images).map(|image| (image.key(), image)).collect();
        // Stable, so that of equal keys the last stays last; and neighbours in a table are written together.
        images.sort_by(|(key, _), (other, _)| key.cmp(other));
        let mut batch =
            Self { puts: Vec::new(), deletes: Vec::new(), records: entries.iter().map(|sealed| RecordRow::of(sealed)).collect() };
        let mut images = images.into_iter().peekable();
        while let Some((key, image)) = images.next() {
            if images.peek().is_some_and(|(next, _)| *next == key) {
                continue;
            }
            match image {
                Image::Put(row) => batch.puts.push(row),
                Image::Delete(_) => batch.deletes.push(key),
            }
        }
        batch
    }

    fn put(&self, conn: &mut StoreConnection) -> QueryResult<()> {
        R::put_all(conn, &self.puts)?;
        self.deletes.iter().try_for_each(|key| R::delete(conn, key))?;
        RecordRow::put_all(conn, &self.records.iter().collect::<Vec<_>>())
    }

    /// Which row the engine refuses, tried one by one in transactions that leave nothing.
    fn refused(&self, conn: &mut StoreConnection) -> Option<String> {
        let row = self.puts.iter().find(|row| is_refused(conn, |conn| R::put_all(conn, &[row])));
        let named = row.map(|row| format!("table {}, key {:?}", R::table_of(&row.key()), row.key()));
        named
            .or_else(|| {
                let key = self.deletes.iter().find(|key| is_refused(conn, |conn| R::delete(conn, key)))?;
                Some(format!("deleting from table {}, key {key:?}", R::table_of(key)))
            })
            .or_else(|| {
                let record = self.records.iter().find(|record| is_refused(conn, |conn| RecordRow::put_all(conn, &[record])))?;
                Some(format!("table {}, key {}", RecordRow::NAME, record.sequence.0))
            })
    }
}

fn is_refused(conn: &mut StoreConnection, attempt: impl FnOnce(&mut StoreConnection) -> QueryResult<()>) -> bool {
    let tried: Result<(), Failure> = write(conn, |conn| {
        attempt(conn)?;
        Err(Engine::RollbackTransaction.into())
    });
    match tried {
        Ok(()) | Err(Failure::Engine(Engine::RollbackTransaction)) => false,
        Err(failure) => matches!(failure.at("the store"), StoreError::Refused { .. }),
    }
}
