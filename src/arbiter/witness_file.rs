//! Where a witness keeps one pair: `pairs/<id>.json` below its data directory, replaced as a whole and never written in place.
//!
//! Write a new file, sync it, rename it, sync the directory: a kill or a power cut at any step leaves the old value or the new one.
//! The file notes the machine and its own inode and birth, so that a copy brought back by a restore is known to be one.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::model::UnixMs;

use super::register_text;
use super::witness_rules::Kept;

/// A pair's file has 1 KiB; whatever is much larger is something else.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Names a pair: BLAKE3 of its authority's certificate, hexadecimal. One witness can so serve many pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairId(String);

impl PairId {
    /// `authority` is the certificate of the pair's authority, DER.
    pub fn of(authority: &[u8]) -> Self {
        Self(blake3::hash(authority).to_hex().to_string())
    }
}

impl fmt::Display for PairId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A pair's file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    pub file: PathBuf,
    pub reason: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.reason)
    }
}

impl std::error::Error for FileError {}

/// Tells a file from a copy of it: every replacing draws a new one, and no copy keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Birthplace {
    /// Hash of the machine id; empty where a machine has none.
    pub(super) machine: String,
    pub(super) inode: u64,
    /// Nanoseconds since 1970; `None` where the file system keeps no birth time.
    pub(super) born_ns: Option<u64>,
}

impl Birthplace {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let born_ns = born.and_then(|born| u64::try_from(born.as_nanos()).ok());
        Ok(Self { machine: machine(), inode: metadata.ino(), born_ns })
    }
}

