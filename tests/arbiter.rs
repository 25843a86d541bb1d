//! The witness over real TLS: two servers that ask it at once, a kill at any moment, a restored disk, a stranger.

#![allow(clippy::unwrap_used, reason = "a test that fails may stop there")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use duplex::arbiter::{Arbiter, ArbiterError, Asker, CasOutcome, Witness, WitnessClient};
use duplex::model::{DataId, Digest, Epoch, Holder, Position, Register, Sequence, ServerId};
use duplex::wire::first_register::sign_register;
use duplex::wire::identity::Identity;
use duplex::wire::pki::{CertificateRole, PairAuthority};
use slog::{Discard, Logger, o};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

#[cfg(feature = "etcd")]
#[path = "support/etcd.rs"]
mod cluster;
#[cfg(feature = "etcd")]
#[path = "arbiter/etcd.rs"]
mod etcd;
#[path = "arbiter/kills.rs"]
mod kills;
#[path = "arbiter/many.rs"]
mod many;
#[path = "arbiter/strangers.rs"]
mod strangers;

const A: ServerId = ServerId::A;
const B: ServerId = ServerId::B;
const IDS: [DataId; 2] = [DataId([0xA; 16]), DataId([0xB; 16])];
/// Far above what a busy test machine needs; what is measured is never time.
const LIMIT: Duration = Duration::from_secs(20);

/// A pair's authority, and the directory of a witness of it.
struct Site {
    authority: PairAuthority,
    directory: TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self { authority: PairAuthority::create().unwrap(), directory: tempfile::tempdir().unwrap() };
        let issued = site.authority.issue(CertificateRole::Witness, &[]).unwrap();
        std::fs::write(site.path().join("ca.pem"), site.authority.certificate_pem()).unwrap();
        std::fs::write(site.path().join("witness.pem"), issued.certificate_pem).unwrap();
        std::fs::write(site.path().join("witness-key.pem"), issued.key_pem).unwrap();
        site
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn client(&self, role: CertificateRole, address: SocketAddr) -> WitnessClient {
        let issued = self.authority.issue(role, &[]).unwrap();
        let identity = Identity::from_pem(self.authority.certificate_pem(), &issued).unwrap();
        WitnessClient::new(address, &identity).unwrap()
    }

    fn servers(&self, address: SocketAddr) -> [WitnessClient; 2] {
        [A, B].map(|server| self.client(CertificateRole::Server(server), address))
    }

    fn first(&self, register: &Register) -> String {
        sign_register(&self.authority, register).unwrap()
    }

    /// The file of the only pair.
    fn kept_file(&self) -> PathBuf {
        let mut files = std::fs::read_dir(self.path().join("pairs")).unwrap().map(|entry| entry.unwrap().path());
        files.find(|file| file.extension().is_some_and(|extension| extension == "json")).unwrap()
    }
}

fn witness_in(directory: &Path) -> Witness {
    Witness::open(directory, &[identity_in(directory)], Logger::root(Discard, o!())).unwrap()
}

fn identity_in(directory: &Path) -> Identity {
    let [ca, certificate, key] = ["ca.pem", "witness.pem", "witness-key.pem"].map(|file| directory.join(file));
    Identity::load(&ca, &certificate, &key).unwrap()
}

