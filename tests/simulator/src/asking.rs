//! What FailoverCoordinator asks the arbiter, and what it makes of the answers.

use duplex::arbiter::{Asker, CasOutcome};
use duplex::config::limits;
use duplex::machines::failover::Event;
use duplex::model::Holder;

use crate::planted::Planted;
use crate::witness::Question;
use crate::world::{News, Reply, World};

impl World {
    pub fn ask(&mut self, index: usize, question: Question) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let own = &mut process.coordinator;
        let is_read = matches!(question, Question::Read);
        if (is_read && !own.asks_under_way.is_empty()) || (!is_read && process.storage.board.disk_hangs()) {
            return;
        }
        own.asks += 1;
        own.asks_under_way.push(own.asks);
        let (number, asker) = (own.asks, own.asker());
        if self.is_planted(Planted::SoloBeforeGrant)
            && let Question::CompareAndSet { new, .. } = question
            && matches!(new.holder, Holder::Solo { .. })
        {
            self.event(index, Event::Landed(new));
        }
        self.send_ask(index, number, asker, question);
        self.tell_after(limits::ASK_LIMIT.as_millis() as u64, index, News::AskLate { number });
    }

    pub fn hear_no_answer(&mut self, index: usize, number: u64) {
        let Some(own) = self.coordinator(index) else { return };
        if let Some(at) = own.asks_under_way.iter().position(|asked| *asked == number) {
            own.asks_under_way.remove(at);
            own.hears(Event::NoAnswer);
        }
    }

    /// An answer may be older than what this disk holds by now: another look tells.
    pub fn hear_arbiter(&mut self, index: usize, number: u64, asker: Asker, answer: Reply) {
        let now = self.moment();
        let Some(own) = self.coordinator(index) else { return };
        let Some(at) = own.asks_under_way.iter().position(|asked| *asked == number) else { return };
        own.asks_under_way.remove(at);
        let event = match answer {
            Reply::Holds(Some(register)) => Event::Register(register),
            Reply::Outcome(CasOutcome::Landed(register)) => Event::Landed(register),
            Reply::Outcome(CasOutcome::Differs(register)) => Event::Differs(register),
            Reply::Holds(None) | Reply::Nothing => return own.hears(Event::NoAnswer),
        };
        own.arbiter_heard = Some(now);
        if own.machine.disk().held.0 > asker.held {
            self.ask(index, Question::Read);
        } else {
            own.hears(event);
        }
    }
}
