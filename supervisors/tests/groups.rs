//! Several actors, on several threads: order, strategies, escalation.

mod common;

use actix_rt::Arbiter;
use common::*;
use supervisors::{Child, Ended, Group, StartError, State, Strategy};

#[actix::test]
async fn children_start_in_order_across_threads() {
    let log = Log::default();
    let names = ["a", "b", "c", "d"];
    let children = names.map(|name| witness(name, &log).1);
    let root = children.into_iter().fold(group("root", Strategy::OneForOne), Group::actor);
    restarted(&start(root), 0).await;
    assert_eq!(log.read(), ["started a", "started b", "started c", "started d"]);
}

#[actix::test]
async fn each_strategy_restarts_whom_it_names_in_start_order() {
    let table: [(Strategy, u64, &[&str]); 3] = [
        (Strategy::OneForOne, 1, &["restarting b", "started b"]),
        (Strategy::RestForOne, 2, &["restarting b", "started b", "restarting c", "started c"]),
        (Strategy::OneForAll, 3, &["restarting a", "started a", "restarting b", "started b", "restarting c", "started c"]),
    ];
    for (strategy, restarts, lines) in table {
        let log = Log::default();
        let (_a, a) = witness("a", &log);
        let (address, b) = witness("b", &log);
        let (_c, c) = witness("c", &log);
        let tree = start(group("root", strategy).actor(a).actor(b).actor(c));
        restarted(&tree, 0).await;
        log.take();
        address.do_send(Poison("poison"));
        restarted(&tree, restarts).await;
        assert_eq!(log.read(), lines, "{strategy:?}");
    }
}

#[actix::test]
async fn a_held_sibling_handles_nothing_before_its_turn_and_loses_no_message() {
    let log = Log::default();
    let (a, a_child) = witness("a", &log);
    let (b, b_child) = witness("b", &log);
    let (c, c_child) = witness("c", &log);
    let root = group("root", Strategy::RestForOne).actor(a_child).actor(b_child).actor(c_child);
    let tree = start(root);
    restarted(&tree, 0).await;
    log.take();
    // As long as b is busy it cannot come to rest, so a cannot return and c stays held.
    let (block, has_entered, release) = Block::new();
    b.do_send(block);
    has_entered.recv_timeout(DEADLINE).expect("b is busy");
    a.do_send(Poison("poison"));
    // An order holds before the report shows it.
    within(tree.until(|report| report.children[2].state == State::Held)).await;
    c.do_send(Note("sent while held"));
    release.send(()).expect("b waits");
    restarted(&tree, 3).await;
    within(c.send(Note("sent later"))).await.expect("alive");
    let order = ["restarting a", "started a", "restarting b", "started b", "restarting c", "started c"];
    assert_eq!(log.read()[..6], order);
    assert_eq!(log.read()[6..], ["c notes sent while held", "c notes sent later"]);
}

#[actix::test]
async fn actors_that_share_a_thread_restart_in_order_too() {
    let log = Log::default();
    let arbiter = Arbiter::current();
    let seats = [place(), place()];
    let [(a, a_seat), (_b, b_seat)] = seats;
    let root = group("root", Strategy::OneForAll)
        .actor(Child::new("a", a_seat, arbiter.clone(), Witness::trapped("a", &log, &[])))
        .actor(Child::new("b", b_seat, arbiter, Witness::trapped("b", &log, &[])));
    let tree = start(root);
    restarted(&tree, 0).await;
    log.take();
    a.do_send(Poison("poison"));
    restarted(&tree, 2).await;
    assert_eq!(log.read(), ["restarting a", "started a", "restarting b", "started b"]);
}

#[actix::test]
async fn a_group_that_exceeds_its_intensity_is_restarted_by_its_parent() {
    let log = Log::default();
    let (a, a_child) = witness("a", &log);
    let (_b, b_child) = witness("b", &log);
    let (_c, c_child) = witness("c", &log);
    let inner = group("inner", Strategy::OneForOne).intensity(0, DEADLINE).actor(a_child).actor(b_child);
    let tree = start(group("root", Strategy::OneForOne).group(inner).actor(c_child));
    restarted(&tree, 0).await;
    log.take();
    a.do_send(Poison("poison"));
    // The group, and a and b in it.
    let report = restarted(&tree, 3).await;
    assert_eq!(log.read(), ["restarting a", "started a", "restarting b", "started b"]);
    let exit = report.find("inner").and_then(|inner| inner.last_exit.clone());
    assert_eq!(exit.map(|exit| exit.text), Some("inner: more than 0 restarts within 20s".to_owned()));
}

