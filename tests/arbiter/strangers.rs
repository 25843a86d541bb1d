//! Who has no key: keeps nobody out, and is told in few words.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duplex::arbiter::{ArbiterError, Witness};
use duplex::wire::names::ServerNames;
use duplex::wire::pki::CertificateRole;
use slog::{Drain, Logger, o};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::{A, Arbiter, B, LIMIT, Running, Site, asker, identity_in};

/// A third of what 200 strangers take who are served 32 at a time, for 2 s each.
const SOON: Duration = Duration::from_secs(4);

/// What a witness logs, a line each.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub fn logger(&self) -> Logger {
        let drain = slog_term::FullFormat::new(slog_term::PlainSyncDecorator::new(self.clone())).build().fuse();
        Logger::root(drain, o!())
    }

    pub fn lines_with(&self, words: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

async fn start(site: &Site) -> (Running, Log) {
    let log = Log::default();
    let witness = Witness::open(site.path(), &[identity_in(site.path())], log.logger()).unwrap();
    (Running::of(witness).await, log)
}

async fn silent(from: &str, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // Whoever knocks a thousand times a second would soon have no port left.
    socket.set_zero_linger()?;
    socket.bind(format!("{from}:0").parse().unwrap())?;
    socket.connect(to).await
}

/// So many connections that say nothing, each opened again when it is closed.
async fn flood(from: &'static str, to: SocketAddr, connections: usize) -> JoinSet<()> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(silent(from, to).await.unwrap());
    }
    let mut flood = JoinSet::new();
    for mut held in open {
        flood.spawn(async move {
            loop {
                // However it ends, another one comes.
                let _ = held.read(&mut [0]).await;
                held = silent(from, to).await.unwrap();
            }
        });
    }
    flood
}

#[tokio::test]
async fn silent_connections_from_one_address_keep_no_server_out_end_no_link_and_fill_no_log() {
    let site = Site::new();
    let (running, log) = start(&site).await;
    let [a, b] = site.servers(running.address);
    assert_eq!(a.read(asker(A, 1), LIMIT).await, Ok(None));
    let _flood = flood("127.0.0.2", running.address, 200).await;
    assert_eq!(b.read(asker(B, 1), SOON).await, Ok(None));
    assert!(site.client(CertificateRole::Witness, running.address).status(SOON).await.is_ok());
    assert_eq!(a.read(asker(A, 1), SOON).await, Ok(None));
    assert_eq!(log.lines_with("server-a").len(), 1, "its connection stood through the flood");
    let refused = log.lines_with("refused a connection");
    assert_eq!(refused.len(), 1, "{refused:?}");
}

#[tokio::test]
async fn strangers_at_the_servers_own_address_give_way_to_them() {
    let site = Site::new();
    let (running, _log) = start(&site).await;
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(silent("127.0.0.1", running.address).await.unwrap());
    }
    let [a, b] = site.servers(running.address);
    let witness = site.client(CertificateRole::Witness, running.address);
    let asks = tokio::join!(a.read(asker(A, 1), SOON), b.read(asker(B, 1), SOON), witness.status(SOON));
    assert!(asks.0.is_ok() && asks.1.is_ok() && asks.2.is_ok(), "{asks:?}");
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_is_told_in_words_by_either_side() {
    let (ours, theirs) = (Site::new(), Site::new());
    let (running, log) = start(&ours).await;
    let stranger = theirs.client(CertificateRole::Server(A), running.address);
    let Err(ArbiterError::Unreachable(seen_there)) = stranger.read(asker(A, 1), LIMIT).await else { panic!("believed") };
    // The one who connects looks at the witness's certificate first, and says so by an alert.
    assert!(seen_there.contains("(claims witness) was not issued by this pair's authority"), "{seen_there}");
    let terminal = ours.client(CertificateRole::Terminal, running.address);
    let Err(ArbiterError::Unreachable(why)) = terminal.read(asker(A, 1), LIMIT).await else { panic!("believed") };
    assert!(why.contains("the other side does not believe this side's certificate"), "{why}");
    let refused = log.lines_with("refused a connection");
    assert!(refused.iter().any(|line| line.contains("(claims terminal) is not valid: ")), "{refused:?}");
    assert!(!refused.iter().chain([&why, &seen_there]).any(|text| text.contains("Other") || text.contains('{')), "{refused:?}");
}

#[tokio::test]
async fn what_a_server_is_told_by_its_witness_has_the_names_of_its_configuration() {
    let site = Site::new();
    let (running, _log) = start(&site).await;
    let names = ServerNames::new(&["hall-1".into(), "hall-2".into()]);
    let [a, _] = site.servers(running.address);
    let refused = a.calling(names).read(asker(B, 1), LIMIT).await.unwrap_err().to_string();
    assert!(refused.contains("the ask is of hall-2 (server-b), the certificate of hall-1 (server-a)"), "{refused}");
}
