//! The peer link: one TLS 1.3 connection between the two servers, greeted, then frames both ways. This file makes connections and
//! moves frames; `listener` accepts connections, `life` watches one for the peer's death.
//!
//! ```text
//!   connector                              listener
//!   TCP, TLS (both certificates)   <-->    TLS (both certificates)
//!   Greeting {versions, kind, ..}   -->    checks versions, server against certificate
//!                                  <--     Welcome {version, ..} or Refused(why)
//!   frames                         <-->    frames
//! ```

use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde::{Serialize, de::DeserializeOwned};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use super::codec::{self, Decoder};
use super::frames::{Greeting, LinkKind, LinkRefusal, Reception, VERSIONS};
use super::identity::Identity;
use super::pki::CertificateRole;
use super::refusal::LinkError;
use super::tls;
use crate::model::{BootNonce, DataId, ServerId};

/// Longest greeting or reception in bytes: theirs are under 60, later versions may append.
pub(super) const GREETING_MAX: usize = 1024;
/// A batch of frames is written whenever this much is encoded, so that the buffer stays small beside the largest frame.
const WRITE_CHUNK: usize = 1024 * 1024;

/// Deadlines and keep-alive numbers of a link. No decision of the failover machine rests on them: silence is judged by heartbeats.
#[derive(Clone, Copy, Debug)]
pub struct LinkLimits {
    /// From TCP connect to the reception. A handshake costs 2 ms on a quiet box; this allows for four lost packets in a row.
    pub handshake: Duration,
    /// One write, and data that the peer's kernel has not acknowledged (TCP_USER_TIMEOUT). After 3 s the fourth retransmission
    /// (0.2 + 0.4 + 0.8 + 1.6 s) is lost, and a new connection is sooner through than the fifth.
    pub unacknowledged: Duration,
    /// An idle link is probed after this and then as often, so that the end of a box without a farewell is seen on an idle link in
    /// about `unacknowledged` too.
    pub probe: Duration,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(2),
            unacknowledged: Duration::from_secs(3),
            // TCP's smallest unit.
            probe: Duration::from_secs(1),
        }
    }
}

/// What this server says about itself when a link is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction {
    pub server: ServerId,
    pub boot: BootNonce,
    pub data_id: DataId,
}

/// Where the peer listens, and from which own address to go there: a cable of its own is used only if the source says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub from: Option<IpAddr>,
    pub to: SocketAddr,
}

/// Makes links to the peer. Built once, cheap to clone.
#[derive(Clone)]
pub struct Connector {
    tls: Arc<ClientConfig>,
    introduction: Introduction,
    limits: LinkLimits,
}

/// The peer answered: who it is, and the link.
#[derive(Debug)]
pub struct Met {
    pub boot: BootNonce,
    pub data_id: DataId,
    pub version: u16,
    pub link: Link,
}

impl Connector {
    /// # Errors
    /// [`rustls::Error`] if the identity is not that of `introduction.server`, or its authority cannot be used.
    pub fn new(identity: &Identity, introduction: Introduction, limits: LinkLimits) -> Result<Self, rustls::Error> {
        check_own_role(identity, introduction.server)?;
        let tls = tls::mutual_client(identity, CertificateRole::Server(introduction.server.peer()))?;
        Ok(Self { tls, introduction, limits })
    }

    /// One attempt.
    ///
    /// # Errors
    /// [`LinkError`]; an actively refused connection is `Io` with [`io::ErrorKind::ConnectionRefused`].
    pub async fn connect(&self, kind: LinkKind, route: Route) -> Result<Met, LinkError> {
        let attempt = async { self.greet(kind, self.open(route).await?).await };
        timeout(self.limits.handshake, attempt).await.unwrap_or(Err(LinkError::Late("handshake")))
    }

    async fn open(&self, route: Route) -> io::Result<TlsStream<TcpStream>> {
        let socket = if route.to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(from) = route.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let tcp = socket.connect(route.to).await?;
        tune(&tcp, &self.limits)?;
        let name = CertificateRole::Server(self.introduction.server.peer()).server_name();
        Ok(TlsConnector::from(self.tls.clone()).connect(name, tcp).await?.into())
    }

