//! One connection to the service: lines out, lines in.

use std::fmt;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Service;
use crate::wire::tls::Stream;
use crate::wire::trust::Stranger;

/// Four times the longest request: a report in an answer may be longer than any question, but is no reason to fill memory.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// One answer is about 400 bytes; two fit without growing.
const BUFFER_BYTES: usize = 1 << 10;

/// How a TLS server begins its refusal of something that is no TLS: an alert record.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];
const SPEAKS_TLS: &str = "the service speaks TLS: name the pair's authority with --ca instead of --plain";

/// Why an attempt gave no final answer. Each has the same cure; the words are for people.
#[derive(Debug)]
pub(super) enum Trouble {
    NoConnection,
    Silent,
    Closed,
    Retry(String),
    NoAnswer(String),
    /// One side speaks TLS and the other does not, or the certificate is not the pair's: trying again cannot help.
    Mismatch(String),
    Io(io::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection => f.write_str("nobody answers at the address"),
            Self::Silent => f.write_str("connected, but no answer in time"),
            Self::Closed => f.write_str("the server closed the connection"),
            Self::Retry(code) => write!(f, "the server asks to try again ({code})"),
            Self::Mismatch(reason) => f.write_str(reason),
            Self::NoAnswer(reason) => write!(f, "not an answer: {reason}"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) struct Link {
    stream: Stream,
    /// What has arrived beyond the last whole line.
    arrived: Vec<u8>,
}

impl Link {
    /// Connects to the service's address number `at`, and shakes hands if it is to be TLS.
    pub(super) async fn open(service: &Service, at: usize) -> Result<Self, Trouble> {
        let tcp = timeout(service.limits.connect, TcpStream::connect(service.addresses[at])).await;
        let tcp = tcp.map_err(|_| Trouble::NoConnection)??;
        let stream = timeout(service.limits.handshake, Stream::connect(tcp, service.tls.clone())).await;
        let stream = stream.map_err(|_| Trouble::Silent)?.map_err(handshake_trouble)?;
        Ok(Self { stream, arrived: Vec::with_capacity(BUFFER_BYTES) })
    }

    pub(super) async fn send(&mut self, request: &[u8]) -> Result<(), Trouble> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Puts the next line, without its newline, into `line`.
    pub(super) async fn receive(&mut self, line: &mut Vec<u8>) -> Result<(), Trouble> {
        let mut searched = 0;
        loop {
            if let Some(found) = self.arrived[searched..].iter().position(|byte| *byte == b'\n') {
                let end = searched + found;
                line.clear();
                line.extend_from_slice(&self.arrived[..end]);
                self.arrived.drain(..=end);
                return Ok(());
            }
            searched = self.arrived.len();
            if searched > ANSWER_BYTES_MAX {
                return Err(Trouble::NoAnswer(format!("more than {ANSWER_BYTES_MAX} bytes in one line")));
            }
            if self.stream.read_buf(&mut self.arrived).await? == 0 {
                return Err(if self.arrived.starts_with(&TLS_ALERT) {
                    Trouble::Mismatch(SPEAKS_TLS.into())
                } else {
                    Trouble::Closed
                });
            }
        }
    }
}

/// A certificate that is not believed and an answer that is no TLS come again at every attempt; anything else may pass.
fn handshake_trouble(error: io::Error) -> Trouble {
    let inner = error.get_ref();
    if let Some(stranger) = inner.and_then(|inner| inner.downcast_ref::<Stranger>()) {
        return Trouble::Mismatch(format!("the service is not of the authority named with --ca: {stranger}"));
    }
    match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => {
            Trouble::Mismatch("the service does not speak TLS: use --plain, if its network is closed to others".into())
        }
        _ => Trouble::Io(error),
    }
}
