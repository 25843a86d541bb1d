//! FailoverCoordinator: steps the failover machine and performs its effects, strictly in order; what must be durable first is waited for.

use std::collections::VecDeque;

use duplex::arbiter::Asker;
use duplex::config::limits;
use duplex::journal::CoordinationFile;
use duplex::machines::failover::{Effect, Event, Failover, Rule, State, Story, StreamVerdict, Switch, Toward, View};
use duplex::model::{Coordination, Holder, Moment, Position, Sequence, Standing};

use crate::monitor::Monitor;
use crate::network::LinkNo;
use crate::oracle::Breach;
use crate::planted::Planted;
use crate::process::{Order, Process};
use crate::server::End;
use crate::witness::Question;
use crate::world::{News, World, server};

pub struct Coordinator {
    pub machine: Failover,
    notes: CoordinationFile,
    /// Heard, and not yet stepped: a note is being written.
    waiting: VecDeque<Event>,
    /// What follows on the note that is being written.
    noting: Option<(Coordination, VecDeque<Effect>)>,
    told: Option<Standing>,
    pub arbiter_heard: Option<Moment>,
    /// Questions to the arbiter so far, and those without an answer.
    pub asks: u64,
    pub asks_under_way: Vec<u64>,
    comparisons: u64,
    pub switches: u64,
    level_mark: Sequence,
    /// The link that waits for a verdict.
    pub judged: Option<LinkNo>,
    /// A clean stop that waits for the roles to change first.
    pub stops: bool,
}

impl Coordinator {
    pub fn new(machine: Failover, notes: CoordinationFile) -> Self {
        Self {
            machine,
            notes,
            waiting: VecDeque::new(),
            noting: None,
            told: None,
            arbiter_heard: None,
            asks: 0,
            asks_under_way: Vec::new(),
            comparisons: 0,
            switches: 0,
            level_mark: Sequence(0),
            judged: None,
            stops: false,
        }
    }

    pub fn hears(&mut self, event: Event) {
        self.waiting.push_back(event);
    }

    pub fn arbiter_is_fresh(&self, now: Moment) -> bool {
        self.arbiter_heard.is_some_and(|heard| now.since(heard) <= limits::ARBITER_FRESH_MS)
    }

    pub fn asker(&self) -> Asker {
        let disk = self.machine.disk();
        Asker { server: disk.server, data_id: disk.data_id, held: disk.held.0 }
    }
}

/// Writing two slots and syncing them.
const NOTE_MS: u64 = 4;

impl World {
    pub fn perform_first(&mut self, index: usize, effects: Vec<Effect>) {
        self.perform(index, effects.into());
    }

    /// News that FailoverCoordinator hears.
    pub fn coordinate(&mut self, index: usize, news: News) {
        match news {
            News::RetryDue => self.timer(index, Event::RetryDue, limits::ASK_RETRY_MS, News::RetryDue),
            News::RefreshDue => self.timer(index, Event::RefreshDue, limits::REFRESH_MS, News::RefreshDue),
            News::Noted => self.noted(index),
            News::Arbiter { number, asker, answer } => self.hear_arbiter(index, number, asker, answer),
            News::AskLate { number } => self.hear_no_answer(index, number),
            News::CompareLate { number } => {
                self.too_long(index, |own| own.comparisons == number, Event::CompareTooLong);
            }
            News::SwitchLate { number } => self.too_long(index, |own| own.switches == number, Event::SwitchoverTooLong),
            News::DrainLook { number } => self.look_whether_drained(index, number),
            _ => {}
        }
    }

    /// Unless it is the deadline of an earlier one.
    fn too_long(&mut self, index: usize, is_of_now: impl Fn(&Coordinator) -> bool, event: Event) {
        if self.coordinator(index).is_some_and(|own| is_of_now(own)) {
            self.event(index, event);
        }
    }

    pub fn coordinator(&mut self, index: usize) -> Option<&mut Coordinator> {
        self.servers[index].process.as_mut().map(|process| &mut process.coordinator)
    }

    pub fn event(&mut self, index: usize, event: Event) {
        if let Some(own) = self.coordinator(index) {
            own.hears(event);
        }
    }

    fn timer(&mut self, index: usize, event: Event, every_ms: u64, again: News) {
        if self.coordinator(index).is_some_and(|own| own.asks_under_way.is_empty()) {
            self.event(index, event);
        }
        self.tell_after(every_ms, index, again);
    }

