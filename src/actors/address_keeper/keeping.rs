//! The task that holds addresses: what may be held now, what is missing, what is too much.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, info, warn};
use tokio::time::{Instant, sleep_until};

use super::rivals::Rivals;
use super::watch::next_sighting;
use super::{AddressKeeper, Hold, ServiceAddresses, Wanted};
use crate::actors::fault;
use crate::clock;
use crate::config::limits;
use crate::handover::{Board, Shown};
use crate::machines::failover::{AddressSet, HoldBy};
use crate::machines::occupancy::{Occupancy, Patience, Verdict};
use crate::model::Moment;
use crate::network::{AddressNews, Aliases, Announcing, Listening, Mac, Neighbours, NetworkError, Segment, Was, watch_addresses};

const PATIENCE: Patience = Patience {
    probes: limits::ADDRESS_PROBES,
    spacing_ms: limits::ADDRESS_PROBE_SPACING_MS,
    again_ms: limits::ADDRESS_PROBE_AGAIN_MS,
};

/// An address held, and what its neighbours have been told.
pub(super) struct Held {
    pub(super) address: IpAddr,
    pub(super) announcing: Announcing,
    pub(super) refresh_at: Instant,
    /// The kernel ends it here unless it is refreshed before.
    kept_until: Instant,
    /// The peer is about to take it: until then nothing is announced, and whoever announces it is the new owner.
    pub(super) yielded_until: Option<Instant>,
    taken: Moment,
    /// That the peer still answers for it was told.
    pub(super) peer_told: bool,
}

pub(super) struct Keeping {
    pub(super) addresses: ServiceAddresses,
    board: Arc<Board>,
    pub(super) shown: Arc<Shown>,
    pub(super) log: Logger,
    wanted: Rc<Wanted>,
    pub(super) has_held: Rc<Cell<bool>>,
    pub(super) aliases: Aliases,
    pub(super) segment: Option<Segment>,
    news: News,
    pub(super) neighbours: Neighbours,
    /// Of each service address: whether it is free for a server that has held none.
    pub(super) occupancies: Vec<(IpAddr, Occupancy)>,
    pub(super) rivals: Rivals,
    pub(super) held: Vec<Held>,
    pub(super) last_told: String,
}

type News = Listening<fn() -> Result<tokio::sync::mpsc::Receiver<AddressNews>, NetworkError>>;

impl Held {
    /// Whether the kernel of a peer that died or froze has let it go long ago.
    pub(super) fn is_settled(&self) -> bool {
        clock::now().since(self.taken) >= limits::STALE_OWNER_MS
    }
}

impl Keeping {
    pub(super) fn begin(keeper: &AddressKeeper, addresses: ServiceAddresses) -> Result<Self, NetworkError> {
        let now = clock::now();
        let all = addresses.of(AddressSet::Both).into_iter();
        Ok(Self {
            occupancies: all.map(|address| (address, Occupancy::new(PATIENCE, now))).collect(),
            addresses,
            board: Arc::clone(&keeper.board),
            shown: Arc::clone(&keeper.shown),
            log: keeper.log.clone(),
            wanted: Rc::clone(&keeper.wanted),
            has_held: Rc::clone(&keeper.has_held),
            aliases: Aliases::open()?,
            segment: None,
            news: News::begin(watch_addresses)?,
            neighbours: Neighbours::new(),
            rivals: Rivals::default(),
            held: Vec::new(),
            last_told: String::new(),
        })
    }

    pub(super) async fn go(mut self) {
        // A life before this one may have left an address behind.
        for address in self.addresses.of(AddressSet::Both) {
            let removed = self.aliases.remove(&self.addresses.interface, address).await;
            self.tell_failure(removed);
        }
        let mut due = Instant::now();
        loop {
            tokio::select! {
                () = self.wanted.changed.notified() => self.heed(),
                () = sleep_until(due) => {}
                sighting = next_sighting(self.segment.as_ref()) => self.sighted(&sighting),
                told = self.news.next() => self.hear(told).await,
            }
            fault::point("address-keeper/keep");
            self.keep().await;
            due = self.due();
        }
    }

    /// What is to be yielded stays so until the peer has it, unless it is wanted again or everything is given up.
    fn heed(&mut self) {
        let Hold { set, by } = *self.wanted.hold.borrow();
        let named = self.addresses.of(set);
        for held in &mut self.held {
            let is_named = named.contains(&held.address);
            if by == HoldBy::Yield && is_named {
                held.yielded_until.get_or_insert(Instant::now() + limits::YIELD_LIMIT);
            } else if by != HoldBy::Yield && (is_named || set == AddressSet::None) {
                held.yielded_until = None;
            }
        }
    }

    /// Role and lease say what may be held; everything else goes at once.
    pub(super) fn allowed(&self) -> Vec<IpAddr> {
        let (hold, leased) = (*self.wanted.hold.borrow(), clock::now() < self.board.lease_until());
        match hold.by {
            HoldBy::Grant => self.addresses.of(hold.set),
            HoldBy::Lease if leased => self.addresses.of(hold.set),
            HoldBy::Lease | HoldBy::Yield => vec![],
        }
    }

    /// Held for clients to find somebody who sends them away, until the peer has it.
    fn yielding(&self) -> Vec<IpAddr> {
        let (now, leased) = (Instant::now(), clock::now() < self.board.lease_until());
        let is_yielding = |held: &&Held| leased && held.yielded_until.is_some_and(|until| now < until);
        self.held.iter().filter(is_yielding).map(|held| held.address).collect()
    }

