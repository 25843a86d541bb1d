//! StateMonitor: heartbeats, and what the health and relief machines make of them.

use duplex::actors::state_monitor::illness;
use duplex::config::{Timing, limits};
use duplex::machines::failover::Event;
use duplex::machines::health::{Health, Patience, Reach};
use duplex::machines::relief::{Part, Relief, Signs, Wish};
use duplex::model::{BeatNo, BootNonce, Complaints, Heartbeat, Mode, Moment, Role, Sequence, Standing};
use duplex::wire::hearing::Hearing;

use crate::world::{News, World, server};

pub struct Monitor {
    boot: BootNonce,
    health: Health,
    hearing: Hearing,
    relief: Relief,
    number: BeatNo,
    pub standing: Option<Standing>,
    peer_stored: Sequence,
    peer_complaints: Complaints,
    /// Run of the peer that the life line stands to.
    pub life: Option<u64>,
}

fn patience() -> Patience {
    let Timing { lease_ms, silence_ms, .. } = Timing::default();
    Patience { lease_ms, silence_ms, boot_ms: limits::BOOT_PATIENCE_MS, beats_remembered: limits::BEATS_REMEMBERED }
}

impl Monitor {
    pub fn new(boot: u64, now: Moment) -> Self {
        let boot = BootNonce(boot);
        Self {
            boot,
            health: Health::new(patience(), boot, now),
            hearing: Hearing::new(boot),
            relief: Relief::new(illness::patience(Timing::default().silence_ms)),
            number: BeatNo(0),
            standing: None,
            peer_stored: Sequence(0),
            peer_complaints: Complaints::default(),
            life: None,
        }
    }

    pub fn boot(&self) -> u64 {
        self.boot.0
    }

    fn part(&self) -> Part {
        match self.standing {
            Some(standing) if standing.mode == Mode::Pair && standing.role == Role::Main => Part::Main,
            Some(standing) if standing.mode == Mode::Pair && standing.role == Role::Sub => Part::Sub,
            Some(standing) if standing.mode == Mode::Rejoining => Part::Returning,
            _ => Part::None,
        }
    }
}

impl World {
    pub fn beat(&mut self, index: usize) {
        self.send_own_beat(index);
        self.judge(index);
        self.look_at_own_health(index);
        let late = if self.calm { 0 } else { self.dice.roll(4) };
        self.tell_after(Timing::default().heartbeat_ms + late, index, News::Beat);
    }

    pub fn send_own_beat(&mut self, index: usize) {
        let now = self.moment();
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let monitor = &mut process.monitor;
        let Some(mut standing) = monitor.standing else { return };
        let board = &process.storage.board;
        let silence_ms = Timing::default().silence_ms;
        let hangs = board.syncing_since().is_some_and(|since| now.since(since) >= silence_ms);
        board.set_disk_hangs(hangs);
        standing.can_acknowledge &= !hangs && !monitor.relief.leaves(now);
        monitor.number = BeatNo(monitor.number.0 + 1);
        monitor.health.sending(now, monitor.number);
        let beat = Heartbeat {
            from: server(index),
            boot: monitor.boot,
            number: monitor.number,
            echo: monitor.hearing.echo(),
            grants_lease: monitor.health.grants_lease(),
            standing,
            stored: board.stored(),
            complaints: monitor.relief.complaints(),
            service_mac: None,
        };
        self.send_beat(index, beat);
    }

    pub fn hear_beat(&mut self, index: usize, beat: &Heartbeat) {
        let now = self.moment();
        let is_whole = self.network.ways.iter().all(|way| !way.is_cut);
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let monitor = &mut process.monitor;
        if !monitor.hearing.hear(beat, monitor.number).counts() {
            return;
        }
        (monitor.peer_stored, monitor.peer_complaints) = (beat.stored, beat.complaints);
        if is_whole {
            monitor.life = Some(beat.boot.0);
        }
        process.storage.board.set_peer_said(beat.stored);
        let events = monitor.health.heard(now, beat);
        process.storage.board.set_lease_until(monitor.health.lease_until());
        self.tell_events(index, events);
    }

    pub fn hear_death(&mut self, index: usize, run: u64) {
        let now = self.moment();
        let Some(process) = self.servers[index].process.as_mut() else { return };
        if process.monitor.life == Some(run) {
            process.monitor.life = None;
            let events = process.monitor.health.died(now, BootNonce(run));
            self.tell_events(index, events);
        }
    }

    fn tell_events(&mut self, index: usize, events: Vec<Event>) {
        for event in events {
            self.event(index, event);
        }
    }

    fn judge(&mut self, index: usize) {
        let now = self.moment();
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let (monitor, board) = (&mut process.monitor, &process.storage.board);
        let standing = monitor.standing;
        let needs_the_peer = process.storage.gate.needs_the_peer();
        let in_pair = needs_the_peer || standing.is_some_and(|standing| standing.mode == Mode::Pair);
        let follows = standing.is_some_and(|standing| standing.mode == Mode::Rejoining || standing.role == Role::Sub);
        let arrived = board.frames_arrived();
        let next = if needs_the_peer { arrived + 1 } else { 0 };
        let arrived = if follows { u64::MAX } else { arrived };
        let peers = Reach { stored: monitor.peer_stored.max(board.peer_stored()), frame: arrived };
        let wanted = Reach { stored: board.stored(), frame: next };
        monitor.health.progress(now, in_pair, wanted, peers);
        if let Some(own) = standing {
            monitor.health.stands(now, own.mode, own.epoch);
        }
        let events = monitor.health.tick(now);
        process.keeper.refresh(now.0, board.lease_until());
        self.tell_events(index, events);
    }

    fn look_at_own_health(&mut self, index: usize) {
        let now = self.moment();
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let heard = process.coordinator.arbiter_heard;
        let (monitor, board) = (&mut process.monitor, &process.storage.board);
        let signs = Signs {
            syncing_since: board.syncing_since(),
            store_fails: board.store_fails(),
            lan_fails: false,
            arbiter_silent: heard.is_none_or(|heard| now.since(heard) > limits::ARBITER_SILENT_MS),
            arbiter_heard: heard,
        };
        monitor.relief.notice(now, signs);
        let peer = monitor.health.loss().is_none().then_some(monitor.peer_complaints);
        let part = monitor.part();
        if monitor.relief.decide(now, part, peer) == Some(Wish::HandOver) {
            self.want_switchover(index);
        }
    }

    pub fn grant_leases(&mut self, index: usize, granting: bool) {
        if let Some(process) = self.servers[index].process.as_mut() {
            process.monitor.health.grant_leases(granting);
        }
    }
}
