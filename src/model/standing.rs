//! What a server says about itself in every heartbeat and when a link opens.

use serde::{Deserialize, Serialize};

use super::{DataId, Epoch, Holder, Mode, Role, Sequence, ServerId};

/// Drawn at process start; tells one run of a server from the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootNonce(pub u64);

/// Counts the heartbeats of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BeatNo(pub u64);

/// What a server's disk and mode are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// What its disk says: who may acknowledge, in which epoch.
    pub epoch: Epoch,
    pub holder: Holder,
    pub data_id: DataId,
    pub mode: Mode,
    pub role: Role,
    /// False while it knows that it cannot store or acknowledge (a hanging disk, a clean stop under way).
    pub can_acknowledge: bool,
}

/// What keeps a server from serving well, though it can acknowledge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Complaints {
    /// Its journal's disk is slow: each answer of the pair waits for it.
    pub journal: bool,
    /// Its store is away, locked or full.
    pub store: bool,
    /// Its cable or interface is down, or an address cannot be held: clients do not reach it.
    pub lan: bool,
    /// The arbiter does not answer it. Nothing is the worse for that; but it could not take over.
    pub arbiter: bool,
}

impl Complaints {
    /// Whether the other server should rather be Main.
    pub fn is_ill(self) -> bool {
        self.journal || self.store || self.lan
    }

    /// Whatever ails it, for people. The arbiter's silence is no illness.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let told = [
            (self.journal, "the journal's disk is slow"),
            (self.store, "the store is away, locked or full"),
            (self.lan, "its cable or interface is down, or an address cannot be held"),
        ];
        told.into_iter().filter(|(ails, _)| *ails).map(|(_, words)| words)
    }
}

/// One heartbeat, before it is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub from: ServerId,
    pub boot: BootNonce,
    pub number: BeatNo,
    /// The newest heartbeat heard from the peer. `None` before the first one.
    pub echo: Option<(BootNonce, BeatNo)>,
    /// Whether the echo extends the lease of whoever is echoed. Stopped before this server asks for the other's place.
    pub grants_lease: bool,
    pub standing: Standing,
    /// Up to here this server's journal is durable.
    pub stored: Sequence,
    pub complaints: Complaints,
    /// The hardware address behind which it holds service addresses: no foreign one, if it is seen to claim them.
    pub service_mac: Option<[u8; 6]>,
}
