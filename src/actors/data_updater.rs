//! DataUpdater: executes commands on Main, one after another, against rows by key. Never waits for a disk or the peer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, AsyncContext, Context, Handler, Message, Recipient, Supervised};
use slog::{Logger, info, warn};

use super::journal_writer::Written;
use super::replication_applier::ConfirmedMoved;
use super::replication_sender::SendOn;
use super::{OpenStore, Reply, Storage, StorageReborn, Work, fault};
use crate::clock;
use crate::config::limits;
use crate::handover::Waiting;
use crate::handover::ids::Seen;
use crate::journal;
use crate::machines::failover::Rule;
use crate::model::application::{Day, PairCode};
use crate::model::entry::SharedEntry;
use crate::model::{
    Application, CommandRecord, Draft, Entry, Epoch, Position, Request, Response, Row, Sequence, Status, StreamNo, Unavailable,
    Verdict,
};
use crate::store::{Store, StoreError};

mod rows;

use rows::{RowCache, RowsByKey};

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

/// This server is no longer the holder.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct CeaseUpdating;

/// The store has moved on: whoever waited for it, or for room in the tail, goes on.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct AppliedMoved;

/// Commands executed before the next message is looked at: a batch of this size takes about 2 ms.
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
    open_store: OpenStore<A>,
    neighbours: Neighbours,
    log: Logger,
    store: Option<Box<dyn Store<A>>>,
    run: Option<Run<A>>,
    /// Taken from the intake, not executed yet: they stand behind a command that waits for the store.
    backlog: VecDeque<Work<A::Command>>,
    stalled: Option<Stalled<A>>,
    /// Starts once everything up to its `last` is applied; commands wait meanwhile.
    starting: Option<StartUpdating>,
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

/// What one batch led to.
struct Outcome<A: Application> {
    entries: Vec<SharedEntry<A::Row>>,
    answers: Vec<Waiting<Reply>>,
}

/// How one command ended here.
enum Ended<Q> {
    Entry(Response, Option<Day>),
    /// Rests on everything executed, and on this server being Main now.
    Read {
        response: Response,
        place: Option<(Epoch, Sequence)>,
        repeated: bool,
    },
    Retry(PairCode),
    Query(Q),
}

impl<A: Application> DataUpdater<A> {
    pub fn new(
        app: A,
        storage: Arc<Storage<A>>,
        open_store: OpenStore<A>,
        neighbours: Neighbours,
        log: Logger,
    ) -> Self {
        let (backlog, stalled, starting) = (VecDeque::new(), None, None);
        Self { app, storage, open_store, neighbours, log, store: None, run: None, backlog, stalled, starting }
    }

    fn work(&mut self, ctx: &mut Context<Self>) {
        if self.starting.is_some() || self.stalled.is_some() || self.waits_for_room() {
            // AppliedMoved comes back here.
            return;
        }
        if self.backlog.is_empty() {
            self.backlog.extend(self.storage.intake.take(BATCH_MAX));
        }
        let began = Instant::now();
        if let Some(oldest) = self.backlog.front() {
            self.storage.metrics.steps.queue.observe(began - oldest.came);
        }
        let mut outcome = Outcome { entries: Vec::new(), answers: Vec::with_capacity(self.backlog.len()) };
        while let Some(work) = self.backlog.pop_front() {
            self.execute(work, None, &mut outcome);
            if self.stalled.is_some() {
                break;
            }
        }
        self.measure(began, outcome.answers.len());
        self.hand_over(outcome);
        if !self.backlog.is_empty() || !self.storage.intake.is_empty() {
            ctx.notify(WorkWaiting);
        }
    }

