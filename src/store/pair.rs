//! The pair's own tables: how far the store is, where each epoch began, and what every command was answered.

use serde::Serialize;

use super::table::stored_table;
use crate::model::{CommandId, CommandRecord, Digest, Entry, Epoch, Position, Row, Sealed, Sequence, TerminalId};

/// The one row that says how far the journal is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Always [`Applied::NO`].
    pub applied_no: i64,
    pub epoch: Epoch,
    pub sequence: Sequence,
    pub digest: Digest,
}

impl Applied {
    pub const NO: i64 = 1;

    pub fn at(position: Position) -> Self {
        let Position { epoch, sequence, digest } = position;
        Self { applied_no: Self::NO, epoch, sequence, digest }
    }

    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.sequence, digest: self.digest }
    }
}

/// The first entry of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EpochStart {
    pub epoch: Epoch,
    pub first_sequence: Sequence,
    pub first_digest: Digest,
}

impl EpochStart {
    pub fn at(position: Position) -> Self {
        Self { epoch: position.epoch, first_sequence: position.sequence, first_digest: position.digest }
    }
}

/// A command's record with its place in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    pub epoch: Epoch,
    pub sequence: Sequence,
    pub record: CommandRecord,
}

/// A [`StoredRecord`] as its table has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordRow {
    pub sequence: Sequence,
    pub epoch: Epoch,
    pub terminal_id: TerminalId,
    pub command_id: CommandId,
    pub body_hash: [u8; 16],
    pub day: Option<i32>,
    pub response: Vec<u8>,
}

impl RecordRow {
    pub fn of<R: Row>(sealed: &Sealed<R>) -> Self {
        let Entry { record: CommandRecord { terminal_id, command_id, body_hash, day, response }, .. } = &sealed.entry;
        Self {
            sequence: sealed.position.sequence,
            epoch: sealed.position.epoch,
            terminal_id: terminal_id.clone(),
            command_id: *command_id,
            body_hash: *body_hash,
            day: *day,
            response: response.clone(),
        }
    }
}

impl From<RecordRow> for StoredRecord {
    fn from(row: RecordRow) -> Self {
        let RecordRow { sequence, epoch, terminal_id, command_id, body_hash, day, response } = row;
        Self { epoch, sequence, record: CommandRecord { terminal_id, command_id, body_hash, day, response } }
    }
}

stored_table!(Applied in applied key (applied_no: i64) columns (epoch, sequence, digest));
stored_table!(EpochStart in epoch_history key (epoch: Epoch) columns (first_sequence, first_digest));
stored_table!(RecordRow in command_record key (sequence: Sequence) columns (
    epoch, terminal_id, command_id, body_hash, day, response,
));