/// A witness in this process. Ends when it is dropped.
struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(site: &Site) -> Self {
        Self::of(witness_in(site.path())).await
    }

    async fn of(witness: Witness) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, task: tokio::spawn(async move { witness.serve(listener).await }) }
    }

    async fn stop(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// A witness that both servers have introduced themselves to.
async fn vouched(site: &Site) -> (Running, [WitnessClient; 2]) {
    let running = Running::start(site).await;
    let servers = site.servers(running.address);
    introduce(site, &servers).await;
    (running, servers)
}

async fn introduce(site: &Site, servers: &[WitnessClient; 2]) {
    let first = site.first(&pair(1));
    let refused = servers[0].introduce(asker(A, 1), &first, LIMIT).await.unwrap_err();
    assert!(refused.to_string().contains("until server-b has reported"), "{refused}");
    assert_eq!(servers[1].introduce(asker(B, 1), &first, LIMIT).await, Ok(CasOutcome::Differs(pair(1))));
}

fn asker(server: ServerId, held: u64) -> Asker {
    Asker { server, data_id: IDS[server.index()], held: Epoch(held) }
}

fn pair(epoch: u64) -> Register {
    Register { epoch: Epoch(epoch), holder: Holder::Pair { main: A }, data_ids: IDS, recorded: Position::GENESIS }
}

fn solo(epoch: u64, server: ServerId) -> Register {
    Register { holder: Holder::Solo { server }, ..pair(epoch) }
}

async fn compare_and_set(
    arbiter: &dyn Arbiter,
    server: ServerId,
    expected: Register,
    new: Register,
) -> Result<CasOutcome, ArbiterError> {
    arbiter.compare_and_set(asker(server, 1), &expected, &new, LIMIT).await
}

/// Both ask to serve alone, so many times, each time from a pair that the winner has made again.
async fn one_of_two_wins(a: &dyn Arbiter, b: &dyn Arbiter, times: u64) {
    let mut register = pair(1);
    for epoch in (2..2 * (times + 1)).step_by(2) {
        let by_a = compare_and_set(a, A, register, solo(epoch, A));
        let by_b = compare_and_set(b, B, register, solo(epoch, B));
        let (winner, landed) = match tokio::join!(by_a, by_b) {
            (Ok(CasOutcome::Landed(landed)), Ok(CasOutcome::Differs(seen))) if seen == landed => (A, landed),
            (Ok(CasOutcome::Differs(seen)), Ok(CasOutcome::Landed(landed))) if seen == landed => (B, landed),
            other => panic!("not exactly one winner: {other:?}"),
        };
        assert_eq!(landed, solo(epoch, winner));
        register = Register { holder: Holder::Pair { main: winner }, ..pair(epoch + 1) };
        let won = if winner == A { a } else { b };
        assert_eq!(compare_and_set(won, winner, landed, register).await, Ok(CasOutcome::Landed(register)));
    }
}

#[tokio::test]
async fn of_two_servers_that_ask_at_once_exactly_one_wins() {
    let site = Site::new();
    let (_running, [a, b]) = vouched(&site).await;
    one_of_two_wins(&a, &b, 19).await;
}

#[tokio::test]
async fn a_late_duplicate_of_an_ask_that_landed_changes_nothing() {
    let site = Site::new();
    let (_running, [a, b]) = vouched(&site).await;
    assert_eq!(compare_and_set(&b, B, pair(1), solo(2, B)).await, Ok(CasOutcome::Landed(solo(2, B))));
    assert_eq!(compare_and_set(&b, B, pair(1), solo(2, B)).await, Ok(CasOutcome::Differs(solo(2, B))));
    assert_eq!(compare_and_set(&b, B, solo(2, B), solo(3, B)).await, Ok(CasOutcome::Landed(solo(3, B))));
    assert_eq!(compare_and_set(&b, B, pair(1), solo(2, B)).await, Ok(CasOutcome::Differs(solo(3, B))));
    assert_eq!(a.read(asker(A, 1), LIMIT).await, Ok(Some(solo(3, B))));
}

#[tokio::test]
async fn a_witness_that_was_restarted_is_found_again_and_still_knows_what_landed() {
    let site = Site::new();
    let (running, [a, b]) = vouched(&site).await;
    assert_eq!(compare_and_set(&b, B, pair(1), solo(2, B)).await, Ok(CasOutcome::Landed(solo(2, B))));
    let address = running.address;
    running.stop().await;
    let down = a.read(asker(A, 1), LIMIT).await;
    assert!(matches!(&down, Err(ArbiterError::Unreachable(why)) if why.contains(&address.to_string())), "{down:?}");

    let (witness, listener) = (witness_in(site.path()), TcpListener::bind(address).await.unwrap());
    let _again = Running { address, task: tokio::spawn(async move { witness.serve(listener).await }) };
    assert_eq!(b.read(asker(B, 2), LIMIT).await, Ok(Some(solo(2, B))), "on a connection that had been kept");
    assert_eq!(a.read(asker(A, 1), LIMIT).await, Ok(Some(solo(2, B))));
}

#[tokio::test]
async fn a_register_brought_back_from_a_backup_grants_nothing_and_says_why() {
    let site = Site::new();
    let (running, [_a, b]) = vouched(&site).await;
    let backup = std::fs::read(site.kept_file()).unwrap();
    assert_eq!(compare_and_set(&b, B, pair(1), solo(2, B)).await, Ok(CasOutcome::Landed(solo(2, B))));
    running.stop().await;
    std::fs::write(site.kept_file(), backup).unwrap();

    let restored = Running::start(&site).await;
    let [a, b] = site.servers(restored.address);
    let awaits = a.read(asker(A, 1), LIMIT).await.unwrap_err().to_string();
    assert!(awaits.contains("until server-b has reported"), "{awaits}");
    let regressed = b.read(asker(B, 2), LIMIT).await.unwrap_err().to_string();
    assert!(regressed.contains("knows epoch 1") && regressed.contains("server-b held epoch 2"), "{regressed}");
    assert!(
        matches!(compare_and_set(&a, A, pair(1), solo(2, A)).await, Err(ArbiterError::Refused(why)) if why.contains("epoch 2"))
    );
    let status = site.client(CertificateRole::Witness, restored.address).status(LIMIT).await.unwrap();
    assert_eq!(status.refuses, Some(regressed.replace("the arbiter refuses: ", "")));
}

#[tokio::test]
async fn a_restored_register_that_is_still_the_newest_grants_again_once_both_have_reported() {
    let site = Site::new();
    let (running, _) = vouched(&site).await;
    running.stop().await;
    let backup = std::fs::read(site.kept_file()).unwrap();
    std::fs::write(site.kept_file().with_extension("copy"), backup).unwrap();
    std::fs::rename(site.kept_file().with_extension("copy"), site.kept_file()).unwrap();

    let restored = Running::start(&site).await;
    let [a, b] = site.servers(restored.address);
    assert!(matches!(compare_and_set(&b, B, pair(1), solo(2, B)).await, Err(ArbiterError::Refused(_))));
    assert_eq!(a.read(asker(A, 1), LIMIT).await, Ok(Some(pair(1))));
    assert_eq!(compare_and_set(&b, B, pair(1), solo(2, B)).await, Ok(CasOutcome::Landed(solo(2, B))));
}

#[tokio::test]
async fn a_first_register_that_this_pairs_authority_did_not_sign_is_refused() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let [a, _] = site.servers(running.address);
    let forged = Site::new().first(&pair(1));
    let refused = a.introduce(asker(A, 1), &forged, LIMIT).await;
    assert!(matches!(&refused, Err(ArbiterError::Refused(why)) if why.contains("signature")), "{refused:?}");
    assert_eq!(a.read(asker(A, 1), LIMIT).await, Ok(None));
}

