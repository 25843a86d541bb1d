//! Grey failures: what ails a server that could acknowledge, and when one that is ill makes way for one that is well.
//!
//! Damped: a hand-over from a server that lives is never urgent, and two that are ill in turn must not throw the roles to and fro. Whoever
//! is dead or silent is taken over by [`super::health`]'s word, whatever is held down here.

use std::collections::VecDeque;

use crate::model::{Complaints, Moment};

/// Milliseconds; see `config::limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A sync of the journal is slow from here on, and hangs from there.
    pub slow_sync_ms: u64,
    pub hanging_sync_ms: u64,
    /// So many slow ones within `slow_within_ms` make the disk a slow one.
    pub slow_syncs: usize,
    pub slow_within_ms: u64,
    /// Without a break before it is a complaint: a lock or a plug that is put back costs less than a change of roles.
    pub store_ms: u64,
    pub lan_ms: u64,
    /// How long nothing may be seen of it before it is over; the peer is well after as long.
    pub well_ms: u64,
    /// The same of a slow disk.
    pub well_disk_ms: u64,
    /// No hand-over for so long after one; doubled up to `hold_max_ms` while they come within ten times of it.
    pub hold_ms: u64,
    pub hold_max_ms: u64,
}

/// What is seen of this server at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// When the sync under way began.
    pub syncing_since: Option<Moment>,
    pub store_fails: bool,
    pub lan_fails: bool,
    pub arbiter_silent: bool,
    /// When the arbiter was last heard.
    pub arbiter_heard: Option<Moment>,
}

/// What this server is in its Pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Main,
    Sub,
    /// It follows whoever serves alone, on its way back.
    Returning,
    /// Alone, or nothing yet.
    None,
}

/// What an ill server does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Main: switch over.
    HandOver,
    /// Say that it cannot acknowledge, so that the peer goes on without it. For as long as it is ill.
    Leave,
}

#[derive(Clone, Debug)]
pub struct Relief {
    patience: Patience,
    slow_syncs: VecDeque<Moment>,
    /// When a sync was last seen to hang.
    hung: Option<Moment>,
    journal: Ill,
    store: Ill,
    lan: Ill,
    complaints: Complaints,
    peer_well_since: Option<Moment>,
    part: Part,
    leaves: bool,
    arbiter_heard: Option<Moment>,
    hold_ms: u64,
    hold_until: Moment,
    last: Option<Moment>,
}

/// One thing that may ail.
#[derive(Clone, Copy, Debug, Default)]
struct Ill {
    since: Option<Moment>,
    seen: Option<Moment>,
    is_complaint: bool,
}

impl Ill {
    fn look(&mut self, now: Moment, seen: bool, after_ms: u64, well_ms: u64) -> bool {
        if seen {
            let since = *self.since.get_or_insert(now);
            self.seen = Some(now);
            self.is_complaint |= now.since(since) >= after_ms;
        } else {
            let is_over = self.seen.is_none_or(|seen| now.since(seen) >= well_ms);
            self.is_complaint &= !is_over;
            self.since = None;
        }
        self.is_complaint
    }
}

impl Relief {
    pub fn new(patience: Patience) -> Self {
        Self {
            patience,
            slow_syncs: VecDeque::with_capacity(patience.slow_syncs),
            hung: None,
            journal: Ill::default(),
            store: Ill::default(),
            lan: Ill::default(),
            complaints: Complaints::default(),
            peer_well_since: None,
            part: Part::None,
            leaves: false,
            arbiter_heard: None,
            hold_ms: patience.hold_ms,
            hold_until: Moment(0),
            last: None,
        }
    }

    pub fn complaints(&self) -> Complaints {
        self.complaints
    }

    /// Whether this server says that it cannot acknowledge: ill, or its disk hung a moment ago. The peer needs longer to act on that
    /// than a sync may hang, and the two would lose and find each other for ever.
    pub fn leaves(&self, now: Moment) -> bool {
        self.leaves || self.hung.is_some_and(|hung| now.since(hung) < self.patience.well_ms)
    }

    /// No hand-over before.
    pub fn held_until(&self) -> Moment {
        self.hold_until
    }

