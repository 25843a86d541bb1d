//! The peer link, the life line and the terminals' streams over real sockets on loopback. The life line's peer is a real process.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use duplex::model::{BootNonce, DataId, Epoch, Position, Sequence, ServerId, StreamNo};
use duplex::wire::frames::{Greeting, LinkKind, LinkRefusal, Reception, ToHolder, ToPeer, WireRecord};
use duplex::wire::identity::{Identity, write_secret};
use duplex::wire::link::{Connector, FrameReceiver, Introduction, LinkLimits, Met, Route};
use duplex::wire::listener::{Accepted, PeerListener, Refused};
use duplex::wire::pki::{CertificateRole, Issued, PairAuthority};
use duplex::wire::refusal::LinkError;
use duplex::wire::{codec, tls};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

mod life;
mod terminals;

const A: CertificateRole = CertificateRole::Server(ServerId::A);
const B: CertificateRole = CertificateRole::Server(ServerId::B);

fn identity(authority: &PairAuthority, role: CertificateRole) -> Identity {
    Identity::from_pem(authority.certificate_pem(), &authority.issue(role, &[]).unwrap()).unwrap()
}

fn introduction(server: ServerId, boot: u64) -> Introduction {
    Introduction { server, boot: BootNonce(boot), data_id: DataId([server.index() as u8; 16]) }
}

/// Server B, listening.
fn listener(identity: &Identity, limits: LinkLimits) -> (PeerListener, Route) {
    let introduction = introduction(ServerId::B, 2);
    let listener = PeerListener::listen("127.0.0.1:0".parse().unwrap(), identity, introduction, limits).unwrap();
    let to = listener.local_addr().unwrap();
    (listener, Route { from: None, to })
}

/// Server A, about to connect.
fn connector(identity: &Identity) -> Connector {
    Connector::new(identity, introduction(ServerId::A, 1), LinkLimits::default()).unwrap()
}

/// One attempt of A, seen from both sides.
async fn attempt(a: &Identity, listener: &mut PeerListener, route: Route) -> (Result<Met, LinkError>, Result<Accepted, Refused>) {
    let connector = connector(a);
    tokio::join!(connector.connect(LinkKind::Stream, route), listener.accept())
}

/// A TLS connection that has said nothing yet, for what no honest peer says.
async fn raw(tls: Arc<rustls::ClientConfig>, to: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(to).await?;
    TlsConnector::from(tls).connect("server-b.duplex.internal".try_into().unwrap(), tcp).await
}

/// Connects and waits for the server's verdict on our certificate: always an error, since the server says nothing first.
async fn verdict(tls: Arc<rustls::ClientConfig>, to: SocketAddr) -> std::io::Result<u8> {
    raw(tls, to).await?.read_u8().await
}

async fn greet(stream: &mut TlsStream<TcpStream>, versions: (u16, u16), server: ServerId) -> Reception {
    let greeting = Greeting { versions, server, boot: BootNonce(1), data_id: DataId([0; 16]), kind: LinkKind::Stream };
    let mut bytes = Vec::new();
    codec::encode(&greeting, &mut bytes).unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut decoder = codec::Decoder::default();
    loop {
        assert_ne!(stream.read_buf(decoder.room()).await.unwrap(), 0, "closed without a reception");
        if let Some(reception) = decoder.next_frame().unwrap() {
            return reception;
        }
    }
}

fn entries(frame: u64, payload: usize) -> ToPeer {
    let record = WireRecord { epoch: Epoch(1), sequence: Sequence(frame), payload: vec![7; payload] };
    let (confirmed, after) = (Sequence(0), Position::GENESIS);
    ToPeer::Entries { stream: StreamNo(1), frame, confirmed, after, records: vec![record] }
}

#[tokio::test]
async fn frames_go_both_ways_whole_and_in_order_until_a_farewell() {
    let authority = PairAuthority::create().unwrap();
    let (mut listener, route) = listener(&identity(&authority, B), LinkLimits::default());
    let (met, accepted) = attempt(&identity(&authority, A), &mut listener, route).await;
    let (met, accepted) = (met.unwrap(), accepted.unwrap());
    assert_eq!((met.boot, accepted.boot, accepted.peer), (BootNonce(2), BootNonce(1), ServerId::A));
    let (mut to_peer, mut from_peer) = met.link.split::<ToPeer, ToHolder>();
    let (mut to_holder, mut from_holder) = accepted.link.split::<ToHolder, ToPeer>();
    let sent: Vec<_> = (1..=40).map(|frame| entries(frame, 100_000)).collect();
    let mut got = vec![];
    let receive = async {
        while got.len() < sent.len() {
            from_holder.next_batch(&mut got).await.unwrap();
        }
    };
    tokio::join!(to_peer.send(&sent), receive).0.unwrap();
    assert_eq!(got, sent);
    let answer = ToHolder::Fetched { stream: StreamNo(1), records: vec![], last: true };
    to_holder.send(std::slice::from_ref(&answer)).await.unwrap();
    assert_eq!(from_peer.next().await.unwrap(), answer);
    to_holder.close().await;
    assert!(matches!(from_peer.next().await, Err(LinkError::Closed)));
}

