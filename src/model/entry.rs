//! An entry is the outcome of one command: full-row images and the command's record, numbered and chained.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Position, Row};

/// Name of a terminal, at most [`TerminalId::LEN_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TerminalId(pub String);

impl TerminalId {
    /// Longest name in bytes: fits a printed label, bounds every record that carries it.
    pub const LEN_MAX: usize = 32;
}

/// Drawn by the terminal and saved before it sends; with the terminal it is the identity of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub [u8; 16]);

/// 128 bits of BLAKE3 over (terminal, command id): the key of the set of commands seen. Computed in `journal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub u128);

/// What is kept of a command so that a repetition gets the first answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    pub terminal_id: TerminalId,
    pub command_id: CommandId,
    /// First 16 bytes of BLAKE3 over command name and body as they came.
    pub body_hash: [u8; 16],
    /// The business day it belongs to, days since 1970-01-01; `None` before the first day was opened.
    pub day: Option<i32>,
    /// The answer without what is worked out when it leaves; the application's own encoding.
    pub response: Vec<u8>,
}

/// One change of one row. Whole rows only: a later image heals whatever an earlier fault left in any column (the paper's Figure 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum Image<R: Row> {
    Put(R),
    Delete(R::Key),
}

/// Outcome of one command. Variants and fields are only ever appended: postcard is not self-describing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Entry<R: Row> {
    pub images: Vec<Image<R>>,
    pub record: CommandRecord,
}

/// An entry with its place in the history, its encoded form and its decoded form, shared by journal, link and applier.
#[derive(Debug)]
pub struct Sealed<R: Row> {
    pub position: Position,
    pub fingerprint: Fingerprint,
    /// Version byte and postcard, as journal and link carry it.
    pub payload: Vec<u8>,
    pub entry: Entry<R>,
}

/// Shared, never copied between the threads.
pub type SharedEntry<R> = Arc<Sealed<R>>;
