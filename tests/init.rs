//! From answers to a pair's files, and from two servers' files to what is true of them: `init`, `witness`, `journal`, `logs`, `audit`.

#![allow(clippy::unwrap_used)]

#[path = "support/postgres.rs"]
mod postgres;
#[allow(dead_code)]
#[path = "ledger/world.rs"]
mod world;

#[path = "init/answers.rs"]
mod answers;
#[path = "init/audit.rs"]
mod audit;
#[path = "init/logs.rs"]
mod logs;
#[path = "init/made.rs"]
mod made;
#[path = "init/servers.rs"]
mod servers;
#[path = "init/witness.rs"]
mod witness;

use std::process::{Command, Output, Stdio};

/// Runs the program that a person would, without a terminal.
fn duplex(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duplex"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
