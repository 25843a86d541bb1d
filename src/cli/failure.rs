//! How a command ends when it does not end well: an exit code and one line.

use std::fmt;
use std::process::ExitCode;

/// Exit codes other than 0, as `duplex --help` lists them (2 is clap's own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Failed = 1,
    Usage = 2,
    /// The service answered with a refusal.
    Refused = 3,
    /// No answer in time: the outcome is unknown.
    Unsettled = 4,
    /// 128 + SIGINT, as shells expect it.
    Interrupted = 130,
    /// 128 + SIGPIPE: what a program that knows nothing of pipes would end with.
    NobodyReads = 141,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed: one line for stderr (none if everything was said) and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, message: message.into() }
    }

    pub fn unsettled(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unsettled, message: message.into() }
    }

    /// Whoever read standard output went away (`| head`): the command ends without a word.
    pub fn nobody_reads() -> Self {
        Self { exit: Exit::NobodyReads, message: String::new() }
    }

    pub fn interrupted() -> Self {
        Self { exit: Exit::Interrupted, message: "interrupted".into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
