//! What happens next in the world: turns at random, and what goes on once there are no more faults.

use super::*;

impl World {
    fn land_one(&mut self) {
        if self.flying.is_empty() || self.arbiter_away {
            return;
        }
        let pick = self.dice.roll(self.flying.len() as u64) as usize;
        let (index, expected, new) = self.flying.swap_remove(pick);
        let landed = self.register == expected;
        if landed {
            self.register = new;
        }
        let lost = !self.calm() && self.dice.roll(4) == 0;
        if !lost {
            let event = if landed { Event::Landed(self.register) } else { Event::Differs(self.register) };
            self.boxes[index].events.push_back(event);
        }
    }

    /// What the two hear of each other, as `health` would judge it.
    fn hear(&mut self, index: usize) {
        let heard = self.boxes[1 - index].told_standing.filter(|_| !self.cut);
        let lost = self.boxes[index].machine.as_ref().and_then(|machine| machine.lost);
        match (heard, lost) {
            (Some(standing), lost) => {
                if lost.is_some() {
                    self.step(index, Event::PeerBack);
                }
                self.step(index, Event::PeerSays(standing));
            }
            (None, None) => {
                let loss = if self.boxes[1 - index].machine.is_none() { Loss::Dead } else { Loss::Silent };
                self.step(index, Event::PeerLost(loss));
            }
            (None, Some(_)) => {}
        }
        if !self.boxes[index].granting {
            self.step(index, Event::LeasesOut);
        }
    }

    fn want_stream(&mut self, holder: usize) {
        let follower = &self.boxes[1 - holder];
        if self.cut || !self.boxes[holder].holds_stream || self.stream.is_some() || !follower.admits || follower.machine.is_none()
        {
            return;
        }
        let (epoch, held) = self.boxes[holder].disk.held;
        self.step(1 - holder, Event::StreamWanted { epoch, holder: held });
    }

    fn deliver(&mut self, index: usize) {
        if let Some(event) = self.boxes[index].events.pop_front() {
            self.step(index, event);
        }
    }

    pub(super) fn random_turn(&mut self) {
        let index = self.dice.roll(2) as usize;
        match self.dice.roll(24) {
            0..=5 => self.deliver(index),
            6..=8 => self.execute(index),
            9..=11 => self.replicate(),
            12..=13 => self.land_one(),
            14..=15 => self.hear(index),
            16..=17 => self.want_stream(index),
            18 => self.step(index, Event::RetryDue),
            19 if self.dice.roll(6) == 0 => self.crash(index),
            20 if self.boxes[index].machine.is_none() => self.start(index),
            21 if self.dice.roll(5) == 0 => {
                self.cut = !self.cut;
                if self.cut {
                    self.end_stream();
                }
            }
            21 if self.dice.roll(3) == 0 => self.step(index, Event::RefreshDue),
            22 if self.dice.roll(5) == 0 => self.arbiter_away = !self.arbiter_away,
            22 if self.dice.roll(4) == 0 => self.step(index, Event::StorageReborn),
            23 if self.dice.roll(4) == 0 => self.end_stream(),
            23 => self.step(index, Event::SwitchoverWanted),
            20 if self.dice.roll(20) == 0 => self.step(index, Event::SwitchoverTooLong),
            _ => {}
        }
    }

    pub(super) fn states(&self) -> [Option<State>; 2] {
        [0, 1].map(|index| self.boxes[index].machine.as_ref().map(Failover::state))
    }

    pub(super) fn is_a_pair(&self) -> bool {
        matches!(self.states(), [Some(State::Main), Some(State::Sub)] | [Some(State::Sub), Some(State::Main)])
    }

    /// No more faults: everything is delivered, lost requests are repeated.
    pub(super) fn settle(&mut self) {
        self.arbiter_away = false;
        self.go_on_without_faults();
    }

    pub(super) fn go_on_without_faults(&mut self) {
        (self.cut, self.next) = (false, u8::MAX);
        for _ in 0..400 {
            for index in 0..2 {
                if self.boxes[index].machine.is_none() {
                    self.start(index);
                }
                self.hear(index);
                while !self.boxes[index].events.is_empty() {
                    self.deliver(index);
                }
                self.want_stream(index);
                self.step(index, Event::RetryDue);
                self.step(index, Event::RefreshDue);
                self.step(index, Event::SwitchoverTooLong);
                self.execute(index);
            }
            self.land_one();
            self.replicate();
            self.replicate();
        }
    }
}
