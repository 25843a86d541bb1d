//! The journal: an append-only file of entries, on each server, which is the truth; beside it the coordination file.
//!
//! One [`Journal`] writes, any number of [`JournalReader`]s read what is stored. All disk access goes through [`Files`], so that
//! tests and the simulator can lose, tear and refuse it. Imports `model` only; an application's rows are a type parameter.

pub mod coordination;
pub mod digest;
pub mod error;
pub mod files;
mod format;
pub mod model_disk;
mod reader;
mod recovery;
mod segments;
pub mod tail;
mod writer;

pub use coordination::CoordinationFile;
pub use digest::{Damaged, PAYLOAD_MAX, Unsealable, chain, fingerprint, follows, seal, unseal};
pub use error::{Corruption, JournalError};
pub use files::{Directory, Disk, DiskFile, Files};
pub use reader::{JournalReader, Pin, Record, Scanned, scan};
pub use recovery::{Recovered, Torn, set_aside};
pub use segments::{Limits, Preparer};
pub use tail::{SavedTail, save_tail};
pub use writer::Journal;
