//! An open stream: entries and orders out, acknowledgements in, until the link breaks.

use std::collections::VecDeque;

use tokio::time::{Instant, sleep_until};

use super::{Ended, Run};
use crate::actors::fault;
use crate::actors::replication_sender::StreamNews;
use crate::clock;
use crate::config::limits;
use crate::handover::Slice;
use crate::machines::failover::TellPeer;
use crate::model::{Application, Holder, Position, Sequence, StreamNo};
use crate::telemetry::metrics::Micros;
use crate::wire::frames::{LinkRefusal, ToHolder, ToPeer, WireRecord};
use crate::wire::link::{FrameReceiver, FrameSender};

/// An open stream.
pub(super) struct Open {
    pub sender: FrameSender<ToPeer>,
    pub receiver: FrameReceiver<ToHolder>,
    /// Everything up to here was sent or was there before.
    pub sent: Position,
    pub measures: Measures,
}

/// Moments of batches on their way, to measure how long each stretch takes; bounded, the oldest go unmeasured.
#[derive(Default)]
pub(super) struct Measures {
    flying: VecDeque<(Sequence, std::time::Instant)>,
    confirmed: VecDeque<(Sequence, std::time::Instant)>,
}

impl Measures {
    fn note(marks: &mut VecDeque<(Sequence, std::time::Instant)>, sequence: Sequence) {
        if marks.len() == limits::MEASURED_BATCHES_MAX {
            marks.pop_front();
        }
        marks.push_back((sequence, std::time::Instant::now()));
    }

    fn reached(marks: &mut VecDeque<(Sequence, std::time::Instant)>, through: Sequence, steps: &Micros) {
        while let Some((_, since)) = marks.pop_front_if(|(sequence, _)| *sequence <= through) {
            steps.observe(since.elapsed());
        }
    }
}

impl<A: Application> Run<A> {
    /// Sends and hears until the link breaks.
    pub(super) async fn pump(&self, mut open: Open) -> Ended {
        let mut confirmed_told = Sequence(0);
        let mut last_frame = Instant::now();
        let mut heard = Vec::new();
        loop {
            match self.send_what_is_there(&mut open, &mut confirmed_told).await {
                Ok(true) => last_frame = Instant::now(),
                Ok(false) => {}
                Err(ended) => return ended,
            }
            // Also what only this server's disk still holds up: nobody wakes this task when it is confirmed.
            let behind = self.storage.board.executed() > confirmed_told;
            let idle_ms = if behind { limits::CONFIRMED_IDLE_MS } else { limits::STREAM_IDLE_MS };
            let due = last_frame + std::time::Duration::from_millis(idle_ms);
            tokio::select! {
                () = self.steering.wake.notified() => {}
                () = sleep_until(due) => match self.send_frame(&mut open, Vec::new(), &mut confirmed_told).await {
                    Ok(()) => last_frame = Instant::now(),
                    Err(ended) => return ended,
                },
                result = open.receiver.next_batch(&mut heard) => {
                    if let Err(error) = result {
                        return error.into();
                    }
                    for frame in heard.drain(..) {
                        if let Err(ended) = self.take(frame, &mut open.measures) {
                            return ended;
                        }
                    }
                }
            }
        }
    }

    /// Everything that is numbered and fits the window. True if a frame left.
    async fn send_what_is_there(&self, open: &mut Open, confirmed_told: &mut Sequence) -> Result<bool, Ended> {
        let mut sent = self.send_orders(open).await?;
        while open.sent.sequence.0 < self.storage.board.peer_stored().0 + limits::STREAM_WINDOW_ENTRIES {
            let records = self.next_records(open)?;
            if records.is_empty() {
                break;
            }
            self.send_frame(open, records, confirmed_told).await?;
            sent = true;
        }
        if self.storage.board.frame_is_wanted() {
            self.send_frame(open, Vec::new(), confirmed_told).await?;
            sent = true;
        }
        Ok(sent)
    }

    fn next_records(&self, open: &mut Open) -> Result<Vec<WireRecord>, Ended> {
        let cursor = open.sent.sequence;
        match self.storage.tail.after(cursor, Sequence(u64::MAX), usize::MAX, limits::FRAME_ENTRIES_BYTES) {
            Slice::Entries(entries) => {
                open.sent = entries.last().map_or(open.sent, |entry| entry.position);
                let record = |entry: &crate::model::SharedEntry<A::Row>| {
                    let Position { epoch, sequence, .. } = entry.position;
                    WireRecord { epoch, sequence, payload: entry.payload.clone() }
                };
                Ok(entries.iter().map(record).collect())
            }
            Slice::Gone => {
                let records = self.storage.reader().read_after(cursor, limits::FRAME_ENTRIES_BYTES);
                let records = records.map_err(|error| Ended::Journal(error.to_string()))?;
                open.sent = records.last().map_or(open.sent, |record| record.position);
                let record = |record: crate::journal::Record| {
                    let Position { epoch, sequence, .. } = record.position;
                    WireRecord { epoch, sequence, payload: record.payload }
                };
                Ok(records.into_iter().map(record).collect())
            }
        }
    }

