//! One line of an actor's log, as it is read back.

use std::fmt;

use serde_json::{Map, Value};

use crate::model::UnixMs;

/// A line with the moment that it is sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub at: UnixMs,
    pub actor: String,
    /// As it stands in the file: what `--json` prints.
    pub text: String,
}

impl Line {
    /// A line that a crash cut has no time of its own: it follows the one before it.
    pub(super) fn read(actor: &str, text: String, before: UnixMs) -> Self {
        Self { at: time_of(&text).unwrap_or(before), actor: actor.to_owned(), text }
    }
}

fn time_of(text: &str) -> Option<UnixMs> {
    let fields: Map<String, Value> = serde_json::from_str(text).ok()?;
    let at: jiff::Timestamp = fields.get("ts")?.as_str()?.parse().ok()?;
    Some(UnixMs(at.as_millisecond()))
}

/// For people: time, level, actor, message, fields.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(&self.text) else {
            return write!(f, "{}: not a whole line: {}", self.actor, self.text);
        };
        let mut take = |key: &str| fields.remove(key).map_or_else(String::new, |value| bare(&value));
        let (at, level, actor, message) = (take("ts"), take("level"), take("actor"), take("msg"));
        write!(f, "{at} {level:<8} {actor}: {message}")?;
        fields.iter().try_for_each(|(key, value)| write!(f, ", {key}: {}", bare(value)))
    }
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What `--since` means at `now`: a moment (`2026-04-01T09:00:00Z`), or so long ago (`90s`, `15m`, `2h`, `3d`).
///
/// # Errors
/// One line that says what is understood.
pub fn since(text: &str, now: UnixMs) -> Result<UnixMs, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(UnixMs(at.as_millisecond()));
    }
    let bad = || format!("{text:?} is neither a time such as 2026-04-01T09:00:00Z nor a span such as 90s, 15m, 2h or 3d");
    let unit = text.chars().last().ok_or_else(bad)?;
    let unit_ms = [('s', 1_000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
    let (_, unit_ms) = unit_ms.into_iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| bad())?;
    Ok(UnixMs(now.0 - i64::from(count) * unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_with_its_fields_behind_its_message() {
        let text = r#"{"ts":"2026-04-01T09:00:00.250Z","level":"INFO","msg":"took over the address","actor":"address-keeper","epoch":8}"#;
        let line = Line::read("address-keeper", text.into(), UnixMs(0));
        assert_eq!(line.at, UnixMs(1_775_034_000_250));
        assert_eq!(line.to_string(), "2026-04-01T09:00:00.250Z INFO     address-keeper: took over the address, epoch: 8");
    }

    #[test]
    fn a_cut_line_keeps_its_place_and_its_text() {
        let line = Line::read("journal-writer", r#"{"ts":"2026-04"#.into(), UnixMs(7));
        assert_eq!(line.at, UnixMs(7));
        assert!(line.to_string().contains(r#"{"ts":"2026-04"#));
    }

    #[test]
    fn since_takes_moments_and_spans_and_refuses_the_rest_in_words() {
        let now = UnixMs(10_000_000);
        assert_eq!(since("90s", now), Ok(UnixMs(9_910_000)));
        assert_eq!(since("2h", now), Ok(UnixMs(2_800_000)));
        assert_eq!(since("1970-01-01T00:00:01Z", now), Ok(UnixMs(1_000)));
        for bad in ["", "5", "m", "-5m", "5w", "5é", "99999999999d", "yesterday"] {
            assert!(since(bad, now).unwrap_err().contains("15m"), "{bad}");
        }
    }
}
