//! The whole file is checked before any row of it is sent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use jiff::civil::Date;

use super::columns::{Columns, Field};
use super::row::Row;
use super::source::{LineCount, Source};
use crate::cli::client::Greeting;
use crate::cli::counted;

/// Enough to see what kind of mistake it is; the count tells the rest.
pub const BAD_ROWS_SHOWN_MAX: usize = 50;

/// What a file is checked against.
#[derive(Clone, Debug)]
pub struct Rules {
    pub today: Date,
    pub min_age_years: i64,
    /// Highest balance of each rate in use. `None` of them known: rates are not checked.
    pub ceilings: BTreeMap<i64, i64>,
}

impl Rules {
    /// The law's least age, and no rates: for a check without a service.
    pub fn offline(today: Date) -> Self {
        Self { today, min_age_years: 18, ceilings: BTreeMap::new() }
    }

    /// The site's own settings.
    pub fn of(greeting: &Greeting, today: Date) -> Self {
        let active = greeting.rate_table.rates.iter().filter(|rate| rate.active);
        let ceilings = active.map(|rate| (rate.rate_id, rate.max_units)).collect();
        Self { today, min_age_years: greeting.settings.min_age_years, ceilings }
    }
}

/// What is wrong in one row.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BadRow {
    /// Line of the file at which the row begins, from 1.
    pub line: u64,
    pub column: String,
    pub reason: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, {}: {}", self.line, self.column, self.reason)
    }
}

/// A file that was read to its end.
#[derive(Debug)]
pub struct Checked {
    pub columns: Columns,
    pub rows: u64,
    /// Numbers of the bad rows, from 1.
    pub bad: HashSet<u64>,
    /// The first [`BAD_ROWS_SHOWN_MAX`] mistakes.
    pub shown: Vec<BadRow>,
    pub mistakes: u64,
}

impl Checked {
    fn report(&mut self, row: u64, mistake: BadRow) {
        self.bad.insert(row);
        self.mistakes += 1;
        if self.shown.len() < BAD_ROWS_SHOWN_MAX {
            self.shown.push(mistake);
        }
    }
}

/// A reader over a source; rows of any length, so that a short one is reported and not the end of the check.
pub(super) fn reader(source: &Source) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().flexible(true).from_reader(source.text().as_bytes())
}

/// Checks every row: each column, the number of columns, and cards that stand in two rows.
///
/// # Errors
/// The header is wrong: then no row means anything.
pub fn check(source: &Source, rules: &Rules) -> Result<Checked, String> {
    let mut reader = reader(source);
    let header = reader.headers().map_err(|e| e.to_string())?.iter().map(str::trim).collect();
    let columns = Columns::read(&header)?;
    if !rules.ceilings.is_empty()
        && let Some(rate) = columns.rates().find(|rate| !rules.ceilings.contains_key(rate))
    {
        return Err(format!("line 1: column {:?}: the site has no such rate in use", columns.name_of(Field::Balance(rate))));
    }
    let mut checked = Checked { columns, rows: 0, bad: HashSet::new(), shown: Vec::new(), mistakes: 0 };
    let mut cards: HashMap<String, u64> = HashMap::new();
    let (mut record, mut lines) = (csv::StringRecord::new(), LineCount::of(source.text()));
    while reader.read_record(&mut record).map_err(|e| e.to_string())? {
        checked.rows += 1;
        let row = Unchecked { record: &record, line: lines.line_of(&record), width: header.len() };
        check_row(&row, rules, &mut checked, &mut cards);
    }
    if checked.rows == 0 { Err("holds no rows".into()) } else { Ok(checked) }
}

struct Unchecked<'a> {
    record: &'a csv::StringRecord,
    line: u64,
    /// Columns of the header.
    width: usize,
}

