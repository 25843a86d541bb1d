//! What follows from an action: events are stepped, effects are performed strictly in order.

use crate::actions::{Action, Answer, Cause, Unsynced};
use crate::machines::failover::{Effect, Event, Failover, Loss, Rule, StreamVerdict, TellPeer, View};
use crate::machines::stream::{Beginning, Opening, beginning, opening};
use crate::model::{Coordination, Holder, Position};
use crate::planted::Planted;
use crate::world::{Ask, Breach, Life, World, end};

impl World {
    pub fn take(&mut self, action: Action) {
        match action {
            Action::Step(server, cause, crash_after) => self.step(server, cause, crash_after),
            Action::DelayBeat(server) => self.delay_beat(server),
            Action::DelayRead(server) => self.delay_read(server),
            Action::Execute(server, command) => self.execute(server, command),
            Action::Sync(server) => self.servers[server].drain(),
            Action::Ship => self.ship(),
            Action::Tell => self.tell_stored(),
            Action::Land(ask, answer) => self.land(ask, answer),
            Action::Break => {
                self.left.breaks -= 1;
                self.end_stream();
            }
            Action::Crash(server, unsynced) => self.crash(server, unsynced),
            Action::Start(server) => self.start(server),
            Action::Rebirth(server, unsynced) => self.rebirth(server, unsynced),
            Action::Rollback(server) => self.roll_back(server),
        }
        self.answer();
    }

    pub fn start(&mut self, server: usize) {
        let own = &mut self.servers[server];
        let (machine, effects) = Failover::start(own.disk, false);
        let ids = own.journal.iter().map(|entry| entry.command).collect();
        own.life = Some(Life::new(machine, ids));
        let effects = Planted::at_start(self.planted, &own.disk, effects);
        self.perform(server, effects, None);
    }

    fn step(&mut self, server: usize, cause: Cause, crash_after: Option<usize>) {
        self.spend_on(server, cause);
        let effects = self.effects_of(server, cause);
        self.perform(server, effects, crash_after);
        if crash_after.is_some() {
            self.crash(server, Unsynced::Survives);
        }
    }

    fn spend_on(&mut self, server: usize, cause: Cause) {
        let is_gone = self.life(1 - server).is_none();
        match cause {
            Cause::Told(Event::PeerLost(_)) if !is_gone => self.left.alarms -= 1,
            Cause::Told(Event::SwitchoverWanted) => self.left.switchovers -= 1,
            Cause::Told(Event::CompareTooLong | Event::SwitchoverTooLong) => {
                self.left.alarms = self.left.alarms.saturating_sub(1)
            }
            Cause::Told(Event::RefreshDue) => self.left.refreshes = self.left.refreshes.saturating_sub(1),
            _ => {}
        }
    }

    /// Steps the machine and returns what it wants done.
    pub fn effects_of(&mut self, server: usize, cause: Cause) -> Vec<Effect> {
        let stored = self.servers[server].stored();
        let recordable = self.recordable(server);
        let register = self.register;
        let Some(life) = self.servers[server].life.as_mut() else { return vec![] };
        let event = match cause {
            Cause::Told(event) => Some(event),
            Cause::Heard => life.inbox.pop_front(),
            Cause::Read => std::mem::take(&mut life.reads).then_some(Event::Register(register)),
        };
        let Some(event) = event else { return vec![] };
        match event {
            Event::PeerSays(standing) => {
                life.late = life.late.filter(|late| *late != standing);
                life.heard = Some(standing);
            }
            Event::PeerLost(loss) => {
                life.lost = Some(loss);
                life.heard = life.heard.filter(|_| loss != Loss::Dead);
            }
            Event::PeerBack => life.lost = None,
            Event::Compared if life.lost == Some(Loss::NotStoring) => life.lost = None,
            _ => {}
        }
        Planted::step(self.planted, &mut life.machine, View { stored, recordable }, event)
    }

    fn recordable(&self, server: usize) -> Position {
        let own = &self.servers[server];
        let Some(life) = &own.life else { return Position::GENESIS };
        match life.rule {
            Rule::Own(_) => own.stored(),
            Rule::Both(_) => end(&own.journal[..own.synced.min(life.peer_stored)]),
            Rule::Closed | Rule::Leased(_) => Position::GENESIS,
        }
    }

    /// In order; after `crash_after` of them nothing more happens.
    fn perform(&mut self, server: usize, effects: Vec<Effect>, crash_after: Option<usize>) {
        for effect in effects.into_iter().take(crash_after.unwrap_or(usize::MAX)) {
            self.perform_one(server, effect);
        }
    }

