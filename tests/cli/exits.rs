//! Commands end with the code that `duplex --help` lists.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::{Act, Service, duplex, stderr, stdout, terminals_file};

/// A load of one terminal for a second.
fn load(address: SocketAddr, directory: &Path) -> Output {
    let (address, terminals) = (address.to_string(), terminals_file(directory));
    let history = directory.join("history.jsonl");
    let arguments = ["load", "--plain", "--address", &address, "--terminals-file", &terminals, "--terminals", "1"];
    let rest = ["--seconds", "1", "--rate", "20", "--patience", "0", "--history", history.to_str().unwrap()];
    duplex(&[&arguments[..], &rest[..]].concat())
}

#[test]
fn a_load_that_reaches_nobody_failed_and_one_that_was_only_refused_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = load(closed, directory.path());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("1 greeting(s) of terminals were never answered"), "{}", stderr(&output));

    std::fs::remove_file(directory.path().join("history.jsonl")).unwrap();
    let service = Service::start(vec![Act::Refuse("CARD_UNKNOWN"); 100]);
    let output = load(service.address, directory.path());
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("command(s) were refused"), "{}", stderr(&output));
}

#[test]
fn whoever_stops_reading_ends_a_command_without_a_word() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duplex"));
    let mut child =
        command.args(["import", "sample", "--rows", "100000"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(141), ""));
}

#[test]
fn a_demo_whose_report_cannot_be_written_does_not_begin() {
    let output = duplex(&["demo", "--report", "/nope/report.json"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("--report /nope/report.json"), "{}", stderr(&output));
}

#[test]
fn a_file_named_on_the_command_line_that_is_not_there_is_wrong_usage_everywhere() {
    for command in [&["serve"][..], &["status"], &["audit"], &["logs"], &["journal", "show"]] {
        let output = duplex(&[command, &["--config", "/nowhere/duplex.toml"]].concat());
        let said = stderr(&output);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{command:?}: {said}");
        assert!(said.contains("/nowhere/duplex.toml"), "{command:?}: {said}");
    }
    let reach = ["--plain", "--address", "127.0.0.1:1"];
    let orders = ["terminal", "--terminal", "S001", "--key", "k", "--state", "/nowhere/state.json", "--file", "/nowhere/it"];
    let rows = ["import", "members", "/nowhere/it", "--terminals-file", "/x", "--staff", "x", "--password-file", "/x"];
    for command in [&orders[..], &rows] {
        let output = duplex(&[command, &reach].concat());
        assert!(output.status.code() == Some(2) && stderr(&output).contains("/nowhere/it: "), "{}", stderr(&output));
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shift-jis").display().to_string();
    std::fs::write(&file, b"\x8e\x52\x93\x63").unwrap();
    for command in [&orders[..], &rows] {
        let command: Vec<_> = command.iter().map(|part| if *part == "/nowhere/it" { &file } else { *part }).collect();
        let output = duplex(&[&command[..], &reach].concat());
        assert!(output.status.code() == Some(2) && stderr(&output).contains("not UTF-8 at line 1"), "{}", stderr(&output));
    }
}

#[test]
fn a_status_that_is_watched_as_json_is_a_line_each_second() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_duplex"));
    command.args(["status", "--watch", "--json", "--address", &closed]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(2);
    for line in lines {
        let round: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert!(round[&closed]["error"].is_string(), "{round}");
    }
    child.kill().and_then(|()| child.wait()).unwrap();
}

#[test]
fn a_demo_that_cannot_be_told_does_not_begin() {
    for wrong in ["--rate=0", "--rate=-1", "--rate=NaN", "--seconds=8"] {
        let output = duplex(&["demo", wrong]);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{wrong}: {}", stderr(&output));
    }
    assert!(stdout(&duplex(&["demo", "--help"])).contains("at least 9"));
}
