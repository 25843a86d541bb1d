//! The command ids seen, in memory: fingerprint to place in the journal.
//!
//! Kept on both servers as entries enter the journal, cut when a tail is cut. Absence means "new" only while the set covers every
//! record kept; otherwise the store is asked.

use std::collections::HashMap;
use std::sync::Mutex;

use super::locked;
use crate::model::{Fingerprint, Sequence};

#[derive(Debug, Default)]
pub struct Ids {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    seen: HashMap<Fingerprint, Sequence>,
    complete: bool,
    /// Something was left out for want of memory.
    overflowed: bool,
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
    /// Whether absence means "new".
    pub fn is_complete(&self) -> bool {
        locked(&self.inner).complete
    }

    /// Every record kept has been inserted.
    pub fn set_complete(&self) {
        let mut inner = locked(&self.inner);
        inner.complete = !inner.overflowed;
    }

    pub fn insert_all(&self, ids: impl IntoIterator<Item = (Fingerprint, Sequence)>, most: usize) {
        let mut inner = locked(&self.inner);
        for (id, sequence) in ids {
            inner.insert(id, sequence, most);
        }
    }

    /// Forgets what was cut off the journal.
    pub fn cut(&self, after: Sequence) {
        locked(&self.inner).seen.retain(|_, sequence| *sequence <= after);
    }

    pub fn find(&self, id: &Fingerprint) -> Seen {
        let inner = locked(&self.inner);
        match inner.seen.get(id) {
            Some(sequence) => Seen::At(*sequence),
            None if inner.complete => Seen::New,
            None => Seen::Unknown,
        }
    }

    pub fn len(&self) -> usize {
        locked(&self.inner).seen.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    fn insert(&mut self, id: Fingerprint, sequence: Sequence, most: usize) {
        if self.seen.len() < most {
            self.seen.insert(id, sequence);
        } else {
            self.complete = false;
            self.overflowed = true;
        }
    }
}
