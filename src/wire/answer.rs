//! A terminal's answer: one JSON object per line. Written straight into the connection's buffer; read back by our own clients.

use std::borrow::Cow;
use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{CommandId, Epoch, Mode, Response, Sequence, Status};

/// Where the data that an answer rests on was durable when the answer left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredOn {
    Both,
    One,
}

/// Everything in an answer: the response, and what is worked out when it leaves.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// `None` if the request's could not be read.
    pub command_id: Option<CommandId>,
    pub response: &'a Response,
    /// `None` if the answer rests on no data (`retry`, a bad request).
    pub stored_on: Option<StoredOn>,
    pub epoch: Epoch,
    pub sequence: Sequence,
    /// Business day, days since 1970-01-01.
    pub day: Option<i32>,
    pub mode: Mode,
    pub repeated: bool,
}

/// Appends the answer and a newline to `out`, so that many answers can leave in one write.
pub fn encode_answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    out.extend_from_slice(b"{\"command_id\":");
    command_id(out, answer.command_id);
    out.extend_from_slice(b",\"status\":");
    out.extend_from_slice(status(answer.response.status));
    for (name, value) in
        [("code", &answer.response.code), ("text_ja", &answer.response.text_ja), ("text_en", &answer.response.text_en)]
    {
        append(out, format_args!(",\"{name}\":"));
        serde_json::to_writer(&mut *out, value).expect("a string always encodes, and memory does not refuse a write");
    }
    out.extend_from_slice(b",\"body\":");
    body(out, &answer.response.body);
    out.extend_from_slice(match answer.stored_on {
        Some(StoredOn::Both) => b",\"stored_on\":\"both\"",
        Some(StoredOn::One) => b",\"stored_on\":\"one\"",
        None => b",\"stored_on\":null",
    });
    append(out, format_args!(",\"epoch\":{},\"sequence\":{},\"date\":", answer.epoch.0, answer.sequence.0));
    date(out, answer.day);
    append(out, format_args!(",\"mode\":\"{}\",\"repeated\":{}}}\n", mode(answer.mode), answer.repeated));
}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("memory does not refuse a write");
}

fn command_id(out: &mut Vec<u8>, id: Option<CommandId>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let Some(CommandId(bytes)) = id else { return out.extend_from_slice(b"null") };
    out.push(b'"');
    out.extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
    out.push(b'"');
}

fn status(status: Status) -> &'static [u8] {
    match status {
        Status::Ok => b"\"ok\"",
        Status::Rejected => b"\"rejected\"",
        Status::Retry => b"\"retry\"",
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Starting => "starting",
        Mode::Pair => "pair",
        Mode::Solo => "solo",
        Mode::Rejoining => "rejoining",
        Mode::Suspended => "suspended",
    }
}

/// A line break in JSON text is white space (in a string it is escaped), but here it would end the answer: it becomes a space.
fn body(out: &mut Vec<u8>, body: &str) {
    match body {
        "" => out.extend_from_slice(b"{}"),
        body if body.bytes().any(|byte| byte == b'\n') => {
            out.extend(body.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
        }
        body => out.extend_from_slice(body.as_bytes()),
    }
}

fn date(out: &mut Vec<u8>, day: Option<i32>) {
    let from_epoch = |day: i32| jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(day).ok()?).ok();
    // No business day lies outside the years 1 to 9999; if one did, an answer without a date beats none.
    match day.and_then(from_epoch) {
        Some(date) => append(out, format_args!("\"{:04}-{:02}-{:02}\"", date.year(), date.month(), date.day())),
        None => out.extend_from_slice(b"null"),
    }
}

/// An answer as a client reads it.
#[derive(Debug, Deserialize)]
pub struct AnswerRead<'a> {
    /// 32 hexadecimal digits.
    #[serde(borrow)]
    pub command_id: Option<Cow<'a, str>>,
    pub status: Status,
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    #[serde(borrow)]
    pub text_ja: Cow<'a, str>,
    #[serde(borrow)]
    pub text_en: Cow<'a, str>,
    #[serde(borrow)]
    pub body: &'a RawValue,
    pub stored_on: Option<StoredOn>,
    pub epoch: Epoch,
    pub sequence: Sequence,
    #[serde(borrow)]
    pub date: Option<Cow<'a, str>>,
    pub mode: Mode,
    pub repeated: bool,
}

impl<'a> AnswerRead<'a> {
    /// Reads one line. Fields unknown here are skipped: a newer server may append some.
    ///
    /// # Errors
    /// [`serde_json::Error`] names line and column.
    pub fn parse(line: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn response(code: &str, body: &str) -> Response {
        let [code, text_ja, text_en, body] = [code, "暗証番号が違います。", "Wrong PIN.", body].map(str::to_owned);
        Response { status: Status::Rejected, code, text_ja, text_en, body }
    }

    fn encoded(response: &Response, stored_on: Option<StoredOn>, day: Option<i32>) -> String {
        let command_id = Some(CommandId([0xa5; 16]));
        let (epoch, sequence) = (Epoch(u64::MAX), Sequence(7));
        let mut out = Vec::new();
        encode_answer(
            &mut out,
            &Answer { command_id, response, stored_on, epoch, sequence, day, mode: Mode::Solo, repeated: true },
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_answer_is_one_line_in_the_order_of_the_interface() {
        let line = encoded(&response("WRONG_PIN", "{\"left\":\n2}"), Some(StoredOn::One), Some(20_512));
        let expected = concat!(
            r#"{"command_id":"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5","status":"rejected","code":"WRONG_PIN","#,
            r#""text_ja":"暗証番号が違います。","text_en":"Wrong PIN.","body":{"left": 2},"stored_on":"one","#,
            r#""epoch":18446744073709551615,"sequence":7,"date":"2026-02-28","mode":"solo","repeated":true}"#,
            "\n"
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn what_is_not_known_is_null() {
        let response = response("", "");
        let mut out = Vec::new();
        let (command_id, stored_on, day) = (None, None, None);
        let (epoch, sequence, mode) = (Epoch(0), Sequence(0), Mode::Starting);
        encode_answer(
            &mut out,
            &Answer { command_id, response: &response, stored_on, epoch, sequence, day, mode, repeated: false },
        );
        let read = AnswerRead::parse(std::str::from_utf8(&out).unwrap()).unwrap();
        assert!(read.command_id.is_none() && read.stored_on.is_none() && read.date.is_none());
        assert_eq!(read.body.get(), "{}");
    }

    #[test]
    fn a_day_outside_the_calendar_leaves_no_date() {
        assert!(encoded(&response("", "{}"), None, Some(i32::MAX)).contains(r#""date":null"#));
    }

    proptest! {
        #[test]
        fn what_is_encoded_parses_again(code in any::<String>(), value in any::<String>(), day in -700_000..2_900_000) {
            let body = serde_json::json!({ "value": value }).to_string();
            let line = encoded(&response(&code, &body), Some(StoredOn::Both), Some(day));
            prop_assert_eq!(line.bytes().filter(|byte| *byte == b'\n').count(), 1);
            let read = AnswerRead::parse(&line).unwrap();
            prop_assert_eq!(&*read.code, &code);
            prop_assert_eq!(read.body.get(), &body);
            prop_assert_eq!((read.stored_on, read.status, read.mode), (Some(StoredOn::Both), Status::Rejected, Mode::Solo));
            prop_assert!(read.date.is_some());
        }
    }
}
