//! One stream, from the follower's side.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, error, info, warn};
use tokio::time::{sleep, timeout};

use super::{HolderSays, Neighbours, Steering, StreamWanted};
use crate::actors::journal_writer::{BeginRun, CutTail, Written};
use crate::actors::{Storage, fault};
use crate::clock;
use crate::config::limits;
use crate::journal::{JournalError, unseal};
use crate::machines::failover::{StreamVerdict, TellPeer};
use crate::machines::stream::{Beginning, beginning};
use crate::model::{Application, Position, Sequence, StreamNo};
use crate::wire::frames::{LinkRefusal, ToHolder, ToPeer, WireRecord};
use crate::wire::link::{FrameReceiver, FrameSender, Link};
use crate::wire::refusal::LinkError;

use super::super::replication_sender::JournalHistory;

pub(super) struct Follow<A: Application> {
    pub storage: Arc<Storage<A>>,
    pub neighbours: Neighbours,
    pub steering: Rc<Steering>,
    pub refused: Rc<Cell<Option<&'static str>>>,
    pub log: Logger,
}

/// Why a stream ended.
enum Ended {
    Link(LinkError),
    /// Told to the holder before the link is closed.
    Refuse(LinkRefusal),
}

impl From<LinkError> for Ended {
    fn from(error: LinkError) -> Self {
        match error {
            // A frame that cannot be read: the holder is told, as of any other refusal.
            LinkError::Refused(why) => Self::Refuse(why),
            error => Self::Link(error),
        }
    }
}

/// An open stream.
struct Taken {
    stream: StreamNo,
    may_cut: bool,
    /// Where the last entry received ends.
    end: Position,
    begun: bool,
    /// The newest frame that has arrived.
    frame: u64,
    /// A frame without entries asks for its acknowledgement; one with entries is answered when they are stored.
    asked: bool,
    acknowledged: Sequence,
    applied_told: Sequence,
}

impl<A: Application> Follow<A> {
    pub(super) async fn go(self, mut link: Link, admits: bool) {
        if let Err(error) = link.move_here() {
            // The holder opens another one.
            warn!(self.log, "cannot take the peer's link over"; "reason" => error.to_string());
            return;
        }
        let (mut sender, mut receiver) = link.split::<ToHolder, ToPeer>();
        let mut stream = StreamNo(0);
        let ended = match self.open(&mut sender, &mut receiver, admits, &mut stream).await {
            Ok(taken) => self.take_entries(&mut sender, &mut receiver, taken).await,
            Err(ended) => ended,
        };
        match ended {
            Ended::Refuse(why) => {
                if matches!(why, LinkRefusal::CannotCut { .. } | LinkRefusal::DigestDiffers { .. }) {
                    self.storage.board.set_stays_out(Some(why.code()));
                }
                if why != LinkRefusal::NotNow {
                    self.storage.metrics.refused_frame(why.code());
                    self.storage.failed(why.code());
                    if self.refused.replace(Some(why.code())) != Some(why.code()) {
                        warn!(self.log, "refused the peer's stream"; "code" => why.code(), "reason" => why.to_string());
                    }
                }
                // The link ends either way.
                let _ = sender.send(&[ToHolder::Refused { stream, why }]).await;
            }
            Ended::Link(error) => {
                self.storage.failed(error.code());
                info!(self.log, "the peer's stream has ended"; "code" => error.code(), "reason" => error.to_string());
            }
        }
        sender.close().await;
    }

    async fn open(
        &self,
        sender: &mut FrameSender<ToHolder>,
        receiver: &mut FrameReceiver<ToPeer>,
        admits: bool,
        number: &mut StreamNo,
    ) -> Result<Taken, Ended> {
        let opened = timeout(limits::STREAM_STEP_LIMIT, receiver.next()).await;
        let Ok(ToPeer::Open { stream, epoch, holder, .. }) = opened.map_err(|_| LinkError::Late("opening"))? else {
            return Err(Ended::Refuse(LinkRefusal::FrameDamaged));
        };
        fault::point("replication-receiver/open");
        *number = stream;
        if !admits {
            return Err(Ended::Refuse(LinkRefusal::NotNow));
        }
        let verdict = self.neighbours.wanted.send(StreamWanted { epoch, holder }).await;
        let may_cut = match verdict.unwrap_or(StreamVerdict::NotNow) {
            StreamVerdict::AsSub => false,
            StreamVerdict::Rejoining => true,
            StreamVerdict::NotNow => return Err(Ended::Refuse(LinkRefusal::NotNow)),
            StreamVerdict::EpochOld { ours } => return Err(Ended::Refuse(LinkRefusal::EpochOld { ours, theirs: epoch })),
        };
        let begun = self.neighbours.journal.send(BeginRun(stream)).await;
        let Ok(Ok(end)) = begun else { return Err(Ended::Refuse(LinkRefusal::Stopping)) };
        sender.send(&[ToHolder::Opened { stream, end }]).await?;
        Ok(Taken {
            stream,
            may_cut,
            end,
            begun: false,
            frame: 0,
            asked: false,
            acknowledged: Sequence(0),
            applied_told: Sequence(0),
        })
    }

