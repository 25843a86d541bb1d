//! Table tests: orders are written as `run a1` (verb, actor, life).

use std::time::Duration;

use super::*;
use crate::report::{Escalation, Report, State};
use crate::spec::{Backoff, Intensity, Strategy};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(elapsed_ms: u64) -> Moment {
    Moment {
        elapsed: ms(elapsed_ms),
        unix_ms: 1_000_000 + elapsed_ms,
    }
}

/// A machine and the moment that it believes in.
struct Bench {
    machine: Machine,
    now: u64,
}

/// Build an outline from words: `name(` opens a group, `)` closes it, others are permanent actors,
/// `name?` transient, `name!` temporary. Groups allow 3 restarts in 1 s and wait 10 ms to 25 ms.
fn outline(strategies: &[Strategy], words: &str) -> Outline {
    let intensity = Intensity {
        restarts: 3,
        within: ms(1000),
    };
    let backoff = Backoff {
        first: ms(10),
        cap: ms(25),
    };
    let mut strategies = strategies.iter();
    let mut outline = Outline::default();
    for word in words.split(' ') {
        if let Some(name) = word.strip_suffix('(') {
            let strategy = strategies.next().expect("one strategy for each group");
            outline.open(name.to_owned(), *strategy, intensity, backoff);
        } else if word == ")" {
            outline.close();
        } else {
            let restart = match &word[1..] {
                "?" => Restart::Transient,
                "!" => Restart::Temporary,
                _ => Restart::Permanent,
            };
            outline.actor(word[..1].to_owned(), restart);
        }
    }
    outline
}

impl Bench {
    fn new(strategies: &[Strategy], words: &str) -> Self {
        Self {
            machine: Machine::new(outline(strategies, words), at(0)),
            now: 0,
        }
    }

    /// All up and running.
    fn running(strategies: &[Strategy], words: &str) -> Self {
        let mut bench = Self::new(strategies, words);
        bench.tick(0);
        for id in 0..bench.machine.actors.len() {
            bench.step(Event::Started { actor: id, life: 1 });
        }
        assert!(bench.machine.actors.iter().all(Actor::is_up));
        bench
    }

    fn id(&self, name: &str) -> ActorId {
        let actors = &self.machine.outline.actors;
        actors
            .iter()
            .position(|actor| actor.name == name)
            .expect("an actor of this name")
    }

    fn life(&self, name: &str) -> u64 {
        self.machine.actors[self.id(name)].life
    }

    fn step(&mut self, event: Event) -> String {
        let effects = self.machine.step(at(self.now), event);
        let due = self.machine.due();
        assert!(
            due.is_none_or(|due| due > ms(self.now)),
            "a moment due in the past spins"
        );
        effects
            .iter()
            .map(|effect| self.word(effect))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn word(&self, effect: &Effect) -> String {
        let name = |id: &ActorId| &self.machine.outline.actors[*id].name;
        match effect {
            Effect::Order(id, Order::Run { life }) => format!("run {}{life}", name(id)),
            Effect::Order(id, Order::Hold { life }) => format!("hold {}{life}", name(id)),
            Effect::Order(id, Order::Stop) => format!("stop {}", name(id)),
            Effect::Order(id, Order::Leave) => format!("leave {}", name(id)),
            Effect::End(Ended::Stopped(stopped)) => format!("stopped {:?}", stopped.left_behind),
            Effect::End(Ended::Escalated(escalation)) => format!("escalated {}", escalation.cause),
        }
    }

    fn tick(&mut self, pass_ms: u64) -> String {
        self.now += pass_ms;
        self.step(Event::Tick)
    }

    fn started(&mut self, name: &str) -> String {
        self.step(Event::Started {
            actor: self.id(name),
            life: self.life(name),
        })
    }

    fn held(&mut self, name: &str) -> String {
        self.step(Event::Held {
            actor: self.id(name),
            life: self.life(name),
        })
    }

    fn exits(&mut self, name: &str, end: End) -> String {
        self.step(Event::Exited {
            actor: self.id(name),
            life: self.life(name),
            end,
        })
    }

    fn panics(&mut self, name: &str) -> String {
        self.exits(name, End::Panicked(format!("{name} panicked")))
    }

    fn left(&mut self, name: &str) -> String {
        self.step(Event::Left {
            actor: self.id(name),
            last_words: None,
        })
    }

    fn stop(&mut self, within_ms: u64) -> String {
        self.step(Event::Stop {
            within: ms(within_ms),
        })
    }

    fn state(&self, path: &str) -> State {
        self.machine
            .report()
            .find(path)
            .expect("a child at this path")
            .state
    }

    /// Panic, wait out the longest backoff, and be up again.
    fn falls_and_returns(&mut self, name: &str) -> String {
        let orders = self.panics(name);
        self.tick(25);
        self.started(name);
        orders
    }
}

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
    for (strategy, orders) in [
        (OneForOne, ""),
        (OneForAll, "hold c1, hold a1"),
        (RestForOne, "hold c1"),
    ] {
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
    assert_eq!(
        (bench.state("b"), bench.state("c")),
        (State::Restarting, State::Held)
    );
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
    let mut bench = Bench::running(
        &[OneForOne, OneForAll, OneForAll],
        "root( x( a b ) y( c d ) )",
    );
    assert_eq!(bench.panics("c"), "hold d1");
    assert_eq!(bench.panics("a"), "hold b1");
    assert_eq!(bench.held("b"), "");
    assert_eq!(bench.tick(10), "run a2");
    assert_eq!(bench.started("a"), "run b2");
}

#[test]
fn each_further_restart_in_the_window_waits_twice_as_long_up_to_the_cap() {
    let backoff = Backoff {
        first: ms(10),
        cap: ms(25),
    };
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
    assert_eq!(
        bench.panics("a"),
        "hold b1, escalated root: more than 3 restarts within 1s"
    );
    assert_eq!(
        (bench.state("a"), bench.state("b")),
        (State::Failed, State::Held)
    );
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
    let group = bench
        .machine
        .report()
        .find("x")
        .expect("in the report")
        .clone();
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
        let event = Event::Exited {
            actor: 0,
            life: bench.life("a"),
            end: End::Panicked("broken disk".into()),
        };
        last = bench.machine.step(at(bench.now), event);
        bench.tick(25);
        bench.started("a");
    }
    let Some(Effect::End(Ended::Escalated(escalation))) = last.last() else {
        panic!("{last:?}")
    };
    let Escalation {
        child,
        cause,
        failures,
        report,
    } = &**escalation;
    assert_eq!(
        (child.as_str(), cause.as_str()),
        ("x/a", "root: more than 3 restarts within 1s")
    );
    assert_eq!(failures.len(), 16);
    assert!(
        failures
            .iter()
            .all(|failure| failure.child == "x/a" && failure.text == "broken disk")
    );
    assert_eq!(
        report.find("x/a").map(|a| (a.restarts, a.state)),
        Some((15, State::Failed))
    );
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
    assert_eq!(
        bench.panics("a"),
        "escalated root: more than 3 restarts within 1s"
    );
}

