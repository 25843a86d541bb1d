//! Actors that panic, end or refuse, and what becomes of them.

use std::time::Duration;

use actix::prelude::*;
use actix_rt::Arbiter;
use supervisors::{Child, Group, State, Strategy, seat};

#[derive(Default)]
struct Counter {
    count: usize,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Supervised for Counter {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.count = 100;
    }
}

#[derive(Message)]
#[rtype(result = "usize")]
struct Count;

#[derive(Message)]
#[rtype(result = "()")]
struct Poison;

impl Handler<Count> for Counter {
    type Result = usize;
    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> usize {
        self.count += 1;
        self.count
    }
}

impl Handler<Poison> for Counter {
    type Result = ();
    fn handle(&mut self, _: Poison, _: &mut Context<Self>) {
        panic!("poison");
    }
}

#[actix::test]
async fn a_panicked_actor_restarts_with_address_and_queue_intact() {
    let (counter, place) = seat::<Counter>(8);
    let tree = Group::new("root", Strategy::OneForOne)
        .backoff(Duration::from_millis(1), Duration::from_millis(1))
        .actor(Child::new(
            "counter",
            place,
            Arbiter::current(),
            Counter::default,
        ))
        .start(|hang| panic!("{hang:?}"))
        .expect("the specification is sound");
    assert_eq!(counter.send(Count).await.expect("alive"), 1);
    counter.do_send(Poison);
    let behind = counter.send(Count);
    assert_eq!(behind.await.expect("queued behind the poison"), 101);
    let report = tree.until(|report| report.state == State::Running).await;
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
    let counter = report.find("counter").expect("in the report");
    assert_eq!(counter.restarts, 1);
    let exit = counter.last_exit.as_ref().expect("it panicked");
    assert!(
        exit.text.contains("restart.rs") && exit.text.ends_with(": poison"),
        "{}",
        exit.text
    );
    assert!(
        tree.stop(Duration::from_secs(5))
            .await
            .left_behind
            .is_empty()
    );
}
