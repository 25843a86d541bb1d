//! Frames of the peer link. The holder (Main, or the Solo server) opens the stream; the peer answers on the same connection.
//!
//! Postcard is not self-describing: variants and fields are only ever appended, and the version is agreed upon in the greeting.

use serde::{Deserialize, Serialize};

use crate::model::{BootNonce, DataId, Epoch, Holder, Position, Register, Sequence, ServerId, StreamNo};

/// Oldest and newest version of the link that this program speaks.
pub const VERSIONS: (u16, u16) = (1, 1);

/// Why a connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkKind {
    /// Held from process start to exit; says nothing more. Its end, with a refused reconnect, means that the peer is dead.
    Life,
    /// Entries and what belongs to them.
    Stream,
}

/// First frame of whoever connects, right after the TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    pub versions: (u16, u16),
    pub server: ServerId,
    pub boot: BootNonce,
    pub data_id: DataId,
    pub kind: LinkKind,
}

/// Answer to a greeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reception {
    Welcome { version: u16, boot: BootNonce, data_id: DataId },
    Refused(LinkRefusal),
}

/// Why a link, a stream or a frame was refused. The code is what logs, counters and `duplex status` show.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LinkRefusal {
    VersionUnknown {
        ours: (u16, u16),
        theirs: (u16, u16),
    },
    NotThePeer,
    FrameDamaged,
    FrameTooLong {
        len: u64,
    },
    EpochOld {
        ours: Epoch,
        theirs: Epoch,
    },
    StreamOld {
        ours: StreamNo,
        theirs: StreamNo,
    },
    Gap {
        expected: Sequence,
        got: Sequence,
    },
    DigestDiffers {
        at: Sequence,
    },
    /// This server's mode does not take that stream now; the opener tries again.
    NotNow,
    /// The history differs where it cannot be cut: a person or a later rung must help.
    CannotCut {
        applied: Position,
    },
    Stopping,
}

/// One journal record as the link carries it; the receiver computes the digest itself and compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRecord {
    pub epoch: Epoch,
    pub sequence: Sequence,
    #[serde(with = "serde_bytes_vec")]
    pub payload: Vec<u8>,
}

/// From the holder to its peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToPeer {
    /// Begin a stream: who I am by my disk, and where my journal ends.
    Open { stream: StreamNo, epoch: Epoch, holder: Holder, end: Position },
    /// Pair only: send me what you have beyond my end (you may have synced first).
    Fetch { stream: StreamNo, after: Position },
    /// I shall send from here on. If you have more than this, it is an unconfirmed tail: keep it readable, cut it.
    Begin { stream: StreamNo, after: Position },
    /// Entries right after what was sent before, ending at `after`; none at all to carry `confirmed` or to have `frame` acknowledged.
    Entries { stream: StreamNo, frame: u64, confirmed: Sequence, after: Position, records: Vec<WireRecord> },
    /// Note durably that you will be in sync under this register if it becomes the arbiter's.
    Intend { stream: StreamNo, register: Register },
    /// The arbiter's register is this now.
    Enter { stream: StreamNo, register: Register },
}

/// From the peer to the holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHolder {
    /// My journal ends here; `stream` is taken.
    Opened {
        stream: StreamNo,
        end: Position,
    },
    /// What was fetched; `last` once there is no more.
    Fetched {
        stream: StreamNo,
        records: Vec<WireRecord>,
        last: bool,
    },
    /// I do not hold the position of your `Begin`; at or before its sequence my history has this one.
    Differs {
        stream: StreamNo,
        mine: Position,
    },
    /// Tail saved and cut (if there was one): my journal ends exactly at your `Begin`.
    Begun {
        stream: StreamNo,
        tail_saved: u64,
    },
    /// Stored up to here; every frame up to `frame` has arrived. Counts only if the digest is the holder's own.
    Stored {
        stream: StreamNo,
        frame: u64,
        stored: Position,
        applied: Sequence,
    },
    /// Noted durably.
    Intended {
        stream: StreamNo,
        register: Register,
    },
    Refused {
        stream: StreamNo,
        why: LinkRefusal,
    },
}

/// Payload bytes as one block instead of a sequence of numbers: a tenth of the time to encode.
mod serde_bytes_vec {
    use serde::{Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}
