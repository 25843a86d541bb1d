//! `duplex terminal`: commands by hand, from a file of JSON lines, or from standard input.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::client::{Desk, Heard, Reach, Terminal, new_command_id};
use super::{Exit, Failure, block_on, print_json, print_line};
use crate::model::Status;

mod help;
mod outstanding;

use outstanding::Outstanding;

/// Send commands by hand, from a file or from standard input.
///
/// A command's id is saved before it is sent. If no answer comes, the next run settles that command first: it sends the same id
/// again, so that nothing is done twice and nothing stays in doubt.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = help::long())]
pub struct Args {
    #[command(flatten)]
    reach: Reach,
    /// Name of this terminal.
    #[arg(long, value_name = "TERMINAL_ID")]
    terminal: String,
    /// This terminal's key (also from the environment: DUPLEX_TERMINAL_KEY).
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Sign this member of staff in first.
    #[arg(long, value_name = "STAFF_ID", requires = "password_file")]
    staff: Option<String>,
    /// File whose first line is the password.
    #[arg(long, value_name = "FILE", requires = "staff")]
    password_file: Option<PathBuf>,
    /// Where the unsettled command is saved. Default: `duplex-terminal-TERMINAL_ID.json` in the directory for temporary files.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Print answers as JSON objects, one a line.
    #[arg(long)]
    json: bool,
    /// Read commands from this file, one JSON object a line; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,
    /// The command, e.g. `deposit`.
    #[arg(value_name = "COMMAND", required_unless_present = "file")]
    command: Option<String>,
    /// Its body.
    #[arg(value_name = "JSON", default_value = "{}")]
    body: String,
}

const EXAMPLES: &str = r#"Examples:
  duplex terminal --address 10.0.0.100:7300 --ca ca.pem --terminal S001 --key K \
      deposit '{"card_id":"C00000001","rate_id":1,"units":500}'
  echo '{"command":"hello"}' | duplex terminal ... --file -
A line of a file is {"command":NAME,"body":{...}} and may carry its own "command_id" (32 hexadecimal digits)."#;

/// One command to send.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    command: String,
    #[serde(default = "empty_object")]
    body: Value,
    #[serde(default)]
    command_id: Option<String>,
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

/// Sends the commands and prints their answers.
///
/// # Errors
/// Exit code 3 if any command was refused, 4 if one stayed unsettled.
pub fn run(args: Args) -> Result<(), Failure> {
    let key = args.key.clone().or_else(|| std::env::var("DUPLEX_TERMINAL_KEY").ok());
    let key = key.ok_or_else(|| Failure::usage("--key or DUPLEX_TERMINAL_KEY: the terminal's key is needed"))?;
    let password = args.password_file.as_deref().map(read_password).transpose()?;
    let state = args.state.clone().unwrap_or_else(|| default_state(&args.terminal));
    let desk = Desk::new(args.reach.service()?, Terminal::new(&args.terminal, key));
    let mut session = Session { desk, outstanding: Outstanding::at(state), json: args.json, refused: 0 };
    block_on(async {
        session.settle_outstanding().await?;
        session.desk.hello().await?;
        if let (Some(staff), Some(password)) = (&args.staff, &password) {
            session.desk.sign_in(staff, password).await?;
        }
        session.send_all(&args).await
    })?;
    match session.refused {
        0 => Ok(()),
        // The answers are printed already; only the exit code is left to say.
        _ => Err(Failure { exit: Exit::Refused, message: String::new() }),
    }
}

/// The first line of a password file.
///
/// # Errors
/// The file cannot be read or is empty.
pub fn read_password(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("--password-file {}: {e}", file.display())))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Failure::usage(format!("--password-file {}: the first line is empty", file.display()))),
    }
}

fn default_state(terminal_id: &str) -> PathBuf {
    let plain: String = terminal_id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    std::env::temp_dir().join(format!("duplex-terminal-{plain}.json"))
}

struct Session {
    desk: Desk,
    outstanding: Outstanding,
    json: bool,
    refused: u64,
}

impl Session {
    /// A terminal with an unsettled command settles it before starting a new one.
    async fn settle_outstanding(&mut self) -> Result<(), Failure> {
        let Some(saved) = self.outstanding.read()? else { return Ok(()) };
        if saved.terminal_id != self.desk.terminal.terminal_id {
            let (file, other) = (self.outstanding.file().display(), saved.terminal_id);
            return Err(Failure::usage(format!("--state {file}: holds an unsettled command of terminal {other}")));
        }
        eprintln!("settling {} {} of an earlier run first", saved.command, saved.command_id);
        self.desk.terminal.rate_table_ver = saved.rate_table_ver;
        self.desk.terminal.known_date.clone_from(&saved.known_date);
        self.desk.terminal.staff_session.clone_from(&saved.staff_session);
        let heard = self.desk.settle(&saved.command_id, &saved.command, &saved.body).await?;
        self.desk.terminal.staff_session = None;
        self.outstanding.forget()?;
        self.show(&saved.command, &heard)
    }

    async fn send_all(&mut self, args: &Args) -> Result<(), Failure> {
        let Some(file) = &args.file else {
            let command = args.command.clone().unwrap_or_default();
            let body = serde_json::from_str(&args.body).map_err(|e| Failure::usage(format!("body: {e}")))?;
            return self.send(Order { command, body, command_id: None }).await;
        };
        for (index, line) in open(file)?.lines().enumerate() {
            let bad = |reason: String| Failure::usage(format!("{} line {}: {reason}", file.display(), index + 1));
            let line = line.map_err(|e| bad(e.to_string()))?;
            if line.trim().is_empty() {
                continue;
            }
            self.send(serde_json::from_str(&line).map_err(|e| bad(e.to_string()))?).await?;
        }
        Ok(())
    }

    async fn send(&mut self, order: Order) -> Result<(), Failure> {
        let command_id = match order.command_id {
            Some(id) => id,
            None => new_command_id()?,
        };
        let body = order.body.to_string();
        self.outstanding.save(&self.desk.terminal, &command_id, &order.command, &body)?;
        let heard = self.desk.settle(&command_id, &order.command, &body).await?;
        self.outstanding.forget()?;
        self.show(&order.command, &heard)
    }

    fn show(&mut self, command: &str, heard: &Heard) -> Result<(), Failure> {
        self.refused += u64::from(heard.answer.status != Status::Ok);
        if self.json {
            return print_json(&heard.whole);
        }
        let place = match (heard.answer.epoch, heard.answer.sequence) {
            (Some(epoch), Some(sequence)) => format!(" at {epoch}/{sequence}"),
            _ => String::new(),
        };
        let stored = heard.whole["stored_on"].as_str().map(|on| format!(", stored on {on}")).unwrap_or_default();
        let repeated = if heard.answer.repeated { ", repeated" } else { "" };
        if heard.answer.status == Status::Ok {
            return print_line(&format!("{command}: ok{place}{stored}{repeated} {}", heard.whole["body"]));
        }
        let text = |key: &str| heard.whole[key].as_str().unwrap_or_default();
        let (code, english, japanese) = (text("code"), text("text_en"), text("text_ja"));
        let details = Some(&heard.whole["body"]).filter(|body| body.as_object().is_some_and(|body| !body.is_empty()));
        let details = details.map(|body| format!(" {body}")).unwrap_or_default();
        print_line(&format!("{command}: refused{place}{stored}{repeated} {code}: {english} {japanese}{details}"))
    }
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let opened = std::fs::File::open(file).map_err(|e| Failure::usage(format!("--file {}: {e}", file.display())))?;
    Ok(Box::new(BufReader::new(opened)))
}
