//! Orderly shutdown.

mod common;

use actix::{AsyncContext, MailboxError};
use common::*;
use supervisors::{Child, Ended, State, Stopped, Strategy};

#[actix::test]
async fn a_stop_takes_the_children_in_reverse_order_each_by_its_own_hooks() {
    let log = Log::default();
    let (a, a_child) = witness("a", &log);
    let (_b, b_child) = witness("b", &log);
    let (_c, c_child) = witness("c", &log);
    let inner = group("inner", Strategy::OneForOne).actor(a_child).actor(b_child);
    let tree = start(group("root", Strategy::OneForOne).group(inner).actor(c_child));
    restarted(&tree, 0).await;
    log.take();
    let stopped = within(tree.stop(DEADLINE)).await;
    assert_eq!(stopped, Stopped::default());
    let lines = ["c", "b", "a"].map(|name| ["stopping", "stopped", "dropped"].map(|what| format!("{what} {name}")));
    assert_eq!(log.read(), lines.concat());
    assert_eq!(within(tree.wait()).await, Ended::Stopped(stopped));
    assert_eq!(tree.report().state, State::Stopped);
    assert_eq!(within(a.send(Note("too late"))).await, Err(MailboxError::Closed));
}

#[actix::test]
async fn a_panic_in_any_last_word_of_an_actor_does_not_abort_the_stop() {
    for trap in [Place::Stopping, Place::Stopped, Place::Dropped] {
        let log = Log::default();
        let (_a, a_child) = witness("a", &log);
        let (_b, seat) = place();
        let b_child = Child::new("b", seat, own_thread(), Witness::trapped("b", &log, &[trap]));
        let tree = start(group("root", Strategy::OneForOne).actor(a_child).actor(b_child));
        restarted(&tree, 0).await;
        assert_eq!(within(tree.stop(DEADLINE)).await, Stopped::default(), "{trap:?}");
        assert!(log.read().contains(&"stopped a".to_owned()));
        let exit = tree.report().find("b").and_then(|b| b.last_exit.clone()).expect("it panicked");
        assert!(exit.text.ends_with(&format!("trapped in {trap:?}")), "{}", exit.text);
    }
}

#[actix::test]
async fn who_has_not_stopped_at_the_deadline_is_left_behind_and_named() {
    let log = Log::default();
    let (a, a_child) = witness("a", &log);
    let (_b, b_child) = witness("b", &log);
    let tree = start(group("root", Strategy::OneForOne).actor(a_child).actor(b_child));
    restarted(&tree, 0).await;
    let (block, has_entered, _release) = Block::new();
    a.do_send(block);
    has_entered.recv_timeout(DEADLINE).expect("a is busy");
    let stopped = within(tree.stop(std::time::Duration::from_millis(50))).await;
    assert!(stopped.left_behind.contains(&"a".to_owned()), "{stopped:?}");
}

#[actix::test]
async fn a_stop_while_a_child_waits_for_its_restart_does_not_wait_for_it() {
    let (a, a_child) = witness("a", &Log::default());
    let root = group("root", Strategy::OneForOne).backoff(DEADLINE * 10, DEADLINE * 10);
    let tree = start(root.actor(a_child));
    a.do_send(Poison("poison"));
    within(tree.until(|report| report.state == State::Restarting)).await;
    assert_eq!(within(tree.stop(DEADLINE)).await, Stopped::default());
}

#[actix::test]
async fn a_second_stop_hears_the_same() {
    let (_a, a_child) = witness("a", &Log::default());
    let tree = start(group("root", Strategy::OneForOne).actor(a_child));
    assert_eq!(within(tree.stop(DEADLINE)).await, Stopped::default());
    assert_eq!(within(tree.clone().stop(DEADLINE)).await, Stopped::default());
}

#[actix::test]
async fn an_actor_that_has_work_left_may_finish_it_before_it_stops() {
    /// Has three steps to go once it is asked to stop.
    struct Busy(u32, Log);
    impl actix::Actor for Busy {
        type Context = actix::Context<Self>;
        fn stopping(&mut self, ctx: &mut Self::Context) -> actix::Running {
            if self.0 == 0 {
                return actix::Running::Stop;
            }
            self.0 -= 1;
            self.1.write("step");
            let millisecond = std::time::Duration::from_millis(1);
            ctx.run_later(millisecond, |_, ctx| actix::ActorContext::stop(ctx));
            actix::Running::Continue
        }
    }
    impl actix::Supervised for Busy {}
    let log = Log::default();
    let (_busy, seat) = supervisors::seat::<Busy>(1);
    let its_log = log.clone();
    let child = Child::new("busy", seat, own_thread(), move || Busy(3, its_log.clone()));
    let tree = start(group("root", Strategy::OneForOne).actor(child));
    restarted(&tree, 0).await;
    assert_eq!(within(tree.stop(DEADLINE)).await, Stopped::default());
    assert_eq!(log.read(), ["step", "step", "step"]);
}
