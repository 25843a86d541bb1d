//! One actor that panics, ends or never begins, and what becomes of it.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use actix::MailboxError;
use actix_rt::Arbiter;
use common::*;
use supervisors::{Child, Ended, Restart, State, Strategy, seat};

#[actix::test]
async fn a_panicked_actor_restarts_with_address_recipient_and_queue_intact() {
    let log = Log::default();
    let (address, child) = witness("a", &log);
    let recipient = address.clone().recipient::<Note>();
    let tree = start(group("root", Strategy::OneForOne).actor(child));
    address.do_send(Poison("poison"));
    recipient.do_send(Note("queued behind the poison"));
    within(address.send(Note("sent"))).await.expect("the address is alive");
    within(recipient.send(Note("received"))).await.expect("the recipient is alive");
    let notes = ["a notes queued behind the poison", "a notes sent", "a notes received"];
    assert_eq!(log.read()[..3], ["started a", "restarting a", "started a"]);
    assert_eq!(log.read()[3..], notes);
    assert_eq!(restarted(&tree, 1).await.state, State::Running);
}

#[actix::test]
async fn the_sender_of_the_poison_hears_that_it_was_cancelled() {
    let (address, child) = witness("a", &Log::default());
    let _tree = start(group("root", Strategy::OneForOne).actor(child));
    let answer = within(address.send(Poison("poison"))).await;
    assert_eq!(answer, Err(MailboxError::Closed));
}

#[actix::test]
async fn the_report_keeps_what_a_panic_said_and_where() {
    let (address, child) = witness("a", &Log::default());
    let tree = start(group("root", Strategy::OneForOne).actor(child));
    address.do_send(Poison("disk on fire"));
    let report = restarted(&tree, 1).await;
    let exit = report.find("a").and_then(|a| a.last_exit.clone()).expect("it went down");
    assert!(exit.text.contains("common/mod.rs:"), "{}", exit.text);
    assert!(exit.text.ends_with(": disk on fire"), "{}", exit.text);
}

#[actix::test]
async fn a_panic_while_being_reborn_is_one_more_failure() {
    let log = Log::default();
    let (address, seat) = place();
    let build = Witness::trapped("a", &log, &[Place::Restarting, Place::Started]);
    let tree = start(group("root", Strategy::OneForOne).actor(Child::new("a", seat, own_thread(), build)));
    address.do_send(Note("waits"));
    // First it falls in `started`, then in `restarting`.
    restarted(&tree, 2).await;
    within(address.send(Note("sent"))).await.expect("alive");
    let births = ["started a", "restarting a", "restarting a", "started a", "a notes waits", "a notes sent"];
    assert_eq!(log.read(), births);
}

#[actix::test]
async fn an_actor_that_cannot_be_built_is_built_again() {
    let log = Log::default();
    let (address, seat) = place();
    let mut build = Witness::trapped("a", &log, &[]);
    let tries = AtomicUsize::new(0);
    let build = move || {
        assert!(tries.fetch_add(1, Ordering::Relaxed) >= 2, "not yet");
        build()
    };
    let tree = start(group("root", Strategy::OneForOne).actor(Child::new("a", seat, own_thread(), build)));
    within(address.send(Note("sent"))).await.expect("alive");
    restarted(&tree, 2).await;
    assert_eq!(log.read(), ["started a", "a notes sent"]);
}

#[actix::test]
async fn a_permanent_actor_that_ends_by_itself_is_restarted_and_counted() {
    let log = Log::default();
    let (address, child) = witness("a", &log);
    let tree = start(group("root", Strategy::OneForOne).actor(child));
    for _ in 0..4 {
        address.do_send(End);
    }
    let Ended::Escalated(escalation) = within(tree.wait()).await else { panic!("it was not stopped") };
    assert_eq!(escalation.failures.len(), 4);
    assert!(escalation.failures.iter().all(|failure| failure.text == "ended by itself"));
    assert_eq!(log.read().iter().filter(|line| *line == "stopped a").count(), 4);
}

#[actix::test]
async fn a_transient_actor_that_ends_by_itself_is_gone_and_its_senders_hear_it() {
    let (address, child) = witness("a", &Log::default());
    let tree = start(group("root", Strategy::OneForOne).actor(child.restart(Restart::Transient)));
    address.do_send(End);
    within(tree.until(|report| report.children[0].state == State::Stopped)).await;
    let answer = within(address.send(Note("too late"))).await;
    assert_eq!(answer, Err(MailboxError::Closed));
}

