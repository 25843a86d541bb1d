//! From the evidence of one scenario to its outcome. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::epochs::Epochs;
use super::evidence::{Evidence, Fault};
use super::scenario::Scenario;
use super::{honest, tails};
use crate::cli::counted;
use crate::cli::history::{self, Anomaly, Told, longest_gap_us};

/// Enough to look into; the kept directory has the rest.
const REMARKS_MAX: usize = 10;

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
    /// Entries that were cut off a journal and are kept in lost-and-found: nobody was told of them.
    pub(super) kept: u64,
    pub(super) promises: BTreeMap<String, bool>,
    /// What is behind a broken promise.
    pub(super) remarks: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) fault: String,
    pub(super) ms: f64,
    /// Nothing else was broken meanwhile.
    pub(super) alone: bool,
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
    let epochs = Epochs::of(&evidence.words);
    let shared_epochs = epochs.shared();
    let double_acknowledgers = anomalies.iter().filter(twice).count() + shared_epochs.len();
    let none = |kind: fn(&Anomaly) -> bool| !anomalies.iter().any(kind);
    let (closed, thrown) = (served_while_closed(told, evidence), tails::thrown_away(evidence));
    let untrue = honest::untrue(told, &evidence.snapshots, &epochs);
    let expected = beyond_what_was_expected(scenario, &epochs);
    let promises = [
        ("P1", double_acknowledgers == 0),
        ("P2", lost == 0 && acknowledged > 0 && none(|anomaly| matches!(anomaly, Anomaly::WentBack { .. }))),
        ("P3", doubled == 0 && none(|anomaly| matches!(anomaly, Anomaly::TwoAnswers { .. }))),
        ("P4", none(|anomaly| matches!(anomaly, Anomaly::OldEpoch { .. }))),
        ("P5", evidence.whole_us.is_some() && closed.is_empty()),
        ("P6", thrown.is_empty()),
        ("P7", evidence.audit.as_ref().is_ok_and(|audit| audit["digests_equal"] == true)),
        ("P8", untrue.is_empty()),
    ];
    let shared = shared_epochs.iter().map(|epoch| format!("both servers say that they acknowledged in epoch {epoch}"));
    let no_pair = evidence.whole_us.is_none().then(|| "the two did not become a pair again in time".to_owned());
    let remarks = anomalies.iter().map(ToString::to_string).chain(shared).chain(evidence.audit.as_ref().err().cloned());
    let remarks = remarks.chain(no_pair).chain(closed).chain(thrown).chain(untrue);
    let too_many = expected.iter().filter_map(|(_, reason)| reason.clone());
    let met = expected.iter().map(|(name, reason)| (*name, reason.is_none()));
    Outcome {
        scenario: scenario.name.clone(),
        acknowledged: acknowledged as u64,
        lost: lost as u64,
        doubled: doubled as u64,
        double_acknowledgers: double_acknowledgers as u64,
        gaps: gaps(told, evidence),
        kept: evidence.found.iter().flatten().filter(|line| line.is_ok()).count() as u64,
        promises: promises.into_iter().chain(met).map(|(name, held)| (name.to_owned(), held)).collect(),
        remarks: remarks.chain(too_many).take(REMARKS_MAX).collect(),
    }
}

/// What this scenario asks besides the promises: a name, and what is wrong, if anything is.
fn beyond_what_was_expected(scenario: &Scenario, epochs: &Epochs) -> Vec<(&'static str, Option<String>)> {
    let over = |most: u64, times: u64, what: &str| (times > most).then(|| format!("{what}, {}", counted(times, "time", "times")));
    let roles = scenario.role_changes_max.map(|most| ("roles", over(most, epochs.role_changes(), "the roles have changed")));
    let pair = scenario.solos_max.map(|most| ("pair", over(most, epochs.solos(), "a server went on without the other one")));
    roles.into_iter().chain(pair).collect()
}

/// Answers to what was sent while nobody may serve, and servers that said that they serve.
fn served_while_closed(told: &[Told], evidence: &Evidence) -> Vec<String> {
    let during = |told: &Told, from: u64, to: u64| {
        told.sent_us >= from && told.is_acknowledged() && told.answers.iter().any(|answer| answer.at_us < to)
    };
    let is_served = |told: &&Told| evidence.closed.iter().any(|(from, to)| during(told, *from, *to));
    let served = told.iter().filter(is_served).map(|told| format!("{} was acknowledged while nobody may serve", told.command_id));
    served.chain(evidence.claims.iter().cloned()).collect()
}

