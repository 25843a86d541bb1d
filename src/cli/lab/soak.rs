//! A soak: fault upon fault, composed by chance from a seed, in rounds on a fresh pair each, and one account of all of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::chance::{Dice, Draw, FAULTS, Stages};
use super::judge::Outcome;
use super::scenario::Scenario;
use super::step::{Act, Step};

/// Terminals of a round, and what they send together: a busy hall's evening.
const TERMINALS: u16 = 32;
const PER_SECOND: f64 = 400.0;

/// Names that are no faults of a soak.
pub(super) fn unknown(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).filter(|name| FAULTS.iter().all(|fault| fault.name != *name)).collect()
}

pub(super) fn known() -> String {
    FAULTS.map(|fault| fault.name).join(", ")
}

/// One round: faults for about so many seconds, each healed before the next one. Now and then the next one does not wait.
///
/// `only` names the faults; all, if none is named. Half of the rounds have a second cable.
pub(super) fn compose(name: String, seed: u64, seconds: f64, only: &[String]) -> Scenario {
    let mut dice = Dice::of(seed);
    let direct = dice.below(2) == 1;
    let faults = playable(direct, only);
    // Named faults may need the other stage.
    let (direct, faults) = if faults.is_empty() { (!direct, playable(!direct, only)) } else { (direct, faults) };
    let (mut steps, mut planned, mut is_whole) = (Vec::new(), 0.0, true);
    let wait = || Step::new(Act::WaitForPair, None);
    while planned < seconds {
        let fault = faults[dice.below(faults.len())];
        let mut made = (fault.make)(&mut dice);
        // Who may serve is known only where the two were a pair before.
        if !is_whole && made.iter().any(|step| step.act == Act::NobodyServes) {
            steps.push(wait());
        }
        made[0].wait_s = dice.seconds(0.5, 2.5);
        made[0].fault = Some(fault.name.to_owned());
        // A pair is one again a second after the last thing was put right.
        planned += made.iter().map(|step| step.wait_s).sum::<f64>() + 1.0;
        steps.append(&mut made);
        is_whole = dice.below(5) > 0;
        if is_whole {
            steps.push(wait());
        }
    }
    let title = format!("{} faults composed from seed {seed}", steps.iter().filter(|step| step.fault.is_some()).count());
    Scenario { direct, terminals: TERMINALS, per_second: PER_SECOND, ..Scenario::new(name, title, steps) }
}

fn playable(direct: bool, only: &[String]) -> Vec<&'static Draw> {
    let other = if direct { Stages::OneCable } else { Stages::TwoCables };
    let wanted = |fault: &&Draw| only.is_empty() || only.iter().any(|name| name == fault.name);
    FAULTS.iter().filter(|fault| fault.stages != other).filter(wanted).collect()
}

/// The account of a soak; its JSON has exactly these keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Account {
    pub(super) seed: u64,
    pub(super) minutes: f64,
    pub(super) acknowledged: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) double_acknowledgers: u64,
    pub(super) faults: BTreeMap<String, u64>,
    pub(super) gap_ms: BTreeMap<String, Gaps>,
    pub(super) promises: BTreeMap<String, bool>,
    #[serde(skip)]
    gaps: BTreeMap<String, Vec<f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Gaps {
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Account {
    pub(super) fn of(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.acknowledged += outcome.acknowledged;
        self.lost += outcome.lost;
        self.doubled += outcome.doubled;
        self.double_acknowledgers += outcome.double_acknowledgers;
        for gap in &outcome.gaps {
            *self.faults.entry(gap.fault.clone()).or_default() += 1;
            // What two faults did together tells nothing of either.
            if gap.alone {
                self.gaps.entry(gap.fault.clone()).or_default().push(gap.ms);
            }
        }
        for (fault, gaps) in &mut self.gaps {
            gaps.sort_by(f64::total_cmp);
            let (median, max) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
            self.gap_ms.insert(fault.clone(), Gaps { median, max });
        }
        for (promise, held) in &outcome.promises {
            let so_far = self.promises.entry(promise.clone()).or_insert(true);
            *so_far &= held;
        }
    }

    /// How many faults of this kind had the stage to themselves: its gaps are theirs.
    pub(super) fn measured(&self, fault: &str) -> usize {
        self.gaps.get(fault).map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::lab::judge::Gap;

    #[test]
    fn a_seed_composes_the_same_round_again_and_its_file_says_the_same() {
        let round = compose("round-1".into(), 7, 120.0, &[]);
        assert_eq!(round, compose("round-1".into(), 7, 120.0, &[]));
        assert_ne!(round.steps, compose("round-1".into(), 8, 120.0, &[]).steps);
        let text = toml::to_string(&round).expect("a scenario can be written");
        assert_eq!(Scenario::read("round-1.toml", &text).expect("and read"), round);
    }

    fn drawn(seeds: std::ops::Range<u64>, only: &[String]) -> BTreeMap<String, u64> {
        let rounds = seeds.map(|seed| compose("long".into(), seed, 1_800.0, only));
        let mut drawn = BTreeMap::new();
        for fault in rounds.flat_map(|round| round.steps).filter_map(|step| step.fault) {
            *drawn.entry(fault).or_default() += 1;
        }
        drawn
    }

    #[test]
    fn every_fault_is_drawn_in_two_hours() {
        assert_eq!(drawn(1..5, &[]).len(), FAULTS.len());
    }

    #[test]
    fn what_is_named_is_drawn_and_nothing_else_also_where_it_needs_another_stage() {
        let only = ["lan dead".to_owned(), "cable flaps".to_owned()];
        assert_eq!(drawn(1..5, &only).into_keys().collect::<Vec<_>>(), ["cable flaps", "lan dead"]);
        assert_eq!(drawn(1..5, &only[..1]).into_keys().collect::<Vec<_>>(), ["lan dead"]);
        assert_eq!(unknown(&["lan dead".into(), "sunshine".into()]), ["sunshine"]);
    }

    /// Whoever was alone before may serve again.
    #[test]
    fn nobody_is_said_to_be_stale_before_the_two_were_a_pair() {
        let round = compose("long".into(), 3, 1_800.0, &["stale server first".into()]);
        let begins = round.steps.iter().enumerate().skip(1).filter(|(_, step)| step.fault.is_some());
        assert!(begins.clone().count() > 100 && begins.into_iter().all(|(at, _)| round.steps[at - 1].act == Act::WaitForPair));
    }

    #[test]
    fn an_account_adds_up_and_a_promise_once_broken_stays_so() {
        let outcome = |ms, held| Outcome {
            acknowledged: 10,
            gaps: vec![
                Gap { fault: "main killed".into(), ms, alone: true },
                Gap { fault: "main killed".into(), ms: 9_000.0, alone: false },
            ],
            promises: [("P2".to_owned(), held)].into(),
            ..Outcome::default()
        };
        let mut account = Account::of(3);
        for (ms, held) in [(30.0, true), (50.0, false), (40.0, true)] {
            account.add(&outcome(ms, held));
        }
        assert_eq!((account.acknowledged, account.faults["main killed"], account.promises["P2"]), (30, 6, false));
        assert_eq!(account.measured("main killed"), 3, "the others overlapped something");
        assert_eq!(account.gap_ms["main killed"], Gaps { median: 40.0, max: 50.0 });
        let json = serde_json::to_value(&account).expect("it is data");
        let mut keys: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        assert_eq!(keys.join(" "), "acknowledged double_acknowledgers doubled faults gap_ms lost minutes promises seed");
    }
}
