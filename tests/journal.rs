//! The journal as the actors use it, over a disk that loses and tears whatever was not synced.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the failure")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use duplex::journal::model_disk::{Faults, ModelDisk};
use duplex::journal::{Journal, JournalError, JournalReader, Limits, Recovered, save_tail, scan, seal, set_aside};
use duplex::model::{
    CommandId, CommandRecord, DataId, Entry, Epoch, Image, Position, Response, Row, Sequence, ServerId, SharedEntry, Status,
    TerminalId, UnixMs,
};
use serde::{Deserialize, Serialize};

#[path = "journal/crashes.rs"]
mod crashes;
#[path = "journal/interrupted.rs"]
mod interrupted;
#[path = "journal/real_directory.rs"]
mod real_directory;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    number: u64,
    note: Vec<u8>,
}

impl Row for Member {
    type Key = u64;
    fn key(&self) -> u64 {
        self.number
    }
}

const DATA_ID: DataId = DataId([7; 16]);

/// Segments of a few records, so that every test rolls over.
fn limits() -> Limits {
    Limits { segment_bytes: 8192, payload_max: 2048, retain_bytes: 3 * 8192, retain_ms: 1_000_000, spares_max: 2 }
}

fn open(disk: &ModelDisk) -> (Journal, Recovered) {
    Journal::open(disk.disk(), limits(), DATA_ID).expect("the journal opens")
}

fn entry(number: u64, note_len: usize) -> Entry<Member> {
    Entry {
        images: vec![Image::Put(Member { number, note: vec![number as u8; note_len] })],
        record: CommandRecord {
            terminal_id: TerminalId("till-1".into()),
            command_id: CommandId(u128::from(number).to_le_bytes()),
            body_hash: [1; 16],
            day: Some(20_000),
            response: b"{\"done\":true}".to_vec(),
        },
    }
}

/// `count` entries after `previous`; the notes' lengths vary so that records cross sectors in every way.
fn batch(previous: Position, epoch: u64, count: u64) -> Vec<SharedEntry<Member>> {
    let mut previous = previous;
    (0..count)
        .map(|_| {
            let number = previous.sequence.0 + 1;
            let sealed = seal(&previous, Epoch(epoch), entry(number, 100 + (number as usize * 37) % 900)).expect("it is short");
            previous = sealed.position;
            Arc::new(sealed)
        })
        .collect()
}

/// Appends `count` entries and syncs.
fn store(journal: &mut Journal, epoch: u64, count: u64) -> Result<Position, JournalError> {
    let entries = batch(journal.end(), epoch, count);
    journal.append(&entries)?;
    journal.sync()
}

/// A journal with `count` entries of epoch 1, all stored.
fn stored(disk: &ModelDisk, count: u64) -> (Journal, Position) {
    let (mut journal, _) = open(disk);
    let stored = store(&mut journal, 1, count).expect("it is stored");
    (journal, stored)
}

/// Every position that the journal holds, read back record by record.
fn positions(reader: &JournalReader) -> BTreeMap<u64, Position> {
    let mut found = BTreeMap::from([(reader.start().sequence.0, reader.start())]);
    let mut last = reader.start().sequence;
    loop {
        let records = reader.read_after(last, 3000).expect("what is stored can be read");
        let Some(newest) = records.last() else { return found };
        last = newest.position.sequence;
        found.extend(records.iter().map(|record| (record.position.sequence.0, record.position)));
    }
}

#[test]
fn what_was_stored_is_there_after_reopening_with_equal_positions() {
    let disk = ModelDisk::new(1);
    let (journal, stored) = stored(&disk, 40);
    let before = positions(&journal.reader());
    drop(journal);
    let (journal, recovered) = open(&disk);
    assert_eq!((recovered.created, recovered.end, recovered.torn), (false, stored, None));
    assert_eq!(positions(&journal.reader()), before);
    assert_eq!(before.len(), 41);
}

#[test]
fn a_reader_never_sees_what_is_written_but_not_stored() {
    let disk = ModelDisk::new(2);
    let (mut journal, stored) = stored(&disk, 3);
    journal.append(&batch(stored, 1, 2)).expect("written");
    let reader = journal.reader();
    assert_eq!((reader.stored(), journal.end().sequence), (stored, Sequence(5)));
    assert_eq!(reader.read_after(Sequence(0), 1 << 20).expect("readable").len(), 3);
    assert_eq!(reader.position_at(Sequence(4)).expect("readable"), None);
    assert_eq!(journal.position_at(Sequence(5)).expect("readable"), Some(journal.end()));
}

