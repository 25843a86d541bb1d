//! FailoverCoordinator: steps the failover machine with what happens and performs its effects, strictly in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, ResponseFuture, Supervised, WrapFuture};
use slog::{Logger, error};
use tokio::sync::{mpsc, oneshot};

use super::address_keeper::Hold;
use super::command_acceptor::Dismiss;
use super::data_updater::TakeCommands;
use super::replication_applier::ConfirmedMoved;
use super::replication_receiver::{Admit, HolderSays, StreamWanted, TellHolder};
use super::replication_sender::{BeginStream, CeaseStream, ContinueStream, StreamNews, TellFollower, WatchLevel};
use super::state_monitor::{GrantLeases, Judged, Stand};
use super::{Sick, Storage, StorageReborn, fault};
use crate::arbiter::Arbiter;
use crate::clock;
use crate::config::limits;
use crate::handover::Shown;
use crate::handover::failures::codes;
use crate::journal::CoordinationFile;
use crate::machines::failover::{Effect, Event, Failover, Rule, State, Story, StreamVerdict, TellPeer, View};
use crate::model::{Application, Coordination, Epoch, Holder, Moment, Position, Sequence, ServerId, Standing};

mod asking;
mod recordable;
mod story;
mod switchover;
mod word;

pub use switchover::{SwitchOver, SwitchedOver, SwitchoverRefused};
pub use word::{ConfirmAlone, Confirmed, NotConfirmed};

/// A person wants this server to stop.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct StopWanted;

/// Everybody that the coordinator tells something.
#[derive(Clone)]
pub struct Neighbours {
    pub begin: Recipient<BeginStream>,
    pub carry_on: Recipient<ContinueStream>,
    pub cease: Recipient<CeaseStream>,
    pub take_commands: Recipient<TakeCommands>,
    pub dismiss: Recipient<Dismiss>,
    pub watch_level: Recipient<WatchLevel>,
    pub tell_follower: Recipient<TellFollower>,
    pub admit: Recipient<Admit>,
    pub tell_holder: Recipient<TellHolder>,
    pub applier: Recipient<ConfirmedMoved>,
    pub hold: Recipient<Hold>,
    pub stand: Recipient<Stand>,
    pub grant_leases: Recipient<GrantLeases>,
}

/// The coordination file, shared with the blocking pool that writes it.
pub type Notes = Arc<Mutex<CoordinationFile>>;

#[derive(Clone)]
pub struct Settings {
    pub asynchronous: bool,
    /// Names of servers A and B, for the log.
    pub names: [String; 2],
    /// Text of the signed first register, for an arbiter that has none yet.
    pub first_register: String,
    pub notes: Notes,
    pub arbiter: Arc<dyn Arbiter>,
    /// The arbiter does not keep the two from drawing one number twice.
    pub own_numbers: bool,
}

pub struct FailoverCoordinator<A: Application> {
    settings: Settings,
    storage: Arc<Storage<A>>,
    shown: Arc<Shown>,
    neighbours: Neighbours,
    exit: mpsc::UnboundedSender<Story>,
    log: Logger,
    machine: Failover,
    first: Vec<Effect>,
    /// Who waits for the machine's verdict on a stream.
    asked_by: Option<oneshot::Sender<StreamVerdict>>,
    told: Option<Standing>,
    arbiter_heard: Option<Moment>,
    asks_under_way: usize,
    last_story: Option<Story>,
    /// When the peer was lost, for the length of the takeover.
    lost_at: Option<Moment>,
    /// Tells a comparison's deadline from that of an earlier one.
    comparisons: u64,
    /// What the peer must have stored before the pair is asked for; of the newest approach.
    level_mark: Sequence,
    switchover: switchover::Wanted,
    /// The newest epoch of the other server's whose date the arbiter was asked for.
    dated: Option<Epoch>,
}

impl<A: Application> FailoverCoordinator<A> {
    pub fn new(
        settings: Settings,
        storage: Arc<Storage<A>>,
        shown: Arc<Shown>,
        neighbours: Neighbours,
        exit: mpsc::UnboundedSender<Story>,
        log: Logger,
    ) -> Self {
        let (machine, first) = start(&settings);
        Self {
            settings,
            storage,
            shown,
            neighbours,
            exit,
            log,
            machine,
            first,
            asked_by: None,
            told: None,
            arbiter_heard: None,
            asks_under_way: 0,
            last_story: None,
            lost_at: None,
            comparisons: 0,
            level_mark: Sequence(0),
            switchover: switchover::Wanted::default(),
            dated: None,
        }
    }

    fn step(&mut self, event: Event, ctx: &mut Context<Self>) {
        fault::point("failover-coordinator/event");
        if matches!(event, Event::PeerLost(_)) && self.lost_at.is_none() {
            self.lost_at = Some(clock::now());
        }
        let effects = self.machine.step(&self.view(&event), event);
        self.perform(effects.into(), ctx);
    }

