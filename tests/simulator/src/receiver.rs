//! ReplicationReceiver: takes the holder's stream, and says what is stored of it.

use std::collections::VecDeque;
use std::sync::Arc;

use duplex::actors::replication_sender::JournalHistory;
use duplex::journal::unseal;
use duplex::machines::failover::{Event, StreamVerdict, TellPeer};
use duplex::machines::stream::{Beginning, beginning};
use duplex::model::{Position, Sequence, StreamNo};
use duplex::wire::frames::{LinkRefusal, ToHolder, ToPeer, WireRecord};

use crate::account::Account;
use crate::network::{Frame, LinkNo};
use crate::planted::Planted;
use crate::world::World;
use crate::writer::Job;

#[derive(Default)]
pub struct Receiver {
    admits: bool,
    taken: Option<Taken>,
}

struct Taken {
    link: LinkNo,
    stream: StreamNo,
    may_cut: bool,
    /// Where the last entry received ends.
    end: Position,
    begun: bool,
    /// The newest frame that has arrived.
    frame: u64,
    asked: bool,
    acknowledged: Sequence,
    orders: VecDeque<TellPeer>,
}

/// Bytes of entries in one frame of what the holder takes over.
const FETCHED_BYTES: usize = 8 * 1024;

impl World {
    pub fn take_frame(&mut self, index: usize, link: LinkNo, frame: Frame) {
        match frame {
            Frame::ToHolder(frame) => self.hear_follower(index, link, frame),
            Frame::ToPeer(ToPeer::Open { stream, epoch, holder, .. }) => {
                self.drop_taken(index);
                let Some(process) = self.servers[index].process.as_mut() else { return };
                if !process.receiver.admits {
                    return self.refuse(index, link, stream, LinkRefusal::NotNow);
                }
                process.receiver.taken = Some(Taken {
                    link,
                    stream,
                    may_cut: false,
                    end: Position::GENESIS,
                    begun: false,
                    frame: 0,
                    asked: false,
                    acknowledged: Sequence(0),
                    orders: VecDeque::new(),
                });
                process.coordinator.judged = Some(link);
                self.event(index, Event::StreamWanted { epoch, holder });
            }
            Frame::ToPeer(frame) => self.hear_holder(index, link, frame),
        }
    }

    pub fn lose_link(&mut self, index: usize, link: LinkNo) {
        self.holder_lost_its_link(index, link);
        if self.taken(index, link).is_some() {
            self.drop_taken(index);
        }
    }

