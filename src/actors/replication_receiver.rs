//! ReplicationReceiver: takes the holder's stream, checks epoch, order and digest of every entry, and hands over to JournalWriter.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, SpawnHandle, Supervised, WrapFuture};
use slog::Logger;
use tokio::sync::Notify;

use super::journal_writer::{BeginRun, CutTail, Written};
use super::{Storage, fault};
use crate::machines::failover::{StreamVerdict, TellPeer};
use crate::model::{Application, Epoch, Holder, Register, Sequence};
use crate::wire::listener::Accepted;

mod follow;

/// The peer has opened a link for its stream.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Incoming(pub Accepted);

/// Whether streams are taken; `false` ends the one that is open and stops confirming.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Admit(pub bool);

/// This server's journal has grown.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct StoredMoved;

/// Say this to the holder.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct TellHolder(pub TellPeer);

/// May the peer's stream be taken? Asked of FailoverCoordinator.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "StreamVerdict")]
pub struct StreamWanted {
    pub epoch: Epoch,
    pub holder: Holder,
}

/// What the holder wants noted; told to FailoverCoordinator.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub enum HolderSays {
    Intend(Register),
    Enter(Register),
}

#[derive(Clone)]
pub struct Neighbours {
    pub journal: Recipient<BeginRun>,
    pub cut: Recipient<CutTail>,
    pub written: Recipient<Written>,
    pub wanted: Recipient<StreamWanted>,
    pub says: Recipient<HolderSays>,
}

/// What actor and task share; both live on one thread.
#[derive(Default)]
struct Steering {
    wake: Notify,
    orders: RefCell<VecDeque<TellPeer>>,
}

pub struct ReplicationReceiver<A: Application> {
    storage: Arc<Storage<A>>,
    neighbours: Neighbours,
    log: Logger,
    admits: bool,
    steering: Rc<Steering>,
    /// Why the stream was refused last: the holder comes ten times a second, and one line says it.
    refused: Rc<Cell<Option<&'static str>>>,
    task: Option<SpawnHandle>,
}

impl<A: Application> ReplicationReceiver<A> {
    pub fn new(storage: Arc<Storage<A>>, neighbours: Neighbours, log: Logger) -> Self {
        Self { storage, neighbours, log, admits: false, steering: Rc::default(), refused: Rc::default(), task: None }
    }

    fn end_stream(&mut self, ctx: &mut Context<Self>) {
        if let Some(task) = self.task.take() {
            ctx.cancel_future(task);
            self.storage.board.set_told(Sequence(0));
        }
        self.steering = Rc::default();
    }
}

impl<A: Application> Actor for ReplicationReceiver<A> {
    type Context = Context<Self>;
}

impl<A: Application> Supervised for ReplicationReceiver<A> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // The link went with the task; the holder opens another one. Whether it is admitted was FailoverCoordinator's word and stands.
        self.task = None;
        self.steering = Rc::default();
        self.storage.board.set_told(Sequence(0));
    }
}

impl<A: Application> Handler<Incoming> for ReplicationReceiver<A> {
    type Result = ();

    fn handle(&mut self, Incoming(accepted): Incoming, ctx: &mut Context<Self>) {
        fault::point("replication-receiver/incoming");
        // The newest link is the one that the peer still has.
        self.end_stream(ctx);
        let follow = follow::Follow {
            storage: Arc::clone(&self.storage),
            neighbours: self.neighbours.clone(),
            steering: Rc::clone(&self.steering),
            refused: Rc::clone(&self.refused),
            log: self.log.clone(),
        };
        let admits = self.admits;
        self.task = Some(ctx.spawn(follow.go(accepted.link, admits).into_actor(self).map(|(), receiver, _| {
            receiver.storage.board.set_told(Sequence(0));
        })));
    }
}

impl<A: Application> Handler<Admit> for ReplicationReceiver<A> {
    type Result = ();

    fn handle(&mut self, Admit(admits): Admit, ctx: &mut Context<Self>) {
        fault::point("replication-receiver/admit");
        self.admits = admits;
        if !admits {
            self.end_stream(ctx);
        }
    }
}

impl<A: Application> Handler<StoredMoved> for ReplicationReceiver<A> {
    type Result = ();

    fn handle(&mut self, _: StoredMoved, _: &mut Context<Self>) {
        fault::point("replication-receiver/stored-moved");
        self.steering.wake.notify_one();
    }
}

impl<A: Application> Handler<TellHolder> for ReplicationReceiver<A> {
    type Result = ();

    fn handle(&mut self, TellHolder(tell): TellHolder, _: &mut Context<Self>) {
        fault::point("replication-receiver/tell-holder");
        self.steering.orders.borrow_mut().push_back(tell);
        self.steering.wake.notify_one();
    }
}
