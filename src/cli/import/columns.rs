//! The header row: which column holds what, in English or Japanese.

use super::row::BALANCES_MAX;
use crate::ledger::rows::Rate;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    Kana,
    BirthDate,
    Postal,
    Address,
    Phone,
    CardId,
    Pin,
    /// Opening balance at this rate.
    Balance(i64),
}

/// English name, Japanese name, whether a file needs the column.
const NAMES: [(&str, &str, Field, bool); 8] = [
    ("name", "氏名", Field::Name, true),
    ("kana", "カナ", Field::Kana, true),
    ("birth_date", "生年月日", Field::BirthDate, true),
    ("postal", "郵便番号", Field::Postal, false),
    ("address", "住所", Field::Address, false),
    ("phone", "電話", Field::Phone, false),
    ("card_id", "カード番号", Field::CardId, true),
    ("pin", "暗証番号", Field::Pin, false),
];
const MEMBER_NUMBERS: [&str; 2] = ["member_no", "会員番号"];

/// The columns of a file, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Vec<(String, Field)>);

impl Columns {
    /// Reads the header row.
    ///
    /// # Errors
    /// The column that is unknown, missing or there twice.
    pub fn read(header: &csv::StringRecord) -> Result<Self, String> {
        let mut columns: Vec<(String, Field)> = Vec::with_capacity(header.len());
        for name in header {
            let field = field(name)?;
            if let Some((earlier, _)) = columns.iter().find(|(_, known)| *known == field) {
                return Err(format!("line 1: columns {earlier:?} and {name:?} hold the same"));
            }
            columns.push((name.to_owned(), field));
        }
        for (english, japanese, field, _) in NAMES.iter().filter(|(.., needed)| *needed) {
            if !columns.iter().any(|(_, known)| known == field) {
                return Err(format!("line 1: column {english} ({japanese}) is missing"));
            }
        }
        if columns.len() > NAMES.len() + BALANCES_MAX {
            return Err(format!("line 1: more than {BALANCES_MAX} balance columns"));
        }
        Ok(Self(columns))
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, Field)> {
        self.0.iter().map(|(name, field)| (name.as_str(), *field))
    }

    /// The file's own name of a column.
    pub(super) fn name_of(&self, field: Field) -> &str {
        self.0.iter().find(|(_, known)| *known == field).map_or("", |(name, _)| name)
    }

    /// Rates that balances are given for.
    pub(super) fn rates(&self) -> impl Iterator<Item = i64> {
        self.0.iter().filter_map(|(_, field)| if let Field::Balance(rate) = field { Some(*rate) } else { None })
    }
}

fn field(name: &str) -> Result<Field, String> {
    if let Some((.., field, _)) = NAMES.iter().find(|(english, japanese, ..)| name == *english || name == *japanese) {
        return Ok(*field);
    }
    if MEMBER_NUMBERS.contains(&name) {
        return Err(format!("line 1: column {name:?}: member numbers are given by the service; leave this column out"));
    }
    let rate = name.strip_prefix("balance:").or_else(|| name.strip_prefix("残高:"));
    match rate.map(str::parse) {
        Some(Ok(rate)) if (1..=Rate::ID_MAX).contains(&rate) => Ok(Field::Balance(rate)),
        Some(_) => Err(format!("line 1: column {name:?} names no rate (1 to {})", Rate::ID_MAX)),
        None => Err(format!("line 1: column {name:?} is unknown")),
    }
}
