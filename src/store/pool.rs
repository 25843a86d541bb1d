//! Connections for reads beside the applier: reports, analysis clients, the console.

use std::time::Duration;

use diesel::QueryResult;
use diesel::r2d2::R2D2Connection;
use r2d2::{ManageConnection, Pool};

use super::apply::applied;
use super::connection::{Purpose, StoreConnection, connect, snapshot};
use super::error::{Failure, StoreError};
use super::place::Place;
use super::snapshot::Snapshot;
use crate::model::Position;

/// Reads answer or refuse within this: longer than any commit, shorter than a person's patience.
const CONNECTION_WAIT: Duration = Duration::from_secs(2);

/// Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct ReadPool {
    place: String,
    pool: Pool<Connecting>,
}

impl ReadPool {
    /// Connects when first needed, so a database that is away now hinders nobody. The tables are there once a store was opened.
    ///
    /// # Errors
    /// [`StoreError::Address`].
    pub fn new(url: &str, connections_max: u32) -> Result<Self, StoreError> {
        let place = Place::parse(url)?;
        let pool = Pool::builder()
            .max_size(connections_max.max(1))
            .min_idle(Some(0))
            .connection_timeout(CONNECTION_WAIT)
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(Connecting(place.clone()));
        Ok(Self { place: place.to_string(), pool })
    }

    /// Reads at one moment of the history, which `read` is told. Nothing can be written.
    ///
    /// # Errors
    /// As [`StoreError`] says; `Locked` if no connection was free in time.
    pub fn read<T>(&self, read: impl FnOnce(Position, &mut StoreConnection) -> QueryResult<T>) -> Result<T, StoreError> {
        self.at_one_moment(|position, conn| Ok(read(position, conn)?))
    }

    /// As [`ReadPool::read`], for whoever goes through whole tables.
    ///
    /// # Errors
    /// As [`ReadPool::read`], and what `read` gives.
    pub fn snapshot<T>(&self, read: impl FnOnce(Snapshot<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.at_one_moment(|position, conn| Ok(read(Snapshot::new(position, &self.place, conn))?))
    }

    fn at_one_moment<T>(&self, read: impl FnOnce(Position, &mut StoreConnection) -> Result<T, Failure>) -> Result<T, StoreError> {
        let mut conn = self.pool.get().map_err(|error| self.none_free(&error))?;
        let found = snapshot(&mut conn, |conn| {
            let position = applied(conn, &self.place)?;
            read(position, conn)
        });
        found.map_err(|failure| failure.at(&self.place))
    }

    fn none_free(&self, error: &r2d2::Error) -> StoreError {
        let (place, reason) = (self.place.clone(), error.to_string());
        if self.pool.state().connections < self.pool.max_size() {
            return StoreError::Away { place, reason };
        }
        StoreError::Locked { place, reason }
    }
}

/// Diesel's own manager would choose the engine by trying each in turn.
struct Connecting(Place);

impl ManageConnection for Connecting {
    type Connection = StoreConnection;
    type Error = StoreError;

    fn connect(&self) -> Result<StoreConnection, StoreError> {
        connect(&self.0, Purpose::Read)
    }

    fn is_valid(&self, conn: &mut StoreConnection) -> Result<(), StoreError> {
        conn.ping().map_err(|error| StoreError::from_engine(&self.0.to_string(), &error))
    }

    fn has_broken(&self, conn: &mut StoreConnection) -> bool {
        conn.is_broken()
    }
}
