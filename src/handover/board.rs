//! How far everybody is. Read by all; a position is written by whoever moves it (what is confirmed: by whoever passes the gate).
//!
//! All orderings are SeqCst: two threads that each store their position and read the other's lose a confirmation otherwise (tried).

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use super::locked;
use crate::model::{Epoch, Moment, Position, Sequence};

#[derive(Debug, Default)]
pub struct Board {
    executed: AtomicU64,
    stored: AtomicU64,
    peer_stored: AtomicU64,
    peer_said: AtomicU64,
    confirmed: AtomicU64,
    told: AtomicU64,
    applied: AtomicU64,
    epoch: AtomicU64,
    lease_until: AtomicU64,
    /// When the store last had everything that the holder had told to be confirmed.
    fresh_at: AtomicU64,
    /// Frames of the stream begun, and the newest whose arrival the peer has told.
    frames_begun: AtomicU64,
    frames_arrived: AtomicU64,
    /// A frame at or above this one is wanted by a waiting read.
    frame_wanted: AtomicU64,
    /// Somebody waits until the store has reached this.
    applied_wanted: AtomicU64,
    /// ReplicationApplier was told that more is confirmed, and has not looked yet.
    applying_asked: AtomicBool,
    /// When the write and fdatasync under way began; 0 between two.
    syncing_since: AtomicU64,
    disk_hangs: AtomicBool,
    /// The store could not be read, or written, at the last try.
    reading_fails: AtomicBool,
    applying_fails: AtomicBool,
    journal_is_long: AtomicBool,
    holds_back: AtomicBool,
    waits_to_start: AtomicBool,
    lan_fails: AtomicBool,
    stays_out: Mutex<Option<&'static str>>,
    stored_position: Mutex<Position>,
    applied_position: Mutex<Position>,
    applied_most: AtomicU64,
}

macro_rules! sequences {
    ($($get:ident $set:ident $doc:literal),* $(,)?) => {
        $(
            #[doc = $doc]
            pub fn $get(&self) -> Sequence { Sequence(self.$get.load(SeqCst)) }
            pub fn $set(&self, sequence: Sequence) { self.$get.store(sequence.0, SeqCst); }
        )*
    };
}

impl Board {
    sequences! {
        executed set_executed "Numbered by DataUpdater, or received from the holder.",
        peer_stored set_peer_stored "Durable in the peer's journal, by its word and with our own digest.",
        peer_said set_peer_said "Durable in the peer's journal by its last heartbeat, whatever this server holds of it.",
        confirmed set_confirmed "Entries up to here may be acknowledged and applied.",
        told set_told "Confirmed by the holder's word, while this server follows one; else 0.",
    }

    /// Durable in this server's journal.
    pub fn stored(&self) -> Sequence {
        Sequence(self.stored.load(SeqCst))
    }

    pub fn stored_position(&self) -> Position {
        *locked(&self.stored_position)
    }

    pub fn set_stored(&self, position: Position) {
        *locked(&self.stored_position) = position;
        self.stored.store(position.sequence.0, SeqCst);
    }

    /// What the peer is known to have stored: by the stream, or, without one, by its last heartbeat. 0 if it was never heard.
    pub fn peer_known(&self) -> Sequence {
        self.peer_stored().max(self.peer_said())
    }

    pub fn set_syncing_since(&self, since: Option<Moment>) {
        self.syncing_since.store(since.map_or(0, |since| since.0.max(1)), SeqCst);
    }

    pub fn syncing_since(&self) -> Option<Moment> {
        Some(Moment(self.syncing_since.load(SeqCst))).filter(|since| since.0 > 0)
    }

    /// The disk has not answered for so long that this server is as good as lost, by StateMonitor's word.
    pub fn disk_hangs(&self) -> bool {
        self.disk_hangs.load(SeqCst)
    }

    /// Tells whether that is news.
    pub fn set_disk_hangs(&self, hangs: bool) -> bool {
        self.disk_hangs.swap(hangs, SeqCst) != hangs
    }

    /// Whether the store is away, locked or full, by the last try of DataUpdater or of ReplicationApplier.
    pub fn store_fails(&self) -> bool {
        self.reading_fails.load(SeqCst) || self.applying_fails.load(SeqCst)
    }

    /// Whether it could not be read at the last try of DataUpdater: commands are told to try again.
    pub fn reading_fails(&self) -> bool {
        self.reading_fails.load(SeqCst)
    }

    pub fn set_reading_fails(&self, fails: bool) {
        self.reading_fails.store(fails, SeqCst);
    }

    pub fn set_applying_fails(&self, fails: bool) {
        self.applying_fails.store(fails, SeqCst);
    }

    /// The store keeps the journal from letting go of so much that its disk is in danger.
    pub fn journal_is_long(&self) -> bool {
        self.journal_is_long.load(SeqCst)
    }

    /// Tells whether that is news.
    pub fn set_journal_is_long(&self, is_long: bool) -> bool {
        self.journal_is_long.swap(is_long, SeqCst) != is_long
    }

