//! Change 4: a Main gives its role to its Sub while both are well.
//!
//! Nothing acknowledged rests on how far this comes: a Main acknowledges only what its Sub has stored too, so whichever of the two is
//! Main of the next moment holds it. Draining and the intent are there so that no command is refused and no epoch is used twice.

use super::{AddressSet, Effect, Event, Failover, HoldBy, Rule, State, Story, Switch, TellPeer, View};
use crate::model::{Holder, Register, Standing};

impl Failover {
    /// What is left to a Main that gives its role away, of what [`Failover::step`] does in every state.
    pub(super) fn go_on_switching(&mut self, at: Switch, event: Event, fx: &mut Vec<Effect>) {
        match (at, event) {
            (Switch::Draining, Event::Drained) => self.tell_switch(fx),
            (Switch::Intent(wanted), Event::PeerIntended(intended)) if intended.is_same_change(&wanted) => {
                self.ask_for_switch(wanted, fx);
            }
            (Switch::Draining | Switch::Intent(_), Event::SwitchoverTooLong) => self.give_up_switch(fx),
            (Switch::Draining | Switch::Intent(_), Event::StreamLost) => {
                self.streaming = false;
                self.give_up_switch(fx);
            }
            // The arbiter does not say. Two servers of one Pair need nobody else; what was asked may land later, and is acted on then.
            (Switch::Asked(_), Event::SwitchoverTooLong) | (_, Event::StorageReborn) => {
                self.begin(State::Comparing, Rule::Closed, fx);
            }
            (Switch::Asked(_), Event::StreamLost) => self.streaming = false,
            (_, Event::Compared) => self.opened(),
            // Stale news, as in every other state; and nothing is recorded while the register is about to change.
            _ => {}
        }
    }

    /// Takes no more commands. Those that are executed get their answers as ever.
    pub(super) fn begin_switch(&mut self, fx: &mut Vec<Effect>) {
        let current = self.register.filter(|register| register.epoch == self.disk.held.0);
        if current.is_none() || self.lost.is_some() || !self.streaming {
            fx.extend([Effect::ReadRegister, Effect::Story(Story::SwitchoverGivenUp)]);
            return;
        }
        self.state = State::Switching(Switch::Draining);
        fx.extend([Effect::TakeCommands(false), Effect::Story(Story::SwitchingOver)]);
    }

    fn tell_switch(&mut self, fx: &mut Vec<Effect>) {
        let Some(current) = self.register else { return };
        let epoch = self.fresh_epoch(&current);
        let wanted = Register { epoch, holder: Holder::Pair { main: self.me.peer() }, ..current };
        self.state = State::Switching(Switch::Intent(wanted));
        fx.push(Effect::Tell(TellPeer::Intend(wanted)));
    }

    /// Also repeats it: the same epoch and holder, on the register as it is now. The own intent makes this server, when it finds the
    /// register so, the Sub that it then is, though it was not there to see it.
    pub(super) fn ask_for_switch(&mut self, wanted: Register, fx: &mut Vec<Effect>) {
        let Some(expected) = self.register else { return };
        let wanted = Register { recorded: expected.recorded, ..wanted };
        self.state = State::Switching(Switch::Asked(wanted));
        fx.push(Effect::Gate(Rule::Closed));
        if !self.intends(&wanted) || self.disk.spent < wanted.epoch {
            self.disk.intent = Some(wanted);
            self.disk.spent = self.disk.spent.max(wanted.epoch);
            fx.push(Effect::Note(self.disk));
        }
        fx.push(Effect::Ask { expected, new: wanted });
    }

    /// Nothing was asked: Main as before.
    fn give_up_switch(&mut self, fx: &mut Vec<Effect>) {
        self.state = State::Main;
        fx.push(Effect::Story(Story::SwitchoverGivenUp));
    }

    /// The Sub's side: Main of the coming epoch, once the register says so.
    pub(super) fn intend_to_be_main(&mut self, register: Register, fx: &mut Vec<Effect>) {
        self.disk.intent = Some(register);
        // Its Main asks for that epoch: this server must never ask for another value under the same number.
        self.disk.spent = self.disk.spent.max(register.epoch);
        fx.extend([Effect::Note(self.disk), Effect::Tell(TellPeer::Intended(register))]);
    }

    /// The peer's disk holds what this Sub has noted as its intent, so the register does.
    pub(super) fn hear_of_intent(&self, standing: &Standing) -> Option<Register> {
        self.disk
            .intent
            .filter(|intent| self.state == State::Sub && (intent.epoch, intent.holder) == (standing.epoch, standing.holder))
    }

    /// The register makes this Sub Main. It confirms nothing of the Main before it, and takes its address only when that one has opened
    /// to its stream: then it has given everything up.
    pub(super) fn become_main(&mut self, fx: &mut Vec<Effect>) {
        fx.extend([Effect::Admit(false), Effect::Addresses(AddressSet::Sub, HoldBy::Yield)]);
        self.begin(State::Comparing, Rule::Closed, fx);
    }

    /// The register makes the other one Main, as this one intended. Nobody is answered here any more before anybody hears of it.
    pub(super) fn step_down(&mut self, register: Register, view: &View, fx: &mut Vec<Effect>) {
        fx.extend([Effect::Gate(Rule::Closed), Effect::Addresses(AddressSet::Main, HoldBy::Yield)]);
        self.disk.held = (register.epoch, register.holder);
        self.disk.in_sync = true;
        (self.disk.intent, self.disk.word) = (None, None);
        (self.state, self.streaming, self.running, self.asked) = (State::Starting, false, false, None);
        fx.extend([
            Effect::Note(self.disk),
            Effect::Cease,
            Effect::Dismiss,
            Effect::Admit(true),
            Effect::GrantLeases(true),
            Effect::Story(Story::HandedOver(register.epoch)),
        ]);
        self.settle(view, fx);
    }
}
