//! A store that nobody can write, as while a backup program or a curious person holds it.

use std::fs::File;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::cli::Failure;

/// The byte of `-shm` that a writer of SQLite's log locks (SQLite, "WAL-mode File Format", 2.3.1).
const WRITER_BYTE: i64 = 120;

/// Held until it is dropped.
pub(in crate::cli) struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Waits for its turn. Readers are not hindered.
    ///
    /// # Errors
    /// The store is no SQLite file in use.
    pub(in crate::cli) fn take(store: &Path) -> Result<Self, Failure> {
        let shared = store.with_extension("db-shm");
        let bad = |reason: String| Failure::failed(format!("{}: {reason}", shared.display()));
        let file = File::options().read(true).write(true).open(&shared).map_err(|e| bad(e.to_string()))?;
        let writer = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: WRITER_BYTE,
            l_len: 1,
            // As the kernel demands of locks that belong to an opened file.
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_OFD_SETLKW(&writer)).map_err(|e| bad(e.to_string()))?;
        Ok(Self { _file: file })
    }
}
