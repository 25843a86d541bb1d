//! ReplicationSender: a run of the stream, from the comparison of both journals to what the peer has stored.

use std::collections::VecDeque;
use std::sync::Arc;

use duplex::actors::replication_sender::JournalHistory;
use duplex::config::limits;
use duplex::journal::unseal;
use duplex::machines::failover::{Event, TellPeer};
use duplex::machines::stream::{Opening, opening};
use duplex::model::{Epoch, Holder, Position, Sequence, StreamNo};
use duplex::wire::frames::{LinkRefusal, ToHolder, ToPeer, WireRecord};

use crate::account::Account;
use crate::network::{Frame, LinkNo};
use crate::oracle::Breach;
use crate::world::World;
use crate::writer::Job;

mod pump;

pub struct Run {
    stream: StreamNo,
    pub epoch: Epoch,
    pub holder: Holder,
    /// Nothing was numbered in it yet.
    fresh: bool,
    end: Position,
    orders: VecDeque<TellPeer>,
    level_at: Option<Sequence>,
    phase: Phase,
    confirmed_told: Sequence,
    last_frame: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// JournalWriter closes the hand-overs of the run before.
    Settling,
    Apart {
        until: u64,
    },
    /// Its own disk must have this, before a link is made or before the comparison with the peer's position goes on.
    Storing {
        through: Sequence,
        link: Option<(LinkNo, Position)>,
    },
    Opening {
        link: LinkNo,
        until: u64,
    },
    Fetching {
        link: LinkNo,
        peer: Position,
        until: u64,
    },
    Beginning {
        link: LinkNo,
        after: Position,
        until: u64,
    },
    Open {
        link: LinkNo,
        sent: Position,
    },
}

impl Run {
    fn link(&self) -> Option<LinkNo> {
        match self.phase {
            Phase::Settling | Phase::Apart { .. } | Phase::Storing { link: None, .. } => None,
            Phase::Storing { link: Some((link, _)), .. }
            | Phase::Opening { link, .. }
            | Phase::Fetching { link, .. }
            | Phase::Beginning { link, .. }
            | Phase::Open { link, .. } => Some(link),
        }
    }
}

impl World {
    pub fn begin_run(&mut self, index: usize, epoch: Epoch, holder: Holder) {
        self.end_run(index);
        self.cease_updating(index);
        // A number that no earlier run of either server has used.
        let stream = StreamNo((self.now << 12) + (self.dice.roll(2_048) << 1) + index as u64);
        let Some(process) = self.servers[index].process.as_mut() else { return };
        process.sender = Some(Run {
            stream,
            epoch,
            holder,
            fresh: matches!(holder, Holder::Pair { .. }),
            end: Position::GENESIS,
            orders: VecDeque::new(),
            level_at: None,
            phase: Phase::Settling,
            confirmed_told: Sequence(0),
            last_frame: 0,
        });
        process.writer.wants(Job::Begin { stream, link: None });
    }

