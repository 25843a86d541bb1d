//! DataUpdater: executes commands on Main, one after another, against rows by key. Never waits for a disk or the peer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, AsyncContext, Context, Handler, Message, Recipient, Supervised};
use slog::{Logger, info, warn};

use super::journal_writer::Written;
use super::replication_applier::ConfirmedMoved;
use super::replication_sender::SendOn;
use super::{Storage, StorageReborn, Work, fault};
use crate::clock;
use crate::config::limits;
use crate::model::application::PairCode;
use crate::model::{Application, Epoch, Moment, Position, Sequence, Status, StreamNo};
use crate::store::Store;

mod execution;
mod rows;

use execution::{Ended, Outcome, with_store};
use rows::RowCache;

/// Commands wait in the intake.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct WorkWaiting;

/// Number entries from here on, with an empty cache: everything before is applied.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct StartUpdating {
    pub stream: StreamNo,
    pub epoch: Epoch,
    pub last: Position,
}

/// The same run goes on under a new epoch.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct EnterEpoch(pub Epoch);

/// Whether commands are taken from the intake. While they are not, they wait there, as long as an answer may take.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct TakeCommands(pub bool);

/// This server is no longer the holder.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct CeaseUpdating;

/// The store has moved on: whoever waited for it, or for room in the tail, goes on.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct AppliedMoved;

/// Commands taken from the intake at once: executing that many deposits takes about 2 ms.
const BATCH_MAX: usize = 256;

/// Everybody that the updater tells something.
#[derive(Clone)]
pub struct Neighbours {
    pub journal: Recipient<Written>,
    pub sender: Recipient<SendOn>,
    pub applier: Recipient<ConfirmedMoved>,
    pub coordinator: Recipient<StorageReborn>,
}

pub struct DataUpdater<A: Application> {
    app: A,
    storage: Arc<Storage<A>>,
    neighbours: Neighbours,
    log: Logger,
    store: Option<Box<dyn Store<A>>>,
    run: Option<Run<A>>,
    /// Taken from the intake, not executed yet: they stand behind a command that waits for the store.
    backlog: VecDeque<Work<A::Command>>,
    stalled: Option<Stalled<A>>,
    /// Starts once everything up to its `last` is applied; commands wait meanwhile.
    starting: Option<StartUpdating>,
    takes: bool,
    /// A timer will look at what waits.
    looking: bool,
    /// Reads of the store that have failed in a row; a timer asks it again.
    read_failures: u32,
}

struct Run<A: Application> {
    stream: StreamNo,
    epoch: Epoch,
    last: Position,
    rows: RowCache<A::Row>,
}

/// A command that needs a query over everything executed before it.
struct Stalled<A: Application> {
    work: Work<A::Command>,
    query: A::Query,
    needs: Sequence,
}

impl<A: Application> DataUpdater<A> {
    pub fn new(app: A, storage: Arc<Storage<A>>, neighbours: Neighbours, log: Logger) -> Self {
        Self {
            app,
            storage,
            neighbours,
            log,
            store: None,
            run: None,
            backlog: VecDeque::new(),
            stalled: None,
            starting: None,
            takes: true,
            looking: false,
            read_failures: 0,
        }
    }

    fn work(&mut self, ctx: &mut Context<Self>) {
        self.storage.board.set_holds_back(!self.takes && self.stalled.is_none());
        self.storage.board.set_waits_to_start(self.starting.is_some());
        if !self.takes || self.starting.is_some() || self.stalled.is_some() || self.waits_for_room() {
            // AppliedMoved comes back here, or TakeCommands.
            return self.look_later(ctx);
        }
        if self.backlog.is_empty() {
            self.backlog.extend(self.storage.intake.take(BATCH_MAX));
        }
        let began = Instant::now();
        if let Some(oldest) = self.backlog.front() {
            self.storage.metrics.steps.queue.observe(began - oldest.came);
        }
        let mut outcome = Outcome::default();
        while let Some(work) = self.backlog.pop_front() {
            self.execute(work, None, &mut outcome);
            if self.stalled.is_some() || began.elapsed() >= limits::BATCH_TIME_MAX {
                break;
            }
        }
        self.measure(began, outcome.answers.len());
        self.hand_over(outcome);
        match &self.stalled {
            // What was applied before it was wanted is not told.
            Some(stalled) if self.storage.board.applied() >= stalled.needs => ctx.notify(AppliedMoved),
            Some(_) => self.look_later(ctx),
            None if !self.backlog.is_empty() || !self.storage.intake.is_empty() => ctx.notify(WorkWaiting),
            None => {}
        }
    }

