//! How far the peer is behind in time: the age of the oldest entry that is stored here and not there.

use std::collections::VecDeque;

use crate::model::{Moment, Sequence};

/// An age is known to this part of itself, and to a beat: people read it.
const PART: u64 = 16;
/// Moments remembered before the needless ones are forgotten. A week of entries in every beat needs 16 × ln(2.4 × 10⁷) = 270.
const MARKS_MAX: usize = 512;

/// Until this moment, this journal held no entry beyond this one.
#[derive(Clone, Copy)]
struct Mark {
    stored: Sequence,
    until: Moment,
}

#[derive(Default)]
pub(super) struct PeerLag {
    /// Ascending in both.
    marks: VecDeque<Mark>,
    /// What the peer last told to have stored: a link that ends makes it tell nothing, not less.
    told: Sequence,
}

impl PeerLag {
    /// Looks at what is stored here and, by its word, at the peer (0: no word). Milliseconds; `None` if that is older than this
    /// server's memory.
    pub(super) fn look(&mut self, now: Moment, stored: Sequence, peer: Sequence) -> Option<u64> {
        if peer > Sequence(0) {
            self.told = peer;
        }
        self.remember(Mark { stored, until: now });
        let lacking = self.marks.partition_point(|mark| mark.stored <= self.told);
        // Of the marks that the peer has reached only the newest says something.
        self.marks.drain(..lacking.saturating_sub(1));
        let reached = self.marks.front().filter(|mark| mark.stored <= self.told)?;
        Some(if self.told >= stored { 0 } else { now.since(reached.until) })
    }

    fn remember(&mut self, mark: Mark) {
        // Of this entry from now on; what was cut off has no age.
        while self.marks.back().is_some_and(|newest| newest.stored >= mark.stored) {
            self.marks.pop_back();
        }
        self.marks.push_back(mark);
        if self.marks.len() > MARKS_MAX {
            self.thin_out(mark.until);
        }
    }

    /// Forgets each mark without which the gap between its neighbours is still a small part of their age.
    fn thin_out(&mut self, now: Moment) {
        let all: Vec<Mark> = self.marks.drain(..).collect();
        for (index, mark) in all.iter().enumerate() {
            let needless = match (self.marks.back(), all.get(index + 1)) {
                (Some(before), Some(after)) => after.until.since(before.until) <= now.since(before.until) / PART,
                (None, _) | (_, None) => false,
            };
            if !needless {
                self.marks.push_back(*mark);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at each (moment, stored here, told by the peer), and gives the last age.
    fn age(looks: impl IntoIterator<Item = (u64, u64, u64)>) -> Option<u64> {
        let mut lag = PeerLag::default();
        looks.into_iter().map(|(now, stored, peer)| lag.look(Moment(now), Sequence(stored), Sequence(peer))).last().flatten()
    }

    #[test]
    fn a_peer_that_has_everything_lags_by_nothing_however_old_it_is() {
        assert_eq!(age([(0, 10, 10), (90_000, 10, 10)]), Some(0));
    }

    #[test]
    fn the_age_counts_from_the_last_moment_without_the_oldest_entry_that_the_peer_lacks() {
        assert_eq!(age([(0, 10, 10), (1_000, 10, 10), (1_025, 12, 10), (1_050, 15, 10)]), Some(50));
        assert_eq!(age([(0, 10, 10), (1_000, 12, 10), (1_025, 15, 12), (1_050, 20, 12)]), Some(50));
    }

    #[test]
    fn a_peer_that_is_always_a_little_behind_does_not_grow_old() {
        assert_eq!(age((1..4_000).map(|beat| (beat * 25, beat * 10, (beat * 10).max(20) - 15))), Some(50));
    }

    #[test]
    fn a_peer_that_died_ages_from_its_death_though_its_link_tells_nothing_any_more() {
        let dead = (1..40_000).map(|beat| (1_000 + beat * 25, 10 + beat, 0));
        let age = age([(1_000, 10, 10)].into_iter().chain(dead)).unwrap();
        assert_eq!(age, 39_999 * 25);
    }

    #[test]
    fn of_what_was_stored_before_this_server_began_to_look_no_age_is_known() {
        assert_eq!(age([(0, 500, 0), (25, 510, 0)]), None);
        assert_eq!(age([(0, 500, 0), (25, 510, 490)]), None);
        assert_eq!(age([(0, 500, 0), (25, 510, 490), (50, 510, 505)]), Some(50));
    }

    #[test]
    fn an_age_of_a_day_is_known_to_a_sixteenth_and_one_of_a_second_to_a_beat() {
        const BEATS: u64 = 86_400 * 40;
        let mut lag = PeerLag::default();
        lag.look(Moment(0), Sequence(1), Sequence(1));
        for beat in 1..=BEATS {
            lag.look(Moment(beat * 25), Sequence(1 + beat), Sequence(0));
        }
        assert!(lag.marks.len() <= MARKS_MAX);
        for missing_beats in [BEATS - 1, BEATS / 2, BEATS / 1_000, 40] {
            let (age, peer) = (missing_beats * 25, BEATS + 1 - missing_beats);
            let told = lag.look(Moment(BEATS * 25), Sequence(BEATS + 1), Sequence(peer)).unwrap();
            assert!(told >= age && told <= age + age / PART + 25, "{told} ms for {age} ms");
        }
    }
}
