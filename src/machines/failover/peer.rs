//! What the peer's words, its loss and its return mean.

use super::{Effect, Failover, Loss, Rule, State, Story, Toward, View};
use crate::model::Standing;

impl Failover {
    pub(super) fn hear(&mut self, standing: Standing, view: &View, fx: &mut Vec<Effect>) {
        self.peer = Some(standing);
        if self.yields_to(&standing) {
            return self.follow(fx);
        }
        let deposed = standing.epoch > self.disk.held.0;
        if let Some(register) = self.hear_of_intent(&standing) {
            return self.read(register, view, fx);
        }
        match self.state {
            State::Starting => self.settle(view, fx),
            // The peer's disk holds a newer epoch, so the register does: reading it says who and what.
            State::Rejoining | State::Halted => {}
            State::Main
            | State::Switching(_)
            | State::Sub
            | State::Comparing
            | State::Waiting
            | State::Asking
            | State::Solo(_) => fx.extend(deposed.then_some(Effect::ReadRegister)),
        }
    }

    pub(super) fn welcome_back(&mut self, view: &View, fx: &mut Vec<Effect>) {
        self.lost = None;
        match self.state {
            State::Starting => self.settle(view, fx),
            // Nothing was asked and nothing runs by which the two could meet again: begin as at the start.
            State::Waiting if !self.running => {
                self.state = State::Starting;
                fx.push(Effect::GrantLeases(true));
                self.settle(view, fx);
            }
            // As Sub of the same Pair epoch again, as soon as its Main opens the stream. What was asked may land before: until then
            // this server extends no lease of a Main that it may have deposed.
            State::Asking if self.acknowledger() != self.me => fx.push(Effect::Admit(true)),
            // It has become Main meanwhile: nothing is told any more of the Pair that was, and its lease is not extended.
            State::Waiting | State::Asking if self.peer.is_some_and(|peer| peer.epoch > self.disk.held.0) => {
                fx.push(Effect::ReadRegister);
            }
            State::Waiting | State::Asking => {
                fx.push(Effect::GrantLeases(true));
                match self.state {
                    _ if self.streaming => self.return_to_main(fx),
                    // Nothing was asked: whether the stream comes back is given its time, as at the start.
                    State::Waiting => self.begin(State::Comparing, Rule::Closed, fx),
                    _ if !self.running => self.begin_anew(fx),
                    // Its run opens the stream again; meanwhile it is asked on.
                    _ => {}
                }
            }
            State::Comparing
            | State::Main
            | State::Switching(_)
            | State::Sub
            | State::Solo(_)
            | State::Rejoining
            | State::Halted => {}
        }
    }

    pub(super) fn lose(&mut self, loss: Loss, view: &View, fx: &mut Vec<Effect>) {
        self.lost = Some(loss);
        if loss == Loss::Dead {
            self.peer = None;
        }
        match self.state {
            State::Starting | State::Comparing | State::Main | State::Switching(_) | State::Sub => self.begin_waiting(fx),
            // It was back for a moment, and its leases were extended again.
            State::Waiting => fx.push(Effect::GrantLeases(false)),
            State::Solo(Toward::Level | Toward::Intent(_)) => self.back_to_plain_solo(fx),
            State::Solo(Toward::Asked(_)) => self.ask_for_solo(view, fx),
            State::Rejoining if self.disk.intent.is_some() => fx.push(Effect::ReadRegister),
            State::Solo(Toward::Nothing) | State::Asking | State::Rejoining | State::Halted => {}
        }
        if self.state == State::Waiting && loss == Loss::Dead {
            // A dead process holds nothing by lease.
            self.ask_for_solo(view, fx);
        }
    }

    /// Stops confirming and echoing; asking comes when every echoed lease has run out.
    pub(super) fn begin_waiting(&mut self, fx: &mut Vec<Effect>) {
        if !self.may_ask() {
            self.state = State::Rejoining;
            fx.extend([Effect::Admit(true), Effect::Story(Story::OtherHasNewer)]);
            return;
        }
        self.state = State::Waiting;
        fx.extend([Effect::Gate(Rule::Closed), Effect::Admit(false), Effect::GrantLeases(false)]);
        fx.push(Effect::Story(Story::PeerLost(self.lost.unwrap_or(Loss::Silent))));
    }
}