    fn perform_one(&mut self, server: usize, effect: Effect) {
        let Some(life) = self.servers[server].life.as_mut() else { return };
        match effect {
            Effect::Note(disk) => self.note(server, disk),
            Effect::Ask { expected, new } => self.ask(Ask { from: server, expected, new }),
            Effect::ReadRegister => life.reads = true,
            Effect::Gate(rule) => life.rule = rule,
            Effect::Begin { epoch, holder } => {
                (life.sends, life.peer_stored, life.level_mark) = (true, 0, None);
                life.run = matches!(holder, Holder::Solo { .. }).then_some(epoch);
                // Hand-overs are closed and drained before anything is compared.
                self.servers[server].drain();
                self.end_stream();
            }
            Effect::Continue { epoch, .. } => life.run = Some(epoch),
            Effect::Cease => {
                (life.run, life.sends) = (None, false);
                self.servers[server].drain();
                self.end_stream_of(server);
            }
            Effect::Admit(admits) => {
                life.admits = admits;
                if !admits {
                    self.end_stream_of(1 - server);
                }
            }
            Effect::Stream(verdict) => self.open_stream(server, verdict),
            Effect::TakeCommands(takes) => life.takes = takes,
            Effect::WatchLevel => life.level_mark = Some(self.servers[server].journal.len()),
            Effect::Tell(tell) => self.tell(server, tell),
            Effect::GrantLeases(granting) => life.granting = granting,
            Effect::Exit(_) => self.end_life(server, Unsynced::Survives),
            Effect::Addresses(..) | Effect::Dismiss | Effect::Story(_) => {}
        }
    }

    fn note(&mut self, server: usize, disk: Coordination) {
        if disk.held.0 < self.servers[server].disk.held.0 {
            self.breach.get_or_insert(Breach::WentBack { server });
        }
        self.servers[server].disk = disk;
    }

    fn tell(&mut self, server: usize, tell: TellPeer) {
        if self.stream.is_none() {
            return;
        }
        match tell {
            TellPeer::Intend(register) => self.push(1 - server, Event::IntendWanted(register)),
            TellPeer::Enter(register) => self.push(1 - server, Event::EnterWanted(register)),
            TellPeer::Intended(register) => self.push(1 - server, Event::PeerIntended(register)),
        }
    }

    fn end_stream(&mut self) {
        if let Some(holder) = self.stream.take() {
            self.push(holder, Event::StreamLost);
            self.servers[1 - holder].drain();
        }
    }

    fn end_stream_of(&mut self, holder: usize) {
        if self.stream == Some(holder) {
            self.end_stream();
        }
    }

    /// The follower has judged: the two compare, as both sides' actors do with the same functions.
    fn open_stream(&mut self, follower: usize, verdict: StreamVerdict) {
        let may_cut = match verdict {
            StreamVerdict::AsSub => false,
            StreamVerdict::Rejoining => true,
            StreamVerdict::NotNow | StreamVerdict::EpochOld { .. } => return,
        };
        let holder = 1 - follower;
        self.servers[follower].drain();
        if !self.compare(holder, follower, may_cut) {
            return;
        }
        self.stream = Some(holder);
        let (epoch, held) = self.servers[holder].disk.held;
        let follows = self.servers[follower].journal.len();
        let Some(life) = self.servers[holder].life.as_mut() else { return };
        life.peer_stored = follows;
        if matches!(held, Holder::Pair { .. }) {
            life.run.get_or_insert(epoch);
        }
        self.push(holder, Event::Compared);
    }

    fn compare(&mut self, holder: usize, follower: usize, may_cut: bool) -> bool {
        if self.has(Planted::ComparesByNumber) && self.servers[follower].journal.len() <= self.servers[holder].journal.len() {
            return true;
        }
        let held = self.servers[holder].disk.held.1;
        let fresh = self.life(holder).is_some_and(|life| life.run.is_none());
        let mut peer = end(&self.servers[follower].journal);
        // Each answer names an earlier epoch, and there are few.
        for _ in 0..16 {
            let Ok(opened) = opening(&self.servers[holder], held, fresh, peer);
            let after = match opened {
                Opening::Begin { after } => after,
                Opening::Fetch { after } => {
                    self.fetch(holder, follower, after);
                    continue;
                }
                // Its own disk first; the stream is tried again.
                Opening::Store { .. } | Opening::Impossible => return false,
            };
            let Ok(begun) = beginning(&self.servers[follower], may_cut, Position::GENESIS, after);
            match begun {
                Beginning::Level => return true,
                Beginning::Cut { to } => {
                    self.cut(follower, to);
                    return true;
                }
                Beginning::Differs { mine } => peer = mine,
                Beginning::CannotCut => return false,
                Beginning::Forked => {
                    self.breach.get_or_insert(Breach::Forked);
                    return false;
                }
            }
        }
        false
    }

    fn takes_numbers(&self) -> bool {
        self.has(Planted::RunOutlivesItsWriter) || self.has(Planted::ComparesByNumber)
    }

    /// What the peer says now will be heard some time.
    fn delay_beat(&mut self, server: usize) {
        let said = self.life(1 - server).map(|peer| peer.machine.standing());
        if let Some(life) = self.servers[server].life.as_mut() {
            life.late = said;
            self.left.late -= 1;
        }
    }