    async fn send_frame(&self, open: &mut Open, records: Vec<WireRecord>, confirmed_told: &mut Sequence) -> Result<(), Ended> {
        fault::point("replication-sender/frame");
        let confirmed = self.storage.board.confirmed();
        let frame = self.storage.board.begin_frame();
        if !records.is_empty() {
            Measures::note(&mut open.measures.flying, open.sent.sequence);
            self.storage.metrics.batches.ship.observe(records.len() as f64);
        }
        let entries = ToPeer::Entries { stream: self.stream, frame, confirmed, after: open.sent, records };
        open.sender.send(&[entries]).await?;
        *confirmed_told = confirmed;
        Ok(())
    }

    async fn send_orders(&self, open: &mut Open) -> Result<bool, Ended> {
        let orders = std::mem::take(&mut *self.steering.orders.borrow_mut());
        let stream = self.stream;
        let frames: Vec<ToPeer> = orders.into_iter().filter_map(|order| order_frame(stream, order)).collect();
        if frames.is_empty() {
            return Ok(false);
        }
        open.sender.send(&frames).await?;
        Ok(true)
    }

    fn take(&self, frame: ToHolder, measures: &mut Measures) -> Result<(), Ended> {
        match frame {
            ToHolder::Stored { stream, .. } if stream != self.stream => {
                Err(Ended::Refused(LinkRefusal::StreamOld { ours: self.stream, theirs: stream }))
            }
            ToHolder::Stored { frame, stored, applied, .. } => self.stored(frame, stored, applied, measures),
            ToHolder::Intended { register, .. } => {
                self.neighbours.news.do_send(StreamNews::Intended(register));
                Ok(())
            }
            ToHolder::Refused { why, .. } => Err(Ended::Refused(why)),
            ToHolder::Opened { .. } | ToHolder::Fetched { .. } | ToHolder::Differs { .. } | ToHolder::Begun { .. } => {
                Err(Ended::Unexpected("stored"))
            }
        }
    }

    /// The peer's word counts only if its digest is our own.
    fn stored(&self, frame: u64, stored: Position, applied: Sequence, measures: &mut Measures) -> Result<(), Ended> {
        fault::point("replication-sender/acknowledged");
        let board = &self.storage.board;
        if stored.sequence > board.peer_stored() {
            let in_tail = self.storage.tail.get(stored.sequence).map(|entry| entry.position);
            let own = match in_tail {
                Some(position) => Some(position),
                None => self.storage.reader().position_at(stored.sequence).map_err(|error| Ended::Journal(error.to_string()))?,
            };
            if own != Some(stored) {
                return Err(Ended::Refused(LinkRefusal::DigestDiffers { at: stored.sequence }));
            }
            board.set_peer_stored(stored.sequence);
        }
        board.set_frames_arrived(frame);
        let metrics = &self.storage.metrics;
        Measures::reached(&mut measures.flying, stored.sequence, &metrics.steps.peer_stored);
        if self.storage.gate.pass(clock::now()) {
            Measures::note(&mut measures.confirmed, board.confirmed());
        }
        Measures::reached(&mut measures.confirmed, applied, &metrics.visible_after);
        self.tell_nearness();
        Ok(())
    }

    fn tell_nearness(&self) {
        if matches!(self.steering.holder.get(), Holder::Pair { .. }) {
            return;
        }
        let board = &self.storage.board;
        let (executed, stored) = (board.executed(), board.peer_stored());
        match self.steering.level_at.get() {
            Some(mark) if stored >= mark => {
                self.steering.level_at.set(None);
                self.neighbours.news.do_send(StreamNews::Level(mark));
            }
            Some(_) => {}
            None if executed.0.saturating_sub(stored.0) <= limits::NEAR_ENTRIES => {
                self.neighbours.news.do_send(StreamNews::Near);
            }
            None => {}
        }
    }
}

fn order_frame(stream: StreamNo, order: TellPeer) -> Option<ToPeer> {
    match order {
        TellPeer::Intend(register) => Some(ToPeer::Intend { stream, register }),
        TellPeer::Enter(register) => Some(ToPeer::Enter { stream, register }),
        // A follower's word.
        TellPeer::Intended(_) => None,
    }
}
