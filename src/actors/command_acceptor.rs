//! CommandAcceptor: listens for terminals, reads their commands, admits them within bounds, and gives every answer to its session.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture, Supervised, WrapFuture};
use rustls::ServerConfig;
use slog::{Logger, error, info};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};

use super::data_updater::WorkWaiting;
use super::{Reply, SessionNo, Storage, fault};
use crate::clock;
use crate::config::limits;
use crate::handover::{Leaving, Shown, UnderWay};
use crate::machines::admission::{Bounds, Load};
use crate::model::application::PairCode;
use crate::model::{Application, CommandId, Mode, Moment, Response, Role, Sequence, Status};
use crate::wire::terminal::{Answer, StoredOn, encode_answer};

mod intake;
mod session;

/// Answers that the gate has let go, or told to try again.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Release(pub Vec<Leaving<Reply>>);

/// One command that came over HTTP: the same object as on a terminal's line; answers with the same line.
#[derive(Message, Debug)]
#[rtype(result = "Vec<u8>")]
pub struct Submit(pub String);

/// End every terminal's session, and accept none for a moment: the address is about to move.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Dismiss;

/// What sessions and actor share; all on the edge's thread.
pub(crate) struct Edge<A: Application> {
    app: A,
    storage: Arc<Storage<A>>,
    shown: Arc<Shown>,
    updater: Recipient<WorkWaiting>,
    permits: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    sessions: RefCell<HashMap<SessionNo, Outlet>>,
    next_session: Cell<u64>,
    bounds: Bounds,
    /// Until then whoever connects is sent away: the other server is about to be there.
    away_until: Cell<Moment>,
}

/// Where a session's answers go.
pub(crate) enum Outlet {
    Terminal(Rc<Outbox>),
    Once(oneshot::Sender<Vec<u8>>),
}

/// Answers on their way to one terminal.
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: RefCell<Vec<u8>>,
    under_way: Arc<UnderWay>,
}

/// Where terminals connect, and how.
#[derive(Clone)]
pub struct Listening {
    pub address: SocketAddr,
    /// `None`: plain.
    pub tls: Option<Arc<ServerConfig>>,
}

pub struct CommandAcceptor<A: Application> {
    edge: Rc<Edge<A>>,
    listening: Listening,
    /// Taken on each start; kept open between lives so that no connection is refused by a restart.
    listener: Rc<RefCell<Option<std::net::TcpListener>>>,
    log: Logger,
    /// Sent to, or dropped with a former life, to end every session.
    alive: watch::Sender<()>,
}

impl<A: Application> CommandAcceptor<A> {
    pub fn new(
        app: A,
        storage: Arc<Storage<A>>,
        shown: Arc<Shown>,
        updater: Recipient<WorkWaiting>,
        listening: Listening,
        listener: std::net::TcpListener,
        log: Logger,
    ) -> Self {
        let edge = Rc::new(Edge {
            app,
            storage,
            shown,
            updater,
            permits: Arc::new(Semaphore::new(limits::COMMANDS_IN_FLIGHT_MAX)),
            slow: Arc::new(Semaphore::new(limits::SLOW_STEPS_MAX)),
            sessions: RefCell::default(),
            next_session: Cell::new(0),
            bounds: Bounds {
                sessions_max: limits::SESSIONS_MAX,
                per_session_max: limits::COMMANDS_PER_SESSION_MAX,
                unread_bytes_max: limits::OUTBOX_BYTES_MAX,
            },
            away_until: Cell::new(Moment(0)),
        });
        let listener = Rc::new(RefCell::new(Some(listener)));
        Self { edge, listening, listener, log, alive: watch::Sender::new(()) }
    }

    fn listen(&self, ctx: &mut Context<Self>) {
        let Some(cloned) = self.listener.borrow().as_ref().map(std::net::TcpListener::try_clone) else { return };
        // Registered here, not in the task: whatever fails is tried again.
        let listener = match cloned.and_then(TcpListener::from_std) {
            Ok(listener) => listener,
            Err(error) => {
                error!(self.log, "cannot listen for terminals; trying again"; "reason" => error.to_string());
                ctx.run_later(limits::ACCEPT_RETRY, |acceptor, ctx| acceptor.listen(ctx));
                return;
            }
        };
        let accept = accept_terminals(Rc::clone(&self.edge), listener, self.listening.tls.clone(), self.alive.subscribe());
        ctx.spawn(accept.into_actor(self).map(|(), _, _| ()));
        info!(self.log, "listens for terminals"; "address" => self.listening.address.to_string(),
            "tls" => self.listening.tls.is_some());
    }
}

async fn accept_terminals<A: Application>(
    edge: Rc<Edge<A>>,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    alive: watch::Receiver<()>,
) {
    let handshakes = Arc::new(Semaphore::new(limits::HANDSHAKES_MAX));
    loop {
        let Ok((tcp, _)) = listener.accept().await else {
            // No file descriptor left, most likely: it would fail again at once.
            tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            continue;
        };
        if edge.sends_away() || !edge.bounds.session(&Load { sessions: edge.sessions.borrow().len(), ..Load::default() }) {
            // Closing is the clearest word to a connection that has not said anything yet.
            continue;
        }
        let mut alive = alive.clone();
        // Whoever was dismissed before is not this one.
        alive.mark_unchanged();
        let session = session::Session::new(Rc::clone(&edge), alive);
        let (tls, handshakes) = (tls.clone(), Arc::clone(&handshakes));
        actix_rt::spawn(async move { session.serve(tcp, tls, handshakes).await });
    }
}

