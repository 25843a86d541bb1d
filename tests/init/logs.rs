//! `duplex logs` over the files that actors leave.

use std::fs;

use tempfile::TempDir;

use crate::{duplex, stderr, stdout};

/// A server's configuration, and two actors' logs below its data directory.
fn server() -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("pair");
    let mut arguments = vec!["init", "--out", out.to_str().unwrap(), "--server", "a=127.0.0.1", "--server", "b=127.0.0.2"];
    arguments.extend(["--witness", "127.0.0.3:7410", "--terminals", "1"]);
    assert!(duplex(&arguments).status.success());
    let log = out.join("a/data/log");
    fs::create_dir(&log).unwrap();
    let line = |actor: &str, second: u8| {
        format!(r#"{{"ts":"2026-04-01T09:00:0{second}.000Z","level":"INFO","msg":"line {second}","actor":"{actor}"}}"#)
    };
    let two = |actor: &str, first, second| format!("{}\n{}\n", line(actor, first), line(actor, second));
    fs::write(log.join("address-keeper.log"), two("address-keeper", 1, 3)).unwrap();
    fs::write(log.join("journal-writer.log"), two("journal-writer", 2, 4)).unwrap();
    (directory, out.join("a/duplex.toml").to_str().unwrap().to_owned())
}

fn seconds(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.split("line ").nth(1)).map(|rest| &rest[..1]).collect()
}

#[test]
fn all_actors_are_merged_by_time_or_one_is_chosen_from_a_moment_on() {
    let (_directory, config) = server();
    let logs = |more: &[&str]| stdout(&duplex(&[&["logs", "--config", &config], more].concat()));
    assert_eq!(seconds(&logs(&[])), ["1", "2", "3", "4"]);
    assert_eq!(seconds(&logs(&["--actor", "journal-writer"])), ["2", "4"]);
    assert_eq!(seconds(&logs(&["--since", "2026-04-01T09:00:03Z"])), ["3", "4"]);
    let first: serde_json::Value = serde_json::from_str(logs(&["--json"]).lines().next().unwrap()).unwrap();
    assert_eq!(first["actor"], "address-keeper");
}

#[test]
fn an_unknown_actor_and_an_unreadable_moment_are_named() {
    let (_directory, config) = server();
    let unknown = duplex(&["logs", "--config", &config, "--actor", "nobody"]);
    assert!(!unknown.status.success() && stderr(&unknown).contains("address-keeper, journal-writer"), "{}", stderr(&unknown));
    let moment = duplex(&["logs", "--config", &config, "--since", "yesterday"]);
    assert!(moment.status.code() == Some(2) && stderr(&moment).contains("--since"), "{}", stderr(&moment));
}
