//! Terminals: each has one command under way, sends it again until it is answered, and does not care which server answers.

use duplex::handover::Leaving;
use duplex::model::Position;

use crate::account::{ACCOUNTS, Command, Order, Outcome};
use crate::process::Given;
use crate::world::{Happening, News, World};

#[derive(Debug)]
pub struct Answer {
    terminal: u32,
    number: u32,
    outcome: Option<Outcome>,
    server: usize,
}

pub struct Terminals {
    all: Vec<Terminal>,
    /// Commands without an answer, of all terminals.
    under_way: u64,
}

#[derive(Clone, Debug, Default)]
struct Terminal {
    number: u32,
    order: Option<Order>,
    tries: u32,
    /// Where the last answer came from.
    server: usize,
    /// What anybody had been told when its command was first sent.
    told: Position,
}

impl Terminals {
    /// Between an answer and the next command, at most.
    pub const THINKS_MS: u64 = 40_000;

    pub fn new(count: u32) -> Self {
        Self { all: vec![Terminal::default(); count as usize], under_way: 0 }
    }

    pub fn are_all_answered(&self) -> bool {
        self.under_way == 0
    }

    pub fn under_way(&self) -> u64 {
        self.under_way
    }
}

impl World {
    /// A new command, unless the run comes to its end.
    pub fn send_command(&mut self, terminal: u32) {
        if self.calm {
            return;
        }
        let account = self.dice.roll(ACCOUNTS);
        let amount = self.dice.roll(100) as i64 - 40;
        let order = if self.dice.once_in(4) { Order::Read { account } } else { Order::Book { account, amount } };
        let own = &mut self.terminals.all[terminal as usize];
        own.number += 1;
        (own.order, own.tries) = (Some(order), 0);
        self.terminals.under_way += 1;
        self.try_command(terminal);
    }

    fn try_command(&mut self, terminal: u32) {
        let told = self.oracle.newest();
        let own = &mut self.terminals.all[terminal as usize];
        let Some(order) = own.order else { return };
        own.tries += 1;
        if own.tries == 1 {
            own.told = told;
        }
        let (number, tries, usual) = (own.number, own.tries, own.server);
        let command = Command { terminal, number, order };
        // The usual one, the other one after a while, and now and then both at once.
        let first = if tries > 1 && self.dice.once_in(2) { 1 - usual } else { usual };
        self.reach(first, command);
        if !self.calm && self.dice.once_in(50) {
            self.reach(1 - first, command);
        }
        let patience = if self.calm { 2_500 } else { self.dice.between(300, 3_000) };
        self.after(patience, Happening::Waited { terminal, number, tries });
    }

    fn reach(&mut self, server: usize, command: Command) {
        if self.servers[server].process.is_some() {
            let delay = 1 + self.dice.roll(3);
            self.tell_after(delay, server, News::Command(command));
        }
    }

    pub fn repeat_command(&mut self, terminal: u32, number: u32, tries: u32) {
        let own = &self.terminals.all[terminal as usize];
        if own.order.is_some() && (own.number, own.tries) == (number, tries) {
            self.try_command(terminal);
        }
    }

    /// The gate has let it go: from here on somebody may know it.
    pub fn answer(&mut self, server: usize, left: Leaving<Given>) {
        let Leaving { answer: given, stored_on_both, epoch } = left;
        let Command { terminal, number, .. } = given.command;
        let outcome = given.outcome.filter(|_| stored_on_both.is_some());
        if let (Some(outcome), Some(both)) = (outcome, stored_on_both) {
            let own = &self.terminals.all[terminal as usize];
            let told = if own.number == number { own.told } else { Position::GENESIS };
            self.oracle.told(server, &self.servers, epoch, both, &given, outcome, told);
        }
        let delay = 1 + self.dice.roll(3);
        let is_lost = !self.calm && self.dice.once_in(100);
        if !is_lost {
            self.after(delay, Happening::Answered(Answer { terminal, number, outcome, server }));
        }
    }

    pub fn take_answer(&mut self, answer: Answer) {
        let Answer { terminal, number, outcome, server } = answer;
        let thinks = 1 + self.dice.roll(Terminals::THINKS_MS);
        let patience = self.dice.between(50, 500);
        let own = &mut self.terminals.all[terminal as usize];
        if own.number != number || own.order.is_none() {
            return;
        }
        match outcome {
            Some(_) => {
                (own.order, own.server) = (None, server);
                self.terminals.under_way -= 1;
                self.after(thinks, Happening::Sends { terminal });
            }
            None => {
                let tries = own.tries;
                self.after(patience, Happening::Waited { terminal, number, tries });
            }
        }
    }
}