    pub fn continue_run(&mut self, index: usize, epoch: Epoch, holder: Holder) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let Some(run) = &mut process.sender else { return };
        (run.epoch, run.holder, run.level_at) = (epoch, holder, None);
        self.enter_epoch(index, epoch);
    }

    pub fn cease_run(&mut self, index: usize) {
        self.end_run(index);
        self.cease_updating(index);
    }

    pub fn end_run(&mut self, index: usize) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let link = process.sender.take().and_then(|run| run.link());
        process.storage.board.set_peer_stored(Sequence(0));
        if let Some(link) = link {
            self.close(index, link);
        }
    }

    /// Its task is gone with its link; whether there was a run to begin anew.
    pub fn sender_reborn(&mut self, index: usize) -> bool {
        let Some(process) = self.servers[index].process.as_mut() else { return false };
        let Some(run) = process.sender.take() else { return false };
        if let Some(link) = run.link() {
            self.close(index, link);
        }
        true
    }

    pub fn watch_level(&mut self, index: usize, mark: Sequence) {
        if let Some(run) = self.run(index) {
            run.level_at = Some(mark);
        }
    }

    pub fn tell_follower(&mut self, index: usize, tell: TellPeer) {
        if let Some(run) = self.run(index) {
            run.orders.push_back(tell);
        }
    }

    fn run(&mut self, index: usize) -> Option<&mut Run> {
        self.servers[index].process.as_mut().and_then(|process| process.sender.as_mut())
    }

    /// The journal is settled: where it ends is where this run begins.
    pub fn settled(&mut self, index: usize, stream: StreamNo, end: Position) {
        let now = self.now;
        let Some(run) = self.run(index).filter(|run| run.stream == stream) else { return };
        (run.end, run.phase) = (end, Phase::Apart { until: now });
        if !run.fresh {
            let epoch = run.epoch;
            self.start_updating(index, stream, epoch, end);
        }
    }

    /// What a run does next, if it is time for it.
    pub fn pump(&mut self, index: usize) {
        let now = self.now;
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let stored = process.storage.board.stored();
        let tail_end = process.storage.tail.end();
        let Some(run) = process.sender.as_mut() else { return };
        match run.phase {
            Phase::Apart { until } if now >= until => {
                if run.fresh {
                    run.end = tail_end;
                    run.phase = Phase::Storing { through: run.end.sequence, link: None };
                    return self.pump(index);
                }
                self.open_link(index);
            }
            Phase::Storing { through, link } if stored >= through => match link {
                None => self.open_link(index),
                Some((link, peer)) => self.compare(index, link, peer),
            },
            Phase::Opening { until, .. } | Phase::Fetching { until, .. } | Phase::Beginning { until, .. } if now >= until => {
                self.run_is_apart(index);
            }
            Phase::Open { link, .. } => self.send_what_is_there(index, link),
            _ => {}
        }
    }

    fn run_is_apart(&mut self, index: usize) {
        let until = self.now + limits::STREAM_RETRY.as_millis() as u64;
        let Some(run) = self.run(index) else { return };
        let (link, was_open) = (run.link(), matches!(run.phase, Phase::Open { .. }));
        run.phase = Phase::Apart { until };
        if let Some(link) = link {
            self.close(index, link);
        }
        if was_open {
            if let Some(process) = &self.servers[index].process {
                process.storage.board.set_peer_stored(Sequence(0));
            }
            self.event(index, Event::StreamLost);
        }
    }

    fn open_link(&mut self, index: usize) {
        if !self.can_connect(index) {
            return self.run_is_apart(index);
        }
        let link = self.connect();
        let until = self.now + limits::STREAM_STEP_LIMIT.as_millis() as u64;
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let end = process.writer.reader().stored();
        let Some(run) = process.sender.as_mut() else { return };
        run.phase = Phase::Opening { link, until };
        let open = ToPeer::Open { stream: run.stream, epoch: run.epoch, holder: run.holder, end };
        self.send(index, link, Frame::ToPeer(open));
    }

    /// The holder's decision about the end of the peer's journal.
    fn compare(&mut self, index: usize, link: LinkNo, peer: Position) {
        let until = self.now + limits::STREAM_STEP_LIMIT.as_millis() as u64;
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let numbered = process.storage.tail.end().sequence;
        let history = JournalHistory { reader: process.writer.reader(), numbered };
        let Some(run) = process.sender.as_mut() else { return };
        let Ok(opening) = opening(&history, run.holder, run.fresh, peer) else { return self.run_is_apart(index) };
        let stream = run.stream;
        let frame = match opening {
            Opening::Impossible => {
                self.breach_of(Breach::new("P2", format!("two journals part where they must not: at {peer}")));
                return self.run_is_apart(index);
            }
            Opening::Store { through } => return run.phase = Phase::Storing { through, link: Some((link, peer)) },
            Opening::Fetch { after } => {
                run.phase = Phase::Fetching { link, peer, until };
                run.end = after;
                ToPeer::Fetch { stream, after }
            }
            Opening::Begin { after } => {
                run.phase = Phase::Beginning { link, after, until };
                ToPeer::Begin { stream, after }
            }
        };
        self.send(index, link, Frame::ToPeer(frame));
    }

    pub fn hear_follower(&mut self, index: usize, link: LinkNo, frame: ToHolder) {
        let Some(run) = self.run(index).filter(|run| run.link() == Some(link)) else { return };
        match (run.phase, frame) {
            (Phase::Opening { .. }, ToHolder::Opened { end, .. }) => self.compare(index, link, end),
            (Phase::Beginning { .. }, ToHolder::Differs { mine, .. }) => self.compare(index, link, mine),
            (Phase::Beginning { after, .. }, ToHolder::Begun { .. }) => self.stream_is_open(index, link, after),
            (Phase::Fetching { peer, .. }, ToHolder::Fetched { records, last, .. }) => {
                self.take_over(index, link, peer, records, last);
            }
            (Phase::Open { .. }, ToHolder::Stored { stream, frame, stored, .. }) if stream == run.stream => {
                self.peer_stored(index, frame, stored);
            }
            (Phase::Open { .. }, ToHolder::Intended { register, .. }) => self.event(index, Event::PeerIntended(register)),
            (_, ToHolder::Refused { why, .. }) => self.refused(index, &why),
            _ => self.run_is_apart(index),
        }
    }

    fn refused(&mut self, index: usize, why: &LinkRefusal) {
        if matches!(why, LinkRefusal::CannotCut { .. } | LinkRefusal::DigestDiffers { .. } | LinkRefusal::Gap { .. }) {
            self.breach_of(Breach::new("P2", format!("a stream is refused: {why}")));
        }
        self.run_is_apart(index);
    }

    /// Both journals hold the same up to `after`.
    fn stream_is_open(&mut self, index: usize, link: LinkNo, after: Position) {
        let now = self.moment();
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let board = &process.storage.board;
        board.set_peer_stored(after.sequence);
        board.raise_confirmed(after.sequence);
        process.storage.gate.pass(now);
        let Some(run) = process.sender.as_mut() else { return };
        run.phase = Phase::Open { link, sent: after };
        (run.confirmed_told, run.last_frame) = (Sequence(0), now.0);
        let (fresh, stream, epoch, end) = (std::mem::take(&mut run.fresh), run.stream, run.epoch, run.end);
        if fresh {
            self.start_updating(index, stream, epoch, end);
        }
        self.event(index, Event::Compared);
    }

    /// The peer had synced entries that this server lost in its restart: they come back.
    fn take_over(&mut self, index: usize, link: LinkNo, peer: Position, records: Vec<WireRecord>, last: bool) {
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let Some(run) = process.sender.as_mut() else { return };
        let mut batch = Vec::with_capacity(records.len());
        for record in records {
            let Ok(sealed) = unseal::<Account>(&run.end, record.epoch, record.sequence, record.payload) else {
                return self.run_is_apart(index);
            };
            run.end = sealed.position;
            batch.push(Arc::new(sealed));
        }
        process.storage.ids.insert_all(batch.iter().map(|entry| (entry.fingerprint, entry.position.sequence)));
        if !process.storage.tail.append(run.stream, &batch) {
            return self.run_is_apart(index);
        }
        if last {
            run.phase = Phase::Storing { through: run.end.sequence, link: Some((link, peer)) };
        }
    }

    /// The peer's word counts only if its digest is our own.
    fn peer_stored(&mut self, index: usize, frame: u64, stored: Position) {
        let now = self.moment();
        let Some(process) = self.servers[index].process.as_mut() else { return };
        if stored.sequence > process.storage.board.peer_stored() {
            if process.position_at(stored.sequence) != Some(stored) {
                return self.refused(index, &LinkRefusal::DigestDiffers { at: stored.sequence });
            }
            process.storage.board.set_peer_stored(stored.sequence);
        }
        process.storage.board.set_frames_arrived(frame);
        process.storage.gate.pass(now);
        let (executed, stored) = (process.storage.board.executed(), process.storage.board.peer_stored());
        let Some(run) = process.sender.as_mut().filter(|run| matches!(run.holder, Holder::Solo { .. })) else { return };
        match run.level_at {
            Some(mark) if stored >= mark => {
                run.level_at = None;
                self.level(index, mark);
            }
            Some(_) => {}
            None if executed.0.saturating_sub(stored.0) <= limits::NEAR_ENTRIES => self.near(index),
            None => {}
        }
    }

    pub fn holder_lost_its_link(&mut self, index: usize, link: LinkNo) {
        if self.run(index).is_some_and(|run| run.link() == Some(link)) {
            self.run_is_apart(index);
        }
    }
}
