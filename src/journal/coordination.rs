//! The coordination file: the same content in two slots of 4 KiB, written and synced one after the other. A torn write leaves the
//! other slot whole; and since both end up alike, a slot that goes bad later costs nothing that was acted upon.
//!
//! ```text
//! slot  magic 8 | version 4 | checksum 4 | generation 8 | length 4 | content (postcard) | zeros
//! ```
//!
//! Fields are only ever appended, and each is `None` where it is missing: postcard writes that as the zero that stands behind the content
//! of a program before it. A program before it ignores what it does not know.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::JournalError;
use super::files::{Disk, DiskFile, Lock, failed};
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
    bad_slot: Option<usize>,
    _lock: Lock,
}

impl CoordinationFile {
    /// Writes the first content, durably; the file must not exist.
    ///
    /// # Errors
    /// [`JournalError::Io`], also if there is one already.
    pub fn create(files: Disk, first: Coordination) -> Result<Self, JournalError> {
        let making = format!("{NAME}.new");
        let lock = files.lock().map_err(failed("lock", &*files, "lock"))?;
        let names = files.list().map_err(failed("list", &*files, ""))?;
        if names.iter().any(|name| name == NAME) {
            return Err(failed("create", &*files, NAME)(std::io::ErrorKind::AlreadyExists.into()));
        }
        let file = files.create(&making, 2 * SLOT_LEN as u64).map_err(failed("allocate", &*files, &making))?;
        let mut created = Self { files, file, current: first, generation: 0, poisoned: None, bad_slot: None, _lock: lock };
        created.put(first)?;
        created.files.rename(&making, NAME).map_err(failed("rename", &*created.files, &making))?;
        created.files.sync_directory().map_err(failed("sync", &*created.files, ""))?;
        Ok(created)
    }

    /// Reads the newer whole slot and writes it again into both: a killed process may have left it in the page cache only, and
    /// nothing may be acted on that a power cut could take back.
    ///
    /// # Errors
    /// [`JournalError::Io`] (`NotFound`: no `duplex init` yet; `WouldBlock`: another process has it), [`JournalError::NoSlot`],
    /// [`JournalError::FormatUnknown`].
    pub fn open(files: Disk) -> Result<Self, JournalError> {
        let lock = files.lock().map_err(failed("lock", &*files, "lock"))?;
        let file = files.open(NAME).map_err(failed("open", &*files, NAME))?;
        let mut slots = [0; 2 * SLOT_LEN];
        let read = file.read_at(&mut slots, 0).map_err(failed("read", &*files, NAME))?;
        let path = files.path().join(NAME);
        let (first, second) = slots[..read].split_at(read.min(SLOT_LEN));
        let slots = [decode(first), decode(second)];
        let bad_slot = slots.iter().position(|slot| matches!(slot, Err(BadSlot::Damaged)));
        let (generation, current) = match newest(slots) {
            Ok(newest) => newest,
            Err(BadSlot::Damaged) => return Err(JournalError::NoSlot { file: path }),
            Err(BadSlot::Unknown(found)) => return Err(JournalError::FormatUnknown { file: path, found }),
        };
        let mut opened = Self { files, file, current, generation, poisoned: None, bad_slot, _lock: lock };
        opened.put(current)?;
        Ok(opened)
    }

    pub fn current(&self) -> &Coordination {
        &self.current
    }

    pub fn path(&self) -> PathBuf {
        self.files.path().join(NAME)
    }

    /// The slot, from 0, that could not be read when the file was opened: a power cut tore its last write, or it went bad since. Never
    /// one that is merely new: both are written before the file has its name.
    pub fn bad_slot(&self) -> Option<usize> {
        self.bad_slot
    }

