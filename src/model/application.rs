//! What an application gives to the pair. `store`, `journal` and the actors are generic over it and never name one of its tables.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{CommandId, Image, Mode, TerminalId, UnixMs};

/// One row of any of the application's tables.
pub trait Row: Clone + Debug + PartialEq + Eq + Serialize + DeserializeOwned + Send + Sync + Unpin + 'static {
    type Key: Clone + Debug + Eq + Ord + Hash + Serialize + DeserializeOwned + Send + Sync + Unpin + 'static;

    fn key(&self) -> Self::Key;

    /// The first day whose command records are kept, if it is this row that says so. Every entry with such a row takes a few older
    /// records along.
    fn records_kept_from(&self) -> Option<i32> {
        None
    }

    /// Whether a later command may ask for this row by its key. Lines that are only ever appended need no place in a cache.
    fn is_asked_for(&self) -> bool {
        true
    }
}

/// How a command ended, as the terminal hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    Rejected,
    /// Outcome unknown: send the same command again. Never "not done".
    Retry,
}

/// The part of an answer that the application decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub status: Status,
    /// Empty when `status` is `Ok`.
    pub code: String,
    pub text_ja: String,
    pub text_en: String,
    /// A JSON object as text.
    pub body: String,
}

/// A request whose envelope was readable. `C` is the application's parsed command.
#[derive(Clone, Debug)]
pub struct Request<C> {
    pub terminal_id: TerminalId,
    /// The terminal's key as it came.
    pub key: String,
    pub command_id: CommandId,
    pub body_hash: [u8; 16],
    /// Business day that the terminal knew when it made the command, days since 1970-01-01.
    pub known_day: Option<i32>,
    pub rate_table_version: Option<i64>,
    pub staff_session: Option<String>,
    pub command: C,
}

/// Why a request could not be read: the field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    pub field: String,
    pub reason: String,
}

/// A row could not be read now (store away or locked): the command ends in `retry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// Rows by key as of everything executed so far, confirmed or not.
pub trait Rows<R: Row> {
    /// # Errors
    /// [`Unavailable`] if the row is in no cache and the store cannot be read.
    fn get(&mut self, key: &R::Key) -> Result<Option<R>, Unavailable>;
}

/// What one command is about to change, over the rows as they were before it. Nothing of it counts until the verdict stores it.
pub struct Draft<'a, R: Row> {
    rows: &'a mut dyn Rows<R>,
    images: Vec<Image<R>>,
}

impl<'a, R: Row> Draft<'a, R> {
    pub fn new(rows: &'a mut dyn Rows<R>) -> Self {
        Self { rows, images: Vec::new() }
    }

    /// The row as this command has left it so far.
    ///
    /// # Errors
    /// [`Unavailable`] as [`Rows::get`].
    pub fn get(&mut self, key: &R::Key) -> Result<Option<R>, Unavailable> {
        for image in self.images.iter().rev() {
            match image {
                Image::Put(row) if row.key() == *key => return Ok(Some(row.clone())),
                Image::Delete(deleted) if deleted == key => return Ok(None),
                Image::Put(_) | Image::Delete(_) => {}
            }
        }
        self.rows.get(key)
    }

    pub fn put(&mut self, row: R) {
        self.images.push(Image::Put(row));
    }

    pub fn delete(&mut self, key: R::Key) {
        self.images.push(Image::Delete(key));
    }

    /// Everything drafted, in order; several images of one row collapse into the last.
    pub fn into_images(self) -> Vec<Image<R>> {
        let mut seen = HashSet::with_capacity(self.images.len());
        let mut kept: Vec<Image<R>> = self.images.into_iter().rev().filter(|image| seen.insert(image.key())).collect();
        kept.reverse();
        kept
    }
}

impl<R: Row> Image<R> {
    pub fn key(&self) -> R::Key {
        match self {
            Self::Put(row) => row.key(),
            Self::Delete(key) => key.clone(),
        }
    }
}

/// What executing a command led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<Q> {
    /// One entry: what was drafted (often nothing, for a refusal) and the record of this answer.
    Store(Response),
    /// A read, or another answer that is never stored (a greeting, a `retry`): the draft is dropped.
    Answer(Response),
    /// The command needs this query, answered from a store that has everything executed so far; then it is executed again.
    Query(Q),
}

