//! A history against what the servers keep.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::Told;

/// One entry of a server's journal, as `duplex journal show --json` prints it (more keys are ignored).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub epoch: u64,
    pub sequence: u64,
    pub terminal_id: String,
    pub command_id: String,
}

/// What a comparison found; empty lists prove P2 and P3 for this history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Acknowledged, and in the journal not, or at another place than the answer said.
    pub lost: Vec<String>,
    /// Two entries for one command.
    pub doubled: Vec<String>,
}

/// Compares with one server's journal. Run it once for each server: both must hold everything.
pub fn compare<'a>(told: &[Told], journal: impl IntoIterator<Item = &'a Stored>) -> Comparison {
    let mut places: HashMap<(&str, &str), u64> = HashMap::new();
    let mut doubled = HashSet::new();
    for entry in journal {
        let identity = (entry.terminal_id.as_str(), entry.command_id.as_str());
        if places.insert(identity, entry.sequence).is_some() {
            doubled.insert(entry.command_id.clone());
        }
    }
    let is_kept = |told: &&Told| {
        let kept = places.get(&(told.terminal_id.as_str(), told.command_id.as_str()));
        kept.is_some_and(|sequence| told.place().is_none_or(|(_, answered)| answered == *sequence))
    };
    let acknowledged = told.iter().filter(|told| told.is_acknowledged());
    let lost = acknowledged.filter(|told| !is_kept(told)).map(|told| told.command_id.clone()).collect();
    let mut doubled: Vec<_> = doubled.into_iter().collect();
    doubled.sort_unstable();
    Comparison { lost, doubled }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::history::read;

    const HISTORY: &str = r#"{"event":"sent","at_us":1,"terminal_id":"S1","command_id":"a","command":"deposit"}
{"event":"sent","at_us":1,"terminal_id":"S2","command_id":"b","command":"deposit"}
{"event":"answered","at_us":5,"command_id":"a","status":"ok","code":"","stored_on":"both","epoch":1,"sequence":9,"repeated":false,"tries":1}
"#;

    fn entry(terminal_id: &str, command_id: &str, sequence: u64) -> Stored {
        Stored { epoch: 1, sequence, terminal_id: terminal_id.into(), command_id: command_id.into() }
    }

    fn compared(journal: &[Stored]) -> Comparison {
        compare(&read(HISTORY.as_bytes()).unwrap(), journal)
    }

    #[test]
    fn what_was_not_answered_may_be_kept_or_not() {
        assert_eq!(compared(&[entry("S1", "a", 9)]), Comparison::default());
        assert_eq!(compared(&[entry("S1", "a", 9), entry("S2", "b", 10)]), Comparison::default());
    }

    #[test]
    fn an_acknowledged_command_that_is_missing_or_elsewhere_is_lost() {
        assert_eq!(compared(&[]).lost, ["a"]);
        assert_eq!(compared(&[entry("S1", "a", 8)]).lost, ["a"]);
        assert_eq!(compared(&[entry("S9", "a", 9)]).lost, ["a"]);
    }

    #[test]
    fn two_entries_for_one_command_are_doubled_even_if_it_was_never_answered() {
        let journal = [entry("S1", "a", 9), entry("S2", "b", 10), entry("S2", "b", 11)];
        assert_eq!(compared(&journal).doubled, ["b"]);
    }
}