    pub fn admit(&mut self, index: usize, admits: bool) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        process.receiver.admits = admits;
        if !admits && let Some(link) = process.receiver.taken.as_ref().map(|taken| taken.link) {
            self.drop_taken(index);
            self.close(index, link);
        }
    }

    /// The word of FailoverCoordinator to the other server.
    pub fn pass_on(&mut self, index: usize, tell: TellPeer) {
        match tell {
            TellPeer::Intend(_) | TellPeer::Enter(_) => self.tell_follower(index, tell),
            TellPeer::Intended(_) => {
                let Some(process) = self.servers[index].process.as_mut() else { return };
                if let Some(taken) = &mut process.receiver.taken {
                    taken.orders.push_back(tell);
                }
            }
        }
    }

    fn taken(&mut self, index: usize, link: LinkNo) -> Option<&mut Taken> {
        let process = self.servers[index].process.as_mut()?;
        process.receiver.taken.as_mut().filter(|taken| taken.link == link)
    }

    fn drop_taken(&mut self, index: usize) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        if process.receiver.taken.take().is_some() {
            process.storage.board.set_told(Sequence(0));
        }
    }

    fn refuse(&mut self, index: usize, link: LinkNo, stream: StreamNo, why: LinkRefusal) {
        if self.taken(index, link).is_some() {
            self.drop_taken(index);
        }
        self.send(index, link, Frame::ToHolder(ToHolder::Refused { stream, why }));
        self.close(index, link);
    }

    pub fn judged(&mut self, index: usize, link: LinkNo, verdict: StreamVerdict) {
        let Some(taken) = self.taken(index, link) else { return };
        let stream = taken.stream;
        match verdict {
            StreamVerdict::AsSub | StreamVerdict::Rejoining => {
                taken.may_cut = verdict == StreamVerdict::Rejoining;
                let Some(process) = self.servers[index].process.as_mut() else { return };
                process.writer.wants(Job::Begin { stream, link: Some(link) });
            }
            StreamVerdict::NotNow => self.refuse(index, link, stream, LinkRefusal::NotNow),
            StreamVerdict::EpochOld { ours } => {
                self.refuse(index, link, stream, LinkRefusal::EpochOld { ours, theirs: duplex::model::Epoch(0) });
            }
        }
    }

    /// JournalWriter has closed the hand-overs of what was before.
    pub fn opened(&mut self, index: usize, link: LinkNo, stream: StreamNo, end: Position) {
        let Some(taken) = self.taken(index, link) else { return };
        taken.end = end;
        self.send(index, link, Frame::ToHolder(ToHolder::Opened { stream, end }));
    }

    fn hear_holder(&mut self, index: usize, link: LinkNo, frame: ToPeer) {
        let now = self.moment();
        let Some(taken) = self.taken(index, link) else { return };
        let ours = taken.stream;
        match frame {
            ToPeer::Entries { stream, frame, confirmed, after, records } if stream == ours && taken.begun => {
                taken.asked |= records.is_empty();
                if let Err(why) = self.take_records(index, link, records, after) {
                    return self.refuse(index, link, stream, why);
                }
                let Some(process) = self.servers[index].process.as_mut() else { return };
                if let Some(taken) = &mut process.receiver.taken {
                    taken.frame = frame;
                }
                process.storage.board.set_told(confirmed);
                process.storage.gate.pass(now);
            }
            ToPeer::Fetch { stream, after } if stream == ours => self.send_beyond(index, link, stream, after),
            ToPeer::Begin { stream, after } if stream == ours => self.begin_at(index, link, after),
            ToPeer::Intend { register, .. } => self.event(index, Event::IntendWanted(register)),
            ToPeer::Enter { register, .. } => self.event(index, Event::EnterWanted(register)),
            ToPeer::Entries { stream, .. } | ToPeer::Fetch { stream, .. } | ToPeer::Begin { stream, .. } => {
                self.refuse(index, link, stream, LinkRefusal::StreamOld { ours, theirs: stream });
            }
            ToPeer::Open { .. } => {}
        }
    }

    fn take_records(&mut self, index: usize, link: LinkNo, records: Vec<WireRecord>, after: Position) -> Result<(), LinkRefusal> {
        let Some(taken) = self.taken(index, link) else { return Ok(()) };
        let (stream, mut end) = (taken.stream, taken.end);
        let mut batch = Vec::with_capacity(records.len());
        for record in records {
            if record.sequence != end.sequence.next() {
                return Err(LinkRefusal::Gap { expected: end.sequence.next(), got: record.sequence });
            }
            let sealed = unseal::<Account>(&end, record.epoch, record.sequence, record.payload);
            let sealed = sealed.map_err(|_| LinkRefusal::FrameDamaged)?;
            end = sealed.position;
            batch.push(Arc::new(sealed));
        }
        if end != after {
            return Err(LinkRefusal::DigestDiffers { at: after.sequence });
        }
        taken.end = end;
        if batch.is_empty() {
            return Ok(());
        }
        let Some(process) = self.servers[index].process.as_mut() else { return Ok(()) };
        let storage = &process.storage;
        storage.ids.insert_all(batch.iter().map(|entry| (entry.fingerprint, entry.position.sequence)));
        if !storage.tail.append(stream, &batch) {
            return Err(LinkRefusal::StreamOld { ours: storage.tail.stream(), theirs: stream });
        }
        storage.board.set_executed(end.sequence);
        Ok(())
    }

    /// A Main that lost what this Sub had synced takes it back from here.
    fn send_beyond(&mut self, index: usize, link: LinkNo, stream: StreamNo, after: Position) {
        let Some(process) = &self.servers[index].process else { return };
        let reader = process.writer.reader();
        if reader.position_at(after.sequence).ok().flatten() != Some(after) {
            return self.refuse(index, link, stream, LinkRefusal::DigestDiffers { at: after.sequence });
        }
        let mut cursor = after.sequence;
        loop {
            let records = reader.read_after(cursor, FETCHED_BYTES).unwrap_or_default();
            cursor = records.last().map_or(cursor, |record| record.position.sequence);
            let last = cursor >= reader.stored().sequence;
            let record = |record: duplex::journal::Record| {
                let Position { epoch, sequence, .. } = record.position;
                WireRecord { epoch, sequence, payload: record.payload }
            };
            let records: Vec<WireRecord> = records.into_iter().map(record).collect();
            let is_empty = records.is_empty();
            self.send(index, link, Frame::ToHolder(ToHolder::Fetched { stream, records, last }));
            if last || is_empty {
                return;
            }
        }
    }

    fn begin_at(&mut self, index: usize, link: LinkNo, after: Position) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let applied = process.storage.board.applied_position();
        let history = JournalHistory { reader: process.writer.reader(), numbered: Sequence(0) };
        let Some(taken) = process.receiver.taken.as_mut() else { return };
        let stream = taken.stream;
        let Ok(beginning) = beginning(&history, taken.may_cut, applied, after) else {
            return self.refuse(index, link, stream, LinkRefusal::Stopping);
        };
        match beginning {
            Beginning::Level => self.begun(index, link, 0),
            Beginning::Differs { mine } => self.send(index, link, Frame::ToHolder(ToHolder::Differs { stream, mine })),
            Beginning::Forked => self.refuse(index, link, stream, LinkRefusal::DigestDiffers { at: after.sequence }),
            Beginning::CannotCut => self.refuse(index, link, stream, LinkRefusal::CannotCut { applied }),
            Beginning::Cut { to } => {
                taken.end = to;
                process.writer.wants(Job::Cut { stream, to, link });
            }
        }
    }

    pub fn begun(&mut self, index: usize, link: LinkNo, tail_saved: u64) {
        let end = self.servers[index].process.as_ref().map(|process| process.writer.reader().stored());
        let (Some(taken), Some(end)) = (self.taken(index, link), end) else { return };
        (taken.end, taken.begun, taken.acknowledged) = (end, true, end.sequence);
        let stream = taken.stream;
        self.send(index, link, Frame::ToHolder(ToHolder::Begun { stream, tail_saved }));
    }

    /// What is stored by now, if that is news or was asked for; and what the coordinator wants said.
    pub fn acknowledge(&mut self, index: usize) {
        let early = self.is_planted(Planted::AcknowledgedBeforeSync);
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let (board, tail_end) = (&process.storage.board, process.storage.tail.end());
        let Some(taken) = process.receiver.taken.as_mut() else { return };
        let (link, stream) = (taken.link, taken.stream);
        let stored = if early { tail_end } else { board.stored_position() };
        let mut frames: Vec<ToHolder> = Vec::new();
        for order in std::mem::take(&mut taken.orders) {
            if let TellPeer::Intended(register) = order {
                frames.push(ToHolder::Intended { stream, register });
            }
        }
        if taken.begun && (taken.asked || stored.sequence > taken.acknowledged) {
            (taken.asked, taken.acknowledged) = (false, stored.sequence);
            frames.push(ToHolder::Stored { stream, frame: taken.frame, stored, applied: board.applied() });
        }
        for frame in frames {
            self.send(index, link, Frame::ToHolder(frame));
        }
    }
}
