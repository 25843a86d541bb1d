//! The database: the journal applied. Everything in it can be rebuilt from the entries, and its position says how far it is.
//!
//! [`Store`] has no Diesel type in its signatures, so that a store of another kind can stand behind it. [`engines`] is the one for
//! SQLite and PostgreSQL. An application registers its tables by [`StoredRow`] and its questions by [`Answers`]; nothing here names
//! one of its tables.

mod apply;
mod checkpoint;
mod claim;
pub mod column;
mod connection;
mod digest;
mod engines;
mod error;
mod forget;
mod pair;
mod place;
mod pool;
mod snapshot;
pub mod table;

/// What an application's own queries give.
pub use diesel::QueryResult;

pub use checkpoint::Checkpoint;
pub use claim::Claim;
pub use connection::StoreConnection;
pub use digest::{StoreDigest, TableDigest};
pub use engines::open;
pub use error::StoreError;
pub use forget::FORGOTTEN_PER_ENTRY;
pub use pair::{EpochStart, RecordRow, StoredRecord};
pub use place::Place;
pub use pool::ReadPool;
pub use snapshot::{Snapshot, Unread};
pub use table::StoredRow;

use crate::model::entry::SharedEntry;
use crate::model::{Application, CommandId, Position, Row, Rows, Sequence, TerminalId, Unavailable};

/// An application whose questions a store can answer, in the application's own Diesel queries.
pub trait Answers: Application {
    /// Reads at one moment of the history; must not write.
    ///
    /// # Errors
    /// What the engine says.
    fn answer(query: &Self::Query, conn: &mut StoreConnection) -> QueryResult<Self::Found>;
}

/// Rows by key as of what is applied: behind what was executed, so good for nothing that decides a command.
pub struct AppliedRows<'a, A: Application>(pub &'a mut dyn Store<A>);

impl<A: Application> Rows<A::Row> for AppliedRows<'_, A> {
    fn get(&mut self, key: &<A::Row as Row>::Key) -> Result<Option<A::Row>, Unavailable> {
        self.0.row(key).map_err(|error| Unavailable(error.to_string()))
    }
}

/// One store, used by one thread. Every call may fail as [`StoreError`] says and leaves nothing half done; after a failure the next
/// call connects anew.
pub trait Store<A: Application>: Send {
    /// How far the journal is applied, read from the database.
    ///
    /// # Errors
    /// [`StoreError`].
    fn applied(&mut self) -> Result<Position, StoreError>;

    /// Applies entries that follow what is applied, in one transaction with the position; gives the position after them. An empty
    /// batch changes nothing. Records that the application keeps no longer leave in the same transaction, a few for each entry.
    ///
    /// # Errors
    /// [`StoreError`]: `NotNext` for a gap, a repetition or a lower epoch; `Refused` for poison, naming the row.
    fn apply(&mut self, entries: &[SharedEntry<A::Row>]) -> Result<Position, StoreError>;

    /// # Errors
    /// [`StoreError`].
    fn row(&mut self, key: &<A::Row as Row>::Key) -> Result<Option<A::Row>, StoreError>;

    /// The record of the entry with this number.
    ///
    /// # Errors
    /// [`StoreError`].
    fn record(&mut self, sequence: Sequence) -> Result<Option<StoredRecord>, StoreError>;

    /// The record of a command.
    ///
    /// # Errors
    /// [`StoreError`].
    fn find_record(&mut self, terminal: &TerminalId, command: &CommandId) -> Result<Option<StoredRecord>, StoreError>;

    /// Records up to here have left as too old; those behind it are all there. Whoever remembers their commands may forget them.
    ///
    /// # Errors
    /// [`StoreError`].
    fn records_forgotten_through(&mut self) -> Result<Sequence, StoreError>;

    /// Every record's identity and place, in order; memory is bounded by a page.
    ///
    /// # Errors
    /// [`StoreError`]; some records may have been visited by then.
    fn for_each_record(&mut self, visit: &mut dyn FnMut(&TerminalId, &CommandId, Sequence)) -> Result<(), StoreError>;

    /// # Errors
    /// [`StoreError`].
    fn query(&mut self, query: &A::Query) -> Result<A::Found, StoreError>;

    /// Position and digest of every table at one moment.
    ///
    /// # Errors
    /// [`StoreError`].
    fn digest(&mut self) -> Result<StoreDigest, StoreError>;

    /// Flushes what is applied. To be called on a store opened for nothing else, on a thread of its own, now and then: it takes tens of
    /// milliseconds, in which the applier's store goes on.
    ///
    /// # Errors
    /// [`StoreError`].
    fn checkpoint(&mut self) -> Result<Checkpoint, StoreError>;
}
