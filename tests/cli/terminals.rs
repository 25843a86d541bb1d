//! `duplex terminal` from run to run: what an earlier one left unsettled, files sent again, and where that is kept.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::{Act, Arrived, Service, deposit, duplex, stderr, stdout};

const DEPOSIT: &str = r#"{"command":"deposit","body":{"units":5,"card_id":"C1","rate_id":1}}"#;

/// With its home in `directory`, and `input` typed.
fn terminal(service: &Service, directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = begin(service, directory, arguments);
    // Whoever is refused before it reads has gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn begin(service: &Service, directory: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duplex"));
    command.args(["terminal", "--plain", "--address", &service.address.to_string(), "--terminal", "S001", "--json"]);
    command.args(arguments).env_remove("XDG_STATE_HOME").env("HOME", directory).env("DUPLEX_TERMINAL_KEY", "k");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The read of standard input goes on for ever: it must not keep the signal from being heard.
#[test]
fn ctrl_c_ends_a_terminal_that_waits_for_somebody_to_type() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![Act::Answer]);
    let mut child = begin(&service, directory.path(), &["--file", "-"]);
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{DEPOSIT}").unwrap();
    let mut answered = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut answered).unwrap();
    assert!(answered.contains("\"ok\""), "{answered}");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    drop(stdin);
}

fn answers(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(requests: &[Arrived]) -> Vec<Value> {
    requests.iter().map(|arrived| arrived.request["command_id"].clone()).collect()
}

/// A service that has executed one deposit by hand and has not said so.
fn left_unsettled(directory: &Path) -> Service {
    let service = Service::start(vec![Act::ExecuteAndFallSilent]);
    let output = deposit(&service.address.to_string(), directory, &["--patience", "0"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    service
}

#[test]
fn the_same_command_again_after_an_unknown_outcome_is_settled_and_not_sent_anew() {
    let directory = tempfile::tempdir().unwrap();
    let service = left_unsettled(directory.path());
    let output = deposit(&service.address.to_string(), directory.path(), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (requests, told) = (service.requests(), answers(&output));
    assert_eq!(requests.len(), 2, "one deposit, asked for twice");
    assert_eq!(requests[0].line, requests[1].line, "byte for byte");
    assert_eq!((told.len(), &told[0]["repeated"]), (1, &json!(true)));

    let output = deposit(&service.address.to_string(), directory.path(), &[]);
    assert_eq!(answers(&output)[0]["repeated"], false, "once it is settled, the same order is a new one");
}

#[test]
fn the_help_says_what_to_do_after_an_unknown_outcome_and_with_a_file() {
    let help = stdout(&duplex(&["terminal", "--help"]));
    for said in ["give the same command again", "send the same file\nagain", "$HOME/.local/state/duplex"] {
        assert!(help.contains(said), "{said}: {help}");
    }
}

#[test]
fn an_unsettled_command_stays_one_while_nobody_answers() {
    let directory = tempfile::tempdir().unwrap();
    let service = left_unsettled(directory.path());
    let state = directory.path().join("state.json").display().to_string();
    drop(service);
    // Nobody listens there any more.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let arguments = ["terminal", "--plain", "--address", &address, "--terminal", "S001", "--key", "k", "--state", &state];
    let output = duplex(&[&arguments[..], &["--patience", "0", "deposit", r#"{"units":5,"card_id":"C1","rate_id":1}"#]].concat());
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("outcome unknown"), "{}", stderr(&output));
}

#[test]
fn another_command_than_the_unsettled_one_is_sent_after_that_one_is_settled() {
    let directory = tempfile::tempdir().unwrap();
    let service = left_unsettled(directory.path());
    let state = directory.path().join("state.json").display().to_string();
    let output = terminal(&service, directory.path(), &["--state", &state, "deposit", r#"{"units":6}"#], "");
    assert!(output.status.success(), "{}", stderr(&output));
    let requests = service.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].line, requests[1].line, "the first run's command, byte for byte");
    assert_ne!(requests[1].request["command_id"], requests[2].request["command_id"]);
}

#[test]
fn the_first_line_that_is_typed_may_be_the_unsettled_command() {
    let directory = tempfile::tempdir().unwrap();
    let service = left_unsettled(directory.path());
    let state = directory.path().join("state.json").display().to_string();
    let typed = format!("\n{DEPOSIT}\n{DEPOSIT}\n");
    let output = terminal(&service, directory.path(), &["--state", &state, "--file", "-"], &typed);
    assert!(output.status.success(), "{}", stderr(&output));
    let repeated: Vec<_> = answers(&output).iter().map(|answer| answer["repeated"].clone()).collect();
    assert_eq!(repeated, [true, false], "the second line is a deposit of its own");
    assert_eq!(service.requests().len(), 3);
}

#[test]
fn a_file_that_is_sent_again_after_an_interruption_repeats_and_doubles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.jsonl").display().to_string();
    std::fs::write(&file, format!("{DEPOSIT}\n\n{DEPOSIT}\n{DEPOSIT}\n")).unwrap();
    let service = Service::start(vec![Act::Answer, Act::ExecuteAndFallSilent]);
    let cut_off = terminal(&service, directory.path(), &["--file", &file, "--patience", "0"], "");
    assert_eq!((cut_off.status.code(), answers(&cut_off).len()), (Some(4), 1), "{}", stderr(&cut_off));
    let first = ids(&service.requests());
    for done_before in [2, 3] {
        let output = terminal(&service, directory.path(), &["--file", &file], "");
        assert!(output.status.success(), "{}", stderr(&output));
        let requests = service.requests();
        let again = ids(&requests[requests.len() - 3..]);
        assert_eq!(again[..2], first, "the ids of the run that was cut off");
        let told = answers(&output);
        let repeated = told[told.len() - 3..].iter().filter(|answer| answer["repeated"] == true).count();
        assert_eq!(repeated, done_before, "{told:?}");
    }
}

const UNKNOWN: &str = r#"{"command":"depositt","body":{"units":5,"card_id":"C1","rate_id":1}}"#;
const MISSING: &str = r#"{"command":"deposit","body":{"units":5,"card_id":"C1"}}"#;

#[test]
fn a_file_with_a_bad_line_is_refused_with_its_number_before_anything_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.jsonl").display().to_string();
    let service = Service::start(vec![]);
    for bad in ["not json", r#"{"command":"deposit","units":5}"#, r#"{"command":"deposit","command_id":"5"}"#, UNKNOWN, MISSING] {
        std::fs::write(&file, format!("{DEPOSIT}\n{DEPOSIT}\n{bad}\n")).unwrap();
        let output = terminal(&service, directory.path(), &["--file", &file], "");
        let said = stderr(&output);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{said}");
        assert!(said.contains("orders.jsonl line 3: ") && said.lines().count() == 1, "{said}");
        assert_eq!(service.arrived.try_iter().count(), 0, "not even a greeting");
    }
}

#[test]
fn the_unsettled_command_is_kept_below_the_home_and_trusted_only_if_nobody_else_may_write_it() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![Act::ExecuteAndFallSilent]);
    let typed = ["deposit", r#"{"units":5}"#];
    let output = terminal(&service, directory.path(), &[&["--patience", "0"], &typed[..]].concat(), "");
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let state = directory.path().join(".local/state/duplex/terminal-S001.json");
    std::fs::set_permissions(&state, PermissionsExt::from_mode(0o666)).unwrap();
    drop(service.arrived.try_iter().last());
    let output = terminal(&service, directory.path(), &typed, "");
    let said = stderr(&output);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("others may write") && said.contains("terminal-S001.json"), "{said}");
    assert_eq!(service.arrived.try_iter().count(), 0);

    let mut command = Command::new(env!("CARGO_BIN_EXE_duplex"));
    command.args(["terminal", "--plain", "--address", "127.0.0.1:1", "--terminal", "S001", "--key", "k", "hello"]);
    let output = command.env_remove("XDG_STATE_HOME").env_remove("HOME").stdin(Stdio::null()).output().unwrap();
    assert!(output.status.code() == Some(2) && stderr(&output).contains("--state"), "{}", stderr(&output));
}

#[test]
fn the_refusal_of_a_greeting_or_of_a_password_is_printed_as_json_too() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![]);
    let password = directory.path().join("password.txt").display().to_string();
    std::fs::write(&password, "wrong\n").unwrap();
    for (arguments, code) in [
        (&["--key", "wrong", "heartbeat"][..], "WRONG_KEY"),
        (&["--staff", "manager", "--password-file", &password, "heartbeat"], "WRONG_PASSWORD"),
    ] {
        let output = terminal(&service, directory.path(), arguments, "");
        assert_eq!((output.status.code(), answers(&output).len()), (Some(3), 1), "{}", stderr(&output));
        assert_eq!((&answers(&output)[0]["status"], &answers(&output)[0]["code"]), (&json!("rejected"), &json!(code)));
    }
}

