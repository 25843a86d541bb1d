//! The one writer of a journal: append, sync, cut, release.

use std::sync::Arc;

use super::digest::position_after;
use super::error::JournalError;
use super::files::{Disk, Lock, failed};
use super::format::{HEAD_LEN, HEADER_LEN, Header, checksum_seed, encode_record};
use super::reader::{JournalReader, Pin};
use super::recovery::{self, Recovered};
use super::segments::{Limits, MARK_EVERY, Mark, Preparer, Segment, Shared, Spares, locked, segment_name, wall_clock};
use crate::model::{DataId, Epoch, Position, Row, Sealed, Sequence, SharedEntry, UnixMs};

/// Writes this server's journal. Dropping it releases the directory for the next opening.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    open: Arc<Segment>,
    /// Where the next record goes in `open`.
    offset: u64,
    /// Offset of the last mark in `open`.
    marked: u64,
    written: Position,
    stored: Position,
    /// Why nothing more is accepted. A failed write or sync leaves the disk's content unknown.
    poisoned: Option<String>,
    /// Kept between appends: one write needs one buffer, not one allocation.
    buffer: Vec<u8>,
    _lock: Lock,
}

impl Journal {
    /// Opens the journal of `data_id` in a directory, or begins an empty one. All that it returns is durable.
    ///
    /// # Errors
    /// [`JournalError`]: locked, foreign, of an unknown format, or corrupt (see [`super::set_aside`]); no record was touched then.
    pub fn open(files: Disk, limits: Limits, data_id: DataId) -> Result<(Self, Recovered), JournalError> {
        limits.check()?;
        let lock = files.lock().map_err(failed("lock", &*files, "lock"))?;
        let (shared, offset, recovered) = recovery::open(files, limits, data_id)?;
        let open = shared.held().segments.last().cloned().expect("recovery always leaves an open segment");
        let end = recovered.end;
        let journal =
            Self { shared, open, offset, marked: 0, written: end, stored: end, poisoned: None, buffer: Vec::new(), _lock: lock };
        Ok((journal, recovered))
    }

    /// Reads what is stored, from any thread, while this writer goes on.
    pub fn reader(&self) -> JournalReader {
        JournalReader::new(Arc::clone(&self.shared))
    }

    pub fn preparer(&self) -> Preparer {
        Preparer(Arc::clone(&self.shared))
    }

    pub fn data_id(&self) -> DataId {
        self.shared.data_id
    }

    /// The position before the first record held.
    pub fn start(&self) -> Position {
        self.shared.held().start()
    }

    /// The last record written, stored or not.
    pub fn end(&self) -> Position {
        self.written
    }

    /// The last record that is durable.
    pub fn stored(&self) -> Position {
        self.stored
    }

    /// The position of a written record (or of the one before the first); `None` if it is not held.
    ///
    /// # Errors
    /// [`JournalError::Io`] or [`JournalError::Corrupt`].
    pub fn position_at(&self, sequence: Sequence) -> Result<Option<Position>, JournalError> {
        self.shared.position_at(sequence, self.written)
    }

    /// The greatest position whose epoch is not above `epoch`: where this history may part from another. `None` if released.
    ///
    /// # Errors
    /// [`JournalError::Io`] or [`JournalError::Corrupt`].
    pub fn last_of_epoch(&self, epoch: Epoch) -> Result<Option<Position>, JournalError> {
        self.shared.last_of_epoch(epoch, self.written)
    }

