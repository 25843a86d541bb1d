//! A store in memory that loses its last transactions with the power, as both engines may: the position is in the same transaction.

use std::collections::BTreeMap;

use duplex::model::{Fingerprint, Image, Position, SharedEntry};

use crate::account::{Account, Outcome};

/// What a store holds at one moment.
#[derive(Clone, Debug, Default)]
struct Content {
    rows: BTreeMap<u64, Account>,
    records: BTreeMap<Fingerprint, (Position, Outcome)>,
    applied: Position,
    /// Of all rows, whatever their order: equal stores have equal digests.
    digest: u64,
}

#[derive(Debug, Default)]
pub struct Store {
    now: Content,
    flushed: Content,
    since: Vec<SharedEntry<Account>>,
    pub is_away: bool,
}

impl Content {
    fn apply(&mut self, entry: &SharedEntry<Account>) {
        for image in &entry.entry.images {
            let Image::Put(row) = image else { continue };
            let before = self.rows.insert(row.number, row.clone());
            self.digest ^= before.as_ref().map_or(0, hash) ^ hash(row);
        }
        let outcome = Outcome::decode(&entry.entry.record.response);
        self.records.insert(entry.fingerprint, (entry.position, outcome));
        self.applied = entry.position;
    }
}

fn hash(row: &Account) -> u64 {
    [row.number, row.value as u64, row.changes].into_iter().fold(0x9E37_79B9_7F4A_7C15, |hash: u64, word| {
        let mixed = (hash ^ word).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 29)
    })
}

impl Store {
    /// One transaction.
    pub fn apply(&mut self, entries: &[SharedEntry<Account>]) {
        for entry in entries {
            self.now.apply(entry);
        }
        self.since.extend_from_slice(entries);
    }

    /// What is applied now outlives the power.
    pub fn flush(&mut self) {
        for entry in self.since.drain(..) {
            self.flushed.apply(&entry);
        }
    }

    /// The power went: `kept` of the transactions since the last flush are there.
    pub fn lose_power(&mut self, kept: usize) {
        for entry in self.since.drain(..).take(kept) {
            self.flushed.apply(&entry);
        }
        self.now = self.flushed.clone();
    }

    /// A planted bug: rows of `entries` go missing, and the position does not know.
    pub fn forget_rows(&mut self, entries: &[SharedEntry<Account>]) {
        self.now.applied = entries.last().map_or(self.now.applied, |entry| entry.position);
    }

    pub fn unflushed(&self) -> usize {
        self.since.len()
    }

    pub fn applied(&self) -> Position {
        self.now.applied
    }

    pub fn digest(&self) -> u64 {
        self.now.digest
    }

    pub fn row(&self, number: u64) -> Option<&Account> {
        self.now.rows.get(&number)
    }

    pub fn record(&self, id: &Fingerprint) -> Option<(Position, Outcome)> {
        self.now.records.get(id).copied()
    }

    pub fn records(&self) -> impl Iterator<Item = (Fingerprint, Position)> {
        self.now.records.iter().map(|(id, (position, _))| (*id, *position))
    }
}
