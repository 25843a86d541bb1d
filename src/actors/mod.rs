//! The actors: thin shells around the machines and the files. Each file holds one actor and the messages it receives.
//!
//! An actor imports another's *message* and holds a `Recipient`, never a sibling's `Addr`. What flows in bulk goes through
//! `handover`; a message then only says that something is there.

use std::sync::{Arc, RwLock};
use std::time::Instant;

use crate::clock;
use crate::config::limits;
use crate::handover::{Board, Failures, Gate, Ids, Intake, Permit, Tail};
use crate::journal::JournalReader;
use crate::model::{Application, CommandId, Epoch, Fingerprint, Moment, Request, Response, Sequence};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;
use actix::Message;

pub mod address_keeper;
pub mod command_acceptor;
pub mod data_updater;
pub mod failover_coordinator;
pub mod fault;
pub mod journal_writer;
pub mod replication_applier;
pub mod replication_receiver;
pub mod replication_sender;
pub mod state_monitor;

/// Opens one more connection to this server's store.
pub type OpenStore<A> = Arc<dyn Fn() -> Result<Box<dyn Store<A>>, StoreError> + Send + Sync>;

/// Number of a terminal's session within one run of CommandAcceptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNo(pub u64);

/// A command on its way to DataUpdater. The permit bounds how many there are, wherever they wait.
#[derive(Debug)]
pub struct Work<C> {
    pub session: SessionNo,
    pub request: Request<C>,
    pub fingerprint: Fingerprint,
    pub arrived: Moment,
    /// The same, fine enough to measure with.
    pub came: Instant,
    pub permit: Permit,
}

/// An answer on its way back to the session.
#[derive(Debug)]
pub struct Reply {
    pub session: SessionNo,
    pub command_id: CommandId,
    pub response: Response,
    /// Place of the entry that holds the outcome, if it is stored.
    pub place: Option<(Epoch, Sequence)>,
    pub day: Option<i32>,
    pub repeated: bool,
    pub came: Instant,
    pub permit: Permit,
}

/// What the storage actors share.
pub struct Storage<A: Application> {
    pub intake: Intake<Work<A::Command>>,
    pub tail: Tail<A::Row>,
    pub board: Arc<Board>,
    pub gate: Gate<Reply>,
    pub ids: Ids,
    pub metrics: Arc<Metrics>,
    pub failures: Arc<Failures>,
    pub open_store: OpenStore<A>,
    /// Replaced when JournalWriter is reborn and opens the journal anew.
    reader: RwLock<JournalReader>,
}

impl<A: Application> Storage<A> {
    pub fn new(
        board: Arc<Board>,
        gate: Gate<Reply>,
        tail: Tail<A::Row>,
        reader: JournalReader,
        metrics: Arc<Metrics>,
        open_store: OpenStore<A>,
    ) -> Self {
        let (intake, ids) = (Intake::default(), Ids::new(limits::IDS_IN_MEMORY_MAX));
        let failures = Arc::default();
        Self { intake, tail, board, gate, ids, metrics, failures, open_store, reader: RwLock::new(reader) }
    }

    /// Something went wrong between the two servers or behind the journal; `code` as the README tabulates it.
    pub fn failed(&self, code: &'static str) {
        self.failures.note(code, clock::unix_now());
    }

    /// Reads the journal, from any thread.
    pub fn reader(&self) -> JournalReader {
        self.reader.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set_reader(&self, reader: JournalReader) {
        *self.reader.write().unwrap_or_else(std::sync::PoisonError::into_inner) = reader;
    }
}

/// This server cannot go on by itself; its peer must. Told by whoever notices, acted on by FailoverCoordinator.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct Sick {
    pub reason: String,
}

/// JournalWriter, ReplicationSender or DataUpdater was reborn: what was queued belongs to a state that is gone.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct StorageReborn;

#[cfg(test)]
mod tests;