#[test]
fn every_position_is_found_and_the_last_of_an_epoch_is_where_the_next_one_began() {
    let disk = ModelDisk::new(3);
    let (mut journal, of_one) = stored(&disk, 21);
    let of_four = store(&mut journal, 4, 30).expect("stored");
    let of_five = store(&mut journal, 5, 2).expect("stored");
    for (sequence, position) in positions(&journal.reader()) {
        assert_eq!(journal.position_at(Sequence(sequence)).expect("readable"), Some(position));
    }
    let last = |epoch| journal.last_of_epoch(Epoch(epoch)).expect("readable");
    assert_eq!([last(0), last(1), last(3)], [Some(Position::GENESIS), Some(of_one), Some(of_one)]);
    assert_eq!([last(4), last(5), last(9)], [Some(of_four), Some(of_five), Some(of_five)]);
}

#[test]
fn a_failed_fdatasync_is_never_tried_again() {
    let disk = ModelDisk::new(4);
    let (mut journal, stored) = stored(&disk, 3);
    journal.append(&batch(stored, 1, 1)).expect("written");
    disk.set_faults(Faults { sync_fails_at: Some(1), ..Faults::default() });
    assert!(matches!(journal.sync(), Err(JournalError::Io { .. })));
    assert!(matches!(journal.sync(), Err(JournalError::Poisoned { .. })));
    assert!(matches!(journal.append(&batch(journal.end(), 1, 1)), Err(JournalError::Poisoned { .. })));
    assert!(matches!(journal.cut(stored), Err(JournalError::Poisoned { .. })));
    assert_eq!((journal.stored(), journal.reader().stored()), (stored, stored));
}

#[test]
fn what_a_failed_fdatasync_left_in_the_page_cache_counts_as_stored_only_once_it_is() {
    let disk = ModelDisk::new(5);
    let (mut journal, stored) = stored(&disk, 3);
    journal.append(&batch(stored, 1, 1)).expect("written");
    disk.set_faults(Faults { sync_fails_at: Some(1), ..Faults::default() });
    journal.sync().expect_err("the disk refuses");
    drop(journal);
    let (journal, recovered) = open(&disk);
    assert_eq!(recovered.end.sequence, Sequence(4));
    drop(journal);
    disk.crash();
    assert_eq!(open(&disk).1.end, recovered.end);
}

#[test]
fn a_write_that_stops_in_its_middle_poisons_and_is_cut_at_the_last_whole_record() {
    let disk = ModelDisk::new(6);
    let (mut journal, stored) = stored(&disk, 2);
    disk.set_faults(Faults { write_torn_at: Some((1, 500)), ..Faults::default() });
    journal.append(&batch(stored, 1, 2)).expect_err("the disk refuses");
    assert!(matches!(journal.sync(), Err(JournalError::Poisoned { .. })));
    disk.set_faults(Faults::default());
    drop(journal);
    let (_, recovered) = open(&disk);
    assert_eq!(recovered.end.sequence, Sequence(3), "500 bytes hold the first of the two, whole");
    assert!(recovered.torn.is_some());
}

#[test]
fn a_full_disk_is_met_before_a_byte_is_written_and_the_journal_goes_on_once_there_is_room() {
    let disk = ModelDisk::new(7);
    let (mut journal, stored) = stored(&disk, 2);
    disk.set_faults(Faults { no_space: true, ..Faults::default() });
    journal.append(&batch(stored, 1, 60)).expect_err("it needs new segments");
    assert_eq!(journal.end(), stored);
    assert_eq!(store(&mut journal, 1, 1).expect("there is room for one").sequence, Sequence(3));
    disk.set_faults(Faults::default());
    assert_eq!(store(&mut journal, 1, 60).expect("there is room again").sequence, Sequence(63));
}

#[test]
fn a_read_only_or_unreadable_disk_is_named_in_the_error() {
    let disk = ModelDisk::new(8);
    let (mut journal, stored) = stored(&disk, 2);
    disk.set_faults(Faults { reads_fail: true, ..Faults::default() });
    let error = journal.reader().read_after(Sequence(0), 100).expect_err("reads fail").to_string();
    assert!(error.starts_with("cannot read model/00000000000000000001.journal: "), "{error}");
    disk.set_faults(Faults { read_only: true, ..Faults::default() });
    let error = journal.append(&batch(stored, 1, 1)).expect_err("writes fail").to_string();
    assert!(error.starts_with("cannot write model/00000000000000000001.journal: "), "{error}");
}

