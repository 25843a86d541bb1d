//! The execution of one command: check order, repeated ids, the entry that its outcome becomes, and its answer.

use std::sync::Arc;

use super::DataUpdater;
use super::rows::RowsByKey;
use crate::actors::{Reply, Storage, Work, fault};
use crate::clock;
use crate::config::limits;
use crate::handover::Waiting;
use crate::handover::ids::Seen;
use crate::journal;
use crate::machines::failover::Rule;
use crate::model::application::{Day, PairCode};
use crate::model::entry::SharedEntry;
use crate::model::{
    Application, CommandRecord, Draft, Entry, Epoch, Image, Position, Request, Response, Row, Sequence, Status, Unavailable,
    Verdict,
};
use crate::store::{Store, StoreError};

/// What one batch led to.
pub(super) struct Outcome<A: Application> {
    pub entries: Vec<SharedEntry<A::Row>>,
    pub answers: Vec<Waiting<Reply>>,
}

// Derived, it would ask the application for a default of its own.
impl<A: Application> Default for Outcome<A> {
    fn default() -> Self {
        Self { entries: Vec::new(), answers: Vec::new() }
    }
}

/// How one command ended here.
pub(super) enum Ended<Q> {
    Entry(Response, Option<i32>),
    /// Rests on everything executed, and on this server being Main now.
    Read {
        response: Response,
        place: Option<(Epoch, Sequence)>,
        /// The business day of the first outcome, where this repeats one.
        day: Option<i32>,
        repeated: bool,
    },
    Retry(PairCode),
    Query(Q),
}

impl<A: Application> DataUpdater<A> {
    pub(super) fn execute(&mut self, work: Work<A::Command>, found: Option<&A::Found>, outcome: &mut Outcome<A>) {
        fault::point("data-updater/execute");
        let decided = self.decide(&work.request, &work, found, outcome);
        // A connection that is there was opened again, so the store answers. What came from the cache alone says nothing.
        if decided.is_ok() && self.read_failures > 0 && self.store.is_some() {
            self.read_again();
        }
        match decided {
            Ok(Ended::Query(query)) => self.stall(work, query, outcome),
            Ok(ended) => self.answer(work, ended, outcome),
            Err(Unavailable(reason)) => {
                self.read_failed(&reason);
                self.answer(work, Ended::Retry(PairCode::Busy), outcome);
            }
        }
    }

