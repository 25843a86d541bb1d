//! Where a server's files are, below `server.data` and `server.keys`.

use std::path::{Path, PathBuf};

use crate::config::Config;

/// Paths of one server.
#[derive(Clone, Debug)]
pub struct Layout {
    data: PathBuf,
    keys: PathBuf,
}

impl Layout {
    pub fn new(data: &Path, keys: &Path) -> Self {
        Self { data: data.to_owned(), keys: keys.to_owned() }
    }

    pub fn of(config: &Config) -> Self {
        Self::new(&config.server.data, &config.server.keys)
    }

    pub fn journal(&self) -> PathBuf {
        self.data.join("journal")
    }
    /// Directory of the coordination file.
    pub fn coordination(&self) -> PathBuf {
        self.data.join("coordination")
    }
    pub fn lost_and_found(&self) -> PathBuf {
        self.data.join("lost-and-found")
    }
    pub fn log(&self) -> PathBuf {
        self.data.join("log")
    }
    pub fn sqlite(&self) -> PathBuf {
        self.data.join("store.db")
    }

    /// The pair's certificate authority.
    pub fn authority(&self) -> PathBuf {
        self.keys.join("ca.pem")
    }
    pub fn certificate(&self) -> PathBuf {
        self.keys.join("server.pem")
    }
    pub fn key(&self) -> PathBuf {
        self.keys.join("server.key")
    }
    pub fn terminal_certificate(&self) -> PathBuf {
        self.keys.join("terminal.pem")
    }
    pub fn terminal_key(&self) -> PathBuf {
        self.keys.join("terminal.key")
    }
    pub fn secret(&self) -> PathBuf {
        self.keys.join("secret")
    }
    /// The signed first register.
    pub fn first_register(&self) -> PathBuf {
        self.keys.join("first-register.json")
    }
}
