//! What is left of a scenario for its judge.

use std::collections::HashSet;

use serde_json::Value;

use crate::cli::history::Stored;

/// Something that was done to the pair, and when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) name: String,
    pub(super) at_us: u64,
    /// Since when the two had been a pair, if nothing was broken when it came.
    pub(super) whole_us: Option<u64>,
}

/// What a server's journal held while the server was dead, or before it was let back among the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Snapshot {
    /// 0 or 1, as in the other lists.
    pub(super) server: usize,
    /// Whatever was acknowledged before this moment as stored on both was in that journal.
    pub(super) at_us: u64,
    /// What came before this sequence was not looked at.
    pub(super) from: u64,
    /// Epoch and sequence.
    pub(super) places: HashSet<(u64, u64)>,
}

pub(super) struct Evidence {
    pub(super) faults: Vec<Fault>,
    /// When the terminals were sent home.
    pub(super) ended_us: u64,
    /// Since when the two had been a pair then.
    pub(super) whole_us: Option<u64>,
    /// The audit's JSON, or why there is none.
    pub(super) audit: Result<Value, String>,
    /// What the servers logged.
    pub(super) words: [String; 2],
    pub(super) journals: [Vec<Stored>; 2],
    pub(super) snapshots: Vec<Snapshot>,
    /// What each server's lost-and-found says of what was cut off its journal: a line that can be read, or why it cannot.
    pub(super) found: [Vec<Result<Stored, String>>; 2],
    /// From when to when nobody may have been served.
    pub(super) closed: Vec<(u64, u64)>,
    /// Servers that said meanwhile that they serve.
    pub(super) claims: Vec<String>,
}