/// Settings that believe what `believing` believes, and show another certificate.
fn showing(believing: &Identity, issued: &Issued) -> Arc<rustls::ClientConfig> {
    let certificate = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let certified = rustls::sign::CertifiedKey::from_der(vec![certificate], key, &rustls::crypto::ring::default_provider());
    let mut tls = (*tls::mutual_client(believing, B).unwrap()).clone();
    tls.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified.unwrap()));
    Arc::new(tls)
}

#[tokio::test]
async fn a_strangers_certificate_is_refused_named_and_counted() {
    let (ours, theirs) = (PairAuthority::create().unwrap(), PairAuthority::create().unwrap());
    let (mut listener, route) = listener(&identity(&ours, B), LinkLimits::default());
    let stranger = showing(&identity(&ours, A), &theirs.issue(A, &[]).unwrap());
    let (refused_there, refused_here) = tokio::join!(verdict(stranger, route.to), listener.accept());
    assert!(refused_there.is_err());
    let text = refused_here.unwrap_err().to_string();
    assert!(text.contains("claims server-a") && text.contains("was not issued by this pair's authority"), "{text}");
    assert_eq!(listener.refused()["stranger"], 1);
}

#[tokio::test]
async fn a_server_of_another_pair_is_not_believed_by_whoever_connects() {
    let (ours, theirs) = (PairAuthority::create().unwrap(), PairAuthority::create().unwrap());
    let (mut listener, route) = listener(&identity(&theirs, B), LinkLimits::default());
    let (met, accepted) = attempt(&identity(&ours, A), &mut listener, route).await;
    let text = met.unwrap_err().to_string();
    assert!(text.contains("claims server-b") && text.contains("was not issued by this pair's authority"), "{text}");
    assert!(accepted.is_err());
}

#[tokio::test]
async fn only_the_other_servers_certificate_opens_the_link() {
    let authority = PairAuthority::create().unwrap();
    let (mut listener, route) = listener(&identity(&authority, B), LinkLimits::default());
    for (role, reason) in [
        (CertificateRole::Terminal, "(claims terminal) is not valid: certificate does not allow"),
        (CertificateRole::Witness, "(claims witness) is not server-a"),
        (B, "(claims server-b) is not server-a"),
    ] {
        let tls = tls::mutual_client(&identity(&authority, role), B).unwrap();
        let (refused_there, refused_here) = tokio::join!(verdict(tls, route.to), listener.accept());
        let text = refused_here.unwrap_err().to_string();
        assert!(refused_there.is_err() && text.contains(reason), "{text}");
    }
    let own = identity(&authority, B);
    assert!(Connector::new(&own, introduction(ServerId::A, 1), LinkLimits::default()).is_err());
}

#[tokio::test]
async fn an_expired_certificate_still_works() {
    let authority = PairAuthority::create().unwrap();
    let expired =
        |role| Identity::from_pem(authority.certificate_pem(), &authority.issue_until(role, &[], 2001).unwrap()).unwrap();
    let (mut listener, route) = listener(&expired(B), LinkLimits::default());
    let (met, accepted) = attempt(&expired(A), &mut listener, route).await;
    assert!(met.is_ok() && accepted.is_ok());
}

#[tokio::test]
async fn tls_1_2_is_refused_on_the_peer_link() {
    let authority = PairAuthority::create().unwrap();
    let (mut listener, route) = listener(&identity(&authority, B), LinkLimits::default());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
    let old = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (refused_there, refused_here) = tokio::join!(verdict(Arc::new(old), route.to), listener.accept());
    let text = refused_here.unwrap_err().to_string();
    assert!(refused_there.is_err() && text.contains("incompatible"), "{text}");
}

#[tokio::test]
async fn versions_are_negotiated_and_none_in_common_is_a_refusal_that_says_so() {
    let authority = PairAuthority::create().unwrap();
    let (mut listener, route) = listener(&identity(&authority, B), LinkLimits::default());
    let tls = tls::mutual_client(&identity(&authority, A), B).unwrap();
    for (theirs, agreed) in [((1, 9), Some(1)), ((0, 1), Some(1)), ((2, 9), None), ((0, 0), None)] {
        let ask = async { greet(&mut raw(tls.clone(), route.to).await.unwrap(), theirs, ServerId::A).await };
        let (reception, accepted) = tokio::join!(ask, listener.accept());
        let Some(agreed) = agreed else {
            assert_eq!(reception, Reception::Refused(LinkRefusal::VersionUnknown { ours: (1, 1), theirs }));
            assert_eq!(accepted.unwrap_err().why.code(), "version_unknown");
            continue;
        };
        assert!(matches!(reception, Reception::Welcome { version, .. } if version == agreed));
        assert_eq!(accepted.unwrap().version, agreed);
    }
}

