//! A soak: fault upon fault, composed by chance from a seed, in rounds on a fresh pair each, and one account of all of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::judge::Outcome;
use super::scenario::{Act, Scenario, Step, Whom};

/// Terminals of a round, and what they send together: a busy hall's evening.
const TERMINALS: u16 = 32;
const PER_SECOND: f64 = 400.0;

/// The steps of one fault, with its moments drawn.
type Make = fn(&mut Dice) -> Vec<Step>;

/// What may happen. Each is drawn as often as any other.
const FAULTS: [(&str, Make); 15] = [
    ("main killed", |dice| vec![now(Act::Kill, Whom::Main), after(dice.seconds(0.3, 3.0), Act::Start, Whom::Same)]),
    ("sub killed", |dice| vec![now(Act::Kill, Whom::Sub), after(dice.seconds(0.3, 3.0), Act::Start, Whom::Same)]),
    ("witness killed", |dice| vec![now(Act::Kill, Whom::Witness), after(dice.seconds(0.5, 4.0), Act::Start, Whom::Same)]),
    ("both killed", |dice| {
        let [first, second] = dice.order();
        vec![
            now(Act::Kill, Whom::Both),
            after(dice.seconds(0.0, 1.0), Act::Start, first),
            after(dice.seconds(0.0, 2.0), Act::Start, second),
        ]
    }),
    ("power cut", |dice| {
        let [first, second] = dice.order();
        let back = [Whom::Witness, first, second].map(|whom| after(dice.seconds(0.0, 1.0), Act::Start, whom));
        [vec![now(Act::Kill, Whom::All)], back.to_vec()].concat()
    }),
    ("main frozen", |dice| vec![now(Act::Freeze, Whom::Main), after(dice.seconds(0.2, 4.0), Act::Thaw, Whom::Same)]),
    ("sub frozen", |dice| vec![now(Act::Freeze, Whom::Sub), after(dice.seconds(0.2, 4.0), Act::Thaw, Whom::Same)]),
    ("witness frozen", |dice| vec![now(Act::Freeze, Whom::Witness), after(dice.seconds(0.5, 4.0), Act::Thaw, Whom::Same)]),
    ("main isolated", |dice| vec![now(Act::Pull, Whom::Main), after(dice.seconds(0.2, 4.0), Act::Plug, Whom::Same)]),
    ("sub isolated", |dice| vec![now(Act::Pull, Whom::Sub), after(dice.seconds(0.2, 4.0), Act::Plug, Whom::Same)]),
    ("cable flaps", |dice| {
        let flap = |dice: &mut Dice| {
            [after(dice.seconds(0.3, 0.9), Act::Plug, Whom::Same), after(dice.seconds(0.2, 0.9), Act::Pull, Whom::Same)]
        };
        let flaps = (0..3).flat_map(|_| flap(dice)).collect();
        [vec![now(Act::Pull, Whom::Main)], flaps, vec![after(0.5, Act::Plug, Whom::Same)]].concat()
    }),
    ("main stopped", |dice| vec![now(Act::Stop, Whom::Main), after(dice.seconds(0.2, 2.0), Act::Start, Whom::Same)]),
    ("switchover", |_| vec![switch_over()]),
    ("killed while switching", |dice| {
        let victim = if dice.below(2) == 0 { Whom::HallA } else { Whom::HallB };
        vec![
            switch_over(),
            after(dice.seconds(0.0, 0.1), Act::Kill, victim),
            after(dice.seconds(0.3, 2.0), Act::Start, Whom::Same),
        ]
    }),
    ("survivor killed", |dice| {
        vec![
            now(Act::Kill, Whom::Sub),
            after(dice.seconds(0.5, 2.0), Act::Start, Whom::Same),
            after(dice.seconds(0.0, 0.6), Act::Kill, Whom::Main),
            after(dice.seconds(0.3, 2.0), Act::Start, Whom::Same),
        ]
    }),
];