    /// When there is something to do again: an address to announce, to refresh or to ask for, the end of the lease, another try at
    /// what failed.
    fn due(&self) -> Instant {
        let (now, hold) = (Instant::now(), *self.wanted.hold.borrow());
        let lacks = |address: &IpAddr| self.held.iter().all(|held| held.address != *address);
        if hold.by != HoldBy::Yield && self.addresses.of(hold.set).iter().any(lacks) {
            // Nothing tells that a lease has come back, or that the kernel would take the address now.
            return now + limits::ADDRESS_LOOK;
        }
        let until = |moment: Moment| now + Duration::from_millis(moment.since(clock::now()));
        let mut due = now + limits::ALIAS_REFRESH;
        if !self.held.is_empty() && hold.by != HoldBy::Grant {
            due = due.min(until(self.board.lease_until()));
        }
        if let Some(probe) = self.next_probe() {
            due = due.min(until(probe));
        }
        let next = |held: &Held| held.refresh_at.min(held.kept_until).min(held.yielded_until.unwrap_or(held.announcing.due()));
        self.held.iter().map(next).fold(due, Instant::min)
    }

    async fn keep(&mut self) {
        // Whether clients could reach this server: asked, because news may be lost.
        let carrier = self.aliases.carrier(&self.addresses.interface).await.unwrap_or(false);
        self.ask(carrier);
        let mut allowed = self.allowed();
        let wanted = allowed.clone();
        allowed.extend(self.yielding().into_iter().filter(|address| !wanted.contains(address)));
        let gone: Vec<IpAddr> = self.held.iter().map(|held| held.address).filter(|held| !allowed.contains(held)).collect();
        for address in gone {
            self.withdraw(address).await;
        }
        let mut waits = false;
        for address in allowed {
            match self.held.iter().position(|held| held.address == address) {
                Some(index) => self.look_after(index).await,
                None if self.may_take(address) => self.take(address).await,
                None => waits = true,
            }
        }
        let is_held = |address: &IpAddr| self.held.iter().any(|held| held.address == *address);
        let held: Vec<IpAddr> = self.addresses.of(AddressSet::Both).into_iter().filter(is_held).collect();
        let lacks_none = wanted.iter().all(|address| held.contains(address));
        if !wanted.is_empty() && lacks_none {
            self.has_held.set(true);
        }
        // That a third machine has an address is no reason to give the role away: the peer could not have it either.
        self.board.set_lan_fails(!carrier || !lacks_none && !waits);
        self.show(held);
    }

    /// Under a grant, and in service, at once; otherwise nobody's address is taken from him.
    fn may_take(&mut self, address: IpAddr) -> bool {
        if self.has_held.get() || self.wanted.hold.borrow().by == HoldBy::Grant {
            return true;
        }
        match self.verdict(address) {
            Verdict::Asking => false,
            Verdict::Free => true,
            Verdict::Taken(station) => {
                self.tell_rival(
                    Mac(station),
                    address,
                    "a third machine has the address, so it is not taken; take that machine off the network",
                );
                false
            }
        }
    }

    async fn take(&mut self, address: IpAddr) {
        if let Err(error) = self.add(address).await {
            return self.tell_failure(Err(error));
        }
        self.announce(address);
        info!(self.log, "took the address"; "address" => address.to_string(), "interface" => &self.addresses.interface);
        let now = Instant::now();
        self.held.push(Held {
            address,
            announcing: Announcing::begun(now),
            refresh_at: now + limits::ALIAS_REFRESH,
            kept_until: now + limits::ALIAS_LIFETIME,
            yielded_until: None,
            taken: clock::now(),
            peer_told: false,
        });
    }

    async fn add(&self, address: IpAddr) -> Result<(), NetworkError> {
        let label = self.addresses.label(address);
        let was = self.aliases.add_or_refresh(&self.addresses.interface, address, limits::ALIAS_LIFETIME, &label).await?;
        if was == Was::Disabled {
            warn!(self.log, "the kernel had disabled the address, which somebody added otherwise; it is added anew";
                "address" => address.to_string());
        }
        Ok(())
    }

    async fn look_after(&mut self, index: usize) {
        let now = Instant::now();
        let address = self.held[index].address;
        if now >= self.held[index].refresh_at {
            self.held[index].refresh_at = now + limits::ALIAS_REFRESH;
            let added = self.add(address).await;
            if added.is_ok() {
                self.held[index].kept_until = now + limits::ALIAS_LIFETIME;
            }
            self.tell_failure(added);
        }
        if now >= self.held[index].kept_until {
            // The kernel has ended it: the interface is gone, or refuses. It is taken anew as soon as that works.
            warn!(self.log, "lost the address: it could not be refreshed"; "address" => address.to_string());
            self.held.remove(index);
            return;
        }
        if now >= self.held[index].announcing.due() && self.held[index].yielded_until.is_none() {
            self.announce(address);
            self.held[index].announcing.done(now);
        }
    }

    async fn withdraw(&mut self, address: IpAddr) {
        let removed = self.aliases.remove(&self.addresses.interface, address).await;
        self.held.retain(|held| held.address != address);
        info!(self.log, "gave the address up"; "address" => address.to_string());
        self.tell_failure(removed);
    }
}
