//! From the evidence of one scenario to its outcome. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scenario::Scenario;
use crate::cli::counted;
use crate::cli::history::{self, Anomaly, Stored, Told, longest_gap_us};

/// Enough to look into; the kept directory has the rest.
const REMARKS_MAX: usize = 10;
/// Words with which a server tells that it begins to acknowledge, as in its log.
const BEGINS: [&str; 3] = ["a pair, as main", "took over, actor", "carrying on alone"];

/// Something that was done to the pair, and when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) name: String,
    pub(super) at_us: u64,
}

pub(super) struct Evidence {
    pub(super) faults: Vec<Fault>,
    /// When the terminals were sent home.
    pub(super) ended_us: u64,
    /// At the end, with everything repaired.
    pub(super) is_a_pair: bool,
    /// The audit's JSON, or why there is none.
    pub(super) audit: Result<Value, String>,
    /// What the servers logged.
    pub(super) words: [String; 2],
    pub(super) journals: [Vec<Stored>; 2],
}

/// What a scenario showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) scenario: String,
    pub(super) acknowledged: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) double_acknowledgers: u64,
    /// The longest wait of all terminals after each fault, milliseconds, in order.
    pub(super) gaps: Vec<Gap>,
    pub(super) promises: BTreeMap<String, bool>,
    /// What is behind a broken promise.
    pub(super) remarks: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) fault: String,
    pub(super) ms: f64,
}

impl Outcome {
    pub(super) fn broken(&self) -> Vec<&str> {
        self.promises.iter().filter(|(_, held)| !**held).map(|(name, _)| name.as_str()).collect()
    }
}

pub(super) fn judge(scenario: &Scenario, told: &[Told], evidence: &Evidence) -> Outcome {
    let anomalies = history::check(told);
    let found = evidence.journals.each_ref().map(|journal| history::compare(told, journal));
    let lost: usize = found.iter().map(|comparison| comparison.lost.len()).sum();
    let doubled: usize = found.iter().map(|comparison| comparison.doubled.len()).sum();
    let acknowledged = told.iter().filter(|told| told.is_acknowledged()).count();
    let twice = |anomaly: &&Anomaly| matches!(anomaly, Anomaly::OnePlaceTwice { .. });
    let shared_epochs = shared_epochs(&evidence.words);
    let double_acknowledgers = anomalies.iter().filter(twice).count() + shared_epochs.len();
    let none = |kind: fn(&Anomaly) -> bool| !anomalies.iter().any(kind);
    let role_changes = epochs_in(&evidence.words).len().saturating_sub(1) as u64;
    let roles = scenario.role_changes_max.map(|most| ("roles", role_changes <= most));
    let promises = [
        ("P1", double_acknowledgers == 0),
        ("P2", lost == 0 && acknowledged > 0 && none(|anomaly| matches!(anomaly, Anomaly::WentBack { .. }))),
        ("P3", doubled == 0 && none(|anomaly| matches!(anomaly, Anomaly::TwoAnswers { .. }))),
        ("P4", none(|anomaly| matches!(anomaly, Anomaly::OldEpoch { .. }))),
        ("P5", evidence.is_a_pair),
        ("P7", evidence.audit.as_ref().is_ok_and(|audit| audit["digests_equal"] == true)),
    ];
    let epochs = shared_epochs.iter().map(|epoch| format!("both servers say that they acknowledged in epoch {epoch}"));
    let too_many = roles
        .filter(|(_, held)| !held)
        .map(|_| format!("who acknowledges has changed, {}", counted(role_changes, "time", "times")));
    let no_pair = (!evidence.is_a_pair).then(|| "the two did not become a pair again in time".to_owned());
    let remarks = anomalies.iter().map(ToString::to_string).chain(epochs).chain(evidence.audit.as_ref().err().cloned());
    Outcome {
        scenario: scenario.name.clone(),
        acknowledged: acknowledged as u64,
        lost: lost as u64,
        doubled: doubled as u64,
        double_acknowledgers: double_acknowledgers as u64,
        gaps: gaps(told, &evidence.faults, evidence.ended_us),
        promises: promises.into_iter().chain(roles).map(|(name, held)| (name.to_owned(), held)).collect(),
        remarks: remarks.chain(no_pair).chain(too_many).take(REMARKS_MAX).collect(),
    }
}

