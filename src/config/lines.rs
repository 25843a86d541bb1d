//! Where in the file something stands that is refused.

use std::path::Path;

use toml::de::{DeTable, DeValue};

/// What a check refuses, before anybody knows on which line it stands.
#[derive(Debug)]
pub struct Refusal {
    /// As `addresses.sub`.
    pub key: &'static str,
    pub reason: String,
}

pub fn refuse<T>(key: &'static str, reason: String) -> Result<T, Refusal> {
    Err(Refusal { key, reason })
}

impl Refusal {
    pub fn at_its_line(&self, text: &str) -> String {
        located(line_of(text, self.key), self.key, &self.reason)
    }

    pub fn without_line(&self) -> String {
        located(None, self.key, &self.reason)
    }
}

/// Something that a key names cannot be opened, which shows only after the file was read: one line that names the file, line and key.
pub fn unusable(file: &Path, key: &str, reason: &str) -> String {
    // It was readable a moment ago; if it no longer is, there is no line to name.
    let line = std::fs::read_to_string(file).ok().and_then(|text| line_of(&text, key));
    format!("{}: {}", file.display(), located(line, key, reason))
}

/// The TOML parser draws a picture over several lines; a config error is one line, with the key where one is known.
pub fn one_line(text: &str, key: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| line_at(text, span.start));
    // A file that is no TOML has no path to anything, and that of the whole file is ".".
    let key = match error.span().filter(|_| error.message() == "duplicate key") {
        Some(span) => text.get(span).unwrap_or_default(),
        None if key == "." => "",
        None => key,
    };
    located(line, key, &error.message().replace('\n', " "))
}

fn located(line: Option<usize>, key: &str, reason: &str) -> String {
    let line = line.map_or(String::new(), |line| format!("line {line}: "));
    let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
    format!("{line}{key}{reason}")
}

fn line_at(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}

/// The line of a key, or of the innermost table around it that is there: a default that does not fit stands nowhere itself.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = Some(document.get_ref());
    let mut offset = None;
    for part in key.split('.') {
        let Some((name, value)) = table.and_then(|table| table.get_key_value(part)) else { break };
        offset = Some(name.span().start);
        table = match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            _ => None,
        };
    }
    offset.map(|offset| line_at(text, offset))
}
