//! StateMonitor: a peer that falls silent, dies, comes back.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::actors::state_monitor::{GrantLeases, Judged, LifeTold, NeedsThePeer, Settings, Stand, StateMonitor};
use crate::clock;
use crate::handover::{Board, Shown};
use crate::machines::failover::{Event, Loss};
use crate::machines::health::Patience;
use crate::model::{
    BeatNo, BootNonce, Complaints, DataId, Epoch, Heartbeat, Holder, Mode, Moment, Position, Role, Sequence, ServerId, Standing,
};
use crate::telemetry::Metrics;
use crate::wire::heartbeat::{HeartbeatKey, decode, encode};
use crate::wire::identity::PairSecret;
use crate::wire::life::LifeNews;
use crate::wire::paths::Path;

const PEER: BootNonce = BootNonce(7);
const PEERS_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn standing() -> Standing {
    Standing {
        epoch: Epoch(1),
        holder: Holder::Pair { main: ServerId::A },
        data_id: DataId::default(),
        mode: Mode::Pair,
        role: Role::Main,
        can_acknowledge: true,
    }
}

/// The monitor under test and a peer that is one UDP socket.
struct Stage {
    monitor: Addr<StateMonitor>,
    judged: Heard<Judged>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    needed: Arc<AtomicBool>,
    shown: Arc<Shown>,
    peer: tokio::net::UdpSocket,
    key: HeartbeatKey,
    number: u64,
}

async fn stage() -> Stage {
    let peer = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let local = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let key = HeartbeatKey::from_secret(&PairSecret::draw().unwrap());
    let patience = Patience { lease_ms: 250, silence_ms: 350, boot_ms: 1_500, beats_remembered: 64 };
    let paths = vec![Path { name: "loopback".into(), local, peer: peer.local_addr().unwrap() }, unplugged()];
    let settings = Settings { me: ServerId::A, boot: BootNonce(1), key: key.clone(), paths, patience, heartbeat_ms: 25 };
    let (recipient, judged) = ear::<Judged>();
    let (board, shown, metrics) =
        (Arc::new(Board::default()), Arc::new(Shown::default()), Metrics::new(&[], &[], [], Default::default()));
    let needed = Arc::new(AtomicBool::new(false));
    let looked_at = Arc::clone(&needed);
    let needs_the_peer: NeedsThePeer = Arc::new(move || looked_at.load(SeqCst));
    let (on, at, measured) = (Arc::clone(&board), Arc::clone(&shown), Arc::clone(&metrics));
    let monitor = StateMonitor::new(settings, on, at, measured, needs_the_peer, recipient, quiet()).start();
    monitor.send(Stand(standing())).await.unwrap();
    Stage { monitor, judged, board, metrics, needed, shown, peer, key, number: 0 }
}

/// A path at whose other end nobody is.
fn unplugged() -> Path {
    let at_both_ends = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    Path { name: "cable".into(), local: at_both_ends, peer: "127.0.0.1:9".parse().unwrap() }
}

impl Stage {
    async fn next_beat(&mut self) -> (Heartbeat, std::net::SocketAddr) {
        let mut buffer = [0; 512];
        let (len, from) = self.peer.recv_from(&mut buffer).await.unwrap();
        (decode(&buffer[..len], &self.key, ServerId::B).unwrap(), from)
    }

    /// Waits for the next heartbeat and answers it, as a peer that hears well does.
    async fn answer_one(&mut self, grants_lease: bool) {
        let (beat, from) = self.next_beat().await;
        self.number += 1;
        let answer = Heartbeat {
            from: ServerId::B,
            boot: PEER,
            number: BeatNo(self.number),
            echo: Some((beat.boot, beat.number)),
            grants_lease,
            standing: Standing { role: Role::Sub, ..standing() },
            stored: Sequence(0),
            complaints: Complaints::default(),
            service_mac: Some(PEERS_MAC),
        };
        self.peer.send_to(&encode(&answer, &self.key), from).await.unwrap();
    }

    fn events(&self) -> Vec<Event> {
        self.judged.all().into_iter().map(|Judged(event)| event).collect()
    }

    async fn heard_once(&mut self) {
        self.answer_one(true).await;
        until("the peer is heard", || matches!(self.judged.last(), Some(Judged(Event::PeerBack)))).await;
    }
}

