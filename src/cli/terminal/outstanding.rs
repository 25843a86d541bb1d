//! The one command that has been sent and not yet answered, on disk before its first byte leaves.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::Failure;
use crate::cli::client::Terminal;

/// Everything needed to send the same command again, except the key.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) terminal_id: String,
    pub(super) command_id: String,
    pub(super) command: String,
    /// As it was sent: another body under the same id would be refused.
    pub(super) body: String,
    pub(super) rate_table_ver: Option<i64>,
    #[serde(default)]
    pub(super) known_date: Option<String>,
    pub(super) staff_session: Option<String>,
}

/// The file of it; absent while everything is settled.
pub(super) struct Outstanding(PathBuf);

impl Outstanding {
    pub(super) fn at(file: PathBuf) -> Self {
        Self(file)
    }

    pub(super) fn file(&self) -> &Path {
        &self.0
    }

    pub(super) fn read(&self) -> Result<Option<Saved>, Failure> {
        match fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| self.failure(&e)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.failure(&e)),
        }
    }

    /// Durable before it returns: a new file, synced, then renamed over the old one.
    pub(super) fn save(&self, terminal: &Terminal, command_id: &str, command: &str, body: &str) -> Result<(), Failure> {
        let saved = Saved {
            terminal_id: terminal.terminal_id.clone(),
            command_id: command_id.to_owned(),
            command: command.to_owned(),
            body: body.to_owned(),
            rate_table_ver: terminal.rate_table_ver,
            known_date: terminal.known_date.clone(),
            staff_session: terminal.staff_session.clone(),
        };
        self.write(&saved).map_err(|e| self.failure(&e))
    }

    pub(super) fn forget(&self) -> Result<(), Failure> {
        fs::remove_file(&self.0).map_err(|e| self.failure(&e))
    }

    fn write(&self, saved: &Saved) -> std::io::Result<()> {
        let new = self.0.with_extension("new");
        // PINs and sessions may be in the body: nobody else reads it.
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        serde_json::to_writer(&mut file, saved)?;
        file.flush()?;
        file.sync_all()?;
        fs::rename(&new, &self.0)?;
        let directory = self.0.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    }

    fn failure(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::failed(format!("the unsettled command in {}: {error}", self.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_command_is_read_back_as_it_was_sent_and_forgotten_once_settled() {
        let directory = tempfile::tempdir().unwrap();
        let outstanding = Outstanding::at(directory.path().join("state.json"));
        assert_eq!(outstanding.read().unwrap(), None);
        outstanding.save(&Terminal::new("S1", "secret"), "ab", "deposit", r#"{"units": 1}"#).unwrap();
        let saved = outstanding.read().unwrap().unwrap();
        assert_eq!((saved.command_id.as_str(), saved.body.as_str()), ("ab", r#"{"units": 1}"#));
        outstanding.forget().unwrap();
        assert_eq!(outstanding.read().unwrap(), None);
    }
}
