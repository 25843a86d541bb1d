//! A terminal's request: one JSON object per line, the same envelope for every command. Pure. The body stays text; the application reads it.
//!
//! One pass: each field's value is found as raw text and read where it is expected, so that a failure names the field, and what was
//! readable of the command id is known whatever is wrong with the rest.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use super::answer::{Answer, AnswerRead, StoredOn, encode_answer};
pub use super::lines::{LINE_MAX, LineBuffer, LineRefusal};
use crate::model::application::PairCode;
use crate::model::{Bad, CommandId, Request, TerminalId};

/// The only version of the protocol so far.
pub const VERSION: i64 = 1;
/// Longest command name in bytes: twice the longest there is.
const COMMAND_LEN_MAX: usize = 32;
/// Longest key in bytes: 32 random bytes in hexadecimal, twice over.
const KEY_LEN_MAX: usize = 128;
/// Longest staff session token in bytes: signed tokens are a few hundred.
const SESSION_LEN_MAX: usize = 1024;

/// A request whose envelope was readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub terminal_id: TerminalId,
    pub key: String,
    pub command_id: CommandId,
    /// Lower-case letters, digits and `_` only.
    pub command: &'a str,
    /// A JSON object as it came.
    pub body: &'a str,
    /// First 16 bytes of BLAKE3 over command name, a zero byte, and body: what tells a repetition from another command of the same id.
    pub body_hash: [u8; 16],
    /// Days since 1970-01-01.
    pub known_day: Option<i32>,
    pub rate_table_version: Option<i64>,
    pub staff_session: Option<String>,
}

impl Envelope<'_> {
    /// The request for the application, once it has parsed command name and body.
    pub fn into_request<C>(self, command: C) -> Request<C> {
        Request {
            terminal_id: self.terminal_id,
            key: self.key,
            command_id: self.command_id,
            body_hash: self.body_hash,
            known_day: self.known_day,
            rate_table_version: self.rate_table_version,
            staff_session: self.staff_session,
            command,
        }
    }
}

/// A request that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// For the answer, if it could be read.
    pub command_id: Option<CommandId>,
    /// [`PairCode::BadRequest`] or [`PairCode::VersionUnknown`].
    pub why: PairCode,
}

/// Reads one line.
///
/// # Errors
/// [`Unreadable`]: the first field that is wrong. A version unknown here comes before everything but broken JSON, since its fields may
/// differ.
pub fn parse(line: &str) -> Result<Envelope<'_>, Unreadable> {
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_str(line);
    let read = (&mut found).deserialize(&mut json).and_then(|()| json.end());
    let command_id = found.raw[Field::CommandId as usize].and_then(|raw| command_id(raw).ok());
    let outcome = match read {
        Err(error) => Err(PairCode::BadRequest(bad("line", format!("is not one JSON object: {error}")))),
        Ok(()) => found.envelope(),
    };
    outcome.map_err(|why| Unreadable { command_id, why })
}

/// Fields of the envelope that are read, in the order of [`FIELDS`].
#[derive(Clone, Copy)]
enum Field {
    V,
    TerminalId,
    Key,
    CommandId,
    Command,
    Body,
    KnownDate,
    RateTableVer,
    StaffSession,
}

/// All fields of the envelope. `sent_at` is information for people who read captured traffic; nothing rests on a terminal's clock.
const FIELDS: [&str; 10] =
    ["v", "terminal_id", "key", "command_id", "command", "body", "known_date", "rate_table_ver", "staff_session", "sent_at"];

/// The values as they came, and the first field that should not be there.
#[derive(Default)]
struct Found<'a> {
    raw: [Option<&'a str>; FIELDS.len()],
    misplaced: Option<Bad>,
}

type Read<T> = Result<T, Bad>;

impl<'a> Found<'a> {
    fn note(&mut self, name: &str, value: &'a str) {
        let misplaced = match FIELDS.iter().position(|field| *field == name) {
            None => "is not a field of a request",
            Some(index) if self.raw[index].is_some() => "appears twice",
            Some(index) => {
                self.raw[index] = Some(value);
                return;
            }
        };
        // Names are shown to people; a hostile one is cut.
        let name: String = name.chars().take(64).collect();
        self.misplaced.get_or_insert(bad(&name, misplaced));
    }