    /// One event after the other; none while a note is being written.
    pub fn step_waiting(&mut self, index: usize) {
        loop {
            let Some(process) = self.servers[index].process.as_mut() else { return };
            if process.coordinator.noting.is_some() {
                return;
            }
            let Some(event) = process.coordinator.waiting.pop_front() else { return };
            let view = view(process, &event);
            let before = process.coordinator.machine.state();
            let effects = process.coordinator.machine.step(&view, event);
            let after = process.coordinator.machine.state();
            if before != after {
                self.note(|| format!("{:?}: {before:?} -> {after:?} by {event:?}", server(index)));
            }
            self.perform(index, effects.into());
        }
    }

    fn perform(&mut self, index: usize, mut effects: VecDeque<Effect>) {
        while let Some(effect) = effects.pop_front() {
            // A crash may come between any two.
            if !self.calm && self.dice.once_in(3_000) {
                let how = if self.dice.once_in(2) { End::Killed } else { End::PowerCut };
                let back_after = self.dice.scale(50, 5_000);
                *self.report.faults.entry("crash between effects").or_default() += 1;
                return self.end(index, how, back_after);
            }
            match effect {
                Effect::Note(coordination) if self.is_planted(Planted::AnnouncedBeforeNoted) => {
                    self.tell_after(500, index, News::Noted);
                    let Some(own) = self.coordinator(index) else { return };
                    own.noting = Some((coordination, VecDeque::new()));
                }
                Effect::Note(coordination) => {
                    let ms = 1 + self.dice.roll(NOTE_MS);
                    self.tell_after(ms, index, News::Noted);
                    if let Some(own) = self.coordinator(index) {
                        own.noting = Some((coordination, effects));
                    }
                    return;
                }
                effect => self.perform_one(index, effect),
            }
            if self.servers[index].process.is_none() {
                return;
            }
        }
        self.stand(index);
    }

    fn noted(&mut self, index: usize) {
        let Some(own) = self.coordinator(index) else { return };
        let Some((coordination, rest)) = own.noting.take() else { return };
        if own.notes.write(coordination).is_err() {
            return self.end(index, End::Killed, 1_000);
        }
        self.perform(index, rest);
    }

    fn perform_one(&mut self, index: usize, effect: Effect) {
        let (now, moment) = (self.now, self.moment());
        let Some(process) = self.servers[index].process.as_mut() else { return };
        match effect {
            Effect::Note(_) => unreachable!("waited for before"),
            Effect::Dismiss | Effect::Story(_) => {}
            Effect::Ask { expected, new } => self.ask(index, Question::CompareAndSet { expected, new }),
            Effect::ReadRegister => self.ask(index, Question::Read),
            Effect::Gate(rule) => {
                process.storage.gate.set(rule, moment);
            }
            Effect::Begin { epoch, holder } => self.begin_and_watch(index, epoch, holder),
            Effect::Continue { epoch, holder } => self.order(index, Order::Continue { epoch, holder }),
            Effect::Cease => self.order(index, Order::Cease),
            Effect::Admit(admits) => self.order(index, Order::Admit(admits)),
            Effect::Stream(verdict) => self.judge_stream(index, verdict),
            Effect::TakeCommands(takes) => self.order_commands(index, takes),
            Effect::WatchLevel => {
                let mark = process.storage.board.executed();
                process.coordinator.level_mark = mark;
                self.order(index, Order::WatchLevel(mark));
            }
            Effect::Tell(tell) => self.order(index, Order::Tell(tell)),
            Effect::Addresses(set, by) => process.keeper.hold(now, set, by),
            Effect::GrantLeases(granting) => {
                if granting || !self.is_planted(Planted::LeasesGoOn) {
                    self.grant_leases(index, granting);
                }
            }
            Effect::Exit(why) => self.exit(index, why),
        }
    }

    /// No server of a pair in which nobody overrides may ever find its disk stale or the register set back.
    fn exit(&mut self, index: usize, why: Story) {
        if matches!(why, Story::RegisterRegressed | Story::DiskStale) {
            self.breach_of(Breach::new("P5", format!("{:?} stops: {why:?}", server(index))));
        }
        let back_after = self.dice.scale(200, 5_000);
        self.end(index, End::Killed, back_after);
    }

    fn begin_and_watch(&mut self, index: usize, epoch: duplex::model::Epoch, holder: Holder) {
        self.order(index, Order::Begin { epoch, holder });
        let Some(own) = self.coordinator(index) else { return };
        own.comparisons += 1;
        let number = own.comparisons;
        if matches!(holder, Holder::Pair { .. }) {
            self.tell_after(limits::COMPARE_LIMIT_MS, index, News::CompareLate { number });
        }
    }