    async fn greet(&self, kind: LinkKind, stream: TlsStream<TcpStream>) -> Result<Met, LinkError> {
        let Introduction { server, boot, data_id } = self.introduction;
        let mut link = Link::new(stream, self.limits);
        link.say(&Greeting { versions: VERSIONS, server, boot, data_id, kind }).await?;
        match link.hear().await? {
            Reception::Welcome { version, boot, data_id } => {
                agree((version, version), VERSIONS)?;
                Ok(Met { boot, data_id, version, link })
            }
            Reception::Refused(why) => Err(LinkError::RefusedByPeer(why)),
        }
    }
}

pub(super) fn check_own_role(identity: &Identity, server: ServerId) -> Result<(), rustls::Error> {
    let expected = CertificateRole::Server(server);
    if identity.role == expected {
        return Ok(());
    }
    Err(rustls::Error::General(format!("own certificate is for {}, not for {}", identity.role.name(), expected.name())))
}

/// The newest version that both speak.
///
/// # Errors
/// [`LinkRefusal::VersionUnknown`] if there is none.
pub fn agree(ours: (u16, u16), theirs: (u16, u16)) -> Result<u16, LinkRefusal> {
    let newest = ours.1.min(theirs.1);
    if newest < ours.0.max(theirs.0) { Err(LinkRefusal::VersionUnknown { ours, theirs }) } else { Ok(newest) }
}

/// Options of every link's socket. Close-on-exec needs none: tokio's sockets have it from birth.
pub(super) fn tune(tcp: &TcpStream, limits: &LinkLimits) -> io::Result<()> {
    let probes = limits.unacknowledged.as_secs().div_ceil(limits.probe.as_secs().max(1)) as u32;
    let keepalive = TcpKeepalive::new().with_time(limits.probe).with_interval(limits.probe).with_retries(probes);
    let socket = SockRef::from(tcp);
    // A batch is one write; waiting for more to join it would only add latency.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(limits.unacknowledged))
}

/// A greeted connection.
#[derive(Debug)]
pub struct Link {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    limits: LinkLimits,
}

impl Link {
    pub(super) fn new(stream: TlsStream<TcpStream>, limits: LinkLimits) -> Self {
        Self { stream, decoder: Decoder::with_limit(GREETING_MAX), limits }
    }

    pub(super) fn certificate_role(&self) -> Option<CertificateRole> {
        self.stream.get_ref().1.peer_certificates()?.first().and_then(CertificateRole::claimed_by)
    }

    /// Lets the calling thread's runtime wake for this connection: the one that accepted it would have to wake this one each time.
    ///
    /// # Errors
    /// [`io::Error`]: no file descriptor is left.
    pub fn move_here(&mut self) -> io::Result<()> {
        let tcp = self.stream.get_mut().0;
        let same = std::net::TcpStream::from(tcp.as_fd().try_clone_to_owned()?);
        *tcp = TcpStream::from_std(same)?;
        Ok(())
    }

    /// One frame before the split. The caller sets the deadline.
    pub(super) async fn say<T: Serialize>(&mut self, frame: &T) -> Result<(), LinkError> {
        let mut bytes = Vec::new();
        codec::encode(frame, &mut bytes)?;
        self.stream.write_all(&bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// One frame before the split. The caller sets the deadline.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> Result<T, LinkError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(frame);
            }
            fill(&mut self.stream, &mut self.decoder).await?;
        }
    }

    /// Waits until the connection ends, for whatever reason. Anything that comes is a breach of a life line's silence and ends it too.
    pub(super) async fn ended(mut self) {
        // Which of them it was does not matter: the reconnect tells dead from broken.
        let _ = self.stream.read(&mut [0; 1]).await;
    }

    /// The two directions. `Out` and `In` are [`super::frames::ToPeer`] and [`super::frames::ToHolder`], whichever way round.
    pub fn split<Out: Serialize, In: DeserializeOwned>(mut self) -> (FrameSender<Out>, FrameReceiver<In>) {
        self.decoder.set_limit(codec::FRAME_MAX);
        let (read, write) = tokio::io::split(self.stream);
        let sender = FrameSender { write, bytes: Vec::new(), limit: self.limits.unacknowledged, frames: PhantomData };
        (sender, FrameReceiver { read, decoder: self.decoder, frames: PhantomData })
    }
}