    /// Writes the batch after [`Journal::end`], with one write unless it crosses into a new segment. Not durable before
    /// [`Journal::sync`]. A full disk is met before the first byte is written, and only where a new segment is needed.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the journal is poisoned unless the disk was full.
    ///
    /// # Panics
    /// If the batch does not continue this journal: to write it would break the chain of digests.
    pub fn append<R: Row>(&mut self, batch: &[SharedEntry<R>]) -> Result<Position, JournalError> {
        self.refuse_if_poisoned()?;
        self.assert_continues(batch);
        self.shared.prepare(self.segments_needed(batch))?;
        let mut rest = batch;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fitting(rest, self.room()));
            let written = self.write(now);
            self.fatal(written)?;
            if !later.is_empty() {
                let rolled = self.roll();
                self.fatal(rolled)?;
            }
            rest = later;
        }
        self.shared.held_mut().written = self.written;
        Ok(self.written)
    }

    /// Makes everything written durable, with one fdatasync.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the journal is poisoned then.
    pub fn sync(&mut self) -> Result<Position, JournalError> {
        self.refuse_if_poisoned()?;
        if self.stored != self.written {
            let synced = self.open.file.sync_data().map_err(failed("sync", &*self.shared.files, &self.open.name));
            self.fatal(synced)?;
            self.stored = self.written;
            self.shared.held_mut().stored = self.stored;
        }
        Ok(self.stored)
    }

    /// Makes the next segment ready, so that a roll-over writes no zeros. See [`Preparer`] for another thread.
    ///
    /// # Errors
    /// [`JournalError::Io`]; never poisons.
    pub fn prepare_next(&self) -> Result<bool, JournalError> {
        self.shared.prepare(1)
    }

    /// Ends the journal at `to`, durably: no crash from now on brings a later record back. Save the tail first.
    /// A crash on the way leaves any end between `to` and the old one. A reading under way may still return what was cut.
    ///
    /// # Errors
    /// [`JournalError::NotHeld`] if `to` is not in this history; otherwise the journal is poisoned.
    pub fn cut(&mut self, to: Position) -> Result<(), JournalError> {
        self.refuse_if_poisoned()?;
        if self.position_at(to.sequence)? != Some(to) {
            return Err(JournalError::NotHeld { asked: to });
        }
        if to == self.stored && to == self.written {
            return Ok(());
        }
        let cut = self.cut_held(to);
        self.fatal(cut)
    }

    /// Forgets everything and goes on after `position`, which a snapshot brought. A crash on the way leaves a shorter journal or an
    /// empty one, so note durably first that this server is not in sync.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the journal is poisoned then.
    pub fn restart_after(&mut self, position: Position) -> Result<(), JournalError> {
        self.refuse_if_poisoned()?;
        let restarted = self.begin_anew(position);
        self.fatal(restarted)
    }

    /// Lets whole segments go that hold nothing after `needed` or after a [`Pin`], oldest first, while the journal exceeds its
    /// bound of bytes or they exceed their age at `now`. `needed`: the store is synced up to here.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the journal is poisoned then.
    pub fn release_through(&mut self, needed: Sequence, now: UnixMs) -> Result<(), JournalError> {
        self.refuse_if_poisoned()?;
        let through = locked(&self.shared.pins).iter().map(|&(_, pinned)| pinned).fold(needed, Sequence::min);
        while self.oldest_may_go(through, now) {
            let oldest = self.shared.held_mut().segments.remove(0);
            let released = self.release(oldest);
            self.fatal(released)?;
        }
        Ok(())
    }

    /// Keeps every record after `after` until the pin is dropped.
    pub fn pin(&self, after: Sequence) -> Pin {
        self.reader().pin(after)
    }

    fn refuse_if_poisoned(&self) -> Result<(), JournalError> {
        match &self.poisoned {
            Some(reason) => Err(JournalError::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn fatal<T>(&mut self, result: Result<T, JournalError>) -> Result<T, JournalError> {
        if let Err(error) = &result {
            self.poisoned = Some(error.to_string());
        }
        result
    }

    fn assert_continues<R: Row>(&self, batch: &[SharedEntry<R>]) {
        let mut previous = self.written;
        for sealed in batch {
            let Sealed { position, payload, .. } = &**sealed;
            assert!(position.epoch >= previous.epoch, "cannot append {position} after {previous}: its epoch is over");
            assert!(*position == position_after(&previous, position.epoch, payload), "cannot append {position} after {previous}");
            assert!(payload.len() <= self.shared.limits.payload_max, "cannot append {position}: {} bytes", payload.len());
            previous = *position;
        }
    }

    fn room(&self) -> u64 {
        self.open.size.saturating_sub(self.offset)
    }

    fn segments_needed<R: Row>(&self, batch: &[SharedEntry<R>]) -> usize {
        let (mut rest, mut needed) = (&batch[fitting(batch, self.room())..], 0);
        while !rest.is_empty() {
            needed += 1;
            rest = &rest[fitting(rest, self.shared.limits.segment_bytes - HEADER_LEN as u64)..];
        }
        needed
    }

    /// Writes records that fit the open segment.
    fn write<R: Row>(&mut self, records: &[SharedEntry<R>]) -> Result<(), JournalError> {
        let seed = checksum_seed(self.shared.data_id);
        let from = self.offset;
        self.buffer.clear();
        for sealed in records {
            if self.offset >= self.marked + MARK_EVERY {
                self.open.mark(Mark { previous: self.written, offset: self.offset });
                self.marked = self.offset;
            }
            encode_record(&mut self.buffer, seed, &sealed.position, self.stored.sequence, &sealed.payload);
            self.offset = from + self.buffer.len() as u64;
            self.written = sealed.position;
        }
        match self.buffer.is_empty() {
            true => Ok(()),
            false => self.open.file.write_at(&self.buffer, from).map_err(failed("write", &*self.shared.files, &self.open.name)),
        }
    }

    /// Begins the next segment. The old one is durable before the new one has a name, so at most one segment ever has an end to find.
    fn roll(&mut self) -> Result<(), JournalError> {
        let files = &*self.shared.files;
        self.open.file.sync_data().map_err(failed("sync", files, &self.open.name))?;
        let spare = self.shared.spares().ready.pop().expect("append has prepared as many spares as it needs");
        let name = segment_name(self.written.sequence.next());
        let header = Header { data_id: self.shared.data_id, created: wall_clock(), previous: self.written };
        let file = files.open(&spare).map_err(failed("open", files, &spare))?;
        file.write_at(&header.encode(), 0).map_err(failed("write", files, &spare))?;
        file.sync_data().map_err(failed("sync", files, &spare))?;
        files.rename(&spare, &name).map_err(failed("rename", files, &spare))?;
        files.sync_directory().map_err(failed("sync", files, ""))?;
        let segment = Arc::new(Segment::new(name, header, file, self.shared.limits.segment_bytes));
        let mut held = self.shared.held_mut();
        self.stored = self.written;
        (held.written, held.stored) = (self.written, self.stored);
        held.segments.push(Arc::clone(&segment));
        drop(held);
        self.go_on_in(segment, HEADER_LEN as u64);
        Ok(())
    }

    fn go_on_in(&mut self, segment: Arc<Segment>, offset: u64) {
        self.open = segment;
        self.offset = offset;
        self.marked = 0;
    }

    fn cut_held(&mut self, to: Position) -> Result<(), JournalError> {
        // Readers lose sight of the tail first.
        {
            let mut held = self.shared.held_mut();
            held.written = to;
            held.stored = to;
        }
        self.remove_after(to)?;
        let last = self.shared.held().segments.last().cloned().expect("the segment that begins at or before the cut stays");
        let mut walk = last.walk_from(|position| position.sequence <= to.sequence);
        while walk.previous.sequence < to.sequence {
            self.shared.step(&mut walk, &last)?;
        }
        let offset = walk.offset;
        // A new file instead of zeros over the old: half-written zeros would look like corruption.
        let segment = Arc::new(recovery::rewritten(&*self.shared.files, &self.shared.limits, &last, offset)?);
        self.replace_last(Arc::clone(&segment));
        (self.written, self.stored) = (to, to);
        self.go_on_in(segment, offset);
        Ok(())
    }

    fn replace_last(&self, segment: Arc<Segment>) {
        let mut held = self.shared.held_mut();
        held.segments.pop();
        held.segments.push(segment);
    }

    /// Removes the segments that begin at `to` or later, except the very first. Highest first, each synced, so that what a crash
    /// leaves is always without a gap; removed, not recycled, because their records have numbers that will be used again.
    fn remove_after(&self, to: Position) -> Result<(), JournalError> {
        loop {
            let mut held = self.shared.held_mut();
            let goes = held.segments.len() > 1
                && held.segments.last().is_some_and(|segment| segment.header.previous.sequence >= to.sequence);
            let Some(segment) = goes.then(|| held.segments.pop()).flatten() else { return Ok(()) };
            drop(held);
            self.remove(&segment.name)?;
        }
    }

    fn remove(&self, name: &str) -> Result<(), JournalError> {
        let files = &*self.shared.files;
        files.remove(name).map_err(failed("remove", files, name))?;
        files.sync_directory().map_err(failed("sync", files, ""))
    }

    fn begin_anew(&mut self, position: Position) -> Result<(), JournalError> {
        // Readers lose sight of everything first, as in a cut.
        {
            let mut held = self.shared.held_mut();
            let start = held.start();
            (held.written, held.stored) = (start, start);
        }
        self.remove_after(Position::GENESIS)?;
        let first = self.shared.held().segments[0].name.clone();
        self.remove(&first)?;
        // Spares may hold records of numbers that come again.
        let spares = std::mem::take(&mut self.shared.spares().ready);
        spares.iter().try_for_each(|name| self.remove(name))?;
        let begun = recovery::begin(&*self.shared.files, &self.shared.limits, self.shared.data_id, position)?;
        let segment = Arc::new(begun);
        let mut held = self.shared.held_mut();
        held.segments = vec![Arc::clone(&segment)];
        (held.written, held.stored) = (position, position);
        drop(held);
        (self.written, self.stored) = (position, position);
        self.go_on_in(segment, HEADER_LEN as u64);
        Ok(())
    }

    fn oldest_may_go(&self, through: Sequence, now: UnixMs) -> bool {
        let held = self.shared.held();
        let Some(next) = held.segments.get(1) else { return false };
        let limits = &self.shared.limits;
        // The age of its last record is the age of the next segment.
        let age_ms = now.0.saturating_sub(next.header.created.0);
        let old = u64::try_from(age_ms).is_ok_and(|age_ms| age_ms > limits.retain_ms);
        next.header.previous.sequence <= through && (old || held.bytes() > limits.retain_bytes)
    }

    /// Recycles the segment if there is use for it and nobody reads it. One at a time, each synced: no crash leaves a gap.
    fn release(&self, segment: Arc<Segment>) -> Result<(), JournalError> {
        let files = &*self.shared.files;
        let mut spares = self.shared.spares();
        let wanted = spares.ready.len() < self.shared.limits.spares_max && segment.size == self.shared.limits.segment_bytes;
        if Arc::strong_count(&segment) == 1 && wanted {
            let name = Spares::next_name();
            files.rename(&segment.name, &name).map_err(failed("rename", files, &segment.name))?;
            spares.ready.push(name);
        } else {
            files.remove(&segment.name).map_err(failed("remove", files, &segment.name))?;
        }
        files.sync_directory().map_err(failed("sync", files, ""))
    }
}

/// How many records of the batch fit in `room` bytes.
fn fitting<R: Row>(batch: &[SharedEntry<R>], room: u64) -> usize {
    let mut left = room;
    batch
        .iter()
        .take_while(|sealed| {
            let len = (HEAD_LEN + sealed.payload.len()) as u64;
            let fits = len <= left;
            left = left.saturating_sub(len);
            fits
        })
        .count()
}
