//! Which authentic heartbeats count. Pure, and without any clock: a recording of earlier heartbeats must prove nothing.
//!
//! A run of the peer is *proven* once it has echoed a heartbeat of this run of ours. To take over from another proven run it must echo
//! a heartbeat that we sent after the last one that counted: the former run was dead by then and can never have heard it, however long
//! its heartbeats were held back. Of a proven run, only rising numbers count.

use crate::model::{BeatNo, BootNonce, Heartbeat};

/// What a heartbeat was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It counts.
    Counts,
    /// It counts and is the first of this run of the peer: the peer was started anew.
    CountsAsNewRun,
    /// Its run has not echoed us yet: it does not hear us, or it is a recording of an earlier time.
    Unproven,
    /// A duplicate, late, or replayed: its number is not above the last.
    Old,
}

impl Heard {
    pub fn counts(self) -> bool {
        matches!(self, Self::Counts | Self::CountsAsNewRun)
    }
}

/// Filter for the heartbeats of the peer, whichever path they come on.
#[derive(Clone, Debug)]
pub struct Hearing {
    own_boot: BootNonce,
    proven: Option<ProvenRun>,
    /// Newest heartbeat of a run that is not proven.
    candidate: Option<(BootNonce, BeatNo)>,
}

#[derive(Clone, Copy, Debug)]
struct ProvenRun {
    boot: BootNonce,
    /// Of its heartbeats that counted, the newest.
    last: BeatNo,
    /// The newest heartbeat that we had sent when that one came.
    sent_by_then: BeatNo,
}

impl Hearing {
    pub fn new(own_boot: BootNonce) -> Self {
        Self { own_boot, proven: None, candidate: None }
    }

    /// Judges an authentic heartbeat of the peer; `sent` is the newest heartbeat that this server has sent so far.
    pub fn hear(&mut self, beat: &Heartbeat, sent: BeatNo) -> Heard {
        let heard = match self.proven {
            Some(proven) if proven.boot == beat.boot && beat.number <= proven.last => Heard::Old,
            Some(proven) if proven.boot == beat.boot => Heard::Counts,
            Some(_) | None if self.proves_its_run(beat) => Heard::CountsAsNewRun,
            Some(_) | None => Heard::Unproven,
        };
        if heard.counts() {
            self.proven = Some(ProvenRun { boot: beat.boot, last: beat.number, sent_by_then: sent });
        } else if heard == Heard::Unproven && self.candidate.is_none_or(|(boot, last)| boot != beat.boot || last < beat.number) {
            self.candidate = Some((beat.boot, beat.number));
        }
        heard
    }

    /// What our own heartbeats echo: the newest that counted; before the first of them, the newest of a run still unproven, because two
    /// servers that both start anew would otherwise wait for each other's echo. An echo of a recording extends nothing: whoever
    /// reads it looks for its own boot nonce.
    pub fn echo(&self) -> Option<(BootNonce, BeatNo)> {
        self.proven.map(|run| (run.boot, run.last)).or(self.candidate)
    }

    fn proves_its_run(&self, beat: &Heartbeat) -> bool {
        let Some((boot, echoed)) = beat.echo else { return false };
        boot == self.own_boot && self.proven.is_none_or(|former| echoed > former.sent_by_then)
    }
}

#[cfg(test)]
mod tests {
    use super::super::heartbeat::tests::beat;
    use super::*;

    const OWN: BootNonce = BootNonce(100);

    /// Boot, number, echo, and the newest heartbeat that we had sent by then.
    type Came = (u64, u64, Option<(u64, u64)>, u64);

    fn hear_all(beats: &[Came]) -> Vec<Heard> {
        let mut hearing = Hearing::new(OWN);
        let judge = |&(boot, number, echo, sent): &Came| hearing.hear(&beat(boot, number, echo), BeatNo(sent));
        beats.iter().map(judge).collect()
    }

    #[test]
    fn a_run_counts_once_it_has_echoed_us_and_from_then_on_without_echo_too() {
        let heard = hear_all(&[(1, 1, None, 1), (1, 2, Some((100, 1)), 2), (1, 3, None, 3)]);
        assert_eq!(heard, [Heard::Unproven, Heard::CountsAsNewRun, Heard::Counts]);
    }

    #[test]
    fn a_link_that_carries_one_way_only_never_proves_the_peer() {
        assert!(hear_all(&(1..50).map(|n| (1, n, None, n)).collect::<Vec<_>>()).iter().all(|heard| *heard == Heard::Unproven));
    }

    #[test]
    fn duplicates_and_late_ones_on_a_slower_path_do_not_count() {
        let echo = Some((100, 1));
        let heard = hear_all(&[(1, 5, echo, 1), (1, 5, echo, 1), (1, 4, echo, 1), (1, 7, echo, 1), (1, 6, echo, 1)]);
        assert_eq!(heard, [Heard::CountsAsNewRun, Heard::Old, Heard::Old, Heard::Counts, Heard::Old]);
    }

    #[test]
    fn a_recording_that_echoes_an_earlier_run_of_ours_does_not_count() {
        assert_eq!(hear_all(&[(1, 9_000, Some((99, 8_999)), 1)]), [Heard::Unproven]);
    }

    #[test]
    fn a_restarted_peer_counts_when_it_echoes_what_we_sent_since() {
        let heard = hear_all(&[(1, 5, Some((100, 3)), 4), (2, 1, None, 5), (2, 2, Some((100, 5)), 6), (2, 3, None, 7)]);
        assert_eq!(heard, [Heard::CountsAsNewRun, Heard::Unproven, Heard::CountsAsNewRun, Heard::Counts]);
    }

    #[test]
    fn heartbeats_held_back_from_a_former_run_never_displace_its_successor() {
        let successor = [(1, 5, Some((100, 3)), 4), (2, 1, Some((100, 9)), 10)];
        // Numbers above the last that was heard of run 1, and echoes of everything that it can have heard while it lived.
        let held_back = (6..=9).map(|number| (1, number, Some((100, number)), 11));
        let heard = hear_all(&successor.into_iter().chain(held_back).collect::<Vec<_>>());
        assert!(heard[2..].iter().all(|heard| *heard == Heard::Unproven), "{heard:?}");
    }

    #[test]
    fn two_servers_that_start_anew_prove_themselves_to_each_other() {
        let (mut a, mut b) = (Hearing::new(BootNonce(10)), Hearing::new(BootNonce(20)));
        let mut counted = [0, 0];
        for n in 1..=3 {
            let (from_a, from_b) = (a.echo().map(|(boot, n)| (boot.0, n.0)), b.echo().map(|(boot, n)| (boot.0, n.0)));
            counted[0] += u32::from(b.hear(&beat(10, n, from_a), BeatNo(n)).counts());
            counted[1] += u32::from(a.hear(&beat(20, n, from_b), BeatNo(n)).counts());
        }
        assert_eq!(counted, [2, 2]);
    }
}
