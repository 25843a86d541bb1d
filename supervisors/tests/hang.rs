//! Handlers that do not return.

mod common;

use std::sync::mpsc;
use std::time::Duration;

use actix_rt::Arbiter;
use common::*;
use supervisors::{Child, Hang, State, Strategy};

#[actix::test]
async fn a_hanging_handler_is_told_from_another_thread_and_its_neighbour_is_not_blamed() {
    let (told, hangs) = mpsc::channel::<Hang>();
    let arbiter = Arbiter::new().handle();
    let limit = Duration::from_millis(200);
    let child = |name, seat| {
        let build = Witness::trapped(name, &Log::default(), &[]);
        Child::new(name, seat, arbiter.clone(), build).hang_limit(limit)
    };
    let ((a, a_seat), (b, b_seat)) = (place(), place());
    let inner = group("inner", Strategy::OneForOne).actor(child("a", a_seat)).actor(child("b", b_seat));
    let root = group("root", Strategy::OneForOne).group(inner);
    let tree = root.start(move |hang| told.send(hang).expect("the test listens")).expect("sound");
    restarted(&tree, 0).await;
    let (block, has_entered, release) = Block::new();
    a.do_send(block);
    b.do_send(Note("waits for the thread"));
    has_entered.recv_timeout(DEADLINE).expect("a is busy");
    let hang = hangs.recv_timeout(DEADLINE).expect("the watch sees it");
    assert_eq!(hang.child, "inner/a");
    assert!(hang.lasted > limit);
    let report = within(tree.until(|report| report.state == State::Hung)).await;
    assert_eq!(report.find("inner/b").map(|b| b.state), Some(State::Running));
    // Were it to return after all, it would go on; nothing was restarted.
    release.send(()).expect("a waits");
    assert_eq!(restarted(&tree, 0).await.find("inner/a").map(|a| a.state), Some(State::Running));
    assert!(hangs.try_recv().is_err(), "told once, of one child");
}

#[actix::test]
async fn a_panic_in_the_hang_callback_does_not_end_the_supervision() {
    let (a, seat) = place();
    let build = Witness::trapped("a", &Log::default(), &[]);
    let child = Child::new("a", seat, own_thread(), build).hang_limit(Duration::from_millis(200));
    let root = group("root", Strategy::OneForOne).actor(child);
    let tree = root.start(|_| panic!("in the callback")).expect("sound");
    let (block, _has_entered, release) = Block::new();
    a.do_send(block);
    within(tree.until(|report| report.state == State::Hung)).await;
    release.send(()).expect("a waits");
    a.do_send(Poison("poison"));
    restarted(&tree, 1).await;
}
