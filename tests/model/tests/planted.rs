//! A rule that is left out is found: what is clean means something.

use duplex_model::{ENDS_WELL, KEPT, Planted, Run};
use stateright::{Checker, HasDiscoveries, Model};

#[test]
fn each_planted_bug_breaks_a_promise() {
    let missed: Vec<_> = Planted::ALL.into_iter().filter(|bug| !is_found(*bug)).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

fn is_found(bug: Planted) -> bool {
    let checker = Run::planted(bug).pair.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    checker.discovery(KEPT).or(checker.discovery(ENDS_WELL)).is_some()
}
