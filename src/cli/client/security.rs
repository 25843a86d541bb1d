//! Plain TCP, or TLS that believes the pair's own CA and nobody else.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cli::Failure;

/// What the certificate for terminals is called on every server of every pair (addresses move, names need not).
const TERMINAL_SIDE: &str = "terminal.duplex.internal";

/// How connections to the service are protected.
#[derive(Clone, Debug)]
pub enum Security {
    Plain,
    /// One configuration for all terminals of the process, so that reconnecting resumes a session instead of shaking hands anew.
    Tls(Arc<ClientConfig>),
}

impl Security {
    /// TLS that believes certificates of the CA in `file`.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn with_authority(file: &Path) -> Result<Self, Failure> {
        let bad = |reason: String| Failure::usage(format!("--ca {}: {reason}", file.display()));
        let authority = CertificateDer::from_pem_file(file).map_err(|e| bad(e.to_string()))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(|e| bad(e.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|e| bad(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::Tls(Arc::new(config)))
    }

    pub(super) async fn wrap(&self, tcp: TcpStream) -> io::Result<Stream> {
        match self {
            Self::Plain => Ok(Stream::Plain(tcp)),
            Self::Tls(config) => {
                let name = ServerName::try_from(TERMINAL_SIDE).map_err(io::Error::other)?;
                let stream = TlsConnector::from(config.clone()).connect(name, tcp).await?;
                Ok(Stream::Tls(Box::new(stream)))
            }
        }
    }
}

/// A connection of either kind.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Calls the same method on whichever stream it is.
macro_rules! on_either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Plain($inner) => $call,
            Stream::Tls($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_either!(self.get_mut(), inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        on_either!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx))
    }
}
