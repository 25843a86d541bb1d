//! Who starts, is held and restarts, and in which order.

use super::*;
use Strategy::{OneForAll, OneForOne, RestForOne};

#[test]
fn children_start_in_order_each_after_the_one_before() {
    let mut bench = Bench::new(&[OneForOne, RestForOne], "root( a in( b c ) d )");
    assert_eq!(bench.tick(0), "run a1");
    assert_eq!(bench.tick(5), "");
    assert_eq!(bench.started("a"), "run b1");
    assert_eq!(bench.started("b"), "run c1");
    assert_eq!(bench.started("c"), "run d1");
    assert_eq!(bench.started("d"), "");
    assert_eq!(bench.machine.report().state, State::Running);
}

#[test]
fn each_strategy_takes_down_whom_it_names_the_last_first() {
    for (strategy, orders) in [(OneForOne, ""), (OneForAll, "hold c1, hold a1"), (RestForOne, "hold c1")] {
        let mut bench = Bench::running(&[strategy], "root( a b c )");
        assert_eq!(bench.panics("b"), orders, "{strategy:?}");
    }
}

#[test]
fn siblings_restart_in_start_order_each_after_the_one_before_and_after_the_backoff() {
    let mut bench = Bench::running(&[OneForAll], "root( a b c )");
    bench.panics("b");
    bench.held("a");
    bench.held("c");
    assert_eq!(bench.tick(9), "");
    assert_eq!(bench.tick(1), "run a2");
    assert_eq!((bench.state("b"), bench.state("c")), (State::Restarting, State::Held));
    assert_eq!(bench.started("a"), "run b2");
    assert_eq!(bench.started("b"), "run c2");
    assert_eq!(bench.started("c"), "");
}

#[test]
fn nobody_restarts_while_a_sibling_is_still_coming_to_rest() {
    let mut bench = Bench::running(&[RestForOne], "root( a b c )");
    bench.panics("a");
    bench.held("c");
    assert_eq!(bench.tick(500), "");
    assert_eq!(bench.held("b"), "run a2");
}

#[test]
fn a_blocked_group_does_not_delay_the_restart_of_another() {
    let mut bench = Bench::running(&[OneForOne, OneForAll, OneForAll], "root( x( a b ) y( c d ) )");
    assert_eq!(bench.panics("c"), "hold d1");
    assert_eq!(bench.panics("a"), "hold b1");
    assert_eq!(bench.held("b"), "");
    assert_eq!(bench.tick(10), "run a2");
    assert_eq!(bench.started("a"), "run b2");
}

#[test]
fn permanent_transient_and_temporary_mean_what_they_mean_in_otp() {
    let panicked = || End::Panicked("broken".to_owned());
    let table = [
        ("a", End::ByItself, "run a2", State::Restarting),
        ("a", panicked(), "run a2", State::Restarting),
        ("a?", End::ByItself, "", State::Stopped),
        ("a?", panicked(), "run a2", State::Restarting),
        ("a!", End::ByItself, "", State::Stopped),
        ("a!", panicked(), "", State::Failed),
    ];
    for (word, end, order, state) in table {
        let mut bench = Bench::running(&[OneForOne], &format!("root( {word} )"));
        let dismissed = bench.exits("a", end.clone()) == "leave a";
        assert_eq!(dismissed, order.is_empty(), "{word} {end:?}");
        assert_eq!(bench.tick(10), order, "{word} {end:?}");
        assert_eq!(bench.state("a"), state, "{word} {end:?}");
        assert!(bench.machine.report().state != State::Failed);
    }
}

#[test]
fn a_child_whose_end_is_final_does_not_count_as_a_restart() {
    let mut bench = Bench::running(&[OneForAll], "root( a b! c? )");
    assert_eq!(bench.panics("b"), "leave b");
    assert_eq!(bench.exits("c", End::ByItself), "leave c");
    assert_eq!(bench.machine.groups[0].recent.len(), 0);
}

#[test]
fn a_temporary_child_taken_down_with_its_siblings_does_not_return() {
    let mut bench = Bench::running(&[OneForAll], "root( a b! )");
    assert_eq!(bench.panics("a"), "leave b");
    assert_eq!(bench.tick(10), "");
    assert_eq!(bench.left("b"), "run a2");
    assert_eq!(bench.started("a"), "");
    assert_eq!(bench.state("b"), State::Stopped);
}

#[test]
fn a_failure_during_a_restart_counts_again_and_keeps_the_siblings_waiting() {
    let mut bench = Bench::running(&[RestForOne], "root( a b )");
    bench.panics("a");
    bench.held("b");
    assert_eq!(bench.tick(10), "run a2");
    assert_eq!(bench.panics("a"), "");
    assert_eq!(bench.tick(19), "");
    assert_eq!(bench.tick(1), "run a3");
    assert_eq!(bench.panics("a"), "");
    assert_eq!(bench.tick(25), "run a4");
    assert_eq!(bench.panics("a"), "escalated root: more than 3 restarts within 1s");
}

#[test]
fn two_siblings_that_fall_together_count_once() {
    let mut bench = Bench::running(&[OneForAll], "root( a b )");
    assert_eq!(bench.panics("a"), "hold b1");
    assert_eq!(bench.panics("b"), "");
    assert_eq!(bench.machine.groups[0].recent.len(), 1);
    assert_eq!(bench.tick(10), "run a2");
    assert_eq!(
        bench.machine.report().find("b").and_then(|b| b.last_exit.clone()).map(|exit| exit.text),
        Some("b panicked".to_owned())
    );
}

#[test]
fn late_news_of_an_earlier_life_changes_nothing() {
    let mut bench = Bench::running(&[OneForAll], "root( a b )");
    bench.panics("a");
    bench.held("b");
    bench.tick(10);
    bench.started("a");
    assert_eq!(bench.panics("a"), "hold b2");
    let b = bench.id("b");
    assert_eq!(bench.step(Event::Held { actor: b, life: 1 }), "");
    assert_eq!(bench.step(Event::Started { actor: b, life: 2 }), "");
    assert_eq!(bench.step(Event::Exited { actor: b, life: 1, end: End::ByItself }), "");
    assert_eq!(bench.tick(100), "");
    assert_eq!(bench.held("b"), "run a3");
}
