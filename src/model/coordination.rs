//! What a server must remember through any crash to know what it may do. Kept in its own file, never in the store.

use serde::{Deserialize, Serialize};

use super::{DataId, Epoch, Holder, Position, Register, ServerId};

/// The durable state of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Coordination {
    pub server: ServerId,
    pub data_id: DataId,
    /// Who may acknowledge, by the last register value that this server acted on.
    pub held: (Epoch, Holder),
    /// Highest epoch ever asked for; a request for it may still land.
    pub spent: Epoch,
    /// The Pair register this server will be in sync under, if it becomes the arbiter's. Entitles to nothing before.
    pub intent: Option<Register>,
    /// False while the journal is being rewritten by the holder: whoever is not in sync never asks.
    pub in_sync: bool,
    /// How the last run ended: `Some` after a clean stop, with the position then.
    pub stopped_at: Option<Position>,
    /// What held until a person said that the other server is off, and this one took the epoch that it holds now. `None` as soon as the
    /// arbiter's register says the same.
    pub word: Option<(Epoch, Holder)>,
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
            stopped_at: None,
            word: None,
        }
    }
}
