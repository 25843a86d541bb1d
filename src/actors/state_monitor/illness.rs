//! What ails this server, and what it does about it.

use slog::{info, warn};

use super::Round;
use crate::actors::state_monitor::tell;
use crate::clock;
use crate::config::limits;
use crate::machines::failover::Event;
use crate::machines::relief::{Part, Patience, Signs, Wish};
use crate::model::{Complaints, Mode, Role};

/// What a server's own health is judged by, where a disk hangs from `silence_ms` on.
pub const fn patience(silence_ms: u64) -> Patience {
    Patience { hanging_sync_ms: silence_ms, ..PATIENCE }
}

const PATIENCE: Patience = Patience {
    slow_sync_ms: limits::SLOW_SYNC_MS,
    // As configured.
    hanging_sync_ms: u64::MAX,
    slow_syncs: limits::SLOW_SYNCS,
    slow_within_ms: limits::SLOW_SYNCS_WITHIN_MS,
    store_ms: limits::STORE_ILL_MS,
    lan_ms: limits::LAN_ILL_MS,
    well_ms: limits::WELL_MS,
    well_disk_ms: limits::WELL_DISK_MS,
    hold_ms: limits::HOLD_MS,
    hold_max_ms: limits::HOLD_MS_MAX,
};

impl Round {
    /// A disk that does not answer cannot acknowledge: the peer hears it before it would notice, and this server asks for nothing.
    pub(super) fn look_at_the_disk(&self) -> bool {
        let limit_ms = self.settings.patience.silence_ms;
        let hangs = self.board.syncing_since().is_some_and(|since| clock::now().since(since) >= limit_ms);
        if self.board.set_disk_hangs(hangs) && hangs {
            warn!(self.log, "the journal's disk does not answer: the other server is told"; "limit_ms" => limit_ms);
        }
        hangs
    }

    pub(super) fn look_at_own_health(&mut self) {
        let now = clock::now();
        let signs = Signs {
            syncing_since: self.board.syncing_since(),
            store_fails: self.board.store_fails() || self.board.journal_is_long(),
            lan_fails: self.board.lan_fails(),
            arbiter_silent: !self.shown.arbiter_answers(now),
            arbiter_heard: self.shown.arbiter_heard(),
        };
        let before = self.relief.complaints();
        let complaints = self.relief.notice(now, signs);
        self.tell_complaints(before, complaints);
        let left = self.relief.leaves(now);
        let peer_is_heard = self.watching.health.borrow().loss().is_none();
        let wish = self.relief.decide(now, self.part(), peer_is_heard.then_some(self.peer_complaints));
        let held_ms = self.relief.held_until().since(now);
        match wish {
            Some(Wish::HandOver) => {
                warn!(self.log, "ill, and the other server is well: it shall be main"; "because" => words(complaints), "hold_ms" => held_ms);
                tell(&self.coordinator, &self.shown, vec![Event::SwitchoverWanted]);
            }
            Some(Wish::Leave) => {
                warn!(self.log, "ill, and the other server is well: it shall go on without this one";
                    "because" => words(complaints), "hold_ms" => held_ms);
            }
            None if left && !self.relief.leaves(now) => info!(self.log, "well again: the other server may count on this one"),
            None => {}
        }
        let peer_complaints = self.peer_complaints;
        self.shown.update(|view| {
            (view.complaints, view.peer_complaints, view.leaves) = (complaints, peer_complaints, self.relief.leaves(now))
        });
    }

    fn part(&self) -> Part {
        match self.watching.standing.get() {
            Some(standing) if standing.mode == Mode::Pair && standing.role == Role::Main => Part::Main,
            Some(standing) if standing.mode == Mode::Pair && standing.role == Role::Sub => Part::Sub,
            Some(standing) if standing.mode == Mode::Rejoining => Part::Returning,
            _ => Part::None,
        }
    }

    fn tell_complaints(&self, before: Complaints, now: Complaints) {
        if before.is_ill() && !now.is_ill() {
            info!(self.log, "nothing ails this server any more");
        } else if words(before) != words(now) {
            warn!(self.log, "this server is ill"; "because" => words(now));
        }
    }
}

fn words(complaints: Complaints) -> String {
    complaints.words().collect::<Vec<_>>().join("; ")
}
