//! The arbiter's side: reading the register, asking for Solo, Pair or a raise, and what an answer means.
//!
//! A compare-and-set whose reply was lost may land at any later time. Reading that it landed is final; reading that it has not
//! proves nothing. So whoever needs the old state back first wins a raise.

use super::{AddressSet, Effect, Failover, HoldBy, Loss, Rule, State, Story, Switch, TellPeer, Toward, View};
use crate::model::{Epoch, Holder, Position, Register, Role};

impl Failover {
    /// The register as it is now.
    pub(super) fn read(&mut self, register: Register, view: &View, fx: &mut Vec<Effect>) {
        self.register = Some(register);
        if self.read_beside_word(register, view, fx) {
            return;
        }
        let held = self.disk.held;
        if register.epoch < held.0 || (register.epoch == held.0 && register.holder != held.1) {
            return self.halt(Story::RegisterRegressed, fx);
        }
        if register.epoch > held.0 {
            return self.act_on(register, view, fx);
        }
        if self.state == State::Asking {
            self.ask_for_solo(view, fx);
        }
        self.pass_over_a_word(view, fx);
    }

    /// The compare-and-set did not match; `register` is what stands there.
    pub(super) fn refused(&mut self, register: Register, view: &View, fx: &mut Vec<Effect>) {
        let before = self.state;
        self.read(register, view, fx);
        // Only the recorded position had moved: the same wish on the new value.
        if let (State::Solo(Toward::Asked(wanted)), true) = (before, self.state == before) {
            self.ask_for_pair(Register { recorded: register.recorded, ..wanted }, fx);
        }
        if let (State::Switching(Switch::Asked(wanted)), true) = (before, self.state == before) {
            self.ask_for_switch(wanted, fx);
        }
    }

    pub(super) fn retry(&mut self, view: &View, fx: &mut Vec<Effect>) {
        match self.state {
            State::Asking if self.register.is_some() => self.ask_for_solo(view, fx),
            State::Solo(Toward::Asked(wanted)) => self.ask_for_pair(wanted, fx),
            // Told before the peer had heard that the Pair is over, perhaps.
            State::Solo(Toward::Intent(wanted)) | State::Switching(Switch::Intent(wanted)) => {
                fx.push(Effect::Tell(TellPeer::Intend(wanted)));
            }
            State::Switching(Switch::Asked(wanted)) => self.ask_for_switch(wanted, fx),
            State::Starting | State::Main | State::Solo(_) | State::Asking if self.register.is_none() => {
                fx.push(Effect::ReadRegister);
            }
            State::Rejoining if self.lost.is_some() && self.disk.intent.is_some() => fx.push(Effect::ReadRegister),
            State::Starting | State::Main | State::Solo(_) | State::Asking | State::Rejoining => {}
            State::Comparing | State::Switching(Switch::Draining) | State::Sub | State::Waiting | State::Halted => {}
        }
    }

    /// The register is newer than the disk: an own request that landed, the Pair that was intended, or the other's.
    fn act_on(&mut self, register: Register, view: &View, fx: &mut Vec<Effect>) {
        match register.holder {
            Holder::Solo { server } if server == self.me => self.act_on_own_solo(register, view, fx),
            Holder::Pair { main } if main == self.me => self.act_on_own_pair(register, view, fx),
            Holder::Pair { .. } if self.intends(&register) => self.enter_as_intended(register, view, fx),
            Holder::Pair { .. } | Holder::Solo { .. } => self.follow(fx),
        }
    }

