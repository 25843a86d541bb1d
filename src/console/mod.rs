//! The HTTP interface: status for everybody, commands for terminals, reads for analysis clients, numbers for collectors, and a page
//! that says in one sentence how the pair is.
//!
//! **Invariant:** status, page and metrics are answered from memory and hold no personal data; no handler waits without a limit; no
//! handler writes to the store.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::{fmt, io};

use actix::Recipient;
use actix_web::dev::{Server, ServerHandle};
use actix_web::http::header::HeaderName;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, HttpServer};
use futures_util::future::BoxFuture;
use slog::{Logger, info};
use supervisors::Report;
use tokio::sync::Semaphore;

use crate::actors::command_acceptor::Submit;
use crate::config::ReplicationMode;
use crate::handover::{Board, Failures, Shown};
use crate::model::{ServerId, UnixMs};
use crate::store::ReadPool;
use crate::telemetry::Metrics;

mod commands;
pub mod forecast;
mod format;
mod limits;
mod metrics;
mod openapi;
mod page;
mod parameters;
mod problem;
mod reads;
mod routes;
pub mod sentence;
mod status;
pub mod witness;

pub use openapi::OPENAPI;
pub use routes::ROUTES;

/// `epoch/sequence`: how far the history is that an answer shows.
const POSITION: HeaderName = HeaderName::from_static("x-duplex-position");

/// This server is not, or is no longer, the one that answers reads as Main.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMain;

impl fmt::Display for NotMain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this server is not main")
    }
}

impl std::error::Error for NotMain {}

/// Proves that this server is Main at some moment after the call: in a Pair by a frame that is built after the call and arrives at the
/// peer, by then with what the peer has stored; Solo by the grant; in `async` by the lease. Bounded by the caller (2 s).
pub type ProveMain = Arc<dyn Fn() -> BoxFuture<'static, Result<(), NotMain>> + Send + Sync>;

/// Asked on Sub only: milliseconds since the last frame of Main's current stream at which the store had everything that the frame told
/// to be confirmed. What Sub shows is at most so old (and one frame's travel). `None` if there was no such frame. Must not block.
pub type Freshness = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// The supervision tree's report. Must not block.
pub type TreeReport = Arc<dyn Fn() -> Report + Send + Sync>;

/// What the interface needs of its server.
pub struct Parts {
    pub me: ServerId,
    /// Names of servers A and B.
    pub names: [String; 2],
    /// Word for the arbiter's kind, as configured: `witness`.
    pub arbiter_kind: &'static str,
    pub replication: ReplicationMode,
    /// Whether this program moves the service addresses.
    pub moves_addresses: bool,
    pub board: Arc<Board>,
    pub shown: Arc<Shown>,
    pub submit: Recipient<Submit>,
    pub tree: TreeReport,
    pub store: ReadPool,
    pub metrics: Arc<Metrics>,
    pub failures: Arc<Failures>,
    pub prove_main: ProveMain,
    pub freshness: Freshness,
    pub log: Logger,
}

/// The HTTP interface of one server.
pub struct Console {
    parts: Parts,
    http: metrics::Http,
    /// Bounds the reads that wait or run.
    reads: Arc<Semaphore>,
}

impl Console {
    pub fn new(parts: Parts) -> Self {
        Self { parts, http: metrics::Http::default(), reads: Arc::new(Semaphore::new(limits::READS_MAX)) }
    }

    /// The server, to be awaited inside of an actix system; one worker, so that HTTP takes one core at most.
    ///
    /// # Errors
    /// If the listener cannot be used.
    pub fn serve(self, listener: TcpListener) -> io::Result<Server> {
        let address = listener.local_addr()?;
        info!(self.parts.log, "listens for HTTP"; "address" => address.to_string());
        let console = Data::new(self);
        bounded(listener, move |app| {
            app.app_data(console.clone()).configure(routes::configure);
        })
    }

    /// Serves on a thread of its own until [`Running::stop`].
    ///
    /// # Errors
    /// If the listener cannot be used or no thread can be made.
    pub fn start(self, listener: TcpListener) -> io::Result<Running> {
        on_a_thread(move || self.serve(listener))
    }
}

/// Limits and workers of every HTTP interface of duplex.
fn bounded(listener: TcpListener, configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static) -> io::Result<Server> {
    let server = HttpServer::new(move || App::new().configure(configure.clone()))
        .workers(1)
        .worker_max_blocking_threads(limits::READS_AT_ONCE)
        .max_connections(limits::CONNECTIONS_MAX)
        .client_request_timeout(limits::HEAD_LIMIT)
        .client_disconnect_timeout(limits::CLOSE_LIMIT)
        .keep_alive(limits::KEEP_ALIVE)
        .shutdown_timeout(limits::STOP_SECONDS)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

fn on_a_thread(serve: impl FnOnce() -> io::Result<Server> + Send + 'static) -> io::Result<Running> {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = Builder::new().name("console".to_owned()).spawn(move || {
        actix_rt::System::new().block_on(async move {
            let server = serve();
            // The one who asked waits for this word.
            let _ =
                tell.send(server.as_ref().map(Server::handle).map_err(|error| io::Error::new(error.kind(), error.to_string())));
            server?.await
        })
    })?;
    let handle = told.recv().map_err(|_| io::Error::other("the console's thread ended at once"))??;
    Ok(Running { handle, thread })
}

/// A console that serves.
pub struct Running {
    handle: ServerHandle,
    thread: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Whether it still serves.
    pub fn is_serving(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Stops accepting, gives answers under way two seconds, and waits for the end. Blocks.
    ///
    /// # Errors
    /// What ended the server before.
    pub fn stop(self) -> io::Result<()> {
        // The command is sent by the call; the future only waits for what `join` waits for.
        drop(self.handle.stop(true));
        self.thread.join().map_err(|_| io::Error::other("the console's thread panicked"))?
    }
}

/// Refuses every query parameter, by name.
type NoQuery = parameters::Parameters<parameters::Nothing>;

/// UTC as people write it.
fn time_text(at: UnixMs) -> Option<String> {
    jiff::Timestamp::from_millisecond(at.0).ok().map(|at| at.to_string())
}
