//! `kill -9` at any moment, of a witness of one pair and of two.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, Stdio};

use duplex::arbiter::{Arbiter, CasOutcome, Witness};
use duplex::model::Register;
use duplex::wire::identity::Identity;
use duplex::wire::pki::CertificateRole;
use slog::{Discard, Logger, o};
use tokio::net::TcpListener;

use crate::many::{kept_file, shared};
use crate::{A, LIMIT, Running, Site, asker, compare_and_set, identity_in, introduce, pair, raised, solo, vouched};

/// Set in the process that is to be killed: the directories of its pairs. The first one holds every pair's file.
const CHILD: &str = "DUPLEX_TEST_WITNESS";

/// This test program once more, as nothing but a witness.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(sites: &[&Site]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "kills::a_witness_killed_at_any_moment_keeps_the_old_value_or_the_new_one", "--nocapture"]);
        let mut child = command
            .env(CHILD, std::env::join_paths(sites.iter().map(|site| site.path())).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().split_once("listens on ")?.1.parse().ok()).unwrap();
        Self { child, address }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn be_a_witness(directories: &OsStr) {
    let directories: Vec<PathBuf> = std::env::split_paths(directories).collect();
    let identities: Vec<Identity> = directories.iter().map(|directory| identity_in(directory)).collect();
    let witness = Witness::open(&directories[0], &identities, Logger::root(Discard, o!())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("listens on {}", listener.local_addr().unwrap());
    // Ends with its standard input as well, so that a failed test leaves no process behind.
    let parent_gone = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0; 1]));
    tokio::select! { () = witness.serve(listener) => {}, _ = parent_gone => {} }
}

#[tokio::test]
async fn a_witness_killed_at_any_moment_keeps_the_old_value_or_the_new_one() {
    if let Some(directories) = std::env::var_os(CHILD) {
        return be_a_witness(&directories).await;
    }
    let site = Site::new();
    let (running, [a, _]) = vouched(&site).await;
    assert_eq!(compare_and_set(&a, A, pair(1), solo(2, A)).await, Ok(CasOutcome::Landed(solo(2, A))));
    running.stop().await;
    let mut register = solo(2, A);
    for round in 0..18 {
        let process = Process::start(&[&site]);
        let a = site.client(CertificateRole::Server(A), process.address);
        let before = inode(&site.kept_file());
        let next = raised(&register);
        let mut ask = pin!(compare_and_set(&a, A, register, next));
        let moment = async {
            match round % 3 {
                0 => {}
                1 => until(|| site.kept_file().with_extension("new").exists()).await,
                _ => until(|| inode(&site.kept_file()) != before).await,
            }
        };
        // An answer may be faster than the watching of the files.
        let answered = tokio::select! { answer = &mut ask => Some(answer), () = moment => None };
        process.kill();
        let answer = if let Some(answer) = answered { answer } else { ask.await };
        register = after_the_kill(&site, answer.is_ok(), register, next).await;
    }
}

pub async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

fn inode(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().ino()
}

/// What a new witness reads: `new` if the ask was answered, one of both if not.
async fn after_the_kill(site: &Site, answered: bool, old: Register, new: Register) -> Register {
    let again = Running::start(site).await;
    let kept = read_after_the_kill(site, again.address, answered, old, new).await;
    again.stop().await;
    kept
}

async fn read_after_the_kill(site: &Site, address: SocketAddr, answered: bool, old: Register, new: Register) -> Register {
    let [a, _] = site.servers(address);
    let kept = a.read(asker(A, 1), LIMIT).await.expect("a kill is no restore: nobody has to report again").unwrap();
    assert!(kept == new || (kept == old && !answered), "{kept:?} after {old:?} and {new:?}, answered: {answered}");
    kept
}

#[tokio::test]
async fn a_witness_of_two_pairs_killed_at_any_moment_keeps_an_old_value_or_a_new_one_for_each() {
    let sites = [Site::new(), Site::new()];
    let [one, two] = &sites;
    let (running, _) = shared(&[one, two]).await;
    let mut registers = [pair(1); 2];
    for site in &sites {
        introduce(site, &site.servers(running.address)).await;
    }
    running.stop().await;
    for round in 0..12 {
        let process = Process::start(&[one, two]);
        let clients = sites.each_ref().map(|site| site.client(CertificateRole::Server(A), process.address));
        let watched = kept_file(one, &sites[round % 2]);
        let before = inode(&watched);
        let next = registers.map(|register| raised(&if round == 0 { solo(2, A) } else { register }));
        let mut answered = [false; 2];
        {
            let [first, second] = &mut answered;
            let ask_one = async { *first = compare_and_set(&clients[0], A, registers[0], next[0]).await.is_ok() };
            let ask_two = async { *second = compare_and_set(&clients[1], A, registers[1], next[1]).await.is_ok() };
            let moment = async {
                match round / 2 % 3 {
                    0 => until(|| watched.with_extension("new").exists()).await,
                    1 => until(|| inode(&watched) != before).await,
                    _ => {}
                }
            };
            let asks = async { tokio::join!(ask_one, ask_two) };
            tokio::select! { _ = asks => {}, () = moment => {} }
        }
        process.kill();
        let (again, _) = shared(&[one, two]).await;
        for at in 0..2 {
            registers[at] = read_after_the_kill(&sites[at], again.address, answered[at], registers[at], next[at]).await;
        }
        again.stop().await;
    }
}
