//! What an audit found, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::cli::counted;
use crate::ledger::invariants;
use crate::model::{Digest, Position};

/// One thing that is not as promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `I1` to `I9` as `ledger::invariants` numbers them; `P3`: a command has one entry; `P7`: equal positions mean equal data;
    /// `journal`, `readable`.
    pub check: &'static str,
    pub table: &'static str,
    pub key: String,
    pub expected: String,
    pub found: String,
}

impl From<invariants::Finding> for Finding {
    fn from(finding: invariants::Finding) -> Self {
        let invariants::Finding { invariant, table, key, expected, found } = finding;
        Self { check: invariant, table, key, expected, found }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, table, key, expected, found } = self;
        // The journal as a whole has no table and no key.
        let place = [*table, key.as_str()].into_iter().filter(|part| !part.is_empty() && part != check);
        let place: String = place.map(|part| format!(" {part}")).collect();
        write!(f, "{check}:{place}{} expected {expected}, found {found}", if place.is_empty() { "" } else { ":" })
    }
}

/// A position with its whole digest, so that two audits made on two machines can be compared by eye.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub epoch: u64,
    pub sequence: u64,
    pub digest: String,
}

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        Self { epoch: position.epoch.0, sequence: position.sequence.0, digest: hex(&position.digest) }
    }
}

pub(super) fn hex(digest: &Digest) -> String {
    blake3::Hash::from_bytes(digest.0).to_hex().to_string()
}

/// Number of rows and digest of one table: equal on both servers at equal positions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    pub table: &'static str,
    pub rows: u64,
    pub digest: String,
}

/// What a server's journal holds: the records after `start`, up to `end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalSpan {
    pub start: Place,
    pub end: Place,
}

/// One server.
#[derive(Clone, Debug, Serialize)]
pub struct ServerReport {
    pub server: String,
    /// Applied position of the snapshot that was checked.
    pub position: Place,
    /// `None` if the journal cannot be read; a finding says why.
    pub journal: Option<JournalSpan>,
    pub tables: Vec<Table>,
    pub findings: Vec<Finding>,
}

/// Both servers beside each other.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Whether both stores were read at one position; otherwise their rows cannot be compared.
    pub positions_equal: bool,
    /// Both journals are the same up to this sequence; `None` if they differ or share no record.
    pub journals_equal_up_to: Option<u64>,
    /// What could not be compared, and why; breaks no promise.
    pub notes: Vec<String>,
    pub findings: Vec<Finding>,
}

/// The whole audit.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Nothing was found, and every named server was checked.
    pub holds: bool,
    /// Every table has the same digest on both servers, at one position; `None` where one server, or two positions, cannot tell.
    pub digests_equal: Option<bool>,
    /// Servers that were named and not checked, and why.
    pub unchecked: Vec<String>,
    pub servers: Vec<ServerReport>,
    pub comparison: Option<Comparison>,
}

impl Report {
    pub(super) fn of(servers: Vec<ServerReport>, comparison: Option<Comparison>) -> Self {
        let compared = comparison.as_ref().filter(|comparison| comparison.notes.is_empty());
        let digests_equal = compared.map(|comparison| {
            let tables = servers.iter().map(|server| &server.tables);
            comparison.positions_equal && tables.clone().zip(tables.skip(1)).all(|(one, other)| one == other)
        });
        let holds = servers.iter().all(|server| server.findings.is_empty())
            && comparison.as_ref().is_none_or(|comparison| comparison.findings.is_empty())
            && digests_equal != Some(false);
        Self { holds, digests_equal, unchecked: Vec::new(), servers, comparison }
    }

    /// An audit that was asked for more servers than it could check does not hold.
    pub(super) fn without(self, unchecked: String) -> Self {
        Self { holds: false, unchecked: vec![unchecked], ..self }
    }

    /// All findings, with the server they are of.
    pub fn findings(&self) -> impl Iterator<Item = (&str, &Finding)> {
        let of_servers = self.servers.iter().flat_map(|server| server.findings.iter().map(|f| (server.server.as_str(), f)));
        let of_both = self.comparison.iter().flat_map(|comparison| comparison.findings.iter().map(|f| ("both", f)));
        of_servers.chain(of_both)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ServerReport { server, position, journal, tables, findings } in &self.servers {
            let rows: u64 = tables.iter().map(|table| table.rows).sum();
            let (epoch, sequence, digest) = (position.epoch, position.sequence, &position.digest[..16]);
            let rows = counted(rows, "row", "rows");
            writeln!(f, "{server}: {rows} at epoch {epoch}, entry {sequence} ({digest})")?;
            if let Some(JournalSpan { start, end }) = journal {
                writeln!(f, "  journal: entries {} to {}", start.sequence + 1, end.sequence)?;
            }
            findings.iter().try_for_each(|finding| writeln!(f, "  {finding}"))?;
        }
        if let Some(comparison) = &self.comparison {
            if let Some(sequence) = comparison.journals_equal_up_to {
                writeln!(f, "both journals are the same up to entry {sequence}")?;
            }
            if self.digests_equal == Some(true) {
                writeln!(f, "both stores hold the same rows")?;
            }
            comparison.findings.iter().try_for_each(|finding| writeln!(f, "  {finding}"))?;
            comparison.notes.iter().try_for_each(|note| writeln!(f, "{note}"))?;
        }
        self.unchecked.iter().try_for_each(|unchecked| writeln!(f, "{unchecked}"))?;
        let whole = self.unchecked.is_empty() && self.comparison.as_ref().is_none_or(|comparison| comparison.notes.is_empty());
        match (self.findings().count(), self.digests_equal) {
            (0, Some(false)) => f.write_str("the servers differ"),
            (0, _) if whole => f.write_str("everything holds"),
            (0, _) => f.write_str("everything that could be checked holds"),
            (count, _) => f.write_str(&not_as_promised(count)),
        }
    }
}

pub(super) fn not_as_promised(count: usize) -> String {
    counted(count as u64, "thing is not as promised", "things are not as promised")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_its_check_table_and_key_once_each() {
        let finding = |check, table, key: &str| {
            let (expected, found) = ("this".into(), "that".into());
            Finding { check, table, key: key.into(), expected, found }.to_string()
        };
        assert_eq!(finding("I1", "account", "1001"), "I1: account 1001: expected this, found that");
        assert_eq!(finding("journal", "journal", "7"), "journal: 7: expected this, found that");
        assert_eq!(finding("journal", "journal", ""), "journal: expected this, found that");
    }
}
