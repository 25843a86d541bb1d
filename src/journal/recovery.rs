//! Opening a journal: what is there, where it ends, and making sure that all of it really is on the disk.

use std::io::ErrorKind;
use std::sync::Arc;

use super::error::{Corruption, JournalError};
use super::files::{Disk, Files, failed};
use super::format::{HEADER_LEN, Header, Misfit, checksum_seed, proof_of_loss};
use super::segments::{Held, Limits, Segment, Shared, Spares, corrupt, first_of, segment_name, wall_clock};
use crate::model::{DataId, Position, Sequence};

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The directory held no journal; an empty one was begun. Right only on a server that never stored anything.
    pub created: bool,
    /// The position before the first record held.
    pub start: Position,
    /// The last whole record. Durable.
    pub end: Position,
    /// The unfinished write that was cut off, if any.
    pub torn: Option<Torn>,
}

/// Something unreadable behind the last whole record that nobody had relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    pub file: String,
    pub offset: u64,
    pub reason: &'static str,
}

/// Where the records of the open segment end.
pub(crate) struct End {
    pub position: Position,
    pub offset: u64,
    pub torn: Option<Torn>,
}

pub(crate) fn open(files: Disk, limits: Limits, data_id: DataId) -> Result<(Arc<Shared>, u64, Recovered), JournalError> {
    let found = Found::list(&*files)?;
    found.remove_unfinished(&*files)?;
    let spares = found.spares(&*files, &limits)?;
    let created = found.segments.is_empty();
    let mut segments = match created {
        true => Vec::new(),
        false => open_segments(&*files, &found.segments, data_id)?,
    };
    let (end, from) = match segments.pop() {
        Some(last) => (find_end(&*files, &last)?, Some(last)),
        None => (End { position: Position::GENESIS, offset: HEADER_LEN as u64, torn: None }, None),
    };
    let open = match &from {
        Some(last) => rewritten(&*files, &limits, last, end.offset)?,
        None => begin(&*files, &limits, data_id, Position::GENESIS)?,
    };
    segments.push(Arc::new(open));
    let held = Held { segments, written: end.position, stored: end.position };
    let recovered = Recovered { created, start: held.start(), end: end.position, torn: end.torn };
    Ok((Arc::new(Shared::new(files, limits, data_id, held, spares)), end.offset, recovered))
}

/// After [`JournalError::Corrupt`]: keeps the damaged segment and all later ones as `….damaged`, and leaves the whole records before
/// the corrupt one, so that [`super::Journal::open`] succeeds and the rest can be fetched from the peer. Note durably first that
/// this server is not in sync. A crash on the way is mended by calling it again with what the next opening reports.
///
/// # Errors
/// [`JournalError`]: locked, or as the disk says.
pub fn set_aside(files: &Disk, limits: &Limits, corruption: &Corruption) -> Result<(), JournalError> {
    let files = &**files;
    let _lock = files.lock().map_err(failed("lock", files, "lock"))?;
    let damaged = corruption.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut names: Vec<String> = Found::list(files)?.segments.into_iter().map(segment_name).collect();
    names.retain(|name| name.as_str() > damaged);
    // Highest first, each synced: what a crash leaves is always without a gap.
    for name in names.iter().rev() {
        keep_as_damaged(files, name)?;
    }
    if corruption.offset < HEADER_LEN as u64 {
        return keep_as_damaged(files, damaged);
    }
    let segment = Segment::open(files, damaged, None, true)?;
    let whole = format!("{damaged}.damaged");
    copy(files, &segment, &whole)?;
    rewritten(files, limits, &segment, corruption.offset).map(drop)
}

fn keep_as_damaged(files: &dyn Files, name: &str) -> Result<(), JournalError> {
    files.rename(name, &format!("{name}.damaged")).map_err(failed("rename", files, name))?;
    files.sync_directory().map_err(failed("sync", files, ""))
}

/// A durable copy of all that can be read of the segment.
fn copy(files: &dyn Files, segment: &Segment, to: &str) -> Result<(), JournalError> {
    let mut content = vec![0; usize::try_from(segment.size).expect("a segment is at most 4 GiB")];
    segment.file.read_at(&mut content, 0).map_err(failed("read", files, &segment.name))?;
    let file = files.create(to, 0).map_err(failed("create", files, to))?;
    file.write_at(&content, 0).map_err(failed("write", files, to))?;
    file.sync_data().map_err(failed("sync", files, to))?;
    files.sync_directory().map_err(failed("sync", files, ""))
}

/// The names in the journal's directory, by kind.
pub(crate) struct Found {
    /// First sequences, ascending.
    pub segments: Vec<Sequence>,
    spares: Vec<String>,
    unfinished: Vec<String>,
}

impl Found {
    pub fn list(files: &dyn Files) -> Result<Self, JournalError> {
        let mut names = files.list().map_err(failed("list", files, ""))?;
        names.sort();
        let mut segments: Vec<Sequence> = names.iter().filter_map(|name| first_of(name)).collect();
        segments.sort();
        let spares = names.iter().filter(|name| spare_no(name).is_some()).cloned().collect();
        names
            .retain(|name| name.strip_suffix(".new").is_some_and(|named| first_of(named).is_some() || spare_no(named).is_some()));
        Ok(Self { segments, spares, unfinished: names })
    }

