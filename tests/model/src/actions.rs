//! What may happen next, in any order.

use crate::machines::failover::{Effect, Event, Loss, State, Switch, Toward};
use crate::model::Mode;
use crate::planted::Planted;
use crate::world::{Ask, BOTH, Life, World, is_own};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The machine steps; the server may crash after so many effects.
    Step(usize, Cause, Option<usize>),
    /// The peer's heartbeat of now, or the register as it is now, is on its way and comes late.
    DelayBeat(usize),
    DelayRead(usize),
    Execute(usize, u8),
    Sync(usize),
    /// The next entry goes over the stream.
    Ship,
    /// The follower's word of what it has stored comes back.
    Tell,
    /// A compare-and-set reaches the register. Its answer may be lost.
    Land(Ask, Answer),
    Break,
    /// Whether what was written and not synced survives is the disk's choice.
    Crash(usize, Unsynced),
    Start(usize),
    Rebirth(usize, Unsynced),
    Rollback(usize),
}

/// Why a machine steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The first of its inbox.
    Heard,
    /// The register that it asked for, as it is now.
    Read,
    Told(Event),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Comes,
    IsLost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unsynced {
    Survives,
    IsGone,
}

const EITHER: [Unsynced; 2] = [Unsynced::Survives, Unsynced::IsGone];

impl World {
    pub fn enabled(&self, actions: &mut Vec<Action>) {
        for server in BOTH {
            match self.life(server) {
                None => actions.push(Action::Start(server)),
                Some(_) => {
                    self.steps(server, actions);
                    self.work(server, actions);
                    self.faults(server, actions);
                }
            }
        }
        if self.stream.is_some() {
            actions.extend([Action::Ship, Action::Tell]);
            actions.extend((self.left.breaks > 0).then_some(Action::Break));
        }
        for ask in &self.asks {
            actions.push(Action::Land(*ask, Answer::Comes));
            actions.extend((self.left.lost_answers > 0).then_some(Action::Land(*ask, Answer::IsLost)));
        }
    }

    fn steps(&self, server: usize, actions: &mut Vec<Action>) {
        let causes = self.causes(server);
        for cause in causes {
            actions.push(Action::Step(server, cause, None));
            if self.left.crashes > 0 {
                let seen_outside = |effect: &Effect| matches!(effect, Effect::Note(_) | Effect::Ask { .. } | Effect::Tell(_));
                let effects = self.clone().effects_of(server, cause);
                let after = effects.iter().enumerate().filter(|(_, effect)| seen_outside(effect)).map(|(at, _)| at + 1);
                actions.extend(after.map(|after| Action::Step(server, cause, Some(after))));
            }
        }
    }

    /// What may be told to a machine now.
    pub fn causes(&self, server: usize) -> Vec<Cause> {
        let Some(life) = self.life(server) else { return vec![] };
        let state = life.machine.state();
        if life.inbox.front().is_some_and(is_own) {
            return vec![Cause::Heard];
        }
        let mut told = Vec::new();
        let said = self.life(1 - server).map(|peer| peer.machine.standing()).filter(|said| Some(*said) != life.heard);
        if self.peer_is_gone(server) {
            told.extend([Loss::Dead, Loss::Silent].into_iter().filter(|loss| is_news(life.lost, *loss)).map(Event::PeerLost));
        } else if life.lost.is_some() {
            // What it is before that it is back.
            told.push(said.map_or(Event::PeerBack, Event::PeerSays));
        } else if self.left.alarms > 0 {
            told.extend([Event::PeerLost(Loss::Silent), Event::PeerLost(Loss::NotStoring)]);
        }
        told.extend(said.filter(|_| life.lost.is_none()).map(Event::PeerSays));
        told.extend(life.late.filter(|_| life.lost.is_none()).map(Event::PeerSays));
        told.extend((!life.granting).then_some(Event::LeasesOut));
        told.extend(self.stream_wanted_of(server));
        if self.stream == Some(server) {
            match state {
                State::Solo(Toward::Nothing) if life.lost.is_none() => told.push(Event::PeerNear),
                State::Solo(Toward::Level)
                    if life.level_mark.is_some_and(|mark| life.peer_stored >= mark) || self.has(Planted::PairBeforeLevel) =>
                {
                    told.push(Event::PeerLevel);
                }
                _ => {}
            }
        }
        told.extend((state == State::Comparing && self.left.alarms > 0).then_some(Event::CompareTooLong));
        told.extend(self.switchover_of(server, life));
        // Timers. What they ask for twice is asked for once: a set of asks, and one read under way.
        told.push(Event::RetryDue);
        let refreshes = self.left.refreshes > 0 || !matches!(life.machine.mode(), Mode::Pair | Mode::Solo);
        told.extend(refreshes.then_some(Event::RefreshDue));
        let heard = (!life.inbox.is_empty()).then_some(Cause::Heard);
        let read = life.reads.then_some(Cause::Read);
        heard.into_iter().chain(read).chain(told.into_iter().map(Cause::Told)).collect()
    }

