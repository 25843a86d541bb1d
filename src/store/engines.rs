//! The store on SQLite or PostgreSQL.

use std::marker::PhantomData;

use diesel::prelude::*;

use super::apply::{applied, apply};
use super::checkpoint::{Checkpoint, checkpoint};
use super::column::Restore;
use super::connection::{Purpose, StoreConnection, connect, migrate, snapshot};
use super::digest::{StoreDigest, digest};
use super::error::{Failure, StoreError};
use super::forget::forgotten_through;
use super::pair::{RecordRow, StoredRecord};
use super::place::Place;
use super::table::{StoredRow, Table};
use super::{Answers, Store};
use crate::model::entry::SharedEntry;
use crate::model::{CommandId, Position, Row, Sequence, TerminalId};

/// Records visited at once: about a third of a megabyte.
const RECORDS_PER_PAGE: i64 = 4096;

/// The store at `sqlite:/path/file` (made if missing) or `postgres://…`, its tables brought to this version.
///
/// # Errors
/// [`StoreError`]: `Address` for a URL that cannot be meant, `Newer` for tables of a later version.
pub fn open<A>(url: &str) -> Result<Box<dyn Store<A>>, StoreError>
where
    A: Answers,
    A::Row: StoredRow,
{
    let place = Place::parse(url)?;
    let mut store = EngineStore { named: place.to_string(), place, conn: None, application: PhantomData::<fn() -> A> };
    Store::<A>::applied(&mut store)?;
    Ok(Box::new(store))
}

struct EngineStore<A> {
    place: Place,
    named: String,
    /// `None` before the first call and after a failure, whose connection may be in any state.
    conn: Option<StoreConnection>,
    application: PhantomData<fn() -> A>,
}

impl<A> EngineStore<A> {
    fn with<T>(&mut self, call: impl FnOnce(&mut StoreConnection, &str) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => {
                let mut conn = connect(&self.place, Purpose::Write)?;
                migrate(&mut conn, &self.named)?;
                conn
            }
        };
        let done = call(&mut conn, &self.named)?;
        self.conn = Some(conn);
        Ok(done)
    }

    fn read<T>(&mut self, call: impl FnOnce(&mut StoreConnection) -> QueryResult<T>) -> Result<T, StoreError> {
        self.with(|conn, place| call(conn).map_err(|error| StoreError::from_engine(place, &error)))
    }

    fn at_one_moment<T>(&mut self, call: impl FnOnce(&mut StoreConnection, &str) -> Result<T, Failure>) -> Result<T, StoreError> {
        self.with(|conn, place| snapshot(conn, |conn| call(conn, place)).map_err(|failure| failure.at(place)))
    }
}

impl<A> Store<A> for EngineStore<A>
where
    A: Answers,
    A::Row: StoredRow,
{
    fn applied(&mut self) -> Result<Position, StoreError> {
        self.with(|conn, place| applied(conn, place).map_err(|failure| failure.at(place)))
    }

    fn apply(&mut self, entries: &[SharedEntry<A::Row>]) -> Result<Position, StoreError> {
        if entries.is_empty() {
            return Store::<A>::applied(self);
        }
        self.with(|conn, place| apply(conn, place, entries))
    }

    fn row(&mut self, key: &<A::Row as Row>::Key) -> Result<Option<A::Row>, StoreError> {
        self.read(|conn| A::Row::get(conn, key))
    }

    fn record(&mut self, sequence: Sequence) -> Result<Option<StoredRecord>, StoreError> {
        self.read(|conn| RecordRow::get(conn, &(sequence,))).map(|row| row.map(StoredRecord::from))
    }

    fn find_record(&mut self, terminal: &TerminalId, command: &CommandId) -> Result<Option<StoredRecord>, StoreError> {
        let sequence = self.read(|conn| sequence_of(conn, terminal, command))?;
        sequence.map_or(Ok(None), |sequence| Store::<A>::record(self, sequence))
    }

    fn records_forgotten_through(&mut self) -> Result<Sequence, StoreError> {
        self.at_one_moment(|conn, place| {
            let applied = applied(conn, place)?.sequence;
            Ok(forgotten_through(conn)?.unwrap_or(applied))
        })
    }

    fn for_each_record(&mut self, visit: &mut dyn FnMut(&TerminalId, &CommandId, Sequence)) -> Result<(), StoreError> {
        let mut after = Sequence(0);
        loop {
            let page = self.read(|conn| identities_after(conn, after))?;
            let Some((_, _, last)) = page.last() else { return Ok(()) };
            after = *last;
            page.iter().for_each(|(terminal, command, sequence)| visit(terminal, command, *sequence));
        }
    }

    fn query(&mut self, query: &A::Query) -> Result<A::Found, StoreError> {
        self.at_one_moment(|conn, _| Ok(A::answer(query, conn)?))
    }

    fn digest(&mut self) -> Result<StoreDigest, StoreError> {
        self.at_one_moment(digest::<A::Row>)
    }

    fn checkpoint(&mut self) -> Result<Checkpoint, StoreError> {
        let place = self.place.clone();
        self.with(|conn, _| checkpoint(conn, &place))
    }
}

fn sequence_of(conn: &mut StoreConnection, terminal: &TerminalId, command: &CommandId) -> QueryResult<Option<Sequence>> {
    use crate::schema::command_record as records;
    let found: Option<i64> = records::table
        .filter(records::command_id.eq(command.0.as_slice()))
        .filter(records::terminal_id.eq(&terminal.0))
        .select(records::sequence)
        .first(conn)
        .optional()?;
    found.map(Sequence::restore).transpose()
}

fn identities_after(conn: &mut StoreConnection, after: Sequence) -> QueryResult<Vec<(TerminalId, CommandId, Sequence)>> {
    use crate::schema::command_record as records;
    let page: Vec<(String, Vec<u8>, i64)> = records::table
        .filter(records::sequence.gt(after.0.cast_signed()))
        .order(records::sequence)
        .limit(RECORDS_PER_PAGE)
        .select((records::terminal_id, records::command_id, records::sequence))
        .load(conn)?;
    page.into_iter()
        .map(|(terminal, command, sequence)| {
            Ok((TerminalId(terminal), CommandId::restore(command)?, Sequence::restore(sequence)?))
        })
        .collect()
}