/// The machine id is confidential (machine-id(5)), so only a hash of it is written down.
fn machine() -> String {
    let id = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    match id.trim() {
        "" => String::new(),
        id => blake3::derive_key("duplex witness machine", id.as_bytes())[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// What replacing the file consists of, in order. Tests end the process's work before each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Create,
    Write,
    Sync,
    Rename,
    SyncDirectory,
}

/// The file of one pair, locked for this process. What it says it keeps is durable.
#[derive(Debug)]
pub struct PairFile {
    pair: PairId,
    directory: PathBuf,
    kept: Option<Kept>,
    /// It was not written here in this form: copied, restored, or edited by a person whose editor wrote a new file.
    is_copy: bool,
    /// Set when it is unknown which value the disk has.
    doubt: Option<String>,
    /// Held as long as the file is: two witnesses on one file would each grant.
    _lock: File,
}

impl PairFile {
    /// Opens or begins the pair's file below `data`. What a restore brought here has lost what the servers reported.
    ///
    /// # Errors
    /// [`FileError`] in words: damaged, of another pair, in use by another witness, unreadable.
    pub fn open(data: &Path, pair: &PairId) -> Result<Self, FileError> {
        let directory = data.join("pairs");
        let refuse = |reason: String| FileError { file: directory.join(format!("{pair}.json")), reason };
        // The directory must outlast a power cut before anything in it does.
        let created = fs::create_dir_all(&directory).and_then(|()| File::open(data)?.sync_all());
        created.map_err(|error| refuse(format!("cannot create its directory: {error}")))?;
        let lock = lock(&directory.join(format!("{pair}.lock"))).map_err(refuse)?;
        let loaded = load(&directory, pair).map_err(refuse)?;
        let is_copy = loaded.as_ref().is_some_and(|loaded| loaded.is_copy);
        let kept = loaded.map(|loaded| loaded.kept);
        Ok(Self { pair: pair.clone(), directory, kept, is_copy, doubt: None, _lock: lock })
    }

    pub fn path(&self) -> PathBuf {
        path(&self.directory, &self.pair)
    }

    /// When it was last replaced, by the file system's clock.
    pub(super) fn written(&self) -> Option<UnixMs> {
        let written = self.path().metadata().and_then(|file| file.modified()).ok()?;
        written.duration_since(UNIX_EPOCH).ok().and_then(|past| i64::try_from(past.as_millis()).ok()).map(UnixMs)
    }

    /// What was opened is not what a witness wrote here: what the servers had reported is forgotten.
    pub fn is_copy(&self) -> bool {
        self.is_copy
    }

    /// What is durable; `None` while the pair was never introduced.
    ///
    /// # Errors
    /// [`FileError`] after a write that failed half-way: only opening the file anew tells what the disk has.
    pub fn kept(&self) -> Result<Option<&Kept>, FileError> {
        match &self.doubt {
            Some(doubt) => Err(self.refuse(doubt.clone())),
            None => Ok(self.kept.as_ref()),
        }
    }

    /// Makes `kept` durable in the place of what was kept.
    ///
    /// # Errors
    /// [`FileError`]: going backwards, or the disk. If the disk failed when the old value was already replaced, everything is
    /// refused from then on: a failed sync is never tried again, for a second one succeeds without having written anything.
    pub fn store(&mut self, kept: Kept) -> Result<(), FileError> {
        self.store_until(kept, |_| Ok(()))
    }

    fn store_until(&mut self, kept: Kept, mut before: impl FnMut(Step) -> io::Result<()>) -> Result<(), FileError> {
        self.kept()?;
        if let Some(old) = self.kept.filter(|old| goes_back(old, &kept)) {
            let (old, new) = (old.register, kept.register);
            let what = format!("epoch {} to {}, position {} to {}", old.epoch.0, new.epoch.0, old.recorded, new.recorded);
            return Err(self.refuse(format!("would go back: {what}")));
        }
        let mut reached = Step::Create;
        let replaced = self.replace(&kept, &mut |step| {
            reached = step;
            before(step)
        });
        if let Err(error) = replaced {
            let reason = format!("cannot replace it ({reached:?}): {error}");
            // A failed rename may have been done all the same.
            self.doubt = (reached >= Step::Rename).then(|| reason.clone());
            return Err(self.refuse(reason));
        }
        self.kept = Some(kept);
        Ok(())
    }

    fn replace(&self, kept: &Kept, before: &mut dyn FnMut(Step) -> io::Result<()>) -> io::Result<()> {
        let new = self.directory.join(format!("{}.new", self.pair));
        before(Step::Create)?;
        // Never an old leftover opened again: the birth of the file is part of what it says.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&new)?;
        let text = register_text::write(&self.pair, &Birthplace::of(&file)?, kept);
        before(Step::Write)?;
        file.write_all(text.as_bytes())?;
        before(Step::Sync)?;
        file.sync_all()?;
        before(Step::Rename)?;
        fs::rename(&new, path(&self.directory, &self.pair))?;
        before(Step::SyncDirectory)?;
        File::open(&self.directory)?.sync_all()
    }

    fn refuse(&self, reason: String) -> FileError {
        FileError { file: self.path(), reason }
    }
}

fn path(directory: &Path, pair: &PairId) -> PathBuf {
    directory.join(format!("{pair}.json"))
}

/// Within an epoch. What a person's word gives up stands in no rule of this file's.
fn goes_back(old: &Kept, new: &Kept) -> bool {
    let (old, new) = (old.register, new.register);
    new.epoch < old.epoch || new.epoch == old.epoch && new.recorded.sequence < old.recorded.sequence
}

fn lock(path: &Path) -> Result<File, String> {
    let opened = OpenOptions::new().create(true).write(true).truncate(false).open(path);
    let file = opened.map_err(|error| format!("cannot open its lock: {error}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err("another witness is using it".into()),
        Err(TryLockError::Error(error)) => Err(format!("cannot lock it: {error}")),
    }
}

/// A whole file.
struct Loaded {
    kept: Kept,
    is_copy: bool,
}

fn load(directory: &Path, pair: &PairId) -> Result<Option<Loaded>, String> {
    let cannot = |error: io::Error| format!("cannot read it: {error}");
    let mut file = match File::open(path(directory, pair)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error)),
    };
    let mut text = String::new();
    (&mut file).take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(cannot)?;
    let (noted, mut kept) = register_text::read::<Birthplace>(pair, &text)?;
    // A killed witness may have left both in the page cache only: nothing is granted on what a power cut could still undo.
    file.sync_all().and_then(|()| File::open(directory)?.sync_all()).map_err(cannot)?;
    let is_copy = noted != Birthplace::of(&file).map_err(cannot)?;
    if is_copy {
        kept.reported = [None; 2];
    }
    Ok(Some(Loaded { kept, is_copy }))
}

#[cfg(test)]
#[path = "witness_file_tests.rs"]
mod tests;
