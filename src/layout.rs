//! Where a server keeps what: the one list of names below its data directory and its key directory, for whoever makes, serves or audits it.
//!
//! ```text
//! data/  journal/         segment files and their lock
//!        coordination/    the coordination file
//!        lost-and-found/  tails that were cut off, readable
//!        log/             one file per actor
//!        control.sock     where this box's own user gives orders
//!        store.db         the store, where it is SQLite, and beside it its lock
//! keys/  ca.pem  server.pem  server.key  terminal.pem  terminal.key  secret  first-register.json
//! ```

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::ledger::Secrets;
use crate::wire::identity::{Identity, IdentityError, PairSecret};

/// What the pair's secret is derived for where the ledger uses it.
const LEDGER_PURPOSE: &str = "ledger";

/// The files of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    data: PathBuf,
    keys: PathBuf,
}

impl Layout {
    pub fn new(data: impl Into<PathBuf>, keys: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), keys: keys.into() }
    }

    pub fn of(config: &Config) -> Self {
        Self::new(&config.server.data, &config.server.keys)
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn keys(&self) -> &Path {
        &self.keys
    }

    pub fn journal(&self) -> PathBuf {
        self.data.join("journal")
    }

    pub fn coordination(&self) -> PathBuf {
        self.data.join("coordination")
    }

    pub fn lost_and_found(&self) -> PathBuf {
        self.data.join("lost-and-found")
    }

    /// As `telemetry` names it.
    pub fn log(&self) -> PathBuf {
        self.data.join("log")
    }

    /// The socket for orders by whoever may open this directory.
    pub fn control(&self) -> PathBuf {
        self.data.join("control.sock")
    }

    /// Only where the store is SQLite and its address was left to `duplex init`.
    pub fn sqlite(&self) -> PathBuf {
        self.data.join("store.db")
    }

    /// The certificate of the pair's authority.
    pub fn authority(&self) -> PathBuf {
        self.keys.join("ca.pem")
    }

    /// Certificate and key towards peer and witness.
    pub fn server_pem(&self) -> [PathBuf; 2] {
        ["server.pem", "server.key"].map(|name| self.keys.join(name))
    }

    /// Certificate and key towards terminals.
    pub fn terminal_pem(&self) -> [PathBuf; 2] {
        ["terminal.pem", "terminal.key"].map(|name| self.keys.join(name))
    }

    pub fn secret(&self) -> PathBuf {
        self.keys.join("secret")
    }

    /// What an empty witness is told once.
    pub fn first_register(&self) -> PathBuf {
        self.keys.join("first-register.json")
    }

    /// Who this server is to its peer and its witness.
    ///
    /// # Errors
    /// [`IdentityError`] names the file.
    pub fn server_identity(&self) -> Result<Identity, IdentityError> {
        let [certificate, key] = self.server_pem();
        Identity::load(&self.authority(), &certificate, &key)
    }

    /// Who this server is to terminals.
    ///
    /// # Errors
    /// [`IdentityError`] names the file.
    pub fn terminal_identity(&self) -> Result<Identity, IdentityError> {
        let [certificate, key] = self.terminal_pem();
        Identity::load(&self.authority(), &certificate, &key)
    }

    /// # Errors
    /// [`IdentityError`] names the file.
    pub fn pair_secret(&self) -> Result<PairSecret, IdentityError> {
        PairSecret::load(&self.secret())
    }
}

/// The ledger's secrets of a pair: the same for `duplex init`, which derives the first password, and for the servers, which check it.
pub fn ledger_secrets(pair: &PairSecret) -> Secrets {
    Secrets::derive(&pair.derive(LEDGER_PURPOSE))
}

/// The files of a witness's identity, all in one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKeys(pub PathBuf);

impl WitnessKeys {
    pub fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// Certificate and key.
    pub fn pem(&self) -> [PathBuf; 2] {
        ["witness.pem", "witness.key"].map(|name| self.0.join(name))
    }

    /// # Errors
    /// [`IdentityError`] names the file.
    pub fn identity(&self) -> Result<Identity, IdentityError> {
        let [certificate, key] = self.pem();
        Identity::load(&self.authority(), &certificate, &key)
    }
}
