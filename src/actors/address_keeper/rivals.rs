//! Third machines that claim a service address: told once, shown for as long as they are seen.

use std::net::IpAddr;

use crate::config::limits;
use crate::model::Moment;
use crate::network::Mac;

struct Rival {
    mac: Mac,
    address: IpAddr,
    seen: Moment,
}

/// The latest of them, the longest unseen first.
#[derive(Default)]
pub(super) struct Rivals(Vec<Rival>);

impl Rivals {
    /// Whether it is new.
    pub(super) fn saw(&mut self, mac: Mac, address: IpAddr, now: Moment) -> bool {
        let before = self.0.len();
        self.0.retain(|rival| (rival.mac, rival.address) != (mac, address));
        let is_new = before == self.0.len();
        self.0.push(Rival { mac, address, seen: now });
        self.0.drain(..self.0.len().saturating_sub(limits::CONFLICTS_SHOWN_MAX));
        is_new
    }

    /// Forgets who has not been seen for long, and who turned out to be the peer.
    pub(super) fn forget(&mut self, now: Moment, peer: Option<Mac>) {
        self.0.retain(|rival| now.since(rival.seen) < limits::CONFLICT_KEPT_MS && Some(rival.mac) != peer);
    }

    /// Hardware addresses, each once.
    pub(super) fn shown(&self) -> Vec<String> {
        let mut shown: Vec<String> = self.0.iter().map(|rival| rival.mac.to_string()).collect();
        shown.sort_unstable();
        shown.dedup();
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTER: Mac = Mac([2, 0, 0, 0, 0, 9]);
    const PEER: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn a_rival_is_new_once_for_each_address_and_shown_once() {
        let mut rivals = Rivals::default();
        let seen = [(1, 0), (1, 5), (2, 6)].map(|(last, ms)| rivals.saw(PRINTER, address(last), Moment(ms)));
        assert_eq!((seen, rivals.shown()), ([true, false, true], vec![PRINTER.to_string()]));
    }

    #[test]
    fn who_is_gone_for_long_or_is_the_peer_is_forgotten_and_new_when_seen_again() {
        let mut rivals = Rivals::default();
        rivals.saw(PRINTER, address(1), Moment(0));
        rivals.saw(PEER, address(1), Moment(limits::CONFLICT_KEPT_MS));
        rivals.forget(Moment(limits::CONFLICT_KEPT_MS - 1), None);
        assert_eq!(rivals.shown().len(), 2);
        rivals.forget(Moment(limits::CONFLICT_KEPT_MS), Some(PEER));
        assert_eq!(rivals.shown(), Vec::<String>::new());
        assert!(rivals.saw(PRINTER, address(1), Moment(limits::CONFLICT_KEPT_MS + 1)));
    }
}
