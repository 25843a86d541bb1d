//! Checkpoints of the store, on a connection and thread of their own: inside a commit they would be the p99.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::Recipient;
use slog::{Logger, warn};

use crate::actors::OpenStore;
use crate::actors::journal_writer::StoreSynced;
use crate::config::limits;
use crate::model::{Application, Sequence};
use crate::store::{Checkpoint, Store, StoreError};

/// SQLite's write-ahead log, as applier and checkpoints share it.
#[derive(Default)]
pub(super) struct Log {
    /// Held while a batch is applied, and by a checkpoint's last step.
    writing: Mutex<()>,
    /// What the last checkpoint could not move.
    unmoved_bytes: AtomicU64,
}

impl Log {
    pub fn stand_still(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader has kept checkpoints from moving anything for so long that nothing more may be written.
    pub fn is_too_long(&self) -> bool {
        self.unmoved_bytes.load(Relaxed) > limits::STORE_LOG_BYTES_MAX
    }
}

/// One request may wait: whoever asks while one is under way is served by the next.
pub(super) fn thread<A: Application>(
    open: &OpenStore<A>,
    journal: Recipient<StoreSynced>,
    log_of_store: &Arc<Log>,
    log: &Logger,
) -> SyncSender<Sequence> {
    let (sender, requests) = sync_channel::<Sequence>(1);
    let (open, log_of_store, log) = (Arc::clone(open), Arc::clone(log_of_store), log.clone());
    let work = move || {
        let mut store = None;
        for _ in requests {
            // A connection left over from before the store was away fails once, and says nothing of the store now.
            let kept = store.take().and_then(|kept| both_steps(kept, &log_of_store).ok());
            match kept.map_or_else(|| both_steps(open()?, &log_of_store), Ok) {
                Ok((opened, checkpoint)) => {
                    store = Some(opened);
                    journal.do_send(StoreSynced(checkpoint.synced.sequence));
                }
                Err(error) => {
                    warn!(log, "no checkpoint; the store's log grows until the next one"; "reason" => error.to_string())
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(work);
    thread.expect("the system gives one thread more");
    sender
}

/// SQLite's log begins anew only when nothing was written behind what the checkpoint moved: the bulk is moved beside the applier,
/// the little that it wrote meanwhile while it stands still. Without the second step the log of a busy store grows for ever.
fn both_steps<A: Application>(
    mut store: Box<dyn Store<A>>,
    log_of_store: &Log,
) -> Result<(Box<dyn Store<A>>, Checkpoint), StoreError> {
    store.checkpoint()?;
    let still = log_of_store.stand_still();
    let done = store.checkpoint()?;
    log_of_store.unmoved_bytes.store(done.unmoved_bytes, Relaxed);
    drop(still);
    Ok((store, done))
}
