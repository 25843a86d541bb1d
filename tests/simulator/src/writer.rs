//! JournalWriter: the real journal on a disk that loses and tears what was not synced. One thing at a time, each as long as a sync.

use std::collections::VecDeque;

use duplex::handover::Slice;
use duplex::journal::{Journal, JournalReader, save_tail};
use duplex::model::{Position, Sequence, StreamNo};

use crate::account::Account;
use crate::network::LinkNo;
use crate::oracle::Breach;
use crate::planted::Planted;
use crate::server::{End, limits};
use crate::world::{News, World, server};

pub struct Writer {
    journal: Journal,
    busy: Option<Busy>,
    jobs: VecDeque<Job>,
    /// Tells what the disk was told by a former life of this actor.
    number: u64,
}

enum Busy {
    /// Written, and being synced.
    Group(Vec<Position>),
    Job(Job),
}

/// What others wait for; nothing is written meanwhile.
#[derive(Clone, Copy, Debug)]
pub enum Job {
    /// A new run of this server's own stream begins, or of the one that came over a link.
    Begin {
        stream: StreamNo,
        link: Option<LinkNo>,
    },
    Cut {
        stream: StreamNo,
        to: Position,
        link: LinkNo,
    },
}

impl Writer {
    pub fn new(journal: Journal) -> Self {
        Self { journal, busy: None, jobs: VecDeque::new(), number: 0 }
    }

    pub fn reader(&self) -> JournalReader {
        self.journal.reader()
    }

    pub fn wants(&mut self, job: Job) {
        self.jobs.push_back(job);
    }
}

impl World {
    fn sync_ms(&mut self, index: usize) -> u64 {
        let (least, most) = self.servers[index].sync_ms;
        self.dice.between(least, most)
    }

    /// Begins whatever is to be done next, if the disk is free.
    pub fn write(&mut self, index: usize) {
        let (now, early) = (self.moment(), self.is_planted(Planted::StoredBeforeSync));
        let own = &mut self.servers[index];
        let Some(process) = own.process.as_mut() else { return };
        let (writer, storage) = (&mut process.writer, &process.storage);
        if writer.busy.is_some() {
            return;
        }
        let mut left: Vec<Position> = Vec::new();
        if let Some(job) = writer.jobs.pop_front() {
            writer.busy = Some(Busy::Job(job));
        } else {
            let after = writer.journal.end().sequence;
            let Slice::Entries(entries) = storage.tail.after(after, Sequence(u64::MAX), 2_048, 4 << 20) else { return };
            let Some(last) = entries.last() else { return };
            storage.board.set_syncing_since(Some(now));
            if writer.journal.append(&entries).is_err() {
                return self.end(index, End::Killed, 1_000);
            }
            if early {
                storage.board.set_stored(last.position);
                storage.gate.pass(now);
            }
            let group: Vec<Position> = entries.iter().map(|entry| entry.position).collect();
            // A segment that was left is synced.
            let stored = writer.journal.stored().sequence;
            left = group.iter().copied().filter(|position| position.sequence <= stored).collect();
            writer.busy = Some(Busy::Group(group));
        }
        writer.number += 1;
        let number = writer.number;
        own.promise(left);
        let ms = self.sync_ms(index);
        self.tell_after(ms, index, News::DiskDone { number });
    }

    pub fn disk_done(&mut self, index: usize, number: u64) {
        let Some(process) = self.servers[index].process.as_mut().filter(|process| process.writer.number == number) else {
            return;
        };
        match process.writer.busy.take() {
            None => {}
            Some(Busy::Group(group)) => self.synced(index, group),
            Some(Busy::Job(Job::Begin { stream, link })) => {
                let Some(end) = self.begin_stream(index, stream) else { return };
                match link {
                    None => self.settled(index, stream, end),
                    Some(link) => self.opened(index, link, stream, end),
                }
            }
            Some(Busy::Job(Job::Cut { stream, to, link })) => self.cut(index, stream, to, link),
        }
    }

    fn synced(&mut self, index: usize, group: Vec<Position>) {
        let now = self.moment();
        let own = &mut self.servers[index];
        let Some(process) = own.process.as_mut() else { return };
        let Ok(stored) = process.writer.journal.sync() else {
            // Never tried again: nobody knows what the disk holds.
            return self.end(index, End::PowerCut, 2_000);
        };
        let storage = &process.storage;
        storage.board.set_syncing_since(None);
        storage.board.set_stored(stored);
        storage.gate.pass(now);
        own.promise(group);
    }

    /// Whatever is queued under an older stream is dropped.
    fn begin_stream(&mut self, index: usize, stream: StreamNo) -> Option<Position> {
        let keeps_queue = self.is_planted(Planted::QueuedOutlivesARun);
        let process = self.servers[index].process.as_mut()?;
        let Ok(mut end) = process.writer.journal.sync() else {
            self.end(index, End::PowerCut, 2_000);
            return None;
        };
        let storage = &process.storage;
        if keeps_queue && storage.tail.end().sequence > end.sequence {
            end = storage.tail.end();
            storage.tail.restart(stream, end);
            return Some(end);
        }
        storage.tail.restart(stream, end);
        storage.ids.cut(end.sequence);
        storage.board.set_stored(end);
        storage.board.lower_confirmed(end.sequence);
        storage.board.set_executed(end.sequence);
        Some(end)
    }

    /// What is cut off must be readable first, and nobody may have been told of it.
    fn cut(&mut self, index: usize, stream: StreamNo, to: Position, link: LinkNo) {
        let own = &mut self.servers[index];
        let Some(process) = own.process.as_mut() else { return };
        let journal = &mut process.writer.journal;
        let saved = save_tail::<Account>(&own.lost_and_found.disk(), server(index), &journal.reader(), to);
        let beyond = journal.end().sequence.0 - to.sequence.0;
        let cut = saved.and_then(|saved| journal.cut(to).map(|()| saved.map_or(0, |saved| saved.entries)));
        // A cut that fails leaves any end between the old one and this.
        own.durable.truncate(to.sequence.0 as usize);
        let Ok(saved) = cut else { return self.end(index, End::Killed, 1_000) };
        self.report.cut += saved;
        if saved != beyond {
            self.breach_of(Breach::new("P6", format!("{beyond} entries were cut, and {saved} saved")));
        }
        if self.begin_stream(index, stream).is_some() {
            self.begun(index, link, saved);
        }
    }

    /// A fresh look at the disk says what is stored.
    pub fn writer_reborn(&mut self, index: usize) -> bool {
        let own = &mut self.servers[index];
        let Some(process) = own.process.as_mut() else { return false };
        let data_id = process.writer.journal.data_id();
        let Ok((journal, _)) = Journal::open(own.journal.disk(), limits(), data_id) else {
            self.end(index, End::Killed, 1_000);
            return false;
        };
        let writer = &mut process.writer;
        (writer.journal, writer.busy, writer.number) = (journal, None, writer.number + 1);
        let stored = writer.journal.stored();
        process.storage.board.set_syncing_since(None);
        process.storage.board.set_stored(stored);
        let held = writer.reader().read_after(Sequence(own.durable.len() as u64), usize::MAX).unwrap_or_default();
        own.promise(held.into_iter().map(|record| record.position));
        true
    }
}
