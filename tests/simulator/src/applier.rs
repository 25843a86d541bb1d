//! ReplicationApplier: the only writer of the store. Applies what is confirmed, from memory or from the journal.

use std::sync::Arc;

use duplex::handover::Slice;
use duplex::journal::{follows, unseal};
use duplex::model::{Position, Sequence, SharedEntry};

use crate::account::Account;
use crate::oracle::Breach;
use crate::planted::Planted;
use crate::process::Process;
use crate::world::{News, World, server};

#[derive(Default)]
pub struct Applier {
    is_due: bool,
    transactions: u64,
}

/// Transactions between two flushes of the store.
const FLUSH_EVERY: u64 = 40;
/// Entries of one transaction: small, so that many ends of a transaction are seen.
const BATCH: usize = 64;

impl World {
    /// Somebody will apply what is confirmed by now: soon if it is waited for, else with company.
    pub fn plan_applying(&mut self, index: usize) {
        let everything = self.is_planted(Planted::AppliesUnconfirmed);
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let board = &process.storage.board;
        let through = if everything { board.stored() } else { board.confirmed() };
        if process.applier.is_due || board.applied() >= through {
            return;
        }
        process.applier.is_due = true;
        let wanted = board.is_wanted_beyond(board.applied());
        let ms = if self.servers[index].store.is_away {
            200
        } else if wanted {
            1
        } else {
            1 + self.dice.roll(20)
        };
        self.tell_after(ms, index, News::Applied);
    }

    /// One transaction.
    pub fn apply(&mut self, index: usize) {
        let (everything, forgets) =
            (self.is_planted(Planted::AppliesUnconfirmed), self.is_planted(Planted::PositionApartFromRows));
        let loses_some = forgets && self.dice.once_in(50);
        let own = &mut self.servers[index];
        let Some(process) = own.process.as_mut() else { return };
        process.applier.is_due = false;
        process.storage.board.set_applying_fails(own.store.is_away);
        if own.store.is_away {
            return;
        }
        let board = &process.storage.board;
        let through = if everything { board.stored() } else { board.confirmed() };
        let applied = own.store.applied();
        let Some(entries) = process.entries(applied, through) else {
            let text = format!("the store of {:?} holds another history than its journal, before {applied}", server(index));
            return self.breach_of(Breach::new("P7", text));
        };
        if entries.is_empty() {
            return;
        }
        if loses_some {
            own.store.forget_rows(&entries)
        } else {
            own.store.apply(&entries)
        }
        process.applier.transactions += 1;
        if process.applier.transactions.is_multiple_of(FLUSH_EVERY) {
            own.store.flush();
        }
        self.show_applied(index);
    }

    /// What the store has is told, and leaves memory.
    pub fn show_applied(&mut self, index: usize) {
        let own = &self.servers[index];
        let Some(process) = &own.process else { return };
        let applied = own.store.applied();
        process.storage.board.set_applied(applied);
        process.storage.tail.release(applied.sequence);
    }
}

impl Process {
    /// What follows on `applied`, each bound to the one before it; `None` if nothing that is there does.
    fn entries(&self, applied: Position, through: Sequence) -> Option<Vec<SharedEntry<Account>>> {
        match self.storage.tail.after(applied.sequence, through, BATCH, usize::MAX) {
            Slice::Entries(entries) => entries.first().is_none_or(|first| follows(&applied, first)).then_some(entries),
            Slice::Gone => {
                let mut previous = applied;
                let mut entries = Vec::new();
                for record in self.writer.reader().read_after(applied.sequence, usize::MAX).ok()?.into_iter().take(BATCH) {
                    let Position { epoch, sequence, .. } = record.position;
                    if sequence > through {
                        break;
                    }
                    let sealed = unseal(&previous, epoch, sequence, record.payload).ok()?;
                    if sealed.position != record.position {
                        return None;
                    }
                    previous = sealed.position;
                    entries.push(Arc::new(sealed));
                }
                Some(entries)
            }
        }
    }
}
