//! A disk in memory that keeps only what was synced, for tests and the simulator: crash it, and every write and every change of a
//! name since the last sync is kept, dropped or (writes) torn at 512-byte sectors, each by itself, as a seed decides.
//! It also refuses: the n-th sync, a write in its middle, any operation from a chosen one on, reads, space.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::files::{Disk, DiskFile, Files, Lock};
use super::segments::locked;

/// What a disk writes at once, or not at all.
const SECTOR: usize = 512;

/// What goes wrong; all counts are of operations from now on, the next one being 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The power goes at the n-th operation that changes anything; nothing works until [`ModelDisk::crash`].
    pub power_cut_at: Option<u64>,
    /// The n-th fdatasync of a file fails; what it should have made durable never will be, though reads still show it.
    pub sync_fails_at: Option<u64>,
    /// The n-th write to a file stops after so many bytes, with an I/O error.
    pub write_torn_at: Option<(u64, usize)>,
    pub no_space: bool,
    pub read_only: bool,
    pub reads_fail: bool,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    renamings: Vec<NameChange>,
    faults: Faults,
    changes: u64,
    powered_off: bool,
    random: u64,
}

#[derive(Debug, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Added { name: String, inode: usize },
    Moved { from: String, to: String, inode: usize },
    Removed { name: String },
}

impl NameChange {
    fn perform(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Added { name, inode } => {
                names.insert(name, inode);
            }
            Self::Moved { from, to, inode } => {
                names.remove(&from);
                names.insert(to, inode);
            }
            Self::Removed { name } => {
                names.remove(&name);
            }
        }
    }
}

/// The handle that a test keeps; [`ModelDisk::disk`] is what the journal gets.
#[derive(Clone, Debug)]
pub struct ModelDisk {
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

impl ModelDisk {
    pub fn new(seed: u64) -> Self {
        let state = State { random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), path: PathBuf::from("model") }
    }

    pub fn disk(&self) -> Disk {
        Arc::new(self.clone())
    }

    /// Replaces the faults to come; counting begins again.
    pub fn set_faults(&self, faults: Faults) {
        let mut state = locked(&self.state);
        state.faults = faults;
        state.changes = 0;
    }

    /// Operations that changed anything since the faults were set.
    pub fn changes(&self) -> u64 {
        locked(&self.state).changes
    }

    /// The power went and is back: only what a disk may have kept is there. The faults are over.
    pub fn crash(&self) {
        let mut state = locked(&self.state);
        let State { inodes, names, durable_names, renamings, random, .. } = &mut *state;
        for inode in inodes.iter_mut() {
            for (offset, bytes) in std::mem::take(&mut inode.unsynced) {
                keep_part(&mut inode.durable, offset, &bytes, random);
            }
            inode.content.clone_from(&inode.durable);
        }
        for change in std::mem::take(renamings) {
            if draw(random).is_multiple_of(2) {
                change.perform(durable_names);
            }
        }
        names.clone_from(durable_names);
        state.faults = Faults::default();
        state.changes = 0;
        state.powered_off = false;
    }

    /// The whole content of a file as readers see it, to damage it or look at it.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = locked(&self.state);
        let Some(&inode) = state.names.get(name) else { return };
        let inode = &mut state.inodes[inode];
        change(&mut inode.content);
        inode.durable.clone_from(&inode.content);
        inode.unsynced.clear();
    }
}

/// Keeps the write, drops it, or keeps some of its sectors.
fn keep_part(durable: &mut Vec<u8>, offset: usize, bytes: &[u8], random: &mut u64) {
    let fate = draw(random) % 3;
    let end = offset + bytes.len();
    if durable.len() < end {
        durable.resize(end, 0);
    }
    let mut at = offset;
    while at < end {
        let next = ((at / SECTOR + 1) * SECTOR).min(end);
        if fate == 0 || (fate == 1 && draw(random).is_multiple_of(2)) {
            durable[at..next].copy_from_slice(&bytes[at - offset..next - offset]);
        }
        at = next;
    }
}

/// xorshift64*: a seed must give the same faults on every machine.
fn draw(random: &mut u64) -> u64 {
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
}

