//! One row of a member file: what each column may hold, and the row as `import_members` takes it.

use jiff::civil::Date;
use serde::Serialize;

use super::check::Rules;
use super::columns::{Columns, Field};

/// 256 rows of a command with four balances each are the most that it may carry (1,024).
pub(super) const BALANCES_MAX: usize = 4;
const NAME_CHARS_MAX: usize = 60;
const ADDRESS_CHARS_MAX: usize = 200;
const CARD_LEN_MAX: usize = 32;
const UNITS_MAX: i64 = 1_000_000_000;

/// A row of the command `import_members`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Row<'a> {
    person: Person<'a>,
    pub(super) card_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    opening: Vec<Opening>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Person<'a> {
    name: &'a str,
    kana: &'a str,
    birth_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Opening {
    rate_id: i64,
    units: i64,
}

impl<'a> Row<'a> {
    /// Reads and checks every column; all that is wrong is reported, as (column, reason).
    pub(super) fn read(columns: &Columns, record: &'a csv::StringRecord, rules: &Rules) -> Result<Self, Vec<(String, String)>> {
        let (mut row, mut wrong) = (Self::default(), Vec::new());
        for ((name, field), text) in columns.fields().zip(record) {
            if let Err(reason) = row.take(field, text.trim(), rules) {
                wrong.push((name.to_owned(), reason));
            }
        }
        if wrong.is_empty() { Ok(row) } else { Err(wrong) }
    }

    fn take(&mut self, field: Field, text: &'a str, rules: &Rules) -> Result<(), String> {
        match field {
            Field::Name => self.person.name = words(text, NAME_CHARS_MAX)?,
            Field::Kana => self.person.kana = kana(text)?,
            Field::BirthDate => self.person.birth_date = birth_date(text, rules)?,
            Field::Postal => self.person.postal = optional(text, postal)?,
            Field::Address => self.person.address = optional(text, |text| words(text, ADDRESS_CHARS_MAX))?,
            Field::Phone => self.person.phone = optional(text, phone)?,
            Field::CardId => self.card_id = card_id(text)?,
            Field::Pin => self.pin = optional(text, pin)?,
            Field::Balance(rate_id) => self.opening.extend(opening(text, rate_id, rules)?),
        }
        Ok(())
    }
}

fn optional<'a>(text: &'a str, check: impl Fn(&'a str) -> Result<&'a str, String>) -> Result<Option<&'a str>, String> {
    if text.is_empty() { Ok(None) } else { check(text).map(Some) }
}

fn words(text: &str, chars_max: usize) -> Result<&str, String> {
    let chars = text.chars().count();
    if chars == 0 {
        return Err("is empty".into());
    }
    if chars > chars_max {
        return Err(format!("{chars} characters, at most {chars_max} fit"));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(control) => Err(format!("contains the control character U+{:04X}", u32::from(control))),
        None => Ok(text),
    }
}

/// Katakana or hiragana, full or half width, with spaces, points and hyphens between names.
fn kana(text: &str) -> Result<&str, String> {
    let fits = |c: char| matches!(c, '\u{3041}'..='\u{30ff}' | '\u{ff65}'..='\u{ff9f}' | ' ' | '\u{3000}' | '-' | '.');
    match words(text, NAME_CHARS_MAX)?.chars().find(|c| !fits(*c)) {
        Some(other) => Err(format!("{other:?} is not kana")),
        None => Ok(text),
    }
}

/// `YYYY-MM-DD` or `YYYY/MM/DD` (as spreadsheets write it, `2001/4/5` too), of somebody old enough.
fn birth_date(text: &str, rules: &Rules) -> Result<String, String> {
    let not_a_date = || format!("{text:?} is not a date as YYYY-MM-DD");
    let parts: Vec<&str> = text.split(['-', '/']).collect();
    let [year, month, day] = parts[..] else { return Err(not_a_date()) };
    let number = |part: &str| if part.bytes().all(|b| b.is_ascii_digit()) { part.parse::<i16>().ok() } else { None };
    let (Some(year), Some(month), Some(day)) = (number(year), number(month), number(day)) else { return Err(not_a_date()) };
    let (Ok(month), Ok(day)) = (i8::try_from(month), i8::try_from(day)) else { return Err(not_a_date()) };
    let date = Date::new(year, month, day).map_err(|_| not_a_date())?;
    if date.year() < 1900 || date > rules.today {
        return Err(format!("{date} is nobody's birthday"));
    }
    let before_birthday = (rules.today.month(), rules.today.day()) < (date.month(), date.day());
    let age = i64::from(rules.today.year() - date.year()) - i64::from(before_birthday);
    if age < rules.min_age_years { Err(format!("{date}: younger than {}", rules.min_age_years)) } else { Ok(date.to_string()) }
}

fn postal(text: &str) -> Result<&str, String> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let hyphens = text.bytes().filter(|b| *b == b'-').count();
    let fits = digits == 7 && digits + hyphens == text.len() && (hyphens == 0 || (hyphens == 1 && text.find('-') == Some(3)));
    if fits { Ok(text) } else { Err(format!("{text:?} is not seven digits (123-4567)")) }
}

fn phone(text: &str) -> Result<&str, String> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'(' | b')' | b' '));
    let fits = (9..=15).contains(&digits) && plain && text.len() <= 24;
    if fits { Ok(text) } else { Err(format!("{text:?} is not a telephone number (9 to 15 digits)")) }
}

fn card_id(text: &str) -> Result<&str, String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    let fits = text.len() <= CARD_LEN_MAX && text.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(text) } else { Err(format!("{text:?} is not 1 to {CARD_LEN_MAX} visible ASCII characters without spaces")) }
}

fn pin(text: &str) -> Result<&str, String> {
    let fits = text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
    // The value itself is a secret and stays out of the report.
    if fits { Ok(text) } else { Err("is not four digits".into()) }
}

/// Nothing and 0 open no account.
fn opening(text: &str, rate_id: i64, rules: &Rules) -> Result<Option<Opening>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let units: i64 = match text.parse() {
        Ok(units) if (0..=UNITS_MAX).contains(&units) => units,
        _ => return Err(format!("{text:?} is not a whole number from 0 to {UNITS_MAX}")),
    };
    match rules.ceilings.get(&rate_id) {
        Some(ceiling) if units > *ceiling => Err(format!("{units} is above the account's ceiling of {ceiling}")),
        _ => Ok((units > 0).then_some(Opening { rate_id, units })),
    }
}
