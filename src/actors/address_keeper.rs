//! AddressKeeper: holds the service addresses that role and lease allow, announces them, and notices who else claims them.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};
use slog::{Logger, error, info, warn};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::fault;
use crate::clock;
use crate::config::limits;
use crate::handover::{Board, Shown};
use crate::machines::failover::{AddressSet, HoldBy};
use crate::network::{
    AddressNews, Aliases, ArpFrame, ArpPort, Listening, Neighbours, NetworkError, next_announcement, watch_addresses,
};

mod addresses;

pub use addresses::ServiceAddresses;

/// Hold these addresses from now on, and only these.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Hold {
    pub set: AddressSet,
    pub by: HoldBy,
}

/// What the actor and its task share; both live on one thread.
struct Wanted {
    hold: RefCell<Hold>,
    changed: Notify,
}

pub struct AddressKeeper {
    /// `None`: addresses are not moved by this program.
    addresses: Option<ServiceAddresses>,
    board: Arc<Board>,
    shown: Arc<Shown>,
    log: Logger,
    wanted: Rc<Wanted>,
}

impl AddressKeeper {
    pub fn new(addresses: Option<ServiceAddresses>, board: Arc<Board>, shown: Arc<Shown>, log: Logger) -> Self {
        Self { addresses, board, shown, log, wanted: Rc::new(Wanted::new()) }
    }
}

impl Wanted {
    fn new() -> Self {
        Self { hold: RefCell::new(Hold { set: AddressSet::None, by: HoldBy::Lease }), changed: Notify::new() }
    }
}

/// An address held, and what its neighbours have been told.
struct Held {
    address: Ipv4Addr,
    since: Instant,
    announce_at: Instant,
    refresh_at: Instant,
    /// The kernel ends it here unless it is refreshed before.
    kept_until: Instant,
    /// The peer is about to take it: until then nothing is announced, and whoever announces it is the new owner.
    yielded_until: Option<Instant>,
}

struct Keeping {
    addresses: ServiceAddresses,
    board: Arc<Board>,
    shown: Arc<Shown>,
    log: Logger,
    wanted: Rc<Wanted>,
    aliases: Aliases,
    port: Option<ArpPort>,
    news: News,
    neighbours: Neighbours,
    held: Vec<Held>,
    last_told: String,
}

type News = Listening<fn() -> Result<tokio::sync::mpsc::Receiver<AddressNews>, NetworkError>>;

