//! `duplex witness`: accepts the two servers, proven by their certificates, and answers each on a connection that stays.
//!
//! A takeover waits for one answer of this program, so a request costs the file's two syncs and little else: connections are kept
//! open, small frames leave at once, and every connection has its own task.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use slog::{Logger, debug, error, info, warn};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::model::ServerId;
use crate::wire::identity::Identity;
use crate::wire::pki::CertificateRole;
use crate::wire::tls;

use super::witness_desk::Desk;
use super::witness_file::{FileError, PairFile, PairId};
use super::witness_frames::{Line, Request};

/// Who may connect. A witness's own certificate serves `--status` on its machine; the rules grant it nothing.
const ROLES: [CertificateRole; 3] =
    [CertificateRole::Server(ServerId::A), CertificateRole::Server(ServerId::B), CertificateRole::Witness];
/// Connections kept for each role: one in use, and those of boxes that died without a farewell. The newest displaces the oldest.
const CONNECTIONS_PER_ROLE_MAX: usize = 4;
/// Handshakes at a time: two servers that reconnect need two; the rest is room for strangers, who stay [`HANDSHAKE_LIMIT`] at most.
const HANDSHAKES_MAX: usize = 32;
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
        Ok(Self { tls, desk: Arc::new(Desk::new(pair, authority, file, log.clone())), log })
    }

    /// Serves until it is dropped; a write that has begun is still finished.
    pub async fn serve(&self, listener: TcpListener) {
        let mut handshakes = JoinSet::new();
        let mut connections = JoinSet::new();
        let mut seats = Seats::default();
        loop {
            tokio::select! {
                accepted = listener.accept(), if handshakes.len() < HANDSHAKES_MAX => match accepted {
                    Ok((tcp, _)) => { handshakes.spawn(shake_hands(tcp, self.tls.clone(), self.log.clone())); }
                    Err(error) => {
                        error!(self.log, "cannot accept connections"; "error" => %error);
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(met) = handshakes.join_next() => {
                    if let Ok(Some((role, line))) = met {
                        seats.take(role, connections.spawn(converse(role, line, self.desk.clone(), self.log.clone())));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
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

async fn shake_hands(tcp: TcpStream, tls: Arc<ServerConfig>, log: Logger) -> Option<(CertificateRole, Line)> {
    let from = tcp.peer_addr().map_or_else(|error| error.to_string(), |from| from.to_string());
    let handshake = async {
        tcp.set_nodelay(true)?;
        TlsAcceptor::from(tls).accept(tcp).await
    };
    let line = match timeout(HANDSHAKE_LIMIT, handshake).await {
        Ok(Ok(stream)) => Line::new(stream),
        Ok(Err(error)) => {
            warn!(log, "refused a connection"; "from" => from, "reason" => %error);
            return None;
        }
        Err(_) => {
            warn!(log, "refused a connection"; "from" => from, "reason" => "the handshake took too long");
            return None;
        }
    };
    let role = line.role()?;
    info!(log, "connected"; "from" => from, "role" => role.name());
    Some((role, line))
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
