//! The client half of the command line against a service of this file: it speaks the line protocol and misbehaves on request.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the failure")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde_json::{Value, json};

#[path = "cli/exits.rs"]
mod exits;
#[path = "cli/terminals.rs"]
mod terminals;
#[path = "cli/tls.rs"]
mod tls;

/// What the service does with one arriving request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer,
    /// Executes it, then closes without a word: the worst case for a client.
    ExecuteAndDrop,
    /// Executes it and never answers on this connection.
    ExecuteAndFallSilent,
    Retry(&'static str),
    Refuse(&'static str),
}

/// One request as it arrived, with the number of its connection.
#[derive(Clone, Debug)]
struct Arrived {
    connection: usize,
    request: Value,
    line: String,
}

/// A service that remembers ids as a real one does, and acts by script for every command that changes data.
struct Service {
    address: SocketAddr,
    arrived: Receiver<Arrived>,
}

impl Service {
    fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, arrived) = channel();
        thread::spawn(move || Stage { script: script.into_iter().collect(), records: HashMap::new(), sender }.serve(&listener));
        Self { address, arrived }
    }

    /// Every request so far except greetings and questions.
    fn requests(&self) -> Vec<Arrived> {
        self.arrived.try_iter().filter(|arrived| !changes_nothing(&arrived.request)).collect()
    }
}

fn changes_nothing(request: &Value) -> bool {
    matches!(request["command"].as_str(), Some("hello" | "sign_in")) || request["body"]["check_only"] == true
}

/// Whoever says that a key or a password is wrong is believed.
fn refused_at_the_door(request: &Value) -> Option<&'static str> {
    let wrong_password = (request["body"]["password"] == "wrong").then_some("WRONG_PASSWORD");
    (request["key"] == "wrong").then_some("WRONG_KEY").or(wrong_password)
}

struct Stage {
    script: std::collections::VecDeque<Act>,
    records: HashMap<String, Value>,
    sender: Sender<Arrived>,
}

impl Stage {
    /// One connection after the other: the clients of these tests have one at a time.
    fn serve(mut self, listener: &TcpListener) {
        let mut silent = Vec::new();
        for (connection, stream) in listener.incoming().enumerate() {
            let stream = stream.unwrap();
            if self.converse(connection, &stream) {
                silent.push(stream);
            }
        }
    }

    /// True if the connection is to be kept open without an answer.
    fn converse(&mut self, connection: usize, mut stream: &TcpStream) -> bool {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return false };
            let request: Value = serde_json::from_str(&line).unwrap();
            let act = match refused_at_the_door(&request) {
                Some(code) => Act::Refuse(code),
                None if changes_nothing(&request) => Act::Answer,
                None => self.script.pop_front().unwrap_or(Act::Answer),
            };
            // The test may have ended already.
            let _ = self.sender.send(Arrived { connection, request: request.clone(), line });
            let answer = match act {
                Act::Retry(code) => json!({ "command_id": request["command_id"], "status": "retry", "code": code }),
                Act::Refuse(code) => self.record(&request, code),
                Act::Answer | Act::ExecuteAndDrop | Act::ExecuteAndFallSilent => self.record(&request, ""),
            };
            match act {
                Act::ExecuteAndDrop => return false,
                Act::ExecuteAndFallSilent => return true,
                Act::Answer | Act::Retry(_) | Act::Refuse(_) => {}
            }
            if writeln!(stream, "{answer}").is_err() {
                return false;
            }
        }
        false
    }

    /// The stored answer, or a new one with the next sequence.
    fn record(&mut self, request: &Value, code: &str) -> Value {
        let id = request["command_id"].as_str().unwrap().to_owned();
        let sequence = self.records.len() + 1;
        let repeated = self.records.contains_key(&id);
        let body = match request["command"].as_str() {
            Some("hello") => json!({ "day": { "date": "2026-07-01" }, "settings": { "min_age_years": 18 },
                "rate_table": { "version": 7, "rates": [{ "rate_id": 1, "max_units": 250_000, "active": true }] } }),
            Some("sign_in") => json!({ "staff_session": "token" }),
            _ if changes_nothing(request) => json!({ "refused": [], "present": [] }),
            _ => json!({ "balance": 5 }),
        };
        let status = if code.is_empty() { "ok" } else { "rejected" };
        // What was not understood rests on no data.
        let (stored_on, sequence) = if code == "BAD_REQUEST" { (None, 0) } else { (Some("both"), sequence) };
        let answer = json!({ "command_id": id, "status": status, "code": code, "text_ja": "", "text_en": "no", "body": body,
            "stored_on": stored_on, "epoch": 1, "sequence": sequence });
        let mut answer = self.records.entry(id).or_insert(answer).clone();
        answer["repeated"] = repeated.into();
        answer
    }
}

