//! A world that obeys in any order and fails at random.

use super::*;
use Strategy::{OneForAll, OneForOne, RestForOne};

/// In an ordered group nobody is up behind a sibling that is down, and the tree comes to a decided end.
#[test]
fn whatever_happens_nobody_runs_behind_a_sibling_that_is_down() {
    for seed in 1..400u64 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut pick = move |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % below as u64).expect("below a usize")
        };
        let mut bench = Bench::new(&[OneForOne, RestForOne, OneForAll], "root( x( a b c? ) y( d e! f ) )");
        for _ in 0..300 {
            bench.now += pick(60) as u64;
            let id = pick(6);
            let Actor { phase, life, .. } = bench.machine.actors[id];
            let event = match (phase, pick(8)) {
                (Phase::Starting | Phase::Running | Phase::Holding, 0) => {
                    Event::Exited { actor: id, life, end: End::Panicked("random".into()) }
                }
                (Phase::Running, 1) => Event::Exited { actor: id, life, end: End::ByItself },
                (Phase::Starting, _) => Event::Started { actor: id, life },
                (Phase::Holding, _) => Event::Held { actor: id, life },
                (Phase::Leaving, _) => Event::Left { actor: id, last_words: None },
                (Phase::Waiting | Phase::Running | Phase::Held | Phase::Gone, _) => Event::Tick,
            };
            bench.step(event);
            assert_order(&bench.machine, seed);
        }
        settles(&mut bench, seed);
    }
}

fn assert_order(machine: &Machine, seed: u64) {
    for range in [0..3, 3..6] {
        let group = &machine.actors[range];
        for (index, actor) in group.iter().enumerate() {
            let newborn = actor.phase == Phase::Starting;
            let early =
                group[index + 1..].iter().any(|later| matches!(later.phase, Phase::Starting | Phase::Running | Phase::Holding));
            assert!(!(newborn && early), "seed {seed}: {machine:?}");
        }
    }
}

/// Without further failures everything is up, or the tree has given up.
fn settles(bench: &mut Bench, seed: u64) {
    for _ in 0..100 {
        bench.now += 25;
        for id in 0..6 {
            let Actor { phase, life, .. } = bench.machine.actors[id];
            bench.step(match phase {
                Phase::Starting => Event::Started { actor: id, life },
                Phase::Holding => Event::Held { actor: id, life },
                Phase::Leaving => Event::Left { actor: id, last_words: None },
                Phase::Waiting | Phase::Running | Phase::Held | Phase::Gone => Event::Tick,
            });
        }
    }
    let report = bench.machine.report();
    let settled = bench.machine.actors.iter().all(Actor::is_up);
    assert!(settled || bench.machine.mode == Mode::Escalated, "seed {seed}: {report:?}");
}
