//! The same on a real file system, with threads.

use std::ops::ControlFlow;
use std::thread;

use duplex::journal::{Directory, Journal, JournalError, Limits, scan};
use duplex::model::{Epoch, Position, Sequence, UnixMs};
use tempfile::TempDir;

use super::{DATA_ID, batch, limits, positions, store};

fn open(directory: &TempDir) -> Result<Journal, JournalError> {
    Journal::open(Directory::open(directory.path())?, limits(), DATA_ID).map(|(journal, _)| journal)
}

#[test]
fn a_real_directory_keeps_what_was_stored_through_cut_release_and_reopening() {
    let directory = TempDir::new().expect("a temporary directory");
    let mut journal = open(&directory).expect("opened");
    store(&mut journal, 1, 60).expect("stored");
    let to = journal.position_at(Sequence(50)).expect("readable").expect("held");
    journal.cut(to).expect("cut");
    let end = store(&mut journal, 2, 30).expect("stored");
    journal.release_through(Sequence(40), UnixMs(0)).expect("released");
    let before = positions(&journal.reader());
    drop(journal);
    let journal = open(&directory).expect("opened again");
    assert_eq!((journal.end(), positions(&journal.reader())), (end, before));
}

#[test]
fn a_second_opening_is_refused_while_the_first_lives() {
    let directory = TempDir::new().expect("a temporary directory");
    let journal = open(&directory).expect("opened");
    let error = open(&directory).expect_err("locked").to_string();
    assert!(error.starts_with("cannot lock ") && error.contains("/lock: "), "{error}");
    drop(journal);
    assert!(open(&directory).is_ok());
}

#[test]
fn a_file_made_anew_is_no_longer_reached_by_whoever_has_the_old_one_open() {
    let directory = TempDir::new().expect("a temporary directory");
    let files = Directory::open(directory.path()).expect("it exists");
    let old = files.create("spare-1.new", 512).expect("created");
    let new = files.create("spare-1.new", 512).expect("created again");
    old.write_at(&[7; 512], 0).expect("written");
    let mut read = [1; 512];
    assert_eq!((new.read_at(&mut read, 0).expect("readable"), read), (512, [0; 512]));
}

#[test]
fn a_missing_directory_is_not_taken_for_a_new_server() {
    let error = Directory::open("/nonexistent/journal").expect_err("missing").to_string();
    assert!(error.starts_with("cannot open directory /nonexistent/journal: "), "{error}");
}

/// Whoever repairs it must not be sent to the healthy file behind it.
#[test]
fn damage_in_an_older_segment_is_told_where_it_is() {
    let directory = TempDir::new().expect("a temporary directory");
    let mut journal = open(&directory).expect("opened");
    store(&mut journal, 1, 60).expect("stored");
    drop(journal);
    let mut segments: Vec<_> =
        std::fs::read_dir(directory.path()).expect("readable").map(|entry| entry.expect("readable").path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "journal"));
    segments.sort();
    assert!(segments.len() > 2, "{segments:?}");
    let damaged = &segments[1];
    let mut bytes = std::fs::read(damaged).expect("readable");
    bytes[5000] ^= 4;
    std::fs::write(damaged, &bytes).expect("written");
    let files = Directory::open(directory.path()).expect("it exists");
    let told = scan(&files, Sequence(0), |_, _| ControlFlow::Continue(())).expect_err("damaged").to_string();
    let file = damaged.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(told.contains(file) && !told.contains("byte 0 ") && !told.contains("missing"), "{told}");

    std::fs::remove_file(damaged).expect("removed");
    let told = scan(&files, Sequence(0), |_, _| ControlFlow::Continue(())).expect_err("a gap").to_string();
    assert!(told.contains("records before this segment are missing"), "{told}");
}

/// Reads the whole history from a thread while the writer rolls over, a helper prepares segments and old ones are recycled.
#[test]
fn readers_follow_the_writer_over_recycled_segments_without_a_gap() {
    const LAST: u64 = 3000;
    let directory = TempDir::new().expect("a temporary directory");
    let mut journal = open(&directory).expect("opened");
    let (reader, preparer) = (journal.reader(), journal.preparer());
    let pin = reader.pin(Sequence(0));
    let following = thread::spawn(move || {
        let (mut last, mut pin) = (Position::GENESIS, pin);
        while last.sequence < Sequence(LAST) {
            for record in reader.read_after(last.sequence, 20_000).expect("pinned, so it is held") {
                assert_eq!(record.position.sequence, last.sequence.next());
                last = record.position;
            }
            let next = reader.pin(last.sequence);
            drop(std::mem::replace(&mut pin, next));
            thread::yield_now();
        }
        last
    });
    while journal.end().sequence < Sequence(LAST) {
        let count = (LAST - journal.end().sequence.0).min(7);
        store(&mut journal, 1, count).expect("stored");
        preparer.prepare_next().expect("prepared");
        journal.release_through(journal.stored().sequence, UnixMs(0)).expect("released");
    }
    assert_eq!(following.join().expect("the reader saw no gap"), journal.end());
    assert!(journal.start().sequence > Sequence(0) && journal.last_of_epoch(Epoch(1)).expect("readable").is_some());
    assert_eq!(batch(journal.end(), 1, 1)[0].position.sequence, Sequence(LAST + 1));
}

#[test]
fn a_reader_without_a_pin_is_told_that_records_were_released_and_never_that_they_are_corrupt() {
    let directory = TempDir::new().expect("a temporary directory");
    // Segments of several reads each, so that a reader is often in the middle of one when it goes.
    let long = Limits { segment_bytes: 128 * 1024, ..limits() };
    let files = Directory::open(directory.path()).expect("it exists");
    let (mut journal, _) = Journal::open(files, long, DATA_ID).expect("opened");
    let reader = journal.reader();
    let lagging = thread::spawn(move || {
        while reader.stored().sequence < Sequence(8000) {
            let start = reader.start();
            match reader.read_after(start.sequence, 1 << 20) {
                Ok(records) => assert!(records.first().is_none_or(|first| first.position.sequence == start.sequence.next())),
                Err(error) => assert!(matches!(error, JournalError::Released { .. }), "{error}"),
            }
        }
    });
    while journal.end().sequence < Sequence(8000) {
        store(&mut journal, 1, 60).expect("stored");
        journal.release_through(journal.stored().sequence, UnixMs(i64::MAX)).expect("released");
    }
    lagging.join().expect("never corrupt");
}
