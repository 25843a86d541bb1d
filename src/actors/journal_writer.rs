//! JournalWriter: the only writer of this server's journal. Writes whatever has queued up with one write and one fdatasync.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, AsyncContext, Context, Handler, Message, Recipient, Supervised};
use slog::{Logger, error, info};

use super::replication_receiver::StoredMoved;
use super::{Sick, Storage, StorageReborn, fault};
use crate::clock;
use crate::handover::Slice;
use crate::journal::{Directory, Journal, JournalError, Limits, Preparer, save_tail};
use crate::machines::failover::Rule;
use crate::model::{Application, DataId, Position, Sequence, ServerId, StreamNo};

/// Entries were appended to the tail.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Written;

/// Begin a new run: whatever is queued under an older stream is dropped. Answers where the durable journal ends.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "Result<Position, Sick>")]
pub struct BeginRun(pub StreamNo);

/// Keep what follows `to` readable in lost-and-found, then cut it off. Answers how many entries that were.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "Result<u64, Sick>")]
pub struct CutTail {
    pub stream: StreamNo,
    pub to: Position,
}

/// The store is synced up to here: older segments may go.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct StoreSynced(pub Sequence);

/// Entries in one write: beyond, the group only makes its first member wait.
const GROUP_MAX: usize = 2_048;
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Where the journal is and whose it is.
#[derive(Clone, Debug)]
pub struct JournalPlace {
    pub server: ServerId,
    pub data_id: DataId,
    pub directory: PathBuf,
    pub lost_and_found: PathBuf,
}

impl JournalPlace {
    /// Opens the journal. Everything that it then holds is durable.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(&self) -> Result<Journal, JournalError> {
        Journal::open(Directory::open(&self.directory)?, Limits::default(), self.data_id).map(|(journal, _)| journal)
    }
}

/// Everybody that the writer tells something.
#[derive(Clone)]
pub struct Neighbours {
    pub receiver: Recipient<StoredMoved>,
    pub sick: Recipient<Sick>,
    pub reborn: Recipient<StorageReborn>,
}

pub struct JournalWriter<A: Application> {
    place: JournalPlace,
    storage: Arc<Storage<A>>,
    neighbours: Neighbours,
    log: Logger,
    journal: Option<Journal>,
    /// Prepares the next segment on a thread of its own, so that a roll-over does not stall a group.
    preparing: std::sync::mpsc::SyncSender<Preparer>,
}

impl<A: Application> JournalWriter<A> {
    pub fn new(place: JournalPlace, journal: Journal, storage: Arc<Storage<A>>, neighbours: Neighbours, log: Logger) -> Self {
        Self { place, storage, neighbours, log, journal: Some(journal), preparing: prepare_segments() }
    }

    /// One group: everything that waits, one write, one fdatasync. True if more may wait.
    fn write_group(&mut self) -> Result<bool, JournalError> {
        let Some(journal) = self.journal.as_mut() else { return Ok(false) };
        let after = journal.end().sequence;
        let slice = self.storage.tail.after(after, Sequence(u64::MAX), GROUP_MAX, GROUP_BYTES_MAX);
        let entries = match slice {
            Slice::Entries(entries) if !entries.is_empty() => entries,
            // Gone: another run has begun and its BeginRun is on the way.
            Slice::Entries(_) | Slice::Gone => return Ok(false),
        };
        fault::point("journal-writer/group");
        let began = Instant::now();
        self.storage.board.set_syncing_since(Some(clock::now()));
        fault::point("journal-writer/syncing");
        journal.append(&entries)?;
        let written = Instant::now();
        let stored = journal.sync()?;
        self.storage.board.set_syncing_since(None);
        let metrics = &self.storage.metrics;
        metrics.steps.journal_write.observe(written - began);
        metrics.steps.fdatasync.observe(written.elapsed());
        metrics.batches.journal.observe(entries.len() as f64);
        let preparer = journal.preparer();
        // On the disk, and nobody knows it yet.
        fault::point("journal-writer/synced");
        self.storage.board.set_stored(stored);
        self.tell_stored();
        // Waking that thread costs 10 us of a group's way. A full queue means that one is being prepared already.
        if preparer.is_due() {
            let _ = self.preparing.try_send(preparer);
        }
        Ok(entries.len() == GROUP_MAX || self.storage.tail.end().sequence > stored.sequence)
    }

    fn tell_stored(&self) {
        self.storage.gate.pass(clock::now());
        // Whoever follows tells its holder.
        if self.storage.gate.rule() == Rule::Closed {
            self.neighbours.receiver.do_send(StoredMoved);
        }
    }

