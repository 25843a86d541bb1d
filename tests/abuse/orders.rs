//! Files of commands that are sent twice, and a command that is no command.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::pair::{PROGRAM, Pair};

fn terminal(pair: &Pair, more: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["terminal", "--terminal", "seat-1", "--key", pair.key("seat-1")]).args(pair.reach());
    command.arg("--state").arg(pair.file("seat-1.json")).args(more).output().unwrap()
}

#[test]
fn a_file_of_deposits_that_is_sent_twice_is_deposited_once() {
    let pair = Pair::at_work();
    let file = pair.file("orders.jsonl").display().to_string();
    let line = r#"{"command":"deposit","body":{"card_id":"C00000005","rate_id":1,"units":7}}"#;
    fs::write(&file, format!("{line}\n{line}\n")).unwrap();
    let told = || -> Vec<Value> {
        let output = terminal(&pair, &["--json", "--file", &file]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (first, again) = (told(), told());
    let balances = |told: &[Value]| told.iter().map(|answer| answer["body"]["balance"].as_i64().unwrap()).collect::<Vec<_>>();
    assert_eq!(balances(&first)[1], balances(&first)[0] + 7, "two lines are two deposits");
    assert_eq!(balances(&again), balances(&first));
    assert!(first.iter().all(|answer| answer["repeated"] == false) && again.iter().all(|answer| answer["repeated"] == true));
}

#[test]
fn a_bad_request_by_hand_is_refused_without_a_position() {
    let pair = Pair::at_work();
    let output = terminal(&pair, &["deposit", r#"{"units":-5}"#]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.starts_with("deposit: refused BAD_REQUEST: "), "{said}");
}
