//! One box: what survives its process (disks, the kernel's addresses), and how a process starts and ends on it.

use duplex::journal::model_disk::{Faults, ModelDisk};
use duplex::journal::{CoordinationFile, Journal, Limits};
use duplex::model::{Coordination, Position, Sequence};

use crate::account::Account;
use crate::oracle::Breach;
use crate::planted::Planted;
use crate::process::Process;
use crate::store::Store;
use crate::world::{Happening, News, World, server};

pub struct Server {
    /// Counts the runs of its process.
    pub run: u64,
    pub journal: ModelDisk,
    pub notes: ModelDisk,
    pub lost_and_found: ModelDisk,
    pub store: Store,
    /// What its journal promises to hold through any crash.
    pub durable: Vec<Position>,
    pub process: Option<Process>,
    /// The next sync fails.
    pub sync_breaks: bool,
    /// How long a sync takes, from and to.
    pub sync_ms: (u64, u64),
    /// The kernel keeps the main address of a process that froze or died until then.
    pub address_until: u64,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What it wrote is in the page cache; the kernel closes its connections.
    Killed,
    /// Only what was synced is there, and nobody is told.
    PowerCut,
}

/// A cheap disk of the shop.
pub const SYNC_MS: (u64, u64) = (1, 4);
/// Small segments roll over often.
const SEGMENT_BYTES: u64 = 32 * 1024;

impl Server {
    pub fn new(first: Coordination, seed: u64) -> Self {
        let notes = ModelDisk::new(seed);
        CoordinationFile::create(notes.disk(), first).expect("the disk is new and well");
        Self {
            run: 0,
            journal: ModelDisk::new(seed ^ 1),
            notes,
            lost_and_found: ModelDisk::new(seed ^ 2),
            store: Store::default(),
            durable: Vec::new(),
            process: None,
            sync_breaks: false,
            sync_ms: SYNC_MS,
            address_until: 0,
        }
    }

    /// Its journal holds these durably from now on.
    pub fn promise(&mut self, stored: impl IntoIterator<Item = Position>) {
        for position in stored {
            if position.sequence.0 as usize == self.durable.len() + 1 {
                self.durable.push(position);
            }
        }
    }

    /// The position that its journal promises at this sequence.
    pub fn holds(&self, sequence: Sequence) -> Option<Position> {
        match sequence.0 {
            0 => Some(Position::GENESIS),
            number => self.durable.get(number as usize - 1).copied(),
        }
    }
}

pub fn limits() -> Limits {
    Limits { segment_bytes: SEGMENT_BYTES, payload_max: 4_096, ..Limits::default() }
}

impl World {
    pub fn start(&mut self, index: usize) {
        if self.servers[index].process.is_some() {
            return;
        }
        let own = &mut self.servers[index];
        own.run += 1;
        let notes = CoordinationFile::open(own.notes.disk());
        let opened = notes.and_then(|notes| {
            let (journal, _) = Journal::open(own.journal.disk(), limits(), notes.current().data_id)?;
            Ok((notes, journal))
        });
        let (notes, journal) = match opened {
            Ok(opened) => opened,
            Err(_) if own.sync_breaks => {
                self.lose_power(index);
                return self.after(1_000, Happening::Start { server: index });
            }
            // A disk keeps what was synced, and a torn end is cut.
            Err(error) => return self.breach_of(Breach::new("P5", format!("{:?} does not start: {error}", server(index)))),
        };
        if let Some(lost) = self.lost_by_the_journal(index, &journal) {
            self.breach_of(Breach::new("P2", format!("{:?} lost {lost} from its disk, which was synced", server(index))));
            return;
        }
        let held = journal.reader().read_after(Sequence(self.servers[index].durable.len() as u64), usize::MAX);
        let held = held.map(|records| records.into_iter().map(|record| record.position).collect::<Vec<_>>());
        self.servers[index].promise(held.unwrap_or_default());
        self.note(|| format!("{:?} starts: {:?}, journal ends at {}", server(index), notes.current(), journal.end()));
        let boot = self.servers[index].run * 2 + index as u64;
        let (process, effects) = Process::new(boot, notes, journal, self.moment());
        self.servers[index].process = Some(process);
        self.rebuild_ids(index);
        self.show_applied(index);
        for (ms, news) in [(0, News::Beat), (1, News::Tick), (100, News::RetryDue), (2_000, News::RefreshDue)] {
            self.tell_after(ms, index, news);
        }
        self.perform_first(index, effects);
        self.settle(index);
    }

