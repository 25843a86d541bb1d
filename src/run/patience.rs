//! What a start waits for: a store that is away for now, and a lock that a process has which is just ending.

use std::time::Duration;

use slog::{Logger, info, warn};
use tokio::time::{Instant, sleep};

use super::open::Unopened;
use super::told::Told;
use crate::config::limits;
use crate::store::StoreError;

/// Waits, and hears whoever does not want to wait any longer.
pub(super) struct Patience {
    /// From the first wait on: before it a signal ends the process at once, and nothing has to be tidied up.
    pub(super) told: Option<Told>,
    log: Logger,
}

impl Patience {
    pub(super) fn new(log: Logger) -> Self {
        Self { told: None, log }
    }

    /// Tries again for as long as the store may come by itself: after a power cut a database may be up later than this server.
    pub(super) async fn for_the_store<T>(&mut self, mut open: impl FnMut() -> Result<T, StoreError>) -> Result<T, Unopened> {
        let mut is_told = false;
        loop {
            match open() {
                Err(error) if error.may_pass() => {
                    if !is_told {
                        warn!(self.log, "waiting for the store"; "reason" => error.to_string());
                        is_told = true;
                    }
                    self.pause(limits::STORE_LOOK).await?;
                }
                opened => {
                    if is_told && opened.is_ok() {
                        info!(self.log, "the store is there");
                    }
                    return opened.map_err(Unopened::of_store);
                }
            }
        }
    }

    /// Tries again for as long as a process that was killed may still hold what it locked.
    pub(super) async fn for_a_lock<T, E>(
        &mut self,
        is_held: impl Fn(&E) -> bool,
        mut open: impl FnMut() -> Result<T, E>,
    ) -> Result<Result<T, E>, Unopened> {
        let deadline = Instant::now() + limits::LOCK_PATIENCE;
        loop {
            match open() {
                Err(error) if is_held(&error) && Instant::now() < deadline => self.pause(limits::LOCK_LOOK).await?,
                opened => return Ok(opened),
            }
        }
    }

    async fn pause(&mut self, pause: Duration) -> Result<(), Unopened> {
        let told = self.told.get_or_insert_with(Told::listen);
        tokio::select! {
            signal = told.to_end() => {
                info!(self.log, "told to end before it had started"; "signal" => signal);
                Err(Unopened::told())
            }
            () = sleep(pause) => Ok(()),
        }
    }
}