fn duplex(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_duplex")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn terminals_file(directory: &Path) -> String {
    let file = directory.join("terminals.csv");
    std::fs::write(&file, "terminal_id,kind,key\nS001,seat,key-of-s001\nA001,analysis,key-of-a001\n").unwrap();
    std::fs::write(directory.join("password.txt"), "secret\n").unwrap();
    file.to_str().unwrap().to_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Sends one deposit by hand; the state file lies in `directory`.
fn deposit(addresses: &str, directory: &Path, more: &[&str]) -> Output {
    let state = directory.join("state.json");
    let body = r#"{"card_id":"C1","rate_id":1,"units":5}"#;
    let mut arguments = vec!["terminal", "--plain", "--address", addresses, "--terminal", "S001", "--key", "k"];
    arguments.extend(["--state", state.to_str().unwrap(), "--json"]);
    arguments.extend(more);
    arguments.extend(["deposit", body]);
    duplex(&arguments)
}

/// Whatever the service does first, the same bytes arrive again and one answer is printed.
fn one_answer_after(act: Act) -> (Vec<Arrived>, Value) {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![act, Act::Answer]);
    let output = deposit(&service.address.to_string(), directory.path(), &[]);
    assert!(output.status.success(), "{act:?}: {}", stderr(&output));
    let requests = service.requests();
    assert_eq!(requests.len(), 2, "{act:?}");
    assert_eq!(requests[0].line, requests[1].line, "{act:?}: the same bytes are sent again");
    assert!(!directory.path().join("state.json").exists(), "{act:?}: a settled command is forgotten");
    let answers: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 1, "{act:?}");
    (requests, answers[0].clone())
}

#[test]
fn a_command_whose_connection_was_dropped_is_sent_again_and_answered_from_the_record() {
    let (requests, answer) = one_answer_after(Act::ExecuteAndDrop);
    assert_ne!(requests[0].connection, requests[1].connection);
    assert_eq!(answer["repeated"], true);
}

#[test]
fn a_command_without_an_answer_in_time_is_sent_again_on_a_new_connection() {
    let (requests, answer) = one_answer_after(Act::ExecuteAndFallSilent);
    assert_ne!(requests[0].connection, requests[1].connection);
    assert_eq!(answer["repeated"], true);
}

#[test]
fn retry_leaves_a_server_that_is_switching_and_stays_with_one_that_is_busy() {
    let (requests, answer) = one_answer_after(Act::Retry("SWITCHING"));
    assert_ne!(requests[0].connection, requests[1].connection);
    assert_eq!(answer["repeated"], false);
    let (requests, _) = one_answer_after(Act::Retry("BUSY"));
    assert_eq!(requests[0].connection, requests[1].connection);
}

#[test]
fn a_refusal_is_final_and_has_an_exit_code_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![Act::Refuse("CARD_STOPPED")]);
    let output = deposit(&service.address.to_string(), directory.path(), &[]);
    assert_eq!((output.status.code(), service.requests().len()), (Some(3), 1));
    assert!(stdout(&output).contains("CARD_STOPPED"));
}

