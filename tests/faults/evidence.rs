//! What the terminals heard against what both journals hold.

use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::Path;

use duplex::cli::history::{self, Stored, Told};
use duplex::journal::{self, Directory};
use duplex::layout::Layout;
use duplex::ledger::rows::Row;
use duplex::model::{Position, Sequence};

use crate::pair::{First, Pair, Second, Which};

/// Compares the history with both journals up to an entry that both hold; both servers must have ended.
pub fn examine(pair: &Pair, history: &Path, last: Sequence) -> Result<(), String> {
    let told = history::read(BufReader::new(File::open(history).unwrap()))?;
    if !told.iter().any(Told::is_acknowledged) {
        return Err("nothing was acknowledged".into());
    }
    if let Some(anomaly) = history::check(&told).first() {
        return Err(anomaly.to_string());
    }
    for which in [First, Second] {
        let found = history::compare(&told, &stored(pair, which, last));
        if !found.lost.is_empty() || !found.doubled.is_empty() {
            return Err(format!("{}: lost {:?}, doubled {:?}", which.name(), found.lost, found.doubled));
        }
    }
    Ok(())
}

/// A server's journal, as far as it is looked at.
fn stored(pair: &Pair, which: Which, last: Sequence) -> Vec<Stored> {
    let mut entries = Vec::new();
    let directory = Directory::open(Layout::of(&pair.config(which)).journal()).unwrap();
    let read = |position: Position, payload: &[u8]| {
        let record = journal::digest::decode::<Row>(payload).unwrap().record;
        let command_id = record.command_id.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let Position { epoch, sequence, .. } = position;
        entries.push(Stored { epoch: epoch.0, sequence: sequence.0, terminal_id: record.terminal_id.0, command_id });
        // Beyond it only a search for the torn end would follow.
        if sequence == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    journal::scan(&directory, Sequence(0), read).unwrap().expect("a journal is there");
    assert_eq!(entries.last().map(|entry| entry.sequence), Some(last.0), "{} lacks the last entry", which.name());
    entries
}