    /// What the register is now will be read some time.
    fn delay_read(&mut self, server: usize) {
        if let Some(life) = self.servers[server].life.as_mut() {
            life.reads = false;
            self.left.late -= 1;
        }
        self.push(server, Event::Register(self.register));
    }

    /// A Main that starts anew takes over what its Sub has stored beyond it.
    fn fetch(&mut self, holder: usize, follower: usize, after: Position) {
        for entry in self.servers[follower].journal.split_off(after.sequence.0 as usize) {
            self.servers[holder].write(entry);
            self.servers[follower].journal.push(entry);
        }
        self.servers[holder].drain();
    }

    fn cut(&mut self, follower: usize, to: Position) {
        self.servers[follower].truncate(to.sequence.0 as usize);
        if !self.has(Planted::IdsOutliveACut) {
            self.servers[follower].forget_cut_ids();
        }
    }

    fn execute(&mut self, server: usize, command: u8) {
        let Some(epoch) = self.life(server).and_then(|life| life.run) else { return };
        self.left.entries -= 1;
        self.issued = self.issued.max(command + 1);
        self.servers[server].append(epoch, command);
    }

    fn ship(&mut self) {
        let Some(holder) = self.stream else { return };
        let follower = 1 - holder;
        let at = self.servers[follower].journal.len();
        let Some(entry) = self.servers[holder].journal.get(at).copied() else { return };
        // A gap or another digest ends the link, as the receiver does.
        if end(&self.servers[follower].journal) != end(&self.servers[holder].journal[..at]) && !self.takes_numbers() {
            return self.end_stream();
        }
        self.servers[follower].write(entry);
    }

    /// An acknowledgement counts only if its digest is the holder's own.
    fn tell_stored(&mut self) {
        let Some(holder) = self.stream else { return };
        let stored = self.servers[1 - holder].stored();
        let at = stored.sequence.0 as usize;
        let is_own = self.servers[holder].journal.get(..at).is_some_and(|journal| end(journal) == stored);
        let counts = is_own || self.takes_numbers();
        match self.servers[holder].life.as_mut() {
            Some(life) if counts => life.peer_stored = life.peer_stored.max(at),
            _ => {}
        }
    }

    fn land(&mut self, ask: Ask, answer: Answer) {
        self.asks.retain(|other| *other != ask);
        let landed = self.register == ask.expected || self.has(Planted::ArbiterOverwrites);
        if landed {
            self.register = ask.new;
        }
        match answer {
            Answer::IsLost => self.left.lost_answers -= 1,
            Answer::Comes if landed => self.push(ask.from, Event::Landed(self.register)),
            Answer::Comes => self.push(ask.from, Event::Differs(self.register)),
        }
    }

    fn crash(&mut self, server: usize, unsynced: Unsynced) {
        if self.servers[server].life.is_some() {
            self.left.crashes -= 1;
            self.end_life(server, unsynced);
            if self.has(Planted::ArbiterForgets) {
                self.register = World::new(self.left, None).register;
            }
        }
    }

    pub fn end_life(&mut self, server: usize, unsynced: Unsynced) {
        self.servers[server].life = None;
        self.settle_unsynced(server, unsynced);
        self.end_stream();
    }

    fn settle_unsynced(&mut self, server: usize, unsynced: Unsynced) {
        let own = &mut self.servers[server];
        if unsynced == Unsynced::IsGone {
            own.truncate(own.synced);
        }
        own.drain();
    }

    /// JournalWriter, ReplicationSender and DataUpdater begin a new life; what was handed over and not written may be gone.
    fn rebirth(&mut self, server: usize, unsynced: Unsynced) {
        self.left.rebirths -= 1;
        self.settle_unsynced(server, unsynced);
        self.servers[server].forget_cut_ids();
        if self.has(Planted::RunOutlivesItsWriter) {
            return;
        }
        self.end_stream_of(server);
        if let Some(life) = self.servers[server].life.as_mut() {
            life.run = None;
        }
        self.step(server, Cause::Told(Event::StorageReborn), None);
    }

    fn roll_back(&mut self, server: usize) {
        self.left.rollbacks -= 1;
        self.end_life(server, Unsynced::IsGone);
        let [a, b] = World::new(self.left, None).servers;
        self.servers[server] = if server == 0 { a } else { b };
    }
}

impl Life {
    fn new(machine: Failover, ids: std::collections::BTreeSet<u8>) -> Self {
        Self {
            machine,
            inbox: std::collections::VecDeque::new(),
            rule: Rule::Closed,
            admits: false,
            run: None,
            takes: true,
            sends: false,
            peer_stored: 0,
            level_mark: None,
            lost: None,
            granting: true,
            heard: None,
            late: None,
            reads: false,
            ids,
        }
    }
}