    fn act_on_own_solo(&mut self, register: Register, view: &View, fx: &mut Vec<Effect>) {
        if !self.holds(&register, view) {
            return self.halt(Story::DiskStale, fx);
        }
        let took_over = self.acknowledger() != self.me;
        fx.extend([Effect::GrantLeases(false), Effect::Admit(false)]);
        self.disk.held = (register.epoch, register.holder);
        (self.disk.intent, self.disk.word) = (None, None);
        fx.push(Effect::Note(self.disk));
        self.asked = None;
        match self.state {
            // A restarted server does not know what else it asked for: it first wins a raise.
            State::Starting | State::Rejoining => self.ask_for_solo(view, fx),
            // A late request was found landed while a Main was followed: the leases that it was granted run out first.
            State::Sub if self.lost != Some(Loss::Dead) => {
                self.state = State::Waiting;
                fx.push(Effect::Gate(Rule::Closed));
            }
            _ => self.serve_alone(took_over, fx),
        }
    }

    pub(super) fn serve_alone(&mut self, took_over: bool, fx: &mut Vec<Effect>) {
        let (epoch, holder) = self.disk.held;
        if self.running {
            self.state = State::Solo(Toward::Nothing);
            fx.extend([Effect::Continue { epoch, holder }, Effect::Gate(Rule::Own(epoch))]);
        } else {
            self.begin(State::Solo(Toward::Nothing), Rule::Own(epoch), fx);
        }
        fx.push(Effect::Addresses(AddressSet::Both, HoldBy::Grant));
        fx.push(Effect::Story(if took_over { Story::TookOver(epoch) } else { Story::CarriedOnAlone(epoch) }));
    }

    /// A Pair of which this server is Main: asked for by itself (change 3) or by the Main before it (change 4), or found at boot by a
    /// server that holds everything anyway.
    pub(super) fn act_on_own_pair(&mut self, register: Register, view: &View, fx: &mut Vec<Effect>) {
        if !self.holds(&register, view) {
            return self.halt(Story::DiskStale, fx);
        }
        self.disk.held = (register.epoch, register.holder);
        self.disk.in_sync = true;
        (self.disk.intent, self.disk.word) = (None, None);
        fx.push(Effect::Note(self.disk));
        match self.state {
            State::Solo(Toward::Asked(_)) => self.enter_as_main(register, fx),
            // Wants to be alone by now. Whichever comes first, the raise or the peer's stream, goes on in this epoch or above.
            State::Asking => {
                if self.running {
                    fx.push(Effect::Continue { epoch: register.epoch, holder: register.holder });
                }
                self.ask_for_solo(view, fx);
            }
            State::Starting => self.settle(view, fx),
            State::Sub => self.become_main(fx),
            State::Solo(_)
            | State::Rejoining
            | State::Comparing
            | State::Main
            | State::Switching(_)
            | State::Waiting
            | State::Halted => {}
        }
    }

    fn enter_as_main(&mut self, register: Register, fx: &mut Vec<Effect>) {
        let Register { epoch, holder, .. } = register;
        self.state = State::Main;
        fx.extend([
            Effect::Continue { epoch, holder },
            Effect::Gate(self.pair_rule(epoch)),
            Effect::GrantLeases(true),
            Effect::Tell(TellPeer::Enter(register)),
            Effect::Addresses(AddressSet::Main, HoldBy::Lease),
            Effect::Story(Story::Paired(Role::Main, epoch)),
        ]);
    }

    /// Asks for Solo of this server at a fresh epoch: changes 1, 2 and 5.
    pub(super) fn ask_for_solo(&mut self, view: &View, fx: &mut Vec<Effect>) {
        self.state = State::Asking;
        fx.push(Effect::Gate(Rule::Closed));
        // A newer register is acted on when it is read; an older one cannot be.
        let Some(expected) = self.register.filter(|register| register.epoch == self.disk.held.0) else {
            fx.push(Effect::ReadRegister);
            return;
        };
        if !self.may_ask() || !self.holds(&expected, view) {
            return self.halt(Story::DiskStale, fx);
        }
        let epoch = match self.asked {
            Some((before, epoch)) if before == expected => epoch,
            Some(_) | None => self.fresh_epoch(&expected),
        };
        if self.asked != Some((expected, epoch)) {
            self.asked = Some((expected, epoch));
            fx.push(Effect::Story(Story::Asking(epoch)));
        }
        let new = Register { epoch, holder: Holder::Solo { server: self.me }, recorded: view.stored, ..expected };
        self.spend(epoch, fx);
        fx.push(Effect::Ask { expected, new });
    }