    /// The applier is told to make room before the tail is looked at again: what it does in between is told.
    fn waits_for_room(&self) -> bool {
        let is_full = || self.storage.tail.is_full(limits::UNAPPLIED_ENTRIES_MAX, limits::UNAPPLIED_BYTES_MAX);
        if !is_full() {
            return false;
        }
        self.want_applied(self.storage.board.applied().next());
        is_full()
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

    fn execute(&mut self, work: Work<A::Command>, found: Option<&A::Found>, outcome: &mut Outcome<A>) {
        fault::point("data-updater/execute");
        match self.decide(&work.request, &work, found, outcome) {
            Ok(Ended::Query(query)) => self.stall(work, query, outcome),
            Ok(ended) => self.answer(work, ended, outcome),
            Err(Unavailable(reason)) => {
                warn!(self.log, "a row could not be read: the command is told to try again"; "reason" => reason);
                self.store = None;
                self.answer(work, Ended::Retry(PairCode::Busy), outcome);
            }
        }
    }

    /// The order is domain.md's: terminal and key, server mode, repeated id, then the application's own checks.
    fn decide(
        &mut self,
        request: &Request<A::Command>,
        work: &Work<A::Command>,
        found: Option<&A::Found>,
        outcome: &mut Outcome<A>,
    ) -> Result<Ended<A::Query>, Unavailable> {
        let Some(run) = self.run.as_mut() else { return Ok(Ended::Retry(PairCode::Switching)) };
        let applied = self.storage.board.applied();
        let (store, open) = (&mut self.store, &self.open_store);
        let mut read = |key: &<A::Row as Row>::Key| with_store(store, open, |store| store.row(key));
        let mut rows = RowsByKey { cache: &mut run.rows, applied, read: &mut read };
        if let Some(refusal) = self.app.identify(request, &mut rows)? {
            return Ok(Ended::Read { response: refusal, place: None, repeated: false });
        }
        if self.storage.gate.rule() == Rule::Closed && self.storage.gate.closed_for(clock::now()) > limits::CLOSED_PATIENCE_MS {
            return Ok(Ended::Retry(PairCode::Switching));
        }
        let changes = self.app.changes_data(&request.command);
        let day = if changes { Some(self.app.day(&mut rows)?) } else { None };
        if changes && found.is_none() {
            if let Some(recorded) = self.recorded(work, &outcome.entries)? {
                return Ok(self.repeat(request, &recorded));
            }
            if request.known_day.zip(day.and_then(|day| day.records_kept_from)).is_some_and(|(known, kept)| known < kept) {
                return Ok(Ended::Read { response: self.app.refusal(PairCode::CommandTooOld), place: None, repeated: false });
            }
        }
        let run = self.run.as_mut().expect("checked above");
        let (store, open) = (&mut self.store, &self.open_store);
        let mut read = |key: &<A::Row as Row>::Key| with_store(store, open, |store| store.row(key));
        let mut rows = RowsByKey { cache: &mut run.rows, applied, read: &mut read };
        let mut draft = Draft::new(&mut rows);
        let verdict = self.app.execute(request, found, &mut draft, clock::unix_now())?;
        match verdict {
            Verdict::Answer(response) => Ok(Ended::Read { response, place: None, repeated: false }),
            Verdict::Query(query) => Ok(Ended::Query(query)),
            Verdict::Store(response) => {
                let images = draft.into_images();
                self.number(request, images, &response, day, outcome);
                Ok(Ended::Entry(response, day))
            }
        }
    }

    /// The first outcome of this command id, if there is one.
    fn recorded(&mut self, work: &Work<A::Command>, batch: &[SharedEntry<A::Row>]) -> Result<Option<Recorded>, Unavailable> {
        let place = match self.storage.ids.find(&work.fingerprint) {
            Seen::New => return Ok(None),
            Seen::At(sequence) => Some(sequence),
            Seen::Unknown => None,
        };
        let in_memory = place.and_then(|sequence| {
            let in_batch = batch.iter().find(|entry| entry.position.sequence == sequence).cloned();
            in_batch.or_else(|| self.storage.tail.get(sequence))
        });
        if let Some(entry) = in_memory {
            let Position { epoch, sequence, .. } = entry.position;
            return Ok(Some(Recorded { epoch, sequence, record: entry.entry.record.clone() }));
        }
        let found = with_store(&mut self.store, &self.open_store, |store| match place {
            Some(sequence) => store.record(sequence),
            None => store.find_record(&work.request.terminal_id, &work.request.command_id),
        });
        let found = found.map_err(|error| Unavailable(error.to_string()))?;
        Ok(found.map(|stored| Recorded { epoch: stored.epoch, sequence: stored.sequence, record: stored.record }))
    }

    /// The outcome becomes the next entry of the history.
    fn number(
        &mut self,
        request: &Request<A::Command>,
        images: Vec<crate::model::Image<A::Row>>,
        response: &Response,
        day: Option<Day>,
        outcome: &mut Outcome<A>,
    ) {
        let run = self.run.as_mut().expect("only a run executes");
        let record = CommandRecord {
            terminal_id: request.terminal_id.clone(),
            command_id: request.command_id,
            body_hash: request.body_hash,
            day: day.and_then(|day| day.current),
            response: encode(response),
        };
        let sealed = journal::seal(&run.last, run.epoch, Entry { images, record })
            .expect("the application bounds what one command may change; see `journal::PAYLOAD_MAX`");
        run.rows.made(&sealed.entry.images, sealed.position.sequence, self.storage.board.applied());
        run.last = sealed.position;
        self.storage.ids.insert_all([(sealed.fingerprint, sealed.position.sequence)], limits::IDS_IN_MEMORY_MAX);
        outcome.entries.push(Arc::new(sealed));
    }

    fn repeat(&self, request: &Request<A::Command>, recorded: &Recorded) -> Ended<A::Query> {
        if recorded.record.body_hash != request.body_hash {
            return Ended::Read { response: self.app.refusal(PairCode::CommandIdReused), place: None, repeated: false };
        }
        let place = Some((recorded.epoch, recorded.sequence));
        Ended::Read { response: decode(&recorded.record.response), place, repeated: true }
    }

    fn answer(&self, work: Work<A::Command>, ended: Ended<A::Query>, outcome: &mut Outcome<A>) {
        let newest = outcome.entries.last().map(|entry| entry.position).or(self.run.as_ref().map(|run| run.last));
        let rests_on = newest.map_or(Sequence(0), |position| position.sequence);
        let (response, place, repeated, day, proven) = match ended {
            Ended::Entry(response, day) => {
                let place = newest.map(|position| (position.epoch, position.sequence));
                (response, place, false, day.and_then(|day| day.current), true)
            }
            Ended::Read { response, place, repeated } => (response, place, repeated, None, false),
            Ended::Retry(code) => (self.app.refusal(code), None, false, None, false),
            Ended::Query(_) => unreachable!("a query stalls"),
        };
        let retry = response.status == Status::Retry;
        let frame = (!proven && !retry).then(|| self.storage.board.want_frame());
        let Work { session, request, arrived, came, permit, .. } = work;
        self.storage.metrics.answered(self.app.name(&request.command), response.status);
        let reply = Reply { session, command_id: request.command_id, response, place, day, repeated, came, permit };
        outcome.answers.push(Waiting { rests_on, frame, since: arrived, answer: reply });
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
        let mut outcome = Outcome { entries: Vec::new(), answers: Vec::new() };
        if let Some(stalled) = self.stalled.take() {
            let late = clock::now().since(stalled.work.arrived) > limits::ANSWER_LIMIT_MS;
            if self.run.is_none() || late {
                self.answer(stalled.work, Ended::Retry(PairCode::Busy), &mut outcome);
            } else if self.storage.board.applied() < stalled.needs {
                self.stalled = Some(stalled);
            } else {
                match with_store(&mut self.store, &self.open_store, |store| store.query(&stalled.query)) {
                    Ok(found) => self.execute(stalled.work, Some(&found), &mut outcome),
                    Err(_) => self.answer(stalled.work, Ended::Retry(PairCode::Busy), &mut outcome),
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
        if !entries.is_empty() {
            if !self.storage.tail.append(run.stream, &entries) {
                // Another run has begun; this one's numbers are worth nothing.
                self.run = None;
                self.storage.gate.turn_away(answers);
                return;
            }
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

/// A record found for a repeated id.
struct Recorded {
    epoch: Epoch,
    sequence: Sequence,
    record: CommandRecord,
}

fn with_store<A: Application, T>(
    slot: &mut Option<Box<dyn Store<A>>>,
    open: &OpenStore<A>,
    ask: impl FnOnce(&mut dyn Store<A>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if slot.is_none() {
        *slot = Some(open()?);
    }
    ask(slot.as_mut().expect("filled above").as_mut())
}

fn encode(response: &Response) -> Vec<u8> {
    postcard::to_stdvec(response).expect("a response is strings and an enum")
}

fn decode(bytes: &[u8]) -> Response {
    postcard::from_bytes(bytes).expect("written by `encode`; the entry's digest was checked")
}

impl<A: Application> Actor for DataUpdater<A> {
    type Context = Context<Self>;
}

impl<A: Application> Supervised for DataUpdater<A> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // The commands that it held are gone with their permits' answers unsent: terminals repeat them.
        self.run = None;
        self.store = None;
        self.backlog.clear();
        self.stalled = None;
        self.starting = None;
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
        self.run = None;
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
        self.run = None;
        self.starting = None;
        self.storage.gate.flush();
        // Turns away what waits, now that there is no run.
        self.resume(ctx);
    }
}
