//! The words that every part shares: who, when in the history, and how an entry looks. No I/O, no clock; std and serde only.

use std::fmt;

use serde::{Deserialize, Serialize};

pub mod application;
pub mod coordination;
pub mod entry;
pub mod register;
pub mod standing;

pub use application::{Application, Bad, Draft, Request, Response, Row, Rows, Status, Unavailable, Verdict};
pub use coordination::Coordination;
pub use entry::{CommandId, CommandRecord, Entry, Fingerprint, Image, Sealed, SharedEntry, TerminalId};
pub use register::{DataId, Holder, Register};
pub use standing::{BeatNo, BootNonce, Complaints, Heartbeat, Standing};

/// One of the two boxes. Which of them is Main is a role, not an identity; `A` is the one that `duplex init` names first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerId {
    A,
    B,
}

impl ServerId {
    pub fn peer(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 for A, 1 for B: the place of this server in every two-element array.
    pub fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// Raised at each change of who may acknowledge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Place of an entry in the journal, dense from 1 (0 is the empty journal).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl Sequence {
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Chain digest: BLAKE3 over the previous digest, epoch, sequence and payload. Computed in `journal`, passed about as a value.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}..")
    }
}

/// A point of the history. Two journals with equal positions hold the same entries up to there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    pub epoch: Epoch,
    pub sequence: Sequence,
    pub digest: Digest,
}

impl Position {
    /// Before the first entry.
    pub const GENESIS: Self = Self { epoch: Epoch(0), sequence: Sequence(0), digest: Digest([0; 32]) };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.epoch.0, self.sequence.0, self.digest)
    }
}

/// Milliseconds of the suspend-aware clock (CLOCK_BOOTTIME) of this box. Never compared with another box's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Milliseconds from `earlier` to `self`; 0 if `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    pub fn plus(self, ms: u64) -> Self {
        Self(self.0 + ms)
    }
}

/// Wall clock, milliseconds UTC since 1970: for people and reports only. No decision rests on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

/// Number of a run of Main's stream of entries; drawn anew by every start of DataUpdater, JournalWriter or ReplicationSender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamNo(pub u64);

/// What a server does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Main,
    Sub,
    /// Neither yet: starting, waiting, or stale.
    None,
}

/// How the pair runs, seen from one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Starting,
    Pair,
    Solo,
    Rejoining,
    Suspended,
}
