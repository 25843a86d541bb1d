//! What the storage actors hand to each other: in batches, bounded, without a message per command.
//!
//! [`Intake`] commands from the sessions to DataUpdater · [`Tail`] numbered entries to JournalWriter, ReplicationSender and
//! ReplicationApplier, each with its own cursor · [`Board`] how far each of them is · [`Gate`] answers that wait until what they
//! rest on is confirmed.

pub mod board;
pub mod failures;
pub mod gate;
pub mod ids;
pub mod intake;
pub mod shown;
pub mod tail;

pub use board::Board;
pub use failures::Failures;
pub use gate::{Gate, Leaving, Waiting};
pub use ids::Ids;
pub use intake::{Intake, Permit, UnderWay};
pub use shown::Shown;
pub use tail::{Slice, Tail};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A panic while holding one of these locks is caught by the supervisors, and what the lock guards is consistent between any two
/// statements or cleared by the restart that follows: poisoning would only turn one restart into an endless series.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
