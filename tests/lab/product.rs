//! The laboratory as buyers run it: `duplex lab`.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::until;

const PROGRAM: &str = env!("CARGO_BIN_EXE_duplex");

fn lab(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PROGRAM).arg("lab").args(arguments).output().expect("it starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// What became of a scenario of the program, some of its lines changed. Every promise is judged in each; the process says how it was.
fn played(name: &str, changes: &[(&str, &str)]) -> Value {
    let directory = tempfile::tempdir().expect("there is room for files");
    let [file, report] = ["mine.toml", "report.json"].map(|file| directory.path().join(file));
    let mut text = lab(&["show", name]).1;
    for (old, new) in changes {
        assert!(text.contains(old), "{name} has {old}");
        text = text.replace(old, new);
    }
    fs::write(&file, text).expect("there is room for files");
    let [file, report_file] = [&file, &report].map(|path| path.to_str().expect("letters"));
    let (code, said, complained) = lab(&["run", "--file", file, "--report", report_file]);
    assert_eq!(code, Some(0), "{said}{complained}");
    assert!(said.contains(name) && said.contains("✔ held"), "{said}");
    let outcomes: Value = serde_json::from_slice(&fs::read(&report).expect("it was written")).expect("it is JSON");
    outcomes[0].clone()
}

#[test]
fn a_scenario_is_played_told_as_a_row_and_reported_as_json() {
    let outcome = played("killed-while-switching", &[]);
    assert!(outcome["acknowledged"].as_u64() > Some(500), "{outcome}");
    assert_eq!((&outcome["lost"], &outcome["doubled"], &outcome["double_acknowledgers"]), (&0.into(), &0.into(), &0.into()));
    assert_eq!(outcome["gaps"][0]["fault"], "killed after a switchover");
    assert!((1..9).all(|number| outcome["promises"][format!("P{number}")] == true), "{outcome}");
}

/// All promises are judged in every scenario; here, besides, who acknowledges must stay the same.
#[test]
fn processors_that_are_all_busy_change_no_role() {
    let outcome = played("processors-busy", &[("wait_s = 60.0", "wait_s = 20.0")]);
    assert_eq!(outcome["promises"]["roles"], true);
}

#[test]
fn a_stale_server_that_is_started_first_serves_nobody() {
    let outcome = played("stale-server-first", &[]);
    // Four seconds in which nobody may have served.
    assert!(outcome["gaps"][1]["ms"].as_f64() > Some(4_000.0), "{outcome}");
}

#[test]
fn what_is_cut_off_a_journal_is_found_where_it_was_kept() {
    let outcome = played("main-dies-with-a-tail", &[]);
    assert!(outcome["kept"].as_u64() > Some(0) && outcome["promises"]["P6"] == true, "{outcome}");
}

#[test]
fn three_of_ten_packets_lost_between_the_two_change_no_role() {
    let outcome = played("packets-lost-between", &[("wait_s = 30.0", "wait_s = 6.0")]);
    assert_eq!(outcome["promises"]["roles"], true);
}

#[test]
fn of_two_servers_of_which_one_cannot_be_heard_one_serves() {
    let outcome = played("main-unheard", &[("wait_s = 4.0", "wait_s = 2.0")]);
    assert!(outcome["gaps"][0]["ms"].as_f64() < Some(4_000.0), "{outcome}");
}

#[test]
fn a_cable_that_flaps_moves_the_role_once_at_most() {
    assert_eq!(played("cable-flaps", &[("times = 5", "times = 3")])["promises"]["roles"], true);
}

#[test]
fn a_soak_gives_an_account_of_its_faults() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let report = directory.path().join("soak.json");
    let (code, said, complained) = lab(&["soak", "--minutes", "1", "--seed", "5", "--report", report.to_str().expect("letters")]);
    assert_eq!(code, Some(0), "{said}{complained}");
    let account: Value = serde_json::from_slice(&fs::read(&report).expect("it was written")).expect("it is JSON");
    assert_eq!((&account["seed"], &account["lost"], &account["doubled"]), (&5.into(), &0.into(), &0.into()));
    let faults = account["faults"].as_object().expect("by name");
    assert!(faults.values().filter_map(Value::as_u64).sum::<u64>() > 3, "{account}");
    let gaps = account["gap_ms"].as_object().expect("by name");
    assert!(!gaps.is_empty() && gaps.keys().all(|fault| faults.contains_key(fault)), "{account}");
    assert!(gaps.values().all(|gaps| gaps["median"].as_f64() > Some(0.0) && gaps["max"].is_f64()), "{account}");
}

#[test]
fn a_soak_that_is_interrupted_leaves_its_account_and_nothing_else() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let report = directory.path().join("soak.json");
    let mut command = Command::new(PROGRAM);
    command.args(["lab", "soak", "--minutes", "5", "--faults", "main killed,lan dead", "--report"]).arg(&report);
    let mut soak =
        command.env("TMPDIR", directory.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let rounds = || fs::read_dir(directory.path()).expect("it is there").map(|entry| entry.expect("it has a name").path());
    // Its process listens for signals by then.
    until("a round has begun", Duration::from_secs(60), || rounds().any(|round| round.join("logs").is_dir()));
    kill(Pid::from_raw(soak.id() as i32), Signal::SIGINT).expect("it is our child");
    assert_eq!(soak.wait().expect("it is our child").code(), Some(130));
    let account: Value = serde_json::from_slice(&fs::read(&report).expect("it was written")).expect("it is JSON");
    assert_eq!((&account["lost"], &account["faults"]), (&0.into(), &serde_json::json!({})), "{account}");
    assert!(rounds().all(|path| path == report), "the round that was not played to its end is gone");
}

#[test]
fn a_scenario_with_a_mistake_is_refused_before_anything_starts() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let file = directory.path().join("mine.toml");
    let (_, text, _) = lab(&["show", "main-killed"]);
    fs::write(&file, text.replace("whom = \"main\"", "whom = \"everybody\"")).expect("there is room for files");
    let (code, _, complained) = lab(&["run", "--file", file.to_str().expect("letters")]);
    assert_eq!(code, Some(2), "{complained}");
    assert!(complained.contains("mine.toml: line ") && complained.contains("everybody"), "{complained}");
    assert_eq!(lab(&["run", "nonsense"]).0, Some(2));
    let (code, _, complained) = lab(&["soak", "--faults", "main killed,sunshine"]);
    assert!(code == Some(2) && complained.contains("there is no \"sunshine\"; there are: main killed,"), "{complained}");
    let listed = lab(&["list"]).1;
    assert!(listed.contains("main-killed") && listed.contains("faults 1, 4, 79"), "{listed}");
}
