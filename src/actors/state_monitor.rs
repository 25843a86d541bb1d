//! StateMonitor: heartbeats on every path, the peer's and this server's health, and the leases that follow from them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, Supervised, WrapFuture};
use slog::{Logger, error, warn};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::lag::PeerLag;
use super::fault;
use crate::clock;
use crate::handover::{Board, Shown, shown};
use crate::machines::failover::{Event, Loss};
use crate::machines::health::{Health, Patience, Reach};
use crate::machines::paths::PathWatch;
use crate::machines::relief::Relief;
use crate::model::{BeatNo, BootNonce, Complaints, Heartbeat, Mode, Moment, Role, Sequence, ServerId, Standing};
use crate::telemetry::Metrics;
use crate::wire::hearing::Hearing;
use crate::wire::heartbeat::{DATAGRAM_MAX, HeartbeatKey, decode, encode};
use crate::wire::life::LifeNews;
use crate::wire::paths::{Path, Paths};

pub mod illness;
mod lag;
mod ways;

/// What heartbeats say from now on.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Stand(pub Standing);

/// Whether this server's echoes extend the peer's leases.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct GrantLeases(pub bool);

/// The life line has something to tell.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct LifeTold(pub LifeNews);

/// A verdict of the health machine; heard by FailoverCoordinator.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Judged(pub Event);

/// Whether answers must wait for the peer's word.
pub type NeedsThePeer = Arc<dyn Fn() -> bool + Send + Sync>;

#[derive(Clone)]
pub struct Settings {
    pub me: ServerId,
    pub boot: BootNonce,
    pub key: HeartbeatKey,
    pub paths: Vec<Path>,
    pub patience: Patience,
    pub heartbeat_ms: u64,
}

/// What the actor and its task share; both live on one thread.
struct Watching {
    health: RefCell<Health>,
    standing: Cell<Option<Standing>>,
    /// It has changed: the peer hears it now, not with the next beat.
    stands_anew: Notify,
    /// Run of the peer that the life line stands to.
    life: Cell<Option<BootNonce>>,
    /// It still stands, as far as anybody knows.
    connected: Cell<bool>,
    number: Cell<BeatNo>,
}

pub struct StateMonitor {
    settings: Settings,
    board: Arc<Board>,
    shown: Arc<Shown>,
    metrics: Arc<Metrics>,
    needs_the_peer: NeedsThePeer,
    coordinator: Recipient<Judged>,
    log: Logger,
    watching: Rc<Watching>,
}

impl StateMonitor {
    pub fn new(
        settings: Settings,
        board: Arc<Board>,
        shown: Arc<Shown>,
        metrics: Arc<Metrics>,
        needs_the_peer: NeedsThePeer,
        coordinator: Recipient<Judged>,
        log: Logger,
    ) -> Self {
        let watching = Rc::new(Watching::new(&settings, None));
        Self { settings, board, shown, metrics, needs_the_peer, coordinator, log, watching }
    }

    fn tell(&self, events: Vec<Event>) {
        tell(&self.coordinator, &self.shown, events);
    }
}

fn tell(coordinator: &Recipient<Judged>, shown: &Shown, events: Vec<Event>) {
    for event in events {
        shown.update(|view| match event {
            Event::PeerLost(loss) => view.peer_lost = Some(word(loss)),
            Event::PeerBack => view.peer_lost = None,
            Event::PeerSays(standing) => view.peer = Some(standing),
            _ => {}
        });
        coordinator.do_send(Judged(event));
    }
}

fn word(loss: Loss) -> &'static str {
    match loss {
        Loss::Dead => shown::DEAD,
        Loss::Silent => shown::SILENT,
        Loss::CannotAcknowledge => "cannot acknowledge",
        Loss::NotStoring => "not storing",
    }
}

impl Watching {
    fn new(settings: &Settings, life: Option<BootNonce>) -> Self {
        Self {
            health: RefCell::new(Health::new(settings.patience, settings.boot, clock::now())),
            standing: Cell::new(None),
            stands_anew: Notify::new(),
            life: Cell::new(life),
            connected: Cell::new(life.is_some()),
            number: Cell::new(BeatNo(0)),
        }
    }
}

