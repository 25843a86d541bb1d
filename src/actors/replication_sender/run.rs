//! One run of the stream: settle the journal, compare with the peer, start DataUpdater, then send ([`pump`]) for as long as the run lasts.

use std::rc::Rc;
use std::sync::Arc;

use slog::{Logger, info, warn};
use tokio::time::{Instant, sleep, timeout};

use super::{Neighbours, Steering, StreamNews, ToThePeer};
use crate::actors::data_updater::StartUpdating;
use crate::actors::journal_writer::{BeginRun, Written};
use crate::actors::replication_applier::ConfirmedMoved;
use crate::actors::{Sick, Storage, fault};
use crate::clock;
use crate::config::limits;
use crate::journal::{JournalError, JournalReader, unseal};
use crate::machines::stream::{History, Opening, opening};
use crate::model::{Application, Epoch, Holder, Position, Sequence, StreamNo};
use crate::wire::frames::{LinkKind, LinkRefusal, ToHolder, ToPeer};
use crate::wire::link::{FrameReceiver, FrameSender};
use crate::wire::refusal::LinkError;

mod pump;

use pump::{Measures, Open};

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

impl Ended {
    /// As refused frames are counted.
    fn code(&self) -> &'static str {
        match self {
            Self::Link(error) => error.code(),
            Self::Refused(why) => why.code(),
            Self::Journal(_) => LinkRefusal::Stopping.code(),
            Self::Late(what) => LinkError::Late(what).code(),
            Self::Unexpected(_) => LinkRefusal::FrameDamaged.code(),
        }
    }
}

impl From<LinkError> for Ended {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// The journal as the comparison sees it.
pub struct JournalHistory {
    pub reader: JournalReader,
    /// Of a holder, what its run has numbered; a follower numbers nothing.
    pub numbered: Sequence,
}

impl History for JournalHistory {
    type Error = JournalError;

    fn at(&self, sequence: Sequence) -> Result<Option<Position>, JournalError> {
        self.reader.position_at(sequence)
    }
    fn last_of_epoch(&self, epoch: Epoch) -> Result<Option<Position>, JournalError> {
        self.reader.last_of_epoch(epoch)
    }
    fn end(&self) -> Position {
        self.reader.stored()
    }
    fn numbered(&self) -> Sequence {
        self.numbered
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
                        // Starts once all of it is applied, and so confirmed: what the peer lacks must reach it first.
                        self.start_updating(end);
                        fresh = false;
                    }
                    info!(self.log, "the stream is open"; "stream" => self.stream.0, "position" => open.sent.to_string());
                    self.neighbours.news.do_send(StreamNews::Compared);
                    let why = self.pump(open).await;
                    if let Ended::Refused(refusal) = &why {
                        self.storage.metrics.refused_frame(refusal.code());
                    }
                    self.storage.failed(why.code());
                    warn!(self.log, "the stream has ended"; "code" => why.code(), "reason" => why.to_string());
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
        let (code, why) = (why.code(), self.peer.names.put_into(&why.to_string()));
        self.storage.failed(code);
        if *last_told != why {
            info!(self.log, "no stream to the peer yet"; "code" => code, "reason" => &why);
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

    async fn open(&self, fresh: bool, end: &mut Position) -> Result<Open, Ended> {
        fault::point("replication-sender/open");
        if fresh {
            // An earlier attempt may have taken over some of what the peer has beyond.
            *end = self.storage.tail.end();
            self.until_stored(end.sequence).await?;
        }
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
            let history = JournalHistory { reader: reader.clone(), numbered: self.storage.tail.end().sequence };
            let opening = opening(&history, holder, fresh, peer);
            match opening.map_err(|error| Ended::Journal(error.to_string()))? {
                Opening::Impossible => return Err(Ended::Refused(LinkRefusal::DigestDiffers { at: peer.sequence })),
                Opening::Store { through } => self.until_stored(through).await?,
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

    /// Both journals were compared and hold the same up to `after`; what this one has beyond, the peer may lack.
    fn begun(&self, after: Position, tail_saved: u64) {
        self.storage.board.set_peer_stored(after.sequence);
        self.storage.board.raise_confirmed(after.sequence);
        self.storage.gate.pass(clock::now());
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
        self.until_stored(end.sequence).await?;
        Ok(end)
    }

    async fn until_stored(&self, end: Sequence) -> Result<(), Ended> {
        let deadline = Instant::now() + limits::STREAM_STEP_LIMIT;
        while self.storage.board.stored() < end {
            if Instant::now() > deadline {
                return Err(Ended::Late("own fdatasync"));
            }
            sleep(limits::STORED_POLL).await;
        }
        Ok(())
    }
}