    fn envelope(mut self) -> Result<Envelope<'a>, PairCode> {
        let version = self.required(Field::V, integer).map_err(PairCode::BadRequest)?;
        if version != VERSION {
            return Err(PairCode::VersionUnknown);
        }
        match self.misplaced.take() {
            Some(misplaced) => Err(PairCode::BadRequest(misplaced)),
            None => self.fields().map_err(PairCode::BadRequest),
        }
    }

    fn fields(&self) -> Read<Envelope<'a>> {
        let terminal_id = self.required(Field::TerminalId, |raw| text(raw, TerminalId::LEN_MAX))?.into_owned();
        let key = self.required(Field::Key, |raw| text(raw, KEY_LEN_MAX))?.into_owned();
        let command_id = self.required(Field::CommandId, command_id)?;
        let command = self.required(Field::Command, command_name)?;
        let body = self.required(Field::Body, object)?;
        Ok(Envelope {
            terminal_id: TerminalId(terminal_id),
            key,
            command_id,
            command,
            body,
            body_hash: body_hash(command, body),
            known_day: self.optional(Field::KnownDate, day)?,
            rate_table_version: self.optional(Field::RateTableVer, integer)?,
            staff_session: self.optional(Field::StaffSession, |raw| text(raw, SESSION_LEN_MAX))?.map(Cow::into_owned),
        })
    }

    fn required<T>(&self, field: Field, read: impl FnOnce(&'a str) -> Result<T, String>) -> Read<T> {
        let name = FIELDS[field as usize];
        let raw = self.raw[field as usize].ok_or_else(|| bad(name, "is missing"))?;
        read(raw).map_err(|reason| bad(name, reason))
    }

    /// `null` is as good as absent.
    fn optional<T>(&self, field: Field, read: impl FnOnce(&'a str) -> Result<T, String>) -> Read<Option<T>> {
        match self.raw[field as usize] {
            None | Some("null") => Ok(None),
            Some(_) => self.required(field, read).map(Some),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Found<'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Found<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key::<FieldName<'de>>()? {
            self.note(&name.0, fields.next_value::<&'de RawValue>()?.get());
        }
        Ok(())
    }
}

/// Borrowed unless it has escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct FieldName<'a>(#[serde(borrow)] Cow<'a, str>);

fn bad(field: &str, reason: impl Into<String>) -> Bad {
    Bad { field: field.to_owned(), reason: reason.into() }
}

fn body_hash(command: &str, body: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(command.as_bytes()).update(&[0]).update(body.as_bytes());
    *hasher.finalize().as_bytes().first_chunk().expect("a BLAKE3 hash has 32 bytes")
}

/// A string of 1 to `len_max` bytes without control characters.
fn text(raw: &str, len_max: usize) -> Result<Cow<'_, str>, String> {
    let plain = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or("is not a string")?;
    let text: Cow<'_, str> = if plain.contains('\\') {
        serde_json::from_str::<String>(raw).map_err(|error| error.to_string())?.into()
    } else {
        plain.into()
    };
    match text.len() {
        0 => Err("is empty".into()),
        len if len > len_max => Err(format!("has {len} bytes, at most {len_max} are possible")),
        _ if text.chars().any(char::is_control) => Err("has a control character".into()),
        _ => Ok(text),
    }
}

fn integer(raw: &str) -> Result<i64, String> {
    raw.parse().map_err(|_| "is not a whole number".into())
}

/// Without escapes, so that the hash covers what is executed.
fn command_name(raw: &str) -> Result<&str, String> {
    let name = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or("is not a string")?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > COMMAND_LEN_MAX || !name.bytes().all(allowed) {
        return Err(format!("is not a name of 1 to {COMMAND_LEN_MAX} lower-case letters, digits and _"));
    }
    Ok(name)
}

fn object(raw: &str) -> Result<&str, String> {
    if raw.starts_with('{') { Ok(raw) } else { Err("is not a JSON object".into()) }
}

fn command_id(raw: &str) -> Result<CommandId, String> {
    let digits = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(str::as_bytes);
    let mut id = [0; 16];
    if let Some((pairs, [])) = digits.map(<[u8]>::as_chunks::<2>)
        && pairs.len() == id.len()
    {
        for (byte, [high, low]) in id.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        return Ok(CommandId(id));
    }
    Err("is not a string of 32 hexadecimal digits".into())
}

fn digit(byte: u8) -> Result<u8, String> {
    char::from(byte).to_digit(16).map(|digit| digit as u8).ok_or_else(|| "has a character that is no hexadecimal digit".into())
}

/// `"YYYY-MM-DD"`, as days since 1970-01-01.
fn day(raw: &str) -> Result<i32, String> {
    let wrong = || "is not a date as \"YYYY-MM-DD\"".to_owned();
    let &[b'"', y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'"'] = raw.as_bytes() else { return Err(wrong()) };
    let number = |digits: &[u8]| {
        let add = |sum: i16, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + i16::from(digit - b'0'));
        digits.iter().try_fold(0, add).ok_or_else(wrong)
    };
    let (month, day) = (number(&[m0, m1])? as i8, number(&[d0, d1])? as i8);
    let date = jiff::civil::Date::new(number(&[y0, y1, y2, y3])?, month, day).map_err(|_| wrong())?;
    Ok((date - jiff::civil::date(1970, 1, 1)).get_days())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = concat!(
        r#"{"v":1,"terminal_id":"S-12","key":"k","command_id":"000102030405060708090a0b0c0d0e0F","command":"get_balance","#,
        r#""body":{"session":"x"},"sent_at":"whenever","known_date":"2026-02-28","rate_table_ver":7,"staff_session":null}"#
    );
    const ID: CommandId = CommandId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

    /// The field that is named as wrong in the good request with `from` replaced by `to`.
    fn wrong_field(from: &str, to: &str) -> (String, Option<CommandId>) {
        assert!(GOOD.contains(from), "{from}");
        match parse(&GOOD.replacen(from, to, 1)).unwrap_err() {
            Unreadable { command_id, why: PairCode::BadRequest(bad) } => (bad.field, command_id),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_good_request_is_read_whole() {
        let envelope = parse(GOOD).unwrap();
        let body = r#"{"session":"x"}"#;
        let whole = blake3::hash(format!("get_balance\0{body}").as_bytes());
        let expected = Envelope {
            terminal_id: TerminalId("S-12".into()),
            key: "k".into(),
            command_id: ID,
            command: "get_balance",
            body,
            body_hash: *whole.as_bytes().first_chunk().unwrap(),
            known_day: Some(20_512),
            rate_table_version: Some(7),
            staff_session: None,
        };
        assert_eq!(envelope, expected);
    }

    #[test]
    fn each_wrong_field_is_named_and_the_command_id_is_known_all_the_same() {
        for (field, from, to) in [
            ("v", r#""v":1,"#, ""),
            ("v", r#""v":1"#, r#""v":"1""#),
            ("terminal_id", "S-12", ""),
            ("terminal_id", "S-12", &"S".repeat(33)),
            ("terminal_id", "S-12", r"S\u0000"),
            ("terminal_id", r#""S-12""#, "12"),
            ("key", r#""key":"k","#, ""),
            ("command", "get_balance", "Get_balance"),
            ("command", "get_balance", r"get\u0062alance"),
            ("command", "get_balance", ""),
            ("body", r#"{"session":"x"}"#, "[]"),
            ("body", r#""body":{"session":"x"},"#, ""),
            ("known_date", "2026-02-28", "2026-02-29"),
            ("known_date", "2026-02-28", "2026-2-28"),
            ("known_date", "2026-02-28", "2026-+2-28"),
            ("rate_table_ver", ":7", ":7.5"),
            ("rate_table_ver", ":7", ":99999999999999999999"),
            ("staff_session", ":null", ":{}"),
            ("colour", r#""v":1"#, r#""v":1,"colour":{"deep":[1]}"#),
            ("key", r#""v":1"#, r#""v":1,"key":"first""#),
        ] {
            assert_eq!(wrong_field(from, to), (field.to_owned(), Some(ID)), "{from} -> {to}");
        }
    }

    #[test]
    fn a_command_id_of_the_wrong_form_is_named_and_not_echoed() {
        for wrong in
            ["", "00", "g00102030405060708090a0b0c0d0e0f", "000102030405060708090a0b0c0d0e0f00", "é00102030405060708090a0b0c0d0e"]
        {
            assert_eq!(wrong_field("000102030405060708090a0b0c0d0e0F", wrong), ("command_id".to_owned(), None));
        }
    }

    #[test]
    fn an_unknown_version_says_so_whatever_else_it_holds() {
        let refused = parse(r#"{"v":2,"command_id":"000102030405060708090a0b0c0d0e0f","new_field":1}"#).unwrap_err();
        assert_eq!(refused, Unreadable { command_id: Some(ID), why: PairCode::VersionUnknown });
    }

    #[test]
    fn json_broken_after_the_command_id_still_yields_it() {
        let refused = parse(r#"{"command_id":"000102030405060708090a0b0c0d0e0f","body":{]"#).unwrap_err();
        assert_eq!(refused.command_id, Some(ID));
        assert!(matches!(refused.why, PairCode::BadRequest(bad) if bad.field == "line"));
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for line in ["", " ", "1", "[]", "null", "\"x\"", "{}{}", "{\"v\":1}x", &"[".repeat(60_000), &"{\"a\":".repeat(10_000)] {
            assert!(parse(line).is_err());
        }
    }

    #[test]
    fn days_count_from_1970_in_both_directions() {
        assert_eq!(day("\"1970-01-01\""), Ok(0));
        assert_eq!(day("\"1969-12-31\""), Ok(-1));
        assert_eq!(day("\"9999-12-31\""), Ok(2_932_896));
    }

    proptest! {
        #[test]
        fn no_line_panics(line in any::<String>()) {
            let _ = parse(&line);
        }

        #[test]
        fn a_good_request_with_a_piece_cut_out_or_doubled_never_panics(at in 0..GOOD.len(), len in 0_usize..40, twice in any::<bool>()) {
            let end = (at + len).min(GOOD.len());
            let middle = if twice { GOOD[at..end].repeat(2) } else { String::new() };
            let _ = parse(&format!("{}{middle}{}", &GOOD[..at], &GOOD[end..]));
        }
    }
}
