//! Bugs to plant in the world around the machines. What is clean means little unless these are found.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// What was written counts as stored before it is synced.
    StoredBeforeSync,
    /// Sub says that it has stored what it has only received.
    AcknowledgedBeforeSync,
    /// What the machine decided is announced before its note is durable.
    AnnouncedBeforeNoted,
    /// The arbiter writes without comparing.
    ArbiterOverwrites,
    /// Whoever asks for Solo acts as if the answer had come.
    SoloBeforeGrant,
    /// A restarted server knows no command ids.
    IdsForgotten,
    /// A new run of the stream goes on with what was queued in the one before.
    QueuedOutlivesARun,
    /// A read is answered at once, by a server that believes to be Main.
    ReadPastTheGate,
    /// The applier takes what is stored for confirmed.
    AppliesUnconfirmed,
    /// The store's position is written apart from its rows, and they may be lost.
    PositionApartFromRows,
    /// A server that waits goes on extending the peer's leases.
    LeasesGoOn,
    /// A repeated id is answered before the entry that it rests on is confirmed.
    RepeatBeforeConfirmed,
}

impl Planted {
    pub const ALL: [Self; 12] = [
        Self::StoredBeforeSync,
        Self::AcknowledgedBeforeSync,
        Self::AnnouncedBeforeNoted,
        Self::ArbiterOverwrites,
        Self::SoloBeforeGrant,
        Self::IdsForgotten,
        Self::QueuedOutlivesARun,
        Self::ReadPastTheGate,
        Self::AppliesUnconfirmed,
        Self::PositionApartFromRows,
        Self::LeasesGoOn,
        Self::RepeatBeforeConfirmed,
    ];
}