impl<A: Application> Edge<A> {
    /// Whoever was dismissed finds the other server, or this one in its new role.
    fn sends_away(&self) -> bool {
        clock::now() < self.away_until.get() && self.shown.role() == Role::None
    }

    fn enter(&self, outlet: Outlet) -> SessionNo {
        let no = SessionNo(self.next_session.get());
        self.next_session.set(no.0 + 1);
        self.sessions.borrow_mut().insert(no, outlet);
        no
    }

    fn leave(&self, no: SessionNo) {
        self.sessions.borrow_mut().remove(&no);
    }

    /// An answer that rests on no data: it leaves at once.
    fn refuse(&self, out: &mut Vec<u8>, command_id: Option<CommandId>, code: PairCode) {
        let response = self.app.refusal(code);
        encode_answer(out, &self.bare(command_id, &response));
    }

    fn bare<'a>(&self, command_id: Option<CommandId>, response: &'a Response) -> Answer<'a> {
        let (epoch, sequence) = (self.storage.board.epoch(), Sequence(0));
        let (mode, day) = (self.shown.mode(), None);
        Answer { command_id, response, stored_on: None, epoch, sequence, day, mode, repeated: false }
    }

    /// Encodes an answer that leaves: where it is stored is worked out here, at the last moment.
    fn encode(&self, out: &mut Vec<u8>, leaving: &Leaving<Reply>, mode: Mode) {
        let reply = &leaving.answer;
        let Some(both) = leaving.stored_on_both else {
            let response = retry(&self.app, &reply.response, mode);
            encode_answer(out, &self.bare(Some(reply.command_id), &response));
            return;
        };
        let (epoch, sequence) = reply.place.unwrap_or((leaving.epoch, self.storage.board.confirmed()));
        let stored_on = Some(if both { StoredOn::Both } else { StoredOn::One });
        let (response, day, repeated) = (&reply.response, reply.day, reply.repeated);
        encode_answer(
            out,
            &Answer { command_id: Some(reply.command_id), response, stored_on, epoch, sequence, day, mode, repeated },
        );
    }

    fn deliver(&self, answers: Vec<Leaving<Reply>>) {
        let mode = self.shown.mode();
        let now = Instant::now();
        for leaving in &answers {
            self.storage.metrics.answer_latency.observe(now - leaving.answer.came);
        }
        let mut once = Vec::new();
        let mut sessions = self.sessions.borrow_mut();
        for leaving in answers {
            let no = leaving.answer.session;
            match sessions.get(&no) {
                Some(Outlet::Terminal(outbox)) => {
                    self.encode(&mut outbox.bytes.borrow_mut(), &leaving, mode);
                    outbox.under_way.news.notify_one();
                }
                Some(Outlet::Once(_)) => once.push(leaving),
                // The terminal has gone; it will ask again.
                None => {}
            }
        }
        for leaving in once {
            if let Some(Outlet::Once(outlet)) = sessions.remove(&leaving.answer.session) {
                let mut line = Vec::new();
                self.encode(&mut line, &leaving, mode);
                // Whoever asked has gone.
                let _ = outlet.send(line);
            }
        }
    }
}

/// What the gate does not let go becomes `retry`, whatever had been decided: the outcome is unknown to the terminal.
fn retry<A: Application>(app: &A, decided: &Response, mode: Mode) -> Response {
    if decided.status == Status::Retry && mode != Mode::Rejoining {
        decided.clone()
    } else {
        app.refusal(PairCode::not_serving(mode))
    }
}

impl<A: Application> Actor for CommandAcceptor<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.listen(ctx);
        ctx.run_interval(limits::EXPIRE_EVERY, |acceptor, _| {
            fault::point("command-acceptor/expire");
            let now = clock::now();
            let storage = &acceptor.edge.storage;
            // A timer besides the events, so that no lost wake-up can hold an answer for ever.
            storage.gate.pass(now);
            storage.gate.expire(Moment(now.0.saturating_sub(limits::ANSWER_LIMIT_MS)));
        });
    }
}

impl<A: Application> Supervised for CommandAcceptor<A> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // Every session of the former life ends; terminals connect again and repeat what was not answered.
        self.alive = watch::Sender::new(());
        self.edge.sessions.borrow_mut().clear();
    }
}

impl<A: Application> Handler<Dismiss> for CommandAcceptor<A> {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Dismiss, _: &mut Context<Self>) -> Self::Result {
        fault::point("command-acceptor/dismiss");
        let edge = Rc::clone(&self.edge);
        edge.away_until.set(clock::now().plus(limits::DISMISS_MS));
        self.alive.send_replace(());
        Box::pin(async move {
            while edge.sessions.borrow().values().any(|outlet| matches!(outlet, Outlet::Terminal(_))) {
                tokio::time::sleep(limits::DISMISS_LOOK).await;
            }
        })
    }
}

impl<A: Application> Handler<Release> for CommandAcceptor<A> {
    type Result = ();

    fn handle(&mut self, Release(answers): Release, _: &mut Context<Self>) {
        fault::point("command-acceptor/release");
        self.edge.deliver(answers);
    }
}

impl<A: Application> Handler<Submit> for CommandAcceptor<A> {
    type Result = ResponseFuture<Vec<u8>>;

    fn handle(&mut self, Submit(line): Submit, _: &mut Context<Self>) -> Self::Result {
        fault::point("command-acceptor/submit");
        let edge = Rc::clone(&self.edge);
        Box::pin(async move { intake::submit(&edge, &line).await })
    }
}
