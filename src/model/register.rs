//! What the arbiter keeps: who may acknowledge, in which epoch.

use serde::{Deserialize, Serialize};

use super::{Epoch, Position, ServerId};

/// Names one disk's history. A swapped or re-initialised disk has another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DataId(pub [u8; 16]);

/// Who may acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// `main` acknowledges what both have stored.
    Pair { main: ServerId },
    /// `server` acknowledges what it has stored itself.
    Solo { server: ServerId },
}

impl Holder {
    /// The server that may acknowledge.
    pub fn acknowledger(self) -> ServerId {
        match self {
            Self::Pair { main } => main,
            Self::Solo { server } => server,
        }
    }
}

/// The arbiter's whole value; changed only by compare-and-set on all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Register {
    pub epoch: Epoch,
    pub holder: Holder,
    /// Indexed by [`ServerId::index`].
    pub data_ids: [DataId; 2],
    /// Highest position known stored on both (Solo: on the holder); refreshed every few seconds, never lowered within an epoch.
    pub recorded: Position,
}

impl Register {
    /// The same holder in the same epoch: what was recorded may have moved in between.
    pub fn is_same_change(&self, other: &Self) -> bool {
        (self.epoch, self.holder) == (other.epoch, other.holder)
    }
}
