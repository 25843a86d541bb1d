//! What travels between a server and a witness: one request, one reply, in turn, over one long-lived TLS connection.
//!
//! Postcard is not self-describing: variants and fields are only ever appended.

use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::model::{Epoch, Register, UnixMs};
use crate::wire::codec::{self, Decoder};
use crate::wire::pki::CertificateRole;

use super::Asker;

/// Spoken here. A witness refuses any other in words, so that it can be updated after the servers or before them.
pub(super) const VERSION: u16 = 1;
/// The longest request is a signed first register, about 1 KiB of text.
const FRAME_BYTES_MAX: usize = 16 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) version: u16,
    pub(super) ask: Ask,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ask {
    Read {
        asker: Asker,
    },
    CompareAndSet {
        asker: Asker,
        expected: Register,
        new: Register,
    },
    Introduce {
        asker: Asker,
        first: String,
    },
    Status,
    Overrule {
        asker: Asker,
        expected: Register,
        new: Register,
    },
    /// When the register's holder came to hold it.
    Since,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    Holds(Option<Register>),
    Landed(Register),
    Differs(Register),
    Refused(String),
    Status(WitnessStatus),
    Since(Option<UnixMs>),
}

/// What a witness says about itself, for its own `--json` status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessStatus {
    /// BLAKE3 of the pair's authority, hexadecimal.
    pub pair: String,
    pub register: Option<Register>,
    /// Highest epoch that each server reported where it mattered: first since the file is here, or above the register.
    pub reported: [Option<Epoch>; 2],
    /// Why nothing is granted now, in words.
    pub refuses: Option<String>,
    /// Asks answered and changes landed since the witness started.
    pub answered: u64,
    pub landed: u64,
}

/// One connection, on either side.
#[derive(Debug)]
pub(super) struct Line {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    bytes: Vec<u8>,
}

impl Line {
    pub(super) fn new(stream: impl Into<TlsStream<TcpStream>>) -> Self {
        Self { stream: stream.into(), decoder: Decoder::with_limit(FRAME_BYTES_MAX), bytes: Vec::new() }
    }

    /// The role that the other side has proven.
    pub(super) fn role(&self) -> Option<CertificateRole> {
        let (_, tls) = self.stream.get_ref();
        tls.peer_certificates().and_then(<[_]>::first).and_then(CertificateRole::claimed_by)
    }

    pub(super) async fn say<T: Serialize>(&mut self, frame: &T) -> io::Result<()> {
        self.bytes.clear();
        codec::encode(frame, &mut self.bytes).map_err(io::Error::other)?;
        self.stream.write_all(&self.bytes).await?;
        self.stream.flush().await
    }

    /// Waits as long as the connection stands. `UnexpectedEof` is its end, `InvalidData` a frame that nobody of ours sends.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))? {
                return Ok(frame);
            }
            if self.stream.read_buf(self.decoder.room()).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
