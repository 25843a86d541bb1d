//! What a client saw: every command before it was sent, every answer, on one line each. The client's half of the checker.
//!
//! A history is judged without asking any server: two answers for one id, numbers that go backwards. Compared with what the servers
//! keep, it shows what was lost (acknowledged, on no disk) and what was doubled (one id, two effects).
//! Times are microseconds of this box's monotonic clock, so histories and events of one box share one time line.

use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::client::StoredOn;
use crate::model::Status;

mod check;
mod compare;
#[cfg(test)]
pub(crate) mod samples;

pub use check::{Anomaly, check, longest_gap_us};
pub use compare::{Comparison, Stored, compare};

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// Written before the first byte of the command leaves.
    Sent { at_us: u64, terminal_id: String, command_id: String, command: String },
    /// The final answer.
    Answered(Answered),
    /// Given up: the outcome stays unknown.
    Unsettled { at_us: u64, command_id: String, tries: u32 },
}

/// A final answer as the client heard it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub at_us: u64,
    pub command_id: String,
    pub status: Status,
    pub code: String,
    pub stored_on: Option<StoredOn>,
    pub epoch: Option<u64>,
    pub sequence: Option<u64>,
    pub repeated: bool,
    /// How often the command was sent for it.
    pub tries: u32,
}

/// A command and everything that was heard of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub terminal_id: String,
    pub command_id: String,
    pub command: String,
    pub sent_us: u64,
    /// More than one only if the client asked again after an answer, or is broken.
    pub answers: Vec<Answered>,
}

impl Told {
    /// Answered `ok` by a command that changes data: what must never be lost.
    pub fn is_acknowledged(&self) -> bool {
        !is_read(&self.command) && self.answers.iter().any(|answer| answer.status == Status::Ok)
    }

    /// The place of its entry, as the first answer gave it.
    pub fn place(&self) -> Option<(u64, u64)> {
        self.answers.iter().find_map(|answer| Some((answer.epoch?, answer.sequence?)))
    }
}

/// Commands that leave no entry.
pub fn is_read(command: &str) -> bool {
    matches!(command, "hello" | "heartbeat" | "get_balance")
}

/// Reads a history, in the order of sending.
///
/// # Errors
/// Line and reason: not JSON, an answer to nothing sent, one id sent as two commands. A last line cut by a kill is left out.
pub fn read(source: impl BufRead) -> Result<Vec<Told>, String> {
    let mut told: Vec<Told> = Vec::new();
    let mut places = std::collections::HashMap::new();
    let mut lines = source.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        let line = line.map_err(|e| format!("line {number}: {e}"))?;
        let event = match serde_json::from_str(&line) {
            Ok(event) => event,
            Err(e) if e.is_eof() && lines.peek().is_none() => break,
            Err(e) => return Err(format!("line {number}: {e}")),
        };
        match event {
            Event::Sent { at_us, terminal_id, command_id, command } => {
                if places.insert(command_id.clone(), told.len()).is_some() {
                    return Err(format!("line {number}: {command_id} is sent as a second command"));
                }
                told.push(Told { terminal_id, command_id, command, sent_us: at_us, answers: Vec::new() });
            }
            Event::Answered(answer) => {
                let place = places.get(&answer.command_id);
                let place = place.ok_or_else(|| format!("line {number}: an answer to {}, never sent", answer.command_id))?;
                told[*place].answers.push(answer);
            }
            Event::Unsettled { .. } => {}
        }
    }
    Ok(told)
}

/// Microseconds of CLOCK_MONOTONIC: comparable between the processes of one box.
pub fn now_us() -> u64 {
    // The clock exists on every Linux; zero would show up at once as a history that goes backwards.
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = r#"{"event":"sent","at_us":1,"terminal_id":"S1","command_id":"a","command":"deposit"}"#;
    const OK: &str = r#"{"event":"answered","at_us":5,"command_id":"a","status":"ok","code":"","stored_on":"both","epoch":1,"sequence":9,"repeated":false,"tries":1}"#;

    #[test]
    fn a_sent_command_and_its_answer_are_one_acknowledged_place() {
        let told = read(format!("{SENT}\n{OK}\n").as_bytes()).unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].is_acknowledged());
        assert_eq!(told[0].place(), Some((1, 9)));
    }

    #[test]
    fn a_last_line_cut_by_a_kill_is_left_out_and_a_bad_line_before_it_is_named() {
        let cut = format!("{SENT}\n{}", &OK[..40]);
        assert!(!read(cut.as_bytes()).unwrap()[0].is_acknowledged());
        let error = read(format!("{}\n{SENT}\n", &OK[..40]).as_bytes()).unwrap_err();
        assert!(error.starts_with("line 1:"), "{error}");
    }

    #[test]
    fn an_answer_to_nothing_sent_is_refused_with_its_line() {
        assert!(read(format!("{OK}\n").as_bytes()).unwrap_err().starts_with("line 1: an answer to a"));
    }
}