impl Keeping {
    async fn go(mut self) {
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
                frame = next_frame(self.port.as_ref()) => self.sighted(&frame),
                told = self.news.next() => self.hear(told),
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
    fn allowed(&self) -> Vec<Ipv4Addr> {
        let (hold, leased) = (*self.wanted.hold.borrow(), clock::now() < self.board.lease_until());
        match hold.by {
            HoldBy::Grant => self.addresses.of(hold.set),
            HoldBy::Lease if leased => self.addresses.of(hold.set),
            HoldBy::Lease | HoldBy::Yield => vec![],
        }
    }

    /// Held for clients to find somebody who sends them away, until the peer has it.
    fn yielding(&self) -> Vec<Ipv4Addr> {
        let (now, leased) = (Instant::now(), clock::now() < self.board.lease_until());
        let is_yielding = |held: &&Held| leased && held.yielded_until.is_some_and(|until| now < until);
        self.held.iter().filter(is_yielding).map(|held| held.address).collect()
    }

    /// When there is something to do again: an address to announce or to refresh, the end of the lease, another try at what failed.
    fn due(&self) -> Instant {
        let (now, hold) = (Instant::now(), *self.wanted.hold.borrow());
        let lacks = |address: &Ipv4Addr| self.held.iter().all(|held| held.address != *address);
        if hold.by != HoldBy::Yield && self.addresses.of(hold.set).iter().any(lacks) {
            // Nothing tells that a lease has come back, or that the kernel would take the address now.
            return now + limits::ADDRESS_LOOK;
        }
        let mut due = now + limits::ALIAS_REFRESH;
        if !self.held.is_empty() && hold.by != HoldBy::Grant {
            let left_ms = self.board.lease_until().since(clock::now());
            due = due.min(now + Duration::from_millis(left_ms));
        }
        let next = |held: &Held| held.refresh_at.min(held.kept_until).min(held.yielded_until.unwrap_or(held.announce_at));
        self.held.iter().map(next).fold(due, Instant::min)
    }

    async fn keep(&mut self) {
        let mut allowed = self.allowed();
        allowed.extend(self.yielding().into_iter().filter(|address| !self.allowed().contains(address)));
        let gone: Vec<Ipv4Addr> = self.held.iter().map(|held| held.address).filter(|held| !allowed.contains(held)).collect();
        for address in gone {
            self.withdraw(address).await;
        }
        for address in allowed {
            match self.held.iter().position(|held| held.address == address) {
                None => self.take(address).await,
                Some(index) => self.look_after(index).await,
            }
        }
        let held: Vec<Ipv4Addr> = self.held.iter().map(|held| held.address).collect();
        // Whether clients could reach this server: asked, because news may be lost.
        let carrier = self.aliases.carrier(&self.addresses.interface).await.unwrap_or(false);
        self.board.set_lan_fails(!carrier || self.allowed().iter().any(|address| !held.contains(address)));
        self.shown.update(|view| view.addresses = held);
    }

    async fn take(&mut self, address: Ipv4Addr) {
        if let Err(error) = self.add(address).await {
            return self.tell_failure(Err(error));
        }
        self.announce(address);
        info!(self.log, "took the address"; "address" => address.to_string(), "interface" => &self.addresses.interface);
        let now = Instant::now();
        self.held.push(Held {
            address,
            since: now,
            announce_at: now + next_announcement(Duration::ZERO),
            refresh_at: now + limits::ALIAS_REFRESH,
            kept_until: now + limits::ALIAS_LIFETIME,
            yielded_until: None,
        });
    }

    async fn add(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        let label = self.addresses.label(address);
        self.aliases.add_or_refresh(&self.addresses.interface, address, limits::ALIAS_LIFETIME, &label).await
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
        if now >= self.held[index].announce_at && self.held[index].yielded_until.is_none() {
            self.announce(address);
            let held = &mut self.held[index];
            held.announce_at = held.since + next_announcement(now - held.since);
        }
    }

    async fn withdraw(&mut self, address: Ipv4Addr) {
        let removed = self.aliases.remove(&self.addresses.interface, address).await;
        self.held.retain(|held| held.address != address);
        info!(self.log, "gave the address up"; "address" => address.to_string());
        self.tell_failure(removed);
    }

    /// Both forms, then by name to whom we have seen, then a question to the gateway that names us.
    fn announce(&mut self, address: Ipv4Addr) {
        if self.port.is_none() {
            match ArpPort::open(&self.addresses.interface) {
                Ok(port) => self.port = Some(port),
                Err(error) => return self.tell_failure(Err(error)),
            }
        }
        let Some(port) = &self.port else { return };
        let mut told = port.announce(address);
        for neighbour in self.neighbours.iter() {
            told = told.and(port.reply_to(neighbour, address));
        }
        if let Some(gateway) = self.addresses.gateway {
            told = told.and(port.ask(gateway, address));
        }
        self.tell_failure(told);
    }

    fn sighted(&mut self, frame: &ArpFrame) {
        self.neighbours.heard(frame);
        let own = self.port.as_ref().map(ArpPort::mac);
        let claimed = self.held.iter().position(|held| frame.claims(held.address) && Some(frame.sender_mac) != own);
        let Some(index) = claimed else { return };
        if let Some(until) = self.held[index].yielded_until.as_mut() {
            *until = Instant::now();
            return;
        }
        if !self.allowed().contains(&self.held[index].address) {
            // The lease is over and the peer has taken its turn: withdrawn right after this.
            return;
        }
        let (address, mac) = (self.held[index].address, frame.sender_mac.to_string());
        // From now on as after a takeover: the neighbours were told something else.
        let now = Instant::now();
        (self.held[index].since, self.held[index].announce_at) = (now, now);
        let is_new = !self.shown.view().conflicts.contains(&mac);
        if is_new {
            warn!(self.log, "another station claims the address; find it and take it off the network";
                "address" => address.to_string(), "mac" => &mac);
            self.shown.update(|view| {
                view.conflicts.push(mac);
                let len = view.conflicts.len();
                view.conflicts.drain(..len.saturating_sub(limits::CONFLICTS_SHOWN_MAX));
            });
        }
    }

    fn hear(&mut self, told: Result<AddressNews, NetworkError>) {
        let now = Instant::now();
        match told {
            Ok(AddressNews::Removed { address }) => {
                for held in self.held.iter_mut().filter(|held| held.address == address) {
                    warn!(self.log, "the address was removed, not by this program; it is put back"; "address" => address.to_string());
                    (held.refresh_at, held.since, held.announce_at) = (now, now, now);
                }
            }
            Ok(AddressNews::Carrier { up: true, .. }) => {
                if let Some(port) = &self.port {
                    let followed = port.follow_interface();
                    self.tell_failure(followed);
                }
                for held in &mut self.held {
                    (held.refresh_at, held.since, held.announce_at) = (now, now, now);
                }
            }
            Ok(AddressNews::Carrier { .. }) => {}
            // What was not told is put right by the next refresh, within half a second.
            Err(error) => self.tell_failure(Err(error)),
        }
    }

    /// The same failure is told once.
    fn tell_failure(&mut self, result: Result<(), NetworkError>) {
        let Err(error) = result else { return };
        let text = told(&error);
        if text != self.last_told {
            error!(self.log, "cannot look after the addresses"; "reason" => &text);
            self.last_told = text;
        }
    }
}

/// The kernel does not say which right is missing.
fn told(error: &NetworkError) -> String {
    let text = error.to_string();
    if text.contains("not permitted") { format!("{text} (this needs CAP_NET_ADMIN and CAP_NET_RAW)") } else { text }
}

async fn next_frame(port: Option<&ArpPort>) -> ArpFrame {
    if let Some(port) = port {
        loop {
            match port.next().await {
                Ok(frame) => return frame,
                // The interface is down or gone; news of its return wakes the keeper.
                Err(_) => tokio::time::sleep(limits::ADDRESS_LOOK).await,
            }
        }
    }
    std::future::pending().await
}

impl Actor for AddressKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let Some(addresses) = self.addresses.clone() else { return };
        let news = || News::begin(watch_addresses);
        let (aliases, news) = match Aliases::open().and_then(|aliases| Ok((aliases, news()?))) {
            Ok(opened) => opened,
            Err(error) => {
                error!(self.log, "cannot reach the kernel's addresses; trying again"; "reason" => told(&error));
                ctx.run_later(Duration::from_secs(1), |keeper, ctx| keeper.started(ctx));
                return;
            }
        };
        let keeping = Keeping {
            addresses,
            board: Arc::clone(&self.board),
            shown: Arc::clone(&self.shown),
            log: self.log.clone(),
            wanted: Rc::clone(&self.wanted),
            aliases,
            port: None,
            news,
            neighbours: Neighbours::new(),
            held: Vec::new(),
            last_told: String::new(),
        };
        ctx.spawn(keeping.go().into_actor(self).map(|(), _, _| ()));
    }
}

impl Supervised for AddressKeeper {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // Given up; FailoverCoordinator, reborn with it, says what may be held.
        self.wanted = Rc::new(Wanted::new());
    }
}

impl Handler<Hold> for AddressKeeper {
    type Result = ();

    fn handle(&mut self, hold: Hold, _: &mut Context<Self>) {
        fault::point("address-keeper/hold");
        *self.wanted.hold.borrow_mut() = hold;
        self.wanted.changed.notify_one();
    }
}
