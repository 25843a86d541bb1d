//! Whether a service address is free on the segment before it is added (RFC 5227): asked for a few times, and heard of meanwhile.

use crate::model::Moment;

/// How long is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Without an answer to so many probes, an address is free.
    pub probes: u32,
    /// Between two of them, and after the last, milliseconds.
    pub spacing_ms: u64,
    /// From the end of a round that found an owner to the next one.
    pub again_ms: u64,
}

/// What is known of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The round is not over.
    Asking,
    /// Nobody has it, or only the peer: between the two, grants and leases decide.
    Free,
    /// A third machine has it, of this hardware address.
    Taken([u8; 6]),
}

/// One address, asked for in rounds until it is free.
#[derive(Clone, Debug)]
pub struct Occupancy {
    patience: Patience,
    sent: u32,
    next: Moment,
    stations: Vec<Heard>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Heard {
    station: [u8; 6],
    has_it: bool,
}

/// A segment on which more stations answer for one address is told of these, and of the others as soon as they are gone.
const STATIONS_MAX: usize = 4;

impl Occupancy {
    pub fn new(patience: Patience, now: Moment) -> Self {
        Self { patience, sent: 0, next: now, stations: Vec::new() }
    }

    /// Whether a probe is to be sent now. The round after one that found an owner begins with it.
    pub fn wants_probe(&mut self, now: Moment, peer: Option<[u8; 6]>) -> bool {
        if self.due(peer).is_none_or(|due| now < due) {
            return false;
        }
        if self.sent == self.patience.probes {
            self.sent = 0;
            self.stations.clear();
        }
        true
    }

    /// It was sent.
    pub fn probed(&mut self, now: Moment) {
        self.sent += 1;
        self.next = now.plus(self.patience.spacing_ms);
    }

    /// It could not be sent: the interface is not there, or has no cable.
    pub fn postpone(&mut self, now: Moment) {
        self.next = now.plus(self.patience.spacing_ms);
    }

    /// A station said that it has the address, or that it is about to take it.
    pub fn heard(&mut self, station: [u8; 6], has_it: bool) {
        let heard = Heard { station, has_it };
        if !self.stations.contains(&heard) && self.stations.len() < STATIONS_MAX {
            self.stations.push(heard);
        }
    }

    /// The next probe; none is needed once the address is free.
    pub fn due(&self, peer: Option<[u8; 6]>) -> Option<Moment> {
        match self.foreign(peer) {
            _ if self.sent < self.patience.probes => Some(self.next),
            Some(_) => Some(self.next.plus(self.patience.again_ms)),
            None => None,
        }
    }

    /// `peer` is the peer's hardware address, where it is known.
    pub fn verdict(&self, now: Moment, peer: Option<[u8; 6]>) -> Verdict {
        let has_asked = self.sent == self.patience.probes && now >= self.next;
        let peer_has_it = self.stations.iter().any(|heard| heard.has_it && Some(heard.station) == peer);
        match self.foreign(peer) {
            // Until the round is over it may turn out to be the peer's, whose heartbeats tell its address.
            Some(station) if has_asked => Verdict::Taken(station),
            None if has_asked || peer_has_it => Verdict::Free,
            Some(_) | None => Verdict::Asking,
        }
    }

    /// Also who is only about to take it: the two would meet there.
    fn foreign(&self, peer: Option<[u8; 6]>) -> Option<[u8; 6]> {
        self.stations.iter().map(|heard| heard.station).find(|station| Some(*station) != peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { probes: 3, spacing_ms: 500, again_ms: 1_000 };
    const START: Moment = Moment(10_000);
    const PRINTER: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];

    /// Asks as the keeper does until `until_ms` after the start: when probes were sent.
    fn asked(address: &mut Occupancy, peer: Option<[u8; 6]>, until_ms: u64) -> Vec<u64> {
        let moments = (0..=until_ms).filter(|ms| {
            let wants = address.wants_probe(START.plus(*ms), peer);
            if wants {
                address.probed(START.plus(*ms));
            }
            wants
        });
        moments.collect()
    }

    #[test]
    fn an_address_is_free_when_three_probes_and_their_time_brought_no_answer() {
        let mut address = Occupancy::new(PATIENCE, START);
        assert_eq!(asked(&mut address, None, 1_499), [0, 500, 1_000]);
        assert_eq!(address.verdict(START.plus(1_499), None), Verdict::Asking);
        assert_eq!(address.verdict(START.plus(1_500), None), Verdict::Free);
        assert_eq!((asked(&mut address, None, 60_000), address.due(None)), (vec![], None), "that is enough");
    }

    #[test]
    fn a_third_machine_is_named_after_a_round_and_asked_again_until_it_is_gone() {
        let mut address = Occupancy::new(PATIENCE, START);
        address.heard(PRINTER, true);
        address.heard(PEER, true);
        assert_eq!(asked(&mut address, Some(PEER), 2_400), [0, 500, 1_000]);
        assert_eq!(address.verdict(START.plus(1_499), Some(PEER)), Verdict::Asking);
        assert_eq!(address.verdict(START.plus(1_500), Some(PEER)), Verdict::Taken(PRINTER));
        // After a pause the next round, which nobody answers.
        assert_eq!(asked(&mut address, Some(PEER), 4_000), [2_500, 3_000, 3_500]);
        assert_eq!(address.verdict(START.plus(3_999), Some(PEER)), Verdict::Asking);
        assert_eq!(address.verdict(START.plus(4_000), Some(PEER)), Verdict::Free);
    }

    #[test]
    fn the_peers_answer_makes_an_address_free_as_soon_as_it_is_known_for_the_peers() {
        let mut address = Occupancy::new(PATIENCE, START);
        address.heard(PEER, true);
        assert_eq!(address.verdict(START, None), Verdict::Asking);
        assert_eq!(address.verdict(START, Some(PEER)), Verdict::Free);
    }

    #[test]
    fn a_peer_that_asks_as_well_has_not_got_the_address_and_a_stranger_that_asks_is_not_to_be_met() {
        let mut address = Occupancy::new(PATIENCE, START);
        address.heard(PEER, false);
        assert_eq!(address.verdict(START.plus(1), Some(PEER)), Verdict::Asking, "the others have their time to answer");
        address.heard(PRINTER, false);
        asked(&mut address, Some(PEER), 1_000);
        assert_eq!(address.verdict(START.plus(1_500), Some(PEER)), Verdict::Taken(PRINTER));
    }

    #[test]
    fn a_probe_that_could_not_be_sent_counts_for_nothing() {
        let mut address = Occupancy::new(PATIENCE, START);
        for tries in 0..10 {
            assert!(address.wants_probe(START.plus(tries * 500), None));
            address.postpone(START.plus(tries * 500));
        }
        assert_eq!(address.verdict(START.plus(60_000), None), Verdict::Asking);
    }
}