    fn switchover_of(&self, server: usize, life: &Life) -> Option<Event> {
        let own = &self.servers[server];
        let on_both = own.synced == own.journal.len() && self.stream == Some(server) && life.peer_stored == own.synced;
        match life.machine.state() {
            State::Main if self.left.switchovers > 0 => Some(Event::SwitchoverWanted),
            State::Switching(Switch::Draining) if on_both => Some(Event::Drained),
            State::Switching(_) if self.left.alarms > 0 => Some(Event::SwitchoverTooLong),
            _ => None,
        }
    }

    fn peer_is_gone(&self, server: usize) -> bool {
        self.life(1 - server).is_none()
    }

    /// The other one's sender knocks.
    fn stream_wanted_of(&self, follower: usize) -> Option<Event> {
        let (own, holder) = (self.life(follower)?, self.life(1 - follower)?);
        let (epoch, of) = self.servers[1 - follower].disk.held;
        let is_settled = !holder.inbox.front().is_some_and(is_own);
        (self.stream.is_none() && holder.sends && (own.admits || self.has(Planted::SoloComparedAsPair)) && is_settled)
            .then_some(Event::StreamWanted { epoch, holder: of })
    }

    fn work(&self, server: usize, actions: &mut Vec<Action>) {
        let Some(life) = self.life(server) else { return };
        if life.run.is_some() && life.takes && self.left.entries > 0 {
            let known = self.issued.min(self.left.commands);
            let new = (self.issued < self.left.commands).then_some(self.issued);
            let commands = (0..known).filter(|command| !life.ids.contains(command)).chain(new);
            actions.extend(commands.map(|command| Action::Execute(server, command)));
        }
        let own = &self.servers[server];
        actions.extend((own.synced < own.journal.len()).then_some(Action::Sync(server)));
    }

    fn faults(&self, server: usize, actions: &mut Vec<Action>) {
        if self.left.crashes > 0 {
            actions.extend(EITHER.map(|unsynced| Action::Crash(server, unsynced)));
        }
        if self.left.rebirths > 0 {
            actions.extend(EITHER.map(|unsynced| Action::Rebirth(server, unsynced)));
        }
        if self.left.late > 0 {
            let life = self.life(server);
            actions.extend(self.life(1 - server).and(life).filter(|life| life.late.is_none()).map(|_| Action::DelayBeat(server)));
            actions.extend(life.filter(|life| life.reads).map(|_| Action::DelayRead(server)));
        }
        let recorded_more = self.register.recorded.sequence.0 > 0;
        actions.extend((self.left.rollbacks > 0 && recorded_more).then_some(Action::Rollback(server)));
    }
}

/// Silence too is news to whoever has made peace with a peer that only did not store.
fn is_news(before: Option<Loss>, loss: Loss) -> bool {
    match before {
        None | Some(Loss::NotStoring | Loss::CannotAcknowledge) => true,
        Some(Loss::Silent) => loss == Loss::Dead,
        Some(Loss::Dead) => false,
    }
}