/// One life of the watch: sends, hears and judges until the actor ends.
struct Round {
    settings: Settings,
    watching: Rc<Watching>,
    board: Arc<Board>,
    shown: Arc<Shown>,
    metrics: Arc<Metrics>,
    needs_the_peer: NeedsThePeer,
    coordinator: Recipient<Judged>,
    log: Logger,
    paths: Paths,
    hearing: Hearing,
    lag: PeerLag,
    watch: PathWatch,
    /// What the peer's newest heartbeat said about its journal, and what ails it.
    peer_stored: Sequence,
    peer_complaints: Complaints,
    relief: Relief,
}

impl Round {
    async fn go(mut self) {
        let mut buffer = [0; DATAGRAM_MAX + 1];
        let beat = std::time::Duration::from_millis(self.settings.heartbeat_ms);
        let mut due = Instant::now();
        let watching = Rc::clone(&self.watching);
        loop {
            tokio::select! {
                // Due beats first: a flood of datagrams must not delay them.
                biased;
                () = sleep_until(due) => {
                    fault::point("state-monitor/beat");
                    self.tell_standstill(Instant::now() - due);
                    self.beat();
                    self.judge();
                    self.look_at_own_health();
                    self.look_at_the_paths();
                    // From now, not from when it was due: late ticks must not come in a burst.
                    due = Instant::now() + beat;
                }
                () = watching.stands_anew.notified() => self.beat(),
                datagram = self.paths.receive(&mut buffer) => {
                    fault::point("state-monitor/datagram");
                    let decoded = decode(datagram.bytes, &self.settings.key, self.settings.me);
                    match decoded {
                        Ok(heard) => {
                            self.metrics.heartbeats.heard.inc();
                            self.watch.heard(datagram.path, clock::now());
                            self.hear(&heard);
                        }
                        Err(refusal) => self.refuse(refusal.code()),
                    }
                }
            }
        }
    }

    /// What follows in the log is then this server's own doing, whatever it says of the other one.
    fn tell_standstill(&self, late: std::time::Duration) {
        if late.as_millis() >= u128::from(self.settings.patience.lease_ms) {
            warn!(self.log, "this process stood still: stopped, or without a processor"; "ms" => late.as_millis() as u64);
        }
    }

    fn beat(&mut self) {
        let Some(mut standing) = self.watching.standing.get() else { return };
        standing.can_acknowledge &= !self.look_at_the_disk() && !self.relief.leaves(clock::now());
        let number = BeatNo(self.watching.number.get().0 + 1);
        self.watching.number.set(number);
        let grants_lease = {
            let mut health = self.watching.health.borrow_mut();
            health.sending(clock::now(), number);
            health.grants_lease()
        };
        let (from, boot, stored) = (self.settings.me, self.settings.boot, self.board.stored());
        let complaints = self.relief.complaints();
        let service_mac = self.shown.service_mac();
        let echo = self.hearing.echo();
        let beat = Heartbeat { from, boot, number, echo, grants_lease, standing, stored, complaints, service_mac };
        let sent = self.paths.send_to_all(&encode(&beat, &self.settings.key));
        self.metrics.heartbeats.sent.inc_by(sent);
    }

    fn hear(&mut self, beat: &Heartbeat) {
        if !self.hearing.hear(beat, self.watching.number.get()).counts() {
            return;
        }
        (self.peer_stored, self.peer_complaints) = (beat.stored, beat.complaints);
        self.board.set_peer_said(beat.stored);
        self.shown.set_peer_mac(beat.service_mac);
        let events = self.watching.health.borrow_mut().heard(clock::now(), beat);
        self.board.set_lease_until(self.watching.health.borrow().lease_until());
        tell(&self.coordinator, &self.shown, events);
    }