#[test]
fn a_command_that_never_left_is_not_saved_for_later() {
    let directory = tempfile::tempdir().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let state = directory.path().join("state.json");
    let arguments = ["terminal", "--plain", "--address", &nobody, "--terminal", "S001", "--key", "k", "--patience", "0"];
    for _ in 0..2 {
        let output = duplex(&[&arguments[..], &["--state", state.to_str().unwrap(), "hello"]].concat());
        assert_eq!((output.status.code(), state.exists()), (Some(1), false), "{}", stderr(&output));
        assert!(stderr(&output).contains("hello was never sent"), "{}", stderr(&output));
    }
}

#[test]
fn a_greeting_without_an_answer_leaves_no_command_in_doubt() {
    let directory = tempfile::tempdir().unwrap();
    // The kernel lets connections in; nobody reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = deposit(&silent.local_addr().unwrap().to_string(), directory.path(), &["--patience", "0"]);
    let said = stderr(&output);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("nothing of yours was sent: hello "), "{said}");
}

#[test]
fn a_refusal_that_rests_on_no_data_names_no_position() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![Act::Refuse("BAD_REQUEST"), Act::Refuse("CARD_STOPPED")]);
    let (address, state) = (service.address.to_string(), directory.path().join("state.json").display().to_string());
    let reach = ["terminal", "--plain", "--address", &address, "--terminal", "S001", "--key", "k", "--state", &state];
    let said = |command: &str| stdout(&duplex(&[&reach[..], &[command]].concat()));
    assert!(said("deposit").starts_with("deposit: refused BAD_REQUEST: "));
    let refused = said("deposit");
    assert!(refused.starts_with("deposit: refused at 1/") && refused.contains(", stored on both CARD_STOPPED: "), "{refused}");
}

/// A file that begins as a terminal does: what the greeting tells goes with everything after it.
#[test]
fn a_file_that_greets_by_itself_knows_the_rate_table_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![Act::Answer, Act::Answer]);
    let file = directory.path().join("orders.jsonl");
    std::fs::write(&file, format!("{{\"command\":\"hello\"}}\n{DEPOSIT}\n")).unwrap();
    let output = terminal(&service, directory.path(), &["--file", file.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let requests: Vec<Arrived> = service.arrived.try_iter().collect();
    assert_eq!(requests.len(), 2, "no second greeting");
    assert!(requests[1].request["rate_table_ver"].is_number(), "{}", requests[1].request);
}