    async fn take_entries(
        &self,
        sender: &mut FrameSender<ToHolder>,
        receiver: &mut FrameReceiver<ToPeer>,
        mut taken: Taken,
    ) -> Ended {
        let mut frames = Vec::new();
        loop {
            let full = self.is_full();
            let result = tokio::select! {
                () = self.steering.wake.notified() => Ok(()),
                // Not reading on is what slows the holder down.
                () = sleep(Duration::from_millis(limits::TAIL_FULL_POLL_MS)), if full => Ok(()),
                result = receiver.next_batch(&mut frames), if !full => result,
            };
            if let Err(error) = result {
                return error.into();
            }
            let before = taken.frame;
            for frame in frames.drain(..) {
                if let Err(ended) = self.take(frame, sender, &mut taken).await {
                    return ended;
                }
            }
            // By the last frame of those that came together: the earlier ones may be old.
            if taken.frame > before && self.storage.board.applied() >= self.storage.board.told() {
                self.storage.board.set_fresh_at(clock::now());
            }
            if let Err(ended) = self.answer(sender, &mut taken).await {
                return ended;
            }
        }
    }

    /// Whether there is no room for more. A store that is away must not end the pair: what is on the disk leaves memory, and the
    /// applier reads it from the journal. One that only follows slowly is waited for: who takes over must have applied everything.
    fn is_full(&self) -> bool {
        let is_full = || self.storage.tail.is_full(limits::UNAPPLIED_ENTRIES_MAX, limits::UNAPPLIED_BYTES_MAX);
        if is_full() && self.storage.board.store_fails() {
            self.storage.tail.release(self.storage.board.stored());
        }
        is_full()
    }

    async fn take(&self, frame: ToPeer, sender: &mut FrameSender<ToHolder>, taken: &mut Taken) -> Result<(), Ended> {
        match frame {
            ToPeer::Entries { stream, frame, confirmed, after, records } if stream == taken.stream && taken.begun => {
                taken.asked |= records.is_empty();
                self.take_records(records, after, taken)?;
                taken.frame = frame;
                self.storage.board.set_told(confirmed);
                self.storage.gate.pass(clock::now());
                Ok(())
            }
            ToPeer::Fetch { stream, after } if stream == taken.stream => self.send_beyond(after, sender, stream).await,
            ToPeer::Begin { stream, after } if stream == taken.stream => self.begin(after, sender, taken).await,
            ToPeer::Intend { register, .. } => {
                self.neighbours.says.do_send(HolderSays::Intend(register));
                Ok(())
            }
            ToPeer::Enter { register, .. } => {
                self.neighbours.says.do_send(HolderSays::Enter(register));
                Ok(())
            }
            ToPeer::Entries { stream, .. } | ToPeer::Fetch { stream, .. } | ToPeer::Begin { stream, .. } => {
                Err(Ended::Refuse(LinkRefusal::StreamOld { ours: taken.stream, theirs: stream }))
            }
            ToPeer::Open { .. } => Err(Ended::Refuse(LinkRefusal::FrameDamaged)),
        }
    }

    fn take_records(&self, records: Vec<WireRecord>, after: Position, taken: &mut Taken) -> Result<(), Ended> {
        let mut batch = Vec::with_capacity(records.len());
        let mut end = taken.end;
        for record in records {
            if record.sequence != end.sequence.next() {
                let (expected, got) = (end.sequence.next(), record.sequence);
                return Err(Ended::Refuse(LinkRefusal::Gap { expected, got }));
            }
            if record.epoch < end.epoch {
                return Err(Ended::Refuse(LinkRefusal::EpochOld { ours: end.epoch, theirs: record.epoch }));
            }
            let sealed = unseal(&end, record.epoch, record.sequence, record.payload);
            let sealed = sealed.map_err(|_| Ended::Refuse(LinkRefusal::FrameDamaged))?;
            end = sealed.position;
            batch.push(Arc::new(sealed));
        }
        if end != after {
            return Err(Ended::Refuse(LinkRefusal::DigestDiffers { at: after.sequence }));
        }
        if batch.is_empty() {
            return Ok(());
        }
        fault::point("replication-receiver/entries");
        let ids = batch.iter().map(|entry| (entry.fingerprint, entry.position.sequence));
        self.storage.ids.insert_all(ids);
        if !self.storage.tail.append(taken.stream, &batch) {
            let ours = self.storage.tail.stream();
            return Err(Ended::Refuse(LinkRefusal::StreamOld { ours, theirs: taken.stream }));
        }
        self.storage.board.set_executed(end.sequence);
        taken.end = end;
        self.neighbours.written.do_send(Written);
        Ok(())
    }

