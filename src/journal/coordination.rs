//! The coordination file: two slots of 4 KiB, written in turn, so that a torn write leaves the other one whole.
//!
//! ```text
//! slot  magic 8 | version 4 | checksum 4 | generation 8 | length 4 | content (postcard)
//! ```

use std::sync::Arc;

use super::error::JournalError;
use super::files::{Disk, DiskFile, failed};
use crate::model::{Coordination, DataId};

const NAME: &str = "coordination";
const MAGIC: [u8; 8] = *b"duplexC\n";
const VERSION: u32 = 1;
const HEAD_LEN: usize = 28;
/// One block of every disk in use: two slots never share one.
const SLOT_LEN: usize = 4096;

/// What a server knows about itself, durably. After a failed write it accepts nothing more in this run.
#[derive(Debug)]
pub struct CoordinationFile {
    files: Disk,
    file: Arc<dyn DiskFile>,
    current: Coordination,
    generation: u64,
    poisoned: Option<String>,
}

impl CoordinationFile {
    /// Writes the first content, durably; the file must not exist.
    ///
    /// # Errors
    /// [`JournalError::Io`], also if there is one already.
    pub fn create(files: Disk, first: Coordination) -> Result<Self, JournalError> {
        let making = format!("{NAME}.new");
        let names = files.list().map_err(failed("list", &*files, ""))?;
        if names.iter().any(|name| name == NAME) {
            return Err(failed("create", &*files, NAME)(std::io::ErrorKind::AlreadyExists.into()));
        }
        let file = files.create(&making, 2 * SLOT_LEN as u64).map_err(failed("allocate", &*files, &making))?;
        let mut created = Self { files, file, current: first, generation: 0, poisoned: None };
        created.put(first)?;
        created.files.rename(&making, NAME).map_err(failed("rename", &*created.files, &making))?;
        created.files.sync_directory().map_err(failed("sync", &*created.files, ""))?;
        Ok(created)
    }

    /// Reads the newer whole slot and writes it again into the other one: a killed process may have left it in the page cache
    /// only, and nothing may be acted on that a power cut could take back.
    ///
    /// # Errors
    /// [`JournalError::Io`] (`NotFound`: no `duplex init` yet), [`JournalError::NoSlot`], [`JournalError::FormatUnknown`].
    pub fn open(files: Disk) -> Result<Self, JournalError> {
        let file = files.open(NAME).map_err(failed("open", &*files, NAME))?;
        let mut slots = [0; 2 * SLOT_LEN];
        let read = file.read_at(&mut slots, 0).map_err(failed("read", &*files, NAME))?;
        let path = files.path().join(NAME);
        let (first, second) = slots[..read].split_at(read.min(SLOT_LEN));
        let (generation, current) = match newest(decode(first), decode(second)) {
            Ok(newest) => newest,
            Err(BadSlot::Damaged) => return Err(JournalError::NoSlot { file: path }),
            Err(BadSlot::Unknown(found)) => return Err(JournalError::FormatUnknown { file: path, found }),
        };
        let mut opened = Self { files, file, current, generation, poisoned: None };
        opened.put(current)?;
        Ok(opened)
    }

    pub fn current(&self) -> &Coordination {
        &self.current
    }

    /// The journal beside it must belong to the same history.
    ///
    /// # Errors
    /// [`JournalError::Foreign`] names both ids.
    pub fn check_data_id(&self, journal: DataId) -> Result<(), JournalError> {
        match self.current.data_id == journal {
            true => Ok(()),
            false => {
                let file = self.files.path().join(NAME);
                Err(JournalError::Foreign { file, found: self.current.data_id, expected: journal })
            }
        }
    }

    /// Replaces the content, durably.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the file is poisoned then, and the content on the disk is the old or the new one.
    ///
    /// # Panics
    /// If the server, an epoch held, or an epoch spent would change backwards: a server that forgets an epoch may reuse it.
    pub fn write(&mut self, next: Coordination) -> Result<(), JournalError> {
        let current = &self.current;
        assert_eq!(next.server, current.server, "a server's identity never changes");
        assert!(next.held.0 >= current.held.0, "cannot hold epoch {} after {}", next.held.0.0, current.held.0.0);
        assert!(next.spent >= current.spent, "cannot forget that epoch {} was spent", current.spent.0);
        self.put(next)
    }

    fn put(&mut self, next: Coordination) -> Result<(), JournalError> {
        if let Some(reason) = &self.poisoned {
            return Err(JournalError::Poisoned { reason: reason.clone() });
        }
        let generation = self.generation + 1;
        let offset = generation % 2 * SLOT_LEN as u64;
        let stored = self
            .file
            .write_at(&encode(generation, &next), offset)
            .map_err(failed("write", &*self.files, NAME))
            .and_then(|()| self.file.sync_data().map_err(failed("sync", &*self.files, NAME)));
        match stored {
            Ok(()) => (self.generation, self.current) = (generation, next),
            Err(error) => {
                self.poisoned = Some(error.to_string());
                return Err(error);
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
enum BadSlot {
    Damaged,
    Unknown(String),
}

type Slot = Result<(u64, Coordination), BadSlot>;

/// A slot of an unknown format outweighs a known one: a newer program wrote it, and the known one may be outdated.
fn newest(first: Slot, second: Slot) -> Slot {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok(if first.0 > second.0 { first } else { second }),
        (Err(BadSlot::Unknown(found)), _) | (_, Err(BadSlot::Unknown(found))) => Err(BadSlot::Unknown(found)),
        (Ok(whole), Err(BadSlot::Damaged)) | (Err(BadSlot::Damaged), Ok(whole)) => Ok(whole),
        (Err(BadSlot::Damaged), Err(BadSlot::Damaged)) => Err(BadSlot::Damaged),
    }
}

fn encode(generation: u64, content: &Coordination) -> [u8; SLOT_LEN] {
    let mut slot = [0; SLOT_LEN];
    slot[..8].copy_from_slice(&MAGIC);
    slot[8..12].copy_from_slice(&VERSION.to_le_bytes());
    slot[16..24].copy_from_slice(&generation.to_le_bytes());
    let used = postcard::to_slice(content, &mut slot[HEAD_LEN..]).expect("the content takes a few hundred bytes at most").len();
    let length = u32::try_from(used).expect("a slot is 4 KiB");
    slot[24..28].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c(&slot[16..]);
    slot[12..16].copy_from_slice(&checksum.to_le_bytes());
    slot
}

/// The checksum covers the rest of the block; the version is looked at only once it fits, so that no flipped bit looks like news.
fn decode(slot: &[u8]) -> Slot {
    let Some(block) = slot.first_chunk::<SLOT_LEN>() else { return Err(BadSlot::Damaged) };
    let number = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    if block[..8] != MAGIC || number(12) != crc32c::crc32c(&block[16..]) {
        return Err(BadSlot::Damaged);
    }
    if number(8) != VERSION {
        return Err(BadSlot::Unknown(format!("version {}, this program knows {VERSION}", number(8))));
    }
    let generation = u64::from(number(16)) | u64::from(number(20)) << 32;
    let content = usize::try_from(number(24)).ok().and_then(|length| block[HEAD_LEN..].get(..length));
    let content = content.and_then(|content| postcard::from_bytes(content).ok());
    content.map(|content| (generation, content)).ok_or(BadSlot::Damaged)
}