#[test]
fn the_next_address_is_tried_when_nobody_answers_at_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = Service::start(vec![]);
    let output = deposit(&format!("{closed},{}", service.address), directory.path(), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_load_saves_each_id_before_it_is_sent_and_records_one_answer_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![Act::Answer, Act::ExecuteAndDrop, Act::Retry("SWITCHING"), Act::Answer]);
    let history = directory.path().join("history.jsonl");
    let terminals = terminals_file(directory.path());
    let address = service.address.to_string();
    let arguments = ["load", "--plain", "--address", &address, "--terminals-file", &terminals, "--terminals", "1"];
    let rest = ["--rate", "50", "--seconds", "1", "--json", "--history", history.to_str().unwrap()];
    let output = duplex(&[&arguments[..], &rest[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));

    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let told = duplex::cli::history::read(BufReader::new(std::fs::File::open(&history).unwrap())).unwrap();
    assert_eq!(report["acknowledged"], told.len());
    assert_eq!((&report["retried"], &report["repeated"], &report["unsettled"]), (&json!(1), &json!(1), &json!(0)));
    assert!(told.iter().all(|told| told.answers.len() == 1 && told.is_acknowledged()));
    assert_eq!(duplex::cli::history::check(&told), []);
    let requests = service.requests();
    assert_eq!(requests.len(), told.len() + 2, "two attempts were lost on their way");
    assert!(requests.iter().all(|arrived| arrived.request["rate_table_ver"] == 7));
}

#[test]
fn a_load_interrupted_while_nobody_answers_ends_soon_with_its_report() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![Act::ExecuteAndFallSilent; 100]);
    let (terminals, address) = (terminals_file(directory.path()), service.address.to_string());
    let history = directory.path().join("history.jsonl");
    let arguments = ["load", "--plain", "--address", &address, "--terminals-file", &terminals, "--terminals", "1", "--json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_duplex"));
    command.args(arguments).args(["--seconds", "600", "--history", history.to_str().unwrap()]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let first = service.arrived.iter().find(|arrived| !changes_nothing(&arrived.request)).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stdout(&output).contains(r#""interrupted":true"#));
    let told = duplex::cli::history::read(BufReader::new(std::fs::File::open(&history).unwrap())).unwrap();
    assert_eq!(first.request["command_id"], told[0].command_id, "the unanswered command is in the history");
}

/// Imports `rows` sample rows; the arguments that all imports here share.
fn import(address: SocketAddr, directory: &Path, file: &str, more: &[&str]) -> Output {
    let (address, terminals) = (address.to_string(), terminals_file(directory));
    let password = directory.join("password.txt");
    let mut arguments = vec!["import", "members", file, "--plain", "--address", &address, "--terminals-file", &terminals];
    arguments.extend(["--staff", "manager", "--json"]);
    if !more.contains(&"--password-file") {
        arguments.extend(["--password-file", password.to_str().unwrap()]);
    }
    arguments.extend(more);
    duplex(&arguments)
}

fn sample(directory: &Path, rows: &str) -> String {
    let output = duplex(&["import", "sample", "--rows", rows]);
    assert!(output.status.success(), "{}", stderr(&output));
    let file = directory.join("members.csv");
    std::fs::write(&file, output.stdout).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn an_import_sends_every_row_once_in_commands_of_at_most_256_rows_and_a_rerun_repeats_their_ids() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![Act::Answer, Act::ExecuteAndDrop]);
    let file = sample(directory.path(), "700");
    let output = import(service.address, directory.path(), &file, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let first = service.requests();
    let rows = |arrived: &Arrived| arrived.request["body"]["rows"].as_array().unwrap().clone();
    assert_eq!(first[1].line, first[2].line, "the dropped one is sent again");
    assert!(first.iter().all(|arrived| rows(arrived).len() <= 256 && arrived.line.len() < 64 << 10));
    assert!(first.iter().all(|arrived| arrived.request["staff_session"] == "token" && arrived.request["rate_table_ver"] == 7));
    let sent: Vec<Value> = [&first[..2], &first[3..]].concat().iter().flat_map(rows).collect();
    let cards: Vec<String> = sent.iter().map(|row| row["card_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(cards, (1..=700).map(|number| format!("C{number:08}")).collect::<Vec<_>>(), "in the order of the file");

    let output = import(service.address, directory.path(), &file, &[]);
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&summary["imported"], &summary["already"]), (&json!(700), &json!(700)));
    let ids = |arrived: &[Arrived]| arrived.iter().map(|one| one.request["command_id"].clone()).collect::<Vec<_>>();
    let again = ids(&service.requests());
    assert_eq!(again, [ids(&first[..2]), ids(&first[3..])].concat());
}

#[test]
fn an_import_that_is_refused_as_a_whole_says_why_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![Act::Refuse("HALL_CLOSED")]);
    let (file, password) = (sample(directory.path(), "3"), directory.path().join("wrong.txt"));
    std::fs::write(&password, "wrong\n").unwrap();
    let with_password = ["--password-file", password.to_str().unwrap()];
    for (more, code) in [(&with_password[..], "WRONG_PASSWORD"), (&[], "HALL_CLOSED")] {
        let output = import(service.address, directory.path(), &file, more);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        let said: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let refused = json!([{ "line": null, "code": code, "text_en": "no" }]);
        assert_eq!((&said["rows"], &said["imported"], &said["refused"]), (&json!(3), &json!(0), &refused));
    }
}

