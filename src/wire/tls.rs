//! TLS settings for every listener and connection of a pair, and one stream type for terminals with and without TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::CertificateDer;
use rustls::server::ServerSessionMemoryCache;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, Error as TlsError, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::identity::{Identity, provider};
use super::pki::CertificateRole;
use super::trust::{PairTrust, named};

/// Sessions of terminals kept for TLS 1.2 resumption by session id: twice the 3,500 connections of the largest site.
const SESSIONS_MAX: usize = 7_000;
/// Connections that a load generator or a terminal resumes; it has one server name per service address.
const CLIENT_SESSIONS_MAX: usize = 32;

/// Accepts links from holders of `roles`: TLS 1.3, both sides prove themselves. Nothing is resumed, so every link checks the certificate.
///
/// # Errors
/// [`TlsError`] if the authority cannot be used.
pub fn mutual_server(identity: &Identity, roles: &[CertificateRole]) -> Result<Arc<ServerConfig>, TlsError> {
    let trust = PairTrust::new(identity.authority.clone(), roles, provider())?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(trust))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified.clone())));
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Connects to the holder of `role`: TLS 1.3, both sides prove themselves.
///
/// # Errors
/// [`TlsError`] if the authority cannot be used.
pub fn mutual_client(identity: &Identity, role: CertificateRole) -> Result<Arc<ClientConfig>, TlsError> {
    let trust = PairTrust::new(identity.authority.clone(), &[role], provider())?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified.clone())));
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Accepts terminals: TLS 1.2 too, because terminals are old; they prove themselves by the key in each request, not by a
/// certificate. Resumption spares a signature per connection when all of them come back at once.
///
/// # Errors
/// [`TlsError`] if no ticket key can be drawn.
pub fn terminal_server(identity: &Identity) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified.clone())));
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    config.ticketer = Ticketer::new()?;
    // One ticket per handshake: a terminal reconnects on one connection at a time.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// Connects to a server's terminal side, believing the pair's authority: for `duplex terminal` and `duplex load`.
///
/// # Errors
/// [`TlsError`] if the authority cannot be used.
pub fn terminal_client(authority: CertificateDer<'static>) -> Result<Arc<ClientConfig>, TlsError> {
    let trust = PairTrust::new(authority, &[CertificateRole::Terminal], provider())?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(CLIENT_SESSIONS_MAX)));
    Ok(Arc::new(config))
}

/// A terminal's connection. `plain` is an explicit setting; everything above reads and writes both alike.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    /// Boxed: a TLS session is a kilobyte, a socket 32 bytes.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Server side of a connection just accepted. The caller sets the deadline.
    ///
    /// # Errors
    /// [`io::Error`] if the handshake fails.
    pub async fn accept(tcp: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let Some(config) = tls else { return Ok(Self::Plain(tcp)) };
        let stream = TlsAcceptor::from(config).accept(tcp).await?;
        Ok(Self::Tls(Box::new(stream.into())))
    }

    /// Client side of a connection just made. The caller sets the deadline.
    ///
    /// # Errors
    /// [`io::Error`] if the handshake fails, in words if the certificate is the reason.
    pub async fn connect(tcp: TcpStream, tls: Option<Arc<ClientConfig>>) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let Some(config) = tls else { return Ok(Self::Plain(tcp)) };
        let stream = TlsConnector::from(config).connect(CertificateRole::Terminal.server_name(), tcp).await.map_err(named)?;
        Ok(Self::Tls(Box::new(stream.into())))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
