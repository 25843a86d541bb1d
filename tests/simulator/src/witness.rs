//! The arbiter: the witness's own rules over one register. Questions and answers are late, get lost, and land long after anybody waits.

use duplex::arbiter::witness_rules::{Kept, Ruling, decide};
use duplex::arbiter::{Asker, CasOutcome, witness_rules};
use duplex::model::Register;

use crate::planted::Planted;
use crate::world::{Happening, News, Reply, World};

#[derive(Clone, Copy, Debug)]
pub enum Question {
    Read,
    CompareAndSet { expected: Register, new: Register },
}

#[derive(Debug)]
pub struct Ask {
    server: usize,
    run: u64,
    number: u64,
    asker: Asker,
    question: Question,
    /// Of the witness's process: no request outlives its connection.
    life: u64,
}

pub struct Witness {
    kept: Kept,
    /// Counts its processes.
    pub life: u64,
    pub is_away: bool,
    /// By server.
    pub is_cut: [bool; 2],
}

impl Witness {
    pub fn new(first: Register, is_away: bool) -> Self {
        let reported = [Some(first.epoch); 2];
        Self { kept: Kept { register: first, reported, since: None }, life: 0, is_away, is_cut: [false; 2] }
    }

    pub fn register(&self) -> Register {
        self.kept.register
    }
}

impl World {
    pub fn send_ask(&mut self, server: usize, number: u64, asker: Asker, question: Question) {
        let (run, life) = (self.servers[server].run, self.witness.life);
        let ask = Ask { server, run, number, asker, question, life };
        let is_lost = !self.calm && self.dice.once_in(40);
        if self.witness.is_cut[server] || self.witness.is_away || is_lost {
            return;
        }
        // Now and then it is overtaken by everything that happens in seconds.
        let delay = if !self.calm && self.dice.once_in(20) { self.dice.scale(100, 8_000) } else { 1 + self.dice.roll(6) };
        self.after(delay, Happening::Asked(ask));
    }

    pub fn answer_ask(&mut self, ask: Ask) {
        if ask.life != self.witness.life || self.witness.is_away {
            return;
        }
        let question = match ask.question {
            Question::Read => witness_rules::Question::Read,
            Question::CompareAndSet { expected, new } => witness_rules::Question::CompareAndSet { expected, new },
        };
        let overwrites = self.is_planted(Planted::ArbiterOverwrites);
        let answer = match (ask.question, overwrites) {
            (Question::CompareAndSet { new, .. }, true) => {
                self.witness.kept.register = new;
                Reply::Outcome(CasOutcome::Landed(new))
            }
            _ => self.rule(&ask.asker, &question),
        };
        self.note(|| format!("arbiter: {:?} asks {question:?}: {answer:?}", ask.asker.server));
        if self.witness.is_cut[ask.server] || (!self.calm && self.dice.once_in(20)) {
            return;
        }
        let delay = 1 + self.dice.roll(6);
        let Ask { server, run, number, asker, .. } = ask;
        self.after(delay, Happening::Told { server, run, news: News::Arbiter { number, asker, answer } });
    }

    fn rule(&mut self, asker: &Asker, question: &witness_rules::Question) -> Reply {
        let decision = decide(Some(&self.witness.kept), asker, question);
        if let Some(keep) = decision.keep {
            self.witness.kept = keep;
        }
        match decision.ruling {
            Ruling::Holds(register) => Reply::Holds(register),
            Ruling::Outcome(outcome) => Reply::Outcome(outcome),
            Ruling::Refused(_) => Reply::Nothing,
        }
    }
}
