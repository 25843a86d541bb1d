//! What the arbiter may record: what this server's disk must never be behind again.

use slog::warn;

use super::FailoverCoordinator;
use crate::machines::failover::{State, Toward};
use crate::model::{Application, Position, Sequence};

impl<A: Application> FailoverCoordinator<A> {
    pub(super) fn recordable(&self, stored: Position) -> Option<Position> {
        let both = self.storage.board.peer_stored().min(stored.sequence);
        match self.machine.state() {
            State::Solo(Toward::Nothing) => Some(stored),
            // On the way back answers need the peer: what it lacks must not be asked of it when it has to take over.
            State::Main | State::Solo(_) if both == stored.sequence => Some(stored),
            State::Main | State::Solo(_) if both.0 > 0 => self.position_at(both),
            _ => None,
        }
    }

    fn position_at(&self, sequence: Sequence) -> Option<Position> {
        let in_tail = self.storage.tail.get(sequence).map(|entry| entry.position);
        let in_journal = || match self.storage.reader().position_at(sequence) {
            Ok(position) => position,
            Err(error) => {
                warn!(self.log, "what both hold cannot be recorded"; "reason" => error.to_string());
                None
            }
        };
        in_tail.or_else(in_journal)
    }
}
