//! What is told to the segment and heard from it, and what the kernel says of addresses.

use std::net::IpAddr;

use slog::{error, warn};
use tokio::time::Instant;

use super::keeping::Keeping;
use crate::clock;
use crate::config::limits;
use crate::machines::failover::AddressSet;
use crate::machines::occupancy::Verdict;
use crate::model::Moment;
use crate::network::{AddressNews, Mac, NetworkError, Said, Segment, Sighting};

impl Keeping {
    /// Everybody, then by name whom we have seen, then the gateways; and whoever else has it is asked to say so.
    pub(super) fn announce(&mut self, address: IpAddr) {
        let told = self.open_segment().and_then(|()| {
            let Some(segment) = &self.segment else { return Ok(()) };
            segment.announce(address, &self.neighbours, &self.addresses.gateways)?;
            segment.probe(address)
        });
        self.tell_failure(told);
    }

    /// Opened once and for long, as soon as the interface is there.
    fn open_segment(&mut self) -> Result<(), NetworkError> {
        if self.segment.is_none() {
            let all = self.addresses.of(AddressSet::Both);
            self.segment = Some(Segment::open(&self.addresses.interface, &all)?);
        }
        Ok(())
    }

    /// Asks for the addresses, before this server has held any.
    pub(super) fn ask(&mut self, carrier: bool) {
        if self.has_held.get() {
            return;
        }
        let (now, peer) = (clock::now(), self.shown.peer_mac());
        let mut due = Vec::new();
        for (address, occupancy) in &mut self.occupancies {
            if occupancy.wants_probe(now, peer) {
                due.push(*address);
            }
        }
        for address in due {
            let asked = self.open_segment().and_then(|()| self.segment.as_ref().map_or(Ok(()), |segment| segment.probe(address)));
            // Whoever may not ask never hears that an address is free.
            let counts = carrier && asked.as_ref().map_or_else(is_forbidden, |()| true);
            self.tell_failure(asked);
            for (_, occupancy) in self.occupancies.iter_mut().filter(|(asked, _)| *asked == address) {
                if counts { occupancy.probed(now) } else { occupancy.postpone(now) }
            }
        }
    }

    /// When the next address is to be asked for.
    pub(super) fn next_probe(&self) -> Option<Moment> {
        let peer = self.shown.peer_mac();
        let waits = !self.has_held.get();
        self.occupancies.iter().filter(|_| waits).filter_map(|(_, occupancy)| occupancy.due(peer)).min()
    }

    pub(super) fn verdict(&self, address: IpAddr) -> Verdict {
        let found = self.occupancies.iter().find(|(known, _)| *known == address);
        found.map_or(Verdict::Free, |(_, occupancy)| occupancy.verdict(clock::now(), self.shown.peer_mac()))
    }

    pub(super) fn sighted(&mut self, sighting: &Sighting) {
        self.neighbours.heard(sighting);
        let Sighting { mac, address, said, to_everybody } = *sighting;
        for (_, occupancy) in self.occupancies.iter_mut().filter(|(known, _)| *known == address) {
            occupancy.heard(mac.0, said == Said::Mine);
        }
        let Some(index) = self.held.iter().position(|held| held.address == address) else { return };
        let peer = self.shown.peer_mac();
        let is_peer = peer == Some(mac.0);
        if said == Said::Mine
            && (is_peer || peer.is_none())
            && let Some(until) = self.held[index].yielded_until.as_mut()
        {
            *until = Instant::now();
            return;
        }
        if !self.allowed().contains(&address) {
            // The lease is over and the peer has taken its turn: withdrawn right after this.
            return;
        }
        // The peer asks for its addresses when it starts.
        if is_peer && said == Said::Wanted {
            return;
        }
        let announcing = &mut self.held[index].announcing;
        if to_everybody {
            announcing.anew(Instant::now());
        } else {
            announcing.insist(Instant::now());
        }
        match (is_peer, said) {
            (true, _) => self.tell_peer(index, mac),
            (false, Said::Mine) => {
                self.tell_rival(mac, address, "another station claims the address; find it and take it off the network");
            }
            (false, Said::Wanted) => {
                self.tell_rival(mac, address, "another station is about to take the address; give it another one");
            }
        }
    }

    /// A peer that froze answers until its kernel takes the address away.
    fn tell_peer(&mut self, index: usize, mac: Mac) {
        let held = &mut self.held[index];
        if !held.peer_told && held.is_settled() {
            held.peer_told = true;
            warn!(self.log, "the other server still answers for the address; switch it off";
                "address" => held.address.to_string(), "mac" => mac.to_string());
        }
    }

    pub(super) fn tell_rival(&mut self, mac: Mac, address: IpAddr, what: &'static str) {
        if self.rivals.saw(mac, address, clock::now()) {
            warn!(self.log, "{}", what; "address" => address.to_string(), "mac" => mac.to_string());
        }
    }

    pub(super) fn show(&mut self, held: Vec<IpAddr>) {
        self.rivals.forget(clock::now(), self.shown.peer_mac().map(Mac));
        let conflicts = self.rivals.shown();
        let service_mac = self.segment.as_ref().and_then(Segment::mac).map(|mac| mac.0);
        self.shown.update(|view| (view.addresses, view.conflicts, view.service_mac) = (held, conflicts, service_mac));
    }

    pub(super) async fn hear(&mut self, told: Result<AddressNews, NetworkError>) {
        match told {
            Ok(AddressNews::Removed { address }) => self.put_back(address).await,
            Ok(AddressNews::Carrier { up: true, .. }) => {
                let followed = self.segment.as_ref().map_or(Ok(()), Segment::follow_interface);
                self.tell_failure(followed);
                let now = Instant::now();
                for held in &mut self.held {
                    held.refresh_at = now;
                    held.announcing.anew(now);
                }
            }
            Ok(AddressNews::Carrier { .. }) => {}
            // What was not told is put right by the next refresh, within half a second.
            Err(error) => self.tell_failure(Err(error)),
        }
    }

    /// By the next look after it, which is at once.
    async fn put_back(&mut self, address: IpAddr) {
        let Some(index) = self.held.iter().position(|held| held.address == address) else { return };
        // Under another prefix, or by this program itself, which had to add it anew.
        if self.aliases.holds(&self.addresses.interface, address).await.unwrap_or(false) {
            return;
        }
        warn!(self.log, "the address was removed, not by this program; it is put back"; "address" => address.to_string());
        let now = Instant::now();
        self.held[index].refresh_at = now;
        self.held[index].announcing.anew(now);
    }

    /// The same failure is told once.
    pub(super) fn tell_failure(&mut self, result: Result<(), NetworkError>) {
        let Err(error) = result else { return };
        let text = told(&error);
        if text != self.last_told {
            error!(self.log, "cannot look after the addresses"; "reason" => &text);
            self.last_told = text;
        }
    }
}

/// The kernel does not say which right is missing.
pub(super) fn told(error: &NetworkError) -> String {
    let text = error.to_string();
    if is_forbidden(error) { format!("{text} (this needs CAP_NET_ADMIN and CAP_NET_RAW)") } else { text }
}

fn is_forbidden(error: &NetworkError) -> bool {
    error.to_string().contains("not permitted")
}

pub(super) async fn next_sighting(segment: Option<&Segment>) -> Sighting {
    if let Some(segment) = segment {
        loop {
            match segment.next().await {
                Ok(sighting) => return sighting,
                // The interface is down or gone; news of its return wakes the keeper.
                Err(_) => tokio::time::sleep(limits::ADDRESS_LOOK).await,
            }
        }
    }
    std::future::pending().await
}
