//! `GET /api/v1/status`: how this server is, from memory. Never waits for an actor, holds no personal data, open to everybody.

use std::net::Ipv4Addr;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use supervisors::Report;

use super::sentence::{Both, in_sync, reachable, sentence};
use super::{Console, NoQuery, time_text};
use crate::clock;
use crate::handover::shown::View;
use crate::model::{Holder, Mode, Role};

#[derive(Serialize)]
pub(super) struct Status {
    server: String,
    role: Role,
    mode: Mode,
    epoch: u64,
    /// Newest entry that is durable here.
    sequence: u64,
    pub(super) sentence: Both,
    pub(super) line: Both,
    pub(super) shape: char,
    pub(super) colour: &'static str,
    peer: Peer,
    arbiter: Arbiter,
    addresses: Vec<Ipv4Addr>,
    /// UTC; since when role, mode and epoch are as they are.
    since: Option<String>,
    stored: u64,
    confirmed: u64,
    applied: u64,
    peer_stored: u64,
    last_takeover: Option<Takeover>,
    conflicts: Vec<String>,
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
    /// Entries stored here that the peer has not told to have stored; `null` on a server that does not send them.
    lag_entries: Option<u64>,
    /// 0 if the peer lacks nothing; `null` where the age of what it lacks is not known.
    lag_ms: Option<u64>,
    silence_ms: u64,
    /// Why it counts as lost.
    lost: Option<&'static str>,
}

#[derive(Serialize)]
struct Arbiter {
    kind: &'static str,
    reachable: bool,
    heard_ms_ago: Option<u64>,
    error: Option<String>,
    epoch: Option<u64>,
    /// Who may acknowledge, by its register.
    holder: Option<Holder>,
}

#[derive(Serialize)]
struct Takeover {
    at: Option<String>,
    took_ms: u64,
}

pub(super) async fn status(console: Data<Console>, _: NoQuery) -> HttpResponse {
    HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(console.status())
}

impl Console {
    pub(super) fn status(&self) -> Status {
        let (view, board) = (self.shown.view(), &self.board);
        let said = sentence(&view, board, self.me, &self.names[self.me.peer().index()], clock::unix_now());
        Status {
            server: self.names[self.me.index()].clone(),
            role: view.standing.map_or(Role::None, |standing| standing.role),
            mode: view.standing.map_or(Mode::Starting, |standing| standing.mode),
            epoch: view.standing.map_or(board.epoch(), |standing| standing.epoch).0,
            sequence: board.stored().0,
            sentence: said.sentence,
            line: said.line,
            shape: said.shape,
            colour: said.colour,
            peer: self.peer(&view),
            arbiter: self.arbiter(&view),
            since: view.standing.and_then(|_| time_text(view.since)),
            stored: board.stored().0,
            confirmed: board.confirmed().0,
            applied: board.applied().0,
            peer_stored: board.peer_stored().0,
            last_takeover: view.last_takeover.map(|last| Takeover { at: time_text(last.at), took_ms: last.took_ms }),
            addresses: view.addresses,
            conflicts: view.conflicts,
            actors: (self.tree)().children,
        }
    }

    fn peer(&self, view: &View) -> Peer {
        let sends = view.standing.is_some_and(|standing| standing.role == Role::Main);
        // The peer's first: it may only grow, so the difference is never more than it was.
        let peer_stored = self.board.peer_stored().0;
        let lag_entries = sends.then(|| self.board.stored().0.saturating_sub(peer_stored));
        Peer {
            name: self.names[self.me.peer().index()].clone(),
            role: view.peer.map(|peer| peer.role),
            mode: view.peer.map(|peer| peer.mode),
            reachable: reachable(view),
            in_sync: in_sync(view),
            lag_entries,
            lag_ms: lag_entries.filter(|lag| *lag == 0),
            silence_ms: view.peer_silence_ms,
            lost: view.peer_lost,
        }
    }

    fn arbiter(&self, view: &View) -> Arbiter {
        Arbiter {
            kind: self.arbiter_kind,
            reachable: view.arbiter_heard.is_some() && view.arbiter_error.is_none(),
            heard_ms_ago: view.arbiter_heard.map(|heard| clock::now().since(heard)),
            error: view.arbiter_error.clone(),
            epoch: view.register.map(|register| register.epoch.0),
            holder: view.register.map(|register| register.holder),
        }
    }
}