    fn judge(&mut self) {
        let now = clock::now();
        let standing = self.watching.standing.get();
        // Answers need the peer from before the pair is one: from when it was near.
        let needs_the_peer = (self.needs_the_peer)();
        let in_pair = needs_the_peer || standing.is_some_and(|standing| standing.mode == Mode::Pair);
        let follows = standing.is_some_and(|standing| standing.mode == Mode::Rejoining || standing.role == Role::Sub);
        // Main knows by acknowledgements, Sub by heartbeats. An open stream carries frames all the time: none of them arriving would
        // show only once somebody asks. Whoever follows sends none, and waits for none.
        let arrived = self.board.frames_arrived();
        let next = if needs_the_peer { arrived + 1 } else { 0 };
        let arrived = if follows { u64::MAX } else { arrived };
        let peers = Reach { stored: self.peer_stored.max(self.board.peer_stored()), frame: arrived };
        let wanted = Reach { stored: self.board.stored(), frame: next };
        let events = {
            let mut health = self.watching.health.borrow_mut();
            health.progress(now, in_pair, wanted, peers);
            if let Some(own) = standing {
                health.stands(now, own.mode, own.epoch);
            }
            health.tick(now)
        };
        let lag = self.lag.look(now, self.board.stored(), self.board.peer_stored());
        self.metrics.peer_lag_ms.set(lag.map_or(f64::NAN, |ms| ms as f64));
        let silence = self.watching.health.borrow().silence_ms(now);
        self.shown.update(|view| view.peer_silence_ms = silence);
        tell(&self.coordinator, &self.shown, events);
    }
}

impl Actor for StateMonitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let paths = match Paths::open(self.settings.paths.clone()) {
            Ok(paths) => paths,
            Err(error) => {
                error!(self.log, "cannot open the heartbeat paths; trying again"; "reason" => error.to_string());
                ctx.run_later(std::time::Duration::from_secs(1), |monitor, ctx| monitor.started(ctx));
                return;
            }
        };
        self.shown.update(|view| view.silent_paths.clear());
        let round = Round {
            settings: self.settings.clone(),
            watching: Rc::clone(&self.watching),
            board: Arc::clone(&self.board),
            shown: Arc::clone(&self.shown),
            metrics: Arc::clone(&self.metrics),
            needs_the_peer: Arc::clone(&self.needs_the_peer),
            coordinator: self.coordinator.clone(),
            log: self.log.clone(),
            paths,
            hearing: Hearing::new(self.settings.boot),
            lag: PeerLag::default(),
            watch: PathWatch::new(ways::PATIENCE, self.settings.paths.len(), clock::now()),
            peer_stored: Sequence(0),
            peer_complaints: Complaints::default(),
            relief: Relief::new(illness::patience(self.settings.patience.silence_ms)),
        };
        ctx.spawn(round.go().into_actor(self).map(|(), _, _| ()));
    }
}

impl Supervised for StateMonitor {
    fn restarting(&mut self, _: &mut Context<Self>) {
        warn!(self.log, "reborn: leases are given up");
        self.board.set_lease_until(Moment(0));
        // Numbers go on rising, or the peer would not count them.
        let (number, life) = (self.watching.number.get(), self.watching.life.get());
        self.watching = Rc::new(Watching::new(&self.settings, life));
        self.watching.number.set(number);
    }
}

impl Handler<Stand> for StateMonitor {
    type Result = ();

    fn handle(&mut self, Stand(standing): Stand, _: &mut Context<Self>) {
        fault::point("state-monitor/stand");
        self.watching.standing.set(Some(standing));
        self.watching.stands_anew.notify_one();
    }
}

impl Handler<GrantLeases> for StateMonitor {
    type Result = ();

    fn handle(&mut self, GrantLeases(granting): GrantLeases, _: &mut Context<Self>) {
        fault::point("state-monitor/grant-leases");
        self.watching.health.borrow_mut().grant_leases(granting);
    }
}

impl Handler<LifeTold> for StateMonitor {
    type Result = ();

    fn handle(&mut self, LifeTold(news): LifeTold, _: &mut Context<Self>) {
        fault::point("state-monitor/life-told");
        match news {
            LifeNews::Connected { boot } => {
                self.watching.connected.set(true);
                self.watching.life.set(Some(boot));
            }
            LifeNews::Dead => {
                self.watching.connected.set(false);
                if let Some(boot) = self.watching.life.take() {
                    let events = self.watching.health.borrow_mut().died(clock::now(), boot);
                    self.tell(events);
                }
            }
            // Its process may live: silence decides.
            LifeNews::Broken => self.watching.connected.set(false),
        }
    }
}
