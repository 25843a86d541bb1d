//! Connections to either engine, set up as the store needs them, and the migrations of its tables.

use diesel::backend::Backend;
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel::result::Error as Engine;
use diesel::sql_types::Text;
use diesel::{MultiConnection, PgConnection, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::error::{Failure, StoreError};
use super::place::Place;

const SQLITE_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Either engine. An application's queries may be written once against it; what is hot chooses the engine once per batch.
#[derive(MultiConnection)]
pub enum StoreConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Write,
    Read,
}

/// busy_timeout first: two openers race for the switch to WAL. Half a second is far above any commit here; the caller tries again.
/// NORMAL: the journal is the truth, the store is replayed from its own position. No automatic checkpoint: inside COMMIT it is the p99.
/// 16 MiB of cache hold the upper levels of every table of a site with 100,000 members.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 500; PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384;";

/// The waits are those of SQLite; 30 s is a report over a whole year. Nothing is flushed at commit: the journal is the truth.
const POSTGRES_SETTINGS: &str = "SET lock_timeout = '500ms'; SET statement_timeout = '30s'; SET synchronous_commit = off; \
    SET client_min_messages = warning;";

/// A server that answers neither packets nor the request to connect is given up after 2 s: a dead machine, not a slow one.
const POSTGRES_WAITS: &[(&str, &str)] = &[("connect_timeout", "2"), ("tcp_user_timeout", "2000"), ("keepalives_idle", "2")];

/// Only a writer makes a SQLite file that is missing.
///
/// # Errors
/// As [`StoreError`] says; never `Refused`.
pub fn connect(place: &Place, purpose: Purpose) -> Result<StoreConnection, StoreError> {
    let named = place.to_string();
    let failed = |error: Engine| StoreError::from_connecting(&named, error.to_string());
    match place {
        Place::Sqlite(path) => {
            if purpose == Purpose::Read && !path.exists() {
                return Err(StoreError::Away { place: named, reason: "the file is not made yet".to_owned() });
            }
            let url = path.to_str().ok_or_else(|| StoreError::Address { reason: "the path is not UTF-8".to_owned() })?;
            let mut conn = establish(&named, || SqliteConnection::establish(url))?;
            conn.batch_execute(SQLITE_SETTINGS).map_err(failed)?;
            if purpose == Purpose::Read {
                conn.batch_execute("PRAGMA query_only = ON").map_err(failed)?;
            }
            Ok(StoreConnection::Sqlite(conn))
        }
        Place::Postgres(url) => {
            let mut conn = establish(&named, || PgConnection::establish(&with_waits(url)))?;
            conn.batch_execute(POSTGRES_SETTINGS).map_err(failed)?;
            if purpose == Purpose::Read {
                conn.batch_execute("SET default_transaction_read_only = on").map_err(failed)?;
            }
            check_postgres(&mut conn, &named)?;
            Ok(StoreConnection::Postgres(conn))
        }
    }
}

fn establish<C>(place: &str, connect: impl FnOnce() -> ConnectionResult<C>) -> Result<C, StoreError> {
    connect().map_err(|error| StoreError::from_connecting(place, error.to_string()))
}

fn with_waits(url: &str) -> String {
    POSTGRES_WAITS.iter().fold(url.to_owned(), |url, (name, value)| match url.split_once('?') {
        Some((_, parameters)) if parameters.contains(&format!("{name}=")) => url,
        Some(_) => format!("{url}&{name}={value}"),
        None => format!("{url}?{name}={value}"),
    })
}

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = Text)]
    value: String,
}

/// Text is ordered by its UTF-8 bytes on both engines, and errors are told apart by their text.
fn check_postgres(conn: &mut PgConnection, place: &str) -> Result<(), StoreError> {
    let mut setting = |name: &str| {
        let found: QueryResult<Setting> =
            diesel::sql_query(format!("SELECT current_setting('{name}') AS value")).get_result(conn);
        found.map(|setting| setting.value).map_err(|error| StoreError::from_engine(place, &error))
    };
    let encoding = setting("server_encoding")?;
    if encoding != "UTF8" {
        return Err(StoreError::Address { reason: format!("{place} has encoding {encoding}, but UTF8 is needed") });
    }
    let messages = setting("lc_messages")?;
    let english = messages.starts_with("en") || messages.starts_with("C") || messages == "POSIX";
    if !english {
        let reason = format!(
            "{place} has lc_messages = {messages}, but its errors must be English: ALTER DATABASE … SET lc_messages = 'C'"
        );
        return Err(StoreError::Address { reason });
    }
    Ok(())
}

