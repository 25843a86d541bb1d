//! DataUpdater: executes commands in order, numbers their outcomes, and hands them over.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};

use duplex::config::limits;
use duplex::handover::ids::Seen;
use duplex::handover::{Leaving, Waiting};
use duplex::journal::{fingerprint, seal};
use duplex::machines::failover::Rule;
use duplex::model::{CommandRecord, Entry, Epoch, Image, Moment, Position, Sequence, SharedEntry, StreamNo};

use crate::account::{Account, Command, Order, Outcome};
use crate::planted::Planted;
use crate::process::{Given, Process};
use crate::world::World;

pub struct Updater {
    run: Option<Run>,
    starting: Option<Run>,
    takes: bool,
    waiting: VecDeque<(Moment, Command)>,
}

impl Default for Updater {
    fn default() -> Self {
        Self { run: None, starting: None, takes: true, waiting: VecDeque::new() }
    }
}

struct Run {
    stream: StreamNo,
    epoch: Epoch,
    last: Position,
    /// As of everything executed in this run.
    rows: HashMap<u64, Account>,
}

impl World {
    pub fn take_command(&mut self, index: usize, command: Command) {
        let now = self.moment();
        if let Some(process) = self.servers[index].process.as_mut() {
            process.updater.waiting.push_back((now, command));
            self.execute_waiting(index);
        }
    }

    pub fn take_commands(&mut self, index: usize, takes: bool) {
        if let Some(process) = self.servers[index].process.as_mut() {
            process.updater.takes = takes;
            self.execute_waiting(index);
        }
    }

    pub fn start_updating(&mut self, index: usize, stream: StreamNo, epoch: Epoch, last: Position) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let updater = &mut process.updater;
        (updater.run, updater.takes) = (None, true);
        updater.starting = Some(Run { stream, epoch, last, rows: HashMap::new() });
        process.storage.board.want_applied(last.sequence);
    }

    pub fn enter_epoch(&mut self, index: usize, epoch: Epoch) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let updater = &mut process.updater;
        for run in updater.run.iter_mut().chain(&mut updater.starting) {
            run.epoch = epoch;
        }
    }

    pub fn cease_updating(&mut self, index: usize) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        process.storage.gate.flush();
        let updater = &mut process.updater;
        (updater.run, updater.starting, updater.takes) = (None, None, true);
        self.execute_waiting(index);
    }

    /// What was being executed is gone; what waited is told to try again.
    pub fn updater_reborn(&mut self, index: usize) -> bool {
        let Some(process) = self.servers[index].process.as_mut() else { return false };
        (process.updater.run, process.updater.starting, process.updater.takes) = (None, None, true);
        for (since, command) in std::mem::take(&mut process.updater.waiting) {
            process.turn_away(command, since);
        }
        true
    }

    /// Everything before the run is applied: it begins with an empty cache.
    pub fn start_if_applied(&mut self, index: usize) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let applied = process.storage.board.applied();
        if process.updater.starting.as_ref().is_some_and(|run| applied >= run.last.sequence) {
            process.updater.run = process.updater.starting.take();
        }
        self.execute_waiting(index);
    }

    fn execute_waiting(&mut self, index: usize) {
        let (now, planted) = (self.moment(), self.plan.planted);
        let own = &mut self.servers[index];
        let Some(process) = own.process.as_mut() else { return };
        let updater = &mut process.updater;
        process.storage.board.set_holds_back(!updater.takes);
        process.storage.board.set_waits_to_start(updater.starting.is_some());
        let waits = !updater.takes || updater.starting.is_some();
        while let Some((since, command)) = process.updater.waiting.pop_front() {
            if waits && now.since(since) <= limits::ANSWER_LIMIT_MS {
                process.updater.waiting.push_front((since, command));
                return;
            }
            if waits || !process.execute(&own.store, now, since, command, planted) {
                process.turn_away(command, since);
            }
        }
    }
}

impl Process {
    fn turn_away(&self, command: Command, since: Moment) {
        let answer = Given { command, outcome: None, place: None, repeated: false };
        self.storage.gate.turn_away(vec![Waiting { rests_on: Sequence(0), frame: None, since, answer }]);
    }

