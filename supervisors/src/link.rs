//! What the supervising thread and one actor's runner share: the order that holds, and the progress
//! counter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use crate::decide::Order;

/// Orders are a state, not a queue: the runner acts on the one that holds when it looks.
#[derive(Debug)]
pub(crate) struct Link {
    standing: Mutex<(Order, Option<Waker>)>,
    progress: AtomicU64,
}

impl Link {
    pub(crate) fn new() -> Self {
        Self { standing: Mutex::new((Order::Hold { life: 0 }, None)), progress: AtomicU64::new(0) }
    }

    pub(crate) fn give(&self, order: Order) {
        let waker = {
            let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
            standing.0 = order;
            standing.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The order that holds; `waker` is woken by the next one.
    pub(crate) fn order(&self, waker: &Waker) -> Order {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.1 = Some(waker.clone());
        standing.0
    }

    /// Odd while the actor works; see [`crate::watch::Watch`].
    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// Work begins, or ends.
    pub(crate) fn turn(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// One piece of work is done and the next begins.
    pub(crate) fn proceed(&self) {
        self.progress.fetch_add(2, Ordering::Relaxed);
    }
}