    /// From here on acknowledgements need the peer, and the address is held by its echoes.
    pub(super) fn need_the_peer(&mut self, fx: &mut Vec<Effect>) {
        // One that is ill or hangs streams on, and is near with every word of it.
        if self.lost.is_some() {
            return;
        }
        // A word that the register does not know yet is no step to a Pair.
        if self.register.is_none() || self.disk.word.is_some() {
            fx.push(Effect::ReadRegister);
            return;
        }
        let (epoch, _) = self.disk.held;
        self.state = State::Solo(Toward::Level);
        fx.extend([Effect::Gate(self.pair_rule(epoch)), Effect::Addresses(AddressSet::Both, HoldBy::Lease)]);
        fx.extend([Effect::WatchLevel, Effect::Story(Story::PeerNear)]);
    }

    pub(super) fn tell_intent(&mut self, fx: &mut Vec<Effect>) {
        let Some(current) = self.register else { return };
        let wanted = Register { epoch: self.fresh_epoch(&current), holder: Holder::Pair { main: self.me }, ..current };
        self.state = State::Solo(Toward::Intent(wanted));
        fx.push(Effect::Tell(TellPeer::Intend(wanted)));
    }

    /// Change 3. Also repeats it: the same epoch and holder, on the register as it is now.
    pub(super) fn ask_for_pair(&mut self, wanted: Register, fx: &mut Vec<Effect>) {
        let Some(expected) = self.register else { return };
        let wanted = Register { recorded: expected.recorded, ..wanted };
        self.state = State::Solo(Toward::Asked(wanted));
        self.spend(wanted.epoch, fx);
        fx.push(Effect::Ask { expected, new: wanted });
    }

    /// Nothing was asked in this run: plain Solo again.
    pub(super) fn back_to_plain_solo(&mut self, fx: &mut Vec<Effect>) {
        let (epoch, _) = self.disk.held;
        self.state = State::Solo(Toward::Nothing);
        fx.extend([Effect::Gate(Rule::Own(epoch)), Effect::Addresses(AddressSet::Both, HoldBy::Grant)]);
    }

    /// Keeps the recorded position young, so that a disk set back in time is noticed.
    pub(super) fn refresh(&mut self, view: &View, fx: &mut Vec<Effect>) {
        match self.register {
            Some(expected) if expected.epoch == self.disk.held.0 && order(&view.recordable) > order(&expected.recorded) => {
                fx.push(Effect::Ask { expected, new: Register { recorded: view.recordable, ..expected } });
            }
            // Nothing to record, but an arbiter that answers is worth knowing.
            Some(_) | None => fx.push(Effect::ReadRegister),
        }
    }

    pub(super) fn spend(&mut self, epoch: Epoch, fx: &mut Vec<Effect>) {
        if self.disk.spent < epoch {
            self.disk.spent = epoch;
            fx.push(Effect::Note(self.disk));
        }
    }

    pub(super) fn fresh_epoch(&self, register: &Register) -> Epoch {
        let known = register.epoch.max(self.disk.spent).max(self.disk.held.0);
        if self.own_numbers { self.own_number_above(known) } else { known.next() }
    }

    /// This disk is the one that the register names, and lacks nothing that was recorded.
    pub(super) fn holds(&self, register: &Register, view: &View) -> bool {
        register.data_ids[self.me.index()] == self.disk.data_id && order(&view.stored) >= order(&register.recorded)
    }

    pub(super) fn intends(&self, register: &Register) -> bool {
        self.disk.intent.is_some_and(|intent| intent.is_same_change(register))
    }
}

/// Positions of one entitled history are ordered by epoch, then sequence.
fn order(position: &Position) -> (Epoch, u64) {
    (position.epoch, position.sequence.0)
}
