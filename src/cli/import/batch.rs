//! The rows of a checked file, in commands of at most 256.

use super::check::{Checked, Rules, reader};
use super::row::Row;
use super::source::{LineCount, Source};
use crate::cli::client::Heard;
use crate::cli::{Failure, counted};

/// As many as `import_members` takes.
const ROWS_PER_COMMAND: u64 = 256;
/// A request line has 64 KiB; this leaves 4 KiB for the envelope (key, session).
const BODY_BYTES_MAX: usize = 60 << 10;

/// The batches of a file, in its order: the same ones in every run over the same file.
pub(super) struct Batches<'a> {
    checked: &'a Checked,
    reader: csv::Reader<&'a [u8]>,
    record: csv::StringRecord,
    lines: LineCount<'a>,
    number: u64,
    /// Read, and too much for the batch before it.
    next: Option<Line>,
}

impl<'a> Batches<'a> {
    pub fn of(source: &'a Source, checked: &'a Checked) -> Self {
        let (reader, lines) = (reader(source), LineCount::of(source.text()));
        Self { checked, reader, record: csv::StringRecord::new(), lines, number: 0, next: None }
    }

    /// The next batch; `None` after the last.
    ///
    /// # Errors
    /// The file is not what it was when it was checked.
    pub fn take(&mut self) -> Result<Option<Batch>, Failure> {
        let mut batch = Batch::default();
        while let Some(line) = self.take_row()? {
            if batch.is_full_with(&line.row) {
                self.next = Some(line);
                return Ok(Some(batch));
            }
            batch.push(line);
        }
        Ok(Some(batch).filter(|batch| !batch.rows.is_empty()))
    }

    fn take_row(&mut self) -> Result<Option<Line>, Failure> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        while self.reader.read_record(&mut self.record).map_err(|e| Failure::failed(e.to_string()))? {
            self.number += 1;
            if !self.checked.bad.contains(&self.number) {
                let line = self.lines.line_of(&self.record);
                return Ok(Some(Line { number: self.number, line, row: encode(self.checked, &self.record)? }));
            }
        }
        Ok(None)
    }
}

fn encode(checked: &Checked, record: &csv::StringRecord) -> Result<String, Failure> {
    let rules = Rules { min_age_years: 0, ..Rules::offline(jiff::civil::Date::MAX) };
    let row = Row::read(&checked.columns, record, &rules);
    let row = row.map_err(|wrong| Failure::failed(format!("a row that passed the checks is bad now: {wrong:?}")))?;
    serde_json::to_string(&row).map_err(|e| Failure::failed(format!("cannot encode a row: {e}")))
}

/// One row of the file.
pub(super) struct Line {
    /// Number of the row, from 1.
    pub number: u64,
    /// Line of the file at which it begins, as mistakes in the file are told.
    pub line: u64,
    /// A JSON object.
    row: String,
}

/// Rows of one command.
#[derive(Default)]
pub(super) struct Batch {
    pub rows: Vec<Line>,
    bytes: usize,
}

impl Batch {
    fn is_full_with(&self, row: &str) -> bool {
        self.rows.len() as u64 == ROWS_PER_COMMAND || self.bytes + row.len() + 1 > BODY_BYTES_MAX
    }

    fn push(&mut self, line: Line) {
        self.bytes += line.row.len() + 1;
        self.rows.push(line);
    }

    pub fn first(&self) -> u64 {
        self.rows.first().map_or(0, |line| line.number)
    }

    pub fn last(&self) -> u64 {
        self.rows.last().map_or(0, |line| line.number)
    }

    pub fn body(&self) -> String {
        format!(r#"{{"rows":[{}]}}"#, self.joined())
    }

    /// The question which of these rows the service would refuse.
    pub fn question(&self) -> String {
        format!(r#"{{"check_only":true,"rows":[{}]}}"#, self.joined())
    }

    fn joined(&self) -> String {
        let rows: Vec<&str> = self.rows.iter().map(|line| line.row.as_str()).collect();
        rows.join(",")
    }

    /// Which of these rows the service refused, if it was one.
    pub fn place(&self, heard: &Heard) -> Option<usize> {
        let place = usize::try_from(heard.whole["body"]["row"].as_u64()?).ok()?;
        (place < self.rows.len()).then_some(place)
    }

    pub fn refused(&self, heard: &Heard, imported: u64) -> Failure {
        let rows = match self.place(heard) {
            Some(place) => format!("line {}", self.rows[place].line),
            None => format!("rows {} to {}", self.first(), self.last()),
        };
        let imported = counted(imported, "row is imported", "rows are imported");
        let refusal = heard.refusal("import_members").message;
        Failure::refused(format!("{rows}: {refusal}; {imported}, the others are not (--skip-bad leaves such rows out)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_full_at_256_rows_or_60_kib() {
        let mut batch = Batch::default();
        for number in 1..=ROWS_PER_COMMAND {
            assert!(!batch.is_full_with("{}"));
            batch.push(Line { number, line: number + 1, row: "{}".to_owned() });
        }
        assert!(batch.is_full_with("{}"));
        let mut long = Batch::default();
        long.push(Line { number: 1, line: 2, row: "x".repeat(40 << 10) });
        assert!(long.is_full_with(&"x".repeat(20 << 10)));
    }
}
