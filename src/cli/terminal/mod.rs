//! `duplex terminal`: commands by hand, from a file of JSON lines, or from standard input.

use std::path::{Path, PathBuf};

use super::client::{Desk, Heard, NotAdmitted, Reach, Terminal, new_command_id};
use super::{Exit, Failure, block_on, print_json, print_line};
use crate::model::Status;

mod help;
mod orders;
mod outstanding;

use orders::{Order, Orders};
use outstanding::{Outstanding, Saved};

/// Send commands by hand, from a file or from standard input.
///
/// A command's id is saved before it is sent. If no answer comes, the next run settles that command first: it sends the same id
/// again, so that nothing is done twice and nothing stays in doubt. If the next run is given the same command, it does this only.
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
    /// Where the unsettled command is saved. Default: `terminal-TERMINAL_ID.json` in `$XDG_STATE_HOME/duplex`, or
    /// `$HOME/.local/state/duplex`. Refused if it belongs to another user or others may write it.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Print answers as JSON objects, one a line.
    #[arg(long)]
    json: bool,
    /// Send the commands of this file, one JSON object a line. Nothing is sent if one line is no JSON, names no command, or has a body
    /// that its command does not take; what the service refuses beyond that it refuses line by line, and goes on. A file that is sent
    /// again repeats and does nothing twice. `-` is standard input: each line is sent as it is read.
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
If no answer comes (exit code 4), give the same command again: it is settled under its first id and not sent anew. Any other
command is sent once the saved one is settled.
A line of a file is {"command":NAME,"body":{...}} and may carry its own "command_id" (32 hexadecimal digits).
A line without one gets an id that rests on the file's content and the line's number. So after an interruption send the same file
again: what was done is answered as it was, refusals too, with "repeated". To do it all once more, change the file; an empty
line is enough. The service knows ids for 14 business days. From standard input, each line without an id is a new command."#;

/// Sends the commands and prints their answers.
///
/// # Errors
/// Exit code 3 if any command was refused, 4 if one stayed unsettled.
pub fn run(args: Args) -> Result<(), Failure> {
    let key = args.key.clone().or_else(|| std::env::var("DUPLEX_TERMINAL_KEY").ok());
    let key = key.ok_or_else(|| Failure::usage("--key or DUPLEX_TERMINAL_KEY: the terminal's key is needed"))?;
    let password = args.password_file.as_deref().map(read_password).transpose()?;
    let outstanding = Outstanding::new(args.state.clone(), &args.terminal)?;
    let orders = orders::of(args.file.as_deref(), args.command.clone(), &args.body)?;
    let staff = args.staff.as_deref().zip(password.as_deref());
    let desk = Desk::new(args.reach.service()?, Terminal::new(&args.terminal, key));
    let mut session = Session { desk, outstanding, json: args.json, refused: 0 };
    block_on(session.work(orders, staff))?;
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

struct Session {
    desk: Desk,
    outstanding: Outstanding,
    json: bool,
    refused: u64,
}

impl Session {
    /// A terminal with an unsettled command settles it before starting a new one. It greets first, unless it is told to greet.
    async fn work(&mut self, mut orders: Orders, staff: Option<(&str, &str)>) -> Result<(), Failure> {
        let mut next = None;
        if let Some(saved) = self.outstanding.read()? {
            next = orders.next().await?;
            let again = next.as_ref().is_some_and(|order| saved.is(order));
            self.settle_outstanding(&saved, again).await?;
            if again {
                next = orders.next().await?;
            }
            if next.is_none() {
                return Ok(());
            }
        }
        let greets_itself = next.as_ref().or(orders.first()).is_some_and(|order| order.command == "hello");
        if staff.is_some() || !greets_itself {
            self.begin(staff).await.map_err(|why| self.turned_away(why))?;
        }
        if next.is_none() {
            next = orders.next().await?;
        }
        while let Some(order) = next {
            self.send(order).await?;
            next = orders.next().await?;
        }
        Ok(())
    }

    async fn settle_outstanding(&mut self, saved: &Saved, again: bool) -> Result<(), Failure> {
        let (command, command_id) = (&saved.command, &saved.command_id);
        if saved.terminal_id != self.desk.terminal.terminal_id {
            let (file, other) = (self.outstanding.file().display(), &saved.terminal_id);
            return Err(Failure::usage(format!("--state {file}: holds an unsettled command of terminal {other}")));
        }
        let rest = if again { ", which is this command: it is not sent anew" } else { " first" };
        eprintln!("settling {command} {command_id} of an earlier run{rest}");
        self.desk.terminal.rate_table_ver = saved.rate_table_ver;
        self.desk.terminal.known_date.clone_from(&saved.known_date);
        self.desk.terminal.staff_session.clone_from(&saved.staff_session);
        let heard = self.desk.settle_saved(command_id, command, &saved.body).await?;
        self.desk.terminal.staff_session = None;
        self.outstanding.forget()?;
        self.show(command, &heard)
    }

    async fn begin(&mut self, staff: Option<(&str, &str)>) -> Result<(), NotAdmitted> {
        self.desk.hello().await?;
        match staff {
            Some((staff, password)) => self.desk.sign_in(staff, password).await,
            None => Ok(()),
        }
    }

    /// A program reads this answer as it reads every other one.
    fn turned_away(&self, why: NotAdmitted) -> Failure {
        match why {
            NotAdmitted::Refused(command, heard) => {
                let told = if self.json { print_json(&heard.whole) } else { Ok(()) };
                told.err().unwrap_or_else(|| heard.refusal(command))
            }
            // Whoever gave a command must not wonder whether that one was done.
            NotAdmitted::Failed(Failure { exit: Exit::Unsettled, message }) => {
                Failure::failed(format!("nothing of yours was sent: {message}"))
            }
            NotAdmitted::Failed(failure) => failure,
        }
    }

    async fn send(&mut self, order: Order) -> Result<(), Failure> {
        let command_id = match order.command_id {
            Some(id) => id,
            None => new_command_id()?,
        };
        self.outstanding.save(&self.desk.terminal, &command_id, &order.command, &order.body)?;
        let settled = self.desk.settle(&command_id, &order.command, &order.body).await;
        // In doubt is only what left: the rest must not be done later behind somebody's back.
        if !settled.as_ref().is_err_and(|failure| failure.exit == Exit::Unsettled) {
            self.outstanding.forget()?;
        }
        let heard = settled?;
        if order.command == "hello" && heard.answer.status == Status::Ok {
            self.desk.heed(&heard)?;
        }
        self.show(&order.command, &heard)
    }

    fn show(&mut self, command: &str, heard: &Heard) -> Result<(), Failure> {
        self.refused += u64::from(heard.answer.status != Status::Ok);
        if self.json {
            return print_json(&heard.whole);
        }
        let place = match (heard.answer.stored_on, heard.answer.epoch, heard.answer.sequence) {
            (Some(_), Some(epoch), Some(sequence)) => format!(" at {epoch}/{sequence}"),
            // It rests on no data, so that its numbers say nothing.
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
