//! ReplicationApplier: the only writer of the store, on both servers. Applies what is confirmed, never more, in larger transactions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Context, Handler, Message, Recipient, Supervised};
use slog::{Logger, error, info, warn};

use super::data_updater::AppliedMoved;
use super::journal_writer::StoreSynced;
use super::replication_receiver::StoredMoved;
use super::{Sick, Storage, fault};
use crate::clock;
use crate::config::limits;
use crate::handover::Slice;
use crate::handover::failures::codes;
use crate::journal::{self, fingerprint, unseal};
use crate::model::entry::SharedEntry;
use crate::model::{Application, Position, Sequence};
use crate::store::{Store, StoreError};

mod checkpoint;

/// More is confirmed than before.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct ConfirmedMoved;

/// Everybody that the applier tells something.
#[derive(Clone)]
pub struct Neighbours {
    pub updater: Recipient<AppliedMoved>,
    pub journal: Recipient<StoreSynced>,
    pub receiver: Recipient<StoredMoved>,
    pub coordinator: Recipient<Sick>,
}

pub struct ReplicationApplier<A: Application> {
    storage: Arc<Storage<A>>,
    neighbours: Neighbours,
    log: Logger,
    store: Option<Box<dyn Store<A>>>,
    /// Tells the checkpoint thread that the store has grown.
    checkpoints: Option<std::sync::mpsc::SyncSender<Sequence>>,
    checkpointed: Sequence,
    /// The set of command ids was filled from the store and the journal.
    ids_known: bool,
    /// Ids up to here are no longer remembered.
    forgotten: Sequence,
    log_of_store: Arc<checkpoint::Log>,
    last_batch: Option<Instant>,
    /// A timer will go on: more entries may share the next transaction.
    pausing: bool,
    /// A retry is under way: messages need not start another one.
    waiting: bool,
    failures: u32,
}

impl<A: Application> ReplicationApplier<A> {
    pub fn new(storage: Arc<Storage<A>>, neighbours: Neighbours, log: Logger) -> Self {
        Self {
            storage,
            neighbours,
            log,
            store: None,
            checkpoints: None,
            checkpointed: Sequence(0),
            ids_known: false,
            forgotten: Sequence(0),
            log_of_store: Arc::default(),
            last_batch: None,
            pausing: false,
            waiting: false,
            failures: 0,
        }
    }

    /// How long to leave the store alone: a transaction costs the same for one entry as for forty, so it waits for company, unless
    /// somebody waits for it or there is enough already.
    fn pause(&self) -> Option<Duration> {
        let board = &self.storage.board;
        let applied = board.applied();
        let enough = board.confirmed().0.saturating_sub(applied.0) >= limits::APPLY_BATCH_MAX as u64;
        if enough || board.is_wanted_beyond(applied) {
            return None;
        }
        let since = self.last_batch?.elapsed();
        limits::APPLY_PAUSE.checked_sub(since).filter(|left| !left.is_zero())
    }

    /// One transaction. True if more may wait.
    fn apply_batch(&mut self) -> Result<bool, StoreError> {
        if self.store.is_none() {
            self.open()?;
        }
        let board = &self.storage.board;
        let (applied, confirmed) = (board.applied_position(), board.confirmed());
        if applied.sequence >= confirmed {
            return Ok(false);
        }
        if self.log_of_store.is_too_long() {
            let reason = "a reader keeps its log from being moved into it".to_owned();
            return Err(StoreError::Locked { place: "the store".to_owned(), reason });
        }
        let entries = self.next_entries(applied, confirmed)?;
        if entries.is_empty() {
            return Ok(false);
        }
        fault::point("replication-applier/batch");
        let began = Instant::now();
        let store = self.store.as_mut().expect("opened above");
        let before = applied.sequence;
        let writing = self.log_of_store.stand_still();
        let applied = store.apply(&entries)?;
        drop(writing);
        // In the store, and nobody knows it yet.
        fault::point("replication-applier/applied");
        self.storage.board.set_applied(applied);
        self.storage.metrics.steps.applied.observe(began.elapsed());
        self.storage.metrics.batches.apply.observe(entries.len() as f64);
        self.storage.tail.release(applied.sequence);
        if self.storage.board.is_wanted_beyond(before) {
            self.neighbours.updater.do_send(AppliedMoved);
        }
        if self.storage.board.told() == applied.sequence {
            // All that was told to be confirmed can be seen here; the holder measures how long that took.
            self.storage.board.set_fresh_at(clock::now());
            self.neighbours.receiver.do_send(StoredMoved);
        }
        if applied.sequence.0 >= self.checkpointed.0 + limits::CHECKPOINT_EVERY {
            self.checkpoint(applied.sequence);
            self.forget_old_ids()?;
        }
        Ok(true)
    }

