//! One run of a server: the machines, the journal and the hand-overs that `duplex serve` is made of, and shells of the actors around them.
//!
//! The shells are the simulator's own. What actors tell each other goes through [`Order`]s with a delay, in order; whoever waits for a
//! position looks after every happening, so that a lost wake-up is the one kind of fault that cannot be seen here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use duplex::config::limits;
use duplex::handover::{Board, Gate, Ids, Leaving, Tail};
use duplex::journal::{CoordinationFile, Journal};
use duplex::machines::failover::{AddressSet, Effect, Failover, HoldBy, TellPeer};
use duplex::model::{Epoch, Holder, Moment, Position, Sequence, StreamNo};

use crate::account::{Account, Command, Outcome};
use crate::applier::Applier;
use crate::coordinator::Coordinator;
use crate::monitor::Monitor;
use crate::receiver::Receiver;
use crate::sender::Run;
use crate::updater::Updater;
use crate::world::{News, World};
use crate::writer::Writer;

/// An answer on its way to a terminal.
#[derive(Clone, Debug)]
pub struct Given {
    pub command: Command,
    /// `None`: try again.
    pub outcome: Option<Outcome>,
    /// The entry that holds the outcome.
    pub place: Option<Position>,
    pub repeated: bool,
}

/// What the gate has let go and nobody has sent yet.
pub type Outbox = Arc<Mutex<Vec<Leaving<Given>>>>;

pub struct Storage {
    pub board: Arc<Board>,
    pub gate: Gate<Given>,
    pub tail: Tail<Account>,
    pub ids: Ids,
    pub outbox: Outbox,
}

pub struct Process {
    /// Stopped as a whole; what it hears meanwhile waits.
    pub is_frozen: bool,
    pub backlog: VecDeque<News>,
    pub coordinator: Coordinator,
    pub monitor: Monitor,
    pub keeper: Keeper,
    pub storage: Storage,
    pub writer: Writer,
    pub sender: Option<Run>,
    pub receiver: Receiver,
    pub updater: Updater,
    pub applier: Applier,
    /// When the last of its orders arrives.
    orders_until: u64,
}

/// What FailoverCoordinator wants of the storage actors.
#[derive(Debug)]
pub enum Order {
    Begin { epoch: Epoch, holder: Holder },
    Continue { epoch: Epoch, holder: Holder },
    Cease,
    Admit(bool),
    Tell(TellPeer),
    WatchLevel(Sequence),
    TakeCommands(bool),
}

/// Which service addresses are held, and by what right.
#[derive(Clone, Copy, Debug)]
pub struct Keeper {
    pub set: AddressSet,
    pub by: HoldBy,
    yielded_until: u64,
    /// The kernel's lifetime counts from here.
    refreshed: u64,
}

impl Keeper {
    fn new() -> Self {
        Self { set: AddressSet::None, by: HoldBy::Lease, yielded_until: 0, refreshed: 0 }
    }

    pub fn hold(&mut self, now: u64, set: AddressSet, by: HoldBy) {
        if by == HoldBy::Yield {
            self.yielded_until = now + limits::YIELD_LIMIT.as_millis() as u64;
        }
        (self.set, self.by) = (set, by);
    }

    /// Whether clients of the main address come to this process. A lease is looked at every 50 ms.
    pub fn has_main(&self, now: u64, lease_until: Moment) -> bool {
        let named = matches!(self.set, AddressSet::Main | AddressSet::Both);
        named
            && match self.by {
                HoldBy::Grant => true,
                HoldBy::Lease => now < lease_until.0,
                HoldBy::Yield => now < self.yielded_until,
            }
    }

    pub fn refresh(&mut self, now: u64, lease_until: Moment) {
        let is_due = now >= self.refreshed + limits::ALIAS_REFRESH.as_millis() as u64;
        if is_due && self.has_main(now, lease_until) {
            self.refreshed = now;
        }
    }

    /// If the process stands still or is gone: the kernel counts in seconds, and is late by a tenth of one.
    pub fn kernel_keeps_until(&self) -> u64 {
        let kept_ms = limits::ALIAS_LIFETIME.as_millis() as u64 + 100;
        if self.refreshed == 0 || self.set == AddressSet::None { 0 } else { self.refreshed + kept_ms }
    }
}

