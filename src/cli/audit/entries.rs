//! A server's journal, read from its files alone: its chain from the first record to the last, and whether its store is that journal
//! applied. Takes no lock and writes nothing, so a running server is not disturbed.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::iter::Peekable;
use std::ops::ControlFlow;
use std::path::Path;

use super::images::Images;
use super::moment::COMMAND_RECORD;
use super::report::{Finding, JournalSpan, hex};
use crate::cli::client::command_id_of;
use crate::config::limits::IDS_IN_MEMORY_MAX;
use crate::journal::digest::decode;
use crate::journal::{Directory, JournalError, Scanned, fingerprint, scan};
use crate::ledger::invariants::FINDINGS_MAX;
use crate::ledger::rows::Row;
use crate::model::{CommandRecord, Entry, Position, Sequence};
use crate::store::RecordRow;

/// A running server may release a segment between its listing and its reading; twice in a row means something else.
const SCANS_MAX: usize = 3;
const JOURNAL: &str = "journal";

/// Checks the journal in `directory` against a store that has it applied up to `applied`; `records` are that store's. The images are
/// for whoever reads that store's rows; none if the journal could not be read.
pub(super) fn check<I: Iterator<Item = RecordRow>>(
    directory: &Path,
    applied: Position,
    records: impl Fn() -> I,
    kept_from: Option<i32>,
) -> (Option<JournalSpan>, Vec<Finding>, Images) {
    let mut walk = Walk::new(applied, records(), kept_from);
    let scanned = released_meanwhile(|| {
        walk = Walk::new(applied, records(), kept_from);
        visit(directory, Sequence(0), |position, payload| walk.entry(position, payload))
    });
    match scanned {
        Ok(scanned) => {
            walk.end(&scanned);
            let span = JournalSpan { start: scanned.start.into(), end: scanned.end.into() };
            (Some(span), walk.findings, walk.images)
        }
        Err(error) => {
            walk.add(JOURNAL, "", "whole records", error);
            (None, walk.findings, Images::default())
        }
    }
}

/// Visits every record after `after`; a directory without a journal is an error.
///
/// # Errors
/// [`JournalError`]
pub(super) fn visit(directory: &Path, after: Sequence, mut each: impl FnMut(Position, &[u8])) -> Result<Scanned, JournalError> {
    let files = Directory::open(directory)?;
    let scanned = scan(&files, after, |position, payload| {
        each(position, payload);
        ControlFlow::Continue(())
    })?;
    let none = || JournalError::Io { doing: "find a journal in", file: directory.to_owned(), source: ErrorKind::NotFound.into() };
    scanned.ok_or_else(none)
}

/// Scans again where a segment went away under the scan.
pub(super) fn released_meanwhile(mut scan: impl FnMut() -> Result<Scanned, JournalError>) -> Result<Scanned, JournalError> {
    for _ in 1..SCANS_MAX {
        match scan() {
            Err(JournalError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            done => return done,
        }
    }
    scan()
}

/// The journal's entries and the store's records side by side.
struct Walk<I: Iterator<Item = RecordRow>> {
    applied: Position,
    /// First day whose records the store must still have.
    kept_from: Option<i32>,
    records: Peekable<I>,
    /// The journal's own position where the store stands.
    at_applied: Option<Position>,
    seen: HashSet<u128>,
    findings: Vec<Finding>,
    images: Images,
}

impl<I: Iterator<Item = RecordRow>> Walk<I> {
    fn new(applied: Position, records: I, kept_from: Option<i32>) -> Self {
        let (seen, findings, images) = (HashSet::new(), Vec::new(), Images::default());
        Self { applied, kept_from, records: records.peekable(), at_applied: None, seen, findings, images }
    }

    fn add(&mut self, table: &'static str, key: impl ToString, expected: impl ToString, found: impl ToString) {
        if self.findings.len() < FINDINGS_MAX {
            let (key, expected, found) = (key.to_string(), expected.to_string(), found.to_string());
            let check = if table == COMMAND_RECORD { "I4" } else { JOURNAL };
            self.findings.push(Finding { check, table, key, expected, found });
        }
    }

    fn entry(&mut self, position: Position, payload: &[u8]) {
        let sequence = position.sequence;
        if sequence == self.applied.sequence {
            self.at_applied = Some(position);
        }
        let entry: Entry<Row> = match decode(payload) {
            Ok(entry) => entry,
            Err(damaged) => return self.add(JOURNAL, sequence.0, "an entry that can be read", damaged),
        };
        self.seen_once(sequence, &entry.record);
        if sequence <= self.applied.sequence {
            self.compare(position, &entry.record);
            self.images.add(sequence, &entry.images);
        }
    }

    /// P3: one command, one entry. Beyond a bounded memory only the first commands are looked for.
    fn seen_once(&mut self, sequence: Sequence, record: &CommandRecord) {
        let id = fingerprint(&record.terminal_id, &record.command_id).0;
        let twice = if self.seen.len() < IDS_IN_MEMORY_MAX { !self.seen.insert(id) } else { self.seen.contains(&id) };
        if twice && self.findings.len() < FINDINGS_MAX {
            let found = format!("a second one of {} {}", record.terminal_id.0, command_id_of(record.command_id.0));
            let (key, expected) = (sequence.0.to_string(), "one entry for each command".to_owned());
            self.findings.push(Finding { check: "P3", table: JOURNAL, key, expected, found });
        }
    }

    fn compare(&mut self, position: Position, entry: &CommandRecord) {
        while self.records.next_if(|record| record.sequence < position.sequence).is_some() {}
        let Some(stored) = self.records.next_if(|record| record.sequence == position.sequence) else {
            let released = self.kept_from.is_some_and(|first| entry.day.is_none_or(|day| day < first));
            if !released {
                self.add(COMMAND_RECORD, position.sequence.0, "the record of the journal's entry", "none");
            }
            return;
        };
        let same = stored.epoch == position.epoch
            && stored.terminal_id == entry.terminal_id
            && stored.command_id == entry.command_id
            && stored.body_hash == entry.body_hash
            && stored.day == entry.day
            && stored.response == entry.response;
        if !same {
            self.add(COMMAND_RECORD, position.sequence.0, "the record as the journal has it", "another");
        }
    }

    /// What only shows at the end: whether the store's position is one of the journal's.
    fn end(&mut self, scanned: &Scanned) {
        let Position { sequence, .. } = self.applied;
        let held = if sequence == scanned.start.sequence { Some(scanned.start) } else { self.at_applied };
        match held {
            Some(held) if held == self.applied => {}
            Some(held) => {
                let text = |position: Position| format!("epoch {} digest {}", position.epoch.0, hex(&position.digest));
                self.add("applied", sequence.0, text(held), text(self.applied));
            }
            None => {
                let (first, last) = (scanned.start.sequence.0 + 1, scanned.end.sequence.0);
                self.add(JOURNAL, sequence.0, "the entry that was applied last", format!("entries {first} to {last}"));
            }
        }
        while let Some(record) = self.records.next() {
            if record.sequence > sequence {
                self.add(COMMAND_RECORD, record.sequence.0, "none: that entry is not applied", "a record");
            }
        }
    }
}