    /// A Main that lost what this Sub had synced already takes it back from here.
    async fn send_beyond(&self, after: Position, sender: &mut FrameSender<ToHolder>, stream: StreamNo) -> Result<(), Ended> {
        let reader = self.storage.reader();
        let unreadable = |error: JournalError| self.unreadable(&error);
        if reader.position_at(after.sequence).map_err(unreadable)? != Some(after) {
            return Err(Ended::Refuse(LinkRefusal::DigestDiffers { at: after.sequence }));
        }
        let mut cursor = after.sequence;
        loop {
            let records = reader.read_after(cursor, limits::FRAME_ENTRIES_BYTES).map_err(unreadable)?;
            cursor = records.last().map_or(cursor, |record| record.position.sequence);
            let last = cursor >= reader.stored().sequence;
            let record = |record: crate::journal::Record| {
                let Position { epoch, sequence, .. } = record.position;
                WireRecord { epoch, sequence, payload: record.payload }
            };
            let records = records.into_iter().map(record).collect();
            sender.send(&[ToHolder::Fetched { stream, records, last }]).await?;
            if last {
                return Ok(());
            }
        }
    }

    async fn begin(&self, after: Position, sender: &mut FrameSender<ToHolder>, taken: &mut Taken) -> Result<(), Ended> {
        fault::point("replication-receiver/begin");
        let stream = taken.stream;
        let applied = self.storage.board.applied_position();
        let history = JournalHistory { reader: self.storage.reader(), numbered: Sequence(0) };
        let beginning = beginning(&history, taken.may_cut, applied, after);
        let tail_saved = match beginning.map_err(|error| self.unreadable(&error))? {
            Beginning::Level => 0,
            Beginning::Differs { mine } => {
                sender.send(&[ToHolder::Differs { stream, mine }]).await?;
                return Ok(());
            }
            Beginning::Forked => return Err(Ended::Refuse(LinkRefusal::DigestDiffers { at: after.sequence })),
            Beginning::CannotCut => return Err(Ended::Refuse(LinkRefusal::CannotCut { applied })),
            Beginning::Cut { to } => match self.neighbours.cut.send(CutTail { stream, to }).await {
                Ok(Ok(saved)) => saved,
                Ok(Err(_)) | Err(_) => return Err(Ended::Refuse(LinkRefusal::Stopping)),
            },
        };
        self.refused.set(None);
        self.storage.board.set_stays_out(None);
        (taken.end, taken.begun, taken.acknowledged) = (after, true, after.sequence);
        sender.send(&[ToHolder::Begun { stream, tail_saved }]).await?;
        Ok(())
    }

    /// The holder cannot help; whoever reads this server's log can.
    fn unreadable(&self, error: &JournalError) -> Ended {
        error!(self.log, "this server's journal cannot be read"; "reason" => error.to_string());
        Ended::Refuse(LinkRefusal::Stopping)
    }

    /// What is stored by now, if that is news or was asked for; and what the coordinator wants said.
    async fn answer(&self, sender: &mut FrameSender<ToHolder>, taken: &mut Taken) -> Result<(), Ended> {
        let stream = taken.stream;
        let orders = std::mem::take(&mut *self.steering.orders.borrow_mut());
        let mut frames: Vec<ToHolder> = orders.into_iter().filter_map(|order| order_frame(stream, order)).collect();
        let stored = self.storage.board.stored_position();
        let applied = self.storage.board.applied();
        // Applying lags behind storing; it is told by itself only once it has caught up.
        let caught_up = applied > taken.applied_told && applied == self.storage.board.told();
        if taken.begun && (taken.asked || caught_up || stored.sequence > taken.acknowledged) {
            (taken.asked, taken.acknowledged, taken.applied_told) = (false, stored.sequence, applied);
            fault::point("replication-receiver/acknowledge");
            frames.push(ToHolder::Stored { stream, frame: taken.frame, stored, applied });
        }
        if !frames.is_empty() {
            sender.send(&frames).await?;
        }
        Ok(())
    }
}

fn order_frame(stream: StreamNo, order: TellPeer) -> Option<ToHolder> {
    match order {
        TellPeer::Intended(register) => Some(ToHolder::Intended { stream, register }),
        // The holder's words.
        TellPeer::Intend(_) | TellPeer::Enter(_) => None,
    }
}
