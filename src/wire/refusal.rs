//! What a refusal is called in logs, counters and `duplex status`, and everything that can end a link.

use std::{fmt, io};

use super::frames::LinkRefusal;
use super::trust::{Disbelieved, Stranger, named};

impl LinkRefusal {
    /// Every [`Self::code`], in the order of the variants.
    pub const CODES: [&str; 11] = [
        "version_unknown",
        "not_the_peer",
        "frame_damaged",
        "frame_too_long",
        "epoch_old",
        "stream_old",
        "gap",
        "digest_differs",
        "not_now",
        "cannot_cut",
        "stopping",
    ];

    /// Short, stable name for counters and status.
    pub fn code(&self) -> &'static str {
        match self {
            Self::VersionUnknown { .. } => "version_unknown",
            Self::NotThePeer => "not_the_peer",
            Self::FrameDamaged => "frame_damaged",
            Self::FrameTooLong { .. } => "frame_too_long",
            Self::EpochOld { .. } => "epoch_old",
            Self::StreamOld { .. } => "stream_old",
            Self::Gap { .. } => "gap",
            Self::DigestDiffers { .. } => "digest_differs",
            Self::NotNow => "not_now",
            Self::CannotCut { .. } => "cannot_cut",
            Self::Stopping => "stopping",
        }
    }
}

impl fmt::Display for LinkRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VersionUnknown { ours, theirs } => {
                write!(f, "link versions {}-{} here, {}-{} there: none in common", ours.0, ours.1, theirs.0, theirs.1)
            }
            Self::NotThePeer => f.write_str("not the other server of this pair"),
            Self::FrameDamaged => f.write_str("frame cut or damaged"),
            Self::FrameTooLong { len } => write!(f, "frame of {len} bytes is too long"),
            Self::EpochOld { ours, theirs } => write!(f, "epoch {} is older than epoch {}", theirs.0, ours.0),
            Self::StreamOld { ours, theirs } => write!(f, "stream {} is not the current stream {}", theirs.0, ours.0),
            Self::Gap { expected, got } => write!(f, "expected entry {}, got {}", expected.0, got.0),
            Self::DigestDiffers { at } => write!(f, "histories differ at entry {}", at.0),
            Self::NotNow => f.write_str("no stream is taken in this mode"),
            Self::CannotCut { applied } => write!(f, "cannot cut the journal below {applied}, which is applied"),
            Self::Stopping => f.write_str("stopping"),
        }
    }
}

impl std::error::Error for LinkRefusal {}

/// What ended a link, or kept it from being made.
#[derive(Debug)]
pub enum LinkError {
    /// The other side closed between two frames.
    Closed,
    /// This side refuses what came.
    Refused(LinkRefusal),
    /// The other side refused us.
    RefusedByPeer(LinkRefusal),
    /// Too many handshakes from one address at a time; the oldest gave way.
    Crowded,
    /// A deadline passed while this was awaited.
    Late(&'static str),
    /// Socket or TLS; a certificate that is not the peer's is inside as a [`Stranger`].
    Io(io::Error),
}

impl LinkError {
    /// Every [`Self::code`] that is not of a [`LinkRefusal`].
    pub const CODES: [&str; 6] = ["closed", "crowded", "late", "stranger", "tls", "io"];

    /// Every code that is ever counted: known before the first event, so that an alarm has something to compare with.
    pub fn codes() -> impl Iterator<Item = &'static str> {
        LinkRefusal::CODES.into_iter().chain(Self::CODES)
    }

    /// Short, stable name for counters and status.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Refused(why) | Self::RefusedByPeer(why) => why.code(),
            Self::Crowded => "crowded",
            Self::Late(_) => "late",
            Self::Io(error) => match error.get_ref() {
                Some(inner) if inner.is::<Stranger>() => "stranger",
                Some(inner) if inner.is::<rustls::Error>() || inner.is::<Disbelieved>() => "tls",
                _ => "io",
            },
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the other server"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::RefusedByPeer(why) => write!(f, "the other server refused: {why}"),
            Self::Crowded => f.write_str("too many unfinished handshakes at a time: the oldest gave way"),
            Self::Late(what) => write!(f, "{what} did not come in time"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LinkError {}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Io(named(error))
    }
}

impl From<LinkRefusal> for LinkError {
    fn from(why: LinkRefusal) -> Self {
        Self::Refused(why)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::{Epoch, Position, Sequence, StreamNo};

    #[test]
    fn every_code_is_listed_once() {
        let (epoch, stream, sequence) = (Epoch(1), StreamNo(1), Sequence(1));
        let refusals = [
            LinkRefusal::VersionUnknown { ours: (1, 1), theirs: (2, 2) },
            LinkRefusal::NotThePeer,
            LinkRefusal::FrameDamaged,
            LinkRefusal::FrameTooLong { len: 1 },
            LinkRefusal::EpochOld { ours: epoch, theirs: epoch },
            LinkRefusal::StreamOld { ours: stream, theirs: stream },
            LinkRefusal::Gap { expected: sequence, got: sequence },
            LinkRefusal::DigestDiffers { at: sequence },
            LinkRefusal::NotNow,
            LinkRefusal::CannotCut { applied: Position::GENESIS },
            LinkRefusal::Stopping,
        ];
        assert_eq!(refusals.map(|refusal| refusal.code()), LinkRefusal::CODES);
        let io = |inner: Box<dyn std::error::Error + Send + Sync>| LinkError::Io(io::Error::other(inner));
        let stranger = Stranger { claims: None, fingerprint: String::new(), why: String::new() };
        let errors = [
            LinkError::Closed,
            LinkError::Crowded,
            LinkError::Late("handshake"),
            io(Box::new(stranger)),
            io(Box::new(Disbelieved)),
            io("reset".into()),
        ];
        assert_eq!(errors.map(|error| error.code()), LinkError::CODES);
        assert_eq!(LinkError::codes().collect::<BTreeSet<_>>().len(), LinkError::codes().count());
    }
}