/// A fault lasts until the next one, or to the end.
fn gaps(told: &[Told], faults: &[Fault], ended_us: u64) -> Vec<Gap> {
    let ends = faults.iter().skip(1).map(|next| next.at_us).chain([ended_us]);
    let gap = |(fault, end_us): (&Fault, u64)| Gap {
        fault: fault.name.clone(),
        ms: longest_gap_us(told, fault.at_us, end_us) as f64 / 1e3,
    };
    faults.iter().zip(ends).map(gap).collect()
}

/// Epochs in which both servers say that they acknowledged.
fn shared_epochs(words: &[String; 2]) -> Vec<u64> {
    let [one, other] = words.each_ref().map(|words| epochs_of(words));
    one.into_iter().filter(|epoch| other.contains(epoch)).collect()
}

/// All epochs in which anybody acknowledged.
fn epochs_in(words: &[String; 2]) -> BTreeSet<u64> {
    words.iter().flat_map(|words| epochs_of(words)).collect()
}

fn epochs_of(words: &str) -> Vec<u64> {
    let begins = words.lines().filter(|line| BEGINS.iter().any(|turn| line.contains(turn)));
    let epoch = |line: &str| line.split("epoch: ").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    let mut epochs: Vec<u64> = begins.filter_map(epoch).collect();
    epochs.dedup();
    epochs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::StoredOn;
    use crate::cli::history::samples::{self, stored};
    use crate::cli::lab::scenario::built_in;

    fn told(id: &str, sent_us: u64, at_us: u64, sequence: u64) -> Told {
        samples::told(id, (sent_us, at_us), (1, sequence), StoredOn::Both)
    }

    fn evidence(journals: [Vec<Stored>; 2]) -> Evidence {
        Evidence {
            faults: vec![Fault { name: "first".into(), at_us: 1_000 }, Fault { name: "second".into(), at_us: 50_000 }],
            ended_us: 90_000,
            is_a_pair: true,
            audit: Ok(serde_json::json!({"digests_equal": true})),
            words: [
                "a pair, as main, actor: failover-coordinator, epoch: 1".into(),
                "took over, actor: x, epoch: 2, peer: a".into(),
            ],
            journals,
        }
    }

    fn good() -> (Vec<Told>, [Vec<Stored>; 2]) {
        let journal = vec![stored("a", 1), stored("b", 2), stored("c", 3)];
        (vec![told("a", 500, 900, 1), told("b", 20_000, 31_000, 2), told("c", 60_000, 85_000, 3)], [journal.clone(), journal])
    }

    #[test]
    fn a_good_run_breaks_nothing_and_each_fault_has_its_gap() {
        let (told, journals) = good();
        let outcome = judge(&built_in()[0], &told, &evidence(journals));
        assert_eq!((outcome.broken(), outcome.acknowledged), (vec![], 3));
        let gaps: Vec<(&str, f64)> = outcome.gaps.iter().map(|gap| (gap.fault.as_str(), gap.ms)).collect();
        assert_eq!(gaps, [("first", 54.0), ("second", 54.0)], "a wait that spans two faults counts for both");
    }

    #[test]
    fn what_is_missing_on_one_server_or_was_done_twice_breaks_its_promise() {
        let (told, [mut one, other]) = good();
        let lost = one.pop();
        let outcome = judge(&built_in()[0], &told, &evidence([one.clone(), other.clone()]));
        assert_eq!((outcome.broken(), outcome.lost), (vec!["P2"], 1));
        one.extend(lost);
        one.push(stored("a", 4));
        let outcome = judge(&built_in()[0], &told, &evidence([one, other]));
        assert!(outcome.broken().contains(&"P3") && outcome.doubled == 1, "{outcome:?}");
    }

    #[test]
    fn more_role_changes_than_a_scenario_allows_are_told() {
        let (told, journals) = good();
        let scenario = |most| Scenario { role_changes_max: Some(most), ..built_in()[0].clone() };
        assert_eq!(judge(&scenario(1), &told, &evidence(journals.clone())).broken(), Vec::<&str>::new());
        let outcome = judge(&scenario(0), &told, &evidence(journals));
        assert_eq!((outcome.broken(), outcome.remarks.len()), (vec!["roles"], 1), "{outcome:?}");
    }

    #[test]
    fn two_servers_that_acknowledged_in_one_epoch_break_p1() {
        let (told, journals) = good();
        let mut evidence = evidence(journals);
        evidence.words[1] = "carrying on alone, actor: x, epoch: 1, peer: a".into();
        let outcome = judge(&built_in()[0], &told, &evidence);
        assert_eq!((outcome.broken(), outcome.double_acknowledgers), (vec!["P1"], 1));
    }
}
