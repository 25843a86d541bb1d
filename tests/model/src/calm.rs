//! What comes of a world in which nothing goes wrong any more: every state must lead back to a pair that acknowledges.

use crate::actions::{Action, Answer, Cause, Unsynced};
use crate::machines::failover::{Event, Loss, State};
use crate::pair::{Bounds, From};
use crate::world::{BOTH, World};

/// A round lets everything happen once; the longest way (both down, an ask under way, a raise, a rejoin, the way to a Pair) takes a dozen.
const ROUNDS: usize = 40;
/// A stream that should open and does not is given up after so many, as the timer does.
const COMPARE_ROUNDS: usize = 8;

impl World {
    /// Both a Pair, and a command that is sent now is acknowledged.
    pub fn ends_well(&self) -> bool {
        let has_ended = |world: &Self| {
            world.breach.is_some() || world.is_a_pair() && world.acknowledged.iter().any(|entry| entry.command == self.issued)
        };
        self.without_faults().any(|world| has_ended(&world))
    }

    /// What comes of it, round by round.
    pub fn without_faults(&self) -> impl Iterator<Item = Self> {
        let mut world = self.clone();
        world.left = Bounds { commands: self.issued + 1, entries: u8::MAX, refreshes: u8::MAX, ..Bounds::default() };
        (1..=ROUNDS).map(move |round| {
            world.go_on(round % COMPARE_ROUNDS == 0);
            world.clone()
        })
    }

    /// From the first start of both to where the exploration begins.
    pub fn begin_from(&mut self, from: From) {
        let bounds = std::mem::take(&mut self.left);
        BOTH.into_iter().for_each(|server| self.take(Action::Start(server)));
        while from != From::Boot && !self.is_a_pair() {
            self.go_on(false);
        }
        if from == From::Switching {
            for event in [Event::SwitchoverWanted, Event::Drained] {
                self.left = Bounds { switchovers: 1, ..Bounds::default() };
                self.take(Action::Step(0, Cause::Told(event), None));
            }
        }
        if from == From::TakenOver {
            self.left = Bounds { commands: 1, entries: 1, crashes: 1, ..Bounds::default() };
            for action in [Action::Execute(0, 0), Action::Sync(0), Action::Crash(0, Unsynced::Survives)] {
                self.take(action);
            }
            self.take(Action::Step(1, Cause::Told(Event::PeerLost(Loss::Dead)), None));
            while !self.life(1).is_some_and(|life| matches!(life.machine.state(), State::Solo(_))) {
                self.land_all();
                self.hear_all(1);
            }
            self.take(Action::Start(0));
        }
        self.left = bounds;
    }

    fn go_on(&mut self, has_waited_long: bool) {
        for server in BOTH {
            if self.life(server).is_none() {
                self.take(Action::Start(server));
            }
            self.hear_all(server);
            for cause in self.causes(server) {
                let is_fault = matches!(cause, Cause::Told(Event::PeerLost(_)));
                // What was stepped before it may have made it pointless.
                if !is_fault && self.causes(server).contains(&cause) {
                    self.take(Action::Step(server, cause, None));
                }
            }
            let given_up = self.life(server).and_then(|life| match life.machine.state() {
                State::Comparing => Some(Event::CompareTooLong),
                State::Switching(_) => Some(Event::SwitchoverTooLong),
                _ => None,
            });
            if let (true, Some(event)) = (has_waited_long, given_up) {
                self.take(Action::Step(server, Cause::Told(event), None));
            }
            let new = self.left.commands.saturating_sub(1);
            let is_new = self.life(server).is_some_and(|life| life.run.is_some() && life.takes && !life.ids.contains(&new));
            if is_new && self.is_a_pair() && self.left.entries > 0 {
                self.take(Action::Execute(server, new));
            }
        }
        for action in [Action::Ship, Action::Ship, Action::Ship, Action::Sync(0), Action::Sync(1), Action::Tell] {
            self.take(action);
        }
        self.land_all();
    }

    fn land_all(&mut self) {
        for ask in self.asks.clone() {
            self.take(Action::Land(ask, Answer::Comes));
        }
    }

    fn hear_all(&mut self, server: usize) {
        // Hearing may bring more to hear, and the machine asks for nothing twice without a reason.
        for _ in 0..16 {
            if self.life(server).is_none_or(|life| life.inbox.is_empty()) {
                return;
            }
            self.take(Action::Step(server, Cause::Heard, None));
        }
    }
}