    /// DataUpdater executes nothing, by its own word: what is executed is all there will be.
    pub fn holds_back(&self) -> bool {
        self.holds_back.load(SeqCst)
    }

    pub fn set_holds_back(&self, holds_back: bool) {
        self.holds_back.store(holds_back, SeqCst);
    }

    /// DataUpdater executes nothing before the store has everything of the run before.
    pub fn waits_to_start(&self) -> bool {
        self.waits_to_start.load(SeqCst)
    }

    pub fn set_waits_to_start(&self, waits: bool) {
        self.waits_to_start.store(waits, SeqCst);
    }

    /// Clients do not reach this server: no carrier, or an address that cannot be held.
    pub fn lan_fails(&self) -> bool {
        self.lan_fails.load(SeqCst)
    }

    pub fn set_lan_fails(&self, fails: bool) {
        self.lan_fails.store(fails, SeqCst);
    }

    /// Everything that was executed is stored on both.
    pub fn is_drained(&self) -> bool {
        self.holds_back() && self.stored().min(self.peer_stored()) >= self.executed()
    }

    /// The code for which this server refuses the stream of whoever has newer data: nothing is restored here.
    pub fn stays_out(&self) -> Option<&'static str> {
        *locked(&self.stays_out)
    }

    pub fn set_stays_out(&self, code: Option<&'static str>) {
        *locked(&self.stays_out) = code;
    }

    /// In this server's store.
    pub fn applied(&self) -> Sequence {
        Sequence(self.applied.load(SeqCst))
    }

    pub fn applied_position(&self) -> Position {
        *locked(&self.applied_position)
    }

    pub fn set_applied(&self, position: Position) {
        *locked(&self.applied_position) = position;
        self.applied_most.fetch_max(position.sequence.0, SeqCst);
        self.applied.store(position.sequence.0, SeqCst);
    }

    /// The furthest that the store has been in this run. What it had applied is in no other memory: whoever reads by key must not
    /// take it for current before it is there again. (PostgreSQL loses its last commits when it is killed.)
    pub fn applied_most(&self) -> Sequence {
        Sequence(self.applied_most.load(SeqCst))
    }

    /// From now on whoever applies does not wait for more before it has reached this, and tells when it has moved. Look at
    /// [`Self::applied`] after this call, not before: what was applied in between is not told.
    pub fn want_applied(&self, through: Sequence) {
        self.applied_wanted.fetch_max(through.0, SeqCst);
    }

    /// Whether somebody waited for the store to get beyond this.
    pub fn is_wanted_beyond(&self, applied: Sequence) -> bool {
        self.applied_wanted.load(SeqCst) > applied.0
    }

    /// Whether ReplicationApplier must be told that more is confirmed.
    #[must_use]
    pub fn ask_to_apply(&self) -> bool {
        !self.applying_asked.swap(true, SeqCst)
    }

    /// It looks now: what is confirmed from here on must be told again.
    pub fn begin_applying(&self) {
        self.applying_asked.store(false, SeqCst);
    }

    /// A journal that was cut, or begins anew, ends here: nothing behind it is confirmed.
    pub fn lower_confirmed(&self, to: Sequence) {
        self.confirmed.fetch_min(to.0, SeqCst);
    }

    /// Raises what is confirmed; tells whether it rose.
    pub fn raise_confirmed(&self, to: Sequence) -> bool {
        self.confirmed.fetch_max(to.0, SeqCst) < to.0
    }

    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(SeqCst))
    }

    pub fn set_epoch(&self, epoch: Epoch) {
        self.epoch.store(epoch.0, SeqCst);
    }

    /// When the store last had everything that the holder had told; `None` before the first time.
    pub fn fresh_at(&self) -> Option<Moment> {
        Some(Moment(self.fresh_at.load(SeqCst))).filter(|moment| moment.0 > 0)
    }

    pub fn set_fresh_at(&self, now: Moment) {
        self.fresh_at.store(now.0, SeqCst);
    }

    pub fn lease_until(&self) -> Moment {
        Moment(self.lease_until.load(SeqCst))
    }

    pub fn set_lease_until(&self, until: Moment) {
        self.lease_until.store(until.0, SeqCst);
    }

    /// A frame is about to be built: its number. Whatever was asked before this call is answered by its arrival.
    pub fn begin_frame(&self) -> u64 {
        self.frames_begun.fetch_add(1, SeqCst) + 1
    }

    /// The number of the first frame that will be built after this call; it is wanted.
    pub fn want_frame(&self) -> u64 {
        let wanted = self.frames_begun.load(SeqCst) + 1;
        self.frame_wanted.fetch_max(wanted, SeqCst);
        wanted
    }

    pub fn frame_is_wanted(&self) -> bool {
        self.frame_wanted.load(SeqCst) > self.frames_begun.load(SeqCst)
    }

    pub fn frames_arrived(&self) -> u64 {
        self.frames_arrived.load(SeqCst)
    }

    pub fn set_frames_arrived(&self, frame: u64) {
        self.frames_arrived.fetch_max(frame, SeqCst);
    }
}
