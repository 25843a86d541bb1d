//! When a simulated terminal sends its next command.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// One terminal's share of the pace, and the end of the run.
pub(super) struct Pace {
    /// Between two commands of this terminal; `None` sends at once.
    interval: Option<Duration>,
    next: Instant,
    until: Instant,
    stopped: watch::Receiver<bool>,
}

impl Pace {
    /// `rate` is of all terminals together; their first commands are spread evenly over one interval.
    pub(super) fn new(rate: Option<f64>, index: usize, terminals: usize, until: Instant, stopped: watch::Receiver<bool>) -> Self {
        let interval = rate.map(|rate| Duration::from_secs_f64(terminals as f64 / rate));
        let offset = interval.map_or(Duration::ZERO, |interval| interval.mul_f64(index as f64 / terminals as f64));
        Self { interval, next: Instant::now() + offset, until, stopped }
    }

    /// Waits for the next turn; `false` once the run is over.
    pub(super) async fn turn(&mut self) -> bool {
        if let Some(interval) = self.interval {
            let wake = self.next.min(self.until);
            tokio::select! {
                () = sleep_until(wake) => {}
                _ = self.stopped.changed() => {}
            }
            // After an outage a terminal goes on at its pace: nobody presses a button twice for the time he waited.
            self.next = (self.next + interval).max(Instant::now());
        }
        !*self.stopped.borrow() && Instant::now() < self.until
    }
}
