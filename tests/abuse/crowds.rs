//! Many connections at once. The clients of a storm are processes of their own.

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::pair::{CommandIds, First, Line, PATIENCE, PROGRAM, Pair, Second, eventually};

/// Terminals of the largest site.
const SITE: usize = 3_500;
const STORM: usize = 10_000;

/// Every connection is a file descriptor, here and in the processes that are started from here.
fn raise_file_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(hard >= 2 * STORM as u64, "the hard limit of open files is {hard}: raise it for this test");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

fn deposit(pair: &Pair) -> Value {
    pair.request("seat-2", &CommandIds::draw(), "deposit", json!({"card_id": "C00000005", "rate_id": 1, "units": 1}))
}

#[track_caller]
fn answered_in(line: &mut Line, request: &Value) -> Duration {
    let asked = Instant::now();
    let answer = line.ask(request).unwrap();
    assert_eq!(answer["status"], "ok", "{answer}");
    asked.elapsed()
}

#[test]
fn a_site_of_idle_connections_takes_bounded_memory_and_an_active_terminal_is_served() {
    raise_file_limit();
    let mut pair = Pair::at_work();
    let mut active = pair.line(First);
    let before = pair.resident_kib(First);
    let idle: Vec<TcpStream> = (0..SITE).map(|_| TcpStream::connect(pair.address(First)).unwrap()).collect();
    let slowest = (0..100).map(|_| answered_in(&mut active, &deposit(&pair))).max().unwrap();
    let grown = pair.resident_kib(First).saturating_sub(before);
    println!("{SITE} idle connections: memory {before} KiB + {grown} KiB; slowest of 100 answers {slowest:?}");
    assert!(grown < 60 << 10, "{grown} KiB");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    drop(idle);
    let now = pair.line(First).ask(&deposit(&pair)).unwrap();
    assert_eq!(now["status"], "ok", "{now}");
}

#[test]
fn ten_thousand_terminals_that_come_at_once_are_all_welcomed() {
    raise_file_limit();
    let mut pair = Pair::at_work();
    let before = pair.resident_kib(First);
    let storm: Vec<_> = (0..4).map(|_| storm_of(&pair, STORM / 4)).collect();
    let (mut active, mut slowest) = (pair.line(First), Duration::ZERO);
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let storm: Vec<_> = storm.into_iter().map(|client| scope.spawn(|| client.wait_with_output().unwrap())).collect();
        while !storm.iter().all(|client| client.is_finished()) {
            slowest = slowest.max(answered_in(&mut active, &deposit(&pair)));
        }
        storm.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let grown = pair.resident_kib(First).saturating_sub(before);
    println!("{STORM} connections: memory {before} KiB + {grown} KiB; slowest answer meanwhile {slowest:?}");
    for output in outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(slowest < PATIENCE, "{slowest:?}");
    assert!(pair.runs(First) && pair.runs(Second));
    assert_eq!(pair.wait_for_pair(PATIENCE), First, "nobody took over");
}

/// A process that connects so many times at once, and holds every connection until it has been answered on it.
fn storm_of(pair: &Pair, connections: usize) -> std::process::Child {
    let request = pair.request("seat-9", &CommandIds::draw(), "hello", json!({}));
    // A shell of descriptors: bash opens, asks and reads without any program of ours.
    let (ip, port) = (pair.address(First).ip(), pair.address(First).port());
    let script = format!(
        r#"for ((n = 0; n < {connections}; n++)); do exec {{fd}}<>/dev/tcp/{ip}/{port} || exit 1; fds+=($fd); done
           for fd in "${{fds[@]}}"; do printf '%s\n' "$REQUEST" >&$fd || exit 2; done
           for fd in "${{fds[@]}}"; do IFS= read -r -t 60 answer <&$fd || exit 3; [[ $answer == *'"status":"ok"'* ]] || exit 4; done"#
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script]).env("REQUEST", request.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn connections_that_never_finish_their_tls_handshake_keep_no_terminal_out() {
    raise_file_limit();
    let pair = Pair::init_tls().put_to_work();
    let silent: Vec<TcpStream> = (0..1_000).map(|_| TcpStream::connect(pair.address(First)).unwrap()).collect();
    let asked = Instant::now();
    let state = pair.file("seat-1.json").display().to_string();
    let mut hello = Command::new(PROGRAM);
    hello
        .args(["terminal", "--terminal", "seat-1", "--key", pair.key("seat-1"), "--state", &state])
        .args(pair.reach())
        .arg("hello");
    let output = hello.stdin(Stdio::null()).output().unwrap();
    println!("a terminal beside {} half-open handshakes was answered in {:?}", silent.len(), asked.elapsed());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    // And they do not stay.
    let closed = |stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        matches!(std::io::Read::read(&mut &*stream, &mut [0; 1]), Ok(0))
    };
    assert!(eventually(PATIENCE, || silent.iter().all(closed)), "still open");
}

#[test]
fn descriptors_of_connections_that_have_ended_are_given_back() {
    raise_file_limit();
    let mut pair = Pair::at_work();
    let open = |pair: &mut Pair| fs::read_dir(format!("/proc/{}/fd", pair.server(First).pid())).unwrap().count();
    let before = open(&mut pair);
    for _ in 0..5 {
        let crowd: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(pair.address(First)).unwrap()).collect();
        drop(crowd);
    }
    assert!(eventually(PATIENCE, || open(&mut pair) <= before + 8), "{} descriptors, {before} before", open(&mut pair));
}