#[test]
fn a_refusal_on_record_does_not_stop_a_later_import() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![Act::Refuse("HALL_CLOSED")]);
    let file = sample(directory.path(), "3");
    let output = import(service.address, directory.path(), &file, &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("HALL_CLOSED"), "{}", stderr(&output));
    let output = import(service.address, directory.path(), &file, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains(r#""imported":3,"already":0"#), "{}", stdout(&output));
}

#[test]
fn a_file_with_a_bad_row_changes_nothing_unless_bad_rows_are_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![]);
    let file = sample(directory.path(), "5");
    let text = std::fs::read_to_string(&file).unwrap().replace("C00000004,", ",");
    std::fs::write(&file, text).unwrap();
    let output = import(service.address, directory.path(), &file, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("line 5, card_id: is empty\n"), "{}", stderr(&output));
    let said: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let mistake = json!({ "line": 5, "column": "card_id", "reason": "is empty" });
    assert_eq!((&said["bad_rows"], &said["imported"], &said["mistakes"][0]), (&json!(1), &json!(0), &mistake));
    assert_eq!(service.requests().len(), 0);

    let output = import(service.address, directory.path(), &file, &["--skip-bad"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains(r#""imported":4,"already":0,"skipped":1"#), "{}", stdout(&output));
}

#[test]
fn an_import_that_only_checks_says_what_could_be_imported() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(vec![]);
    let file = sample(directory.path(), "5");
    let text = std::fs::read_to_string(&file).unwrap().replace("C00000004,", ",");
    std::fs::write(&file, text).unwrap();
    let (address, terminals) = (service.address.to_string(), terminals_file(directory.path()));
    let password = directory.path().join("password.txt");
    let mut arguments = vec!["import", "members", &file, "--plain", "--address", &address, "--terminals-file", &terminals];
    arguments.extend(["--staff", "manager", "--password-file", password.to_str().unwrap(), "--check-only", "--skip-bad"]);
    let output = duplex(&arguments);
    assert_eq!(stdout(&output), "5 rows checked, 4 can be imported, 1 is bad\n", "{}", stderr(&output));
    assert_eq!(service.requests().len(), 0);
}

#[test]
fn wrong_usage_is_one_line_on_stderr_that_names_the_argument() {
    let output = duplex(&["load", "--plain", "--address", "127.0.0.1:1", "--terminals-file", "/nowhere.csv"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("/nowhere.csv"));
}
