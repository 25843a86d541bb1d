//! Actors on one thread with a paused clock, their neighbours replaced by ears that remember. The peer is lost on purpose.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, Message, Recipient};
use slog::{Discard, Logger, o};

mod coordinator;
mod monitor;

/// Remembers every message of one kind.
struct Ear<M> {
    heard: Arc<Mutex<Vec<M>>>,
}

impl<M: Unpin + 'static> Actor for Ear<M> {
    type Context = Context<Self>;
}

impl<M: Message<Result = ()> + Unpin + Send + 'static> Handler<M> for Ear<M> {
    type Result = ();

    fn handle(&mut self, message: M, _: &mut Context<Self>) {
        self.heard.lock().expect("no ear panics").push(message);
    }
}

/// What an ear has heard so far.
struct Heard<M>(Arc<Mutex<Vec<M>>>);

impl<M: Clone> Heard<M> {
    fn all(&self) -> Vec<M> {
        self.0.lock().expect("no ear panics").clone()
    }

    fn last(&self) -> Option<M> {
        self.all().pop()
    }
}

fn ear<M: Message<Result = ()> + Unpin + Send + 'static>() -> (Recipient<M>, Heard<M>) {
    let heard: Arc<Mutex<Vec<M>>> = Arc::default();
    let address: Addr<Ear<M>> = Ear { heard: Arc::clone(&heard) }.start();
    (address.recipient(), Heard(heard))
}

fn quiet() -> Logger {
    Logger::root(Discard, o!())
}

/// Lets everything that is ready run, and the paused clock pass.
async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Waits for something that a thread of the blocking pool does; bounded, so that a failure is a failure.
async fn until(what: &str, mut met: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if met() {
            return;
        }
        tokio::task::yield_now().await;
        // The pool's threads live in real time.
        std::thread::yield_now();
    }
    panic!("never: {what}");
}

/// As [`until`], for what comes with time: the clock goes on in steps of a millisecond, for ten seconds at most.
async fn until_later(what: &str, mut met: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if met() {
            return;
        }
        pass(1).await;
    }
    panic!("never: {what}");
}
