//! Who was seen on the segment lately: they are told of a takeover one by one, for those that ignore what is told to everybody.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{Mac, Said, Sighting};

/// Neighbours remembered of each kind: a /24 full of terminals. One round of replies is then 11 kB and takes about a millisecond.
pub const NEIGHBOUR_COUNT_MAX: usize = 256;

/// The stations that were heard most recently, with their latest Ethernet address.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// The longest unseen first. Searched from end to end: 256 comparisons cost less than the frame's way through the kernel.
    ipv4: VecDeque<(Ipv4Addr, Mac)>,
    ipv6: VecDeque<(Ipv6Addr, Mac)>,
}

impl Neighbours {
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers who says that an address is its own, and forgets the longest unseen when there are too many.
    pub fn heard(&mut self, sighting: &Sighting) {
        if !names_a_station(sighting) {
            return;
        }
        match sighting.address {
            IpAddr::V4(ip) => remember(&mut self.ipv4, ip, sighting.mac),
            IpAddr::V6(ip) => remember(&mut self.ipv6, ip, sighting.mac),
        }
    }

    /// All that are remembered by IPv4, the most recently seen first.
    pub fn ipv4(&self) -> impl Iterator<Item = (Ipv4Addr, Mac)> + '_ {
        self.ipv4.iter().rev().copied()
    }

    /// All that are remembered by IPv6, the most recently seen first.
    pub fn ipv6(&self) -> impl Iterator<Item = (Ipv6Addr, Mac)> + '_ {
        self.ipv6.iter().rev().copied()
    }
}

fn remember<A: PartialEq>(seen: &mut VecDeque<(A, Mac)>, ip: A, mac: Mac) {
    seen.retain(|(known, _)| *known != ip);
    if seen.len() == NEIGHBOUR_COUNT_MAX {
        seen.pop_front();
    }
    seen.push_back((ip, mac));
}

/// Whoever probes has no address yet, and a forged one could be a group's: a reply there would reach everybody.
fn names_a_station(sighting: &Sighting) -> bool {
    let ip = sighting.address;
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    let is_host = !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast;
    sighting.said == Said::Mine && sighting.mac.is_one_station() && is_host
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ArpFrame;

    fn asking(mac: Mac, ip: Ipv4Addr) -> Sighting {
        Sighting::from(&ArpFrame::question(mac, ip, Ipv4Addr::new(10, 0, 0, 1)))
    }

    fn frame(last_octet: u8, mac: Mac) -> Sighting {
        asking(mac, Ipv4Addr::new(10, 0, 0, last_octet))
    }

    fn mac(last_octet: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, last_octet])
    }

    #[test]
    fn a_neighbour_that_was_replaced_is_known_by_its_new_mac_only() {
        let mut neighbours = Neighbours::new();
        neighbours.heard(&frame(7, mac(1)));
        neighbours.heard(&frame(7, mac(2)));
        assert_eq!(neighbours.ipv4().collect::<Vec<_>>(), [(Ipv4Addr::new(10, 0, 0, 7), mac(2))]);
    }

    #[test]
    fn when_full_the_longest_unseen_neighbour_is_forgotten() {
        let mut neighbours = Neighbours::new();
        for number in 0..=255 {
            neighbours.heard(&frame(number, mac(1)));
        }
        neighbours.heard(&frame(0, mac(1)));
        neighbours.heard(&asking(mac(1), Ipv4Addr::new(10, 0, 1, 0)));
        let known: Vec<_> = neighbours.ipv4().map(|(ip, _)| ip).collect();
        assert_eq!(known.len(), NEIGHBOUR_COUNT_MAX);
        assert_eq!(known[..2], [Ipv4Addr::new(10, 0, 1, 0), Ipv4Addr::new(10, 0, 0, 0)]);
        assert!(!known.contains(&Ipv4Addr::new(10, 0, 0, 1)));
    }

    #[test]
    fn probes_and_group_addresses_are_nobodys_neighbours() {
        let mut neighbours = Neighbours::new();
        neighbours.heard(&Sighting::from(&ArpFrame::probe(mac(1), Ipv4Addr::new(10, 0, 0, 1))));
        neighbours.heard(&frame(7, Mac::EVERYBODY));
        neighbours.heard(&frame(7, Mac::UNKNOWN));
        neighbours.heard(&asking(mac(1), Ipv4Addr::BROADCAST));
        assert_eq!(neighbours.ipv4().count(), 0);
    }

    #[test]
    fn neighbours_of_both_kinds_do_not_drive_each_other_out() {
        let mut neighbours = Neighbours::new();
        neighbours.heard(&frame(7, mac(1)));
        for number in 1..=2 * NEIGHBOUR_COUNT_MAX as u16 {
            let address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number).into();
            neighbours.heard(&Sighting { mac: mac(2), address, said: Said::Mine, to_everybody: true });
        }
        assert_eq!((neighbours.ipv4().count(), neighbours.ipv6().count()), (1, NEIGHBOUR_COUNT_MAX));
    }
}