    /// In a fixed order: terminal and key, server mode, repeated id, then the application's own checks.
    fn decide(
        &mut self,
        request: &Request<A::Command>,
        work: &Work<A::Command>,
        found: Option<&A::Found>,
        outcome: &mut Outcome<A>,
    ) -> Result<Ended<A::Query>, Unavailable> {
        let Some(run) = self.run.as_mut() else { return Ok(Ended::Retry(PairCode::Switching)) };
        let applied = self.storage.board.applied();
        let (store, storage) = (&mut self.store, &self.storage);
        let mut read = |key: &<A::Row as Row>::Key| with_store(store, storage, |store| store.row(key));
        let mut rows = RowsByKey { cache: &mut run.rows, applied, read: &mut read };
        if let Some(refusal) = self.app.identify(request, &mut rows)? {
            return Ok(Ended::Read { response: refusal, place: None, day: None, repeated: false });
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
            if day.is_some_and(|day| day.has_forgotten(request.known_day)) {
                return Ok(Ended::Read {
                    response: self.app.refusal(PairCode::CommandTooOld),
                    place: None,
                    day: None,
                    repeated: false,
                });
            }
        }
        let run = self.run.as_mut().expect("checked above");
        let (store, storage) = (&mut self.store, &self.storage);
        let mut read = |key: &<A::Row as Row>::Key| with_store(store, storage, |store| store.row(key));
        let mut rows = RowsByKey { cache: &mut run.rows, applied, read: &mut read };
        let mut draft = Draft::new(&mut rows);
        let verdict = self.app.execute(request, found, &mut draft, clock::unix_now())?;
        match verdict {
            Verdict::Answer(response) => Ok(Ended::Read { response, place: None, day: None, repeated: false }),
            Verdict::Query(query) => Ok(Ended::Query(query)),
            Verdict::Store(response) => {
                let images = draft.into_images();
                self.number(request, images, &response, day, outcome);
                Ok(Ended::Entry(response, day.and_then(|day| day.current)))
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
        let is_of_request = |record: &CommandRecord| {
            record.terminal_id == work.request.terminal_id && record.command_id == work.request.command_id
        };
        if let Some(entry) = in_memory.filter(|entry| is_of_request(&entry.entry.record)) {
            let Position { epoch, sequence, .. } = entry.position;
            return Ok(Some(Recorded { epoch, sequence, record: entry.entry.record.clone() }));
        }
        // A place may be left over from a run that ended before its entry was written down; another entry stands there then.
        let found = with_store(&mut self.store, &self.storage, |store| {
            let at_place = place.map(|sequence| store.record(sequence)).transpose()?.flatten();
            match at_place.filter(|stored| is_of_request(&stored.record)) {
                Some(stored) => Ok(Some(stored)),
                None => store.find_record(&work.request.terminal_id, &work.request.command_id),
            }
        });
        let found = found.map_err(|error| Unavailable(error.to_string()))?;
        Ok(found.map(|stored| Recorded { epoch: stored.epoch, sequence: stored.sequence, record: stored.record }))
    }

    /// The outcome becomes the next entry of the history.
    fn number(
        &mut self,
        request: &Request<A::Command>,
        images: Vec<Image<A::Row>>,
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
        self.storage.ids.insert_all([(sealed.fingerprint, sealed.position.sequence)]);
        outcome.entries.push(Arc::new(sealed));
    }

    fn repeat(&self, request: &Request<A::Command>, recorded: &Recorded) -> Ended<A::Query> {
        if recorded.record.body_hash != request.body_hash {
            return Ended::Read {
                response: self.app.refusal(PairCode::CommandIdReused),
                place: None,
                day: None,
                repeated: false,
            };
        }
        let place = Some((recorded.epoch, recorded.sequence));
        Ended::Read { response: decode(&recorded.record.response), place, day: recorded.record.day, repeated: true }
    }

    pub(super) fn answer(&self, work: Work<A::Command>, ended: Ended<A::Query>, outcome: &mut Outcome<A>) {
        let newest = outcome.entries.last().map(|entry| entry.position).or(self.run.as_ref().map(|run| run.last));
        let rests_on = newest.map_or(Sequence(0), |position| position.sequence);
        let (response, place, repeated, day, proven) = match ended {
            Ended::Entry(response, day) => {
                let place = newest.map(|position| (position.epoch, position.sequence));
                (response, place, false, day, true)
            }
            Ended::Read { response, place, day, repeated } => (response, place, repeated, day, false),
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
}

/// A record found for a repeated id.
struct Recorded {
    epoch: Epoch,
    sequence: Sequence,
    record: CommandRecord,
}

/// Asks the store; after a failure it is opened anew, and trusted only if it is as far as it ever was.
pub(super) fn with_store<A: Application, T>(
    slot: &mut Option<Box<dyn Store<A>>>,
    storage: &Storage<A>,
    ask: impl FnOnce(&mut dyn Store<A>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut store = match slot.take() {
        Some(store) => store,
        None => open_current(storage)?,
    };
    let answered = ask(store.as_mut())?;
    *slot = Some(store);
    Ok(answered)
}

fn open_current<A: Application>(storage: &Storage<A>) -> Result<Box<dyn Store<A>>, StoreError> {
    let most = storage.board.applied_most();
    let mut store = (storage.open_store)()?;
    let applied = store.applied()?.sequence;
    if applied < most {
        let reason = format!("it has lost what was applied: it is at entry {}, and was at {}", applied.0, most.0);
        return Err(StoreError::Away { place: "the store".to_owned(), reason });
    }
    Ok(store)
}

fn encode(response: &Response) -> Vec<u8> {
    postcard::to_stdvec(response).expect("a response is strings and an enum")
}

fn decode(bytes: &[u8]) -> Response {
    postcard::from_bytes(bytes).expect("written by `encode`; the entry's digest was checked")
}
