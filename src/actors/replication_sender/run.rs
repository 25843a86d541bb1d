//! One run of the stream: settle the journal, compare with the peer, start DataUpdater, then send for as long as the run lasts.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use slog::{Logger, debug, info, warn};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Neighbours, Steering, StreamNews, ToThePeer};
use crate::actors::data_updater::StartUpdating;
use crate::actors::journal_writer::{BeginRun, Written};
use crate::actors::replication_applier::ConfirmedMoved;
use crate::actors::{Sick, Storage, fault};
use crate::clock;
use crate::config::limits;
use crate::handover::Slice;
use crate::journal::{JournalReader, unseal};
use crate::machines::failover::TellPeer;
use crate::machines::stream::{History, Opening, opening};
use crate::model::{Application, Epoch, Holder, Position, Sequence, StreamNo};
use crate::telemetry::metrics::Micros;
use crate::wire::frames::{LinkKind, LinkRefusal, ToHolder, ToPeer, WireRecord};
use crate::wire::link::{FrameReceiver, FrameSender};
use crate::wire::refusal::LinkError;

pub(super) struct Run<A: Application> {
    pub storage: Arc<Storage<A>>,
    pub peer: ToThePeer,
    pub neighbours: Neighbours,
    pub log: Logger,
    pub steering: Rc<Steering>,
    pub stream: StreamNo,
}

/// Why a stream ended or did not begin. The run tries again.
#[derive(Debug)]
enum Ended {
    Link(LinkError),
    Refused(LinkRefusal),
    Journal(String),
    Late(&'static str),
    Unexpected(&'static str),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Link(error) => write!(f, "{error}"),
            Self::Refused(why) => write!(f, "the peer refuses: {why}"),
            Self::Journal(what) => write!(f, "journal: {what}"),
            Self::Late(what) => write!(f, "no answer in time: {what}"),
            Self::Unexpected(what) => write!(f, "unexpected frame instead of {what}"),
        }
    }
}

impl From<LinkError> for Ended {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// An open stream.
struct Open {
    sender: FrameSender<ToPeer>,
    receiver: FrameReceiver<ToHolder>,
    /// Everything up to here was sent or was there before.
    sent: Position,
    measures: Measures,
}

/// Moments of batches on their way, to measure how long each stretch takes; bounded, the oldest go unmeasured.
#[derive(Default)]
struct Measures {
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

/// The journal as the comparison sees it.
pub(crate) struct JournalHistory(pub JournalReader);

impl History for JournalHistory {
    fn at(&self, sequence: Sequence) -> Option<Position> {
        self.0.position_at(sequence).ok().flatten()
    }
    fn last_of_epoch(&self, epoch: Epoch) -> Option<Position> {
        self.0.last_of_epoch(epoch).ok().flatten()
    }
    fn end(&self) -> Position {
        self.0.stored()
    }
}

impl<A: Application> Run<A> {
    pub(super) async fn go(self) {
        let Some(mut end) = self.settle().await else { return };
        let alone = matches!(self.steering.holder.get(), Holder::Solo { .. });
        if alone {
            self.start_updating(end);
        }
        let mut fresh = !alone;
        let mut last_told = String::new();
        loop {
            match self.open(fresh, &mut end).await {
                Ok(open) => {
                    last_told.clear();
                    if fresh {
                        self.confirm_all(end);
                        self.start_updating(end);
                        fresh = false;
                    }
                    info!(self.log, "the stream is open"; "stream" => self.stream.0, "position" => open.sent.to_string());
                    self.neighbours.news.do_send(StreamNews::Compared);
                    let why = self.pump(open).await;
                    if let Ended::Refused(refusal) = &why {
                        self.storage.metrics.refused_frame(refusal.code());
                    }
                    warn!(self.log, "the stream has ended"; "reason" => why.to_string());
                    self.storage.board.set_peer_stored(Sequence(0));
                    self.neighbours.news.do_send(StreamNews::Lost);
                }
                Err(why) => self.tell_once(&why, &mut last_told),
            }
            sleep(limits::STREAM_RETRY).await;
        }
    }

    /// The same reason is told once, not ten times a second.
    fn tell_once(&self, why: &Ended, last_told: &mut String) {
        let why = why.to_string();
        if *last_told != why {
            info!(self.log, "no stream to the peer yet"; "reason" => &why);
            *last_told = why;
        }
    }

    /// Closes the hand-overs of the run before; where the journal ends is where this one begins.
    async fn settle(&self) -> Option<Position> {
        match self.neighbours.journal.send(BeginRun(self.stream)).await {
            Ok(Ok(end)) => Some(end),
            // JournalWriter has told that it is sick, or is being reborn and will have this run begun anew.
            Ok(Err(Sick { .. })) | Err(_) => None,
        }
    }

    fn start_updating(&self, last: Position) {
        let epoch = self.steering.epoch.get();
        self.neighbours.start_updating.do_send(StartUpdating { stream: self.stream, epoch, last });
        self.neighbours.applier.do_send(ConfirmedMoved);
    }

    /// Both journals were compared and hold the same up to here.
    fn confirm_all(&self, end: Position) {
        self.storage.board.set_peer_stored(end.sequence);
        self.storage.board.raise_confirmed(end.sequence);
        self.storage.gate.pass(clock::now());
    }

