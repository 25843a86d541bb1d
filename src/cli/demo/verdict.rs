//! From the evidence to the report. Pure but for reading the history.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::report::{NOBODY, Rejoin, Report, Takeover};
use super::story::Moments;
use crate::cli::client::StoredOn;
use crate::cli::history::{self, Anomaly, Stored, Told, longest_gap_us};
use crate::cli::{Failure, load};

/// Enough to look into; the history has the rest.
const REMARKS_MAX: usize = 10;

/// Everything that the story left behind.
pub(super) struct Evidence {
    pub(super) engine: &'static str,
    pub(super) network: &'static str,
    pub(super) load: load::Report,
    pub(super) moments: Moments,
    pub(super) served_by: &'static str,
    /// The audit's JSON, or why there is none.
    pub(super) audit: Result<Value, String>,
    /// Both servers' journals.
    pub(super) journals: [Vec<Stored>; 2],
    pub(super) directory: PathBuf,
}

/// Judges the evidence against the terminals' history.
///
/// # Errors
/// The history cannot be read.
pub(super) fn reach(evidence: &Evidence, history: &Path) -> Result<Report, Failure> {
    let bad = |reason: String| Failure::failed(format!("{}: {reason}", history.display()));
    let file = File::open(history).map_err(|e| bad(e.to_string()))?;
    Ok(judge(evidence, &history::read(BufReader::new(file)).map_err(bad)?))
}

fn judge(evidence: &Evidence, told: &[Told]) -> Report {
    let Evidence { load, moments, .. } = evidence;
    let anomalies = history::check(told);
    let found = evidence.journals.each_ref().map(|journal| history::compare(told, journal));
    let lost: usize = found.iter().map(|comparison| comparison.lost.len()).sum();
    let doubled: usize = found.iter().map(|comparison| comparison.doubled.len()).sum();
    let digests_equal = evidence.audit.as_ref().is_ok_and(|audit| audit["digests_equal"] == true);
    let untrue = untrue_answers(told, *moments);
    let none = |kind: fn(&Anomaly) -> bool| !anomalies.iter().any(kind);
    let promises = BTreeMap::from([
        ("P1", none(|anomaly| matches!(anomaly, Anomaly::OnePlaceTwice { .. }))),
        ("P2", lost == 0 && none(|anomaly| matches!(anomaly, Anomaly::WentBack { .. })) && load.acknowledged > 0),
        ("P3", doubled == 0 && none(|anomaly| matches!(anomaly, Anomaly::TwoAnswers { .. }))),
        ("P4", none(|anomaly| matches!(anomaly, Anomaly::OldEpoch { .. }))),
        ("P7", digests_equal),
        ("P8", untrue.is_empty()),
    ]);
    let audit_failed = evidence.audit.as_ref().err().cloned();
    let remarks = anomalies.iter().map(ToString::to_string).chain(untrue).chain(audit_failed);
    let ms = |us: u64| us as f64 / 1e3;
    // The terminals may have gone home before the pair was whole: their silence after that is no gap.
    let last_us = told.iter().flat_map(|told| &told.answers).map(|answer| answer.at_us).max().unwrap_or(0);
    let rejoin_end_us = moments.paired_us.min(last_us.max(moments.restarted_us));
    Report {
        engine: evidence.engine,
        network: evidence.network,
        acknowledged: load.acknowledged,
        refused: load.refused,
        retried: load.retried,
        lost: lost as u64,
        doubled: doubled as u64,
        digests_equal,
        takeover: Takeover {
            fault: "main killed (SIGKILL)",
            gap_ms: ms(longest_gap_us(told, moments.killed_us, moments.restarted_us)),
            served_by: if somebody_served(told, *moments) { evidence.served_by } else { NOBODY },
        },
        rejoin: Rejoin {
            seconds: moments.paired_us.saturating_sub(moments.restarted_us) as f64 / 1e6,
            longest_gap_ms: ms(longest_gap_us(told, moments.restarted_us, rejoin_end_us)),
        },
        latency_ms: load.latency_ms.into(),
        promises,
        remarks: remarks.take(REMARKS_MAX).collect(),
        directory: evidence.directory.clone(),
    }
}

