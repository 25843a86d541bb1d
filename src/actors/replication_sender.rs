//! ReplicationSender: ships entries from the holder to its peer, and tells what the peer has stored.
//!
//! A *run* lasts from one start of DataUpdater to the next and has a stream number of its own; within a run the link may break and be
//! opened again. The work is one task ([`run`]); the actor only starts, steers and ends it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, SpawnHandle, Supervised, WrapFuture};
use slog::Logger;
use tokio::sync::Notify;

use super::data_updater::{CeaseUpdating, EnterEpoch, StartUpdating};
use super::journal_writer::{BeginRun, Written};
use super::replication_applier::ConfirmedMoved;
use super::{Sick, Storage, StorageReborn, fault};
use crate::machines::failover::TellPeer;
use crate::model::{Application, Epoch, Holder, Register, Sequence, StreamNo};
use crate::wire::link::{Connector, Route};
use crate::wire::names::ServerNames;

mod run;

pub use run::JournalHistory;

/// Begin a new run as holder.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct BeginStream {
    pub epoch: Epoch,
    pub holder: Holder,
}

/// The run goes on under a new epoch.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct ContinueStream {
    pub epoch: Epoch,
    pub holder: Holder,
}

/// The run is over.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct CeaseStream;

/// There is something to send.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct SendOn;

/// Say this to the follower, in order with the entries.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct TellFollower(pub TellPeer);

/// From now on, tell when the follower has stored everything up to here.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct WatchLevel(pub Sequence);

/// What FailoverCoordinator hears of the stream.
#[derive(Message, Clone, Copy, Debug, PartialEq, Eq)]
#[rtype(result = "()")]
pub enum StreamNews {
    Compared,
    Lost,
    /// The follower lacks few entries.
    Near,
    /// It has stored everything up to this mark.
    Level(Sequence),
    /// It has noted durably that it will enter the Pair of this register.
    Intended(Register),
}

/// Everybody that the sender tells something.
#[derive(Clone)]
pub struct Neighbours {
    pub journal: Recipient<BeginRun>,
    pub written: Recipient<Written>,
    pub applier: Recipient<ConfirmedMoved>,
    pub start_updating: Recipient<StartUpdating>,
    pub enter_epoch: Recipient<EnterEpoch>,
    pub cease_updating: Recipient<CeaseUpdating>,
    pub news: Recipient<StreamNews>,
    pub sick: Recipient<Sick>,
    pub reborn: Recipient<StorageReborn>,
}

/// How the peer is reached.
#[derive(Clone)]
pub struct ToThePeer {
    pub connector: Connector,
    pub route: Route,
    /// For the log: a certificate knows none.
    pub names: ServerNames,
}

/// What actor and task share; both live on one thread.
struct Steering {
    wake: Notify,
    orders: RefCell<VecDeque<TellPeer>>,
    epoch: Cell<Epoch>,
    holder: Cell<Holder>,
    level_at: Cell<Option<Sequence>>,
}

pub struct ReplicationSender<A: Application> {
    storage: Arc<Storage<A>>,
    peer: ToThePeer,
    neighbours: Neighbours,
    log: Logger,
    steering: Option<Rc<Steering>>,
    task: Option<SpawnHandle>,
}

impl<A: Application> ReplicationSender<A> {
    pub fn new(storage: Arc<Storage<A>>, peer: ToThePeer, neighbours: Neighbours, log: Logger) -> Self {
        Self { storage, peer, neighbours, log, steering: None, task: None }
    }

    fn end_run(&mut self, ctx: &mut Context<Self>) {
        if let Some(task) = self.task.take() {
            ctx.cancel_future(task);
        }
        self.steering = None;
        self.storage.board.set_peer_stored(Sequence(0));
    }

    /// DataUpdater may stand still in its store: answers of the run that ends must not wait for it, or they meet the next run's entries.
    fn cease_updating(&self) {
        self.storage.gate.flush();
        self.neighbours.cease_updating.do_send(CeaseUpdating);
    }
}

/// A number that no earlier run of either server has used: later than all of them by the clock, or by one.
fn draw_stream(before: StreamNo) -> StreamNo {
    let by_clock = u64::try_from(crate::clock::unix_now().0).unwrap_or(0) << 8;
    StreamNo(by_clock.max(before.0 + 1))
}

impl<A: Application> Actor for ReplicationSender<A> {
    type Context = Context<Self>;
}

impl<A: Application> Supervised for ReplicationSender<A> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // The context's futures went with the failed life, the run's task among them.
        self.task = None;
        if self.steering.take().is_some() {
            self.neighbours.reborn.do_send(StorageReborn);
        }
    }
}

impl<A: Application> Handler<BeginStream> for ReplicationSender<A> {
    type Result = ();

    fn handle(&mut self, BeginStream { epoch, holder }: BeginStream, ctx: &mut Context<Self>) {
        fault::point("replication-sender/begin-stream");
        self.end_run(ctx);
        self.cease_updating();
        let steering = Rc::new(Steering {
            wake: Notify::new(),
            orders: RefCell::default(),
            epoch: Cell::new(epoch),
            holder: Cell::new(holder),
            level_at: Cell::new(None),
        });
        let run = run::Run {
            storage: Arc::clone(&self.storage),
            peer: self.peer.clone(),
            neighbours: self.neighbours.clone(),
            log: self.log.clone(),
            steering: Rc::clone(&steering),
            stream: draw_stream(self.storage.tail.stream()),
        };
        self.steering = Some(steering);
        self.task = Some(ctx.spawn(run.go().into_actor(self).map(|(), _, _| ())));
    }
}

impl<A: Application> Handler<ContinueStream> for ReplicationSender<A> {
    type Result = ();

    fn handle(&mut self, ContinueStream { epoch, holder }: ContinueStream, _: &mut Context<Self>) {
        fault::point("replication-sender/continue-stream");
        let Some(steering) = &self.steering else { return };
        steering.epoch.set(epoch);
        steering.holder.set(holder);
        steering.level_at.set(None);
        self.neighbours.enter_epoch.do_send(EnterEpoch(epoch));
    }
}

impl<A: Application> Handler<CeaseStream> for ReplicationSender<A> {
    type Result = ();

    fn handle(&mut self, _: CeaseStream, ctx: &mut Context<Self>) {
        fault::point("replication-sender/cease-stream");
        self.end_run(ctx);
        self.cease_updating();
    }
}

impl<A: Application> Handler<SendOn> for ReplicationSender<A> {
    type Result = ();

    fn handle(&mut self, _: SendOn, _: &mut Context<Self>) {
        fault::point("replication-sender/send-on");
        if let Some(steering) = &self.steering {
            steering.wake.notify_one();
        }
    }
}

impl<A: Application> Handler<TellFollower> for ReplicationSender<A> {
    type Result = ();

    fn handle(&mut self, TellFollower(tell): TellFollower, _: &mut Context<Self>) {
        fault::point("replication-sender/tell-follower");
        if let Some(steering) = &self.steering {
            steering.orders.borrow_mut().push_back(tell);
            steering.wake.notify_one();
        }
    }
}

impl<A: Application> Handler<WatchLevel> for ReplicationSender<A> {
    type Result = ();

    fn handle(&mut self, WatchLevel(mark): WatchLevel, _: &mut Context<Self>) {
        fault::point("replication-sender/watch-level");
        if let Some(steering) = &self.steering {
            steering.level_at.set(Some(mark));
            steering.wake.notify_one();
        }
    }
}
