//! Types of the values that arrive in a command's body. Each one can only be built from a value that both store engines take,
//! so that nothing a store could refuse gets a number.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::calendar;
use crate::model::Bad;

/// Reads a body. Fields that the body type does not know are refused.
///
/// # Errors
/// [`Bad`] names the field, as `body.rows[3].kana`.
pub fn read<T: DeserializeOwned>(body: &str) -> Result<T, Bad> {
    serde_json::from_str(body).map_err(|_| explain::<T>(body))
}

/// Reads once more, now keeping track of the field: only refused bodies pay for it.
fn explain<T: DeserializeOwned>(body: &str) -> Bad {
    let json = &mut serde_json::Deserializer::from_str(body);
    match serde_path_to_error::deserialize::<_, T>(json) {
        Ok(_) => Bad { field: "body".into(), reason: "has text after its end".into() },
        Err(error) => Bad { field: place(&error.path().to_string()), reason: plain(&error.inner().to_string()) },
    }
}

/// serde's words for what a field takes, and those of whoever writes terminals in whatever language.
const WORDS: [(&str, &str); 9] = [
    ("i64", "an integer"),
    ("i32", "an integer"),
    ("u64", "an integer"),
    ("u32", "an integer"),
    ("u16", "an integer"),
    ("u8", "an integer"),
    ("a sequence", "a list"),
    ("a boolean", "true or false"),
    ("struct ", "an object"),
];

fn plain(reason: &str) -> String {
    // What came is quoted before, and may hold these words too.
    let Some((came, expected)) = reason.rsplit_once(", expected ") else { return reason.into() };
    let Some((_, plain)) = WORDS.iter().find(|(word, _)| expected.starts_with(word)) else { return reason.into() };
    // serde_json adds where.
    let place = expected.rfind(" at line ").map_or("", |at| &expected[at..]);
    format!("{came}, expected {plain}{place}")
}

fn place(path: &str) -> String {
    if path == "." { "body".into() } else { format!("body.{path}") }
}

/// A refusal of one field of a body that is well formed field by field.
pub fn bad(field: &str, reason: &str) -> Bad {
    Bad { field: format!("body.{field}"), reason: reason.into() }
}

/// A count of units that moves: 1 to [`Units::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Units(i64);

impl Units {
    /// A thousand times the largest account that a guarantee covers, and far from overflow in every sum.
    pub const MAX: i64 = 1_000_000_000;

    pub fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Units {
    type Error = String;

    fn try_from(units: i64) -> Result<Self, String> {
        in_range(units, 1, Self::MAX).map(Self)
    }
}

/// A count of units delivered: 0 to [`Units::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Delivered(i64);

impl Delivered {
    pub fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Delivered {
    type Error = String;

    fn try_from(units: i64) -> Result<Self, String> {
        in_range(units, 0, Units::MAX).map(Self)
    }
}

/// A number that the ledger has given out (member, rate, payout): 1 to [`Number::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Number(i64);

impl Number {
    /// Keeps `member_no * 1000 + rate_id` inside an `i64`.
    pub const MAX: i64 = 1_000_000_000_000;

    pub fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Number {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        in_range(number, 1, Self::MAX).map(Self)
    }
}

pub(super) fn in_range(value: i64, least: i64, most: i64) -> Result<i64, String> {
    if (least..=most).contains(&value) { Ok(value) } else { Err(format!("{value} is not within {least} to {most}")) }
}

/// Text for people: 1 to `CHARS_MAX` characters, none of them a control character; otherwise kept exactly as it came.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Text<const CHARS_MAX: usize>(String);

impl<const CHARS_MAX: usize> Text<CHARS_MAX> {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const CHARS_MAX: usize> TryFrom<String> for Text<CHARS_MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let chars = text.chars().count();
        if chars == 0 || chars > CHARS_MAX {
            return Err(format!("{chars} characters, expected 1 to {CHARS_MAX}"));
        }
        match text.chars().find(|c| c.is_control()) {
            Some(control) => Err(format!("contains the control character U+{:04X}", u32::from(control))),
            None => Ok(Self(text)),
        }
    }
}

/// A name made by machines or printed on a card: 1 to `LEN_MAX` visible ASCII characters without spaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Id<const LEN_MAX: usize>(String);

impl<const LEN_MAX: usize> Id<LEN_MAX> {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const LEN_MAX: usize> TryFrom<String> for Id<LEN_MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() || text.len() > LEN_MAX {
            return Err(format!("{} bytes, expected 1 to {LEN_MAX}", text.len()));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("only visible ASCII characters without spaces are allowed".into());
        }
        Ok(Self(text))
    }
}

pub type CardId = Id<32>;
pub type StaffId = Id<32>;
/// A session as this application issues them; see `session`.
pub type Token = Id<512>;
/// Why somebody did something, for the audit.
pub type Reason = Text<200>;

/// Four digits. Never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pin([u8; 4]);

impl Pin {
    pub fn digits(&self) -> &[u8; 4] {
        &self.0
    }
}

impl TryFrom<String> for Pin {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits: [u8; 4] = text.into_bytes().try_into().map_err(|_| "expected 4 digits")?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err("expected 4 digits") }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(****)")
    }
}

/// 32 bytes as 64 hexadecimal digits. Never printed: it may be derived from a password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hash32(pub [u8; 32]);

impl TryFrom<String> for Hash32 {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        blake3::Hash::from_hex(&text).map(|hash| Self(*hash.as_bytes())).map_err(|_| "expected 64 hexadecimal digits")
    }
}

impl fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash32(..)")
    }
}

/// A calendar date, `YYYY-MM-DD` from 1900 to 2199, held as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Date(i32);

impl Date {
    pub fn day(self) -> i32 {
        self.0
    }
}

impl TryFrom<String> for Date {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        calendar::day_from_text(&text).map(Self).ok_or("expected a date as YYYY-MM-DD from 1900 to 2199")
    }
}