/// Whether any command sent after the death was acknowledged before the return.
fn somebody_served(told: &[Told], moments: Moments) -> bool {
    let served = |told: &&Told| told.is_acknowledged() && told.sent_us > moments.dead_us;
    told.iter().filter(served).flat_map(|told| &told.answers).any(|answer| answer.at_us < moments.restarted_us)
}

/// Answers that cannot be true: `both` while one server was dead, `one` while the pair was whole.
fn untrue_answers(told: &[Told], moments: Moments) -> Vec<String> {
    let mut untrue = Vec::new();
    for told in told.iter().filter(|told| told.is_acknowledged()) {
        for answer in &told.answers {
            let whole = answer.at_us < moments.killed_us;
            // Executed by the survivor alone: sent after the death, answered before the return.
            let alone = told.sent_us > moments.dead_us && answer.at_us < moments.restarted_us;
            let expected = match (whole, alone) {
                (true, _) => StoredOn::Both,
                (_, true) => StoredOn::One,
                _ => continue,
            };
            if answer.stored_on != Some(expected) {
                untrue.push(format!("{} said stored_on {:?}, was {expected:?}", told.command_id, answer.stored_on));
            }
        }
    }
    untrue
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::history::samples::{self, stored};

    fn told(id: &str, sent_us: u64, at_us: u64, sequence: u64, stored_on: StoredOn) -> Told {
        samples::told(id, (sent_us, at_us), (if at_us < 100 { 1 } else { 2 }, sequence), stored_on)
    }

    fn judged(told: &[Told], journals: [Vec<Stored>; 2]) -> Report {
        let evidence = Evidence {
            engine: "sqlite",
            network: "loopback",
            load: load::Report { acknowledged: told.len() as u64, ..load::Report::default() },
            moments: Moments { killed_us: 100, dead_us: 150, restarted_us: 500_100, paired_us: 600_100 },
            served_by: "hall-b",
            audit: Ok(serde_json::json!({ "digests_equal": true })),
            journals,
            directory: PathBuf::from("/demo"),
        };
        judge(&evidence, told)
    }

    fn good() -> [Told; 2] {
        [told("a", 10, 50, 1, StoredOn::Both), told("b", 200, 300_050, 2, StoredOn::One)]
    }

    #[test]
    fn a_good_run_breaks_no_promise_and_shows_its_gap() {
        let journal = vec![stored("a", 1), stored("b", 2)];
        let report = judged(&good(), [journal.clone(), journal]);
        assert_eq!(report.broken(), Vec::<&str>::new(), "{report}");
        assert_eq!((report.takeover.gap_ms, report.rejoin.seconds), (300.0, 0.1));
    }

    #[test]
    fn a_command_missing_on_one_server_breaks_p2() {
        let report = judged(&good(), [vec![stored("a", 1), stored("b", 2)], vec![stored("a", 1)]]);
        assert_eq!((report.broken(), report.lost), (vec!["P2"], 1));
    }

    #[test]
    fn an_answer_that_claims_both_disks_while_one_server_was_dead_breaks_p8() {
        let (journal, [a, _]) = (vec![stored("a", 1), stored("b", 2)], good());
        let report = judged(&[a, told("b", 200, 300_050, 2, StoredOn::Both)], [journal.clone(), journal]);
        assert_eq!(report.broken(), ["P8"]);
    }

    #[test]
    fn a_run_in_which_nobody_took_over_is_broken_whatever_else_held() {
        let (journal, [a, _]) = (vec![stored("a", 1)], good());
        let report = judged(&[a], [journal.clone(), journal]);
        assert_eq!(report.broken(), ["takeover"]);
        assert_eq!(report.takeover.gap_ms, 500.05);
    }

    #[test]
    fn the_json_has_exactly_the_promised_keys() {
        let json = serde_json::to_value(judged(&good(), [vec![], vec![]])).unwrap();
        let mut keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        let promised =
            "acknowledged digests_equal doubled engine latency_ms lost network promises refused rejoin retried takeover";
        assert_eq!(keys.join(" "), promised);
    }
}
