//! Commands on their way from the sessions to DataUpdater: one lock per batch, bounded by the permit that each item carries.

use std::sync::Mutex;

use super::locked;

#[derive(Debug)]
pub struct Intake<T> {
    waiting: Mutex<Vec<T>>,
}

impl<T> Default for Intake<T> {
    fn default() -> Self {
        Self { waiting: Mutex::new(Vec::new()) }
    }
}

impl<T> Intake<T> {
    /// Hands over a batch; true if the taker must be poked because nothing was waiting before.
    #[must_use]
    pub fn put(&self, batch: impl IntoIterator<Item = T>) -> bool {
        let mut waiting = locked(&self.waiting);
        let was_empty = waiting.is_empty();
        waiting.extend(batch);
        was_empty && !waiting.is_empty()
    }

    /// Takes at most so many, the oldest first.
    pub fn take(&self, most: usize) -> Vec<T> {
        let mut waiting = locked(&self.waiting);
        if waiting.len() <= most {
            return std::mem::take(&mut *waiting);
        }
        let rest = waiting.split_off(most);
        std::mem::replace(&mut *waiting, rest)
    }

    pub fn len(&self) -> usize {
        locked(&self.waiting).len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
