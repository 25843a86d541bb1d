//! What each server keeps durably about itself, beside its journal and never in the store.

use serde::{Deserialize, Serialize};

use super::{DataId, Epoch, Holder, Position, Register, ServerId};

/// How the last run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stopped {
    /// Everything executed was flushed and applied before the stop.
    pub clean: bool,
    pub position: Position,
}

/// Content of the coordination file. Fields are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Coordination {
    pub server: ServerId,
    /// Names this disk's history; the journal carries the same.
    pub data_id: DataId,
    /// Who may acknowledge, in which epoch, as far as this server has acted on it. The epoch never goes back.
    pub held: (Epoch, Holder),
    /// Highest epoch that this server ever asked for or held. Never goes back.
    pub spent: Epoch,
    /// What this server will enter if it becomes the register's value; entitles to nothing until then.
    pub intent: Option<Register>,
    /// In the epoch held, this journal contains everything that was acknowledged `both`.
    pub in_sync: bool,
    /// The arbiter's value when it was last heard.
    pub register_seen: Option<Register>,
    /// Where this journal was known to end when this was last written; a journal that ends before it has lost something.
    pub last_position: Position,
    /// Written at a stop, removed at the next start. `None` after a crash.
    pub stop_note: Option<Stopped>,
}

impl Coordination {
    /// Of a server of a new pair, from the first register that `duplex init` writes.
    pub fn first(server: ServerId, register: &Register) -> Self {
        Self {
            server,
            data_id: register.data_ids[server.index()],
            held: (register.epoch, register.holder),
            spent: register.epoch,
            intent: None,
            in_sync: true,
            register_seen: Some(*register),
            last_position: Position::GENESIS,
            stop_note: None,
        }
    }
}
