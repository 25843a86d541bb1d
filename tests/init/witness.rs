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

/// One process, two pairs that know nothing of each other, and what it tells collectors.
#[test]
fn one_process_serves_two_pairs_and_tells_collectors_of_each() {
    let pairs = [pair(), pair()];
    let [keys, others] = pairs.each_ref().map(|pair| pair.path().join("pair/witness/keys").to_str().unwrap().to_owned());
    let data = pairs[0].path().join("pair/witness/data");
    let mut command = Command::new(env!("CARGO_BIN_EXE_duplex"));
    command.args(["witness", "--json", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    command.args(["--keys", &keys, "--keys", &others]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut witness = Running(command.spawn().unwrap());
    let mut log = BufReader::new(witness.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut address_after = |words: &str| {
        let line: serde_json::Value = serde_json::from_str(&log.find(|line| line.contains(words)).unwrap()).unwrap();
        line["address"].as_str().unwrap().to_owned()
    };
    let (http, address) = (address_after("listens for HTTP"), address_after("listening"));
    let ids = [&keys, &others].map(|keys| {
        let status = stdout(&duplex(&["witness", "status", "--json", "--address", &address, "--keys", keys]));
        serde_json::from_str::<serde_json::Value>(&status).unwrap()["pair"].as_str().unwrap().to_owned()
    });
    assert_ne!(ids[0], ids[1]);

    let mut metrics = ureq::get(format!("http://{http}/metrics")).call().unwrap();
    assert!(metrics.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let metrics = metrics.body_mut().read_to_string().unwrap();
    for id in &ids {
        for line in [
            format!("duplex_witness_answered_total{{pair=\"{id}\"}} 1\n"),
            format!("duplex_witness_landed_total{{pair=\"{id}\"}} 0\n"),
            format!("duplex_witness_refused_total{{pair=\"{id}\",reason=\"went_back\"}} 0\n"),
            format!("duplex_witness_epoch{{pair=\"{id}\"}} 0\n"),
            format!("duplex_witness_grants{{pair=\"{id}\"}} 0\n"),
        ] {
            assert!(metrics.contains(&line), "{line} is not in {metrics}");
        }
    }
    assert!(metrics.ends_with("# EOF\n") && !metrics.contains("duplex_witness_written_seconds{"), "{metrics}");
    let status: serde_json::Value =
        ureq::get(format!("http://{http}/api/v1/status")).call().unwrap().body_mut().read_json().unwrap();
    for (told, id) in status["pairs"].as_array().unwrap().iter().zip(&ids) {
        assert_eq!(
            (told["pair"].as_str(), &told["answered"], &told["refused"]["awaits"]),
            (Some(id.as_str()), &1.into(), &0.into())
        );
        assert!(told["refuses"].is_string() && told["written"].is_null() && told["since"].is_null(), "{told}");
    }
    let nothing = ureq::get(format!("http://{http}/nothing")).call().unwrap_err().to_string();
    assert!(nothing.contains("404"), "{nothing}");

    let twice =
        duplex(&["witness", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), "--keys", &keys, "--keys", &keys]);
    let said = stderr(&twice);
    assert!(twice.status.code() == Some(2) && said.contains(&format!("the keys of pair {} are given twice", ids[0])), "{said}");
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
