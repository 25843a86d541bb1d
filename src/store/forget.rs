//! Command records leave the store when they have grown old, a few with each entry.
//!
//! What has left must be the same on both servers at equal positions, or comparing them would find differences that are none. So no
//! clock, no background and no size of a batch decides: an entry with a row that says from which day on records are kept takes along
//! the lowest records before the first one of that day, at most [`FORGOTTEN_PER_ENTRY`]. The table is then a function of the entries
//! alone, however they were batched. Sequences rise and so do days: the old records are the lowest ones, and no index by day is needed.
//! A record without a day, made while none was open, goes with those below it.

use diesel::prelude::*;

use super::column::Restore;
use super::connection::StoreConnection;
use super::table::on_either;
use crate::model::entry::SharedEntry;
use crate::model::{Image, Row, Sequence};
use crate::schema::command_record as records;

/// An entry brings one record. Twice as many leave, so that old ones never gather, and yet an entry costs hardly more while some do.
pub const FORGOTTEN_PER_ENTRY: usize = 2;

/// Place and day of a record.
type Placed = (i64, Option<i32>);

/// What the entries, which are all in the tables already, take along.
pub(super) fn forget_old<R: Row>(conn: &mut StoreConnection, entries: &[SharedEntry<R>]) -> QueryResult<()> {
    let saying: Vec<(Sequence, i32)> =
        entries.iter().filter_map(|sealed| Some((sealed.position.sequence, kept_from(sealed)?))).collect();
    let Some(latest) = saying.iter().map(|(_, day)| *day).max() else { return Ok(()) };
    // Nearly always the lowest record is one to keep, and looking at it is all.
    if !lowest(conn, 1)?.first().is_some_and(|record| is_before(record, latest)) {
        return Ok(());
    }
    let lowest = lowest(conn, saying.len() * FORGOTTEN_PER_ENTRY)?;
    // As if the entries had been applied one by one: none can take along what comes after it.
    let leaving = saying.iter().fold(0, |left, (sequence, day)| {
        let leaves = |record: &&Placed| record.0 <= sequence.0.cast_signed() && is_before(record, *day);
        left + lowest[left..].iter().take(FORGOTTEN_PER_ENTRY).take_while(leaves).count()
    });
    let Some((last, _)) = lowest[..leaving].last() else { return Ok(()) };
    on_either!(conn => diesel::delete(records::table.filter(records::sequence.le(last))).execute(conn)).map(drop)
}

/// The place of the last record that has left; `None` if there is no record at all.
pub(super) fn forgotten_through(conn: &mut StoreConnection) -> QueryResult<Option<Sequence>> {
    lowest(conn, 1)?.first().map(|(sequence, _)| Sequence::restore(sequence - 1)).transpose()
}

fn kept_from<R: Row>(sealed: &SharedEntry<R>) -> Option<i32> {
    let said = |image: &Image<R>| match image {
        Image::Put(row) => row.records_kept_from(),
        Image::Delete(_) => None,
    };
    sealed.entry.images.iter().filter_map(said).next_back()
}

fn is_before((_, of): &Placed, day: i32) -> bool {
    of.is_none_or(|of| of < day)
}

fn lowest(conn: &mut StoreConnection, most: usize) -> QueryResult<Vec<Placed>> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    on_either!(conn => records::table
        .order(records::sequence)
        .limit(most)
        .select((records::sequence, records::day))
        .load(conn))
}
