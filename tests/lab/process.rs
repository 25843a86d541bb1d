//! One program of the laboratory, with a log that outlives it.

use std::{
    fs::{File, read_to_string},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::until;

/// A process that was told to end has ended by then; a server needs a second at most.
const END_LIMIT: Duration = Duration::from_secs(15);
/// For whoever reads why a scenario failed.
const LAST_LINES: usize = 30;

/// Killed when it is dropped.
pub struct Process {
    pub name: String,
    child: Option<Child>,
    log: PathBuf,
    /// Length of the log when this life began.
    life_began: usize,
}

impl Process {
    /// Starts `command`, whose words of both kinds are appended to `log`.
    pub fn start(name: &str, log: PathBuf, mut command: Command) -> Self {
        let file = File::options().append(true).create(true).open(&log).expect("the log can be written");
        let life_began = file.metadata().expect("it was just opened").len() as usize;
        let both = file.try_clone().expect("a file can be shared");
        command.stdin(Stdio::null()).stdout(both).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { name: name.to_owned(), child: Some(child), log, life_began }
    }

    /// Sends a signal; to an ended process, none.
    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            kill(Pid::from_raw(child.id() as i32), signal).expect("it is our child, not yet waited for");
        }
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a process ends once");
        let mut status = None;
        until(&format!("{} ends", self.name), END_LIMIT, || {
            status = child.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// SIGKILL, and its end waited for.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ended();
    }

    /// Whether nobody has ended it and it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("it is our child").is_none())
    }

    /// Whether nobody has waited for its end.
    pub fn is_at_large(&self) -> bool {
        self.child.is_some()
    }

    /// The lines of this life.
    pub fn words(&self) -> String {
        let all = read_to_string(&self.log).unwrap_or_default();
        all.get(self.life_began..).unwrap_or_default().to_owned()
    }

    /// The lines of all its lives.
    pub fn all_words(&self) -> String {
        read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether a line of this life has these words.
    pub fn has_said(&self, words: &str) -> bool {
        self.words().contains(words)
    }

    pub fn last_lines(&self) -> String {
        let words = self.all_words();
        let lines: Vec<&str> = words.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        format!("--- {} ---\n{}\n", self.log.display(), last.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