    fn lost_by_the_journal(&self, index: usize, journal: &Journal) -> Option<Position> {
        let last = self.servers[index].durable.last()?;
        let is_there = journal.position_at(last.sequence).is_ok_and(|held| held == Some(*last));
        (!is_there).then_some(*last)
    }

    /// What the store has, and then what the journal has beyond.
    fn rebuild_ids(&mut self, index: usize) {
        if self.is_planted(Planted::IdsForgotten) {
            self.servers[index].process.as_ref().expect("just started").storage.ids.set_complete();
            return;
        }
        let own = &self.servers[index];
        let Some(process) = &own.process else { return };
        let ids = &process.storage.ids;
        ids.insert_all(own.store.records().map(|(id, position)| (id, position.sequence)));
        let reader = process.writer.reader();
        for record in reader.read_after(own.store.applied().sequence, usize::MAX).unwrap_or_default() {
            if let Ok(entry) = duplex::journal::digest::decode::<Account>(&record.payload) {
                let id = duplex::journal::fingerprint(&entry.record.terminal_id, &entry.record.command_id);
                ids.insert_absent(id, record.position.sequence);
            }
        }
        ids.set_complete();
    }

    /// The process ends; after a while it may be started again.
    pub fn end(&mut self, index: usize, how: End, restart_after: u64) {
        let Some(process) = self.servers[index].process.take() else { return };
        self.note(|| format!("{:?} ends: {how:?}", server(index)));
        let boot = self.servers[index].run * 2 + index as u64;
        let kernel_lives = how == End::Killed;
        let address_until = process.keeper.kernel_keeps_until();
        self.servers[index].address_until = if kernel_lives { address_until } else { 0 };
        drop(process);
        if kernel_lives {
            self.tell_of_the_death(index, boot);
        } else {
            self.lose_power(index);
        }
        self.end_links_of(index, kernel_lives);
        self.after(restart_after, Happening::Start { server: index });
    }

    /// The life line closes, and a reconnect is refused: if the other one hears of it at all, and nobody has come back before.
    fn tell_of_the_death(&mut self, index: usize, boot: u64) {
        let is_whole = self.network.ways.iter().all(|way| !way.is_cut);
        let stood = self.servers[1 - index].process.as_ref().is_some_and(|process| process.monitor.life == Some(boot));
        if is_whole && stood {
            let delay = 1 + self.dice.roll(20);
            self.tell_after(delay, 1 - index, News::Died { run: boot });
        }
    }

    fn lose_power(&mut self, index: usize) {
        let own = &mut self.servers[index];
        own.sync_breaks = false;
        own.journal.crash();
        own.notes.crash();
        own.lost_and_found.crash();
        let kept = self.dice.roll(own.store.unflushed() as u64 + 1);
        self.servers[index].store.lose_power(kept as usize);
    }

    /// The next sync of its journal fails.
    pub fn break_next_sync(&mut self, index: usize) {
        self.servers[index].sync_breaks = true;
        self.servers[index].journal.set_faults(Faults { sync_fails_at: Some(1), ..Faults::default() });
    }

    pub fn thaw(&mut self, index: usize, run: u64) {
        if self.servers[index].run != run {
            return;
        }
        let Some(process) = self.servers[index].process.as_mut() else { return };
        process.is_frozen = false;
        let (timers, rest): (Vec<News>, Vec<News>) = std::mem::take(&mut process.backlog).into_iter().partition(News::is_timer);
        for news in timers.into_iter().chain(rest) {
            self.hear(index, run, news);
        }
    }

    pub fn breach_of(&mut self, breach: Breach) {
        self.oracle.breach.get_or_insert(breach);
    }
}