fn now(act: Act, whom: Whom) -> Step {
    after(0.0, act, whom)
}

fn after(wait_s: f64, act: Act, whom: Whom) -> Step {
    Step { wait_s, act, whom: Some(whom), fault: None }
}

fn switch_over() -> Step {
    Step { wait_s: 0.0, act: Act::SwitchOver, whom: None, fault: None }
}

/// Numbers that one seed draws (splitmix64). A seed tells the faults and their moments, not what comes of them.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.draw() % limit as u64) as usize
    }

    /// To the millisecond, so that a scenario's file says the same.
    fn seconds(&mut self, from: f64, to: f64) -> f64 {
        let ms = from * 1e3 + (self.draw() % 10_000) as f64 / 1e4 * (to - from) * 1e3;
        ms.round() / 1e3
    }

    fn order(&mut self) -> [Whom; 2] {
        if self.below(2) == 0 { [Whom::HallA, Whom::HallB] } else { [Whom::HallB, Whom::HallA] }
    }
}

/// One round: faults for about so many seconds, each healed before the next one. Now and then the next one does not wait.
pub(super) fn compose(name: String, seed: u64, seconds: f64) -> Scenario {
    let (mut dice, mut steps, mut planned) = (Dice::of(seed), Vec::new(), 0.0);
    while planned < seconds {
        let (fault, make) = FAULTS[dice.below(FAULTS.len())];
        let mut made = make(&mut dice);
        made[0].wait_s = dice.seconds(0.5, 2.5);
        made[0].fault = Some(fault.to_owned());
        // A pair is one again a second after the last thing was put right.
        planned += made.iter().map(|step| step.wait_s).sum::<f64>() + 1.0;
        steps.append(&mut made);
        if dice.below(5) > 0 {
            steps.push(Step { wait_s: 0.0, act: Act::WaitForPair, whom: None, fault: None });
        }
    }
    let title = format!("{} faults composed from seed {seed}", steps.iter().filter(|step| step.fault.is_some()).count());
    Scenario { name, title, terminals: TERMINALS, per_second: PER_SECOND, role_changes_max: None, steps }
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
            self.gaps.entry(gap.fault.clone()).or_default().push(gap.ms);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::lab::judge::Gap;

    #[test]
    fn a_seed_composes_the_same_round_again_and_its_file_says_the_same() {
        let round = compose("round-1".into(), 7, 120.0);
        assert_eq!(round, compose("round-1".into(), 7, 120.0));
        assert_ne!(round.steps, compose("round-1".into(), 8, 120.0).steps);
        let text = toml::to_string(&round).expect("a scenario can be written");
        assert_eq!(Scenario::read("round-1.toml", &text).expect("and read"), round);
    }

    #[test]
    fn every_fault_is_drawn_in_an_hour() {
        let round = compose("long".into(), 1, 3_600.0);
        let drawn: std::collections::BTreeSet<_> = round.steps.iter().filter_map(|step| step.fault.as_deref()).collect();
        assert_eq!(drawn.len(), FAULTS.len());
    }

    #[test]
    fn an_account_adds_up_and_a_promise_once_broken_stays_so() {
        let outcome = |ms, held| Outcome {
            acknowledged: 10,
            gaps: vec![Gap { fault: "main killed".into(), ms }],
            promises: [("P2".to_owned(), held)].into(),
            ..Outcome::default()
        };
        let mut account = Account::of(3);
        for (ms, held) in [(30.0, true), (50.0, false), (40.0, true)] {
            account.add(&outcome(ms, held));
        }
        assert_eq!((account.acknowledged, account.faults["main killed"], account.promises["P2"]), (30, 3, false));
        assert_eq!(account.gap_ms["main killed"], Gaps { median: 40.0, max: 50.0 });
        let json = serde_json::to_value(&account).expect("it is data");
        let mut keys: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        assert_eq!(keys.join(" "), "acknowledged double_acknowledgers doubled faults gap_ms lost minutes promises seed");
    }
}
