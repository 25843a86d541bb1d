//! What must be true, judged from outside: by what the gates let go, what the disks hold and what the stores show.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use duplex::machines::failover::State;
use duplex::model::{Epoch, Position, Sequence};

use crate::account::{Account, Command, Order, Outcome};
use crate::process::Given;
use crate::server::Server;
use crate::world::{World, server};

/// A promise that was broken, by its number in the design, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub promise: &'static str,
    pub what: String,
}

#[derive(Default)]
pub struct Oracle {
    pub breach: Option<Breach>,
    pub now: u64,
    pub acknowledged: u64,
    pub reads: u64,
    pub repeated: u64,
    acknowledgers: BTreeMap<Epoch, usize>,
    /// When somebody was first told of each epoch.
    begun: BTreeMap<Epoch, u64>,
    /// The newest entry that anybody was told of. Its digest binds everything before it.
    newest: Position,
    outcomes: HashMap<(u32, u32), (Position, Outcome)>,
    /// Since when both servers hold the main address.
    both_hold: Option<u64>,
}

/// A frozen process keeps its address for a kernel's lifetime; a look more, because it is looked at every 100 ms.
const BOTH_HOLD_MS: u64 = 2_100 + 100;

/// A Main hears by the next heartbeat that it was deposed, or else loses its peer within the time of silence: twice that.
const OVER_MS: u64 = 700;

impl Breach {
    pub fn new(promise: &'static str, what: String) -> Self {
        Self { promise, what }
    }

