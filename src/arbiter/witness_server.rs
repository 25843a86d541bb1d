//! `duplex witness`: accepts the servers of its pairs, proven by their certificates, and answers each on a connection that stays.
//!
//! A takeover waits for one answer of this program, so a request costs the file's two syncs and little else: connections are kept
//! open, small frames leave at once, and every connection has its own task.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use slog::{Logger, debug, error, info, warn};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinError, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;

use crate::wire::handshakes::Handshakes;
use crate::wire::identity::Identity;
use crate::wire::knocks::Knocks;
use crate::wire::pki::CertificateRole;
use crate::wire::refusal::LinkError;

use super::witness_account::Accounts;
use super::witness_desk::Desk;
use super::witness_file::{FileError, PairId};
use super::witness_frames::{Line, Request};
use super::witness_pairs::{Pairs, ROLES};

/// Connections kept for each role of each pair: one in use, and those of boxes that died without a farewell. The newest displaces the oldest.
const CONNECTIONS_PER_ROLE_MAX: usize = 4;
/// A handshake costs 2 ms on a quiet box; this allows for four lost packets in a row.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(2);
/// One reply is one packet; who does not take it for so long is gone.
const REPLY_LIMIT: Duration = Duration::from_secs(2);
/// Pause after `accept` failed (no file descriptors left): it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A witness of one pair or of many.
pub struct Witness {
    pairs: Pairs,
    log: Logger,
}

/// Why a witness cannot start.
#[derive(Debug)]
pub enum WitnessError {
    File(FileError),
    Tls(rustls::Error),
    /// The keys of one pair were given twice.
    Twice(PairId),
}

impl std::fmt::Display for WitnessError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Twice(pair) => write!(f, "the keys of pair {pair} are given twice"),
            Self::Tls(error) => write!(f, "cannot use the witness's certificate: {error}"),
        }
    }
}

impl std::error::Error for WitnessError {}

impl Witness {
    /// Opens what is kept below `data` for the pairs of `identities`.
    ///
    /// # Errors
    /// [`WitnessError`]: a damaged file is never guessed at, and never begun anew. It stops a witness only if no pair is left to serve.
    pub fn open(data: &Path, identities: &[Identity], log: Logger) -> Result<Self, WitnessError> {
        Ok(Self { pairs: Pairs::open(data, identities, &log)?, log })
    }

    /// What it holds and did for each pair, at any time. Never waits for a disk.
    pub fn accounts(&self) -> Accounts {
        Accounts(self.pairs.all().iter().map(|pair| pair.desk.account()).collect())
    }

    /// Serves until it is dropped; a write that has begun is still finished.
    pub async fn serve(&self, listener: TcpListener) {
        let mut door = Door::default();
        let mut connections = JoinSet::new();
        let mut seats: Vec<Seats> = self.pairs.all().iter().map(|_| Seats::default()).collect();
        loop {
            let room = door.handshakes.has_room();
            tokio::select! {
                // Who has proven himself comes before strangers.
                biased;
                Some(_) = connections.join_next() => {}
                Some(ended) = door.handshakes.ended() => {
                    if let Some(guest) = door.let_in(ended, &self.pairs, &self.log) {
                        let (seats, role) = (&mut seats[guest.pair], guest.role);
                        seats.take(role, connections.spawn(converse(guest, self.pairs.clone())));
                    }
                }
                accepted = listener.accept(), if room => match accepted {
                    Ok((tcp, from)) => door.knocked(tcp, from, &self.pairs, &self.log),
                    Err(error) => {
                        if let Some(left_out) = door.knocks.tell("accept", Instant::now()) {
                            error!(self.log, "cannot accept connections"; "error" => %error, "left_out" => left_out);
                        }
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

/// Who has proven to be of a pair.
struct Guest {
    /// Its place among [`Pairs::all`].
    pair: usize,
    role: CertificateRole,
    line: Line,
}

/// Who has connected and not yet proven to be anybody.
#[derive(Default)]
struct Door {
    handshakes: Handshakes<Met>,
    knocks: Knocks,
}

/// How a handshake ended, and with whom.
type Met = (SocketAddr, Result<Guest, LinkError>);

impl Door {
    fn knocked(&mut self, tcp: TcpStream, from: SocketAddr, pairs: &Pairs, log: &Logger) {
        let pairs = pairs.clone();
        let handshake = async move {
            let met = timeout(HANDSHAKE_LIMIT, shake_hands(tcp, &pairs)).await;
            (from, met.unwrap_or(Err(LinkError::Late("handshake"))))
        };
        if let Some(displaced) = self.handshakes.begin(from, handshake) {
            self.tell(displaced, &LinkError::Crowded, log);
        }
    }

    fn let_in(&mut self, ended: Result<Met, JoinError>, pairs: &Pairs, log: &Logger) -> Option<Guest> {
        // It gave way and was told of then, or panicked, and the panic hook has told where.
        let (from, met) = ended.ok()?;
        match met {
            Ok(guest) => {
                info!(pairs.all()[guest.pair].log, "connected"; "from" => %from, "role" => guest.role.name());
                Some(guest)
            }
            Err(why) => {
                self.tell(from, &why, log);
                None
            }
        }
    }

    fn tell(&mut self, from: SocketAddr, why: &LinkError, log: &Logger) {
        if let Some(left_out) = self.knocks.tell(why.code(), Instant::now()) {
            warn!(log, "refused a connection"; "from" => %from, "reason" => %why, "left_out" => left_out);
        }
    }
}

/// The connections of each role, oldest first.
#[derive(Default)]
struct Seats([VecDeque<AbortHandle>; ROLES.len()]);

impl Seats {
    fn take(&mut self, role: CertificateRole, connection: AbortHandle) {
        let Some(at) = ROLES.iter().position(|known| *known == role) else { return connection.abort() };
        let seats = &mut self.0[at];
        seats.retain(|seated| !seated.is_finished());
        seats.push_back(connection);
        if seats.len() > CONNECTIONS_PER_ROLE_MAX {
            seats.pop_front().inspect(AbortHandle::abort);
        }
    }
}

async fn shake_hands(tcp: TcpStream, pairs: &Pairs) -> Result<Guest, LinkError> {
    tcp.set_nodelay(true)?;
    let begun = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
    let pair = pairs.choose(begun.client_hello().server_name());
    let line = Line::new(begun.into_stream(pairs.all()[pair].tls.clone()).await?);
    let role = line.role().ok_or_else(|| io::Error::other("the certificate names no role in a pair"))?;
    Ok(Guest { pair, role, line })
}

async fn converse(guest: Guest, pairs: Pairs) {
    let Guest { pair, role, mut line } = guest;
    let (desk, log) = (&pairs.all()[pair].desk, &pairs.all()[pair].log);
    let ended = loop {
        if let Err(error) = answer_one(role, &mut line, desk).await {
            break error;
        }
    };
    match ended.kind() {
        io::ErrorKind::InvalidData => warn!(log, "closed a connection"; "role" => role.name(), "reason" => %ended),
        _ => debug!(log, "connection ended"; "role" => role.name(), "reason" => %ended),
    }
}

async fn answer_one(role: CertificateRole, line: &mut Line, desk: &Arc<Desk>) -> io::Result<()> {
    let request: Request = line.hear().await?;
    let desk = desk.clone();
    // The desk syncs a disk: never on the thread that all connections share.
    let reply = spawn_blocking(move || desk.answer(role, request)).await?;
    timeout(REPLY_LIMIT, line.say(&reply)).await?
}
