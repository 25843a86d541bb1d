//! Heartbeats travel on every configured path at once: a cable of its own, the LAN. One UDP socket for each.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::heartbeat::DATAGRAM_MAX;

/// Paths between two boxes: a cable, a LAN or two, and room for more; each costs a socket and a datagram per heartbeat.
pub const PATHS_MAX: usize = 8;

/// One way between the two boxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// As in status and logs, for example `cable`.
    pub name: String,
    pub local: SocketAddr,
    pub peer: SocketAddr,
}

/// What one path has seen. Datagrams, not heartbeats: what they were worth is counted by whoever decodes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathCount {
    pub sent: u64,
    /// The kernel would not take it: link down, no route, queue full.
    pub not_sent: u64,
    pub received: u64,
    /// From an address that is not the peer's on this path; dropped.
    pub foreign: u64,
}

/// All sockets. Errors of a single path are counted, never returned: the others carry on.
#[derive(Debug)]
pub struct Paths {
    open: Vec<OpenPath>,
    /// Where the next receive begins, so that a flooded path cannot starve the others.
    first: usize,
}

#[derive(Debug)]
struct OpenPath {
    path: Path,
    socket: UdpSocket,
    count: PathCount,
}

/// A datagram from the peer's address on `path` (an index in configured order). Not yet authenticated.
#[derive(Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    pub path: usize,
    pub bytes: &'a [u8],
}

impl Paths {
    /// Opens every path, also if no interface has its local address yet: a cable may be plugged in later.
    ///
    /// # Errors
    /// [`io::Error`] naming the path: the port is taken, or there are none or more than [`PATHS_MAX`].
    pub fn open(paths: Vec<Path>) -> io::Result<Self> {
        if paths.is_empty() || paths.len() > PATHS_MAX {
            let reason = format!("{} heartbeat paths: 1 to {PATHS_MAX} are possible", paths.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        Ok(Self { open: paths.into_iter().map(open_path).collect::<io::Result<_>>()?, first: 0 })
    }

    /// Sends on every path, and says on how many it left. Never waits: a heartbeat that has to queue is worth less than the next one.
    pub fn send_to_all(&mut self, datagram: &[u8]) -> u64 {
        let mut sent = 0;
        for path in &mut self.open {
            // Not tokio's `try_send_to`: it refuses until the runtime has seen the socket writable, so the first beats would be lost.
            match SockRef::from(&path.socket).send_to(datagram, &path.path.peer.into()) {
                Ok(_) => {
                    path.count.sent += 1;
                    sent += 1;
                }
                // Counted; carrier and address changes are watched elsewhere.
                Err(_) => path.count.not_sent += 1,
            }
        }
        sent
    }

    /// The next datagram from the peer on any path, read into `buffer`. May be dropped and called again.
    pub async fn receive<'a>(&mut self, buffer: &'a mut [u8; DATAGRAM_MAX + 1]) -> Datagram<'a> {
        let (path, len) = poll_fn(|cx| self.poll_receive(cx, buffer)).await;
        Datagram { path, bytes: &buffer[..len] }
    }

    /// What each path has seen, in configured order.
    pub fn counts(&self) -> impl Iterator<Item = (&Path, PathCount)> {
        self.open.iter().map(|open| (&open.path, open.count))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<(usize, usize)> {
        for step in 0..self.open.len() {
            let index = (self.first + step) % self.open.len();
            if let Poll::Ready(len) = self.open[index].poll_receive(cx, buffer) {
                self.first = index + 1;
                return Poll::Ready((index, len));
            }
        }
        Poll::Pending
    }
}

impl OpenPath {
    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<usize> {
        loop {
            let mut read = ReadBuf::new(buffer);
            match std::task::ready!(self.socket.poll_recv_from(cx, &mut read)) {
                Ok(from) if from.ip() == self.path.peer.ip() && from.port() == self.path.peer.port() => {
                    self.count.received += 1;
                    return Poll::Ready(read.filled().len());
                }
                Ok(_) => self.count.foreign += 1,
                // News of an earlier send (a router said "unreachable"); reading it has cleared it.
                Err(_) => self.count.not_sent += 1,
            }
        }
    }
}

fn open_path(path: Path) -> io::Result<OpenPath> {
    let socket = bind(path.local).and_then(|socket| UdpSocket::from_std(socket.into())).map_err(|error| {
        io::Error::new(error.kind(), format!("heartbeat path `{}`: cannot bind {}: {error}", path.name, path.local))
    })?;
    Ok(OpenPath { path, socket, count: PathCount::default() })
}

/// Whether a path could be opened at this local address now; nothing stays open.
///
/// # Errors
/// As [`Paths::open`] would meet it: the port is taken.
pub fn try_to_open(local: SocketAddr) -> io::Result<()> {
    bind(local).map(drop)
}

fn bind(local: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    match local {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    socket.bind(&local.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    /// Two servers joined by `n` paths over loopback, at addresses that no other test of any process uses.
    fn joined(n: u8) -> (Paths, Paths) {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [low, high, ..] = std::process::id().to_le_bytes();
        let path = |local: u8, peer: u8| {
            let at = |host| SocketAddr::from(([127, 64 | high, low, host], 4_000));
            Path { name: "cable".into(), local: at(local), peer: at(peer) }
        };
        let hosts = (0..n).map(|_| NEXT.fetch_add(2, Ordering::Relaxed));
        let (here, there) = hosts.map(|host| (path(host, host + 1), path(host + 1, host))).unzip();
        (Paths::open(here).unwrap(), Paths::open(there).unwrap())
    }

    #[tokio::test]
    async fn a_datagram_goes_out_on_every_path_and_comes_in_from_every_path() {
        let (mut here, mut there) = joined(3);
        here.send_to_all(b"beat");
        let mut seen = vec![];
        for _ in 0..3 {
            let mut buffer = [0; DATAGRAM_MAX + 1];
            let datagram = there.receive(&mut buffer).await;
            assert_eq!(datagram.bytes, b"beat");
            seen.push(datagram.path);
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2]);
        assert!(there.counts().all(|(_, count)| count.received == 1));
    }

    #[tokio::test]
    async fn a_stranger_on_the_port_is_counted_and_dropped() {
        let (mut here, mut there) = joined(1);
        let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(b"forged", there.open[0].path.local).unwrap();
        here.send_to_all(b"beat");
        let mut buffer = [0; DATAGRAM_MAX + 1];
        assert_eq!(there.receive(&mut buffer).await, Datagram { path: 0, bytes: b"beat" });
        assert_eq!(there.counts().next().unwrap().1.foreign, 1);
    }

    #[tokio::test]
    async fn a_path_whose_address_is_not_there_yet_opens_and_hinders_no_other() {
        let (here, mut there) = joined(1);
        let absent = Path { name: "absent".into(), local: "192.0.2.1:0".parse().unwrap(), peer: "192.0.2.2:9".parse().unwrap() };
        let present = here.open[0].path.clone();
        drop(here);
        let mut here = Paths::open(vec![absent, present]).unwrap();
        here.send_to_all(b"beat");
        let mut buffer = [0; DATAGRAM_MAX + 1];
        assert_eq!(there.receive(&mut buffer).await.bytes, b"beat");
    }

    #[tokio::test]
    async fn no_paths_and_a_taken_port_are_errors_that_say_so() {
        assert!(Paths::open(vec![]).unwrap_err().to_string().contains("1 to 8"));
        let (here, _there) = joined(1);
        let error = Paths::open(vec![here.open[0].path.clone()]).unwrap_err().to_string();
        assert!(error.contains("path `cable`"), "{error}");
    }
}