impl State {
    /// Counts a change; an error means that the power has gone, and `true` that the change still happened at that moment.
    fn change(&mut self) -> io::Result<()> {
        if self.powered_off {
            return Err(power_gone());
        }
        if self.faults.read_only {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        self.changes += 1;
        Ok(())
    }

    /// Called after a change was performed: the one at which the power goes has happened or not, but nobody hears of it.
    fn power(&mut self) -> io::Result<()> {
        if self.faults.power_cut_at == Some(self.changes) {
            self.powered_off = true;
            return Err(power_gone());
        }
        Ok(())
    }

    /// Whether the operation at which the power goes is lost altogether.
    fn lost_to_power_cut(&mut self) -> bool {
        self.faults.power_cut_at == Some(self.changes) && draw(&mut self.random).is_multiple_of(2)
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename(&mut self, change: NameChange) -> io::Result<()> {
        self.change()?;
        if !self.lost_to_power_cut() {
            change.clone().perform(&mut self.names);
            self.renamings.push(change);
        }
        self.power()
    }

    fn write(&mut self, inode: usize, bytes: &[u8], offset: usize) -> io::Result<()> {
        self.change()?;
        let (written, result) = match &mut self.faults.write_torn_at {
            Some((1, after)) => (*after, Err(io::Error::from_raw_os_error(5))),
            Some((n, _)) => {
                *n -= 1;
                (bytes.len(), Ok(()))
            }
            None => (bytes.len(), Ok(())),
        };
        let bytes = &bytes[..written.min(bytes.len())];
        let inode = &mut self.inodes[inode];
        if inode.content.len() < offset + bytes.len() {
            inode.content.resize(offset + bytes.len(), 0);
        }
        inode.content[offset..offset + bytes.len()].copy_from_slice(bytes);
        inode.unsynced.push((offset, bytes.to_vec()));
        self.power()?;
        result
    }

    fn sync(&mut self, inode: usize) -> io::Result<()> {
        self.change()?;
        let fails = match &mut self.faults.sync_fails_at {
            Some(n) => {
                *n = n.wrapping_sub(1);
                *n == 0
            }
            None => false,
        };
        if fails {
            // As Linux does: the pages are marked clean, so that the next sync succeeds and stores nothing of them.
            self.inodes[inode].unsynced.clear();
            return Err(io::Error::from_raw_os_error(5));
        }
        if !self.lost_to_power_cut() {
            let inode = &mut self.inodes[inode];
            for (offset, bytes) in inode.unsynced.drain(..) {
                if inode.durable.len() < offset + bytes.len() {
                    inode.durable.resize(offset + bytes.len(), 0);
                }
                inode.durable[offset..offset + bytes.len()].copy_from_slice(&bytes);
            }
        }
        self.power()
    }
}

fn power_gone() -> io::Error {
    io::Error::other("the power is off")
}

impl Files for ModelDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> io::Result<Lock> {
        Ok(Lock::unneeded())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(locked(&self.state).names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = locked(&self.state).inode(name)?;
        Ok(Arc::new(ModelFile { state: Arc::clone(&self.state), inode }))
    }

    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open(name)
    }

    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = locked(&self.state);
        if state.faults.no_space && size > 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.rename(NameChange::Added { name: name.to_owned(), inode })?;
        let zeros = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        state.write(inode, &zeros, 0)?;
        Ok(Arc::new(ModelFile { state: Arc::clone(&self.state), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = locked(&self.state);
        let inode = state.inode(from)?;
        state.rename(NameChange::Moved { from: from.to_owned(), to: to.to_owned(), inode })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.inode(name)?;
        state.rename(NameChange::Removed { name: name.to_owned() })
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.change()?;
        if !state.lost_to_power_cut() {
            let State { durable_names, renamings, .. } = &mut *state;
            renamings.drain(..).for_each(|change| change.perform(durable_names));
        }
        state.power()
    }
}

#[derive(Debug)]
struct ModelFile {
    state: Arc<Mutex<State>>,
    inode: usize,
}

impl DiskFile for ModelFile {
    fn size(&self) -> io::Result<u64> {
        Ok(locked(&self.state).inodes[self.inode].content.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = locked(&self.state);
        if state.faults.reads_fail {
            return Err(io::Error::from_raw_os_error(5));
        }
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let content = state.inodes[self.inode].content.get(from..).unwrap_or_default();
        let read = content.len().min(buffer.len());
        buffer[..read].copy_from_slice(&content[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        locked(&self.state).write(self.inode, bytes, from)
    }

    fn sync_data(&self) -> io::Result<()> {
        locked(&self.state).sync(self.inode)
    }
}