fn check_row(row: &Unchecked<'_>, rules: &Rules, checked: &mut Checked, cards: &mut HashMap<String, u64>) {
    let Unchecked { record, line, width } = *row;
    let number = checked.rows;
    if record.len() != width {
        let reason = format!("{}, the header has {width}", counted(record.len() as u64, "column", "columns"));
        return checked.report(number, BadRow { line, column: "row".into(), reason });
    }
    match Row::read(&checked.columns, record, rules) {
        Err(wrong) => {
            for (column, reason) in wrong {
                checked.report(number, BadRow { line, column, reason });
            }
        }
        Ok(row) => {
            if let Some(first) = cards.get(row.card_id) {
                let column = checked.columns.name_of(Field::CardId).to_owned();
                let reason = format!("{:?} is also in line {first}", row.card_id);
                return checked.report(number, BadRow { line, column, reason });
            }
            cards.insert(row.card_id.to_owned(), line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Checked, String> {
        let source = Source::from_bytes(text.as_bytes().to_vec()).unwrap();
        check(&source, &Rules { ceilings: BTreeMap::from([(1, 250_000)]), ..Rules::offline(jiff::civil::date(2026, 7, 1)) })
    }

    const HEADER: &str = "name,kana,birth_date,postal,address,phone,card_id,pin,balance:1";
    const GOOD: &str = "山田 太郎,ヤマダ タロウ,1980-02-29,123-4567,東京都,03-1234-5678,C1,0123,500";

    #[test]
    fn each_bad_value_is_reported_with_line_column_and_reason() {
        let cases = [
            ("山田 太郎", "", "name", "empty"),
            ("ヤマダ タロウ", "yamada", "kana", "not kana"),
            ("1980-02-29", "1981-02-29", "birth_date", "not a date"),
            ("1980-02-29", "2010-01-01", "birth_date", "younger than 18"),
            ("1980-02-29", "2030-01-01", "birth_date", "nobody's birthday"),
            ("123-4567", "12-34567", "postal", "seven digits"),
            ("03-1234-5678", "phone", "phone", "telephone"),
            (",C2,", ",,", "card_id", "empty"),
            (",C2,", ",C 2,", "card_id", "visible ASCII"),
            ("0123", "123", "pin", "four digits"),
            (",500", ",-1", "balance:1", "whole number"),
            (",500", ",250001", "balance:1", "ceiling of 250000"),
            (",0123,500", "", "row", "7 columns"),
        ];
        for (from, to, column, reason) in cases {
            let second = GOOD.replace("C1", "C2").replace(from, to);
            let text = format!("{HEADER}\n{GOOD}\n{second}\n");
            let found = checked(&text).unwrap();
            let mistake = &found.shown[0];
            assert_eq!((mistake.column.as_str(), found.mistakes), (column, 1), "{from} -> {to}: {:?}", found.shown);
            assert!(mistake.reason.contains(reason), "{from} -> {to}: {mistake}");
            assert_eq!(mistake.line, 3);
        }
    }

    #[test]
    fn a_card_in_two_rows_is_reported_with_both_lines() {
        let found = checked(&format!("{HEADER}\n{GOOD}\n{GOOD}\n")).unwrap();
        assert_eq!(found.shown[0].to_string(), "line 3, card_id: \"C1\" is also in line 2");
        assert_eq!(found.bad, HashSet::from([2]));
    }

    #[test]
    fn a_header_may_be_japanese_and_a_date_may_have_slashes() {
        let text = "カード番号,氏名,カナ,生年月日,残高:1\nC1,山田,ﾔﾏﾀﾞ,1980/2/9,\n";
        assert_eq!(checked(text).unwrap().mistakes, 0);
    }

    #[test]
    fn a_wrong_header_is_refused_with_the_column() {
        for (header, reason) in [
            ("name,kana,birth_date", "card_id (カード番号) is missing"),
            ("会員番号,氏名", "given by the service"),
            ("name,氏名", "hold the same"),
            ("name,colour", "\"colour\" is unknown"),
            ("name,kana,birth_date,card_id,balance:7", "no such rate"),
            ("balance:x", "names no rate"),
        ] {
            let error = checked(&format!("{header}\n")).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn the_list_of_mistakes_is_bounded_and_the_count_is_not() {
        let bad = ",ヤマダ,1980-01-01,,,,C1,,\n".repeat(BAD_ROWS_SHOWN_MAX + 9);
        let found = checked(&format!("{HEADER}\n{bad}")).unwrap();
        assert_eq!((found.shown.len(), found.mistakes), (BAD_ROWS_SHOWN_MAX, BAD_ROWS_SHOWN_MAX as u64 + 9));
    }
}
