//! Commands on their way from the sessions to DataUpdater: one lock per batch, bounded by the permit that each item carries.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::locked;

/// What one session has under way.
#[derive(Debug, Default)]
pub struct UnderWay {
    commands: AtomicUsize,
    /// An answer has come, or a command was lost: the session has something to do.
    pub news: Notify,
}

impl UnderWay {
    pub fn commands(&self) -> usize {
        self.commands.load(SeqCst)
    }
}

/// Goes with a command to its answer. Wherever it is dropped, with an answer or in a panic, the command is no longer under way.
#[derive(Debug)]
pub struct Permit {
    _admitted: OwnedSemaphorePermit,
    session: Arc<UnderWay>,
}

impl Permit {
    pub fn new(admitted: OwnedSemaphorePermit, session: &Arc<UnderWay>) -> Self {
        session.commands.fetch_add(1, SeqCst);
        Self { _admitted: admitted, session: Arc::clone(session) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.session.commands.fetch_sub(1, SeqCst);
        self.session.news.notify_one();
    }
}

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

    pub fn is_empty(&self) -> bool {
        locked(&self.waiting).is_empty()
    }
}