#[actix::test]
async fn at_the_root_escalation_is_a_value_and_everything_is_held() {
    let log = Log::default();
    let (a, a_child) = witness("a", &log);
    let (b, b_child) = witness("b", &log);
    let inner = group("inner", Strategy::OneForAll).actor(a_child);
    let root = group("root", Strategy::OneForOne).intensity(0, DEADLINE).group(inner).actor(b_child);
    let tree = start(root);
    restarted(&tree, 0).await;
    for words in ["first", "second", "third", "fourth"] {
        a.do_send(Poison(words));
    }
    let Ended::Escalated(escalation) = within(tree.wait()).await else { panic!("it was not stopped") };
    assert_eq!((escalation.child.as_str(), escalation.cause.as_str()), ("inner/a", "root: more than 0 restarts within 20s"));
    let last_words = escalation.failures.iter().map(|failure| failure.text.rsplit(": ").next().expect("text"));
    assert_eq!(last_words.collect::<Vec<_>>(), ["first", "second", "third", "fourth"]);
    assert_eq!(escalation.report.find("inner/a").map(|a| a.state), Some(State::Failed));
    // b is held, not dead: what it is sent waits, and an orderly stop is still possible.
    b.do_send(Note("not handled"));
    assert!(within(tree.stop(DEADLINE)).await.left_behind.is_empty());
    assert!(log.read().contains(&"stopped b".to_owned()));
    assert!(!log.read().contains(&"b notes not handled".to_owned()));
    assert!(!log.read().contains(&"stopped a".to_owned()), "broken by its panic, a is only dropped");
    assert_eq!(within(tree.wait()).await, Ended::Escalated(escalation));
}

#[actix::test]
async fn an_arbiter_that_stops_under_its_children_escalates() {
    let (_a, seat) = place();
    let arbiter = own_thread();
    let child = Child::new("a", seat, arbiter.clone(), Witness::trapped("a", &Log::default(), &[]));
    let tree = start(group("root", Strategy::OneForOne).actor(child));
    restarted(&tree, 0).await;
    arbiter.stop();
    let Ended::Escalated(escalation) = within(tree.wait()).await else { panic!("it was not stopped") };
    assert_eq!(escalation.cause, "a cannot be restarted: its arbiter has stopped");
}

#[actix::test]
async fn a_child_for_an_arbiter_that_has_stopped_escalates() {
    let arbiter = Arbiter::new();
    let (handle, (_a, seat)) = (arbiter.handle(), place());
    arbiter.stop();
    arbiter.join().expect("the thread ends");
    let child = Child::new("a", seat, handle, Witness::trapped("a", &Log::default(), &[]));
    let tree = start(group("root", Strategy::OneForOne).actor(child));
    assert!(matches!(within(tree.wait()).await, Ended::Escalated(_)));
}

#[actix::test]
async fn a_specification_that_contradicts_itself_is_refused_by_name() {
    let ms = std::time::Duration::from_millis;
    let one = || group("root", Strategy::OneForOne);
    let child = |name| witness(name, &Log::default()).1;
    let table = [
        (one().actor(child("a")).actor(child("a")), "group root: two members are named a"),
        (one().actor(child("a/b")), r#"group root: member name "a/b" is empty or contains a slash"#),
        (one().group(group("", Strategy::OneForAll)), r#"group root: member name "" is empty or contains a slash"#),
        (
            one().group(group("x", Strategy::OneForAll).intensity(1, ms(0))),
            "group root/x: 1 restarts within a window of no length",
        ),
        (one().backoff(ms(2), ms(1)), "group root: first backoff 2ms is above its cap 1ms"),
        (one().actor(child("a").hang_limit(ms(0))), "actor root/a: hang limit of no length"),
    ];
    for (group, what) in table {
        let error = group.start(no_hang).expect_err(what);
        assert!(matches!(error, StartError::Specification(_)));
        assert_eq!(error.to_string(), format!("cannot supervise {what}"));
    }
}

#[actix::test]
async fn the_report_is_a_tree_that_serializes_for_a_status_page() {
    let (a, a_child) = witness("a", &Log::default());
    let inner = group("inner", Strategy::OneForOne).actor(a_child);
    let tree = start(group("root", Strategy::OneForOne).group(inner));
    a.do_send(Poison("poison"));
    let json = serde_json::to_value(restarted(&tree, 1).await).expect("it serializes");
    assert_eq!((&json["name"], &json["kind"], &json["state"]), (&"root".into(), &"group".into(), &"running".into()));
    let a = &json["children"][0]["children"][0];
    assert_eq!((&a["name"], &a["kind"], &a["restarts"]), (&"a".into(), &"actor".into(), &1.into()));
    assert!(a["last_exit"]["text"].as_str().is_some_and(|text| text.ends_with(": poison")));
    assert!(a["last_exit"]["at"].as_u64() <= a["since"].as_u64());
}
