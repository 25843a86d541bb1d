//! A person's word: the other server is off, and this one serves alone, though no arbiter has granted it.
//!
//! Nothing else stands against two servers that both acknowledge, so the word is durable, and given up as soon as it proves to be wrong:
//! when the other one is heard in an epoch above, or the arbiter's register has come to name it since. When the arbiter is heard, the word
//! is written into its register; until then this server makes no Pair.

use super::{Effect, Failover, Loss, State, Story, Toward, View};
use crate::model::{Coordination, Epoch, Holder, Mode, Register, Role, Standing};

/// Why a word is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordRefused {
    /// The other server is heard: it is not off.
    PeerHeard,
    /// This server serves already.
    Serves,
    /// It is not known yet whether the other one is there, or what it was granted has not run out.
    TooEarly,
    Stopping,
}

impl Failover {
    /// Whether a word would be taken now.
    ///
    /// # Errors
    /// [`WordRefused`]
    pub fn takes_word(&self) -> Result<(), WordRefused> {
        match (self.state, self.lost) {
            (State::Halted, _) => Err(WordRefused::Stopping),
            (State::Solo(_), _) => Err(WordRefused::Serves),
            (State::Asking | State::Rejoining, Some(Loss::Dead | Loss::Silent)) => Ok(()),
            (State::Waiting, Some(Loss::Dead | Loss::Silent)) => Err(WordRefused::TooEarly),
            (State::Starting | State::Rejoining, None) if self.peer.is_none() => Err(WordRefused::TooEarly),
            (
                State::Starting
                | State::Comparing
                | State::Main
                | State::Switching(_)
                | State::Sub
                | State::Waiting
                | State::Asking
                | State::Rejoining,
                _,
            ) => Err(WordRefused::PeerHeard),
        }
    }

    pub(super) fn confirm(&mut self, view: &View, fx: &mut Vec<Effect>) {
        if self.takes_word().is_err() {
            return;
        }
        let took_over = self.acknowledger() != self.me;
        let before = self.disk.word.unwrap_or(self.disk.held);
        let seen = self.register.map(|register| (register.epoch, register.holder));
        let over = seen.filter(|seen| seen.0 > before.0).unwrap_or(before);
        let epoch = self.own_number_above(self.highest_known());
        self.disk = Coordination {
            held: (epoch, Holder::Solo { server: self.me }),
            spent: epoch,
            intent: None,
            in_sync: true,
            word: Some(over),
            ..self.disk
        };
        self.asked = None;
        fx.extend([Effect::GrantLeases(false), Effect::Admit(false), Effect::Note(self.disk)]);
        fx.push(Effect::Story(Story::Confirmed(epoch)));
        self.serve_alone(took_over, fx);
        fx.push(Effect::ReadRegister);
        debug_assert!(view.stored.epoch < epoch, "no entry was numbered in an epoch that nobody held");
    }

    fn highest_known(&self) -> Epoch {
        let others = [self.register.map(|register| register.epoch), self.peer.map(|peer| peer.epoch)];
        let intended = self.disk.intent.map(|intent| intent.epoch);
        let known = others.into_iter().chain([intended]).flatten();
        known.fold(self.disk.held.0.max(self.disk.spent), Epoch::max)
    }

    /// A's are even and B's are odd: two people, each before one of two servers that do not hear each other, never name the same epoch.
    pub(super) fn own_number_above(&self, epoch: Epoch) -> Epoch {
        let next = epoch.next();
        if next.0 % 2 == self.me.index() as u64 { next } else { next.next() }
    }

    /// The register, read by a server that holds its epoch by a word only. True if nothing is left to conclude from it.
    pub(super) fn read_beside_word(&mut self, register: Register, view: &View, fx: &mut Vec<Effect>) -> bool {
        let Some(over) = self.disk.word else { return false };
        let held = self.disk.held;
        if (register.epoch, register.holder) == held {
            self.disk.word = None;
            fx.push(Effect::Note(self.disk));
            return false;
        }
        if register.epoch > held.0 {
            return false;
        }
        let names_other = register.holder.acknowledger() != self.me;
        if names_other && ((register.epoch, register.holder) != over || self.peer_serves()) {
            // Granted meanwhile to whom the person believed to be off, or that one is there.
            self.follow(fx);
        } else {
            self.ask_by_word(register, view, fx);
        }
        true
    }

    /// Writes the word into the register. A server that does not serve by it any more, for it has started anew, raises it first.
    fn ask_by_word(&mut self, expected: Register, view: &View, fx: &mut Vec<Effect>) {
        let epoch = match self.state {
            State::Solo(_) => self.disk.held.0,
            State::Asking => self.own_number_above(self.highest_known()),
            State::Starting
            | State::Comparing
            | State::Main
            | State::Switching(_)
            | State::Sub
            | State::Waiting
            | State::Rejoining
            | State::Halted => return,
        };
        self.spend(epoch, fx);
        let new = Register { epoch, holder: Holder::Solo { server: self.me }, recorded: view.stored, ..expected };
        fx.push(Effect::Ask { expected, new });
    }

    fn peer_serves(&self) -> bool {
        self.lost.is_none() && self.peer.is_some_and(|peer| peer.role == Role::Main)
    }

    /// Two servers that serve alone have met. The lower epoch yields; of two that are alike this one, for a word names no epoch of the
    /// other's, so the other one was granted by the arbiter.
    pub(super) fn yields_to(&self, standing: &Standing) -> bool {
        let serves_by_word = self.disk.word.is_some() && matches!(self.state, State::Solo(_) | State::Asking | State::Waiting);
        let (epoch, holder) = self.disk.held;
        let is_other = standing.holder.acknowledger() != self.me;
        serves_by_word && is_other && (standing.epoch > epoch || standing.epoch == epoch && standing.holder != holder)
    }

    /// A peer that gave up its word for this server's register holds a higher epoch, and follows only a stream above it.
    pub(super) fn pass_over_a_word(&mut self, view: &View, fx: &mut Vec<Effect>) {
        let Some(peer) = self.peer.filter(|_| self.lost.is_none()) else { return };
        let gave_up = peer.mode == Mode::Rejoining && peer.holder == Holder::Solo { server: self.me.peer() };
        if self.state == State::Solo(Toward::Nothing) && gave_up && peer.epoch > self.disk.held.0 {
            self.spend(peer.epoch, fx);
            self.ask_for_solo(view, fx);
        }
    }
}