    /// What may be recorded is looked up only when it is due: it may have to be read from the journal's disk.
    fn view(&self, event: &Event) -> View {
        let stored = self.storage.board.stored_position();
        let recordable = if *event == Event::RefreshDue { self.recordable(stored) } else { None };
        View { stored, recordable: recordable.unwrap_or(Position::GENESIS) }
    }

    /// In order. What must be durable first is written on the blocking pool while this actor hears nothing else.
    fn perform(&mut self, mut effects: VecDeque<Effect>, ctx: &mut Context<Self>) {
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Note(coordination) => return self.note(coordination, effects, ctx),
                Effect::Dismiss => return self.dismiss(effects, ctx),
                effect => self.perform_one(effect, ctx),
            }
        }
        self.stand();
        self.ask_since_when(ctx);
        self.stop_if_handed_over(ctx);
    }

    fn note(&mut self, coordination: Coordination, rest: VecDeque<Effect>, ctx: &mut Context<Self>) {
        let notes = Arc::clone(&self.settings.notes);
        let write = tokio::task::spawn_blocking(move || {
            notes.lock().unwrap_or_else(PoisonError::into_inner).write(coordination).map_err(|error| error.to_string())
        });
        let then = write.into_actor(self).map(move |written, coordinator, ctx| match written {
            Ok(Ok(())) => {
                // On the disk, and nothing that follows from it has been done yet.
                fault::point("failover-coordinator/noted");
                coordinator.perform(rest, ctx);
            }
            Ok(Err(reason)) => coordinator.unable_to_note(&reason),
            Err(error) => coordinator.unable_to_note(&error.to_string()),
        });
        ctx.wait(then);
    }

    /// Nothing may be announced that is not durable: this server is over.
    fn unable_to_note(&mut self, reason: &str) {
        error!(self.log, "cannot write the coordination file; this server stops"; "reason" => reason);
        self.storage.gate.set(Rule::Closed, clock::now());
        self.leave(Story::Sick);
    }

    fn leave(&self, why: Story) {
        // The program waits for this for as long as it lives.
        let _ = self.exit.send(why);
    }

    fn perform_one(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        let to = &self.neighbours;
        match effect {
            Effect::Note(_) | Effect::Dismiss => unreachable!("waited for before"),
            Effect::Ask { expected, new } => self.ask(expected, new, ctx),
            Effect::ReadRegister => self.read_register(ctx),
            Effect::Gate(rule) => self.set_gate(rule),
            Effect::Begin { epoch, holder } => {
                to.begin.do_send(BeginStream { epoch, holder });
                self.watch_comparison(holder, ctx);
            }
            Effect::Continue { epoch, holder } => to.carry_on.do_send(ContinueStream { epoch, holder }),
            Effect::Cease => to.cease.do_send(CeaseStream),
            Effect::Admit(admits) => to.admit.do_send(Admit(admits)),
            Effect::Stream(verdict) => self.answer_stream(verdict),
            Effect::TakeCommands(takes) => self.take_commands(takes, ctx),
            Effect::WatchLevel => {
                self.level_mark = self.storage.board.executed();
                to.watch_level.do_send(WatchLevel(self.level_mark));
            }
            Effect::Tell(tell @ (TellPeer::Intend(_) | TellPeer::Enter(_))) => to.tell_follower.do_send(TellFollower(tell)),
            Effect::Tell(tell @ TellPeer::Intended(_)) => to.tell_holder.do_send(TellHolder(tell)),
            Effect::Addresses(set, by) => to.hold.do_send(Hold { set, by }),
            Effect::GrantLeases(granting) => to.grant_leases.do_send(GrantLeases(granting)),
            Effect::Story(story) => self.tell_story(story),
            Effect::Exit(why) => self.leave(why),
        }
    }

    fn set_gate(&self, rule: Rule) {
        self.storage.gate.set(rule, clock::now());
        self.neighbours.applier.do_send(ConfirmedMoved);
    }

    fn answer_stream(&mut self, verdict: StreamVerdict) {
        if let Some(asked_by) = self.asked_by.take() {
            // The link may have ended meanwhile.
            let _ = asked_by.send(verdict);
        }
    }

    /// A peer that is heard but never takes the stream must not keep this server from serving.
    fn watch_comparison(&mut self, holder: Holder, ctx: &mut Context<Self>) {
        self.comparisons += 1;
        let number = self.comparisons;
        if matches!(holder, Holder::Pair { .. }) {
            ctx.run_later(std::time::Duration::from_millis(limits::COMPARE_LIMIT_MS), move |coordinator, ctx| {
                if coordinator.comparisons == number {
                    if coordinator.machine.state() == State::Comparing {
                        coordinator.storage.failed(codes::COMPARE_LATE);
                    }
                    coordinator.step(Event::CompareTooLong, ctx);
                }
            });
        }
    }

    /// Heartbeats, status and the numbering of epochs follow the machine.
    fn stand(&mut self) {
        let standing = self.machine.standing();
        let register = self.machine.register().copied();
        self.shown.update(|view| view.register = register);
        if self.told == Some(standing) {
            return;
        }
        self.told = Some(standing);
        self.storage.board.set_epoch(standing.epoch);
        self.shown.update(|view| (view.standing, view.since) = (Some(standing), clock::unix_now()));
        self.neighbours.stand.do_send(Stand(standing));
    }

    fn name(&self, server: ServerId) -> &str {
        &self.settings.names[server.index()]
    }
}

