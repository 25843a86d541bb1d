//! Whether the peer is well and how long leases last: the only place where time decides anything about roles.
//!
//! Moments are this box's own; nothing here compares clocks of two boxes. Silence counts from this server's start at the earliest.

use std::collections::VecDeque;

use super::failover::{Event, Loss};
use crate::model::{BeatNo, BootNonce, Epoch, Heartbeat, Mode, Moment, Sequence, Standing};

/// Milliseconds; see `config::Timing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub lease_ms: u64,
    pub silence_ms: u64,
    /// Silence allowed before the first word of the peer.
    pub boot_ms: u64,
    /// Sent heartbeats whose moment is remembered.
    pub beats_remembered: usize,
}

/// How far something is: what this server waits for, or what it knows of the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Durable up to here.
    pub stored: Sequence,
    /// The stream's frames up to here have come to the peer; 0 where none is waited for.
    pub frame: u64,
}

/// Times of silence until a peer that waits counts as lost.
const IDLE_TIMES: u64 = 2;
/// Times of silence from such a loss until a server that waits tries the peer again: long beside the two, a lease and an ask, in which
/// the peer takes over if it can.
const RETRY_TIMES: u64 = 6;

impl Reach {
    fn covers(self, wanted: Self) -> bool {
        self.stored >= wanted.stored && self.frame >= wanted.frame
    }
}

#[derive(Clone, Debug)]
pub struct Health {
    patience: Patience,
    me: BootNonce,
    started: Moment,
    /// The last look at the clock, and when this server woke after it had stood still: what it finds in its socket then proves nothing.
    looked: Moment,
    woke: Option<Moment>,
    last_heard: Option<Moment>,
    peer: Option<(BootNonce, Standing)>,
    /// Run of the peer that is known to have ended.
    dead: Option<BootNonce>,
    sent: VecDeque<(BeatNo, Moment)>,
    lease_until: Moment,
    granting: bool,
    granted_until: Moment,
    leases_out_told: bool,
    /// The peer has not come this far since then, nor any further at all.
    behind: Option<(Reach, Moment)>,
    /// What it had stored at the last look.
    peers_stored: Sequence,
    in_pair: bool,
    /// The peer says since then that nobody is served by it, though this server is in its Pair.
    idle_peer: Option<Moment>,
    loss: Option<Loss>,
    /// Whether any verdict was told. Until then the listener may believe what an earlier life of this monitor told it.
    judged: bool,
}

impl Health {
    pub fn new(patience: Patience, me: BootNonce, now: Moment) -> Self {
        Self {
            patience,
            me,
            started: now,
            looked: now,
            woke: None,
            last_heard: None,
            peer: None,
            dead: None,
            sent: VecDeque::with_capacity(patience.beats_remembered),
            lease_until: Moment(0),
            granting: true,
            granted_until: now,
            leases_out_told: false,
            behind: None,
            peers_stored: Sequence(0),
            in_pair: false,
            idle_peer: None,
            loss: None,
            judged: false,
        }
    }

    /// This server's addresses may be held by lease until then.
    pub fn lease_until(&self) -> Moment {
        self.lease_until
    }

    /// Why the peer counts as lost.
    pub fn loss(&self) -> Option<Loss> {
        self.loss
    }

    /// Milliseconds since the peer was last heard, or since the start.
    pub fn silence_ms(&self, now: Moment) -> u64 {
        now.since(self.last_heard.unwrap_or(self.started))
    }

    /// A heartbeat is about to leave.
    pub fn sending(&mut self, now: Moment, number: BeatNo) {
        if self.sent.len() == self.patience.beats_remembered {
            self.sent.pop_front();
        }
        self.sent.push_back((number, now));
    }

    pub fn grants_lease(&self) -> bool {
        self.granting
    }

    /// Stops (or starts again) extending the peer's leases; [`Event::LeasesOut`] follows when the last one has run out.
    pub fn grant_leases(&mut self, granting: bool) {
        self.granting = granting;
        self.leases_out_told = false;
    }

    /// An authenticated, fresh heartbeat has arrived.
    pub fn heard(&mut self, now: Moment, beat: &Heartbeat) -> Vec<Event> {
        if self.dead == Some(beat.boot) {
            return Vec::new();
        }
        self.dead = None;
        if self.is_of_now(beat) {
            self.woke = None;
            self.last_heard = Some(now);
        }
        if self.granting {
            // The lease counts from when the peer sent what is echoed, which was before now.
            self.granted_until = now.plus(self.patience.lease_ms);
        }
        self.extend_lease(beat);
        let news = self.peer != Some((beat.boot, beat.standing));
        self.peer = Some((beat.boot, beat.standing));
        let mut events = self.judge(now);
        if news {
            // What it is before that it is back: it may have become Main meanwhile.
            let first = events.first() == Some(&Event::PeerBack);
            events.insert(if first { 0 } else { events.len() }, Event::PeerSays(beat.standing));
        }
        events
    }

    fn extend_lease(&mut self, beat: &Heartbeat) {
        if let Some(sent_at) = self.echoed(beat).filter(|_| beat.grants_lease) {
            self.lease_until = self.lease_until.max(sent_at.plus(self.patience.lease_ms));
        }
    }

    /// When this server sent what the beat echoes.
    fn echoed(&self, beat: &Heartbeat) -> Option<Moment> {
        let (_, number) = beat.echo.filter(|(boot, _)| *boot == self.me)?;
        self.sent.iter().find(|(sent, _)| *sent == number).map(|(_, sent_at)| *sent_at)
    }