#[test]
fn two_siblings_that_fall_together_count_once() {
    let mut bench = Bench::running(&[OneForAll], "root( a b )");
    assert_eq!(bench.panics("a"), "hold b1");
    assert_eq!(bench.panics("b"), "");
    assert_eq!(bench.machine.groups[0].recent.len(), 1);
    assert_eq!(bench.tick(10), "run a2");
    assert_eq!(
        bench
            .machine
            .report()
            .find("b")
            .and_then(|b| b.last_exit.clone())
            .map(|exit| exit.text),
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
    assert_eq!(
        bench.step(Event::Exited {
            actor: b,
            life: 1,
            end: End::ByItself
        }),
        ""
    );
    assert_eq!(bench.tick(100), "");
    assert_eq!(bench.held("b"), "run a3");
}

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
    assert_eq!(
        bench.left("b"),
        "hold a1, escalated b cannot be restarted: its arbiter has stopped"
    );
    assert_eq!(bench.held("a"), "");
    assert_eq!(bench.stop(1000), "stop a");
    assert_eq!(bench.left("a"), "stopped []");
}

#[test]
fn a_hang_is_shown_and_never_restarted() {
    let mut bench = Bench::running(&[OneForOne, OneForOne], "root( x( a ) b )");
    assert_eq!(bench.step(Event::Hung { actor: 0 }), "");
    assert_eq!(
        (bench.state("x/a"), bench.machine.report().state),
        (State::Hung, State::Hung)
    );
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

/// A world that obeys in any order and fails at random; whatever happens, in an ordered group
/// nobody is up behind a sibling that is down, and the tree comes to a decided end.
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
        let mut bench = Bench::new(
            &[OneForOne, RestForOne, OneForAll],
            "root( x( a b c? ) y( d e! f ) )",
        );
        for _ in 0..300 {
            bench.now += pick(60) as u64;
            let id = pick(6);
            let Actor { phase, life, .. } = bench.machine.actors[id];
            let event = match (phase, pick(8)) {
                (Phase::Starting | Phase::Running | Phase::Holding, 0) => Event::Exited {
                    actor: id,
                    life,
                    end: End::Panicked("random".into()),
                },
                (Phase::Running, 1) => Event::Exited {
                    actor: id,
                    life,
                    end: End::ByItself,
                },
                (Phase::Starting, _) => Event::Started { actor: id, life },
                (Phase::Holding, _) => Event::Held { actor: id, life },
                (Phase::Leaving, _) => Event::Left {
                    actor: id,
                    last_words: None,
                },
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
            let early = group[index + 1..].iter().any(|later| {
                matches!(
                    later.phase,
                    Phase::Starting | Phase::Running | Phase::Holding
                )
            });
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
                Phase::Leaving => Event::Left {
                    actor: id,
                    last_words: None,
                },
                Phase::Waiting | Phase::Running | Phase::Held | Phase::Gone => Event::Tick,
            });
        }
    }
    let report: Report = bench.machine.report();
    let settled = bench.machine.actors.iter().all(Actor::is_up);
    assert!(
        settled || bench.machine.mode == Mode::Escalated,
        "seed {seed}: {report:?}"
    );
}