    /// What ails this server, after these signs.
    pub fn notice(&mut self, now: Moment, signs: Signs) -> Complaints {
        let patience = self.patience;
        self.arbiter_heard = signs.arbiter_heard;
        let disk_is_slow = self.look_at_the_disk(now, signs.syncing_since);
        self.complaints = Complaints {
            journal: self.journal.look(now, disk_is_slow, 0, patience.well_disk_ms),
            store: self.store.look(now, signs.store_fails, patience.store_ms, patience.well_ms),
            lan: self.lan.look(now, signs.lan_fails, patience.lan_ms, patience.well_ms),
            arbiter: signs.arbiter_silent,
        };
        self.complaints
    }

    /// Each slow sync counts once, by when it began.
    fn look_at_the_disk(&mut self, now: Moment, syncing_since: Option<Moment>) -> bool {
        let Patience { slow_sync_ms, hanging_sync_ms, slow_syncs, slow_within_ms, .. } = self.patience;
        if syncing_since.is_some_and(|since| now.since(since) >= hanging_sync_ms) {
            self.hung = Some(now);
        }
        if let Some(since) = syncing_since
            && now.since(since) >= slow_sync_ms
            && self.slow_syncs.back() != Some(&since)
        {
            if self.slow_syncs.len() == slow_syncs {
                self.slow_syncs.pop_front();
            }
            self.slow_syncs.push_back(since);
        }
        self.slow_syncs.len() == slow_syncs && self.slow_syncs.front().is_some_and(|first| now.since(*first) < slow_within_ms)
    }

    /// What to do about it, given what the peer says of itself (`None`: it is not heard).
    pub fn decide(&mut self, now: Moment, part: Part, peer: Option<Complaints>) -> Option<Wish> {
        self.follow(now, part, peer);
        let own = self.complaints;
        self.leaves &= own.journal || own.lan;
        // It would be taken in only to leave again.
        self.leaves |= part == Part::Returning && own.journal;
        let could_go_on = peer.is_some_and(|peer| !peer.is_ill() && !peer.arbiter);
        let well_since = could_go_on.then(|| *self.peer_well_since.get_or_insert(now));
        self.peer_well_since = well_since;
        let peer_is_well = well_since.is_some_and(|since| now.since(since) >= self.patience.well_ms);
        if !own.is_ill() || !peer_is_well || self.leaves || now < self.hold_until {
            return None;
        }
        let wish = match part {
            // Clients do not reach it, and neither does it reach the arbiter, as far as it knows: only the peer can act.
            Part::Main if own.lan && !self.heard_since_the_lan_failed() => Wish::Leave,
            // Now and again it cannot acknowledge: a switchover would be cut short by that.
            Part::Main if own.journal && self.hung.is_some_and(|hung| now.since(hung) < self.patience.slow_within_ms) => {
                Wish::Leave
            }
            Part::Main if !own.arbiter => Wish::HandOver,
            // Each answer of the pair waits for this disk.
            Part::Sub if own.journal => Wish::Leave,
            Part::Main | Part::Sub | Part::Returning | Part::None => return None,
        };
        self.leaves = wish == Wish::Leave;
        self.hold_down(now);
        Some(wish)
    }

    /// An arbiter that was heard before the cable was pulled may be behind that cable.
    fn heard_since_the_lan_failed(&self) -> bool {
        self.arbiter_heard.is_some_and(|heard| self.lan.since.is_none_or(|since| heard > since))
    }

    /// A Sub that an ill Main made Main holds on as well: it may be ill in its turn. One that a person made Main, or a death, does not.
    fn follow(&mut self, now: Moment, part: Part, peer: Option<Complaints>) {
        if (self.part, part) == (Part::Sub, Part::Main) && peer.is_some_and(Complaints::is_ill) {
            self.hold_down(now);
        }
        // On the way from one part to the other it has none for a moment.
        if matches!(part, Part::Main | Part::Sub) {
            self.part = part;
        }
    }

    fn hold_down(&mut self, now: Moment) {
        let again = self.last.is_some_and(|last| now.since(last) < 10 * self.hold_ms);
        self.hold_ms = if again { (2 * self.hold_ms).min(self.patience.hold_max_ms) } else { self.patience.hold_ms };
        self.hold_until = now.plus(self.hold_ms);
        self.last = Some(now);
    }
}

#[cfg(test)]
#[path = "relief_tests.rs"]
mod tests;
