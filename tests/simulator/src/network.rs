//! What lies between the machines: ways that delay, lose and double, one direction at a time.

use std::collections::BTreeMap;

use duplex::wire::frames::{ToHolder, ToPeer};

use crate::world::{Happening, News, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkNo(pub u64);

#[derive(Clone, Debug)]
pub enum Frame {
    ToPeer(ToPeer),
    ToHolder(ToHolder),
}

/// A connection for a stream.
#[derive(Debug)]
struct Link {
    /// The runs of both servers that it joins.
    runs: [u64; 2],
    /// The last arrival at each server: frames of a connection keep their order.
    arrives: [u64; 2],
    /// Waits for the way to be whole again, by receiver.
    held: [Vec<Frame>; 2],
    held_since: Option<u64>,
    /// By one end, and the other one could not be told.
    is_closed: bool,
}

/// A way from one server to the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    pub is_cut: bool,
    /// Of a hundred datagrams, how many are lost.
    pub lost_percent: u64,
    pub jitter_ms: u64,
}

#[derive(Debug, Default)]
pub struct Network {
    /// By sender.
    pub ways: [Way; 2],
    links: BTreeMap<LinkNo, Link>,
    links_made: u64,
}

/// A connection that carries nothing for so long is given up by its ends: keep-alive.
const KEEP_ALIVE_MS: u64 = 4_000;

impl World {
    fn delay(&mut self, from: usize) -> u64 {
        let jitter = self.network.ways[from].jitter_ms;
        self.dice.roll(2 + jitter)
    }

    /// A datagram, which may be lost or come twice.
    pub fn send_beat(&mut self, from: usize, beat: duplex::model::Heartbeat) {
        let Way { is_cut, lost_percent, .. } = self.network.ways[from];
        if is_cut || self.dice.roll(100) < lost_percent {
            return;
        }
        let copies = if !self.calm && self.dice.once_in(200) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.delay(from);
            self.tell_after(delay, 1 - from, News::Heard(beat));
        }
    }

    /// Whether a connection from this server to the other one can be made now.
    pub fn can_connect(&self, from: usize) -> bool {
        let is_whole = self.network.ways.iter().all(|way| !way.is_cut);
        is_whole && self.servers[1 - from].process.as_ref().is_some_and(|process| !process.is_frozen)
    }

    pub fn connect(&mut self) -> LinkNo {
        self.network.links_made += 1;
        let link = LinkNo(self.network.links_made);
        let runs = [self.servers[0].run, self.servers[1].run];
        let joined = Link { runs, arrives: [self.now; 2], held: [Vec::new(), Vec::new()], held_since: None, is_closed: false };
        self.network.links.insert(link, joined);
        link
    }

    /// Sends over a connection, from this server: in order, later if the way is cut, never if the connection has ended.
    pub fn send(&mut self, from: usize, link: LinkNo, frame: Frame) {
        let is_cut = self.network.ways[from].is_cut;
        let delay = self.delay(from);
        let now = self.now;
        let Some(joined) = self.network.links.get_mut(&link) else { return };
        let to = 1 - from;
        if is_cut || !joined.held[to].is_empty() {
            joined.held[to].push(frame);
            joined.held_since.get_or_insert(now);
            return;
        }
        let at = joined.arrives[to].max(now + delay);
        joined.arrives[to] = at;
        let run = joined.runs[to];
        self.at(at, Happening::Told { server: to, run, news: News::Frame { link, frame } });
    }

    /// Closed by this server: the other one hears it after what was sent before, if anything gets through.
    pub fn close(&mut self, from: usize, link: LinkNo) {
        let is_cut = self.network.ways[from].is_cut;
        let now = self.now;
        let Some(joined) = self.network.links.get_mut(&link) else { return };
        let (to, run) = (1 - from, joined.runs[1 - from]);
        let at = joined.arrives[to].max(now + 1);
        if is_cut {
            // Found out when the way is whole again, or by keep-alive.
            joined.is_closed = true;
            joined.held_since.get_or_insert(now);
            return;
        }
        self.network.links.remove(&link);
        self.at(at, Happening::Told { server: to, run, news: News::LinkEnded { link } });
    }

    /// A reset on the way: both ends hear it.
    pub fn reset_links(&mut self) {
        let links: Vec<LinkNo> = self.network.links.keys().copied().collect();
        for link in links {
            self.end_link(link);
        }
    }

    fn end_link(&mut self, link: LinkNo) {
        let Some(joined) = self.network.links.remove(&link) else { return };
        for server in 0..2 {
            let run = joined.runs[server];
            self.after(1, Happening::Told { server, run, news: News::LinkEnded { link } });
        }
    }

    /// The process of this server is gone. Its kernel says so, if it still has one and a way.
    pub fn end_links_of(&mut self, server: usize, kernel_lives: bool) {
        let told = kernel_lives && !self.network.ways[server].is_cut;
        let now = self.now;
        let ended: Vec<LinkNo> = self.network.links.keys().copied().collect();
        for link in ended {
            if told {
                self.end_link(link);
            } else if let Some(joined) = self.network.links.get_mut(&link) {
                joined.held_since.get_or_insert(now);
            }
        }
    }

    /// The ways may be whole again: what was held goes on.
    pub fn release_held(&mut self) {
        let links: Vec<(LinkNo, bool)> = self.network.links.iter().map(|(link, joined)| (*link, joined.is_closed)).collect();
        for (link, is_closed) in links {
            let whole = [0, 1].map(|server| !self.network.ways[server].is_cut);
            if is_closed && whole == [true, true] {
                self.end_link(link);
                continue;
            }
            for to in 0..2 {
                if !whole[1 - to] {
                    continue;
                }
                let Some(joined) = self.network.links.get_mut(&link) else { continue };
                let held = std::mem::take(&mut joined.held[to]);
                joined.held_since = None;
                for frame in held {
                    self.send(1 - to, link, frame);
                }
            }
        }
    }

    /// Links that join a run that is over, or that have stood still for too long.
    pub fn end_dead_links(&mut self) {
        let runs = [0, 1].map(|server| self.servers[server].process.is_some().then_some(self.servers[server].run));
        let now = self.now;
        let is_dead = |link: &Link| {
            let joins_the_dead = (0..2).any(|server| runs[server] != Some(link.runs[server]));
            let stands_since = link.held_since.map(|since| now - since);
            stands_since.is_some_and(|ms| ms >= KEEP_ALIVE_MS) || (joins_the_dead && stands_since.is_none())
        };
        let dead: Vec<LinkNo> = self.network.links.iter().filter(|(_, link)| is_dead(link)).map(|(link, _)| *link).collect();
        for link in dead {
            self.end_link(link);
        }
    }
}