#[actix::test]
async fn a_transient_actor_that_panics_is_restarted_and_a_temporary_one_is_not() {
    let (lasting, lasting_child) = witness("lasting", &Log::default());
    let (passing, passing_child) = witness("passing", &Log::default());
    let root = group("root", Strategy::OneForOne)
        .actor(lasting_child.restart(Restart::Transient))
        .actor(passing_child.restart(Restart::Temporary));
    let tree = start(root);
    lasting.do_send(Poison("once"));
    passing.do_send(Poison("once"));
    within(lasting.send(Note("sent"))).await.expect("restarted");
    let report = within(tree.until(|report| report.children[1].state == State::Failed)).await;
    assert_eq!(report.find("passing").map(|passing| passing.restarts), Some(0));
}

#[actix::test]
async fn a_panic_in_stopping_or_stopped_neither_aborts_nor_prevents_the_restart() {
    for place_of_panic in [Place::Stopping, Place::Stopped] {
        let log = Log::default();
        let (address, seat) = place();
        let build = Witness::trapped("a", &log, &[place_of_panic]);
        let tree = start(group("root", Strategy::OneForOne).actor(Child::new("a", seat, own_thread(), build)));
        address.do_send(End);
        within(address.send(Note("sent"))).await.expect("restarted");
        let report = restarted(&tree, 1).await;
        let exit = report.children[0].last_exit.clone().expect("it went down");
        assert!(exit.text.ends_with(&format!("trapped in {place_of_panic:?}")), "{}", exit.text);
    }
}

#[actix::test]
async fn actors_can_be_given_each_others_addresses_when_they_are_built() {
    struct Player {
        other: actix::Recipient<Ball>,
        done: mpsc::Sender<u32>,
    }
    #[derive(actix::Message)]
    #[rtype(result = "()")]
    struct Ball(u32);
    impl actix::Actor for Player {
        type Context = actix::Context<Self>;
    }
    impl actix::Supervised for Player {}
    impl actix::Handler<Ball> for Player {
        type Result = ();
        fn handle(&mut self, Ball(hits): Ball, _: &mut Self::Context) {
            match hits {
                10 => drop(self.done.send(hits)),
                _ => self.other.do_send(Ball(hits + 1)),
            }
        }
    }
    let (ping, ping_seat) = seat::<Player>(1);
    let (pong, pong_seat) = seat::<Player>(1);
    let (done, is_done) = mpsc::channel();
    // Sent before either lives: it waits in the seat.
    ping.do_send(Ball(0));
    let (to_ping, to_pong, pong_done) = (ping.recipient(), pong.recipient(), done.clone());
    let build_ping = move || Player { other: to_pong.clone(), done: done.clone() };
    let build_pong = move || Player { other: to_ping.clone(), done: pong_done.clone() };
    let root = group("root", Strategy::OneForOne)
        .actor(Child::new("ping", ping_seat, own_thread(), build_ping))
        .actor(Child::new("pong", pong_seat, own_thread(), build_pong));
    let _tree = start(root);
    assert_eq!(is_done.recv_timeout(DEADLINE), Ok(10));
}

#[actix::test]
async fn an_actor_without_any_address_left_goes_on_living() {
    let log = Log::default();
    let (address, child) = witness("a", &log);
    let tree = start(group("root", Strategy::OneForOne).actor(child));
    address.do_send(Poison("once"));
    drop(address);
    assert_eq!(restarted(&tree, 1).await.children[0].state, State::Running);
}

#[actix::test]
async fn an_actor_flooded_with_messages_leaves_the_others_of_its_arbiter_their_turn() {
    struct Flooded(std::sync::Arc<AtomicUsize>);
    #[derive(actix::Message)]
    #[rtype(result = "()")]
    struct Again;
    impl actix::Actor for Flooded {
        type Context = actix::Context<Self>;
    }
    impl actix::Supervised for Flooded {}
    impl actix::Handler<Again> for Flooded {
        type Result = ();
        fn handle(&mut self, _: Again, ctx: &mut Self::Context) {
            if self.0.load(Ordering::Relaxed) == 0 {
                actix::AsyncContext::address(ctx).do_send(Again);
            }
        }
    }
    let enough = std::sync::Arc::new(AtomicUsize::new(0));
    let (flooded, flooded_seat) = seat::<Flooded>(16);
    let (other, other_seat) = place();
    let arbiter = Arbiter::new().handle();
    let counter = std::sync::Arc::clone(&enough);
    let build = move || Flooded(std::sync::Arc::clone(&counter));
    let root = group("root", Strategy::OneForOne)
        .actor(Child::new("flooded", flooded_seat, arbiter.clone(), build))
        .actor(Child::new("other", other_seat, arbiter, Witness::trapped("other", &Log::default(), &[])));
    let _tree = start(root);
    flooded.do_send(Again);
    within(other.send(Note("gets its turn"))).await.expect("alive");
    enough.store(1, Ordering::Relaxed);
}
