//! The command ids seen, in memory: fingerprint to place in the journal.
//!
//! Kept on both servers as entries enter the journal, cut when a tail is cut. Absence means "new" only while the set covers every
//! record kept; otherwise the store is asked.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};

use super::locked;
use crate::model::{Fingerprint, Sequence};

/// A map that grows is copied while its owner waits: 64 small ones are copied in 64 short waits.
const SHARDS: usize = 64;

#[derive(Debug)]
pub struct Ids {
    shards: [Mutex<Shard>; SHARDS],
    shard_max: usize,
    complete: AtomicBool,
    /// Something was left to the store for want of memory.
    evicted: AtomicBool,
}

type Shard = HashMap<Fingerprint, Sequence, BuildHasherDefault<FirstBits>>;

/// A fingerprint is a cryptographic hash already: any 64 bits of it will do.
#[derive(Debug, Default)]
pub struct FirstBits(u64);

impl Hasher for FirstBits {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }
}

/// What the set says about an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    At(Sequence),
    New,
    /// The set does not cover every record kept: ask the store.
    Unknown,
}

impl Ids {
    /// At most so many. Beyond, the older half of them is left to the store, which has applied it long ago.
    pub fn new(ids_max: usize) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, shard_max: (ids_max / SHARDS).max(2), complete: AtomicBool::new(false), evicted: AtomicBool::new(false) }
    }

    /// Whether absence means "new".
    pub fn is_complete(&self) -> bool {
        self.complete.load(SeqCst)
    }

    /// Every record kept has been inserted.
    pub fn set_complete(&self) {
        self.complete.store(!self.evicted.load(SeqCst), SeqCst);
    }

    pub fn insert_all(&self, ids: impl IntoIterator<Item = (Fingerprint, Sequence)>) {
        for (id, sequence) in ids {
            self.with_room(&id).insert(id, sequence);
        }
    }

    /// Keeps the place that the id has already, if it has one.
    pub fn insert_absent(&self, id: Fingerprint, sequence: Sequence) {
        self.with_room(&id).entry(id).or_insert(sequence);
    }

    fn with_room(&self, id: &Fingerprint) -> MutexGuard<'_, Shard> {
        let mut shard = locked(self.shard(id));
        if shard.len() >= self.shard_max {
            // First, so that nobody takes the absence of what goes now for "new".
            self.evicted.store(true, SeqCst);
            self.complete.store(false, SeqCst);
            keep_newer_half(&mut shard);
        }
        shard
    }

    /// Forgets what was cut off the journal.
    pub fn cut(&self, after: Sequence) {
        for shard in &self.shards {
            locked(shard).retain(|_, sequence| *sequence <= after);
        }
    }

    /// Forgets records that are kept no longer.
    pub fn forget(&self, through: Sequence) {
        for shard in &self.shards {
            locked(shard).retain(|_, sequence| *sequence > through);
        }
    }

    pub fn find(&self, id: &Fingerprint) -> Seen {
        // Before the look: whoever takes the id away has said so first.
        let complete = self.is_complete();
        match locked(self.shard(id)).get(id) {
            Some(sequence) => Seen::At(*sequence),
            None if complete && self.is_complete() => Seen::New,
            None => Seen::Unknown,
        }
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// By other bits than those that place an id within its map.
    fn shard(&self, id: &Fingerprint) -> &Mutex<Shard> {
        &self.shards[(id.0 >> 64) as usize % SHARDS]
    }
}

fn keep_newer_half(shard: &mut Shard) {
    let mut sequences: Vec<Sequence> = shard.values().copied().collect();
    let middle = sequences.len() / 2;
    let (_, median, _) = sequences.select_nth_unstable(middle);
    let median = *median;
    shard.retain(|_, sequence| *sequence >= median);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> Fingerprint {
        let hash = blake3::hash(&n.to_le_bytes());
        Fingerprint(u128::from_le_bytes(hash.as_bytes()[..16].try_into().unwrap()))
    }

    fn filled(ids: &Ids, through: u64) {
        ids.insert_all((1..=through).map(|n| (id(n), Sequence(n))));
    }

    #[test]
    fn absence_means_new_only_once_every_record_was_inserted() {
        let ids = Ids::new(1_000);
        filled(&ids, 10);
        assert_eq!((ids.find(&id(10)), ids.find(&id(11))), (Seen::At(Sequence(10)), Seen::Unknown));
        ids.set_complete();
        assert_eq!(ids.find(&id(11)), Seen::New);
    }

    #[test]
    fn beyond_its_limit_the_set_keeps_the_newest_and_leaves_the_rest_to_the_store() {
        let ids = Ids::new(6_400);
        ids.set_complete();
        filled(&ids, 20_000);
        assert!(ids.len() <= 6_400);
        assert_eq!((ids.find(&id(1)), ids.find(&id(30_000))), (Seen::Unknown, Seen::Unknown));
        let newest = (19_000..=20_000).all(|n| ids.find(&id(n)) == Seen::At(Sequence(n)));
        assert!(newest, "what may not be applied yet is always here");
        ids.set_complete();
        assert_eq!(ids.find(&id(1)), Seen::Unknown, "what was evicted stays unknown");
    }

    #[test]
    fn a_cut_tail_and_records_kept_no_longer_are_forgotten() {
        let ids = Ids::new(1_000);
        filled(&ids, 100);
        ids.set_complete();
        ids.cut(Sequence(90));
        ids.forget(Sequence(10));
        assert_eq!(ids.len(), 80);
        assert_eq!([5, 50, 95].map(|n| ids.find(&id(n))), [Seen::New, Seen::At(Sequence(50)), Seen::New]);
    }
}