    fn remove_unfinished(&self, files: &dyn Files) -> Result<(), JournalError> {
        self.unfinished.iter().try_for_each(|name| match files.remove(name) {
            // A helper of the life before this one has finished or removed it meanwhile.
            Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(failed("remove", files, name)),
        })
    }

    /// Spares of today's size; the others go, and so do those beyond the limit.
    fn spares(&self, files: &dyn Files, limits: &Limits) -> Result<Spares, JournalError> {
        let mut spares = Spares::default();
        for name in &self.spares {
            Spares::found(spare_no(name).unwrap_or(0));
            let file = files.open(name).map_err(failed("open", files, name))?;
            let size = file.size().map_err(failed("read", files, name))?;
            if size == limits.segment_bytes && spares.ready.len() < limits.spares_max {
                spares.ready.push(name.clone());
            } else {
                files.remove(name).map_err(failed("remove", files, name))?;
            }
        }
        Ok(spares)
    }
}

fn spare_no(name: &str) -> Option<u64> {
    name.strip_prefix("spare-")?.parse().ok()
}

/// Opens every segment's header and checks that each begins where a segment of its name must.
fn open_segments(files: &dyn Files, firsts: &[Sequence], data_id: DataId) -> Result<Vec<Arc<Segment>>, JournalError> {
    let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(firsts.len());
    for &first in firsts {
        let name = segment_name(first);
        let segment = Segment::open(files, &name, Some(data_id), true)?;
        if segment.first() != first {
            return Err(corrupt(files, &name, first, 0, "its segment's header names another first record"));
        }
        segments.push(Arc::new(segment));
    }
    Ok(segments)
}

/// Walks the open segment to its last whole record, and tells a torn end from a record that was stored once.
pub(crate) fn find_end(files: &dyn Files, segment: &Segment) -> Result<End, JournalError> {
    let mut suspected = None;
    loop {
        let (end, misfit) = walk_to_end(files, segment)?;
        let lost = end.position.sequence.next();
        if misfit != Misfit::Chain && !lost_record_was_stored(files, segment, end.offset, lost)? {
            return Ok(end);
        }
        // Between two looks a writer may have gone on, and what came last is seen first. It wrote what was lacking before that.
        if suspected.replace(end.offset) == Some(end.offset) {
            return Err(corrupt(files, &segment.name, lost, end.offset, misfit.reason()));
        }
    }
}

fn walk_to_end(files: &dyn Files, segment: &Segment) -> Result<(End, Misfit), JournalError> {
    let mut walk = segment.walk();
    let misfit = loop {
        if let Err(misfit) = walk.next().map_err(failed("read", files, &segment.name))? {
            break misfit;
        }
    };
    let (offset, position) = (walk.offset, walk.previous);
    let torn = matches!(misfit, Misfit::Length | Misfit::Checksum).then(|| Torn {
        file: segment.name.clone(),
        offset,
        reason: misfit.reason(),
    });
    Ok((End { position, offset, torn }, misfit))
}

fn lost_record_was_stored(files: &dyn Files, segment: &Segment, offset: u64, lost: Sequence) -> Result<bool, JournalError> {
    let len = usize::try_from(segment.size.saturating_sub(offset)).unwrap_or(0);
    let mut rest = vec![0; len];
    let read = segment.file.read_at(&mut rest, offset).map_err(failed("read", files, &segment.name))?;
    Ok(proof_of_loss(&rest[..read], checksum_seed(segment.header.data_id), lost).is_some())
}

/// The segment's content up to `end` in a new file, synced and renamed over the old one. What a killed process wrote may sit in
/// the page cache only, marked clean after a failed sync: syncing the old file again would prove nothing.
pub(crate) fn rewritten(files: &dyn Files, limits: &Limits, old: &Segment, end: u64) -> Result<Segment, JournalError> {
    let making = format!("{}.new", old.name);
    let size = limits.segment_bytes.max(end);
    let mut content = vec![0; usize::try_from(end).expect("a segment is at most 4 GiB")];
    old.file.read_at(&mut content, 0).map_err(failed("read", files, &old.name))?;
    let file = files.create(&making, size).map_err(failed("allocate", files, &making))?;
    file.write_at(&content, 0).map_err(failed("write", files, &making))?;
    file.sync_data().map_err(failed("sync", files, &making))?;
    files.rename(&making, &old.name).map_err(failed("rename", files, &making))?;
    files.sync_directory().map_err(failed("sync", files, ""))?;
    let segment = Segment::new(old.name.clone(), old.header, file, size);
    Ok(segment)
}

/// A new, empty segment for the records after `previous`.
pub(crate) fn begin(files: &dyn Files, limits: &Limits, data_id: DataId, previous: Position) -> Result<Segment, JournalError> {
    let name = segment_name(previous.sequence.next());
    let making = format!("{name}.new");
    let header = Header { data_id, created: wall_clock(), previous };
    let file = files.create(&making, limits.segment_bytes).map_err(failed("allocate", files, &making))?;
    file.write_at(&header.encode(), 0).map_err(failed("write", files, &making))?;
    file.sync_data().map_err(failed("sync", files, &making))?;
    files.rename(&making, &name).map_err(failed("rename", files, &making))?;
    files.sync_directory().map_err(failed("sync", files, ""))?;
    Ok(Segment::new(name, header, file, limits.segment_bytes))
}