#[tokio::test]
async fn a_strangers_certificate_is_refused_and_the_pair_is_served_on() {
    let site = Site::new();
    let (running, [a, _]) = vouched(&site).await;
    let (theirs, terminal) = (CertificateRole::Server(A), CertificateRole::Terminal);
    for stranger in [Site::new().client(theirs, running.address), site.client(terminal, running.address)] {
        assert!(matches!(stranger.read(asker(A, 1), LIMIT).await, Err(ArbiterError::Unreachable(_))));
    }
    assert_eq!(a.read(asker(A, 1), LIMIT).await, Ok(Some(pair(1))));
}

#[tokio::test]
async fn a_witness_of_another_pair_is_not_believed() {
    let (ours, theirs) = (Site::new(), Site::new());
    let running = Running::start(&theirs).await;
    let [a, _] = ours.servers(running.address);
    let answer = a.read(asker(A, 1), LIMIT).await;
    assert!(matches!(&answer, Err(ArbiterError::Unreachable(why)) if why.contains("authority")), "{answer:?}");
}

#[tokio::test]
async fn nobody_asks_in_the_name_of_another() {
    let site = Site::new();
    let (running, [a, _]) = vouched(&site).await;
    let witness = site.client(CertificateRole::Witness, running.address);
    for client in [&a, &witness] {
        let refused = compare_and_set(client, B, pair(1), solo(2, B)).await;
        assert!(matches!(&refused, Err(ArbiterError::Refused(why)) if why.contains("is of server-b")), "{refused:?}");
    }
}

#[tokio::test]
async fn connections_left_behind_never_keep_a_server_out() {
    let site = Site::new();
    let (running, [a, b]) = vouched(&site).await;
    let mut left_behind = Vec::new();
    for _ in 0..20 {
        let client = site.client(CertificateRole::Server(A), running.address);
        assert_eq!(client.read(asker(A, 1), LIMIT).await, Ok(Some(pair(1))));
        left_behind.push(client);
    }
    assert_eq!(a.read(asker(A, 1), LIMIT).await, Ok(Some(pair(1))), "displaced, and connected anew");
    assert_eq!(b.read(asker(B, 1), LIMIT).await, Ok(Some(pair(1))));
}

#[tokio::test]
async fn a_witness_that_never_answers_is_unreachable_within_the_callers_limit() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [a, _] = site.servers(listener.local_addr().unwrap());
    let answer = a.read(asker(A, 1), Duration::from_millis(50)).await;
    assert!(matches!(&answer, Err(ArbiterError::Unreachable(why)) if why.contains("50 ms")), "{answer:?}");
}

#[tokio::test]
async fn the_status_tells_the_register_and_why_nothing_is_granted() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let witness = site.client(CertificateRole::Witness, running.address);
    let empty = witness.status(LIMIT).await.unwrap();
    assert_eq!((empty.register, empty.refuses.is_some()), (None, true));
    let [a, b] = site.servers(running.address);
    introduce(&site, &[a, b]).await;
    let status = witness.status(LIMIT).await.unwrap();
    assert_eq!((status.register, status.refuses, status.reported), (Some(pair(1)), None, [Some(Epoch(1)); 2]));
    assert!(site.kept_file().to_str().unwrap().contains(&status.pair));
}

/// The next epoch, with more recorded.
fn raised(register: &Register) -> Register {
    let sequence = Sequence(register.recorded.sequence.0 + 1);
    let epoch = register.epoch.next();
    Register { epoch, recorded: Position { epoch, sequence, digest: Digest([7; 32]) }, ..*register }
}
