//! Accepts links from the peer. Handshakes run side by side, bounded, so that a stranger who never finishes one keeps nobody out.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::frames::{Greeting, LinkKind, LinkRefusal, Reception, VERSIONS};
use super::handshakes::Handshakes;
use super::identity::Identity;
use super::link::{Introduction, Link, LinkLimits, agree, check_own_role, tune};
use super::pki::CertificateRole;
use super::refusal::LinkError;
use super::tls;
use crate::config::limits;
use crate::model::{BootNonce, DataId, ServerId};

/// Pause after `accept` failed (no file descriptors left): it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A link that the peer made.
#[derive(Debug)]
pub struct Accepted {
    pub kind: LinkKind,
    pub peer: ServerId,
    pub boot: BootNonce,
    pub data_id: DataId,
    pub version: u16,
    pub from: SocketAddr,
    pub link: Link,
}

/// An attempt that came to nothing. Already counted.
#[derive(Debug)]
pub struct Refused {
    /// `None` if not even `accept` succeeded.
    pub from: Option<SocketAddr>,
    pub why: LinkError,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "no link for {from}: {}", self.why),
            None => write!(f, "cannot accept links: {}", self.why),
        }
    }
}

/// The listening socket and the handshakes under way. Dropping it ends both.
pub struct PeerListener {
    tcp: TcpListener,
    host: Host,
    handshakes: Handshakes<Result<Accepted, Refused>>,
    refused: BTreeMap<&'static str, u64>,
    paused_until: Instant,
}

/// What every handshake needs.
#[derive(Clone)]
struct Host {
    tls: Arc<ServerConfig>,
    introduction: Introduction,
    limits: LinkLimits,
}

impl PeerListener {
    /// Listens on `address`, also if no interface has it yet: at boot the cable may come later than the program.
    ///
    /// # Errors
    /// [`io::Error`]: the identity is not that of `introduction.server`, or the port is taken.
    pub fn listen(address: SocketAddr, identity: &Identity, introduction: Introduction, limits: LinkLimits) -> io::Result<Self> {
        Self::on(bind(address)?, identity, introduction, limits)
    }

    /// As [`Self::listen`], on a socket that [`bind`] made earlier, where no runtime was needed.
    ///
    /// # Errors
    /// [`io::Error`]: the identity is not that of `introduction.server`.
    pub fn on(
        tcp: std::net::TcpListener,
        identity: &Identity,
        introduction: Introduction,
        limits: LinkLimits,
    ) -> io::Result<Self> {
        check_own_role(identity, introduction.server).map_err(io::Error::other)?;
        let peer = CertificateRole::Server(introduction.server.peer());
        let tls = tls::mutual_server(identity, &[peer]).map_err(io::Error::other)?;
        Ok(Self {
            tcp: TcpListener::from_std(tcp)?,
            host: Host { tls, introduction, limits },
            handshakes: Handshakes::default(),
            refused: BTreeMap::new(),
            paused_until: Instant::now(),
        })
    }

    /// # Errors
    /// [`io::Error`] from the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Refused attempts so far, by the code of their reason.
    pub fn refused(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    /// The next link of the peer. May be dropped and called again: handshakes go on.
    ///
    /// # Errors
    /// [`Refused`] for each attempt that failed; call again.
    pub async fn accept(&mut self) -> Result<Accepted, Refused> {
        let outcome = self.next_outcome().await;
        if let Err(refused) = &outcome {
            *self.refused.entry(refused.why.code()).or_default() += 1;
        }
        outcome
    }

    async fn next_outcome(&mut self) -> Result<Accepted, Refused> {
        loop {
            let room = self.handshakes.has_room();
            tokio::select! {
                // First, so that those that gave way are gone before more are accepted.
                biased;
                Some(ended) = self.handshakes.ended() => match ended {
                    Ok(outcome) => return outcome,
                    // Told when it gave way.
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => return Err(panicked(&error)),
                },
                accepted = accept_after(&self.tcp, self.paused_until), if room => match accepted {
                    Ok((tcp, from)) => self.begin(tcp, from)?,
                    Err(error) => {
                        self.paused_until = Instant::now() + ACCEPT_PAUSE;
                        return Err(Refused { from: None, why: error.into() });
                    }
                },
            }
        }
    }

    fn begin(&mut self, tcp: TcpStream, from: SocketAddr) -> Result<(), Refused> {
        let host = self.host.clone();
        let handshake = async move { host.receive(tcp, from).await.map_err(|why| Refused { from: Some(from), why }) };
        match self.handshakes.begin(from, handshake) {
            Some(displaced) => Err(Refused { from: Some(displaced), why: LinkError::Crowded }),
            None => Ok(()),
        }
    }
}

fn panicked(error: &JoinError) -> Refused {
    Refused { from: None, why: LinkError::Io(io::Error::other(error.to_string())) }
}

async fn accept_after(tcp: &TcpListener, moment: Instant) -> io::Result<(TcpStream, SocketAddr)> {
    if moment > Instant::now() {
        sleep_until(moment).await;
    }
    tcp.accept().await
}

/// A listening socket, also if no interface has the address yet.
///
/// # Errors
/// [`io::Error`]: most likely, the port is taken.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    // A restarted server must get its port back while old connections linger.
    socket.set_reuse_address(true)?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    socket.bind(&address.into())?;
    socket.listen(limits::LINK_HANDSHAKES_MAX as i32)?;
    Ok(socket.into())
}

impl Host {
    async fn receive(&self, tcp: TcpStream, from: SocketAddr) -> Result<Accepted, LinkError> {
        let attempt = async {
            tune(&tcp, &self.limits)?;
            let stream = TlsAcceptor::from(self.tls.clone()).accept(tcp).await?;
            self.greet(Link::new(stream.into(), self.limits), from).await
        };
        timeout(self.limits.handshake, attempt).await.unwrap_or(Err(LinkError::Late("handshake")))
    }

    async fn greet(&self, mut link: Link, from: SocketAddr) -> Result<Accepted, LinkError> {
        let greeting: Greeting = link.hear().await?;
        match self.judge(&greeting, link.certificate_role()) {
            Ok(version) => {
                let Introduction { boot, data_id, .. } = self.introduction;
                link.say(&Reception::Welcome { version, boot, data_id }).await?;
                let Greeting { server: peer, boot, data_id, kind, .. } = greeting;
                Ok(Accepted { kind, peer, boot, data_id, version, from, link })
            }
            Err(why) => {
                link.say(&Reception::Refused(why.clone())).await?;
                Err(why.into())
            }
        }
    }

    fn judge(&self, greeting: &Greeting, proven: Option<CertificateRole>) -> Result<u16, LinkRefusal> {
        let says = CertificateRole::Server(greeting.server);
        if greeting.server != self.introduction.server.peer() || proven != Some(says) {
            return Err(LinkRefusal::NotThePeer);
        }
        agree(VERSIONS, greeting.versions)
    }
}
