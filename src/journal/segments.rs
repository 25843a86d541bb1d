//! Segment files in memory: which are held, where their records begin, and the walk that reads and checks them.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::{Corruption, JournalError};
use super::files::{Disk, DiskFile, Files, failed};
use super::format::{BadHeader, HEADER_LEN, Header, Misfit, RawRecord, checksum_seed, next_record, record_len};
use crate::model::{DataId, Epoch, Position, Sequence, UnixMs};

/// Sizes and times that bound the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// 16 MiB: some 40,000 entries, so that a roll-over (two syncs) comes about once a second at full load, and a restart, which
    /// reads and rewrites one segment, stays near 50 ms.
    pub segment_bytes: u64,
    /// Longest payload; at most [`super::PAYLOAD_MAX`].
    pub payload_max: usize,
    /// Segments beyond this many bytes go once nobody needs them. 4 GiB: about ten million entries, weeks of a busy site, so that
    /// nearly every return is a rejoin by the journal alone.
    pub retain_bytes: u64,
    /// Segments older than this go once nobody needs them. 14 days: a repair with the spare part on order.
    pub retain_ms: u64,
    /// Recycled segments kept ready; one is in use within a second at full load, the second covers a slow helper.
    pub spares_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes: 16 * 1024 * 1024,
            payload_max: super::PAYLOAD_MAX,
            retain_bytes: 4 * 1024 * 1024 * 1024,
            retain_ms: 14 * 24 * 3_600_000,
            spares_max: 2,
        }
    }
}

impl Limits {
    /// # Errors
    /// [`JournalError::Limits`] if a record might not fit a segment.
    pub fn check(&self) -> Result<(), JournalError> {
        let least = (HEADER_LEN + super::format::HEAD_LEN + self.payload_max) as u64;
        if self.payload_max > super::PAYLOAD_MAX {
            return Err(JournalError::Limits { reason: format!("payload_max exceeds {}", super::PAYLOAD_MAX) });
        }
        if self.segment_bytes < least || self.segment_bytes > u64::from(u32::MAX) {
            return Err(JournalError::Limits { reason: format!("segment_bytes must be between {least} and 4 GiB") });
        }
        Ok(())
    }
}

/// A place from which a walk can start: the next record is at `offset` and follows `previous`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub previous: Position,
    pub offset: u64,
}

/// One mark each 16 KiB: a position is found by checking some 40 records (15 µs), for 0.35 % of the journal in memory.
pub(crate) const MARK_EVERY: u64 = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Segment {
    pub name: String,
    pub header: Header,
    pub file: Arc<dyn DiskFile>,
    pub size: u64,
    marks: Mutex<Vec<Mark>>,
}

impl Segment {
    pub fn new(name: String, header: Header, file: Arc<dyn DiskFile>, size: u64) -> Self {
        let first = Mark { previous: header.previous, offset: HEADER_LEN as u64 };
        Self { name, header, file, size, marks: Mutex::new(vec![first]) }
    }

    /// Opens and checks the header; the records are read when they are needed.
    pub fn open(files: &dyn Files, name: &str, data_id: Option<DataId>, write: bool) -> Result<Self, JournalError> {
        let file = if write { files.open(name) } else { files.open_to_read(name) }.map_err(failed("open", files, name))?;
        let mut block = [0; HEADER_LEN];
        let read = file.read_at(&mut block, 0).map_err(failed("read", files, name))?;
        let path = || files.path().join(name);
        let header = Header::decode(&block[..read]).map_err(|bad| match bad {
            BadHeader::Unknown(found) => JournalError::FormatUnknown { file: path(), found },
            BadHeader::Checksum => corrupt(files, name, first_of(name).unwrap_or_default(), 0, "its segment's header is damaged"),
        })?;
        if let Some(expected) = data_id
            && header.data_id != expected
        {
            return Err(JournalError::Foreign { file: path(), found: header.data_id, expected });
        }
        let size = file.size().map_err(failed("read", files, name))?;
        Ok(Self::new(name.to_owned(), header, file, size))
    }

    pub fn first(&self) -> Sequence {
        self.header.previous.sequence.next()
    }

    /// Notes a place to start from; marks lie in order, [`MARK_EVERY`] apart.
    pub fn mark(&self, mark: Mark) {
        let mut marks = locked(&self.marks);
        if marks.last().is_none_or(|last| mark.offset >= last.offset + MARK_EVERY) {
            marks.push(mark);
        }
    }

    /// A walk from the last mark whose position satisfies `before` (true for a first part of the history, false for the rest).
    pub fn walk_from(&self, before: impl Fn(&Position) -> bool) -> Walk<'_> {
        let marks = locked(&self.marks);
        let at = marks.partition_point(|mark| before(&mark.previous)).saturating_sub(1);
        let Mark { previous, offset } = marks[at];
        Walk { segment: self, seed: checksum_seed(self.header.data_id), window: Vec::new(), window_at: 0, offset, previous }
    }

    pub fn walk(&self) -> Walk<'_> {
        self.walk_from(|_| false)
    }
}

