//! Every state within the bounds keeps the promises, and leads back to a pair once nothing goes wrong any more.

use duplex_model::{ENDS_WELL, KEPT, Run};
use stateright::{Checker, HasDiscoveries, Model};

#[test]
fn every_order_of_events_keeps_the_promises_and_ends_as_a_pair() {
    let mut wrong = Vec::new();
    for run in Run::tested() {
        let checker = run.pair.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        for property in [KEPT, ENDS_WELL] {
            if let Some(path) = checker.discovery(property) {
                let breach = path.last_state().breach;
                wrong.push(format!("{}: {property}: {breach:?}: {:?}", run.name, path.into_actions()));
            }
        }
        let states = checker.unique_state_count();
        if run.states != Some(states) {
            wrong.push(format!("{}: {states} states, expected {:?}", run.name, run.states));
        }
        let acknowledged = checker.discovery("a command is acknowledged");
        assert!(acknowledged.is_some(), "{}: nothing is ever acknowledged", run.name);
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