    /// The store could not be read: one line for many failures, and a look each second, so that status is right on a quiet site too.
    fn read_failed(&mut self, reason: &str) {
        self.store = None;
        self.read_failures += 1;
        self.storage.board.set_reading_fails(true);
        if self.read_failures.is_power_of_two() {
            warn!(self.log, "a row could not be read: commands are told to try again";
                "reason" => reason, "failures" => self.read_failures);
        }
    }

    fn read_again(&mut self) {
        if std::mem::take(&mut self.read_failures) > 0 {
            info!(self.log, "the store answers again");
        }
        self.storage.board.set_reading_fails(false);
    }

    fn look_at_the_store(&mut self, ctx: &mut Context<Self>) {
        if self.read_failures > 0 && with_store(&mut self.store, &self.storage, |store| store.applied()).is_ok() {
            self.read_again();
        }
        ctx.run_later(limits::STORE_LOOK, Self::look_at_the_store);
    }

    /// The applier is told to make room before the tail is looked at again: what it does in between is told.
    fn waits_for_room(&self) -> bool {
        if self.storage.board.journal_is_long() {
            return true;
        }
        let is_full = || self.storage.tail.is_full(limits::UNAPPLIED_ENTRIES_MAX, limits::UNAPPLIED_BYTES_MAX);
        if !is_full() {
            return false;
        }
        self.want_applied(self.storage.board.applied().next());
        is_full()
    }

    /// A store that never moves again must not leave anybody without an answer.
    fn look_later(&mut self, ctx: &mut Context<Self>) {
        let nobody_waits = self.stalled.is_none() && self.backlog.is_empty() && self.storage.intake.is_empty();
        if nobody_waits || std::mem::replace(&mut self.looking, true) {
            return;
        }
        ctx.run_later(limits::LATE_LOOK, |updater, ctx| {
            updater.looking = false;
            let mut outcome = Outcome::default();
            updater.turn_away_late(&mut outcome);
            updater.hand_over(outcome);
            updater.resume(ctx);
        });
    }

    fn turn_away_late(&mut self, outcome: &mut Outcome<A>) {
        let now = clock::now();
        loop {
            if self.backlog.is_empty() {
                self.backlog.extend(self.storage.intake.take(BATCH_MAX));
            }
            match self.backlog.pop_front_if(|work| is_late(work, now)) {
                Some(work) => self.answer(work, Ended::Retry(PairCode::Busy), outcome),
                None => return,
            }
        }
    }

    fn want_applied(&self, through: Sequence) {
        self.storage.board.want_applied(through);
        self.neighbours.applier.do_send(ConfirmedMoved);
    }

    fn measure(&self, began: Instant, commands: usize) {
        if let Ok(commands @ 1..) = u32::try_from(commands) {
            self.storage.metrics.steps.execute.observe(began.elapsed() / commands);
            self.storage.metrics.batches.execute.observe(f64::from(commands));
        }
    }

    fn stall(&mut self, work: Work<A::Command>, query: A::Query, outcome: &mut Outcome<A>) {
        let executed = outcome.entries.last().map(|entry| entry.position).or(self.run.as_ref().map(|run| run.last));
        let needs = executed.map_or(Sequence(0), |position| position.sequence);
        self.want_applied(needs);
        self.stalled = Some(Stalled { work, query, needs });
    }

    fn start_if_applied(&mut self) {
        let Some(StartUpdating { stream, epoch, last }) = self.starting else { return };
        if self.storage.board.applied() < last.sequence {
            return;
        }
        self.starting = None;
        self.run = Some(Run { stream, epoch, last, rows: RowCache::new(limits::ROWS_CACHED_MAX) });
        info!(self.log, "executes commands"; "epoch" => epoch.0, "position" => last.to_string());
    }

    /// The store has moved: answers the query of a stalled command if it is far enough, or gives up after its time.
    fn resume(&mut self, ctx: &mut Context<Self>) {
        self.start_if_applied();
        let mut outcome = Outcome::default();
        if let Some(stalled) = self.stalled.take() {
            if self.run.is_none() || is_late(&stalled.work, clock::now()) {
                self.answer(stalled.work, Ended::Retry(PairCode::Busy), &mut outcome);
            } else if self.storage.board.applied() < stalled.needs {
                self.stalled = Some(stalled);
            } else {
                match with_store(&mut self.store, &self.storage, |store| store.query(&stalled.query)) {
                    Ok(found) => self.execute(stalled.work, Some(&found), &mut outcome),
                    Err(error) => {
                        self.read_failed(&error.to_string());
                        self.answer(stalled.work, Ended::Retry(PairCode::Busy), &mut outcome);
                    }
                }
            }
        }
        self.hand_over(outcome);
        self.work(ctx);
    }

