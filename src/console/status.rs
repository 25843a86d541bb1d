//! `GET /api/v1/status`: how this server is, from memory. Never waits for an actor, holds no personal data, open to everybody.

use std::net::IpAddr;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use supervisors::Report;

use super::forecast::{ArbiterKind, Forecast, forecast};
use super::sentence::{Both, Look, Server, arbiter_is_silent, in_sync, reachable, sentence};
use super::{Console, NoQuery, time_text};
use crate::clock;
use crate::config::ReplicationMode;
use crate::handover::failures;
use crate::handover::shown::View;
use crate::model::{Complaints, Holder, Mode, Role};

#[derive(Serialize)]
pub(super) struct Status {
    server: String,
    role: Role,
    mode: Mode,
    /// Whether an answer waits for both servers.
    replication: ReplicationMode,
    epoch: u64,
    /// Newest entry that is durable here.
    sequence: u64,
    pub(super) sentence: Both,
    pub(super) line: Both,
    pub(super) shape: char,
    pub(super) colour: &'static str,
    /// What ails it.
    complaints: Complaints,
    peer: Peer,
    arbiter: Arbiter,
    /// What would happen now.
    forecast: Forecast,
    addresses: Vec<IpAddr>,
    /// UTC; since when role, mode and epoch are as they are.
    since: Option<String>,
    stored: u64,
    confirmed: u64,
    applied: u64,
    peer_stored: u64,
    last_takeover: Option<Takeover>,
    conflicts: Vec<String>,
    /// What went wrong between the two servers and behind the journal since the start, by the codes that the README tabulates.
    failures: Vec<Failure>,
    actors: Vec<Report>,
}

#[derive(Serialize)]
struct Peer {
    name: String,
    /// As its own heartbeats say.
    role: Option<Role>,
    mode: Option<Mode>,
    reachable: bool,
    in_sync: bool,
    /// Entries stored here that the peer has not told to have stored; `null` on a server that does not send them, or has not heard it.
    lag_entries: Option<u64>,
    /// Age of the oldest of these; 0 if the peer lacks nothing; `null` where it is not known: stored before this server was started.
    lag_ms: Option<u64>,
    silence_ms: u64,
    /// Heartbeat paths on which nothing comes while another one carries heartbeats, or all while the peer is connected.
    silent_paths: Vec<String>,
    /// Why this server refuses its stream and stays out, by the code that the README tabulates.
    stays_out: Option<&'static str>,
    /// What ails it, by its last heartbeat.
    complaints: Complaints,
    /// Why it counts as lost.
    lost: Option<&'static str>,
}

#[derive(Serialize)]
struct Arbiter {
    kind: &'static str,
    /// Its last word was an answer, and not long ago.
    reachable: bool,
    heard_ms_ago: Option<u64>,
    error: Option<String>,
    epoch: Option<u64>,
    /// Who may acknowledge, by its register.
    holder: Option<Holder>,
    /// UTC; since when, where this server asked because it has older data.
    holder_since: Option<String>,
}

#[derive(Serialize)]
struct Failure {
    code: &'static str,
    times: u64,
    first: Option<String>,
    last: Option<String>,
}

#[derive(Serialize)]
struct Takeover {
    at: Option<String>,
    took_ms: u64,
    may_be_lost: Option<u64>,
}

pub(super) async fn status(console: Data<Console>, _: NoQuery) -> HttpResponse {
    HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(console.status())
}

impl Console {
    pub(super) fn status(&self) -> Status {
        let (view, board) = (self.parts.shown.view(), &self.parts.board);
        let look = Look { wall: clock::unix_now(), moment: clock::now() };
        let said = sentence(&view, board, self.server(), look);
        Status {
            server: self.parts.names[self.parts.me.index()].clone(),
            role: view.standing.map_or(Role::None, |standing| standing.role),
            mode: view.standing.map_or(Mode::Starting, |standing| standing.mode),
            replication: self.parts.replication,
            epoch: view.standing.map_or(board.epoch(), |standing| standing.epoch).0,
            sequence: board.stored().0,
            sentence: said.sentence,
            line: said.line,
            shape: said.shape,
            colour: said.colour,
            complaints: view.complaints,
            peer: self.peer(&view),
            arbiter: self.arbiter(&view, look),
            forecast: forecast(&view, look.moment, self.server().peer, self.server().arbiter),
            since: view.standing.and_then(|_| time_text(view.since)),
            stored: board.stored().0,
            confirmed: board.confirmed().0,
            applied: board.applied().0,
            peer_stored: board.peer_known().0,
            last_takeover: view.last_takeover.map(|last| Takeover {
                at: time_text(last.at),
                took_ms: last.took_ms,
                may_be_lost: last.may_be_lost,
            }),
            addresses: view.addresses,
            conflicts: view.conflicts,
            failures: self.failures(),
            actors: (self.parts.tree)().children,
        }
    }

    fn failures(&self) -> Vec<Failure> {
        let told = |seen: failures::Failure| Failure {
            code: seen.code,
            times: seen.times,
            first: time_text(seen.first),
            last: time_text(seen.last),
        };
        self.parts.failures.list().into_iter().map(told).collect()
    }

    fn server(&self) -> Server<'_> {
        Server {
            me: self.parts.me,
            peer: &self.parts.names[self.parts.me.peer().index()],
            replication: self.parts.replication,
            moves_addresses: self.parts.moves_addresses,
            arbiter: if self.parts.arbiter_kind == "operator" { ArbiterKind::Person } else { ArbiterKind::Machine },
        }
    }

    fn peer(&self, view: &View) -> Peer {
        let sends = view.standing.is_some_and(|standing| standing.role == Role::Main);
        // The peer's first: it may only grow, so the difference is never more than it was. A peer not heard since this server was
        // started is behind by nobody knows how much.
        let peer_stored = self.parts.board.peer_known().0;
        let stored = self.parts.board.stored().0;
        let lag_entries = (sends && (peer_stored > 0 || stored == 0)).then(|| stored.saturating_sub(peer_stored));
        Peer {
            name: self.server().peer.to_owned(),
            role: view.peer.map(|peer| peer.role),
            mode: view.peer.map(|peer| peer.mode),
            reachable: reachable(view),
            in_sync: in_sync(view),
            lag_entries,
            lag_ms: lag_entries.and_then(|lag| if lag == 0 { Some(0) } else { self.peer_lag_ms() }),
            silence_ms: view.peer_silence_ms,
            silent_paths: view.silent_paths.clone(),
            stays_out: self.parts.board.stays_out(),
            complaints: view.peer_complaints,
            lost: view.peer_lost,
        }
    }

    fn peer_lag_ms(&self) -> Option<u64> {
        let ms = self.parts.metrics.peer_lag_ms.get();
        (!ms.is_nan()).then_some(ms as u64)
    }

    fn arbiter(&self, view: &View, look: Look) -> Arbiter {
        Arbiter {
            kind: self.parts.arbiter_kind,
            reachable: view.arbiter_heard.is_some() && !arbiter_is_silent(view, look.moment),
            heard_ms_ago: view.arbiter_heard.map(|heard| look.moment.since(heard)),
            error: view.arbiter_error.clone(),
            epoch: view.register.map(|register| register.epoch.0),
            holder: view.register.map(|register| register.holder),
            holder_since: view.newer_since().and_then(time_text),
        }
    }
}
