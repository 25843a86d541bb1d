//! The one command that has been sent and not yet answered, on disk before its first byte leaves.

use std::fs::{self, DirBuilder, File};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use super::orders::Order;
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

impl Saved {
    /// Whoever was told "outcome unknown" gives the same order again, which is then no second one.
    pub(super) fn is(&self, order: &Order) -> bool {
        let same_id = order.command_id.as_ref().is_none_or(|id| *id == self.command_id);
        same_id && self.command == order.command && self.body == order.body
    }
}

/// The file of it; absent while everything is settled.
pub(super) struct Outstanding(PathBuf);

impl Outstanding {
    /// In `file`, or below the user's own directory for such things: it outlives a boot, and nobody else can put a command there.
    ///
    /// # Errors
    /// The environment names no such directory.
    pub(super) fn new(file: Option<PathBuf>, terminal_id: &str) -> Result<Self, Failure> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from);
        file.or_else(|| default_file(variable("XDG_STATE_HOME"), variable("HOME"), terminal_id)).map(Self).ok_or_else(|| {
            Failure::usage("--state: say where to save an unsettled command: neither XDG_STATE_HOME nor HOME is set")
        })
    }

    pub(super) fn file(&self) -> &Path {
        &self.0
    }

    pub(super) fn read(&self) -> Result<Option<Saved>, Failure> {
        match read_own(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
                self.failure(&format_args!("is damaged ({e}): look in the ledger whether it was done, then remove the file"))
            }),
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
        let directory = directory_of(&self.0);
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        // Left by a run that was killed, or put there by somebody: in either case no file to write into.
        match fs::remove_file(&new) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        // PINs and sessions may be in the body: nobody else reads it.
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
        serde_json::to_writer(&mut file, saved)?;
        file.flush()?;
        file.sync_all()?;
        fs::rename(&new, &self.0)?;
        File::open(directory)?.sync_all()
    }

    fn failure(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::failed(format!("the unsettled command in {}: {error}", self.0.display()))
    }
}

/// `$XDG_STATE_HOME/duplex/` or what stands for it; a path that is not absolute counts as none, as the XDG specification has it.
fn default_file(state_home: Option<PathBuf>, home: Option<PathBuf>, terminal_id: &str) -> Option<PathBuf> {
    let state_home = state_home.filter(|path| path.is_absolute());
    let below_home = || home.filter(|path| path.is_absolute()).map(|home| home.join(".local/state"));
    let plain: String = terminal_id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    Some(state_home.or_else(below_home)?.join("duplex").join(format!("terminal-{plain}.json")))
}