    /// In the order of the real one: mode, then repeated id, then the command itself. False: try again.
    fn execute(
        &mut self,
        store: &crate::store::Store,
        now: Moment,
        since: Moment,
        command: Command,
        planted: Option<Planted>,
    ) -> bool {
        let storage = &self.storage;
        let Some(run) = self.updater.run.as_mut() else { return false };
        if store.is_away || (storage.gate.rule() == Rule::Closed && storage.gate.closed_for(now) > limits::CLOSED_PATIENCE_MS) {
            return false;
        }
        let account = match command.order {
            Order::Book { account, .. } | Order::Read { account } => account,
        };
        let found = || store.row(account).cloned().unwrap_or_else(|| Account::empty(account));
        let row = run.rows.entry(account).or_insert_with(found).clone();
        let Order::Book { amount, .. } = command.order else {
            let outcome = Outcome { done: true, value: row.value };
            return self.wait(since, command, outcome, None, planted);
        };
        let id = fingerprint(&command.terminal_id(), &command.command_id());
        if let Some((place, outcome)) = self.recorded(store, id) {
            return self.wait(since, command, outcome, Some((place, true)), planted);
        }
        let done = row.value + amount >= 0;
        let value = if done { row.value + amount } else { row.value };
        let changed = Account { value, changes: row.changes + 1, ..row };
        let images = if done { vec![Image::Put(changed.clone())] } else { Vec::new() };
        let outcome = Outcome { done, value };
        let Some(place) = self.number(command, images, outcome) else { return false };
        if done && let Some(run) = self.updater.run.as_mut() {
            run.rows.insert(account, changed);
        }
        self.wait(since, command, outcome, Some((place, false)), planted)
    }

    /// The first outcome of this id.
    fn recorded(&self, store: &crate::store::Store, id: duplex::model::Fingerprint) -> Option<(Position, Outcome)> {
        let in_memory = match self.storage.ids.find(&id) {
            Seen::New => return None,
            Seen::At(sequence) => self.storage.tail.get(sequence),
            Seen::Unknown => None,
        };
        let in_memory = in_memory.filter(|entry| entry.fingerprint == id);
        let of_entry = |entry: SharedEntry<Account>| (entry.position, Outcome::decode(&entry.entry.record.response));
        in_memory.map(of_entry).or_else(|| store.record(&id))
    }

    /// The outcome becomes the next entry of the history.
    fn number(&mut self, command: Command, images: Vec<Image<Account>>, outcome: Outcome) -> Option<Position> {
        let run = self.updater.run.as_mut()?;
        let record = CommandRecord {
            terminal_id: command.terminal_id(),
            command_id: command.command_id(),
            body_hash: [0; 16],
            day: None,
            response: outcome.encode(),
        };
        let sealed = Arc::new(seal(&run.last, run.epoch, Entry { images, record }).expect("a row is short"));
        let storage = &self.storage;
        if storage.tail.stream() != run.stream || !storage.tail.append(run.stream, &[Arc::clone(&sealed)]) {
            // Another run has begun; this one's numbers are worth nothing.
            self.updater.run = None;
            return None;
        }
        run.last = sealed.position;
        storage.ids.insert_all([(sealed.fingerprint, sealed.position.sequence)]);
        storage.board.set_executed(sealed.position.sequence);
        Some(sealed.position)
    }

    fn wait(
        &mut self,
        since: Moment,
        command: Command,
        outcome: Outcome,
        place: Option<(Position, bool)>,
        planted: Option<Planted>,
    ) -> bool {
        let Some(run) = &self.updater.run else { return false };
        let storage = &self.storage;
        let repeated = place.is_some_and(|(_, repeated)| repeated);
        let is_proven = place.is_some() && !repeated;
        let frame = (!is_proven).then(|| storage.board.want_frame());
        let early = repeated && planted == Some(Planted::RepeatBeforeConfirmed);
        let rests_on = if early { Sequence(0) } else { run.last.sequence };
        let frame = if early { None } else { frame };
        let place = place.map(|(position, _)| position);
        let answer = Given { command, outcome: Some(outcome), place, repeated };
        if place.is_none() && planted == Some(Planted::ReadPastTheGate) {
            let left = Leaving { answer, stored_on_both: Some(true), epoch: run.epoch };
            storage.outbox.lock().unwrap_or_else(PoisonError::into_inner).push(left);
            return true;
        }
        storage.gate.wait([Waiting { rests_on, frame, since, answer }], self.now());
        true
    }

    fn now(&self) -> Moment {
        // The gate compares with a lease in `async` only, which these servers are not.
        Moment(0)
    }
}
