//! `duplex witness`: accepts the two servers, proven by their certificates, and answers each on a connection that stays.
//!
//! A takeover waits for one answer of this program, so a request costs the file's two syncs and little else: connections are kept
//! open, small frames leave at once, and every connection has its own task.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use slog::{Logger, debug, error, info, warn};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinError, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::model::ServerId;
use crate::wire::handshakes::Handshakes;
use crate::wire::identity::Identity;
use crate::wire::knocks::Knocks;
use crate::wire::pki::CertificateRole;
use crate::wire::refusal::LinkError;
use crate::wire::tls;

use super::witness_desk::Desk;
use super::witness_file::{FileError, PairFile, PairId};
use super::witness_frames::{Line, Request};

/// Who may connect. A witness's own certificate serves `--status` on its machine; the rules grant it nothing.
const ROLES: [CertificateRole; 3] =
    [CertificateRole::Server(ServerId::A), CertificateRole::Server(ServerId::B), CertificateRole::Witness];
/// Connections kept for each role: one in use, and those of boxes that died without a farewell. The newest displaces the oldest.
const CONNECTIONS_PER_ROLE_MAX: usize = 4;
/// A handshake costs 2 ms on a quiet box; this allows for four lost packets in a row.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(2);
/// One reply is one packet; who does not take it for so long is gone.
const REPLY_LIMIT: Duration = Duration::from_secs(2);
/// Pause after `accept` failed (no file descriptors left): it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A witness of one pair.
pub struct Witness {
    tls: Arc<ServerConfig>,
    desk: Arc<Desk>,
    log: Logger,
}

/// Why a witness cannot start.
#[derive(Debug)]
pub enum WitnessError {
    File(FileError),
    Tls(rustls::Error),
}

impl std::fmt::Display for WitnessError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Tls(error) => write!(f, "cannot use the witness's certificate: {error}"),
        }
    }
}

impl std::error::Error for WitnessError {}

impl Witness {
    /// Opens what is kept below `data` for the pair of `authority`.
    ///
    /// # Errors
    /// [`WitnessError`]: a damaged file is never guessed at, and never begun anew.
    pub fn open(data: &Path, identity: &Identity, authority: CertificateDer<'static>, log: Logger) -> Result<Self, WitnessError> {
        let tls = tls::mutual_server(identity, &ROLES).map_err(WitnessError::Tls)?;
        let pair = PairId::of(&authority);
        let file = PairFile::open(data, &pair).map_err(WitnessError::File)?;
        tell_of(&file, &log);
        Ok(Self { tls, desk: Arc::new(Desk::new(pair, authority, file, log.clone())), log })
    }

    /// Serves until it is dropped; a write that has begun is still finished.
    pub async fn serve(&self, listener: TcpListener) {
        let mut door = Door::default();
        let mut connections = JoinSet::new();
        let mut seats = Seats::default();
        loop {
            let room = door.handshakes.has_room();
            tokio::select! {
                // Who has proven himself comes before strangers.
                biased;
                Some(_) = connections.join_next() => {}
                Some(ended) = door.handshakes.ended() => {
                    if let Some((role, line)) = door.let_in(ended, &self.log) {
                        seats.take(role, connections.spawn(converse(role, line, self.desk.clone(), self.log.clone())));
                    }
                }
                accepted = listener.accept(), if room => match accepted {
                    Ok((tcp, from)) => door.knocked(tcp, from, &self.tls, &self.log),
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

/// Later refusals say only that it is one or the other.
fn tell_of(file: &PairFile, log: &Logger) {
    let path = file.path().display().to_string();
    if file.is_copy() {
        warn!(log, "this file is whole, but not as a witness wrote it here: it was copied, restored or saved by an editor; nothing is \
                    granted on it until both servers have reported again"; "file" => path);
    } else if matches!(file.kept(), Ok(None)) {
        info!(log, "nothing is kept of this pair yet; its servers bring the first register"; "file" => path);
    }
}

/// Who has connected and not yet proven to be anybody.
#[derive(Default)]
struct Door {
    handshakes: Handshakes<Met>,
    knocks: Knocks,
}

/// How a handshake ended, and with whom.
type Met = (SocketAddr, Result<(CertificateRole, Line), LinkError>);

impl Door {
    fn knocked(&mut self, tcp: TcpStream, from: SocketAddr, tls: &Arc<ServerConfig>, log: &Logger) {
        let tls = tls.clone();
        let handshake = async move {
            let met = timeout(HANDSHAKE_LIMIT, shake_hands(tcp, tls)).await;
            (from, met.unwrap_or(Err(LinkError::Late("handshake"))))
        };
        if let Some(displaced) = self.handshakes.begin(from, handshake) {
            self.tell(displaced, &LinkError::Crowded, log);
        }
    }

    fn let_in(&mut self, ended: Result<Met, JoinError>, log: &Logger) -> Option<(CertificateRole, Line)> {
        // It gave way and was told of then, or panicked, and the panic hook has told where.
        let (from, met) = ended.ok()?;
        match met {
            Ok((role, line)) => {
                info!(log, "connected"; "from" => %from, "role" => role.name());
                Some((role, line))
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

async fn shake_hands(tcp: TcpStream, tls: Arc<ServerConfig>) -> Result<(CertificateRole, Line), LinkError> {
    tcp.set_nodelay(true)?;
    let line = Line::new(TlsAcceptor::from(tls).accept(tcp).await?);
    let role = line.role().ok_or_else(|| io::Error::other("the certificate names no role in a pair"))?;
    Ok((role, line))
}

async fn converse(role: CertificateRole, mut line: Line, desk: Arc<Desk>, log: Logger) {
    let ended = loop {
        if let Err(error) = answer_one(role, &mut line, &desk).await {
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
