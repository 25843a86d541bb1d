//! One server to a SQLite file, by a lock beside it. The file itself would let a second one in until both have written.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::place::Place;

/// Kept for as long as a server uses the store; ends with its process.
#[derive(Debug)]
pub struct Claim {
    _lock: Option<File>,
}

impl Claim {
    /// Of PostgreSQL nothing is claimed: that would take a connection of its own, which may be lost.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process has it; `Address` for a URL that cannot be meant, `Broken` if the lock cannot be made.
    pub fn take(url: &str) -> Result<Self, StoreError> {
        let place = Place::parse(url)?;
        let Place::Sqlite(file) = &place else { return Ok(Self { _lock: None }) };
        let broken = |error: io::Error| StoreError::Broken { place: place.to_string(), reason: format!("its lock: {error}") };
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(beside(file)).map_err(broken)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => {
                Err(StoreError::Locked { place: place.to_string(), reason: "another server uses it".to_owned() })
            }
            Err(TryLockError::Error(error)) => Err(broken(error)),
        }
    }
}

/// Whatever name the store is reached by.
fn beside(file: &Path) -> PathBuf {
    let mut name = OsString::from(file.canonicalize().unwrap_or_else(|_| file.to_owned()));
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_one_servers_until_that_one_ends() {
        let directory = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("sqlite:{}", directory.path().join(name).display());
        File::create(directory.path().join("store.db")).unwrap();
        std::os::unix::fs::symlink(directory.path().join("store.db"), directory.path().join("other.db")).unwrap();
        let first = Claim::take(&url("store.db")).unwrap();
        for name in ["store.db", "other.db"] {
            let second = Claim::take(&url(name)).expect_err("it is taken").to_string();
            assert!(second.contains("another server uses it"), "{second}");
        }
        drop(first);
        Claim::take(&url("other.db")).expect("nobody has it");
    }
}
