//! The side of whoever follows: which stream to take, what to note before a row is touched, and entering the Pair.

use super::{AddressSet, Effect, Failover, HoldBy, Rule, State, Story, StreamVerdict, TellPeer, View};
use crate::model::{Epoch, Holder, Register, Role};

impl Failover {
    /// The other holds newer data: give everything up and take its stream.
    pub(super) fn follow(&mut self, fx: &mut Vec<Effect>) {
        if self.state == State::Rejoining {
            return;
        }
        self.state = State::Rejoining;
        self.streaming = false;
        self.running = false;
        fx.extend([
            Effect::Gate(Rule::Closed),
            Effect::Addresses(AddressSet::None, HoldBy::Lease),
            Effect::Cease,
            Effect::GrantLeases(true),
            // A stream taken as Sub of a Pair that is over ends; the next one is judged anew.
            Effect::Admit(false),
            Effect::Admit(true),
            Effect::Story(Story::OtherHasNewer),
        ]);
    }

    pub(super) fn judge_stream(&mut self, epoch: Epoch, holder: Holder, view: &View, fx: &mut Vec<Effect>) {
        let (held, _) = self.disk.held;
        if epoch < held {
            fx.push(Effect::Stream(StreamVerdict::EpochOld { ours: held }));
        } else if holder.acknowledger() == self.me {
            fx.push(Effect::Stream(StreamVerdict::NotNow));
        } else if matches!(holder, Holder::Solo { .. }) {
            self.judge_solo_stream(epoch, holder, fx);
        } else {
            self.judge_pair_stream(epoch, holder, view, fx);
        }
    }

    fn judge_solo_stream(&mut self, epoch: Epoch, holder: Holder, fx: &mut Vec<Effect>) {
        let (held, mine) = self.disk.held;
        if epoch == held && holder != mine {
            fx.push(Effect::Stream(StreamVerdict::NotNow));
            return;
        }
        self.follow(fx);
        if epoch > held {
            // "Not in sync" is durable before anything here is rewritten. An intent of an earlier epoch can no longer come true:
            // the holder won a raise above it.
            self.disk.held = (epoch, holder);
            self.disk.in_sync = false;
            (self.disk.intent, self.disk.word) = (None, None);
            fx.push(Effect::Note(self.disk));
        }
        fx.extend([Effect::Stream(StreamVerdict::Rejoining), Effect::Story(Story::Rejoining(epoch))]);
    }

    fn judge_pair_stream(&mut self, epoch: Epoch, holder: Holder, view: &View, fx: &mut Vec<Effect>) {
        let intended = self.disk.intent.filter(|intent| (intent.epoch, intent.holder) == (epoch, holder));
        if (epoch, holder) == self.disk.held && self.in_sync_pair() && self.lost.is_none() {
            self.become_sub(fx);
            fx.push(Effect::Stream(StreamVerdict::AsSub));
        } else if let Some(register) = intended {
            // Its disk holds that epoch, so the register does.
            self.enter_as_intended(register, view, fx);
            // A Main that counts as lost is not followed: its stream would stay open, and nothing would come of it.
            if self.lost.is_none() {
                self.become_sub(fx);
            }
            let entered = self.state == State::Sub;
            fx.push(Effect::Stream(if entered { StreamVerdict::AsSub } else { StreamVerdict::NotNow }));
        } else {
            fx.push(Effect::Stream(StreamVerdict::NotNow));
        }
    }

    fn become_sub(&mut self, fx: &mut Vec<Effect>) {
        if self.state == State::Sub {
            return;
        }
        self.state = State::Sub;
        self.asked = None;
        fx.extend([
            Effect::Admit(true),
            Effect::GrantLeases(true),
            Effect::Addresses(AddressSet::Sub, HoldBy::Lease),
            Effect::Story(Story::Paired(Role::Sub, self.disk.held.0)),
        ]);
    }

    /// The register shows exactly what was intended, by a server that returned or by the Main that wanted it so.
    pub(super) fn enter_as_intended(&mut self, register: Register, view: &View, fx: &mut Vec<Effect>) {
        match self.state {
            State::Rejoining => self.enter_as_sub(register, view, fx),
            _ => self.step_down(register, view, fx),
        }
    }

    /// In sync from now on.
    fn enter_as_sub(&mut self, register: Register, view: &View, fx: &mut Vec<Effect>) {
        self.disk.held = (register.epoch, register.holder);
        self.disk.in_sync = true;
        (self.disk.intent, self.disk.word) = (None, None);
        fx.push(Effect::Note(self.disk));
        self.become_sub(fx);
        if let Some(loss) = self.lost {
            self.lose(loss, view, fx);
        }
    }

    pub(super) fn note_intent(&mut self, register: Register, fx: &mut Vec<Effect>) {
        if register.epoch <= self.disk.held.0 {
            return;
        }
        match (self.state, register.holder) {
            (State::Rejoining, Holder::Pair { main }) if main != self.me => {
                self.disk.intent = Some(register);
                fx.extend([Effect::Note(self.disk), Effect::Tell(TellPeer::Intended(register))]);
            }
            (State::Sub, Holder::Pair { main }) if main == self.me => self.intend_to_be_main(register, fx),
            _ => {}
        }
    }

    pub(super) fn enter_wanted(&mut self, register: Register, view: &View, fx: &mut Vec<Effect>) {
        if self.state == State::Rejoining && self.intends(&register) {
            self.enter_as_sub(register, view, fx);
        }
    }
}
