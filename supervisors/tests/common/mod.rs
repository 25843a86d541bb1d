//! An actor that writes down what happens to it and fails where it is told to, and what tests need
//! around it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::future::Future;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use actix_rt::{Arbiter, ArbiterHandle};
use supervisors::{Child, Group, Hang, Seat, Strategy, Tree, seat};

/// Longer than anything here takes on a busy machine; reached only by a failing test.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("happens before the deadline")
}

/// What happened, in order, to all actors that share it.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn write(&self, line: impl Into<String>) {
        self.0.lock().expect("no writer panics").push(line.into());
    }

    pub fn read(&self) -> Vec<String> {
        self.0.lock().expect("no writer panics").clone()
    }

    /// What was written since the last `take`.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no writer panics"))
    }
}

/// Where an actor shall panic, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Started,
    Restarting,
    Stopping,
    Stopped,
    Dropped,
}

/// Writes down its life; panics in the places set in `traps`, each once.
pub struct Witness {
    pub name: &'static str,
    pub log: Log,
    pub traps: Arc<Mutex<Vec<Place>>>,
}

impl Witness {
    pub fn new(name: &'static str, log: &Log) -> Self {
        Self { name, log: log.clone(), traps: Arc::default() }
    }

    pub fn trapped(name: &'static str, log: &Log, traps: &[Place]) -> impl FnMut() -> Self + Send + use<> {
        let (log, traps) = (log.clone(), Arc::new(Mutex::new(traps.to_vec())));
        move || Self { name, log: log.clone(), traps: Arc::clone(&traps) }
    }

    fn pass(&self, place: Place) {
        self.log.write(format!("{place:?} {}", self.name).to_lowercase());
        let mut traps = self.traps.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(index) = traps.iter().position(|&trap| trap == place) {
            traps.remove(index);
            drop(traps);
            panic!("trapped in {place:?}");
        }
    }
}

impl Actor for Witness {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.pass(Place::Started);
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        self.pass(Place::Stopping);
        Running::Stop
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.pass(Place::Stopped);
    }
}

impl Supervised for Witness {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.pass(Place::Restarting);
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.pass(Place::Dropped);
    }
}

/// Panic with these words.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Poison(pub &'static str);

/// Write this down.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Note(pub &'static str);

/// Stop by yourself.
#[derive(Message)]
#[rtype(result = "()")]
pub struct End;

/// Say `entered`, then block the thread until the other end of `released` is used or dropped.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Block {
    pub entered: Sender<()>,
    pub released: Receiver<()>,
}

impl Block {
    /// The message, what tells that it is being handled, and what ends it.
    pub fn new() -> (Self, Receiver<()>, Sender<()>) {
        let (entered, has_entered) = mpsc::channel();
        let (release, released) = mpsc::channel();
        (Self { entered, released }, has_entered, release)
    }
}

impl Handler<Poison> for Witness {
    type Result = ();
    fn handle(&mut self, poison: Poison, _: &mut Context<Self>) {
        panic!("{}", poison.0);
    }
}

impl Handler<Note> for Witness {
    type Result = ();
    fn handle(&mut self, note: Note, _: &mut Context<Self>) {
        self.log.write(format!("{} notes {}", self.name, note.0));
    }
}

impl Handler<End> for Witness {
    type Result = ();
    fn handle(&mut self, _: End, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<Block> for Witness {
    type Result = ();
    fn handle(&mut self, block: Block, _: &mut Context<Self>) {
        let _ = block.entered.send(());
        let _ = block.released.recv();
    }
}

pub fn place() -> (Addr<Witness>, Seat<Witness>) {
    seat(16)
}

/// A group that restarts quickly and allows 3 restarts in an hour, whatever the machine's speed.
pub fn group(name: &str, strategy: Strategy) -> Group {
    let ms = Duration::from_millis(1);
    Group::new(name, strategy).intensity(3, Duration::from_secs(3600)).backoff(ms, ms)
}

pub fn own_thread() -> ArbiterHandle {
    Arbiter::new().handle()
}

/// A witness on a thread of its own.
pub fn witness(name: &'static str, log: &Log) -> (Addr<Witness>, Child) {
    let (address, seat) = place();
    (address, Child::new(name, seat, own_thread(), Witness::trapped(name, log, &[])))
}

pub fn no_hang(hang: Hang) {
    panic!("{hang:?}");
}

pub fn start(group: Group) -> Tree {
    group.start(no_hang).expect("the specification is sound")
}

/// Wait until all run and restarts below the root number `restarts`.
pub async fn restarted(tree: &Tree, restarts: u64) -> supervisors::Report {
    fn count(report: &supervisors::Report) -> u64 {
        report.restarts + report.children.iter().map(count).sum::<u64>()
    }
    let up = |report: &supervisors::Report| report.state == supervisors::State::Running && count(report) == restarts;
    within(tree.until(up)).await
}