    /// The journal beside it must belong to the same history.
    ///
    /// # Errors
    /// [`JournalError::Foreign`] names both ids.
    pub fn check_data_id(&self, journal: DataId) -> Result<(), JournalError> {
        match self.current.data_id == journal {
            true => Ok(()),
            false => {
                let file = self.path();
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
        let slot = encode(generation, &next);
        let stored = self.put_slot(&slot, 0).and_then(|()| self.put_slot(&slot, SLOT_LEN as u64));
        match &stored {
            Ok(()) => (self.generation, self.current) = (generation, next),
            Err(error) => self.poisoned = Some(error.to_string()),
        }
        stored
    }

    fn put_slot(&self, slot: &[u8], offset: u64) -> Result<(), JournalError> {
        self.file.write_at(slot, offset).map_err(failed("write", &*self.files, NAME))?;
        self.file.sync_data().map_err(failed("sync", &*self.files, NAME))
    }
}

#[derive(Debug)]
enum BadSlot {
    Damaged,
    Unknown(String),
}

type Slot = Result<(u64, Coordination), BadSlot>;

/// A slot of an unknown format outweighs a known one: a newer program wrote it, and the known one may be outdated.
fn newest(slots: [Slot; 2]) -> Slot {
    match slots.into() {
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
    let checksum = slot_checksum(&slot);
    slot[12..16].copy_from_slice(&checksum.to_le_bytes());
    slot
}

/// Over the version too, so that no flipped bit looks like a newer program's.
fn slot_checksum(slot: &[u8; SLOT_LEN]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&slot[8..12]), &slot[16..])
}

fn decode(slot: &[u8]) -> Slot {
    let Some(block) = slot.first_chunk::<SLOT_LEN>() else { return Err(BadSlot::Damaged) };
    let number = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    if block[..8] != MAGIC || number(12) != slot_checksum(block) {
        return Err(BadSlot::Damaged);
    }
    if number(8) != VERSION {
        return Err(BadSlot::Unknown(format!("version {}, this program knows {VERSION}", number(8))));
    }
    let generation = u64::from(number(16)) | u64::from(number(20)) << 32;
    let content = usize::try_from(number(24)).ok().and_then(|length| block[HEAD_LEN..].get(..length));
    let content = content.and_then(|_| postcard::from_bytes(&block[HEAD_LEN..]).ok());
    content.map(|content| (generation, content)).ok_or(BadSlot::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::model_disk::{Faults, ModelDisk};
    use crate::model::{Epoch, Holder, Position, Register, ServerId};

    fn first() -> Coordination {
        let register = Register {
            epoch: Epoch(1),
            holder: Holder::Pair { main: ServerId::A },
            data_ids: [DataId([1; 16]), DataId([2; 16])],
            recorded: Position::GENESIS,
        };
        Coordination::first(ServerId::B, &register)
    }

    fn holding(epoch: u64) -> Coordination {
        Coordination { held: (Epoch(epoch), Holder::Solo { server: ServerId::B }), spent: Epoch(epoch), ..first() }
    }

    /// A file that was written until it holds `epoch`.
    fn written(disk: &ModelDisk, epoch: u64) -> CoordinationFile {
        let mut file = CoordinationFile::create(disk.disk(), first()).expect("created");
        (2..=epoch).for_each(|epoch| file.write(holding(epoch)).expect("written"));
        file
    }

    #[test]
    fn the_last_content_written_is_found_again() {
        for epoch in 1..6 {
            let disk = ModelDisk::new(epoch);
            let last = *written(&disk, epoch).current();
            disk.crash();
            assert_eq!(CoordinationFile::open(disk.disk()).expect("opened").current(), &last);
        }
    }

    #[test]
    fn a_file_of_a_program_before_the_last_field_is_read_as_without_it() {
        let word = Some((Epoch(5), Holder::Pair { main: ServerId::A }));
        let full = Coordination { word, ..holding(7) };
        let mut before = encode(9, &holding(7));
        before[24] -= 1;
        let checksum = slot_checksum(&before);
        before[12..16].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(decode(&before).expect("whole"), (9, holding(7)));
        assert_eq!(decode(&encode(9, &full)).expect("whole"), (9, full));
    }

    #[test]
    fn a_crash_at_any_operation_leaves_the_old_content_or_the_new() {
        for seed in 0..40 {
            for cut_at in 1..6 {
                let disk = ModelDisk::new(seed * 10 + cut_at);
                let mut file = written(&disk, 5);
                disk.set_faults(Faults { power_cut_at: Some(cut_at), ..Faults::default() });
                let promised = file.write(holding(6)).map_or(Epoch(5), |()| Epoch(6));
                disk.crash();
                let found = CoordinationFile::open(disk.disk()).expect("one slot is whole").current().held.0;
                assert!(found >= promised && found <= Epoch(6));
            }
        }
    }

    #[test]
    fn a_slot_gone_bad_costs_nothing_and_two_are_an_error() {
        let disk = ModelDisk::new(3);
        let last = *written(&disk, 5).current();
        for bad in [100, SLOT_LEN + 100] {
            disk.edit(NAME, |content| content[bad] ^= 1);
            let opened = CoordinationFile::open(disk.disk()).expect("the other slot");
            assert_eq!((opened.current(), opened.bad_slot()), (&last, Some(bad / SLOT_LEN)));
            assert_eq!(CoordinationFile::open(disk.disk()).expect("both are written anew").bad_slot(), None);
        }
        disk.edit(NAME, |content| (content[40], content[SLOT_LEN + 40]) = (!content[40], !content[SLOT_LEN + 40]));
        let error = CoordinationFile::open(disk.disk()).expect_err("no slot").to_string();
        assert_eq!(error, "both slots of model/coordination are damaged");
    }

    #[test]
    fn no_flipped_bit_is_read_as_other_content_or_as_a_newer_format() {
        let slot = encode(9, &holding(7));
        for bit in 0..SLOT_LEN * 8 {
            let mut damaged = slot;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&damaged), Err(BadSlot::Damaged)), "bit {bit} went unnoticed");
        }
        assert_eq!(decode(&slot).expect("whole"), (9, holding(7)));
    }

    #[test]
    fn a_newer_format_is_refused_even_beside_a_slot_that_can_be_read() {
        let disk = ModelDisk::new(9);
        drop(written(&disk, 2));
        disk.edit(NAME, |content| {
            content[8] = 2;
            let newer: &mut [u8; SLOT_LEN] = content.first_chunk_mut().expect("two slots");
            let checksum = slot_checksum(newer);
            newer[12..16].copy_from_slice(&checksum.to_le_bytes());
        });
        let error = CoordinationFile::open(disk.disk()).expect_err("unknown").to_string();
        assert_eq!(error, "model/coordination has an unknown format: version 2, this program knows 1");
    }

    #[test]
    fn opening_makes_durable_what_a_failed_sync_left_in_the_page_cache() {
        let disk = ModelDisk::new(4);
        let mut file = written(&disk, 3);
        disk.set_faults(Faults { sync_fails_at: Some(1), ..Faults::default() });
        file.write(holding(4)).expect_err("the disk refuses");
        assert!(matches!(file.write(holding(5)), Err(JournalError::Poisoned { .. })));
        let opened = CoordinationFile::open(disk.disk()).expect("opened").current().held.0;
        disk.crash();
        assert_eq!(CoordinationFile::open(disk.disk()).expect("opened").current().held.0, opened);
    }

    #[test]
    #[should_panic(expected = "cannot hold epoch 4 after 5")]
    fn an_epoch_held_never_goes_back() {
        let _ = written(&ModelDisk::new(5), 5).write(Coordination { held: holding(4).held, ..holding(5) });
    }

    #[test]
    #[should_panic(expected = "cannot forget that epoch 5 was spent")]
    fn an_epoch_spent_is_never_forgotten() {
        let _ = written(&ModelDisk::new(6), 5).write(Coordination { spent: Epoch(4), ..holding(5) });
    }

    #[test]
    fn a_journal_of_another_history_is_refused_naming_both() {
        let file = written(&ModelDisk::new(7), 1);
        assert!(file.check_data_id(DataId([2; 16])).is_ok());
        let error = file.check_data_id(DataId([9; 16])).expect_err("foreign").to_string();
        assert!(error.contains("0202020202") && error.contains("0909090909"), "{error}");
    }

    #[test]
    fn a_second_init_does_not_overwrite_the_first() {
        let disk = ModelDisk::new(8);
        let last = *written(&disk, 3).current();
        CoordinationFile::create(disk.disk(), first()).expect_err("there is one");
        assert_eq!(CoordinationFile::open(disk.disk()).expect("opened").current(), &last);
    }
}
