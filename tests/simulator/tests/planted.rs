//! A rule that is left out is found within a few hundred seeds: what is clean means something.

use duplex_sim::{Plan, Planted, World};

#[test]
fn each_planted_bug_breaks_a_promise() {
    let missed: Vec<_> = Planted::ALL.into_iter().filter(|bug| !is_found(*bug)).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

fn is_found(bug: Planted) -> bool {
    let plan = |seed| Plan { seed, seconds: 60, terminals: 300, without_arbiter: false, planted: Some(bug), trace: false };
    (1..=300).any(|seed| World::play(plan(seed)).is_err())
}
