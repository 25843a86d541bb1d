//! The witness as a process, with the keys that `init` made.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{duplex, stderr, stdout};

/// A pair's directory.
fn pair() -> TempDir {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("pair");
    let mut arguments = vec!["init", "--out", out.to_str().unwrap(), "--server", "a=127.0.0.1", "--server", "b=127.0.0.2"];
    arguments.extend(["--witness", "127.0.0.3:7410", "--terminals", "1"]);
    assert!(duplex(&arguments).status.success());
    directory
}

/// A test that fails leaves no process behind.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_serves_what_init_made_answers_for_its_status_and_ends_cleanly_when_told() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        serves_until(signal);
    }
}

fn serves_until(signal: Signal) {
    let directory = pair();
    let own = |name: &str| directory.path().join("pair/witness").join(name).to_str().unwrap().to_owned();
    let witness = Command::new(env!("CARGO_BIN_EXE_duplex"))
        .args(["witness", "--json", "--listen", "127.0.0.1:0", "--data", &own("data"), "--keys", &own("keys")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut witness = Running(witness);
    let mut log = BufReader::new(witness.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let listening = log.find(|line| line.contains("listening")).unwrap();
    let listening: serde_json::Value = serde_json::from_str(&listening).unwrap();
    assert!(listening["who"].as_str().unwrap().starts_with("server-a is the first name in `server.pair`"), "{listening}");
    let address = listening["address"].as_str().unwrap();
    let status = stdout(&duplex(&["witness", "status", "--json", "--address", address, "--keys", &own("keys")]));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert!(status["register"].is_null() && status["refuses"].is_string(), "{status}");

    kill(Pid::from_raw(i32::try_from(witness.0.id()).unwrap()), signal).unwrap();
    assert!(log.any(|line| line.contains("told to end") && line.contains(signal.as_str())));
    assert!(witness.0.wait().unwrap().success());
}

#[test]
fn a_missing_disk_or_key_is_named_by_one_line() {
    let directory = pair();
    let keys = directory.path().join("pair/witness/keys");
    let keys = keys.to_str().unwrap();
    let no_data = duplex(&["witness", "--listen", "127.0.0.1:0", "--data", "/nowhere", "--keys", keys]);
    assert!(
        no_data.status.code() == Some(2) && stderr(&no_data).contains("--data: /nowhere is no directory"),
        "{}",
        stderr(&no_data)
    );
    let no_keys = duplex(&["witness", "--listen", "127.0.0.1:0", "--data", keys, "--keys", "/nowhere"]);
    assert!(no_keys.status.code() == Some(2) && stderr(&no_keys).contains("--keys: /nowhere/ca.pem"), "{}", stderr(&no_keys));
    let foreign = directory.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    for (own, copy) in [("ca.pem", "ca.pem"), ("server.pem", "witness.pem"), ("server.key", "witness.key")] {
        fs::copy(directory.path().join("pair/a/keys").join(own), foreign.join(copy)).unwrap();
    }
    let foreign = duplex(&["witness", "--listen", "127.0.0.1:0", "--data", keys, "--keys", foreign.to_str().unwrap()]);
    let said = stderr(&foreign);
    assert!(foreign.status.code() == Some(2) && said.contains("is for server-a, not for a witness"), "{said}");
}

#[test]
fn the_help_says_who_server_a_is() {
    for arguments in [&["witness", "--help"][..], &["witness", "status", "--help"]] {
        let help = stdout(&duplex(arguments));
        assert!(help.contains("server-a is the first name in `server.pair`"), "{help}");
    }
}
