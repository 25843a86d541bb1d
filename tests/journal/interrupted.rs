//! What happens in the middle of a reading or a preparation, put there on purpose: at one operation of the disk.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use duplex::journal::files::Lock;
use duplex::journal::model_disk::ModelDisk;
use duplex::journal::{Disk, DiskFile, Files, Journal, scan};
use duplex::model::{Position, Sequence};

use super::{DATA_ID, limits, positions, store};

/// What is done once, before the next operation of its kind.
type Meanwhile = Arc<Mutex<Option<(Kind, Box<dyn FnOnce() + Send>)>>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Rename,
}

/// A disk with something that happens meanwhile.
#[derive(Clone)]
struct Interrupted {
    disk: Disk,
    meanwhile: Meanwhile,
}

struct InterruptedFile {
    file: Arc<dyn DiskFile>,
    meanwhile: Meanwhile,
}

impl Interrupted {
    fn new() -> Self {
        Self { disk: ModelDisk::new(30).disk(), meanwhile: Meanwhile::default() }
    }

    fn open(&self) -> Journal {
        Journal::open(Arc::new(self.clone()), limits(), DATA_ID).expect("the journal opens").0
    }

    fn before_the_next(&self, kind: Kind, act: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some((kind, Box::new(act)));
    }

    fn file(&self, file: io::Result<Arc<dyn DiskFile>>) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(InterruptedFile { file: file?, meanwhile: Arc::clone(&self.meanwhile) }))
    }

    /// Before the reading after so many others.
    fn before_reading(&self, number: u32, act: impl FnOnce() + Send + 'static) {
        let disk = self.clone();
        match number.checked_sub(1) {
            None => self.before_the_next(Kind::Read, act),
            Some(left) => self.before_the_next(Kind::Read, move || disk.before_reading(left, act)),
        }
    }
}

fn happen(meanwhile: &Meanwhile, kind: Kind) {
    // Taken out first: what happens uses the disk as well.
    let act = meanwhile.lock().unwrap().take_if(|(wanted, _)| *wanted == kind);
    if let Some((_, act)) = act {
        act();
    }
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl fmt::Debug for InterruptedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl Files for Interrupted {
    fn path(&self) -> &Path {
        self.disk.path()
    }

    fn lock(&self) -> io::Result<Lock> {
        self.disk.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.file(self.disk.open(name))
    }

    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.file(self.disk.open_to_read(name))
    }

    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.file(self.disk.create(name, size))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        happen(&self.meanwhile, Kind::Rename);
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_directory()
    }
}

impl DiskFile for InterruptedFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        happen(&self.meanwhile, Kind::Read);
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Reads from the beginning while, at the first look into a file, the journal is cut to its third record and `count` follow.
fn read_while_cut(count: u64) -> (Vec<Position>, Vec<Position>) {
    let disk = Interrupted::new();
    let mut journal = disk.open();
    store(&mut journal, 1, 40).expect("stored");
    let (reader, before) = (journal.reader(), positions(&journal.reader()));
    let to = before[&3];
    disk.before_the_next(Kind::Read, move || {
        journal.cut(to).expect("cut");
        store(&mut journal, 2, count).expect("stored");
    });
    let read = reader.read_after(Sequence(0), 1 << 20).expect("nothing is corrupt");
    (read.into_iter().map(|record| record.position).collect(), before.into_values().skip(1).collect())
}

#[test]
fn a_cut_in_the_middle_of_a_reading_ends_it() {
    let (read, before) = read_while_cut(0);
    assert!(read.len() > 3 && read[..] == before[..read.len()], "one history, as far as its first segment: {read:?}");
}

#[test]
fn a_reading_never_goes_over_from_a_history_that_was_cut_to_the_one_that_followed() {
    let (read, before) = read_while_cut(40);
    assert!(read.len() > 3 && read[..] == before[..read.len()], "{read:?}");
}

#[test]
fn a_segment_that_an_earlier_life_still_prepares_is_none_of_the_present_one() {
    let disk = Interrupted::new();
    let earlier = disk.open();
    let preparer = earlier.preparer();
    drop(earlier);
    let mut journal = disk.open();
    disk.before_the_next(Kind::Rename, move || {
        preparer.prepare_next().expect("nobody is in its way");
    });
    let end = store(&mut journal, 1, 40).expect("rolled over into segments of its own");
    drop(journal);
    assert_eq!(disk.open().end(), end);
}

/// An audit of a server at work: what is written between two looks is no proof that something before it is gone.
#[test]
fn records_that_come_in_the_middle_of_a_scan_are_not_taken_for_a_loss() {
    // One file, which takes far fewer looks.
    for looks in 0..8 {
        let disk = Interrupted::new();
        let mut journal = disk.open();
        store(&mut journal, 1, 3).expect("stored");
        disk.before_reading(looks, move || {
            // The second one says that the first had been stored.
            for _ in 0..2 {
                store(&mut journal, 1, 1).expect("stored");
            }
        });
        let scanned = scan(&(Arc::new(disk.clone()) as Disk), Sequence(0), |_, _| ControlFlow::Continue(()));
        let scanned = scanned.unwrap_or_else(|error| panic!("after {looks} looks: {error}")).expect("a journal is there");
        assert!(scanned.end.sequence >= Sequence(3), "after {looks} looks: {scanned:?}");
    }
}