/// A fault lasts until the next one, or to the end. Its gap is its own, if between it and its neighbours the two were a pair and
/// terminals were answered: they come back to a pair a little later than it is one. Then it ends with the first of those answers, and
/// nothing of the next one's is taken for it.
fn gaps(told: &[Told], evidence: &Evidence) -> Vec<Gap> {
    let Evidence { faults, ended_us, whole_us, .. } = evidence;
    let bounds = faults.iter().map(|fault| (fault.whole_us, fault.at_us)).chain([(*whole_us, *ended_us)]);
    let answered = |whole_us: Option<u64>, at_us| first_answer_us(told, whole_us?, at_us);
    let bounds: Vec<(u64, Option<u64>)> = bounds.map(|(whole_us, at_us)| (at_us, answered(whole_us, at_us))).collect();
    let gap = |(fault, bounds): (&Fault, &[(u64, Option<u64>)])| Gap {
        fault: fault.name.clone(),
        ms: longest_gap_us(told, bounds[0].0, bounds[1].1.map_or(bounds[1].0, |answered_us| answered_us.saturating_sub(1)))
            as f64
            / 1e3,
        alone: bounds.iter().all(|(_, answered_us)| answered_us.is_some()),
    };
    faults.iter().zip(bounds.windows(2)).map(gap).collect()
}