/// Reads the records of a segment in order, each checked against the one before.
pub(crate) struct Walk<'a> {
    segment: &'a Segment,
    seed: u32,
    window: Vec<u8>,
    window_at: u64,
    /// Where the next record should be.
    pub offset: u64,
    /// The position it must follow.
    pub previous: Position,
}

/// Bytes read at once: two marks' distance, so that most look-ups cost one read, and few are wasted.
const WINDOW: usize = 2 * MARK_EVERY as usize;

impl Walk<'_> {
    /// The next record, or why there is none here; after a misfit the walk stays where it is.
    pub fn next(&mut self) -> io::Result<Result<RawRecord<'_>, Misfit>> {
        let previous = self.previous;
        let len = match record_len(self.bytes(super::format::HEAD_LEN)?) {
            Ok(len) => len,
            Err(misfit) => return Ok(Err(misfit)),
        };
        let seed = self.seed;
        self.bytes(len)?;
        // Looked at again through the field, so that the borrow of the window is not one of the whole walk.
        let record = match next_record(window_from(&self.window, self.window_at, self.offset), seed, &previous) {
            Ok(record) => record,
            Err(misfit) => return Ok(Err(misfit)),
        };
        self.offset += len as u64;
        self.previous = record.position;
        self.segment.mark(Mark { previous: record.position, offset: self.offset });
        Ok(Ok(record))
    }

    /// Up to `len` bytes (fewer at the end of the file) at the walk's place.
    fn bytes(&mut self, len: usize) -> io::Result<&[u8]> {
        let have = (self.window_at + self.window.len() as u64).saturating_sub(self.offset);
        if self.offset < self.window_at || have < len as u64 {
            let left = self.segment.size.saturating_sub(self.offset);
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(len.max(WINDOW));
            self.window.resize(want, 0);
            let read = self.segment.file.read_at(&mut self.window, self.offset)?;
            self.window.truncate(read);
            self.window_at = self.offset;
        }
        let from = window_from(&self.window, self.window_at, self.offset);
        Ok(&from[..from.len().min(len)])
    }
}

fn window_from(window: &[u8], window_at: u64, offset: u64) -> &[u8] {
    usize::try_from(offset - window_at).ok().and_then(|skip| window.get(skip..)).unwrap_or_default()
}

/// What the writer and its readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub files: Disk,
    pub limits: Limits,
    pub data_id: DataId,
    held: RwLock<Held>,
    spares: Mutex<Spares>,
    /// Held by whoever makes a spare: 16 MiB are written, and nobody who only looks must wait for that.
    making: Mutex<()>,
    pub pins: Mutex<Vec<(u64, Sequence)>>,
}

#[derive(Debug)]
pub(crate) struct Held {
    /// In order, each continuing the one before; never empty.
    pub segments: Vec<Arc<Segment>>,
    pub written: Position,
    pub stored: Position,
}

impl Held {
    /// The position before the first record held.
    pub fn start(&self) -> Position {
        self.segments.first().map_or(Position::GENESIS, |segment| segment.header.previous)
    }

    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// The last segment whose previous position satisfies `before`, with the position of its last record.
    pub fn segment_at(&self, before: impl Fn(&Position) -> bool) -> Option<(Arc<Segment>, Position)> {
        let after = self.segments.partition_point(|segment| before(&segment.header.previous));
        let found = self.segments.get(after.checked_sub(1)?)?;
        let end = self.segments.get(after).map_or(self.written, |next| next.header.previous);
        Some((Arc::clone(found), end))
    }
}

impl Shared {
    pub fn new(files: Disk, limits: Limits, data_id: DataId, held: Held, spares: Spares) -> Self {
        let (held, spares) = (RwLock::new(held), Mutex::new(spares));
        Self { files, limits, data_id, held, spares, making: Mutex::new(()), pins: Mutex::new(Vec::new()) }
    }

    pub fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn held_mut(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn spares(&self) -> MutexGuard<'_, Spares> {
        locked(&self.spares)
    }

    /// The position of `sequence`, if it is held and not past `through`.
    pub fn position_at(&self, sequence: Sequence, through: Position) -> Result<Option<Position>, JournalError> {
        if sequence == through.sequence {
            return Ok(Some(through));
        }
        if sequence > through.sequence {
            return Ok(None);
        }
        // Another one if it was cut off since `through` was read.
        Ok(self.last_where(through, |position| position.sequence <= sequence)?.filter(|found| found.sequence == sequence))
    }