    fn next_entries(&self, applied: Position, confirmed: Sequence) -> Result<Vec<SharedEntry<A::Row>>, StoreError> {
        let slice = self.storage.tail.after(applied.sequence, confirmed, limits::APPLY_BATCH_MAX, limits::APPLY_BATCH_BYTES);
        let entries = match slice {
            Slice::Entries(entries) => entries,
            Slice::Gone => return self.read_from_journal(applied, confirmed),
        };
        match entries.first() {
            // The first one is bound to what is applied, and each further one to the one before it.
            Some(first) if !journal::follows(&applied, first) => Err(another_history(first.position.sequence)),
            Some(_) | None => Ok(entries),
        }
    }

    fn read_from_journal(&self, applied: Position, confirmed: Sequence) -> Result<Vec<SharedEntry<A::Row>>, StoreError> {
        let unreadable = |what: String| StoreError::Corrupt { place: "journal".into(), reason: what };
        let reader = self.storage.reader();
        let records = reader.read_after(applied.sequence, limits::APPLY_BATCH_BYTES).map_err(|e| unreadable(e.to_string()))?;
        let mut previous = applied;
        let mut entries = Vec::with_capacity(records.len());
        for record in records.into_iter().take(limits::APPLY_BATCH_MAX) {
            if record.position.sequence > confirmed {
                break;
            }
            let (epoch, sequence) = (record.position.epoch, record.position.sequence);
            let sealed = unseal(&previous, epoch, sequence, record.payload).map_err(|e| unreadable(e.to_string()))?;
            if sealed.position != record.position {
                return Err(another_history(sequence));
            }
            previous = sealed.position;
            entries.push(Arc::new(sealed));
        }
        Ok(entries)
    }

    fn open(&mut self) -> Result<(), StoreError> {
        let mut store = (self.storage.open_store)()?;
        let applied = store.applied()?;
        self.storage.board.set_applied(applied);
        // Once: whatever was left to the store for want of memory since then would be left to it again.
        if !self.ids_known {
            self.rebuild_ids(store.as_mut(), applied)?;
            self.ids_known = true;
        }
        self.store = Some(store);
        self.checkpointed = applied.sequence;
        self.neighbours.updater.do_send(AppliedMoved);
        Ok(())
    }

    /// The set of command ids: the store's records, then what the journal has beyond them. Others insert and cut meanwhile, so what
    /// is there stays: it may be newer than what is read here.
    fn rebuild_ids(&self, store: &mut dyn Store<A>, applied: Position) -> Result<(), StoreError> {
        let ids = &self.storage.ids;
        store.for_each_record(&mut |terminal, command, sequence| {
            ids.insert_absent(fingerprint(terminal, command), sequence);
        })?;
        let reader = self.storage.reader();
        let mut after = applied.sequence;
        loop {
            let records = reader.read_after(after, limits::APPLY_BATCH_BYTES);
            if after > reader.stored().sequence {
                // Cut meanwhile. A place that is left over stands for another command, which whoever looks there sees.
                break;
            }
            let records = records.map_err(|e| StoreError::Corrupt { place: "journal".into(), reason: e.to_string() })?;
            let Some(last) = records.last() else { break };
            after = last.position.sequence;
            for record in &records {
                if let Ok(entry) = journal::digest::decode::<A::Row>(&record.payload) {
                    let id = fingerprint(&entry.record.terminal_id, &entry.record.command_id);
                    ids.insert_absent(id, record.position.sequence);
                }
            }
        }
        ids.set_complete();
        info!(self.log, "knows the command ids"; "ids" => ids.len());
        Ok(())
    }

    /// What has left the store as too old is known to be too old without looking.
    fn forget_old_ids(&mut self) -> Result<(), StoreError> {
        let Some(store) = self.store.as_mut() else { return Ok(()) };
        let through = store.records_forgotten_through()?;
        if through > self.forgotten {
            self.storage.ids.forget(through);
            self.forgotten = through;
        }
        Ok(())
    }