/// What the file says is sent in this user's name, so that nobody else may have written it.
fn read_own(file: &Path) -> std::io::Result<Vec<u8>> {
    // Where a pipe or a link was planted, opening must neither wait nor lead elsewhere.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = File::options().read(true).custom_flags(flags.bits()).open(file);
    let mut opened = opened.map_err(|e| match e.raw_os_error() {
        Some(code) if code == nix::errno::Errno::ELOOP as i32 => Error::other("is a symbolic link, not a file of this program"),
        _ => e,
    })?;
    let found = opened.metadata()?;
    if !found.is_file() {
        return Err(Error::other("is not a file"));
    }
    if let Some(whose) = not_own(found.uid(), found.mode(), nix::unistd::geteuid().as_raw()) {
        return Err(Error::other(whose));
    }
    if let Some(mode) = others_may_replace(file)? {
        return Err(Error::other(format!("others may write its directory (mode {mode:o}): not trusted")));
    }
    let mut bytes = Vec::new();
    opened.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The mode of a directory in which others may put another file of this user's in the place of this one. Not where the sticky bit
/// keeps them from it, as in /tmp.
fn others_may_replace(file: &Path) -> std::io::Result<Option<u32>> {
    const STICKY: u32 = 0o1000;
    let mode = fs::metadata(directory_of(file))?.mode() & 0o7777;
    Ok((mode & 0o022 != 0 && mode & STICKY == 0).then_some(mode))
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn not_own(owner: u32, mode: u32, user: u32) -> Option<String> {
    if owner != user {
        return Some(format!("the file belongs to user {owner}, not to user {user} who runs this: not trusted"));
    }
    (mode & 0o022 != 0).then(|| format!("others may write the file (mode {:o}): not trusted", mode & 0o777))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn saved_in(directory: &Path) -> Outstanding {
        let outstanding = Outstanding(directory.join("below/state.json"));
        outstanding.save(&Terminal::new("S1", "secret"), "ab", "deposit", r#"{"units": 1}"#).unwrap();
        outstanding
    }

    #[test]
    fn a_saved_command_is_read_back_as_it_was_sent_and_forgotten_once_settled() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Outstanding(directory.path().join("below/state.json")).read().unwrap(), None);
        let outstanding = saved_in(directory.path());
        let saved = outstanding.read().unwrap().unwrap();
        assert_eq!((saved.command_id.as_str(), saved.body.as_str()), ("ab", r#"{"units": 1}"#));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(outstanding.file()), mode(&directory.path().join("below"))), (0o600, 0o700));
        outstanding.forget().unwrap();
        assert_eq!(outstanding.read().unwrap(), None);
    }

    #[test]
    fn a_command_is_the_saved_one_if_all_that_it_says_is_the_same() {
        let saved = saved_in(tempfile::tempdir().unwrap().path()).read().unwrap().unwrap();
        let order = |id: Option<&str>, body: &str| Order {
            command: "deposit".into(),
            body: body.into(),
            command_id: id.map(str::to_owned),
        };
        assert!(saved.is(&order(None, r#"{"units": 1}"#)) && saved.is(&order(Some("ab"), r#"{"units": 1}"#)));
        assert!(!saved.is(&order(None, r#"{"units": 2}"#)) && !saved.is(&order(Some("cd"), r#"{"units": 1}"#)));
    }

    #[test]
    fn what_another_user_may_have_written_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let outstanding = saved_in(directory.path());
        fs::set_permissions(outstanding.file(), fs::Permissions::from_mode(0o620)).unwrap();
        let refused = outstanding.read().unwrap_err().message;
        assert!(refused.ends_with("others may write the file (mode 620): not trusted"), "{refused}");
        assert!(not_own(1000, 0o600, 0).is_some() && not_own(1000, 0o644, 1000).is_none());

        fs::set_permissions(outstanding.file(), fs::Permissions::from_mode(0o600)).unwrap();
        let below = outstanding.file().parent().unwrap();
        for (mode, is_trusted) in [(0o770, false), (0o1777, true), (0o755, true)] {
            fs::set_permissions(below, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(outstanding.read().is_ok(), is_trusted, "{mode:o}");
        }

        let link = Outstanding(directory.path().join("link.json"));
        std::os::unix::fs::symlink(outstanding.file(), link.file()).unwrap();
        assert!(link.read().unwrap_err().message.contains("symbolic link"));
    }

    #[test]
    fn a_damaged_file_is_told_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let outstanding = saved_in(directory.path());
        fs::write(outstanding.file(), r#"{"terminal_id":"S1","#).unwrap();
        let told = outstanding.read().unwrap_err().message;
        assert!(told.contains("state.json: is damaged (EOF") && told.ends_with("then remove the file"), "{told}");
    }

    #[test]
    fn a_link_planted_where_the_command_is_written_first_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        fs::create_dir(directory.path().join("below")).unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join("below/state.new")).unwrap();
        assert!(saved_in(directory.path()).read().unwrap().is_some());
        assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
    }

    #[test]
    fn the_state_is_kept_below_the_users_own_directory() {
        let file = |state_home: &str, home: &str| {
            let path = |text: &str| Some(text).filter(|text| !text.is_empty()).map(PathBuf::from);
            default_file(path(state_home), path(home), "S/1").map(|file| file.display().to_string()).unwrap_or_default()
        };
        assert_eq!(file("/state", "/home/x"), "/state/duplex/terminal-S_1.json");
        assert_eq!(file("", "/home/x"), "/home/x/.local/state/duplex/terminal-S_1.json");
        assert_eq!(file("relative", "/home/x"), "/home/x/.local/state/duplex/terminal-S_1.json");
        assert_eq!(file("", ""), "");
    }
}
