//! How far an import is: redrawn in place on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use crate::cli::counted;

/// Fast enough to look alive, slow enough to be read.
const REDRAW: Duration = Duration::from_millis(200);
/// Into a log file: some lines per import, not some hundred.
const LINE: Duration = Duration::from_secs(5);

/// Rows done of rows in all.
pub(super) struct Progress {
    /// What is done to them: "checked".
    done_to_them: &'static str,
    rows: u64,
    done: u64,
    began: Instant,
    shown: Instant,
    on_terminal: bool,
}

impl Progress {
    pub(super) fn new(done_to_them: &'static str, rows: u64) -> Self {
        let now = Instant::now();
        Self { done_to_them, rows, done: 0, began: now, shown: now, on_terminal: stderr().is_terminal() }
    }

    pub(super) fn advance(&mut self, done: u64) {
        self.done = done;
        let pause = if self.on_terminal { REDRAW } else { LINE };
        if self.shown.elapsed() >= pause {
            self.shown = Instant::now();
            self.show();
        }
    }

    /// Ends the display; returns the seconds taken.
    pub(super) fn finish(&mut self) -> f64 {
        if self.on_terminal {
            self.show();
            eprintln!();
        }
        self.began.elapsed().as_secs_f64()
    }

    fn show(&self) {
        let line = words(self.done_to_them, self.done, self.rows, self.began.elapsed().as_secs_f64());
        // Progress is a courtesy: a closed stderr must not end the import.
        let _ = if self.on_terminal { write!(stderr(), "\r{line}\x1b[K") } else { writeln!(stderr(), "{line}") };
    }
}

fn words(done_to_them: &str, done: u64, rows: u64, seconds: f64) -> String {
    let rate = done as f64 / seconds.max(1e-3);
    let left = (rows - done) as f64 / rate.max(1e-3);
    format!(
        "{done} of {} {done_to_them} ({:.0} %), {rate:.0}/s, about {left:.0} s left",
        counted(rows, "row", "rows"),
        100.0 * done as f64 / rows as f64
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_rows_share_rate_and_what_remains() {
        assert_eq!(words("checked", 25_000, 100_000, 2.5), "25000 of 100000 rows checked (25 %), 10000/s, about 8 s left");
    }
}