    fn checkpoint(&mut self, applied: Sequence) {
        self.checkpointed = applied;
        let checkpoints = self.checkpoints.get_or_insert_with(|| {
            checkpoint::thread(&self.storage.open_store, self.neighbours.journal.clone(), &self.log_of_store, &self.log)
        });
        // A full queue means that one is under way, and another one will follow.
        let _ = checkpoints.try_send(applied);
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        if let Some(pause) = self.pause() {
            if !std::mem::replace(&mut self.pausing, true) {
                ctx.run_later(pause, |applier, ctx| {
                    applier.pausing = false;
                    applier.go_on(ctx);
                });
            }
            return;
        }
        self.storage.board.begin_applying();
        let applied = self.apply_batch();
        self.last_batch = Some(Instant::now());
        self.settle(applied, ctx);
    }

    /// A store to which nothing is to be applied may be away all the same, and status says so before it is needed. One that is never
    /// flushed fills the journal's disk.
    fn look_at_the_store(&mut self, ctx: &mut Context<Self>) {
        let bytes = self.storage.reader().bytes();
        let is_long = bytes > limits::JOURNAL_BYTES_MAX;
        if self.storage.board.set_journal_is_long(is_long) && is_long {
            warn!(self.log, "the journal is too long: commands wait until the store has been flushed"; "bytes" => bytes);
        }
        let is_idle = self.last_batch.is_none_or(|last| last.elapsed() >= limits::STORE_LOOK);
        if self.waiting || !is_idle {
            return;
        }
        let there = match &mut self.store {
            Some(store) => store.applied().map(drop),
            None => self.open(),
        };
        self.settle(there.map(|()| false), ctx);
    }

    fn settle(&mut self, applied: Result<bool, StoreError>, ctx: &mut Context<Self>) {
        self.storage.board.set_applying_fails(applied.is_err());
        match applied {
            Ok(more) => {
                if std::mem::take(&mut self.failures) > 0 {
                    info!(self.log, "applies again");
                }
                if more {
                    ctx.notify(ConfirmedMoved);
                }
            }
            Err(error) => self.fail(&error, ctx),
        }
    }

    /// A store that is away, locked or full is tried again while lag slows admission; refused data is poison and stops this server.
    fn fail(&mut self, error: &StoreError, ctx: &mut Context<Self>) {
        if is_poison(error) {
            self.storage.failed(codes::STORE_REFUSES);
            error!(self.log, "the store refuses an entry; this server stops"; "reason" => error.to_string());
            self.neighbours.coordinator.do_send(Sick { reason: format!("store: {error}") });
            return;
        }
        self.storage.failed(codes::STORE_FAILS);
        self.failures += 1;
        if self.failures.is_power_of_two() {
            warn!(self.log, "cannot apply; trying again"; "reason" => error.to_string(), "failures" => self.failures);
        }
        self.store = None;
        self.waiting = true;
        ctx.run_later(APPLY_RETRY, |applier, ctx| {
            applier.waiting = false;
            applier.go_on(ctx);
        });
    }
}

/// What was cut off the journal had been applied: going on would leave its rows in the store for ever.
fn another_history(before: Sequence) -> StoreError {
    let reason = format!("the store holds another history than the journal before entry {}", before.0);
    StoreError::Corrupt { place: "journal".into(), reason }
}

/// Trying again cannot help.
fn is_poison(error: &StoreError) -> bool {
    match error {
        StoreError::Away { .. } | StoreError::Locked { .. } | StoreError::Full { .. } => false,
        StoreError::Address { .. }
        | StoreError::Refused { .. }
        | StoreError::Newer { .. }
        | StoreError::Broken { .. }
        | StoreError::Corrupt { .. }
        | StoreError::NotNext { .. } => true,
    }
}

/// Between two tries of a store that is away: short beside a person's patience, long beside the cost of a try.
const APPLY_RETRY: Duration = Duration::from_millis(200);

impl<A: Application> Actor for ReplicationApplier<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.notify(ConfirmedMoved);
        ctx.run_interval(IDLE_CHECKPOINT, |applier, _| {
            let applied = applier.storage.board.applied();
            let is_long = applier.log_of_store.is_too_long() || applier.storage.board.journal_is_long();
            if applied > applier.checkpointed || is_long {
                applier.checkpoint(applied);
            }
        });
        ctx.run_interval(limits::STORE_LOOK, Self::look_at_the_store);
    }
}

/// An idle store is checkpointed this often, so that old segments can go and a restart replays little.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(5);

impl<A: Application> Supervised for ReplicationApplier<A> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.store = None;
        (self.waiting, self.pausing) = (false, false);
    }
}

impl<A: Application> Handler<ConfirmedMoved> for ReplicationApplier<A> {
    type Result = ();

    fn handle(&mut self, _: ConfirmedMoved, ctx: &mut Context<Self>) {
        fault::point("replication-applier/confirmed-moved");
        if !self.waiting {
            self.go_on(ctx);
        }
    }
}