    /// Entries first, so that nobody waits for something that nobody stores; then the answers; then wake whoever goes on.
    fn hand_over(&mut self, outcome: Outcome<A>) {
        let Outcome { entries, answers } = outcome;
        let Some(run) = &self.run else {
            self.storage.gate.turn_away(answers);
            return;
        };
        if self.storage.tail.stream() != run.stream || !self.storage.tail.append(run.stream, &entries) {
            // Another run has begun; this one's numbers are worth nothing, and what was read with them rests on nothing.
            self.run = None;
            self.storage.gate.turn_away(answers);
            return;
        }
        if !entries.is_empty() {
            self.storage.board.set_executed(run.last.sequence);
            // On its way to both journals, and nobody waits for the answer yet.
            fault::point("data-updater/handed-over");
        }
        let (retry, given): (Vec<_>, Vec<_>) = answers.into_iter().partition(|w| w.answer.response.status == Status::Retry);
        self.storage.gate.turn_away(retry);
        self.storage.gate.wait(given, clock::now());
        // The peer first: its way is the longer one.
        if !entries.is_empty() || self.storage.board.frame_is_wanted() {
            self.neighbours.sender.do_send(SendOn);
        }
        if !entries.is_empty() {
            self.neighbours.journal.do_send(Written);
        }
    }
}

fn is_late<C>(work: &Work<C>, now: Moment) -> bool {
    now.since(work.arrived) > limits::ANSWER_LIMIT_MS
}

impl<A: Application> Actor for DataUpdater<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // What an earlier life left in the intake: nobody pokes while something waits there.
        ctx.notify(WorkWaiting);
        ctx.run_later(limits::STORE_LOOK, Self::look_at_the_store);
    }
}

impl<A: Application> Supervised for DataUpdater<A> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        (self.run, self.store, self.starting, self.looking) = (None, None, None, false);
        self.takes = true;
        self.read_again();
        // What was being executed is gone, and its terminals repeat it; what only waited is told to.
        let mut outcome = Outcome::default();
        let stalled = self.stalled.take().map(|stalled| stalled.work);
        for work in stalled.into_iter().chain(std::mem::take(&mut self.backlog)) {
            self.answer(work, Ended::Retry(PairCode::Switching), &mut outcome);
        }
        self.storage.gate.turn_away(outcome.answers);
        self.neighbours.coordinator.do_send(StorageReborn);
    }
}

impl<A: Application> Handler<WorkWaiting> for DataUpdater<A> {
    type Result = ();

    fn handle(&mut self, _: WorkWaiting, ctx: &mut Context<Self>) {
        fault::point("data-updater/work-waiting");
        self.work(ctx);
    }
}

impl<A: Application> Handler<AppliedMoved> for DataUpdater<A> {
    type Result = ();

    fn handle(&mut self, _: AppliedMoved, ctx: &mut Context<Self>) {
        fault::point("data-updater/applied-moved");
        self.resume(ctx);
    }
}

impl<A: Application> Handler<StartUpdating> for DataUpdater<A> {
    type Result = ();

    fn handle(&mut self, start: StartUpdating, ctx: &mut Context<Self>) {
        fault::point("data-updater/start-updating");
        (self.run, self.takes) = (None, true);
        self.starting = Some(start);
        self.want_applied(start.last.sequence);
        self.resume(ctx);
    }
}

impl<A: Application> Handler<EnterEpoch> for DataUpdater<A> {
    type Result = ();

    fn handle(&mut self, EnterEpoch(epoch): EnterEpoch, _: &mut Context<Self>) {
        fault::point("data-updater/enter-epoch");
        if let Some(run) = &mut self.run {
            run.epoch = epoch;
        }
        if let Some(starting) = &mut self.starting {
            starting.epoch = epoch;
        }
    }
}

impl<A: Application> Handler<CeaseUpdating> for DataUpdater<A> {
    type Result = ();

    fn handle(&mut self, _: CeaseUpdating, ctx: &mut Context<Self>) {
        fault::point("data-updater/cease-updating");
        (self.run, self.starting, self.takes) = (None, None, true);
        self.storage.gate.flush();
        // Turns away what waits, now that there is no run.
        self.resume(ctx);
    }
}

impl<A: Application> Handler<TakeCommands> for DataUpdater<A> {
    type Result = ();

    fn handle(&mut self, TakeCommands(takes): TakeCommands, ctx: &mut Context<Self>) {
        fault::point("data-updater/take-commands");
        self.takes = takes;
        self.work(ctx);
    }
}
