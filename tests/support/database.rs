//! One empty database of either engine for one test, and the back door by which the test changes it behind the store's back.

use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, SqliteConnection};
use duplex::store::{Store, StoreConnection, StoreError, open};
use tempfile::TempDir;

use super::history::Bare;
use super::postgres::Postgres;

pub struct Database {
    pub url: String,
    /// Dropped after the test, last of all.
    _home: Home,
}

#[expect(dead_code, reason = "kept for their Drop")]
enum Home {
    Directory(TempDir),
    Server(Arc<Postgres>),
}

impl Database {
    pub fn sqlite() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let url = format!("sqlite:{}", directory.path().join("store.db").display());
        Self { url, _home: Home::Directory(directory) }
    }

    pub fn postgres() -> Self {
        let server = Postgres::shared();
        Self { url: server.new_database(), _home: Home::Server(server) }
    }

    pub fn both() -> [Self; 2] {
        [Self::sqlite(), Self::postgres()]
    }

    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    pub fn open(&self) -> Box<dyn Store<Bare>> {
        self.try_open().expect("the store opens")
    }

    pub fn try_open(&self) -> Result<Box<dyn Store<Bare>>, StoreError> {
        open(&self.url)
    }

    /// A connection that knows nothing of the store.
    pub fn back_door(&self) -> StoreConnection {
        match self.url.strip_prefix("sqlite:") {
            Some(path) => StoreConnection::Sqlite(SqliteConnection::establish(path).expect("the file opens")),
            None => StoreConnection::Postgres(PgConnection::establish(&self.url).expect("the server answers")),
        }
    }

    pub fn execute(&self, sql: &str) {
        self.back_door().batch_execute(sql).expect("the statement of the test");
    }

    /// Makes the engine refuse a negative balance, as no migration does.
    pub fn forbid_negative_balances(&self) {
        self.execute(if self.is_sqlite() {
            "CREATE TRIGGER forbid BEFORE INSERT ON account WHEN NEW.balance < 0 BEGIN SELECT RAISE(ABORT, 'negative balance'); END"
        } else {
            "ALTER TABLE account ADD CONSTRAINT forbid CHECK (balance >= 0)"
        });
    }
}
