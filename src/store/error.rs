//! What can go wrong between this server and its database, told apart by what should be done about it.

use std::fmt;

use diesel::result::{DatabaseErrorKind, Error as Engine};

use crate::model::Sequence;

/// Each names the engine and the place. Nothing of a failed call remains in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The address of the store cannot be meant: a person corrects the configuration.
    Address { reason: String },
    /// No connection, or it was lost: try again.
    Away { place: String, reason: String },
    /// Another process holds the database, or no connection was free in time: try again.
    Locked { place: String, reason: String },
    /// No space left: try again once there is.
    Full { place: String, reason: String },
    /// The database refuses these data: trying again cannot help. `subject` names table and key where known.
    Refused { place: String, subject: String, reason: String },
    /// The tables were made by a newer version of this program.
    Newer { place: String, version: String },
    /// The system could not read or write its files: a failing disk, or a full one that is told as an error.
    Broken { place: String, reason: String },
    /// What was read cannot have been written by this program: rebuild this store from the peer.
    Corrupt { place: String, reason: String },
    /// The entries do not follow what is applied.
    NotNext { place: String, expected: Sequence, found: Sequence },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { reason } => write!(f, "store address: {}", one_line(reason)),
            Self::Away { place, reason } => write!(f, "{place} is away: {}", one_line(reason)),
            Self::Locked { place, reason } => write!(f, "{place} is locked: {}", one_line(reason)),
            Self::Full { place, reason } => write!(f, "{place} has no space left: {}", one_line(reason)),
            Self::Refused { place, subject, reason } => write!(f, "{place} refuses {subject}: {}", one_line(reason)),
            Self::Newer { place, version } => write!(f, "{place} was made by a newer version: it has migration {version}"),
            Self::Broken { place, reason } => write!(f, "{place} cannot be read or written: {}", one_line(reason)),
            Self::Corrupt { place, reason } => write!(f, "{place} is damaged: {}", one_line(reason)),
            Self::NotNext { place, expected, found } => {
                let (found, expected) = (found.0, expected.0);
                write!(f, "{place} cannot apply entry {found}: it expects {expected}; does another server write to it?")
            }
        }
    }
}

impl std::error::Error for StoreError {}

/// PostgreSQL answers with several lines and tabs; a log line, a start error and stderr have one.
fn one_line(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Why an engine failed, before it is known where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Away,
    Locked,
    Full,
    Refused,
    Broken,
    Corrupt,
}

/// Diesel keeps neither SQLite's result code nor PostgreSQL's SQLSTATE, so the rest is told apart by the message. SQLite's are fixed;
/// for PostgreSQL `connection` makes sure that they are English. Both were read off the engines.
const MESSAGES: &[(&str, Kind)] = &[
    ("database is locked", Kind::Locked),
    ("database table is locked", Kind::Locked),
    ("lock timeout", Kind::Locked),
    ("statement timeout", Kind::Locked),
    ("deadlock detected", Kind::Locked),
    ("database or disk is full", Kind::Full),
    ("No space left on device", Kind::Full),
    ("Disk quota exceeded", Kind::Full),
    ("unable to open database file", Kind::Away),
    ("attempt to write a readonly database", Kind::Away),
    ("server closed the connection", Kind::Away),
    ("terminating connection", Kind::Away),
    ("connection to server", Kind::Away),
    ("no connection to the server", Kind::Away),
    ("could not receive data from server", Kind::Away),
    ("could not send data to server", Kind::Away),
    ("the database system is", Kind::Away),
    ("too many clients", Kind::Away),
    ("connection slots are reserved", Kind::Away),
    ("out of memory", Kind::Away),
    ("out of shared memory", Kind::Away),
    ("disk image is malformed", Kind::Corrupt),
    ("file is not a database", Kind::Corrupt),
    ("disk I/O error", Kind::Broken),
    ("invalid page in block", Kind::Corrupt),
    ("could not read block", Kind::Broken),
    ("could not fsync", Kind::Broken),
    ("no such table", Kind::Corrupt),
    ("no such column", Kind::Corrupt),
    ("has no column named", Kind::Corrupt),
    ("does not exist", Kind::Corrupt),
];

/// Said of a store that is "away", and will be tomorrow as well: a person mistook a name, a password, a right or a parameter.
const LASTING: &[&str] = &[
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "already exists",
    "permission denied for",
    "must be owner",
    "does not support SSL",
    "certificate",
    "invalid ",
    "nable to open",
    "readonly database",
];

fn kind(error: &Engine) -> Kind {
    match error {
        Engine::DatabaseError(DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand, _)
        | Engine::BrokenTransactionManager
        | Engine::AlreadyInTransaction
        | Engine::NotInTransaction => Kind::Away,
        Engine::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => Kind::Locked,
        // A server that was made a standby or runs out of transaction numbers: it may write again later.
        Engine::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => Kind::Away,
        Engine::DatabaseError(DatabaseErrorKind::Unknown, information) => by_message(information.message()),
        Engine::DeserializationError(_) | Engine::NotFound => Kind::Corrupt,
        Engine::RollbackErrorOnCommit { commit_error, .. } => kind(commit_error),
        // Constraints, values that cannot be encoded, and whatever Diesel adds: the same statement would fail again.
        _ => Kind::Refused,
    }
}

