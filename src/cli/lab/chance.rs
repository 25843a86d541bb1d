//! Faults that a soak draws by chance, and the numbers with which it does.

use super::step::{Act, Step, Whom};
use crate::cli::stage::{Path, What};

/// On which stages a fault is played: what a pulled cable means depends on whether there is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stages {
    Every,
    OneCable,
    TwoCables,
}

/// One that may happen.
pub(super) struct Draw {
    pub(super) name: &'static str,
    pub(super) stages: Stages,
    /// The steps, with their moments drawn.
    pub(super) make: fn(&mut Dice) -> Vec<Step>,
}

const fn draw(name: &'static str, stages: Stages, make: fn(&mut Dice) -> Vec<Step>) -> Draw {
    Draw { name, stages, make }
}

/// Each is drawn as often as any other of its stage.
pub(super) const FAULTS: [Draw; 31] = [
    draw("main killed", Stages::Every, |dice| there_and_back(dice, Act::Kill, Act::Start, Whom::Main, (0.3, 3.0))),
    draw("sub killed", Stages::Every, |dice| there_and_back(dice, Act::Kill, Act::Start, Whom::Sub, (0.3, 3.0))),
    draw("witness killed", Stages::Every, |dice| there_and_back(dice, Act::Kill, Act::Start, Whom::Witness, (0.5, 4.0))),
    draw("both killed", Stages::Every, |dice| all_and_back(dice, now(Act::Kill, Whom::Both), &[])),
    draw("both stopped", Stages::Every, |dice| all_and_back(dice, now(Act::Stop, Whom::Both), &[])),
    draw("power cut", Stages::Every, |dice| all_and_back(dice, now(Act::Kill, Whom::All), &[Whom::Witness])),
    draw("main frozen", Stages::Every, |dice| there_and_back(dice, Act::Freeze, Act::Thaw, Whom::Main, (0.2, 4.0))),
    draw("sub frozen", Stages::Every, |dice| there_and_back(dice, Act::Freeze, Act::Thaw, Whom::Sub, (0.2, 4.0))),
    draw("witness frozen", Stages::Every, |dice| there_and_back(dice, Act::Freeze, Act::Thaw, Whom::Witness, (0.5, 4.0))),
    draw("main isolated", Stages::OneCable, |dice| there_and_back(dice, Act::Pull, Act::Plug, Whom::Main, (0.2, 4.0))),
    draw("sub isolated", Stages::OneCable, |dice| there_and_back(dice, Act::Pull, Act::Plug, Whom::Sub, (0.2, 4.0))),
    draw("witness isolated", Stages::Every, |dice| there_and_back(dice, Act::Pull, Act::Plug, Whom::Witness, (0.5, 4.0))),
    draw("main off the lan", Stages::TwoCables, |dice| there_and_back(dice, Act::Pull, Act::Plug, Whom::Main, (0.5, 6.0))),
    draw("sub off the lan", Stages::TwoCables, |dice| there_and_back(dice, Act::Pull, Act::Plug, Whom::Sub, (0.5, 6.0))),
    draw("lan dead", Stages::TwoCables, |dice| there_and_back(dice, Act::Pull, Act::Plug, Whom::All, (0.5, 4.0))),
    draw("direct cable pulled", Stages::TwoCables, |dice| {
        let [pull, plug] = [Act::Pull, Act::Plug].map(|act| now(act, Whom::HallA).on(Path::Direct));
        vec![pull, plug.after(dice.seconds(0.2, 4.0))]
    }),
    draw("cable flaps", Stages::OneCable, |dice| {
        let flap = |dice: &mut Dice| {
            [after(dice.seconds(0.3, 0.9), Act::Plug, Whom::Same), after(dice.seconds(0.2, 0.9), Act::Pull, Whom::Same)]
        };
        let flaps = (0..3).flat_map(|_| flap(dice)).collect();
        [vec![now(Act::Pull, Whom::Main)], flaps, vec![after(0.5, Act::Plug, Whom::Same)]].concat()
    }),
    draw("packets lost on the lan", Stages::Every, |dice| {
        let some = Step::losing(What::Everything, dice.percent(), Whom::All).on(Path::Lan);
        mended(dice, vec![some], (2.0, 6.0))
    }),
    draw("packets lost between the two", Stages::TwoCables, |dice| {
        let some = Step::losing(What::Everything, dice.percent(), Whom::Both).on(Path::Direct);
        mended(dice, vec![some], (2.0, 6.0))
    }),
    draw("main unheard", Stages::Every, |dice| mended(dice, vec![Step::losing(What::ToPeer, 100, Whom::Main)], (0.5, 4.0))),
    draw("sub unheard", Stages::Every, |dice| mended(dice, vec![Step::losing(What::ToPeer, 100, Whom::Sub)], (0.5, 4.0))),
    draw("entries lost", Stages::Every, |dice| mended(dice, vec![Step::losing(What::Entries, 100, Whom::Both)], (0.5, 4.0))),
    draw("heartbeats lost", Stages::Every, |dice| {
        mended(dice, vec![Step::losing(What::Heartbeats, 100, Whom::Both)], (0.5, 4.0))
    }),
    draw("main cut off", Stages::Every, |dice| {
        let both_ways = [Step::losing(What::ToPeer, 100, Whom::Main), Step::losing(What::ToWitness, 100, Whom::Same)];
        mended(dice, both_ways.to_vec(), (0.5, 4.0))
    }),
    draw("store locked", Stages::Every, |dice| there_and_back(dice, Act::Lock, Act::Unlock, Whom::Main, (1.0, 8.0))),
    draw("processors busy", Stages::Every, |dice| {
        vec![Step::new(Act::Burden, None), Step::new(Act::Relieve, None).after(dice.seconds(1.0, 6.0))]
    }),
    draw("main stopped", Stages::Every, |dice| there_and_back(dice, Act::Stop, Act::Start, Whom::Main, (0.2, 2.0))),
    draw("switchover", Stages::Every, |_| vec![Step::new(Act::SwitchOver, None)]),
    draw("killed while switching", Stages::Every, |dice| {
        let victim = if dice.below(2) == 0 { Whom::HallA } else { Whom::HallB };
        vec![
            Step::new(Act::SwitchOver, None),
            after(dice.seconds(0.0, 0.1), Act::Kill, victim),
            after(dice.seconds(0.3, 2.0), Act::Start, Whom::Same),
        ]
    }),
    draw("survivor killed", Stages::Every, |dice| {
        vec![
            now(Act::Kill, Whom::Sub),
            after(dice.seconds(0.5, 2.0), Act::Start, Whom::Same),
            after(dice.seconds(0.0, 0.6), Act::Kill, Whom::Main),
            after(dice.seconds(0.3, 2.0), Act::Start, Whom::Same),
        ]
    }),
    // The survivor is alone after a second at most, and answers; so the other one must not.
    draw("stale server first", Stages::Every, |dice| {
        let [stale, survivor] = dice.order();
        vec![
            now(Act::Kill, stale),
            after(dice.seconds(2.0, 3.0), Act::Kill, survivor),
            after(dice.seconds(0.0, 0.5), Act::Start, stale),
            Step::new(Act::NobodyServes, None).after(dice.seconds(0.5, 2.0)),
            now(Act::Start, survivor),
        ]
    }),
];

