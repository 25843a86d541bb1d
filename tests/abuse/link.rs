//! The peer link: what no honest peer says.

use std::sync::Arc;
use std::time::Duration;

use duplex::layout::Layout;
use duplex::model::{BootNonce, DataId, Epoch, Holder, Position, Sequence, ServerId, StreamNo};
use duplex::wire::frames::{Greeting, LinkKind, LinkRefusal, ToHolder, ToPeer};
use duplex::wire::identity::Identity;
use duplex::wire::link::{Connector, Introduction, LinkLimits, Met, Route};
use duplex::wire::pki::{CertificateRole, PairAuthority};
use duplex::wire::{codec, tls};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pair::{CommandIds, First, PATIENCE, Pair, Second};

const A: CertificateRole = CertificateRole::Server(ServerId::A);
const B: CertificateRole = CertificateRole::Server(ServerId::B);

fn introduction() -> Introduction {
    Introduction { server: ServerId::A, boot: BootNonce(99), data_id: DataId([9; 16]) }
}

fn greeting(versions: (u16, u16), server: ServerId) -> Greeting {
    Greeting { versions, server, boot: BootNonce(99), data_id: DataId([9; 16]), kind: LinkKind::Stream }
}

fn route(pair: &Pair) -> Route {
    Route { from: None, to: pair.config(Second).peer.listen }
}

/// A connection that believes and shows `identity`, after TLS and before any greeting.
async fn raw(pair: &Pair, identity: &Identity) -> TlsStream<TcpStream> {
    let tls: Arc<rustls::ClientConfig> = tls::mutual_client(identity, B).unwrap();
    let tcp = TcpStream::connect(route(pair).to).await.unwrap();
    TlsConnector::from(tls).connect(B.server_name(), tcp).await.unwrap()
}

fn encoded<T: serde::Serialize>(frame: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(frame, &mut bytes).unwrap();
    bytes
}

/// Says these bytes, then closes after having heard what comes.
async fn say(stream: &mut TlsStream<TcpStream>, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    // However it ends: the log is what is looked at.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
}

async fn stream(pair: &Pair, identity: &Identity) -> Met {
    let connector = Connector::new(identity, introduction(), LinkLimits::default()).unwrap();
    connector.connect(LinkKind::Stream, route(pair)).await.unwrap()
}

#[tokio::test]
async fn what_no_honest_peer_says_is_refused_and_logged_by_its_code_and_the_pair_goes_on() {
    let pair = Pair::at_work();
    let main = Layout::of(&pair.config(First)).server_identity().unwrap();

    let stranger = PairAuthority::create().unwrap();
    let stranger = Identity::from_pem(stranger.certificate_pem(), &stranger.issue(A, &[]).unwrap()).unwrap();
    let knock = Connector::new(&stranger, introduction(), LinkLimits::default()).unwrap();
    knock.connect(LinkKind::Stream, route(&pair)).await.unwrap_err();
    // It refuses our certificate as well, and may say so first.
    pair.wait_for_log(Second, "refused a link", PATIENCE);

    say(&mut raw(&pair, &main).await, &encoded(&greeting((8, 9), ServerId::A))).await;
    pair.wait_for_log(Second, "code: version_unknown", PATIENCE);
    say(&mut raw(&pair, &main).await, &encoded(&greeting((1, 1), ServerId::B))).await;
    pair.wait_for_log(Second, "code: not_the_peer", PATIENCE);
    say(&mut raw(&pair, &main).await, &[0xff; 64]).await;
    pair.wait_for_log(Second, "code: frame_too_long", PATIENCE);
    let whole = encoded(&greeting((1, 1), ServerId::A));
    say(&mut raw(&pair, &main).await, &whole[..whole.len() - 3]).await;
    pair.wait_for_log(Second, "code: frame_damaged", PATIENCE);
    goes_on(&pair);
}

#[tokio::test]
async fn many_strangers_at_the_peers_port_are_a_few_lines_of_its_log() {
    let pair = Pair::at_work();
    for _ in 0..300 {
        drop(TcpStream::connect(route(&pair).to).await.unwrap());
    }
    pair.wait_for_log(Second, "refused a link", PATIENCE);
    goes_on(&pair);
    // One for each way in which they may end: `crowded`, `tls`, `io`.
    let told = pair.log(Second).matches("refused a link").count();
    assert!(told <= 3, "{told} lines");
}

#[tokio::test]
async fn a_stream_of_an_older_epoch_or_with_a_broken_frame_is_refused_and_the_real_one_comes_back() {
    let pair = Pair::at_work();
    let main = Layout::of(&pair.config(First)).server_identity().unwrap();
    let open = |epoch: u64| ToPeer::Open {
        stream: StreamNo(1),
        epoch: Epoch(epoch),
        holder: Holder::Pair { main: ServerId::A },
        end: Position::GENESIS,
    };
    let (mut to_peer, mut from_peer) = stream(&pair, &main).await.link.split::<ToPeer, ToHolder>();
    to_peer.send(&[open(0)]).await.unwrap();
    let ToHolder::Refused { why, .. } = from_peer.next().await.unwrap() else { panic!("not refused") };
    assert_eq!(why, LinkRefusal::EpochOld { ours: Epoch(1), theirs: Epoch(0) });
    pair.wait_for_log(Second, "code: epoch_old", PATIENCE);
    goes_on(&pair);

    // An entry of a stream that was never begun.
    let (mut to_peer, mut from_peer) = stream(&pair, &main).await.link.split::<ToPeer, ToHolder>();
    to_peer.send(&[open(1)]).await.unwrap();
    assert!(matches!(from_peer.next().await.unwrap(), ToHolder::Opened { .. }));
    let (after, confirmed) = (Position::GENESIS, Sequence(0));
    let entries = ToPeer::Entries { stream: StreamNo(7), frame: 1, confirmed, after, records: vec![] };
    to_peer.send(&[entries]).await.unwrap();
    pair.wait_for_log(Second, "code: stream_old", PATIENCE);
    goes_on(&pair);

    let mut raw = raw(&pair, &main).await;
    let mut bytes = encoded(&greeting((1, 1), ServerId::A));
    bytes.extend(encoded(&open(1)));
    bytes.extend([16, 0, 0, 0, 1, 2, 3, 4]);
    bytes.extend([0; 16]);
    raw.write_all(&bytes).await.unwrap();
    pair.wait_for_log(Second, "code: frame_damaged", PATIENCE);
    goes_on(&pair);
}

/// Main answers as one of a pair, and so durably on both.
fn goes_on(pair: &Pair) {
    let main = pair.wait_for_pair(Duration::from_secs(20));
    let deposit = json!({"card_id": "C00000001", "rate_id": 1, "units": 1});
    let answer = pair.line(main).ask(&pair.request("seat-1", &CommandIds::draw(), "deposit", deposit)).unwrap();
    assert_eq!((answer["status"].as_str(), answer["stored_on"].as_str()), (Some("ok"), Some("both")), "{answer}");
    assert_eq!(main, First, "nobody took over");
}