/// Reads once behind what the decoder holds.
async fn fill(stream: &mut (impl tokio::io::AsyncRead + Unpin), decoder: &mut Decoder) -> Result<(), LinkError> {
    match stream.read_buf(decoder.room()).await {
        Ok(0) => {}
        // A killed process sends no TLS farewell; between two frames nothing is missing all the same.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        Ok(_) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    decoder.finish()?;
    Err(LinkError::Closed)
}

/// The sending half. After an error the link is over: a frame may have left in part.
#[derive(Debug)]
pub struct FrameSender<Out> {
    write: WriteHalf<TlsStream<TcpStream>>,
    bytes: Vec<u8>,
    limit: Duration,
    frames: PhantomData<fn(Out)>,
}

impl<Out: Serialize> FrameSender<Out> {
    /// Sends all frames, in one write if they fit. Not to be dropped half-way if the link is to be used again.
    ///
    /// # Errors
    /// [`LinkError::Refused`] for a frame that is too long (nothing of it is sent), [`LinkError::Late`] or `Io` from the socket.
    pub async fn send(&mut self, frames: &[Out]) -> Result<(), LinkError> {
        self.bytes.clear();
        for frame in frames {
            codec::encode(frame, &mut self.bytes)?;
            if self.bytes.len() >= WRITE_CHUNK {
                self.write_out().await?;
            }
        }
        self.write_out().await
    }

    async fn write_out(&mut self) -> Result<(), LinkError> {
        let write = async {
            self.write.write_all(&self.bytes).await?;
            self.write.flush().await
        };
        timeout(self.limit, write).await.map_err(|_| LinkError::Late("a write's end"))??;
        self.bytes.clear();
        Ok(())
    }

    /// Says farewell, so that the other side sees an end and not a fault.
    pub async fn close(mut self) {
        // Whoever closes has no use for the outcome; the deadline bounds a peer that does not read.
        let _ = timeout(self.limit, self.write.shutdown()).await;
    }
}

/// The receiving half.
#[derive(Debug)]
pub struct FrameReceiver<In> {
    read: ReadHalf<TlsStream<TcpStream>>,
    decoder: Decoder,
    frames: PhantomData<fn() -> In>,
}

impl<In: DeserializeOwned> FrameReceiver<In> {
    /// The next frame. Waits as long as the connection stands (keep-alive ends a dead one); may be dropped and called again.
    ///
    /// # Errors
    /// [`LinkError::Closed`] between two frames, [`LinkError::Refused`] for a bad frame: then the link is over.
    pub async fn next(&mut self) -> Result<In, LinkError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(frame);
            }
            fill(&mut self.read, &mut self.decoder).await?;
        }
    }

    /// As [`Self::next`], and whatever else has arrived with it, appended to `frames`: one hand-over for many frames.
    ///
    /// # Errors
    /// As [`Self::next`], once the good frames before the bad one were given.
    pub async fn next_batch(&mut self, frames: &mut Vec<In>) -> Result<(), LinkError> {
        frames.push(self.next().await?);
        // A bad frame stays where it is: the next call refuses it.
        while let Ok(Some(frame)) = self.decoder.next_frame() {
            frames.push(frame);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_links_socket_has_the_numbers_that_its_limits_say() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tune(&tcp, &LinkLimits::default()).unwrap();
        let socket = SockRef::from(&tcp);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(3)));
        let probes = (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        assert_eq!((probes, socket.tcp_keepalive_retries().unwrap()), ((Duration::from_secs(1), Duration::from_secs(1)), 3));
    }

    #[test]
    fn the_newest_version_in_common_is_agreed_upon_from_either_side() {
        let refused = |ours, theirs| Err(LinkRefusal::VersionUnknown { ours, theirs });
        for (ours, theirs, agreed) in [
            ((1, 1), (1, 1), Ok(1)),
            ((1, 3), (2, 5), Ok(3)),
            ((2, 5), (1, 3), Ok(3)),
            ((1, 2), (3, 4), refused((1, 2), (3, 4))),
            // Nonsense: newest below oldest.
            ((1, 1), (5, 1), refused((1, 1), (5, 1))),
        ] {
            assert_eq!(agree(ours, theirs), agreed);
        }
    }
}
