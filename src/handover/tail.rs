//! The newest part of the history in memory: entries that are numbered but not yet applied.
//!
//! DataUpdater (or, on Sub, ReplicationReceiver; or ReplicationSender, what a Main takes back from its Sub) appends; the others read
//! with cursors of their own. What was applied leaves, and on a Sub whose store does not follow what is in the journal. A new
//! run of the stream empties it, so that nothing queued outlives the state that numbered it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::locked;
use crate::model::entry::SharedEntry;
use crate::model::{Position, Row, Sequence, StreamNo};

pub struct Tail<R: Row> {
    inner: Mutex<Inner<R>>,
}

struct Inner<R: Row> {
    stream: StreamNo,
    /// Contiguous; the first follows what was released last.
    entries: VecDeque<SharedEntry<R>>,
    bytes: usize,
    /// After the newest entry.
    end: Position,
}

/// What a reader finds after its cursor.
pub enum Slice<R: Row> {
    /// Contiguous from the cursor; empty if there is nothing yet.
    Entries(Vec<SharedEntry<R>>),
    /// Left already: it is in the journal.
    Gone,
}

impl<R: Row> Tail<R> {
    pub fn new(stream: StreamNo, end: Position) -> Self {
        Self { inner: Mutex::new(Inner { stream, entries: VecDeque::new(), bytes: 0, end }) }
    }

    /// Empties it for a new run; the next entry follows `end`.
    pub fn restart(&self, stream: StreamNo, end: Position) {
        let mut inner = locked(&self.inner);
        inner.stream = stream;
        inner.entries.clear();
        inner.bytes = 0;
        inner.end = end;
    }

    pub fn stream(&self) -> StreamNo {
        locked(&self.inner).stream
    }

    pub fn end(&self) -> Position {
        locked(&self.inner).end
    }

    /// Appends a batch; false (and nothing appended) if another run has begun meanwhile.
    ///
    /// # Panics
    /// If the batch does not follow the newest entry: going on would number two entries alike.
    #[must_use]
    pub fn append(&self, stream: StreamNo, batch: &[SharedEntry<R>]) -> bool {
        let mut inner = locked(&self.inner);
        if inner.stream != stream {
            return false;
        }
        for entry in batch {
            assert_eq!(entry.position.sequence, inner.end.sequence.next(), "entries are dense");
            inner.end = entry.position;
            inner.bytes += entry.payload.len();
            inner.entries.push_back(Arc::clone(entry));
        }
        true
    }

    /// Entries after `cursor` up to `through`, at most so many and so many payload bytes (always one, if there is one).
    pub fn after(&self, cursor: Sequence, through: Sequence, entries_max: usize, bytes_max: usize) -> Slice<R> {
        let inner = locked(&self.inner);
        let Some(first) = inner.entries.front().map(|entry| entry.position.sequence) else {
            return if cursor >= inner.end.sequence { Slice::Entries(Vec::new()) } else { Slice::Gone };
        };
        if cursor.next() < first {
            return Slice::Gone;
        }
        let skip = usize::try_from(cursor.0 + 1 - first.0).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let fits = |entry: &&SharedEntry<R>| {
            let before = bytes;
            bytes += entry.payload.len();
            entry.position.sequence <= through && (before == 0 || bytes <= bytes_max)
        };
        Slice::Entries(inner.entries.iter().skip(skip).take(entries_max).take_while(fits).cloned().collect())
    }

    /// The entry with this number, if it has not left.
    pub fn get(&self, sequence: Sequence) -> Option<SharedEntry<R>> {
        let inner = locked(&self.inner);
        let first = inner.entries.front()?.position.sequence;
        let index = usize::try_from(sequence.0.checked_sub(first.0)?).ok()?;
        inner.entries.get(index).cloned()
    }

    /// Lets go of everything up to here: it is applied, so it is stored.
    pub fn release(&self, through: Sequence) {
        let mut inner = locked(&self.inner);
        while inner.entries.front().is_some_and(|entry| entry.position.sequence <= through) {
            let left = inner.entries.pop_front();
            inner.bytes -= left.map_or(0, |entry| entry.payload.len());
        }
    }

    /// Whether it holds as much as admission allows.
    pub fn is_full(&self, entries_max: usize, bytes_max: usize) -> bool {
        let inner = locked(&self.inner);
        inner.entries.len() >= entries_max || inner.bytes >= bytes_max
    }
}
