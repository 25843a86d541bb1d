//! What terminals see: TLS with sessions that resume, and long lines.

use std::sync::Arc;

use duplex::wire::identity::{Identity, load_authority};
use duplex::wire::pki::{CertificateRole, PairAuthority};
use duplex::wire::terminal::LineBuffer;
use duplex::wire::tls;
use rustls::HandshakeKind;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{B, identity, loaded, written};

async fn read_line(stream: &mut tls::Stream) -> String {
    let mut lines = LineBuffer::default();
    loop {
        assert_ne!(stream.read_buf(lines.room()).await.unwrap(), 0, "closed in a line");
        if let Some(line) = lines.next_line().unwrap() {
            return line.to_owned();
        }
    }
}

type Clients = Arc<rustls::ClientConfig>;

/// One line to a terminal-facing server and back; returns how the server's handshake went.
async fn echo(server: &Arc<rustls::ServerConfig>, client: &Clients, line: &str) -> HandshakeKind {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let serve = async {
        let mut stream = tls::Stream::accept(tcp.accept().await.unwrap().0, Some(server.clone())).await.unwrap();
        let got = read_line(&mut stream).await;
        stream.write_all(format!("{got}\n").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let tls::Stream::Tls(stream) = stream else { panic!("plain") };
        stream.get_ref().1.handshake_kind().unwrap()
    };
    let ask = async {
        let mut stream = tls::Stream::connect(TcpStream::connect(address).await.unwrap(), Some(client.clone())).await.unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(read_line(&mut stream).await, line);
    };
    tokio::join!(serve, ask).0
}

#[tokio::test]
async fn a_terminal_that_comes_back_resumes_its_session_and_its_longest_line_passes() {
    let authority = PairAuthority::create().unwrap();
    let dir = written(&authority, CertificateRole::Terminal);
    let server = tls::terminal_server(&loaded(dir.path())).unwrap();
    let client = tls::terminal_client(load_authority(&dir.path().join("ca.pem")).unwrap()).unwrap();
    let longest = "x".repeat(64 * 1024);
    assert_eq!(echo(&server, &client, &longest).await, HandshakeKind::Full);
    assert_eq!(echo(&server, &client, &longest).await, HandshakeKind::Resumed);
}

#[tokio::test]
async fn a_terminal_believes_neither_another_pairs_server_nor_a_certificate_of_the_peer_link() {
    let (ours, theirs) = (PairAuthority::create().unwrap(), PairAuthority::create().unwrap());
    let dir = written(&ours, CertificateRole::Terminal);
    let client = tls::terminal_client(load_authority(&dir.path().join("ca.pem")).unwrap()).unwrap();
    for wrong in [identity(&theirs, CertificateRole::Terminal), identity(&ours, B)] {
        let server = tls::terminal_server(&wrong).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = TcpStream::connect(tcp.local_addr().unwrap()).await.unwrap();
        let from = tcp.accept().await.unwrap().0;
        let (refused, _) = tokio::join!(tls::Stream::connect(to, Some(client.clone())), tls::Stream::accept(from, Some(server)));
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("was not issued by") || text.contains("is not terminal"), "{text}");
    }
}

/// A foreign terminal: TLS 1.2, and the usual checks of authority, address and date.
fn foreign(authority: &PairAuthority) -> Clients {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    Arc::new(tls.with_protocol_versions(&[&rustls::version::TLS12]).unwrap().with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test]
async fn an_old_foreign_terminal_that_checks_the_address_is_served_and_resumes() {
    let authority = PairAuthority::create().unwrap();
    let addresses = ["192.0.2.10", "2001:db8::10"].map(|address| address.parse().unwrap());
    let issued = authority.issue(CertificateRole::Terminal, &addresses).unwrap();
    let server = tls::terminal_server(&Identity::from_pem(authority.certificate_pem(), &issued).unwrap()).unwrap();
    let client = foreign(&authority);
    for (address, outcome) in [
        ("192.0.2.10", Some(HandshakeKind::Full)),
        ("192.0.2.10", Some(HandshakeKind::Resumed)),
        ("2001:db8::10", Some(HandshakeKind::Full)),
        ("192.0.2.11", None),
    ] {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = rustls::pki_types::ServerName::try_from(address).unwrap();
        let connect = tokio_rustls::TlsConnector::from(client.clone()).connect(name, near);
        let (connected, _) = tokio::join!(connect, tokio_rustls::TlsAcceptor::from(server.clone()).accept(far));
        assert_eq!(connected.ok().and_then(|stream| stream.get_ref().1.handshake_kind()), outcome, "{address}");
    }
}