fn start(settings: &Settings) -> (Failover, Vec<Effect>) {
    let (machine, first) = Failover::start(noted(&settings.notes), settings.asynchronous);
    (if settings.own_numbers { machine.drawing_own_numbers() } else { machine }, first)
}

fn noted(notes: &Notes) -> Coordination {
    *notes.lock().unwrap_or_else(PoisonError::into_inner).current()
}

impl<A: Application> Actor for FailoverCoordinator<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let first = std::mem::take(&mut self.first);
        self.perform(first.into(), ctx);
        ctx.run_interval(std::time::Duration::from_millis(limits::ASK_RETRY_MS), |coordinator, ctx| {
            if coordinator.asks_under_way == 0 {
                coordinator.step(Event::RetryDue, ctx);
            }
        });
        ctx.run_interval(std::time::Duration::from_millis(limits::REFRESH_MS), |coordinator, ctx| {
            if coordinator.asks_under_way == 0 {
                coordinator.step(Event::RefreshDue, ctx);
            }
        });
    }
}

impl<A: Application> Supervised for FailoverCoordinator<A> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        let (machine, first) = start(&self.settings);
        (self.machine, self.first) = (machine, first);
        (self.asked_by, self.told, self.asks_under_way, self.lost_at) = (None, None, 0, None);
        self.switchover.forget_who_asked();
    }
}

impl<A: Application> Handler<Judged> for FailoverCoordinator<A> {
    type Result = ();

    fn handle(&mut self, Judged(event): Judged, ctx: &mut Context<Self>) {
        fault::point("failover-coordinator/judged");
        self.step(event, ctx);
    }
}

impl<A: Application> Handler<StreamNews> for FailoverCoordinator<A> {
    type Result = ();

    fn handle(&mut self, news: StreamNews, ctx: &mut Context<Self>) {
        fault::point("failover-coordinator/stream-news");
        let event = match news {
            StreamNews::Compared => Event::Compared,
            StreamNews::Lost => Event::StreamLost,
            StreamNews::Level(mark) if mark == self.level_mark => Event::PeerLevel,
            // Of an earlier approach: what was acknowledged alone since then may be lacking.
            StreamNews::Level(_) => return,
            StreamNews::Intended(register) => Event::PeerIntended(register),
            StreamNews::Near if self.arbiter_is_fresh() => Event::PeerNear,
            // It comes again with the next acknowledgement.
            StreamNews::Near => return self.read_register(ctx),
        };
        self.step(event, ctx);
    }
}

impl<A: Application> Handler<StreamWanted> for FailoverCoordinator<A> {
    type Result = ResponseFuture<StreamVerdict>;

    fn handle(&mut self, StreamWanted { epoch, holder }: StreamWanted, ctx: &mut Context<Self>) -> Self::Result {
        fault::point("failover-coordinator/stream-wanted");
        let (sender, verdict) = oneshot::channel();
        self.asked_by = Some(sender);
        self.step(Event::StreamWanted { epoch, holder }, ctx);
        Box::pin(async move { verdict.await.unwrap_or(StreamVerdict::NotNow) })
    }
}

impl<A: Application> Handler<HolderSays> for FailoverCoordinator<A> {
    type Result = ();

    fn handle(&mut self, says: HolderSays, ctx: &mut Context<Self>) {
        fault::point("failover-coordinator/holder-says");
        let event = match says {
            HolderSays::Intend(register) => Event::IntendWanted(register),
            HolderSays::Enter(register) => Event::EnterWanted(register),
        };
        self.step(event, ctx);
    }
}

impl<A: Application> Handler<StorageReborn> for FailoverCoordinator<A> {
    type Result = ();

    fn handle(&mut self, _: StorageReborn, ctx: &mut Context<Self>) {
        fault::point("failover-coordinator/storage-reborn");
        self.step(Event::StorageReborn, ctx);
    }
}

impl<A: Application> Handler<Sick> for FailoverCoordinator<A> {
    type Result = ();

    fn handle(&mut self, _: Sick, ctx: &mut Context<Self>) {
        fault::point("failover-coordinator/sick");
        self.step(Event::Sick, ctx);
    }
}

impl<A: Application> Handler<StopWanted> for FailoverCoordinator<A> {
    type Result = ();

    fn handle(&mut self, _: StopWanted, ctx: &mut Context<Self>) {
        fault::point("failover-coordinator/stop-wanted");
        self.stop(ctx);
    }
}