#[actix::test]
async fn a_peer_that_answers_is_told_and_extends_the_lease() {
    let mut stage = stage().await;
    stage.heard_once().await;
    assert!(matches!(stage.events()[..], [Event::PeerSays(_), Event::PeerBack]));
    let left = stage.board.lease_until().since(clock::now());
    assert!((1..=250).contains(&left), "{left} ms of lease");
    assert!(stage.metrics.heartbeats.sent.get() >= 1 && stage.metrics.heartbeats.heard.get() == 1);
}

#[actix::test]
async fn what_the_peer_lacks_is_told_by_its_age() {
    let stage = stage().await;
    let at = |sequence| Position { sequence: Sequence(sequence), ..Position::GENESIS };
    let lag_ms = || stage.metrics.peer_lag_ms.get();
    stage.board.set_stored(at(5));
    stage.board.set_peer_stored(Sequence(5));
    until_later("the peer has everything", || lag_ms() == 0.0).await;
    stage.board.set_stored(at(6));
    until_later("what it lacks grows old", || lag_ms() >= 50.0).await;
    stage.board.set_peer_stored(Sequence(6));
    until_later("it has everything again", || lag_ms() == 0.0).await;
}

#[actix::test]
async fn a_disk_that_does_not_answer_is_said_in_the_heartbeats_until_it_does() {
    let mut stage = stage().await;
    assert!(stage.next_beat().await.0.standing.can_acknowledge);
    stage.board.set_syncing_since(Some(Moment(1)));
    while stage.next_beat().await.0.standing.can_acknowledge {}
    assert!(stage.board.disk_hangs());
    stage.board.set_syncing_since(None);
    while !stage.next_beat().await.0.standing.can_acknowledge {}
}

#[actix::test]
async fn a_peer_that_falls_silent_is_lost_after_the_silence_limit() {
    let mut stage = stage().await;
    stage.heard_once().await;
    tokio::time::pause();
    pass(300).await;
    assert!(!stage.events().contains(&Event::PeerLost(Loss::Silent)));
    pass(100).await;
    assert_eq!(stage.events().last(), Some(&Event::PeerLost(Loss::Silent)));
    assert!(stage.board.lease_until() < clock::now(), "the lease ended before the silence did");
}

#[actix::test]
async fn a_peer_that_no_frame_reaches_is_lost_though_it_is_heard() {
    let mut stage = stage().await;
    stage.heard_once().await;
    // On the way back to a pair, answers need the peer already.
    stage.monitor.send(Stand(Standing { mode: Mode::Solo, ..standing() })).await.unwrap();
    stage.needed.store(true, SeqCst);
    while stage.events().last() != Some(&Event::PeerLost(Loss::NotStoring)) {
        stage.answer_one(true).await;
    }
    stage.board.set_frames_arrived(1);
    while stage.events().last() != Some(&Event::PeerBack) {
        stage.answer_one(true).await;
    }
}

#[actix::test]
async fn a_path_on_which_nothing_comes_is_shown_and_loses_nobody() {
    let mut stage = stage().await;
    while stage.shown.view().silent_paths != ["cable"] {
        stage.answer_one(true).await;
    }
    assert_eq!(stage.metrics.heartbeats.silent_paths.get(), 1);
    assert!(!stage.events().iter().any(|event| matches!(event, Event::PeerLost(_))));
}

#[actix::test]
async fn a_dead_peer_is_told_at_once_and_its_reborn_process_is_welcome() {
    let mut stage = stage().await;
    stage.heard_once().await;
    stage.monitor.send(LifeTold(LifeNews::Connected { boot: PEER })).await.unwrap();
    stage.monitor.send(LifeTold(LifeNews::Dead)).await.unwrap();
    until("the loss is told", || stage.events().last() == Some(&Event::PeerLost(Loss::Dead))).await;
}

#[actix::test]
async fn a_broken_life_line_alone_loses_nobody() {
    let mut stage = stage().await;
    stage.heard_once().await;
    stage.monitor.send(LifeTold(LifeNews::Connected { boot: PEER })).await.unwrap();
    stage.monitor.send(LifeTold(LifeNews::Broken)).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!stage.events().iter().any(|event| matches!(event, Event::PeerLost(_))));
}

#[actix::test]
async fn leases_granted_run_out_a_lease_after_the_granting_stopped() {
    let mut stage = stage().await;
    stage.heard_once().await;
    stage.monitor.send(GrantLeases(false)).await.unwrap();
    tokio::time::pause();
    pass(300).await;
    assert!(stage.events().contains(&Event::LeasesOut));
}