    pub fn stuck(world: &World) -> Self {
        let states = world.servers.each_ref().map(|own| own.process.as_ref().map(|process| process.coordinator.machine.state()));
        let (register, open) = (world.witness.register(), world.terminals.under_way());
        let what = format!(
            "a world without faults does not come to rest: {states:?}, register {:?} {:?}, {open} commands without an answer",
            register.epoch, register.holder
        );
        Self::new("liveness", what)
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

impl Oracle {
    pub fn newest(&self) -> Position {
        self.newest
    }

    pub fn epochs(&self) -> usize {
        self.acknowledgers.len()
    }

    fn broken(&mut self, promise: &'static str, what: String) {
        self.breach.get_or_insert(Breach { promise, what });
    }

    /// An answer has left. `before`: what somebody had been told when the question was first sent.
    #[expect(clippy::too_many_arguments, reason = "everything that an answer says, once")]
    pub fn told(
        &mut self,
        index: usize,
        servers: &[Server; 2],
        epoch: Epoch,
        both: bool,
        given: &Given,
        outcome: Outcome,
        before: Position,
    ) {
        self.acknowledged += 1;
        self.begun.entry(epoch).or_insert(self.now);
        let acknowledger = *self.acknowledgers.entry(epoch).or_insert(index);
        if acknowledger != index {
            self.broken("P1", format!("both servers acknowledge in epoch {}", epoch.0));
        }
        let Some(process) = &servers[index].process else { return };
        // What both stored in its time a Main may tell while it does not hear yet that its time is over: true, and older than what others
        // were told since. But nothing that was told before anybody asked may be lacking, and soon it must know.
        let over_since = self.begun.range(epoch.next()..).next().map(|(_, at)| *at);
        if over_since.is_some_and(|since| self.now - since > OVER_MS) {
            self.broken("P4", format!("{:?} goes on telling answers of epoch {}, which is over", server(index), epoch.0));
        }
        let must_know = if over_since.is_none() { [self.newest, before] } else { [before; 2] };
        for known in must_know {
            if known.sequence.0 > 0 && process.position_at(known.sequence) != Some(known) {
                self.broken("P2", format!("{:?} answers and lacks {known}, of which somebody was told", server(index)));
            }
        }
        match (given.command.order, given.place) {
            (Order::Read { .. }, _) => self.reads += 1,
            (Order::Book { .. }, Some(place)) => self.told_of_an_entry(index, servers, both, given, place, outcome),
            (Order::Book { .. }, None) => self.broken("P3", "an outcome that no entry holds".to_owned()),
        }
    }

    fn told_of_an_entry(
        &mut self,
        index: usize,
        servers: &[Server; 2],
        both: bool,
        given: &Given,
        place: Position,
        outcome: Outcome,
    ) {
        let holders: &[usize] = if both { &[0, 1] } else { &[index] };
        for holder in holders {
            if servers[*holder].holds(place.sequence) != Some(place) {
                self.broken(
                    "P8",
                    format!("{place} was told as stored on {holders:?}, and {:?} has not stored it", server(*holder)),
                );
            }
        }
        let Command { terminal, number, .. } = given.command;
        let first = *self.outcomes.entry((terminal, number)).or_insert((place, outcome));
        if first != (place, outcome) {
            let now = (place, outcome);
            self.broken("P3", format!("command {number} of terminal {terminal} was told {first:?}, and now {now:?}"));
        }
        self.repeated += u64::from(given.repeated);
        if place.sequence > self.newest.sequence {
            self.newest = place;
        }
    }

    /// What holds at every moment.
    pub fn look(&mut self, now: u64, servers: &[Server; 2]) {
        let [a, b] = servers.each_ref().map(|own| (own.store.applied(), own.store.digest()));
        if a.0 == b.0 && a.1 != b.1 {
            self.broken("P7", format!("both stores are at {}, and differ", a.0));
        }
        let hold_main = servers.each_ref().map(|own| holds_main(own, now));
        if hold_main == [true, true] {
            let since = *self.both_hold.get_or_insert(now);
            if now - since > BOTH_HOLD_MS {
                self.broken("P4", format!("both servers hold the main address for {} ms", now - since));
            }
        } else {
            self.both_hold = None;
        }
    }

    /// Main and Sub of one epoch, and everything is applied on both.
    pub fn is_a_pair(&self, servers: &[Server; 2]) -> bool {
        let states = servers.each_ref().map(|own| own.process.as_ref().map(|process| process.coordinator.machine.state()));
        let is_pair = matches!(states, [Some(State::Main), Some(State::Sub)] | [Some(State::Sub), Some(State::Main)]);
        let ends = servers.each_ref().map(|own| (own.durable.len() as u64, own.store.applied().sequence.0));
        is_pair && ends[0] == ends[1] && ends[0].0 == ends[0].1
    }

    /// The whole history, once everything has come to rest.
    ///
    /// # Errors
    /// [`Breach`]
    pub fn at_the_end(&self, servers: &[Server; 2]) -> Result<(), Breach> {
        if servers[0].durable != servers[1].durable {
            return Err(Breach::new("P7", "the two journals differ at the end".to_owned()));
        }
        if servers[0].store.digest() != servers[1].store.digest() {
            return Err(Breach::new("P7", "the two stores differ at the end".to_owned()));
        }
        let Some(process) = &servers[0].process else { return Ok(()) };
        let mut seen = BTreeSet::new();
        let mut places = HashMap::new();
        let mut after = Sequence(0);
        while let Some(records) = process.writer.reader().read_after(after, 1 << 20).ok().filter(|records| !records.is_empty()) {
            for record in records {
                after = record.position.sequence;
                let entry = duplex::journal::digest::decode::<Account>(&record.payload);
                let entry = entry.map_err(|error| Breach::new("P2", format!("{} cannot be read: {error}", record.position)))?;
                let id = Command::named(&entry.record.command_id);
                if !seen.insert(id) {
                    return Err(Breach::new("P3", format!("command {} of terminal {} is in the journal twice", id.1, id.0)));
                }
                places.insert(id, record.position);
            }
        }
        match self.outcomes.iter().find(|(id, (place, _))| places.get(*id) != Some(place)) {
            Some((id, (place, _))) => {
                let text = format!("command {} of terminal {} was told to be {place}, and is not there", id.1, id.0);
                Err(Breach::new("P2", text))
            }
            None => Ok(()),
        }
    }
}

/// Whether clients that call the main address reach this box.
fn holds_main(own: &Server, now: u64) -> bool {
    match &own.process {
        Some(process) if !process.is_frozen => process.keeper.has_main(now, process.storage.board.lease_until()),
        Some(process) => now < process.keeper.kernel_keeps_until(),
        None => now < own.address_until,
    }
}
