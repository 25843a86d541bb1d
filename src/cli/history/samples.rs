//! What tests that judge a history are given.

use super::{Answered, Stored, Told};
use crate::cli::client::StoredOn;
use crate::model::Status;

/// An acknowledged deposit: when it was sent and answered, and its epoch and sequence.
pub(crate) fn told(id: &str, (sent_us, at_us): (u64, u64), (epoch, sequence): (u64, u64), stored_on: StoredOn) -> Told {
    let answer = Answered {
        at_us,
        command_id: id.into(),
        status: Status::Ok,
        code: String::new(),
        stored_on: Some(stored_on),
        epoch: Some(epoch),
        sequence: Some(sequence),
        repeated: false,
        tries: 1,
    };
    Told { terminal_id: "S1".into(), command_id: id.into(), command: "deposit".into(), sent_us, answers: vec![answer] }
}

/// Its entry.
pub(crate) fn stored(id: &str, sequence: u64) -> Stored {
    Stored { epoch: 1, sequence, terminal_id: "S1".into(), command_id: id.into() }
}
