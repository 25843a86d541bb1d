//! What an audit is reading, on stderr, once it takes long enough for somebody to wonder.

use std::cell::Cell;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use crate::cli::counted;

/// Shorter audits say nothing.
const PATIENCE: Duration = Duration::from_secs(2);
/// Fast enough to look alive on a terminal; elsewhere some lines per audit, not some hundred.
const REDRAW: Duration = Duration::from_millis(200);
const LINE: Duration = Duration::from_secs(5);

pub(super) struct Progress {
    began: Instant,
    shown: Cell<Option<Instant>>,
    rows: Cell<u64>,
    on_terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), shown: Cell::new(None), rows: Cell::new(0), on_terminal: stderr().is_terminal() }
    }

    /// So many more rows of that were read.
    pub(super) fn read(&self, server: &str, what: &str, rows: usize) {
        self.rows.set(self.rows.get() + rows as u64);
        let pause = if self.on_terminal { REDRAW } else { LINE };
        let due = self.shown.get().map_or(self.began + PATIENCE, |shown| shown + pause);
        if Instant::now() < due {
            return;
        }
        self.shown.set(Some(Instant::now()));
        let (rows, seconds) = (counted(self.rows.get(), "row", "rows"), self.began.elapsed().as_secs());
        let line = format!("{server}: reading {what}; {rows} in {seconds} s");
        // Progress is a courtesy: a closed stderr must not end the audit.
        let _ = if self.on_terminal { write!(stderr(), "\r{line}\x1b[K") } else { writeln!(stderr(), "{line}") };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.on_terminal && self.shown.get().is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
