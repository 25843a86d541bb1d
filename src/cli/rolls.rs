//! `terminals.csv` as `duplex init` writes it: who may send, and with which key.

use std::path::Path;

use serde::Deserialize;

use super::client::Terminal;
use super::{Failure, counted};
use crate::ledger::rows::TerminalKind;
use crate::model::TerminalId;

/// One row of `terminals.csv` (`terminal_id,kind,key`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Enrolled {
    pub terminal_id: String,
    pub kind: TerminalKind,
    pub key: String,
}

impl Enrolled {
    pub fn terminal(&self) -> Terminal {
        Terminal::new(&self.terminal_id, &self.key)
    }
}

/// Reads the whole file.
///
/// # Errors
/// File, line and what is wrong with it.
pub fn read(file: &Path) -> Result<Vec<Enrolled>, Failure> {
    let bad = |e: csv::Error| Failure::usage(format!("{}: {e}", file.display()));
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(file).map_err(bad)?;
    let rows: Vec<Enrolled> = reader.deserialize().collect::<Result<_, _>>().map_err(bad)?;
    let plain = |id: &str| (1..=TerminalId::LEN_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    if let Some(row) = rows.iter().find(|row| !plain(&row.terminal_id)) {
        let (id, most) = (&row.terminal_id, TerminalId::LEN_MAX);
        return Err(Failure::usage(format!(
            "{}: terminal_id {id:?} is not 1 to {most} visible ASCII characters",
            file.display()
        )));
    }
    if rows.is_empty() {
        return Err(Failure::usage(format!("{}: names no terminal", file.display())));
    }
    Ok(rows)
}

/// The first `count` terminals of the given kinds.
///
/// # Errors
/// The file names fewer.
pub fn take(file: &Path, kinds: &[TerminalKind], count: usize) -> Result<Vec<Terminal>, Failure> {
    let fitting: Vec<_> = read(file)?.iter().filter(|row| kinds.contains(&row.kind)).map(Enrolled::terminal).collect();
    if fitting.len() < count {
        let found = fitting.len();
        return Err(Failure::usage(format!(
            "{}: names {} of the kinds {kinds:?}, {}",
            file.display(),
            counted(found as u64, "terminal", "terminals"),
            counted(count as u64, "is needed", "are needed")
        )));
    }
    Ok(fitting.into_iter().take(count).collect())
}
