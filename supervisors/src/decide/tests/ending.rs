//! Stopping, hanging, and losing a thread.

use super::*;
use Strategy::{OneForAll, OneForOne, RestForOne};

#[test]
fn a_child_whose_arbiter_has_stopped_escalates_at_once() {
    let mut bench = Bench::running(&[OneForOne, OneForOne], "root( x( a b ) )");
    let escalated = "hold b1, escalated x/a cannot be restarted: its arbiter has stopped";
    assert_eq!(bench.left("a"), escalated);
}

#[test]
fn a_stop_takes_the_children_in_reverse_order() {
    let mut bench = Bench::running(&[RestForOne], "root( a b c )");
    assert_eq!(bench.stop(1000), "stop c");
    assert_eq!(bench.tick(10), "");
    assert_eq!(bench.left("c"), "stop b");
    // Nothing is restarted any more.
    assert_eq!(bench.panics("a"), "");
    assert_eq!(bench.left("b"), "stop a");
    assert_eq!(bench.left("a"), "stopped []");
    assert!(bench.machine.is_stopped());
}

#[test]
fn at_the_deadline_of_a_stop_the_rest_is_left_behind_and_named() {
    let mut bench = Bench::running(&[OneForOne, OneForOne], "root( a x( b c ) )");
    bench.stop(1000);
    bench.left("c");
    // A later stop with more patience does not prolong the first.
    assert_eq!(bench.stop(5000), "");
    assert_eq!(bench.tick(999), "");
    assert_eq!(bench.tick(1), r#"leave a, leave b, stopped ["a", "x/b"]"#);
}

#[test]
fn an_escalated_tree_can_still_be_stopped_in_order() {
    let mut bench = Bench::running(&[OneForOne], "root( a b )");
    assert_eq!(bench.left("b"), "hold a1, escalated b cannot be restarted: its arbiter has stopped");
    assert_eq!(bench.held("a"), "");
    assert_eq!(bench.stop(1000), "stop a");
    assert_eq!(bench.left("a"), "stopped []");
}

#[test]
fn a_hang_is_shown_and_never_restarted() {
    let mut bench = Bench::running(&[OneForOne, OneForOne], "root( x( a ) b )");
    assert_eq!(bench.step(Event::Hung { actor: 0 }), "");
    assert_eq!((bench.state("x/a"), bench.machine.report().state), (State::Hung, State::Hung));
    assert_eq!(bench.tick(60_000), "");
    assert_eq!(bench.step(Event::Moves { actor: 0 }), "");
    assert_eq!(bench.machine.report().state, State::Running);
}

#[test]
fn a_tree_without_children_runs_until_it_is_stopped() {
    let mut bench = Bench::new(&[OneForOne, OneForAll], "root( x( ) )");
    assert_eq!(bench.tick(0), "");
    assert_eq!(bench.machine.report().state, State::Running);
    assert_eq!(bench.stop(0), "stopped []");
}