fn now(act: Act, whom: Whom) -> Step {
    Step::new(act, Some(whom))
}

fn after(wait_s: f64, act: Act, whom: Whom) -> Step {
    now(act, whom).after(wait_s)
}

fn there_and_back(dice: &mut Dice, there: Act, back: Act, whom: Whom, (from, to): (f64, f64)) -> Vec<Step> {
    vec![now(there, whom), after(dice.seconds(from, to), back, Whom::Same)]
}

fn mended(dice: &mut Dice, losses: Vec<Step>, (from, to): (f64, f64)) -> Vec<Step> {
    [losses, vec![Step::new(Act::Mend, None).after(dice.seconds(from, to))]].concat()
}

/// Whoever comes back first, and then both servers in either order.
fn all_and_back(dice: &mut Dice, end: Step, first: &[Whom]) -> Vec<Step> {
    let order = dice.order();
    let back = first.iter().chain(&order).map(|whom| after(dice.seconds(0.0, 1.5), Act::Start, *whom)).collect();
    [vec![end], back].concat()
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

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.draw() % limit as u64) as usize
    }

    /// To the millisecond, so that a scenario's file says the same.
    pub(super) fn seconds(&mut self, from: f64, to: f64) -> f64 {
        let ms = from * 1e3 + (self.draw() % 10_000) as f64 / 1e4 * (to - from) * 1e3;
        ms.round() / 1e3
    }

    /// Of packets that are lost: a bad cable, up to one that is hardly a cable.
    fn percent(&mut self) -> u8 {
        [1, 5, 30][self.below(3)]
    }

    fn order(&mut self) -> [Whom; 2] {
        if self.below(2) == 0 { [Whom::HallA, Whom::HallB] } else { [Whom::HallB, Whom::HallA] }
    }
}