    /// After a standstill: whether it echoes what was sent since.
    fn is_of_now(&self, beat: &Heartbeat) -> bool {
        self.woke.is_none_or(|woke| self.echoed(beat).is_some_and(|sent_at| sent_at >= woke))
    }

    /// The held connection closed and a reconnect was refused: that run of the peer is over.
    pub fn died(&mut self, now: Moment, boot: BootNonce) -> Vec<Event> {
        self.dead = Some(boot);
        self.peer = None;
        self.judge(now)
    }

    /// How far the peer is, and how far it should be. Judged only while answers need the peer (`in_pair`): a follower may be far behind.
    /// Whoever is lost by it makes this server leave its Pair, and stays lost until it has reached what was waited for: leaving disproves
    /// nothing.
    /// One that stores slowly is not lost by it: the pair goes at its pace until [`super::relief`] changes the roles, and flaps otherwise.
    pub fn progress(&mut self, now: Moment, in_pair: bool, wanted: Reach, peers: Reach) {
        let was_in_pair = std::mem::replace(&mut self.in_pair, in_pair);
        let is_lost = self.loss == Some(Loss::NotStoring);
        let advances = std::mem::replace(&mut self.peers_stored, peers.stored) < peers.stored;
        if let (Some((_, since)), true, false) = (&mut self.behind, advances, is_lost) {
            *since = now;
        }
        let awaited = self.behind.map_or(Reach::default(), |(awaited, _)| awaited);
        let reached = peers.covers(awaited);
        // Frames are no longer waited for out of the pair; that takes back nothing of a loss by one.
        let frame = if is_lost { wanted.frame.max(awaited.frame) } else { wanted.frame };
        if peers.covers(Reach { frame, ..wanted }) || (!in_pair && (reached || !is_lost)) {
            self.behind = None;
        } else if in_pair && (reached || !was_in_pair) {
            self.behind = Some((wanted, now));
        }
    }

    /// What this server is. A peer that waits for an arbiter which it may not reach is lost by this one after twice the time that its
    /// own loss took: it gets its grant first, if it can. A server that waits itself gives up such a loss, and one by storing, later on:
    /// the arbiter may be away for all, and two servers that are well must find each other without it.
    /// One that hears of a newer epoch does not: there is nothing to try.
    pub fn stands(&mut self, now: Moment, own: Mode, epoch: Epoch) {
        let waits = self.peer.is_some_and(|(_, standing)| standing.mode == Mode::Suspended);
        let has_waited = |since: Moment, times: u64| now.since(since) >= times * self.patience.silence_ms;
        let may_try = own == Mode::Suspended && self.peer.is_some_and(|(_, standing)| standing.epoch <= epoch);
        if !waits || (may_try && self.idle_peer.is_some_and(|since| has_waited(since, IDLE_TIMES + RETRY_TIMES))) {
            self.idle_peer = None;
        } else if own == Mode::Pair && self.idle_peer.is_none() {
            self.idle_peer = Some(now);
        }
        if may_try && self.behind.is_some_and(|(_, since)| has_waited(since, 1 + RETRY_TIMES)) {
            self.behind = None;
        }
    }

    /// Time has passed. Called before anything else that was waiting is looked at.
    pub fn tick(&mut self, now: Moment) -> Vec<Event> {
        if now.since(std::mem::replace(&mut self.looked, now)) >= self.patience.silence_ms {
            self.woke = Some(now);
        }
        let mut events = self.judge(now);
        if !self.granting && !self.leases_out_told && now >= self.granted_until {
            self.leases_out_told = true;
            events.push(Event::LeasesOut);
        }
        events
    }

    fn judge(&mut self, now: Moment) -> Vec<Event> {
        let loss = self.loss_at(now);
        let first = !self.judged && (loss.is_some() || self.last_heard.is_some());
        if loss == self.loss && !first {
            return Vec::new();
        }
        self.judged = true;
        let before = std::mem::replace(&mut self.loss, loss);
        match (before, loss) {
            // Silence too is news to whoever has made peace with a peer that only did not store.
            (_, Some(Loss::Dead | Loss::Silent)) | (None, Some(_)) => loss.map(Event::PeerLost).into_iter().collect(),
            (Some(_), None) => vec![Event::PeerBack],
            (None, None) if first => vec![Event::PeerBack],
            // Lost already, for another reason.
            (Some(_), Some(_)) | (None, None) => Vec::new(),
        }
    }

    fn loss_at(&self, now: Moment) -> Option<Loss> {
        let has_waited_long = self.idle_peer.is_some_and(|since| now.since(since) >= IDLE_TIMES * self.patience.silence_ms);
        let allowed_ms = if self.last_heard.is_some() { self.patience.silence_ms } else { self.patience.boot_ms };
        if self.dead.is_some() {
            Some(Loss::Dead)
        } else if self.silence_ms(now) >= allowed_ms {
            Some(Loss::Silent)
        } else if has_waited_long || self.peer.is_some_and(|(_, standing)| !standing.can_acknowledge) {
            Some(Loss::CannotAcknowledge)
        } else if self.behind.is_some_and(|(_, since)| now.since(since) >= self.patience.silence_ms) {
            Some(Loss::NotStoring)
        } else {
            None
        }
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