    /// The greatest position up to `through` whose epoch is not above `epoch`.
    pub fn last_of_epoch(&self, epoch: Epoch, through: Position) -> Result<Option<Position>, JournalError> {
        if through.epoch <= epoch {
            return Ok(Some(through));
        }
        self.last_where(through, |position| position.epoch <= epoch)
    }

    /// The last position before `through` that satisfies `before`, which `through` does not.
    fn last_where(&self, through: Position, before: impl Fn(&Position) -> bool) -> Result<Option<Position>, JournalError> {
        let Some((segment, end)) = self.held().segment_at(&before) else { return Ok(None) };
        let mut walk = segment.walk_from(&before);
        let mut last = walk.previous;
        while last.sequence < end.sequence.min(through.sequence) {
            match self.step(&mut walk, &segment)? {
                next if before(&next.position) => last = next.position,
                _ => break,
            }
        }
        Ok(Some(last))
    }

    /// The walk's next record, which must be there.
    pub fn step<'a>(&self, walk: &'a mut Walk<'_>, segment: &Segment) -> Result<RawRecord<'a>, JournalError> {
        let (offset, expected) = (walk.offset, walk.previous.sequence.next());
        let next = walk.next().map_err(failed("read", &*self.files, &segment.name))?;
        next.map_err(|misfit| corrupt(&*self.files, &segment.name, expected, offset, misfit.reason()))
    }

    /// Makes sure that `count` spare segments are ready, and says whether any had to be made. Returns at once if they are.
    pub fn prepare(&self, count: usize) -> Result<bool, JournalError> {
        let mut made = false;
        while self.spares().ready.len() < count {
            let _making = locked(&self.making);
            if self.spares().ready.len() >= count {
                // Somebody else was at it.
                break;
            }
            let name = Spares::next_name();
            let made_now = self.make_spare(&name);
            if made_now.is_err() {
                // What there is of it would keep a full disk full; if it cannot go now, the next opening removes it.
                let _ = self.files.remove(&format!("{name}.new"));
            }
            made_now?;
            self.spares().ready.push(name);
            made = true;
        }
        Ok(made)
    }

    fn make_spare(&self, name: &str) -> Result<(), JournalError> {
        let (files, making) = (&*self.files, format!("{name}.new"));
        let file = files.create(&making, self.limits.segment_bytes).map_err(failed("allocate", files, &making))?;
        file.sync_data().map_err(failed("sync", files, &making))?;
        files.rename(&making, name).map_err(failed("rename", files, &making))
    }
}

/// Files of full size waiting to become segments. What they hold is zeros or records of numbers lower than any to come.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    pub ready: Vec<String>,
}

/// The highest number that a spare of any journal of this process has.
static SPARES_NUMBERED: AtomicU64 = AtomicU64::new(0);

impl Spares {
    /// A spare of this number was found; none of its name will be made.
    pub fn found(number: u64) {
        SPARES_NUMBERED.fetch_max(number, Ordering::Relaxed);
    }

    /// Unlike any name that an earlier opening gave: a [`Preparer`] outlives its journal, and what it still makes must never get in
    /// the way of a file by the same name that has become a segment.
    pub fn next_name() -> String {
        format!("spare-{}", SPARES_NUMBERED.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Makes the next segment ready from any thread, so that a roll-over writes no zeros.
#[derive(Clone, Debug)]
pub struct Preparer(pub(crate) Arc<Shared>);

impl Preparer {
    /// Whether no segment is ready and none is being made. Never waits: asked after each group.
    pub fn is_due(&self) -> bool {
        self.0.spares().ready.is_empty() && !matches!(self.0.making.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Returns whether one had to be made (a write of a whole segment and a sync); cheap when one is ready.
    ///
    /// # Errors
    /// [`JournalError::Io`], for instance a full disk. Nothing is lost by it: the journal goes on to the end of its segment.
    pub fn prepare_next(&self) -> Result<bool, JournalError> {
        self.0.prepare(1)
    }
}

pub(crate) fn segment_name(first: Sequence) -> String {
    format!("{:020}.journal", first.0)
}

/// The first sequence in a segment's name, if it is one.
pub(crate) fn first_of(name: &str) -> Option<Sequence> {
    let digits = name.strip_suffix(".journal")?;
    (digits.len() == 20).then(|| digits.parse().ok().map(Sequence))?
}

pub(crate) fn corrupt(files: &dyn Files, name: &str, sequence: Sequence, offset: u64, reason: &str) -> JournalError {
    JournalError::Corrupt(Corruption { sequence, file: files.path().join(name), offset, reason: reason.to_owned() })
}

/// A lock whose holder panicked guards plain values that are whole at every step.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wall clock, for the age of segments and the names of kept files only.
pub(crate) fn wall_clock() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
