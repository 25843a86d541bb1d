//! Lines as JSON or as CSV.

use actix_web::HttpRequest;
use actix_web::http::header::ACCEPT;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::ledger::analysis::{Cell, Lines};
use crate::model::Position;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
}

impl Format {
    /// As the parameter names it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// What the parameter says; else CSV for whoever accepts that and does not name JSON.
    pub fn of(asked: Option<Self>, request: &HttpRequest) -> Self {
        let accepts =
            |kind| request.headers().get_all(ACCEPT).any(|value| value.to_str().is_ok_and(|value| value.contains(kind)));
        let by_header = if accepts("text/csv") && !accepts("application/json") { Self::Csv } else { Self::Json };
        asked.unwrap_or(by_header)
    }
}

/// `{"position":{…},"about":{…},"rows":[{…}],"next":…}`; `about` only where there is something.
pub(super) fn json(position: Position, lines: &Lines, next: Option<&str>) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Answer<'a> {
        position: Place,
        #[serde(skip_serializing_if = "Option::is_none")]
        about: Option<About<'a>>,
        rows: Vec<Named<'a>>,
        next: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Place {
        epoch: u64,
        sequence: u64,
    }
    let place = Place { epoch: position.epoch.0, sequence: position.sequence.0 };
    let about = (!lines.about.is_empty()).then_some(About(&lines.about));
    let rows = lines.rows.iter().map(|cells| Named { columns: lines.columns, cells }).collect();
    serde_json::to_string(&Answer { position: place, about, rows, next })
}

struct About<'a>(&'a [(&'static str, Cell)]);

impl Serialize for About<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, cell)| (name, cell)))
    }
}

/// A line as an object, its columns in their order.
struct Named<'a> {
    columns: &'a [&'static str],
    cells: &'a [Cell],
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.columns.len()))?;
        self.columns.iter().zip(self.cells).try_for_each(|(name, cell)| map.serialize_entry(name, cell))?;
        map.end()
    }
}

/// RFC 4180 in UTF-8 with a byte order mark, without which spreadsheets garble Japanese.
pub(super) fn csv(lines: &Lines) -> csv::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer("\u{FEFF}".as_bytes().to_vec());
    writer.write_record(lines.columns)?;
    for row in &lines.rows {
        writer.write_record(row.iter().map(text))?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Number(number) => number.to_string(),
        Cell::Flag(flag) => flag.to_string(),
        Cell::Text(text) if is_formula(text) => format!("'{text}"),
        Cell::Text(text) => text.clone(),
    }
}

/// Texts that a spreadsheet would run: a member's name is whatever somebody wrote on a form. Full-width signs count as well.
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, Sequence};

    fn one(cells: Vec<Cell>) -> Lines {
        Lines { columns: &["a", "b"], rows: vec![cells], ..Lines::default() }
    }

    fn line_of(cells: Vec<Cell>) -> String {
        String::from_utf8(csv(&one(cells)).unwrap()).unwrap().split_once("\r\n").unwrap().1.to_owned()
    }

    #[test]
    fn csv_begins_with_a_byte_order_mark_and_its_columns_even_without_a_line() {
        let none = Lines { columns: &["a", "b"], ..Lines::default() };
        assert_eq!(csv(&none).unwrap(), "\u{FEFF}a,b\r\n".as_bytes());
    }

    #[test]
    fn quotes_commas_and_line_breaks_are_quoted_as_rfc_4180_asks() {
        assert_eq!(
            line_of(vec![Cell::Text("say \"no\", he\r\nsaid".into()), Cell::Empty]),
            "\"say \"\"no\"\", he\r\nsaid\",\r\n"
        );
    }

    #[test]
    fn no_text_is_a_formula_and_negative_numbers_stay_numbers() {
        for sign in ["=", "+", "-", "@", "\t", "\r", "＝"] {
            let line = line_of(vec![Cell::Text(format!("{sign}cmd()")), Cell::Number(-125)]);
            assert!(line.trim_start_matches('"').starts_with('\''), "{line:?}");
            assert!(line.ends_with(",-125\r\n"), "{line:?}");
        }
    }

    #[test]
    fn json_keeps_the_columns_in_order_and_their_types() {
        let position = Position { epoch: Epoch(2), sequence: Sequence(9), ..Position::GENESIS };
        let lines = one(vec![Cell::Flag(true), Cell::Empty]);
        let expected = r#"{"position":{"epoch":2,"sequence":9},"rows":[{"a":true,"b":null}],"next":"/x?after=1"}"#;
        assert_eq!(json(position, &lines, Some("/x?after=1")).unwrap(), expected);
    }
}
