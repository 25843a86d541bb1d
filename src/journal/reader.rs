//! Reading a journal: while its writer goes on, or from outside for `duplex journal show`.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::JournalError;
use super::files::{Disk, Files, failed};
use super::recovery::{End, Found, Torn, find_end};
use super::segments::{Segment, Shared, corrupt, locked, segment_name};
use crate::model::{DataId, Epoch, Position, Sequence};

/// One record as it lies in the journal; its digest has been checked against the record before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub position: Position,
    pub payload: Vec<u8>,
}

/// Reads what is stored; cheap to clone, usable from any thread. Belongs to one opening of the journal: get a new one after a
/// reopening, for the files of the old one may be recycled under it (it would report them as corrupt, never return wrong records).
#[derive(Clone, Debug)]
pub struct JournalReader {
    shared: Arc<Shared>,
}

impl JournalReader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The position before the first record held.
    pub fn start(&self) -> Position {
        self.shared.held().start()
    }

    /// The last record that is durable.
    pub fn stored(&self) -> Position {
        self.shared.held().stored
    }

    /// Bytes that the journal's segments take.
    pub fn bytes(&self) -> u64 {
        self.shared.held().bytes()
    }

    /// The position of a stored record (or of the one before the first); `None` if it is not held.
    ///
    /// # Errors
    /// [`JournalError::Io`] or [`JournalError::Corrupt`].
    pub fn position_at(&self, sequence: Sequence) -> Result<Option<Position>, JournalError> {
        self.shared.position_at(sequence, self.stored())
    }

    /// The greatest stored position whose epoch is not above `epoch`. `None` if released.
    ///
    /// # Errors
    /// [`JournalError::Io`] or [`JournalError::Corrupt`].
    pub fn last_of_epoch(&self, epoch: Epoch) -> Result<Option<Position>, JournalError> {
        self.shared.last_of_epoch(epoch, self.stored())
    }

    /// Stored records right after `after`, in order: at least one if there is one, more while their payloads together stay within
    /// `bytes_max`. Empty at the end. They are of one history: a cut that comes meanwhile may end them early.
    ///
    /// # Errors
    /// [`JournalError::Released`] if the next record is no longer held or `after` is past the end; otherwise as the disk says.
    pub fn read_after(&self, after: Sequence, bytes_max: usize) -> Result<Vec<Record>, JournalError> {
        let through = self.stored().sequence;
        if after > through {
            return Err(JournalError::Released { asked: after, start: self.start().sequence });
        }
        let mut records = Vec::new();
        let (mut last, mut bytes) = (after, 0);
        while last < through {
            // Looked at anew in each round, in one look: a cut may have come, and `last` may be behind it.
            let (stored, found) = {
                let held = self.shared.held();
                (held.stored, held.segment_at(|position| position.sequence <= last))
            };
            let Some((segment, end)) = found else {
                return Err(JournalError::Released { asked: last, start: self.start().sequence });
            };
            let end = if end.sequence > stored.sequence { stored } else { end };
            if end.sequence <= last || self.read_segment(&segment, last, end, (bytes_max, &mut bytes), &mut records)? {
                break;
            }
            last = end.sequence;
        }
        Ok(records)
    }

    /// Takes records after `after` up to `end` from one segment; true once the next one would be too much, or belongs to a history
    /// that replaced what was read so far.
    fn read_segment(
        &self,
        segment: &Segment,
        after: Sequence,
        end: Position,
        (bytes_max, bytes): (usize, &mut usize),
        records: &mut Vec<Record>,
    ) -> Result<bool, JournalError> {
        let mut walk = segment.walk_from(|position| position.sequence <= after);
        while walk.previous.sequence < end.sequence {
            let previous = walk.previous;
            let next = self.shared.step(&mut walk, segment)?;
            if next.position.sequence <= after {
                continue;
            }
            *bytes += next.payload.len();
            let replaced = records.last().is_some_and(|newest| newest.position != previous);
            if replaced || (*bytes > bytes_max && !records.is_empty()) {
                return Ok(true);
            }
            records.push(Record { position: next.position, payload: next.payload.to_vec() });
        }
        match walk.previous == end {
            true => Ok(false),
            false => {
                Err(corrupt(&*self.shared.files, &segment.name, end.sequence, walk.offset, "the next segment does not follow"))
            }
        }
    }

    /// Keeps every record after `after` (a snapshot's position, a base backup's) until the pin is dropped.
    pub fn pin(&self, after: Sequence) -> Pin {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        locked(&self.shared.pins).push((number, after));
        Pin { shared: Arc::clone(&self.shared), number }
    }
}

/// While it lives, no record after its sequence is released.
#[derive(Debug)]
pub struct Pin {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        locked(&self.shared.pins).retain(|&(number, _)| number != self.number);
    }
}

/// What [`scan`] saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    pub data_id: DataId,
    pub start: Position,
    /// The last whole record.
    pub end: Position,
    pub torn: Option<Torn>,
}

/// Shows every record after `after` to `visit`, from the files alone, changing nothing: also while a server writes them
/// (its newest records may then appear as a torn end). `None` if the directory holds no journal.
///
/// # Errors
/// [`JournalError`]; everything before the fault has been visited.
pub fn scan(
    files: &Disk,
    after: Sequence,
    mut visit: impl FnMut(Position, &[u8]) -> ControlFlow<()>,
) -> Result<Option<Scanned>, JournalError> {
    let firsts = Found::list(&**files)?.segments;
    let (mut scanned, mut before): (Option<Scanned>, Option<Segment>) = (None, None);
    for (index, first) in firsts.iter().enumerate() {
        let segment = Segment::open(&**files, &segment_name(*first), scanned.as_ref().map(|scanned| scanned.data_id), false)?;
        let Segment { header, .. } = &segment;
        let so_far =
            scanned.get_or_insert(Scanned { data_id: header.data_id, start: header.previous, end: header.previous, torn: None });
        if header.previous != so_far.end {
            return Err(missing_before(&**files, &segment, before.as_ref(), so_far.end.sequence.next()));
        }
        let mut walk = segment.walk();
        while let Ok(record) = walk.next().map_err(failed("read", &**files, &segment.name))? {
            so_far.end = record.position;
            if record.position.sequence > after && visit(record.position, record.payload).is_break() {
                return Ok(scanned);
            }
        }
        if index + 1 == firsts.len() {
            so_far.torn = find_end(&**files, &segment)?.torn;
        }
        before = Some(segment);
    }
    Ok(scanned)
}

/// Record `lost` should stand before `segment`: a damaged one ends the segment before it early, or a whole file is gone.
fn missing_before(files: &dyn Files, segment: &Segment, before: Option<&Segment>, lost: Sequence) -> JournalError {
    match before.map(|before| find_end(files, before)) {
        Some(Ok(End { torn: Some(torn), .. })) => corrupt(files, &torn.file, lost, torn.offset, torn.reason),
        Some(Err(located)) => located,
        Some(Ok(_)) | None => corrupt(files, &segment.name, lost, 0, "records before this segment are missing"),
    }
}