fn first_answer_us(told: &[Told], from_us: u64, to_us: u64) -> Option<u64> {
    let answers = told.iter().filter(|told| told.is_acknowledged()).flat_map(|told| &told.answers);
    answers.map(|answer| answer.at_us).filter(|at_us| (from_us..to_us).contains(at_us)).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::StoredOn;
    use crate::cli::history::Stored;
    use crate::cli::history::samples::{self, stored};
    use crate::cli::lab::catalogue::built_in;
    use crate::cli::lab::evidence::Snapshot;

    fn told(id: &str, sent_us: u64, at_us: u64, sequence: u64) -> Told {
        samples::told(id, (sent_us, at_us), (1, sequence), StoredOn::Both)
    }

    fn evidence(journals: [Vec<Stored>; 2]) -> Evidence {
        Evidence {
            faults: [("first", 1_000), ("second", 50_000)]
                .map(|(name, at_us)| Fault { name: name.into(), at_us, whole_us: Some(at_us - 600) })
                .into(),
            ended_us: 90_000,
            whole_us: Some(80_000),
            audit: Ok(serde_json::json!({"digests_equal": true})),
            words: [
                "a pair, as main, actor: failover-coordinator, epoch: 1".into(),
                "took over, actor: x, epoch: 2, peer: a".into(),
            ],
            journals,
            snapshots: vec![],
            found: [vec![], vec![]],
            closed: vec![],
            claims: vec![],
        }
    }

    fn snapshot(server: usize, at_us: u64, places: &[(u64, u64)]) -> Snapshot {
        Snapshot { server, at_us, from: places.first().map_or(0, |place| place.1), places: places.iter().copied().collect() }
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
        assert!(outcome.gaps.iter().all(|gap| !gap.alone), "and is neither's own: nobody was answered between them");
    }

    #[test]
    fn a_gap_is_a_faults_own_if_terminals_were_answered_by_a_pair_before_it_and_before_the_next_one() {
        let (mut told, journals) = good();
        told.push(samples::told("d", (49_000, 49_700), (1, 4), StoredOn::Both));
        let alone = |evidence: &Evidence| gaps(&told, evidence).iter().map(|gap| gap.alone).collect::<Vec<_>>();
        let mut evidence = evidence(journals);
        assert_eq!(alone(&evidence), [true, true]);
        assert_eq!(gaps(&told, &evidence)[0].ms, 30.1, "and not the 35.3 of the next one, though it began before that");
        evidence.faults[1].whole_us = None;
        assert_eq!(alone(&evidence), [false, false]);
        evidence.faults[1].whole_us = Some(49_400);
        evidence.whole_us = None;
        assert_eq!(alone(&evidence), [true, false]);
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
    fn more_changes_than_a_scenario_allows_are_told() {
        let (told, journals) = good();
        let scenario = |most| Scenario { role_changes_max: Some(most), solos_max: Some(most), ..built_in()[0].clone() };
        assert_eq!(judge(&scenario(1), &told, &evidence(journals.clone())).broken(), Vec::<&str>::new());
        let outcome = judge(&scenario(0), &told, &evidence(journals));
        assert_eq!((outcome.broken(), outcome.remarks.len()), (vec!["pair", "roles"], 2), "{outcome:?}");
    }

    #[test]
    fn two_servers_that_acknowledged_in_one_epoch_break_p1() {
        let (told, journals) = good();
        let mut evidence = evidence(journals);
        evidence.words[1] = "carrying on alone, actor: x, epoch: 1, peer: a".into();
        let outcome = judge(&built_in()[0], &told, &evidence);
        assert_eq!((outcome.broken(), outcome.double_acknowledgers), (vec!["P1"], 1));
    }

    #[test]
    fn who_serves_where_nobody_may_breaks_p5() {
        let (told, journals) = good();
        let closed = |from_us, to_us| Evidence { closed: vec![(from_us, to_us)], ..evidence(journals.clone()) };
        assert_eq!(judge(&built_in()[0], &told, &closed(901, 20_000)).broken(), Vec::<&str>::new());
        let outcome = judge(&built_in()[0], &told, &closed(19_000, 32_000));
        assert_eq!(
            (outcome.broken(), outcome.remarks.clone()),
            (vec!["P5"], vec!["b was acknowledged while nobody may serve".to_owned()])
        );
        let claim = Evidence { claims: vec!["hall-b says that it is solo".into()], ..evidence(journals.clone()) };
        assert_eq!(judge(&built_in()[0], &told, &claim).broken(), ["P5"]);
    }

    #[test]
    fn an_entry_that_a_journal_held_and_that_is_nowhere_breaks_p6() {
        let (told, journals) = good();
        let cut = |found| Evidence {
            snapshots: vec![snapshot(1, 2_000, &[(1, 1), (1, 8)])],
            found: [vec![], found],
            ..evidence(journals.clone())
        };
        let judged = |found| judge(&built_in()[0], &told, &cut(found));
        assert_eq!(judged(vec![Ok(stored("x", 8))]).broken(), Vec::<&str>::new(), "it was kept");
        let outcome = judged(vec![]);
        assert_eq!(outcome.broken(), ["P6"]);
        assert!(outcome.remarks[0].ends_with("neither there nor in its lost-and-found, as 1/8"), "{outcome:?}");
        assert_eq!(judged(vec![Err("no JSON".into()), Ok(stored("x", 8))]).broken(), ["P6"], "it cannot be read");
        assert_eq!(judged(vec![Ok(stored("x", 8)), Ok(stored("c", 3))]).broken(), ["P6"], "it was cut, and is there");
    }

    #[test]
    fn both_for_what_one_journal_did_not_have_breaks_p8() {
        let (told, journals) = good();
        let judged =
            |snapshot| judge(&built_in()[0], &told, &Evidence { snapshots: vec![snapshot], ..evidence(journals.clone()) });
        assert_eq!(judged(snapshot(1, 40_000, &[(1, 1), (1, 2)])).broken(), Vec::<&str>::new());
        assert_eq!(judged(snapshot(1, 31_000, &[(1, 1)])).broken(), Vec::<&str>::new(), "it was answered later");
        let outcome = judged(snapshot(1, 40_000, &[(1, 1)]));
        assert_eq!(
            (outcome.broken(), outcome.remarks.clone()),
            (vec!["P8"], vec!["b said `both`, and server 2 did not have it".to_owned()])
        );
    }

    #[test]
    fn one_while_the_two_were_a_pair_breaks_p8() {
        let (mut told, journals) = good();
        told[0].answers[0].stored_on = Some(StoredOn::One);
        let outcome = judge(&built_in()[0], &told, &evidence(journals.clone()));
        assert_eq!(
            (outcome.broken(), outcome.remarks.clone()),
            (vec!["P8"], vec!["a said `one`, and the two were a pair".to_owned()])
        );
        told[1].answers[0].epoch = Some(2);
        told[2].answers[0].epoch = Some(2);
        assert_eq!(
            judge(&built_in()[0], &told, &evidence(journals.clone())).broken(),
            Vec::<&str>::new(),
            "the pair ended with it"
        );
        let nobody_alone = Evidence { words: ["a pair, as main, epoch: 1".into(), String::new()], ..evidence(journals) };
        assert_eq!(judge(&built_in()[0], &told, &nobody_alone).broken(), ["P8"], "nobody was ever alone");
    }
}