#[test]
fn a_position_of_another_history_is_no_place_to_cut() {
    let disk = ModelDisk::new(9);
    let (mut journal, _) = stored(&disk, 5);
    let elsewhere = batch(Position::GENESIS, 2, 3)[2].position;
    assert!(matches!(journal.cut(elsewhere), Err(JournalError::NotHeld { .. })));
    assert_eq!(store(&mut journal, 1, 1).expect("it goes on").sequence, Sequence(6));
}

#[test]
fn nothing_pinned_or_needed_is_released() {
    let disk = ModelDisk::new(10);
    let (mut journal, _) = stored(&disk, 80);
    let all = journal.reader().bytes();
    journal.release_through(Sequence(0), UnixMs(0)).expect("released");
    assert_eq!((journal.start(), journal.reader().bytes()), (Position::GENESIS, all));
    let pin = journal.pin(Sequence(20));
    journal.release_through(Sequence(80), UnixMs(0)).expect("released");
    assert!((1..=20).contains(&journal.start().sequence.0), "{:?}", journal.start());
    drop(pin);
    journal.release_through(Sequence(80), UnixMs(0)).expect("released");
    assert!(journal.start().sequence.0 > 20 && journal.reader().bytes() < all);
    let error = journal.reader().read_after(Sequence(3), 100).expect_err("released");
    assert!(matches!(error, JournalError::Released { .. }));
    journal.release_through(Sequence(80), UnixMs(i64::MAX)).expect("released");
    assert_eq!(journal.reader().bytes(), 8192, "old ones go");
}

#[test]
fn a_stored_record_gone_bad_is_reported_with_its_place_and_not_cut() {
    let disk = ModelDisk::new(11);
    let (mut journal, _) = stored(&disk, 1);
    (0..3).for_each(|_| assert!(store(&mut journal, 1, 1).is_ok()));
    drop(journal);
    disk.edit("00000000000000000001.journal", |content| content[4096 + 200] ^= 1);
    for _ in 0..2 {
        let error = Journal::open(disk.disk(), limits(), DATA_ID).expect_err("corrupt");
        let JournalError::Corrupt(corruption) = error else { panic!("not told as corruption: {error}") };
        assert_eq!((corruption.sequence, corruption.offset), (Sequence(1), 4096));
    }
}

#[test]
fn what_recycled_segments_held_before_a_restart_is_never_taken_for_lost_records() {
    let disk = ModelDisk::new(22);
    let (mut journal, _) = stored(&disk, 1);
    (0..60).for_each(|_| assert!(store(&mut journal, 1, 1).is_ok()));
    journal.release_through(Sequence(60), UnixMs(0)).expect("released, and two segments recycled");
    journal.restart_after(Position::GENESIS).expect("restarted");
    for count in 1..25 {
        let end = store(&mut journal, 2, 1).expect("stored");
        drop(journal);
        let recovered;
        (journal, recovered) = open(&disk);
        assert_eq!((recovered.end, recovered.end.sequence), (end, Sequence(count)));
    }
}

#[test]
fn a_bad_record_in_an_older_segment_is_found_when_it_is_read() {
    let disk = ModelDisk::new(12);
    let (journal, _) = stored(&disk, 40);
    disk.edit("00000000000000000001.journal", |content| content[4096 + 200] ^= 1);
    assert!(matches!(journal.reader().read_after(Sequence(0), 100), Err(JournalError::Corrupt(_))));
    let seen = scan(&disk.disk(), Sequence(0), |_, _| ControlFlow::Continue(()));
    assert!(matches!(seen, Err(JournalError::Corrupt(_))));
}

#[test]
fn a_corrupt_journal_is_set_aside_whole_and_goes_on_before_the_fault_with_what_the_peer_sends() {
    let disk = ModelDisk::new(20);
    let (journal, end) = stored(&disk, 40);
    let corruption = |reader: JournalReader| match reader.read_after(Sequence(0), 1 << 20) {
        Err(JournalError::Corrupt(corruption)) => corruption,
        other => panic!("not told as corruption: {other:?}"),
    };
    disk.edit("00000000000000000001.journal", |content| content[4096 + 2000] ^= 1);
    let corruption = corruption(journal.reader());
    drop(journal);
    set_aside(&disk.disk(), &limits(), &corruption).expect("set aside");
    disk.crash();
    let (mut journal, recovered) = open(&disk);
    assert_eq!((recovered.end.sequence.next(), recovered.torn), (corruption.sequence, None));
    let kept = disk.disk().list().expect("listed").iter().filter(|name| name.ends_with(".damaged")).count();
    assert!(kept > 3, "every segment from the damaged one on is kept");
    assert_eq!(store(&mut journal, 1, 40 - recovered.end.sequence.0).expect("stored"), end);
}

