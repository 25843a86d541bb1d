//! What went wrong between the two servers and behind the journal, by code: how often, and when first and last. For people: nothing is
//! decided by it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::locked;
use crate::model::UnixMs;

/// Codes of this server's own, besides those of its links.
pub mod codes {
    /// The store could not be written: away, locked or full.
    pub const STORE_FAILS: &str = "store_fails";
    /// The store refuses an entry.
    pub const STORE_REFUSES: &str = "store_refuses";
    /// The peer is heard, and its stream did not open in time.
    pub const COMPARE_LATE: &str = "compare_late";

    pub const ALL: [&str; 3] = [STORE_FAILS, STORE_REFUSES, COMPARE_LATE];

    /// Ends of a link that are none: a farewell, and a server that takes no stream in its mode.
    pub const NO_FAILURES: [&str; 2] = ["closed", "not_now"];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: &'static str,
    pub times: u64,
    pub first: UnixMs,
    pub last: UnixMs,
}

/// Since the start of this server. Codes are few, so this is small.
#[derive(Debug, Default)]
pub struct Failures {
    seen: Mutex<BTreeMap<&'static str, Failure>>,
}

impl Failures {
    pub fn note(&self, code: &'static str, now: UnixMs) {
        if codes::NO_FAILURES.contains(&code) {
            return;
        }
        let mut seen = locked(&self.seen);
        let failure = seen.entry(code).or_insert(Failure { code, times: 0, first: now, last: now });
        failure.times += 1;
        failure.last = now;
    }

    /// By code, in alphabetical order.
    pub fn list(&self) -> Vec<Failure> {
        locked(&self.seen).values().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_counted_with_its_first_and_last_time() {
        let failures = Failures::default();
        for (code, at) in [("late", 5), ("gap", 7), ("late", 9), ("closed", 11)] {
            failures.note(code, UnixMs(at));
        }
        let failure = |code, times, first, last| Failure { code, times, first: UnixMs(first), last: UnixMs(last) };
        assert_eq!(failures.list(), [failure("gap", 1, 7, 7), failure("late", 2, 5, 9)]);
    }
}
