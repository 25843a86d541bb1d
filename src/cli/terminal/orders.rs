//! The commands of a run: one from the command line, the lines of a file, or what somebody types.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::cli::Failure;
use crate::cli::client::command_id_of;
use crate::cli::import::Source;
use crate::ledger::commands::Command;

/// One command to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) command: String,
    /// A JSON object as text, in the one form in which it is sent and saved.
    pub(super) body: String,
    /// Drawn when it is sent, if neither the line nor its place in a file gives one.
    pub(super) command_id: Option<String>,
}

/// In the order in which they are sent.
pub(super) enum Orders {
    Known(std::vec::IntoIter<Order>),
    Typed(mpsc::Receiver<Result<Order, Failure>>),
}

impl Orders {
    /// The next one, where it is known before anybody asks for it.
    pub(super) fn first(&self) -> Option<&Order> {
        match self {
            Self::Known(orders) => orders.as_slice().first(),
            Self::Typed(_) => None,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Order>, Failure> {
        match self {
            Self::Known(orders) => Ok(orders.next()),
            Self::Typed(lines) => lines.recv().await.transpose(),
        }
    }
}

/// A line as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    command: String,
    body: Option<Value>,
    command_id: Option<String>,
}

/// # Errors
/// The body or the file is wrong; what is typed is judged line by line.
pub(super) fn of(file: Option<&Path>, command: Option<String>, body: &str) -> Result<Orders, Failure> {
    match file {
        None => {
            let body = serde_json::from_str(body).map_err(|e| Failure::usage(format!("body: {e}")))?;
            let order = Order::new(Line { command: command.unwrap_or_default(), body: Some(body), command_id: None });
            Ok(Orders::Known(vec![order.map_err(Failure::usage)?].into_iter()))
        }
        Some(file) if file == Path::new("-") => typed(),
        Some(file) => {
            let whole = whole(&Source::read(file)?).map_err(|wrong| Failure::usage(format!("{} {wrong}", file.display())))?;
            Ok(Orders::Known(whole.into_iter()))
        }
    }
}

/// Standard input may be a person, whose Ctrl-C must be heard while nothing is typed: another thread waits for the lines.
fn typed() -> Result<Orders, Failure> {
    let (lines, typed) = mpsc::channel(1);
    let read = move || {
        for (line, number) in std::io::stdin().lines().zip(1..) {
            let order = line.map_err(|e| e.to_string()).and_then(|line| Order::read(&line)).transpose();
            let Some(order) = order else { continue };
            let order = order.map_err(|wrong| Failure::usage(format!("- line {number}: {wrong}")));
            // Nobody takes it any more: the run has ended.
            if lines.blocking_send(order).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("stdin".into()).spawn(read);
    thread.map_err(|e| Failure::failed(format!("cannot read standard input: {e}")))?;
    Ok(Orders::Typed(typed))
}

/// Checked to its end before anything is sent: half a file done is nobody's wish. Commands and bodies are read as the service reads
/// them; what only its data can tell (an unknown card, too few units) is left to it, line by line. A line without an id has one that rests on the file
/// and its place in it, so that a file which is sent again repeats.
fn whole(source: &Source) -> Result<Vec<Order>, String> {
    let (mut orders, mut lines) = (Vec::new(), HashMap::new());
    for (text, number) in source.text().lines().zip(1..) {
        let order = Order::read(text).map_err(|wrong| format!("line {number}: {wrong}"))?;
        let Some(Order { command, body, command_id }) = order else { continue };
        Command::parse(&command, &body).map_err(|bad| format!("line {number}: {}: {}", bad.field, bad.reason))?;
        let command_id = command_id.unwrap_or_else(|| command_id_of(source.command_id(number, 0)));
        if let Some(before) = lines.insert(command_id.clone(), number) {
            return Err(format!("line {number}: command_id: the same as in line {before}"));
        }
        orders.push(Order { command, body, command_id: Some(command_id) });
    }
    Ok(orders)
}

impl Order {
    /// `None` is a line with nothing in it.
    fn read(text: &str) -> Result<Option<Self>, String> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        Self::new(serde_json::from_str(text).map_err(|e| e.to_string())?).map(Some)
    }

    fn new(Line { command, body, command_id }: Line) -> Result<Self, String> {
        let body = body.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        if !body.is_object() {
            return Err("body: is not a JSON object".into());
        }
        // Answers name an id in lower case, and by that name they are waited for.
        let command_id = command_id.map(|id| id.to_ascii_lowercase());
        match command_id.as_deref() {
            Some(id) if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Err("command_id: is not 32 hexadecimal digits".into())
            }
            _ => Ok(Self { command, body: body.to_string(), command_id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Order>, String> {
        whole(&Source::from_bytes(text.as_bytes().to_vec()).unwrap())
    }

    const ID: &str = "000102030405060708090A0B0C0D0E0F";

    #[test]
    fn lines_of_a_file_have_ids_of_their_own_which_are_the_same_when_it_is_read_again() {
        let text = format!(
            "{{\"command\":\"hello\"}}\n\n{{\"command\":\"hello\"}}\n{{\"command\":\"heartbeat\",\"command_id\":\"{ID}\"}}\n"
        );
        let orders = read(&text).unwrap();
        assert_eq!(orders, read(&text).unwrap());
        let ids: Vec<_> = orders.iter().flat_map(|order| order.command_id.clone()).collect();
        assert!(ids.len() == 3 && ids[0] != ids[1], "{ids:?}");
        assert_eq!(ids[2], ID.to_ascii_lowercase(), "as answers name it");
        assert_ne!(orders[0], read(&format!("{text}\n")).unwrap()[0], "another file has other ids");
    }

    #[test]
    fn a_bad_line_is_named_with_what_is_wrong() {
        let twice = format!("{{\"command\":\"hello\",\"command_id\":\"{ID}\"}}\n").repeat(2).replacen("0A0B", "0a0b", 1);
        for (text, said) in [
            ("{\"command\":\"hello\"}\n\nnot json", "line 3: expected ident"),
            ("{\"command\":\"a\",\"bdy\":{}}", "line 1: unknown field `bdy`"),
            ("{\"body\":{}}", "line 1: missing field `command`"),
            ("{\"command\":\"a\",\"body\":[]}", "line 1: body: is not"),
            ("{\"command\":\"a\",\"command_id\":\"short\"}", "line 1: command_id: is not 32"),
            ("{\"command\":\"a\"}", "line 1: command: no such command"),
            ("{\"command\":\"deposit\",\"body\":{\"units\":0}}", "line 1: body.units: 0 is not within 1 to"),
            ("{\"command\":\"deposit\"}", "line 1: body: missing field"),
            (&twice, "line 2: command_id: the same as in line 1"),
        ] {
            let wrong = read(text).unwrap_err();
            assert!(wrong.starts_with(said), "{text}: {wrong}");
        }
    }
}