/// One transaction that writes, from the start: SQLite would otherwise find only at its first write that another has the lock.
pub(super) fn write<T>(
    conn: &mut StoreConnection,
    body: impl FnOnce(&mut StoreConnection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match conn {
        StoreConnection::Sqlite(conn) => AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE"),
        StoreConnection::Postgres(conn) => AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN"),
    }?;
    finish(conn, body)
}

/// One transaction in which every read sees the same moment.
pub(super) fn snapshot<T>(
    conn: &mut StoreConnection,
    body: impl FnOnce(&mut StoreConnection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match conn {
        StoreConnection::Sqlite(conn) => AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN"),
        StoreConnection::Postgres(conn) => {
            AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        }
    }?;
    finish(conn, body)
}

type Transactions = <StoreConnection as Connection>::TransactionManager;

/// The body's own failure counts: after a full disk SQLite has already rolled back, and a second rollback fails in other words.
fn finish<T>(conn: &mut StoreConnection, body: impl FnOnce(&mut StoreConnection) -> Result<T, Failure>) -> Result<T, Failure> {
    match body(conn) {
        Ok(done) => Transactions::commit_transaction(conn).map(|()| done).map_err(Failure::from),
        Err(failure) => {
            let _ = Transactions::rollback_transaction(conn);
            Err(failure)
        }
    }
}

/// Brings the tables to this version. Whoever comes second waits for the lock, then finds nothing to do.
///
/// # Errors
/// [`StoreError::Newer`] if a later version was here; the others as they are.
pub(super) fn migrate(conn: &mut StoreConnection, place: &str) -> Result<(), StoreError> {
    let done = write(conn, |conn| match conn {
        StoreConnection::Sqlite(conn) => run_migrations(conn, SQLITE_MIGRATIONS, place),
        StoreConnection::Postgres(conn) => {
            // Any number that is always the same; released with the transaction.
            conn.batch_execute("SELECT pg_advisory_xact_lock(6081980)")?;
            run_migrations(conn, POSTGRES_MIGRATIONS, place)
        }
    });
    done.map_err(|failure| failure.at(place))
}

fn run_migrations<D: Backend, C: MigrationHarness<D>>(
    conn: &mut C,
    source: EmbeddedMigrations,
    place: &str,
) -> Result<(), Failure> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| StoreError::from_connecting(place, error.to_string());
    let known: Vec<Box<dyn Migration<D>>> = source.migrations().map_err(failed)?;
    let known: Vec<_> = known.iter().map(|migration| migration.name().version()).collect();
    // Newest first, so the newest is the one named.
    if let Some(newer) = conn.applied_migrations().map_err(failed)?.into_iter().find(|applied| !known.contains(applied)) {
        return Err(StoreError::Newer { place: place.to_owned(), version: newer.to_string() }.into());
    }
    conn.run_pending_migrations(source).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_fills_the_disk_says_full_and_leaves_the_connection_usable() {
        let mut conn = StoreConnection::Sqlite(SqliteConnection::establish(":memory:").expect("in memory"));
        conn.batch_execute("CREATE TABLE notes (note blob); PRAGMA max_page_count = 4").expect("a small database");
        let full = write(&mut conn, |conn| Ok(conn.batch_execute("INSERT INTO notes VALUES (zeroblob(100000))")?));
        let full = full.expect_err("no room").at("SQLite");
        assert!(matches!(full, StoreError::Full { .. }), "{full}");
        write(&mut conn, |conn| Ok(conn.batch_execute("INSERT INTO notes VALUES (zeroblob(10))")?)).expect("room for that");
    }

    #[test]
    fn waits_that_an_url_sets_itself_are_kept() {
        let url = with_waits("postgres://db/duplex?connect_timeout=9");
        assert_eq!(url, "postgres://db/duplex?connect_timeout=9&tcp_user_timeout=2000&keepalives_idle=2");
    }
}
