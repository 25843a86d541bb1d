//! A command as the line that a terminal sends.

use crate::cli::Failure;

/// Who sends: the name and the secret key that `duplex init` gave to a terminal, and what the terminal has learnt since.
#[derive(Clone, PartialEq, Eq)]
pub struct Terminal {
    pub terminal_id: String,
    pub key: String,
    /// From the answer to `hello`; commands that deal in units are refused with another one.
    pub rate_table_ver: Option<i64>,
    /// The business day at the last `hello`. A repeat that comes after the records of that day have left is refused, not executed anew.
    pub known_date: Option<String>,
    /// From the answer to `sign_in`.
    pub staff_session: Option<String>,
}

impl Terminal {
    pub fn new(terminal_id: impl Into<String>, key: impl Into<String>) -> Self {
        Self { terminal_id: terminal_id.into(), key: key.into(), rate_table_ver: None, known_date: None, staff_session: None }
    }

    /// Writes the request line, newline included, into `line` (cleared first; the buffer is kept from command to command).
    /// `body` is a JSON object as text.
    pub fn write_request(&self, line: &mut Vec<u8>, command_id: &str, command: &str, body: &str) {
        line.clear();
        line.extend_from_slice(br#"{"v":1,"terminal_id":"#);
        write_text(line, &self.terminal_id);
        line.extend_from_slice(br#","key":"#);
        write_text(line, &self.key);
        line.extend_from_slice(br#","command_id":"#);
        write_text(line, command_id);
        line.extend_from_slice(br#","command":"#);
        write_text(line, command);
        if let Some(version) = self.rate_table_ver {
            line.extend_from_slice(br#","rate_table_ver":"#);
            serde_json::to_writer(&mut *line, &version).expect("a number is always JSON");
        }
        if let Some(date) = &self.known_date {
            line.extend_from_slice(br#","known_date":"#);
            write_text(line, date);
        }
        if let Some(session) = &self.staff_session {
            line.extend_from_slice(br#","staff_session":"#);
            write_text(line, session);
        }
        line.extend_from_slice(br#","body":"#);
        line.extend_from_slice(body.as_bytes());
        line.extend_from_slice(b"}\n");
    }
}

/// The secret key never reaches a log.
impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Terminal({:?})", self.terminal_id)
    }
}

/// Quotes and escapes; writing to memory cannot fail, nor can text be refused as JSON.
fn write_text(line: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(line, text).expect("a string is always JSON");
}

/// A command id as it travels: 32 lowercase hexadecimal digits.
pub fn command_id_of(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(32);
    write_hex(&mut text, bytes);
    text
}

/// A random command id, for commands typed by hand.
///
/// # Errors
/// The system gives no randomness.
pub fn new_command_id() -> Result<String, Failure> {
    Ok(command_id_of(random()?))
}

/// The command ids of one simulated terminal: eight random bytes drawn once, then a count. Never twice the same, no system call each.
pub struct CommandIds {
    nonce: [u8; 8],
    count: u64,
}

impl CommandIds {
    /// # Errors
    /// The system gives no randomness.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self { nonce: random()?, count: 0 })
    }

    /// Writes the next id into `text` (cleared first).
    pub fn next(&mut self, text: &mut String) {
        self.count += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.nonce);
        bytes[8..].copy_from_slice(&self.count.to_be_bytes());
        text.clear();
        write_hex(text, bytes);
    }
}

fn write_hex(text: &mut String, bytes: [u8; 16]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xF] {
            text.push(char::from_digit(u32::from(digit), 16).expect("four bits are one hexadecimal digit"));
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| Failure::failed(format!("cannot draw a command id: {e}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_is_one_json_object_whatever_the_key_contains() {
        let known_date = Some("2026-03-02".to_owned());
        let terminal = Terminal { rate_table_ver: Some(3), known_date, ..Terminal::new("S001", "a\"b\\c\n") };
        let mut line = Vec::new();
        terminal.write_request(&mut line, "00", "deposit", r#"{"units":5}"#);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["key"], "a\"b\\c\n");
        assert_eq!(value["body"]["units"], 5);
        assert_eq!((&value["rate_table_ver"], &value["known_date"]), (&3.into(), &"2026-03-02".into()));
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    }

    #[test]
    fn ids_of_one_terminal_never_repeat() {
        let (mut ids, mut text) = (CommandIds::new().unwrap(), String::new());
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            ids.next(&mut text);
            assert_eq!(text.len(), 32);
            assert!(seen.insert(text.clone()));
        }
    }
}
