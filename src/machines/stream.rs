//! Where a stream begins: the holder's and the follower's decisions when two journals are compared.
//!
//! Within one epoch only one server numbers entries, so two histories part at the end of an epoch, and the last position of an epoch
//! that both hold is common. Digests prove it; nothing is assumed.

use crate::model::{Epoch, Holder, Position, Sequence};

/// What the holder does with the end of the peer's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A Pair's Main that starts anew: the peer may have synced what this server lost; take that over first.
    Fetch { after: Position },
    /// The peer has stored what this run numbered and this server's own disk is still to sync: compare again when it has.
    Store { through: Sequence },
    /// Send from here on.
    Begin { after: Position },
    /// The peer needs entries that this journal no longer holds, or the histories part where they must not.
    Impossible,
}

/// The holder's own history, as far as its journal reaches. A journal that cannot be read decides nothing.
pub trait History {
    type Error;

    /// The position with this sequence, if held.
    ///
    /// # Errors
    /// As the disk says.
    fn at(&self, sequence: Sequence) -> Result<Option<Position>, Self::Error>;
    /// The last position whose epoch is not above this one, if held.
    ///
    /// # Errors
    /// As the disk says.
    fn last_of_epoch(&self, epoch: Epoch) -> Result<Option<Position>, Self::Error>;
    fn end(&self) -> Position;
    /// Numbered in this run, stored or not.
    fn numbered(&self) -> Sequence {
        self.end().sequence
    }
}

/// The holder's decision. `fresh`: nothing was numbered in this run yet.
///
/// # Errors
/// As the history's disk says.
pub fn opening<H: History>(own: &H, holder: Holder, fresh: bool, peer: Position) -> Result<Opening, H::Error> {
    let end = own.end();
    if peer.sequence <= end.sequence && own.at(peer.sequence)? == Some(peer) {
        return Ok(Opening::Begin { after: peer });
    }
    if !fresh && peer.sequence > end.sequence && peer.sequence <= own.numbered() {
        return Ok(Opening::Store { through: peer.sequence });
    }
    Ok(match holder {
        Holder::Pair { .. } if fresh && peer.sequence > end.sequence => Opening::Fetch { after: end },
        // Nothing of a Pair's Sub is ever cut.
        Holder::Pair { .. } => Opening::Impossible,
        Holder::Solo { .. } => common(own, peer)?.map_or(Opening::Impossible, |after| Opening::Begin { after }),
    })
}

/// The newest position of `own` that a history ending at `peer` may hold.
fn common<H: History>(own: &H, peer: Position) -> Result<Option<Position>, H::Error> {
    match own.last_of_epoch(peer.epoch)? {
        Some(last) if last.sequence > peer.sequence => own.at(peer.sequence),
        last => Ok(last),
    }
}

/// What the follower does with the holder's `Begin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Its journal ends exactly there.
    Level,
    /// It has more: an unconfirmed tail, to be kept readable and cut.
    Cut { to: Position },
    /// It does not hold that position; at or before it, its history has this one.
    Differs { mine: Position },
    /// Its store has applied what would be cut: only a later rung of the ladder can help.
    CannotCut,
    /// One number of one epoch stands for two entries: a promise was broken, and nothing may be cut for it.
    Forked,
}

