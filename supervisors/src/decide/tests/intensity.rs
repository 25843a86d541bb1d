//! How often and how soon, and what follows when that is exceeded.

use super::*;
use crate::report::Escalation;
use Strategy::OneForOne;

#[test]
fn each_further_restart_in_the_window_waits_twice_as_long_up_to_the_cap() {
    let backoff = Backoff { first: ms(10), cap: ms(25) };
    for (nth, delay) in [(1, 10), (2, 20), (3, 25), (4, 25), (u32::MAX, 25)] {
        assert_eq!(backoff.delay(nth), ms(delay), "restart {nth}");
    }
    let mut bench = Bench::running(&[OneForOne], "root( a )");
    for (delay, order) in [(10, "run a2"), (20, "run a3"), (25, "run a4")] {
        bench.panics("a");
        assert_eq!(bench.tick(delay - 1), "");
        assert_eq!(bench.tick(1), order);
        bench.started("a");
    }
}

#[test]
fn one_restart_more_than_the_window_allows_escalates() {
    let mut bench = Bench::running(&[OneForOne], "root( a b )");
    for _ in 0..3 {
        assert_eq!(bench.falls_and_returns("a"), "");
    }
    assert_eq!(bench.panics("a"), "hold b1, escalated root: more than 3 restarts within 1s");
    assert_eq!((bench.state("a"), bench.state("b")), (State::Failed, State::Held));
    assert_eq!(bench.machine.report().state, State::Failed);
    assert_eq!(bench.tick(5000), "");
}

#[test]
fn the_window_slides_so_that_restarts_far_enough_apart_never_escalate() {
    let mut bench = Bench::running(&[OneForOne], "root( a )");
    for _ in 0..50 {
        assert_eq!(bench.falls_and_returns("a"), "");
        // Any four are 3 · (25 + 310) ms apart: longer than the window of 1 s.
        bench.tick(310);
    }
    assert_eq!(bench.life("a"), 51);
}

#[test]
fn a_group_that_exceeds_its_intensity_is_restarted_whole_by_its_parent() {
    let mut bench = Bench::running(&[OneForOne, OneForOne], "root( x( a b ) c )");
    for _ in 0..3 {
        bench.falls_and_returns("a");
    }
    assert_eq!(bench.panics("a"), "hold b1");
    assert_eq!(bench.held("b"), "");
    assert_eq!(bench.tick(10), "run a5");
    assert_eq!(bench.started("a"), "run b2");
    bench.started("b");
    let group = bench.machine.report().find("x").expect("in the report").clone();
    assert_eq!(group.restarts, 1);
    let exit = group.last_exit.expect("it exceeded its intensity");
    assert_eq!(exit.text, "x: more than 3 restarts within 1s");
    // Reborn, it may restart as often as before; the parent has counted one.
    for _ in 0..3 {
        assert_eq!(bench.falls_and_returns("a"), "");
    }
    assert_eq!(bench.panics("a"), "hold b2");
}

#[test]
fn escalation_climbs_to_the_root_and_names_the_child_and_the_failures() {
    let mut bench = Bench::running(&[OneForOne, OneForOne], "root( x( a ) b )");
    let mut last = Vec::new();
    for _ in 0..16 {
        bench.now += 1;
        let event = Event::Exited { actor: 0, life: bench.life("a"), end: End::Panicked("broken disk".into()) };
        last = bench.machine.step(at(bench.now), event);
        bench.tick(25);
        bench.started("a");
    }
    let Some(Effect::End(Ended::Escalated(escalation))) = last.last() else { panic!("{last:?}") };
    let Escalation { child, cause, failures, report } = &**escalation;
    assert_eq!((child.as_str(), cause.as_str()), ("x/a", "root: more than 3 restarts within 1s"));
    assert_eq!(failures.len(), 16);
    assert!(failures.iter().all(|failure| failure.child == "x/a" && failure.text == "broken disk"));
    assert_eq!(report.find("x/a").map(|a| (a.restarts, a.state)), Some((15, State::Failed)));
}
