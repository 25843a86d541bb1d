//! The laboratory as buyers run it: `duplex lab`.

use std::{fs, process::Command};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_duplex");

fn lab(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PROGRAM).arg("lab").args(arguments).output().expect("it starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_scenario_is_played_told_as_a_row_and_reported_as_json() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let report = directory.path().join("report.json");
    let (code, said, complained) = lab(&["run", "killed-while-switching", "--report", report.to_str().expect("letters")]);
    assert_eq!(code, Some(0), "{said}{complained}");
    assert!(said.contains("killed-while-switching") && said.contains("✔ held"), "{said}");
    let outcomes: Value = serde_json::from_slice(&fs::read(&report).expect("it was written")).expect("it is JSON");
    let outcome = &outcomes[0];
    assert!(outcome["acknowledged"].as_u64() > Some(500), "{outcome}");
    assert_eq!((&outcome["lost"], &outcome["doubled"], &outcome["double_acknowledgers"]), (&0.into(), &0.into(), &0.into()));
    assert_eq!(outcome["gaps"][0]["fault"], "killed after a switchover");
    assert!(["P1", "P2", "P3", "P4", "P5", "P7"].iter().all(|promise| outcome["promises"][promise] == true), "{outcome}");
}

/// P1 to P7 are judged in every scenario; here, besides, who acknowledges must stay the same.
#[test]
fn processors_that_are_all_busy_change_no_role() {
    let (code, said, complained) = lab(&["run", "processors-busy"]);
    assert_eq!(code, Some(0), "{said}{complained}");
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
    assert!(faults.keys().all(|fault| account["gap_ms"][fault]["median"].as_f64() > Some(0.0)), "{account}");
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
    assert!(lab(&["list"]).1.lines().count() == 13);
}