/// An application that a pair of servers can run.
pub trait Application: Clone + Send + Sync + Unpin + 'static {
    type Row: Row;
    type Command: Clone + Debug + Send + Sync + Unpin + 'static;
    /// A question that rows by key cannot answer (sums at close, a search for duplicates).
    type Query: Clone + Debug + Send + Unpin + 'static;
    type Found: Clone + Debug + Send + Unpin + 'static;

    /// Reads name and body of a command. Pure: needs no rows.
    ///
    /// # Errors
    /// [`Bad`] names the field.
    fn parse(&self, name: &str, body: &str) -> Result<Self::Command, Bad>;

    /// Whether [`Application::prepare`] must run before [`Application::parse`].
    fn is_slow(&self, _name: &str) -> bool {
        false
    }

    /// A deliberately slow step (a password's derivation), run in a bounded pool before admission: gives the body to parse.
    ///
    /// # Errors
    /// [`Bad`] names the field.
    fn prepare(&self, _name: &str, body: &str) -> Result<String, Bad> {
        Ok(body.to_owned())
    }

    /// Whether a terminal may cause a slow step, so that a stranger cannot keep everybody else waiting: known, enabled, right key, as the
    /// rows at hand have it. Asked before [`Application::prepare`]; these rows may be a little old, and [`Application::identify`] has the
    /// last word.
    ///
    /// # Errors
    /// [`Unavailable`] as [`Rows::get`].
    fn may_prepare(&self, _terminal: &TerminalId, _key: &str, _rows: &mut dyn Rows<Self::Row>) -> Result<bool, Unavailable> {
        Ok(true)
    }

    /// The body to parse in place of the prepared one if [`Application::may_prepare`] said no. Such a command is refused by
    /// [`Application::identify`]; if the rows have changed since, its answer is `retry`.
    ///
    /// # Errors
    /// [`Bad`] names the field, as [`Application::prepare`] would.
    fn unprepared(&self, _name: &str, body: &str) -> Result<String, Bad> {
        Ok(body.to_owned())
    }

    /// The checks that stand before server mode and repeated id: terminal known and enabled, key. `Some` is the refusal, never stored.
    ///
    /// # Errors
    /// [`Unavailable`] as [`Rows::get`].
    fn identify(&self, request: &Request<Self::Command>, rows: &mut dyn Rows<Self::Row>)
    -> Result<Option<Response>, Unavailable>;

    /// Its name, for metrics; one of a fixed set.
    fn name(&self, command: &Self::Command) -> &'static str;

    /// Whether the command changes data. Reads are never recorded, so their ids are never looked up.
    fn changes_data(&self, command: &Self::Command) -> bool;

    /// Everything after the repeated-id check, in an order that never changes. Deterministic in its arguments; `now` is
    /// Main's wall clock.
    ///
    /// # Errors
    /// [`Unavailable`] as [`Rows::get`].
    fn execute(
        &self,
        request: &Request<Self::Command>,
        found: Option<&Self::Found>,
        draft: &mut Draft<'_, Self::Row>,
        now: UnixMs,
    ) -> Result<Verdict<Self::Query>, Unavailable>;

    /// The business day that a record made now belongs to, and the first one whose records are kept.
    ///
    /// # Errors
    /// [`Unavailable`] as [`Rows::get`].
    fn day(&self, rows: &mut dyn Rows<Self::Row>) -> Result<Day, Unavailable>;

    /// The application's answer for a refusal or `retry` that the pair's own code gives.
    fn refusal(&self, code: PairCode) -> Response;
}

/// Business day now and the first day whose records are kept, days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    pub current: Option<i32>,
    pub records_kept_from: Option<i32>,
}

impl Day {
    /// Whether the record of a command made on the day `known` may have left already, so that nobody can tell whether the command was
    /// executed: it is refused (COMMAND_TOO_OLD). A terminal that names no day has to give up by itself while records are kept.
    pub fn has_forgotten(&self, known: Option<i32>) -> bool {
        known.zip(self.records_kept_from).is_some_and(|(known, kept)| known < kept)
    }
}

/// Refusals that the pair gives for every application; the texts are the application's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairCode {
    BadRequest(Bad),
    VersionUnknown,
    CommandIdReused,
    CommandTooOld,
    /// Queue full or store away; `retry`.
    Busy,
    /// Roles are changing; `retry`.
    Switching,
    /// This server is being restored and does not serve; `retry`.
    Restoring,
}

impl PairCode {
    /// What a server says that does not serve now. One that is being restored stays so for longer than a takeover takes.
    pub fn not_serving(mode: Mode) -> Self {
        match mode {
            Mode::Rejoining => Self::Restoring,
            Mode::Starting | Mode::Pair | Mode::Solo | Mode::Suspended => Self::Switching,
        }
    }
}
