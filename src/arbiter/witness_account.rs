//! What a witness says of a pair to a collector or a person: what it holds, and what it did since it started.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::model::UnixMs;

use super::witness_frames::WitnessStatus;
use super::witness_rules::Refusal;

/// Refused because the pair's file cannot be used.
pub(super) const FILE: &str = "file";
/// Refused before the rules: another version, in another's name, a first register that was not signed here.
pub(super) const NOT_HEARD: &str = "not_heard";

/// How often a pair was refused something, by reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Refused(pub BTreeMap<&'static str, u64>);

impl Default for Refused {
    /// Each is there from the start: a counter that appears with its first event hides that event from a rate.
    fn default() -> Self {
        Self(Refusal::CODES.into_iter().chain([FILE, NOT_HEARD]).map(|code| (code, 0)).collect())
    }
}

impl Refused {
    pub(super) fn count(&mut self, code: &'static str) {
        *self.0.entry(code).or_default() += 1;
    }
}

/// One pair at a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairAccount {
    pub status: WitnessStatus,
    /// When the register's holder came to hold it.
    pub since: Option<UnixMs>,
    /// When the pair's file was last replaced.
    pub written: Option<UnixMs>,
    pub refused: Refused,
}

/// Reads what a running witness holds and did. Waits for no disk and keeps no file open.
#[derive(Clone, Debug)]
pub struct Accounts(pub(super) Vec<Arc<Mutex<PairAccount>>>);

impl Accounts {
    /// In the order in which the pairs were given.
    pub fn read(&self) -> Vec<PairAccount> {
        self.0.iter().map(|account| account.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}