#[tokio::test]
async fn a_greeting_in_the_name_of_another_server_is_not_the_peers() {
    let authority = PairAuthority::create().unwrap();
    let (mut listener, route) = listener(&identity(&authority, B), LinkLimits::default());
    let tls = tls::mutual_client(&identity(&authority, A), B).unwrap();
    let lie = async { greet(&mut raw(tls, route.to).await.unwrap(), (1, 1), ServerId::B).await };
    let (reception, accepted) = tokio::join!(lie, listener.accept());
    assert_eq!(reception, Reception::Refused(LinkRefusal::NotThePeer));
    assert_eq!(accepted.unwrap_err().why.code(), "not_the_peer");
}

/// The receiving half of a link whose sender writes bytes as it likes, then closes.
async fn bytes_into_a_link(listener: &mut PeerListener, a: &Identity, to: SocketAddr, bytes: &[u8]) -> FrameReceiver<ToPeer> {
    let wild = async {
        let mut stream = raw(tls::mutual_client(a, B).unwrap(), to).await.unwrap();
        greet(&mut stream, (1, 1), ServerId::A).await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let (accepted, ()) = tokio::join!(listener.accept(), wild);
    accepted.unwrap().link.split::<ToHolder, ToPeer>().1
}

#[tokio::test]
async fn a_cut_long_or_damaged_frame_ends_its_own_link_after_the_good_ones_and_no_other() {
    let authority = PairAuthority::create().unwrap();
    let (mut listener, route) = listener(&identity(&authority, B), LinkLimits::default());
    let a = identity(&authority, A);
    let (met, accepted) = attempt(&a, &mut listener, route).await;
    let (mut good, _kept) = met.unwrap().link.split::<ToPeer, ToHolder>();
    let (_kept, mut unharmed) = accepted.unwrap().link.split::<ToHolder, ToPeer>();

    let mut frame = Vec::new();
    codec::encode(&entries(1, 50), &mut frame).unwrap();
    let mut damaged = frame.clone();
    damaged[20] ^= 1;
    for (bad, code) in [(&frame[..30], "frame_damaged"), (&damaged, "frame_damaged"), (&[0xff; 8], "frame_too_long")] {
        let mut receiver = bytes_into_a_link(&mut listener, &a, route.to, &[&frame, bad].concat()).await;
        let mut got = vec![];
        receiver.next_batch(&mut got).await.unwrap();
        assert_eq!(got, [entries(1, 50)]);
        assert_eq!(receiver.next_batch(&mut got).await.unwrap_err().code(), code);
        good.send(&[entries(2, 50)]).await.unwrap();
        assert_eq!(unharmed.next().await.unwrap(), entries(2, 50));
    }
}

#[tokio::test]
async fn a_stranger_who_finishes_no_handshake_keeps_the_peer_from_nothing_and_is_counted() {
    let authority = PairAuthority::create().unwrap();
    let limits = LinkLimits { handshake: Duration::from_millis(500), ..LinkLimits::default() };
    let (mut listener, route) = listener(&identity(&authority, B), limits);
    let mut idle = vec![];
    for _ in 0..20 {
        idle.push(TcpStream::connect(route.to).await.unwrap());
    }
    let a = connector(&identity(&authority, A));
    let from_elsewhere = Route { from: Some("127.0.0.2".parse::<IpAddr>().unwrap()), ..route };
    let until_accepted = async {
        loop {
            match listener.accept().await {
                Ok(accepted) => return accepted,
                Err(refused) => assert_eq!(refused.why.code(), "crowded"),
            }
        }
    };
    let (met, accepted) = tokio::join!(a.connect(LinkKind::Life, from_elsewhere), until_accepted);
    assert!(met.is_ok() && accepted.kind == LinkKind::Life);
    assert_eq!(listener.refused()["crowded"], 12);
    for _ in 0..8 {
        assert_eq!(listener.accept().await.unwrap_err().why.code(), "late");
    }
}

#[tokio::test]
async fn no_socket_of_a_link_is_inherited_by_a_child_process() {
    let authority = PairAuthority::create().unwrap();
    let (mut listener, route) = listener(&identity(&authority, B), LinkLimits::default());
    let _both_ends = attempt(&identity(&authority, A), &mut listener, route).await;
    let seen = Command::new("/bin/ls").args(["-l", "/proc/self/fd"]).stdin(Stdio::null()).output().unwrap();
    let seen = String::from_utf8(seen.stdout).unwrap();
    assert!(seen.contains("/dev/null") && !seen.contains("socket:"), "{seen}");
}

/// `ca.pem`, `server.pem` and `server-key.pem` of `role` in a directory of their own.
fn written(authority: &PairAuthority, role: CertificateRole) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let issued = authority.issue(role, &[]).unwrap();
    std::fs::write(dir.path().join("ca.pem"), authority.certificate_pem()).unwrap();
    std::fs::write(dir.path().join("server.pem"), issued.certificate_pem).unwrap();
    write_secret(&dir.path().join("server-key.pem"), issued.key_pem.as_bytes()).unwrap();
    dir
}

fn loaded(dir: &Path) -> Identity {
    Identity::load(&dir.join("ca.pem"), &dir.join("server.pem"), &dir.join("server-key.pem")).unwrap()
}
