//! A Sub whose journal lacks what its Main's disk holds, played by the test: heartbeats, life line and stream, but it stores nothing.

use std::time::Duration;

use duplex::journal::{CoordinationFile, Directory};
use duplex::layout::Layout;
use duplex::model::{BeatNo, BootNonce, Complaints, Coordination, Heartbeat, Mode, Position, Role, Sequence, ServerId, Standing};
use duplex::wire::frames::{LinkKind, ToHolder, ToPeer};
use duplex::wire::hearing::Hearing;
use duplex::wire::heartbeat::{DATAGRAM_MAX, HeartbeatKey, decode, encode};
use duplex::wire::life;
use duplex::wire::link::{Introduction, Link, LinkLimits};
use duplex::wire::listener::PeerListener;
use duplex::wire::paths::{Path, Paths};
use serde_json::json;

use crate::pair::{CommandIds, First, PATIENCE, Pair, Second, eventually};

const BOOT: BootNonce = BootNonce(77);

/// What the second server's disk says.
fn disk(pair: &Pair) -> Coordination {
    let directory = Directory::open(Layout::of(&pair.config(Second)).coordination()).unwrap();
    *CoordinationFile::open(directory).unwrap().current()
}

/// Says 40 times a second that it is up, and in the Pair.
async fn beat(pair: &Pair, disk: Coordination) {
    let config = pair.config(Second);
    let key = HeartbeatKey::from_secret(&Layout::of(&config).pair_secret().unwrap());
    let path = &config.peer.heartbeats[0];
    let mut paths = Paths::open(vec![Path { name: "lan".into(), local: path.local, peer: path.peer }]).unwrap();
    let (epoch, holder) = disk.held;
    let standing =
        Standing { epoch, holder, data_id: disk.data_id, mode: Mode::Starting, role: Role::None, can_acknowledge: true };
    let (mut hearing, mut buffer) = (Hearing::new(BOOT), [0; DATAGRAM_MAX + 1]);
    for number in 1.. {
        let number = BeatNo(number);
        let (echo, grants_lease, stored) = (hearing.echo(), true, Sequence(0));
        let beat = Heartbeat {
            from: ServerId::B,
            boot: BOOT,
            number,
            echo,
            grants_lease,
            standing,
            stored,
            complaints: Complaints::default(),
            service_mac: None,
        };
        paths.send_to_all(&encode(&beat, &key));
        let due = tokio::time::Instant::now() + Duration::from_millis(25);
        while let Ok(datagram) = tokio::time::timeout_at(due, paths.receive(&mut buffer)).await {
            if let Ok(heard) = decode(datagram.bytes, &key, ServerId::B) {
                hearing.hear(&heard, number);
            }
        }
    }
}

/// Takes the stream from the very beginning, tells the arrival of every frame, and stores nothing.
async fn take(link: Link) {
    let (mut to_holder, mut from_holder) = link.split::<ToHolder, ToPeer>();
    while let Ok(frame) = from_holder.next().await {
        let answer = match frame {
            ToPeer::Open { stream, .. } => ToHolder::Opened { stream, end: Position::GENESIS },
            ToPeer::Begin { stream, after } => {
                assert_eq!(after, Position::GENESIS, "everything that it lacks is to come");
                ToHolder::Begun { stream, tail_saved: 0 }
            }
            ToPeer::Entries { stream, frame, .. } => {
                ToHolder::Stored { stream, frame, stored: Position::GENESIS, applied: Sequence(0) }
            }
            ToPeer::Fetch { .. } | ToPeer::Intend { .. } | ToPeer::Enter { .. } => continue,
        };
        if to_holder.send(&[answer]).await.is_err() {
            return;
        }
    }
}

async fn play_sub(pair: &Pair) {
    let (config, disk) = (pair.config(Second), disk(pair));
    let identity = Layout::of(&config).server_identity().unwrap();
    let introduction = Introduction { server: ServerId::B, boot: BOOT, data_id: disk.data_id };
    let mut listener = PeerListener::listen(config.peer.listen, &identity, introduction, LinkLimits::default()).unwrap();
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok(accepted) if accepted.kind == LinkKind::Life => life::keep(accepted.link),
                Ok(accepted) => drop(tokio::spawn(take(accepted.link))),
                // Main is not up yet, or tries again.
                Err(_) => {}
            }
        }
    };
    tokio::join!(accepting, beat(pair, disk));
}

/// Runs the played Sub beside `test` for as long as that lasts.
fn beside_a_sub_that_stores_nothing(pair: &Pair, test: impl FnOnce()) {
    let (over, stop) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = play_sub(pair) => unreachable!("it plays for ever"),
                    // Dropped by a test that failed, sent by one that passed.
                    _ = stop => {}
                }
            });
        });
        let _over = over;
        test();
    });
}

/// P8: an entry that the other server lacks is not "stored on both" because two journals were compared.
#[test]
fn what_sub_lacks_after_a_restart_of_both_is_never_said_to_be_on_both() {
    let mut pair = Pair::at_work();
    let deposit = json!({"card_id": "C00000001", "rate_id": 1, "units": 1});
    let request = pair.request("seat-1", &CommandIds::draw(), "deposit", deposit);
    let answer = pair.line(First).ask(&request).unwrap();
    assert_eq!((answer["status"].as_str(), answer["stored_on"].as_str()), (Some("ok"), Some("both")), "{answer}");
    pair.kill_both();
    pair.start_server(First, None);
    let pair = &pair;
    beside_a_sub_that_stores_nothing(pair, || {
        let met_again = || pair.log(First).matches("a pair, as main").count() == 2;
        assert!(eventually(PATIENCE, met_again), "Main never meets it:\n{}", pair.log(First));
        let mut said = None;
        let answered = eventually(PATIENCE, || {
            said = pair.line(First).ask(&request).ok().filter(|answer| answer["status"] == "ok");
            said.is_some()
        });
        assert!(answered, "Main never goes on:\n{}", pair.log(First));
        // Alone, once the arbiter has said so: the Sub does not store.
        let said = said.unwrap();
        assert_eq!((said["stored_on"].as_str(), said["repeated"].as_bool()), (Some("one"), Some(true)), "{said}");
    });
}
