//! The life line. The peer that is killed is a real process: this test binary again.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use duplex::model::{BootNonce, ServerId};
use duplex::wire::frames::LinkKind;
use duplex::wire::life::{self, LifeNews};
use duplex::wire::link::{Link, LinkLimits, Route};
use duplex::wire::listener::PeerListener;
use duplex::wire::pki::PairAuthority;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::{A, B, connector, identity, introduction, listener, loaded, written};

/// Set in a child process only: what server B there is to be.
const CHILD: &str = "DUPLEX_TEST_PEER";

/// Server B in a process of its own: this test binary again, in the test that starts it.
struct PeerProcess {
    child: Child,
    address: SocketAddr,
}

impl PeerProcess {
    fn start(dir: &Path, address: &str, boot: u64, test: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, format!("{}|{address}|{boot}", dir.display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        Self { child, address: address.unwrap().parse().unwrap() }
    }

    /// What the child does until it is killed.
    fn run(settings: &str) {
        let [dir, address, boot] = settings.split('|').collect::<Vec<_>>().try_into().unwrap();
        let introduction = introduction(ServerId::B, boot.parse().unwrap());
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let (address, identity) = (address.parse().unwrap(), loaded(Path::new(dir)));
            let mut listener = PeerListener::listen(address, &identity, introduction, LinkLimits::default()).unwrap();
            println!("\nlistening on {}", listener.local_addr().unwrap());
            loop {
                life::keep(listener.accept().await.unwrap().link);
            }
        });
    }

    /// SIGKILL; the moment of it.
    fn kill(&mut self) -> Instant {
        let killed = Instant::now();
        self.child.kill().unwrap();
        killed
    }
}

impl Drop for PeerProcess {
    fn drop(&mut self) {
        // Already killed in a test that passes; then this only takes it out of the process table.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A's life line to `to`, and what it reports.
fn life_line(authority: &PairAuthority, to: SocketAddr) -> UnboundedReceiver<LifeNews> {
    let (report, news) = unbounded_channel();
    let connector = connector(&identity(authority, A));
    tokio::spawn(life::hold(connector, Route { from: None, to }, move |event| report.send(event).unwrap_or_default()));
    news
}

async fn next(news: &mut UnboundedReceiver<LifeNews>) -> LifeNews {
    timeout(Duration::from_secs(10), news.recv()).await.expect("no news in 10 s").unwrap()
}

#[tokio::test]
async fn a_killed_peer_is_dead_within_100_ms_and_met_again_as_another_run() {
    let test = "life::a_killed_peer_is_dead_within_100_ms_and_met_again_as_another_run";
    if let Ok(settings) = std::env::var(CHILD) {
        return std::thread::spawn(move || PeerProcess::run(&settings)).join().unwrap();
    }
    let authority = PairAuthority::create().unwrap();
    let dir = written(&authority, B);
    // An address of its own, so that no other test can take the port between the two runs.
    let [low, high, ..] = std::process::id().to_le_bytes();
    let mut first = PeerProcess::start(dir.path(), &format!("127.{}.{low}.1:0", 128 | (high & 63)), 21, test);
    let mut news = life_line(&authority, first.address);
    assert_eq!(next(&mut news).await, LifeNews::Connected { boot: BootNonce(21) });
    let killed = first.kill();
    assert_eq!(next(&mut news).await, LifeNews::Dead);
    let took = killed.elapsed();
    println!("dead after {took:?}");
    assert!(took < Duration::from_millis(100), "{took:?}");

    let mut second = PeerProcess::start(dir.path(), &first.address.to_string(), 22, test);
    assert_eq!(next(&mut news).await, LifeNews::Connected { boot: BootNonce(22) });
    second.kill();
    assert_eq!(next(&mut news).await, LifeNews::Dead);
}

async fn accepted_life(listener: &mut PeerListener) -> Link {
    let accepted = listener.accept().await.unwrap();
    assert_eq!(accepted.kind, LinkKind::Life);
    accepted.link
}

#[tokio::test]
async fn a_life_line_that_closes_is_broken_and_not_dead_while_the_listener_still_accepts() {
    let authority = PairAuthority::create().unwrap();
    let (mut listener, route) = listener(&identity(&authority, B), LinkLimits::default());
    let mut news = life_line(&authority, route.to);
    let connected = LifeNews::Connected { boot: BootNonce(2) };
    drop(accepted_life(&mut listener).await);
    let _held = accepted_life(&mut listener).await;
    assert_eq!([next(&mut news).await, next(&mut news).await, next(&mut news).await], [connected, LifeNews::Broken, connected]);
}

#[tokio::test]
async fn a_life_line_whose_peer_takes_connections_but_answers_none_is_broken() {
    let authority = PairAuthority::create().unwrap();
    let (mut listener, route) = listener(&identity(&authority, B), LinkLimits::default());
    let mut news = life_line(&authority, route.to);
    drop(accepted_life(&mut listener).await);
    assert!(matches!(next(&mut news).await, LifeNews::Connected { .. }));
    // Nobody calls `accept` any more; the kernel takes connections all the same.
    assert_eq!(next(&mut news).await, LifeNews::Broken);
}