fn by_message(message: &str) -> Kind {
    MESSAGES.iter().find(|(text, _)| message.contains(text)).map_or(Kind::Refused, |(_, kind)| *kind)
}

impl StoreError {
    /// The engine's error at `place`. A refusal has no subject yet.
    pub fn from_engine(place: &str, error: &Engine) -> Self {
        Self::new(kind(error), place, error.to_string())
    }

    /// Whether a start waits for it: a server that comes up late, a lock that is held. At work everything is tried again; whoever starts
    /// a server sits before it, and should hear of a mistake at once.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Away { reason, .. } => !LASTING.iter().any(|text| reason.contains(text)),
            Self::Locked { .. } => true,
            Self::Address { .. }
            | Self::Full { .. }
            | Self::Refused { .. }
            | Self::Newer { .. }
            | Self::Broken { .. }
            | Self::Corrupt { .. }
            | Self::NotNext { .. } => false,
        }
    }

    /// A connection that could not be made. Never a refusal: whatever a server says before it lets us in may pass.
    pub(super) fn from_connecting(place: &str, reason: String) -> Self {
        match by_message(&reason) {
            kind @ (Kind::Locked | Kind::Full | Kind::Broken) => Self::new(kind, place, reason),
            Kind::Corrupt if !reason.contains("does not exist") => Self::new(Kind::Corrupt, place, reason),
            Kind::Away | Kind::Refused | Kind::Corrupt => Self::new(Kind::Away, place, reason),
        }
    }

    fn new(kind: Kind, place: &str, reason: String) -> Self {
        let place = place.to_owned();
        match kind {
            Kind::Away => Self::Away { place, reason },
            Kind::Locked => Self::Locked { place, reason },
            Kind::Full => Self::Full { place, reason },
            Kind::Refused => Self::Refused { place, subject: "a statement".to_owned(), reason },
            Kind::Broken => Self::Broken { place, reason },
            Kind::Corrupt => Self::Corrupt { place, reason },
        }
    }
}

/// What ends a transaction: the engine's word, or ours.
#[derive(Debug)]
pub enum Failure {
    Engine(Engine),
    Store(StoreError),
}

impl Failure {
    pub(super) fn at(self, place: &str) -> StoreError {
        match self {
            Self::Engine(error) => StoreError::from_engine(place, &error),
            Self::Store(error) => error,
        }
    }
}

impl From<Engine> for Failure {
    fn from(error: Engine) -> Self {
        Self::Engine(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};

    use super::*;

    /// What SQLite really says to `sql`.
    fn told_apart(sql: &str) -> StoreError {
        let mut conn = SqliteConnection::establish(":memory:").expect("in memory");
        StoreError::from_engine("SQLite", &conn.batch_execute(sql).expect_err("it fails"))
    }

    #[test]
    fn a_full_disk_is_full() {
        let error = told_apart("PRAGMA max_page_count = 2; CREATE TABLE a (x); CREATE TABLE b (x); CREATE TABLE c (x);");
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
    }

    #[test]
    fn a_table_that_is_missing_is_damage() {
        let error = told_apart("SELECT * FROM applied");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }

    #[test]
    fn a_constraint_is_a_refusal() {
        let error = told_apart("CREATE TABLE a (x integer NOT NULL) STRICT; INSERT INTO a VALUES ('text')");
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    }

    #[test]
    fn what_an_engine_says_in_several_lines_is_told_in_one() {
        let said = "connection to server at \"db\" failed: refused\n\tIs the server running?\n".to_owned();
        let error = StoreError::from_connecting("PostgreSQL at db", said).to_string();
        assert_eq!(error, "PostgreSQL at db is away: connection to server at \"db\" failed: refused Is the server running?");
    }

    #[test]
    fn what_is_said_while_connecting_is_never_a_refusal() {
        let error = StoreError::from_connecting("PostgreSQL", "FATAL:  database \"duplex\" does not exist".to_owned());
        assert!(matches!(error, StoreError::Away { .. }), "{error}");
        let error = StoreError::from_connecting("PostgreSQL", "FATAL:  password authentication failed".to_owned());
        assert!(matches!(error, StoreError::Away { .. }), "{error}");
    }

    #[test]
    fn a_start_waits_for_what_comes_by_itself_and_for_nobodys_mistake() {
        let server = "connection to server at \"db\" (10.0.0.9), port 5432 failed: ";
        let may_pass = |said: String| StoreError::from_connecting("PostgreSQL", said).may_pass();
        for said in ["Connection refused", "FATAL:  the database system is starting up", "timeout expired"] {
            assert!(may_pass(format!("{server}{said}")), "{said}");
        }
        assert!(may_pass("could not translate host name \"db\" to address: Temporary failure in name resolution".to_owned()));
        for said in ["FATAL:  password authentication failed for user \"clerk\"", "FATAL:  database \"duplx\" does not exist"] {
            assert!(!may_pass(format!("{server}{said}")), "{said}");
        }
        assert!(!may_pass("invalid URI query parameter: \"hots\"".to_owned()));
        let sqlite = SqliteConnection::establish("/no/such/place/store.db").map(drop).expect_err("no such directory");
        assert!(!StoreError::from_connecting("SQLite", sqlite.to_string()).may_pass(), "{sqlite}");
        assert!(!told_apart("SELECT * FROM applied").may_pass());
    }
}
