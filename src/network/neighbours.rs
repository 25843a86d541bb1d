//! Who was seen on the segment lately: they are told of a takeover one by one, for those that ignore gratuitous ARP.

use std::{collections::VecDeque, net::Ipv4Addr};

use super::{ArpFrame, Mac};

/// Neighbours remembered: a /24 full of terminals. One round of replies is then 11 kB and takes about a millisecond.
pub const NEIGHBOUR_COUNT_MAX: usize = 256;

/// The stations that used ARP most recently, with their latest Ethernet address.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// The longest unseen first. Searched from end to end: 256 comparisons cost less than the frame's way through the kernel.
    seen: VecDeque<(Ipv4Addr, Mac)>,
}

impl Neighbours {
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers the sender of a frame, and forgets the longest unseen when there are too many.
    pub fn heard(&mut self, frame: &ArpFrame) {
        if !names_a_station(frame) {
            return;
        }
        self.seen.retain(|(ip, _)| *ip != frame.sender_ip);
        if self.seen.len() == NEIGHBOUR_COUNT_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back((frame.sender_ip, frame.sender_mac));
    }

    /// All that are remembered, the most recently seen first.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv4Addr, Mac)> + '_ {
        self.seen.iter().rev().copied()
    }
}

/// Probes have no sender address, and a forged sender could be a group: a reply there would reach everybody.
fn names_a_station(frame: &ArpFrame) -> bool {
    let ip = frame.sender_ip;
    frame.sender_mac.is_one_station() && !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(last_octet: u8, mac: Mac) -> ArpFrame {
        ArpFrame::question(mac, Ipv4Addr::new(10, 0, 0, last_octet), Ipv4Addr::new(10, 0, 0, 1))
    }

    fn mac(last_octet: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, last_octet])
    }

    #[test]
    fn a_neighbour_that_was_replaced_is_known_by_its_new_mac_only() {
        let mut neighbours = Neighbours::new();
        neighbours.heard(&frame(7, mac(1)));
        neighbours.heard(&frame(7, mac(2)));
        assert_eq!(neighbours.iter().collect::<Vec<_>>(), [(Ipv4Addr::new(10, 0, 0, 7), mac(2))]);
    }

    #[test]
    fn when_full_the_longest_unseen_neighbour_is_forgotten() {
        let mut neighbours = Neighbours::new();
        for number in 0..=255 {
            neighbours.heard(&frame(number, mac(1)));
        }
        neighbours.heard(&frame(0, mac(1)));
        neighbours.heard(&ArpFrame::question(mac(1), Ipv4Addr::new(10, 0, 1, 0), Ipv4Addr::new(10, 0, 0, 1)));
        let known: Vec<_> = neighbours.iter().map(|(ip, _)| ip).collect();
        assert_eq!(known.len(), NEIGHBOUR_COUNT_MAX);
        assert_eq!(known[..2], [Ipv4Addr::new(10, 0, 1, 0), Ipv4Addr::new(10, 0, 0, 0)]);
        assert!(!known.contains(&Ipv4Addr::new(10, 0, 0, 1)));
    }

    #[test]
    fn probes_and_group_addresses_are_nobodys_neighbours() {
        let mut neighbours = Neighbours::new();
        neighbours.heard(&ArpFrame::probe(mac(1), Ipv4Addr::new(10, 0, 0, 1)));
        neighbours.heard(&frame(7, Mac::EVERYBODY));
        neighbours.heard(&frame(7, Mac::UNKNOWN));
        neighbours.heard(&ArpFrame::question(mac(1), Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(neighbours.iter().count(), 0);
    }
}
