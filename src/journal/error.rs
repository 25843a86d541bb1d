//! What can go wrong with the files of a server's own data, in words for the person who must act.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::model::{DataId, Position, Sequence};

/// A record, or a segment's header, that was stored once and cannot be read now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The first record that is lost.
    pub sequence: Sequence,
    pub file: PathBuf,
    /// Byte offset in `file`.
    pub offset: u64,
    pub reason: String,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, file, offset, reason } = self;
        write!(f, "record {} in {} at byte {offset} is corrupt: {reason}", sequence.0, file.display())
    }
}

#[derive(Debug)]
pub enum JournalError {
    /// `doing` is a phrase such as "write".
    Io {
        doing: &'static str,
        file: PathBuf,
        source: io::Error,
    },
    /// An earlier write or sync failed; what the disk holds is unknown, so nothing more is accepted in this run.
    Poisoned {
        reason: String,
    },
    Corrupt(Corruption),
    /// The file belongs to another history.
    Foreign {
        file: PathBuf,
        found: DataId,
        expected: DataId,
    },
    /// Written by a newer program, or not ours at all.
    FormatUnknown {
        file: PathBuf,
        found: String,
    },
    /// This position is not one of the journal's.
    NotHeld {
        asked: Position,
    },
    /// Records right after `asked` were released or never written; the journal holds those after `start`.
    Released {
        asked: Sequence,
        start: Sequence,
    },
    /// Both slots of the coordination file are damaged.
    NoSlot {
        file: PathBuf,
    },
    /// A limit in the settings contradicts another.
    Limits {
        reason: String,
    },
}

impl JournalError {
    /// Another process has the lock; one that was killed a moment ago may have it still.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, file, source } => write!(f, "cannot {doing} {}: {source}", file.display()),
            Self::Poisoned { reason } => write!(f, "journal accepts nothing more in this run: {reason}"),
            Self::Corrupt(corruption) => corruption.fmt(f),
            Self::Foreign { file, found, expected } => {
                write!(f, "{} carries data id {}, expected {}", file.display(), hex(&found.0), hex(&expected.0))
            }
            Self::FormatUnknown { file, found } => write!(f, "{} has an unknown format: {found}", file.display()),
            Self::NotHeld { asked } => write!(f, "position {asked} is not in the journal"),
            Self::Released { asked, start } => {
                write!(f, "records after {} are not held: the journal begins after {}", asked.0, start.0)
            }
            Self::NoSlot { file } => write!(f, "both slots of {} are damaged", file.display()),
            Self::Limits { reason } => write!(f, "journal limits: {reason}"),
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}