    fn order_commands(&mut self, index: usize, takes: bool) {
        self.order(index, Order::TakeCommands(takes));
        if takes {
            return;
        }
        let Some(own) = self.coordinator(index) else { return };
        own.switches += 1;
        let number = own.switches;
        self.tell_after(limits::SWITCHOVER_LIMIT.as_millis() as u64, index, News::SwitchLate { number });
        self.tell_after(limits::DRAIN_LOOK.as_millis() as u64, index, News::DrainLook { number });
    }

    fn look_whether_drained(&mut self, index: usize, number: u64) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let own = &process.coordinator;
        if own.switches != number || !matches!(own.machine.state(), State::Switching(Switch::Draining)) {
            return;
        }
        if process.storage.board.is_drained() {
            return self.event(index, Event::Drained);
        }
        self.tell_after(limits::DRAIN_LOOK.as_millis() as u64, index, News::DrainLook { number });
    }

    /// Heartbeats follow the machine; a clean stop waits until the roles have changed, or will not.
    fn stand(&mut self, index: usize) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let own = &mut process.coordinator;
        let (standing, state) = (own.machine.standing(), own.machine.state());
        if own.stops && !matches!(state, State::Switching(_) | State::Starting) {
            own.stops = false;
            own.hears(Event::StopWanted);
        }
        if own.told != Some(standing) {
            own.told = Some(standing);
            process.storage.board.set_epoch(standing.epoch);
            process.monitor.standing = Some(standing);
            self.send_own_beat(index);
        }
    }

    /// A person, or this server's own health, wants the roles to change.
    pub fn want_switchover(&mut self, index: usize) {
        let now = self.moment();
        let Some(own) = self.coordinator(index) else { return };
        if own.machine.state() == State::Main && own.arbiter_is_fresh(now) {
            own.hears(Event::SwitchoverWanted);
        }
    }

    pub fn want_stop(&mut self, index: usize) {
        let now = self.moment();
        let Some(own) = self.coordinator(index) else { return };
        if own.machine.state() == State::Main && own.arbiter_is_fresh(now) {
            own.stops = true;
            own.hears(Event::SwitchoverWanted);
        } else {
            own.hears(Event::StopWanted);
        }
    }

    /// What the sender tells of its stream.
    pub fn near(&mut self, index: usize) {
        let now = self.moment();
        if self.coordinator(index).is_some_and(|own| own.arbiter_is_fresh(now)) {
            self.event(index, Event::PeerNear);
        } else {
            self.ask(index, Question::Read);
        }
    }

    pub fn level(&mut self, index: usize, mark: Sequence) {
        if self.coordinator(index).is_some_and(|own| own.level_mark == mark) {
            self.event(index, Event::PeerLevel);
        }
    }

    fn judge_stream(&mut self, index: usize, verdict: StreamVerdict) {
        if let Some(link) = self.coordinator(index).and_then(|own| own.judged.take()) {
            self.judged(index, link, verdict);
        }
    }

    /// The control actors are reborn: nothing is assumed beyond the disk.
    pub fn control_reborn(&mut self, index: usize) {
        let now = self.moment();
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let own = &mut process.coordinator;
        let (machine, effects) = Failover::start(*own.notes.current(), false);
        own.machine = machine;
        (own.told, own.noting, own.judged) = (None, None, None);
        own.waiting.clear();
        own.asks_under_way.clear();
        let boot = process.monitor.boot();
        process.monitor = Monitor::new(boot, now);
        process.storage.board.set_lease_until(Moment(0));
        self.perform(index, effects.into());
    }
}

fn view(process: &Process, event: &Event) -> View {
    let stored = process.storage.board.stored_position();
    let recordable = if *event == Event::RefreshDue { recordable(process, stored) } else { None };
    View { stored, recordable: recordable.unwrap_or(Position::GENESIS) }
}

fn recordable(process: &Process, stored: Position) -> Option<Position> {
    let both = process.storage.board.peer_stored().min(stored.sequence);
    match process.coordinator.machine.state() {
        State::Solo(Toward::Nothing) => Some(stored),
        State::Main | State::Solo(_) if both == stored.sequence => Some(stored),
        State::Main | State::Solo(_) if both.0 > 0 => process.position_at(both),
        _ => None,
    }
}

impl Process {
    /// Of an entry that this server has, stored or not.
    pub fn position_at(&self, sequence: Sequence) -> Option<Position> {
        let in_tail = self.storage.tail.get(sequence).map(|entry| entry.position);
        in_tail.or_else(|| self.writer.reader().position_at(sequence).ok().flatten())
    }

    pub fn rule(&self) -> Rule {
        self.storage.gate.rule()
    }
}