    async fn open(&self, fresh: bool, end: &mut Position) -> Result<Open, Ended> {
        fault::point("replication-sender/open");
        let met = self.peer.connector.connect(LinkKind::Stream, self.peer.route).await?;
        let (mut sender, mut receiver) = met.link.split::<ToPeer, ToHolder>();
        let (stream, holder, epoch) = (self.stream, self.steering.holder.get(), self.steering.epoch.get());
        let reader = self.storage.reader();
        sender.send(&[ToPeer::Open { stream, epoch, holder, end: reader.stored() }]).await?;
        let mut peer = match self.hear(&mut receiver, "opening").await? {
            ToHolder::Opened { end, .. } => end,
            _ => return Err(Ended::Unexpected("opened")),
        };
        for _ in 0..limits::COMPARE_ROUNDS_MAX {
            match opening(&JournalHistory(reader.clone()), holder, fresh, peer) {
                Opening::Impossible => return Err(Ended::Refused(LinkRefusal::DigestDiffers { at: peer.sequence })),
                Opening::Fetch { after } => *end = self.take_over(&mut sender, &mut receiver, after).await?,
                Opening::Begin { after } => {
                    sender.send(&[ToPeer::Begin { stream, after }]).await?;
                    match self.hear(&mut receiver, "beginning").await? {
                        ToHolder::Begun { tail_saved, .. } => {
                            self.begun(after, tail_saved);
                            return Ok(Open { sender, receiver, sent: after, measures: Measures::default() });
                        }
                        ToHolder::Differs { mine, .. } => peer = mine,
                        _ => return Err(Ended::Unexpected("begun")),
                    }
                }
            }
        }
        Err(Ended::Late("the two histories' common part"))
    }

    fn begun(&self, after: Position, tail_saved: u64) {
        self.storage.board.set_peer_stored(after.sequence);
        if tail_saved > 0 {
            info!(self.log, "the peer kept and cut what this server lacks"; "entries" => tail_saved, "position" => after.to_string());
        }
    }

    async fn hear(&self, receiver: &mut FrameReceiver<ToHolder>, step: &'static str) -> Result<ToHolder, Ended> {
        match timeout(limits::STREAM_STEP_LIMIT, receiver.next()).await {
            Ok(Ok(ToHolder::Refused { why, .. })) => Err(Ended::Refused(why)),
            Ok(frame) => Ok(frame?),
            Err(_) => Err(Ended::Late(step)),
        }
    }

    /// The peer had synced entries that this server lost in its restart: they count, so they come back.
    async fn take_over(
        &self,
        sender: &mut FrameSender<ToPeer>,
        receiver: &mut FrameReceiver<ToHolder>,
        after: Position,
    ) -> Result<Position, Ended> {
        sender.send(&[ToPeer::Fetch { stream: self.stream, after }]).await?;
        let mut end = after;
        loop {
            let ToHolder::Fetched { records, last, .. } = self.hear(receiver, "fetching").await? else {
                return Err(Ended::Unexpected("fetched"));
            };
            let mut batch = Vec::with_capacity(records.len());
            for record in records {
                let sealed = unseal(&end, record.epoch, record.sequence, record.payload);
                let sealed = sealed.map_err(|damaged| Ended::Journal(damaged.to_string()))?;
                end = sealed.position;
                batch.push(Arc::new(sealed));
            }
            let ids = batch.iter().map(|entry| (entry.fingerprint, entry.position.sequence));
            self.storage.ids.insert_all(ids);
            if !self.storage.tail.append(self.stream, &batch) {
                return Err(Ended::Journal("another run has begun".into()));
            }
            self.neighbours.written.do_send(Written);
            if last {
                break;
            }
        }
        info!(self.log, "took over entries that only the peer had stored"; "position" => end.to_string());
        self.until_stored(end).await?;
        Ok(end)
    }

    async fn until_stored(&self, end: Position) -> Result<(), Ended> {
        let deadline = Instant::now() + limits::STREAM_STEP_LIMIT;
        while self.storage.board.stored() < end.sequence {
            if Instant::now() > deadline {
                return Err(Ended::Late("own fdatasync"));
            }
            sleep(limits::STORED_POLL).await;
        }
        Ok(())
    }

    /// Sends and hears until the link breaks.
    async fn pump(&self, mut open: Open) -> Ended {
        let mut confirmed_told = Sequence(0);
        let mut last_frame = Instant::now();
        let mut heard = Vec::new();
        loop {
            match self.send_what_is_there(&mut open, &mut confirmed_told).await {
                Ok(true) => last_frame = Instant::now(),
                Ok(false) => {}
                Err(ended) => return ended,
            }
            let behind = self.storage.board.confirmed() > confirmed_told;
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
            ToHolder::Intended { epoch, .. } => {
                self.neighbours.news.do_send(StreamNews::Intended(epoch));
                Ok(())
            }
            ToHolder::Entered { epoch, .. } => {
                debug!(self.log, "the peer entered the pair"; "epoch" => epoch.0);
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
            let own = in_tail.or_else(|| self.storage.reader().position_at(stored.sequence).ok().flatten());
            if own != Some(stored) {
                return Err(Ended::Refused(LinkRefusal::DigestDiffers { at: stored.sequence }));
            }
            board.set_peer_stored(stored.sequence);
        }
        board.set_peer_applied(applied);
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
                self.neighbours.news.do_send(StreamNews::Level);
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
        // A follower's words.
        TellPeer::Intended(_) | TellPeer::Entered(_) => None,
    }
}