impl Process {
    pub fn new(boot: u64, notes: CoordinationFile, journal: Journal, now: Moment) -> (Self, Vec<Effect>) {
        let (machine, effects) = Failover::start(*notes.current(), false);
        let (board, outbox) = (Arc::new(Board::default()), Outbox::default());
        let end = journal.stored();
        board.set_stored(end);
        board.set_executed(end.sequence);
        let exit = {
            let outbox = Arc::clone(&outbox);
            Box::new(move |leaving| {
                outbox.lock().unwrap_or_else(PoisonError::into_inner).extend::<Vec<_>>(leaving);
            })
        };
        let gate = Gate::new(Arc::clone(&board), exit, Box::new(|| {}));
        let storage = Storage {
            gate,
            tail: Tail::new(StreamNo(0), end),
            ids: Ids::new(limits::IDS_IN_MEMORY_MAX),
            outbox,
            board: Arc::clone(&board),
        };
        let process = Self {
            is_frozen: false,
            backlog: VecDeque::new(),
            coordinator: Coordinator::new(machine, notes),
            monitor: Monitor::new(boot, now),
            keeper: Keeper::new(),
            storage,
            writer: Writer::new(journal),
            sender: None,
            receiver: Receiver::default(),
            updater: Updater::default(),
            applier: Applier::default(),
            orders_until: 0,
        };
        (process, effects)
    }
}

impl World {
    /// A run of a server hears something.
    pub fn hear(&mut self, index: usize, run: u64, news: News) {
        if self.servers[index].run != run {
            return;
        }
        let Some(process) = self.servers[index].process.as_mut() else { return };
        if process.is_frozen {
            process.backlog.push_back(news);
            return;
        }
        match news {
            News::Beat => self.beat(index),
            News::Tick => self.tick(index),
            News::Heard(beat) => self.hear_beat(index, &beat),
            News::Died { run } => self.hear_death(index, run),
            News::DiskDone { number } => self.disk_done(index, number),
            News::Applied => self.apply(index),
            News::Frame { link, frame } => self.take_frame(index, link, frame),
            News::LinkEnded { link } => self.lose_link(index, link),
            News::Command(command) => self.take_command(index, command),
            News::Storage(order) => self.obey(index, *order),
            news => self.coordinate(index, news),
        }
        self.settle(index);
    }

    /// Time has passed for whatever ends by time.
    pub fn tick(&mut self, index: usize) {
        let now = self.moment();
        self.tell_after(10, index, News::Tick);
        let Some(process) = &self.servers[index].process else { return };
        process.storage.gate.pass(now);
        process.storage.gate.expire(Moment(now.0.saturating_sub(limits::ANSWER_LIMIT_MS)));
    }

    /// Everybody of this server who waits for something looks whether it is there.
    pub fn settle(&mut self, index: usize) {
        if self.servers[index].process.is_none() {
            return;
        }
        self.step_waiting(index);
        self.start_if_applied(index);
        self.write(index);
        self.pump(index);
        self.acknowledge(index);
        self.plan_applying(index);
        self.let_answers_go(index);
    }

    fn let_answers_go(&mut self, index: usize) {
        let Some(process) = &self.servers[index].process else { return };
        let leaving = std::mem::take(&mut *process.storage.outbox.lock().unwrap_or_else(PoisonError::into_inner));
        for left in leaving {
            self.answer(index, left);
        }
    }

    /// From one actor of this server to another.
    pub fn order(&mut self, index: usize, order: Order) {
        let delay = self.dice.roll(2);
        let now = self.now;
        let Some(process) = self.servers[index].process.as_mut() else { return };
        process.orders_until = process.orders_until.max(now + delay);
        let at = process.orders_until;
        self.tell_after(at - now, index, News::Storage(Box::new(order)));
    }

    fn obey(&mut self, index: usize, order: Order) {
        match order {
            Order::Begin { epoch, holder } => self.begin_run(index, epoch, holder),
            Order::Continue { epoch, holder } => self.continue_run(index, epoch, holder),
            Order::Cease => self.cease_run(index),
            Order::Admit(admits) => self.admit(index, admits),
            Order::Tell(tell) => self.pass_on(index, tell),
            Order::WatchLevel(mark) => self.watch_level(index, mark),
            Order::TakeCommands(takes) => self.take_commands(index, takes),
        }
    }
}