#[test]
fn a_spare_that_could_not_be_finished_takes_no_space() {
    let disk = ModelDisk::new(21);
    let (journal, _) = stored(&disk, 1);
    disk.set_faults(Faults { sync_fails_at: Some(1), ..Faults::default() });
    journal.prepare_next().expect_err("the disk refuses");
    assert_eq!(disk.disk().list().expect("listed"), ["00000000000000000001.journal"]);
    assert!(journal.prepare_next().expect("a failed spare is nobody's data"));
}

#[test]
fn the_journal_of_another_disk_is_refused_by_name() {
    let disk = ModelDisk::new(13);
    drop(open(&disk));
    let error = Journal::open(disk.disk(), limits(), DataId([8; 16])).expect_err("foreign").to_string();
    assert!(error.contains("carries data id 07070707") && error.contains("expected 08080808"), "{error}");
}

#[test]
fn a_scan_shows_every_record_without_changing_a_file() {
    let disk = ModelDisk::new(14);
    let (_journal, stored) = stored(&disk, 40);
    disk.set_faults(Faults { read_only: true, ..Faults::default() });
    let mut seen = Vec::new();
    let scanned = scan(&disk.disk(), Sequence(10), |position, _| {
        seen.push(position.sequence.0);
        ControlFlow::Continue(())
    });
    let scanned = scanned.expect("readable").expect("a journal is there");
    assert_eq!((scanned.data_id, scanned.start, scanned.end), (DATA_ID, Position::GENESIS, stored));
    assert_eq!(seen, (11..=40).collect::<Vec<_>>());
}

#[test]
fn a_tail_is_saved_line_by_line_before_it_is_cut() {
    let (disk, lost) = (ModelDisk::new(15), ModelDisk::new(16));
    let (mut journal, common) = stored(&disk, 20);
    store(&mut journal, 2, 2).expect("stored");
    let told =
        Response { status: Status::Ok, code: String::new(), text_ja: "済".into(), text_en: "done".into(), body: "{}".into() };
    let mut last = entry(23, 100);
    last.record.response = postcard::to_stdvec(&told).expect("text");
    let sealed = seal(&journal.end(), Epoch(2), last).expect("it is short");
    journal.append(&[Arc::new(sealed)]).expect("written");
    let end = journal.sync().expect("stored");
    let saved = save_tail::<Member>(&lost.disk(), ServerId::B, &journal.reader(), common).expect("saved").expect("a tail");
    lost.crash();
    let name = saved.file.file_name().and_then(|name| name.to_str()).expect("text").to_owned();
    let mut text = String::new();
    lost.edit(&name, |content| text = String::from_utf8(content.clone()).expect("text"));
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((saved.entries, lines.len()), (3, 3));
    assert_eq!((&lines[0]["sequence"], &lines[0]["server"]), (&21.into(), &"b".into()));
    assert_eq!(lines[2]["images"][0]["Put"]["number"], 23);
    assert_eq!((&lines[1]["response"], &lines[2]["response"]["text_ja"]), (&"{\"done\":true}".into(), &"済".into()));
    assert_eq!(save_tail::<Member>(&lost.disk(), ServerId::B, &journal.reader(), end).expect("no tail"), None);
}

#[test]
fn limits_under_which_a_record_might_not_fit_a_segment_are_refused() {
    let refused = |limits| Journal::open(ModelDisk::new(17).disk(), limits, DATA_ID).expect_err("refused").to_string();
    let error = refused(Limits { segment_bytes: 6000, ..limits() });
    assert_eq!(error, "journal limits: segment_bytes must be between 6208 and 4 GiB");
    let error = refused(Limits { payload_max: 2 << 20, ..Limits::default() });
    assert_eq!(error, "journal limits: payload_max exceeds 1048576");
    assert!(Limits::default().check().is_ok());
}

#[test]
#[should_panic(expected = "cannot append 1/7 ")]
fn a_batch_that_does_not_continue_the_journal_is_never_written() {
    let disk = ModelDisk::new(18);
    let (mut journal, end) = stored(&disk, 5);
    let _ = journal.append(&batch(end, 1, 3)[1..]);
}

#[test]
fn only_a_released_or_unknown_record_is_refused_to_a_reader() {
    let disk = ModelDisk::new(19);
    let (journal, _) = stored(&disk, 5);
    let reader = journal.reader();
    assert!(reader.read_after(Sequence(5), 100).expect("the end").is_empty());
    assert!(matches!(reader.read_after(Sequence(6), 100), Err(JournalError::Released { .. })));
    assert_eq!(reader.read_after(Sequence(0), 0).expect("one at least").len(), 1);
}