    /// A journal that cannot be written or synced is never tried again: nobody knows what the disk holds.
    fn fail(&mut self, error: &JournalError) -> Sick {
        let reason = format!("journal: {error}");
        error!(self.log, "the journal failed; this server stops"; "reason" => &reason);
        self.journal = None;
        let sick = Sick { reason };
        self.neighbours.sick.do_send(sick.clone());
        sick
    }

    fn begin_run(&mut self, stream: StreamNo) -> Result<Position, JournalError> {
        let Some(journal) = self.journal.as_mut() else { return Err(gone()) };
        let end = journal.sync()?;
        self.storage.tail.restart(stream, end);
        self.storage.ids.cut(end.sequence);
        self.storage.board.set_stored(end);
        self.storage.board.lower_confirmed(end.sequence);
        self.storage.board.set_executed(end.sequence);
        Ok(end)
    }

    fn cut_tail(&mut self, CutTail { stream, to }: CutTail) -> Result<u64, JournalError> {
        let Some(journal) = self.journal.as_mut() else { return Err(gone()) };
        journal.sync()?;
        let lost_and_found = Directory::open(&self.place.lost_and_found)?;
        let saved = save_tail::<A::Row>(&lost_and_found, self.place.server, &journal.reader(), to)?;
        journal.cut(to)?;
        let entries = saved.as_ref().map_or(0, |saved| saved.entries);
        if let Some(saved) = saved {
            info!(self.log, "kept the entries that the other server lacks, and cut them off";
                "entries" => saved.entries, "file" => saved.file.display().to_string(), "position" => to.to_string());
        }
        self.begin_run(stream)?;
        Ok(entries)
    }
}

/// Told again to whoever did not live to act on it.
fn gone() -> JournalError {
    JournalError::Poisoned { reason: "it failed before".to_owned() }
}

/// A thread that prepares segments; one request may wait.
fn prepare_segments() -> std::sync::mpsc::SyncSender<Preparer> {
    let (sender, requests) = std::sync::mpsc::sync_channel::<Preparer>(1);
    let work = move || {
        for preparer in requests {
            // Whoever needs the segment prepares it then, and hears what is wrong.
            let _ = preparer.prepare_next();
        }
    };
    let thread = std::thread::Builder::new().name("segments".into()).spawn(work);
    thread.expect("the system gives a thread while the program starts");
    sender
}

impl<A: Application> Actor for JournalWriter<A> {
    type Context = Context<Self>;
}

impl<A: Application> Supervised for JournalWriter<A> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // The old one may be half-way through a write: only a fresh look at the disk says what is stored.
        self.journal = None;
        self.storage.board.set_syncing_since(None);
        match self.place.open() {
            Ok(journal) => {
                self.storage.set_reader(journal.reader());
                self.storage.board.set_stored(journal.stored());
                self.journal = Some(journal);
                self.neighbours.reborn.do_send(StorageReborn);
            }
            Err(error) => drop(self.fail(&error)),
        }
    }
}

impl<A: Application> Handler<Written> for JournalWriter<A> {
    type Result = ();

    fn handle(&mut self, _: Written, ctx: &mut Context<Self>) {
        fault::point("journal-writer/written");
        match self.write_group() {
            Ok(true) => ctx.notify(Written),
            Ok(false) => {}
            Err(error) => drop(self.fail(&error)),
        }
    }
}

impl<A: Application> Handler<BeginRun> for JournalWriter<A> {
    type Result = Result<Position, Sick>;

    fn handle(&mut self, BeginRun(stream): BeginRun, _: &mut Context<Self>) -> Self::Result {
        fault::point("journal-writer/begin-run");
        self.begin_run(stream).map_err(|error| self.fail(&error))
    }
}

impl<A: Application> Handler<CutTail> for JournalWriter<A> {
    type Result = Result<u64, Sick>;

    fn handle(&mut self, cut: CutTail, _: &mut Context<Self>) -> Self::Result {
        fault::point("journal-writer/cut-tail");
        self.cut_tail(cut).map_err(|error| self.fail(&error))
    }
}

impl<A: Application> Handler<StoreSynced> for JournalWriter<A> {
    type Result = ();

    fn handle(&mut self, StoreSynced(sequence): StoreSynced, _: &mut Context<Self>) {
        fault::point("journal-writer/store-synced");
        let Some(journal) = self.journal.as_mut() else { return };
        if let Err(error) = journal.release_through(sequence, clock::unix_now()) {
            drop(self.fail(&error));
        }
    }
}