/// The follower's decision. `may_cut`: it is rejoining, not a Pair's Sub.
///
/// # Errors
/// As the history's disk says.
pub fn beginning<H: History>(own: &H, may_cut: bool, applied: Position, after: Position) -> Result<Beginning, H::Error> {
    let end = own.end();
    if end == after {
        return Ok(Beginning::Level);
    }
    let held = own.at(after.sequence)?;
    if held.is_some_and(|held| held.epoch == after.epoch && held != after) {
        return Ok(Beginning::Forked);
    }
    if held != Some(after) {
        let mine = common(own, after)?.unwrap_or(Position::GENESIS);
        // The same answer twice would never end: a position below says where to look next.
        return Ok(Beginning::Differs { mine: if mine == after { end } else { mine } });
    }
    if !may_cut || applied.sequence > after.sequence {
        return Ok(Beginning::CannotCut);
    }
    Ok(Beginning::Cut { to: after })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::model::{Digest, ServerId};

    /// Entries as (epoch, content): equal prefixes have equal digests.
    struct Made(Vec<Position>);

    fn made(entries: &[(u64, u8)]) -> Made {
        let mut positions = vec![Position::GENESIS];
        let mut digest = [0u8; 32];
        for (index, (epoch, content)) in entries.iter().enumerate() {
            digest.rotate_left(1);
            digest[0] = digest[0].wrapping_mul(31).wrapping_add(*content).wrapping_add(*epoch as u8);
            let sequence = Sequence(index as u64 + 1);
            positions.push(Position { epoch: Epoch(*epoch), sequence, digest: Digest(digest) });
        }
        Made(positions)
    }

    impl History for Made {
        type Error = Infallible;

        fn at(&self, sequence: Sequence) -> Result<Option<Position>, Infallible> {
            Ok(self.0.get(sequence.0 as usize).copied())
        }
        fn last_of_epoch(&self, epoch: Epoch) -> Result<Option<Position>, Infallible> {
            Ok(self.0.iter().rev().find(|position| position.epoch <= epoch).copied())
        }
        fn end(&self) -> Position {
            self.0[self.0.len() - 1]
        }
    }

    fn opening(own: &Made, holder: Holder, fresh: bool, peer: Position) -> Opening {
        let Ok(opening) = super::opening(own, holder, fresh, peer);
        opening
    }

    fn beginning(own: &Made, may_cut: bool, applied: Position, after: Position) -> Beginning {
        let Ok(beginning) = super::beginning(own, may_cut, applied, after);
        beginning
    }

    const PAIR: Holder = Holder::Pair { main: ServerId::A };
    const SOLO: Holder = Holder::Solo { server: ServerId::A };

    /// Both sides until they agree; the sequence where the stream begins, and whether something was cut.
    fn negotiate(holder: &Made, follower: &Made) -> (u64, bool) {
        let mut peer = follower.end();
        for _ in 0..64 {
            let Opening::Begin { after } = opening(holder, SOLO, false, peer) else { panic!("must begin") };
            match beginning(follower, true, Position::GENESIS, after) {
                Beginning::Level => return (after.sequence.0, false),
                Beginning::Cut { to } => return (to.sequence.0, true),
                Beginning::Differs { mine } => peer = mine,
                Beginning::CannotCut | Beginning::Forked => panic!("nothing is applied, and no epoch has two histories"),
            }
        }
        panic!("does not end")
    }

    #[test]
    fn a_peer_that_is_behind_is_streamed_to_from_its_end() {
        let holder = made(&[(1, 1), (1, 2), (2, 3)]);
        let after = made(&[(1, 1), (1, 2)]).end();
        assert_eq!(opening(&holder, SOLO, false, after), Opening::Begin { after });
    }

    #[test]
    fn a_main_that_starts_anew_takes_over_what_its_sub_has_beyond() {
        let (main, sub) = (made(&[(1, 1)]), made(&[(1, 1), (1, 2)]));
        assert_eq!(opening(&main, PAIR, true, sub.end()), Opening::Fetch { after: main.end() });
    }

    /// A journal whose disk is slower than the peer's.
    struct Syncing(Made, u64);

    impl History for Syncing {
        type Error = Infallible;

        fn at(&self, sequence: Sequence) -> Result<Option<Position>, Infallible> {
            self.0.at(sequence)
        }
        fn last_of_epoch(&self, epoch: Epoch) -> Result<Option<Position>, Infallible> {
            self.0.last_of_epoch(epoch)
        }
        fn end(&self) -> Position {
            self.0.end()
        }
        fn numbered(&self) -> Sequence {
            Sequence(self.1)
        }
    }

    #[test]
    fn what_the_peer_stored_first_is_waited_for_and_neither_refused_nor_cut() {
        let peer = made(&[(1, 1), (1, 2), (1, 3)]).end();
        for holder in [PAIR, SOLO] {
            let own = Syncing(made(&[(1, 1)]), 3);
            assert_eq!(super::opening(&own, holder, false, peer), Ok(Opening::Store { through: peer.sequence }));
        }
        let own = Syncing(made(&[(1, 1)]), 2);
        assert_eq!(super::opening(&own, PAIR, false, peer), Ok(Opening::Impossible), "this run never numbered it");
    }

    #[test]
    fn nothing_of_a_sub_is_ever_cut() {
        let (main, sub) = (made(&[(1, 1), (1, 9)]), made(&[(1, 1), (1, 2)]));
        assert_eq!(opening(&main, PAIR, true, sub.end()), Opening::Impossible);
        assert_eq!(beginning(&sub, false, Position::GENESIS, made(&[(1, 1)]).end()), Beginning::CannotCut);
    }

    #[test]
    fn an_unconfirmed_tail_is_cut_back_to_where_the_survivor_took_over() {
        let survivor = made(&[(1, 1), (1, 2), (2, 7), (2, 8)]);
        let returned = made(&[(1, 1), (1, 2), (1, 3), (1, 4), (1, 5)]);
        assert_eq!(negotiate(&survivor, &returned), (2, true));
    }

    #[test]
    fn a_tail_longer_than_the_survivors_history_is_cut_too() {
        let survivor = made(&[(1, 1)]);
        let returned = made(&[(1, 1), (1, 2), (1, 3)]);
        assert_eq!(negotiate(&survivor, &returned), (1, true));
    }

    #[test]
    fn histories_that_parted_epochs_ago_find_their_common_part() {
        let holder = made(&[(1, 1), (2, 2), (5, 3), (5, 4), (6, 5)]);
        let returned = made(&[(1, 1), (2, 2), (2, 3), (4, 4), (4, 5), (4, 6)]);
        assert_eq!(negotiate(&holder, &returned), (2, true));
    }

    #[test]
    fn one_epoch_with_two_histories_is_named_and_not_negotiated_about() {
        let follower = made(&[(1, 1), (2, 2), (2, 3)]);
        let after = made(&[(1, 1), (2, 9)]).end();
        assert_eq!(beginning(&follower, true, Position::GENESIS, after), Beginning::Forked);
    }

    #[test]
    fn what_the_store_has_applied_is_not_cut() {
        let follower = made(&[(1, 1), (1, 2)]);
        let after = made(&[(1, 1)]).end();
        assert_eq!(beginning(&follower, true, follower.end(), after), Beginning::CannotCut);
    }
}
