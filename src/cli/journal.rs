//! `duplex journal`: what a server's journal holds, read from its files alone, also while a server writes them.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::Failure;
use super::client::command_id_of;
use super::history::Stored;
use crate::journal::digest::decode;
use crate::journal::{Directory, JournalError, Scanned, scan};
use crate::layout::Layout;
use crate::ledger::rows::Row;
use crate::model::{Entry, Image, Position, Response, Row as _, Sequence, Status};
use crate::store::StoredRow;

/// Look into a server's journal.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the journal's entries in order, one a line.
    Show(Show),
}

/// Print the journal's entries in order, one a line.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Configuration file of the server.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// First sequence to print.
    #[arg(long, default_value_t = 1, value_name = "SEQUENCE")]
    pub from: u64,
    /// How many entries to print. Default: all.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Print JSON objects with `epoch`, `sequence`, `terminal_id` and `command_id` (what `duplex demo` compares with its history),
    /// answer and row images.
    #[arg(long)]
    pub json: bool,
}

/// Runs the asked action.
///
/// # Errors
/// A journal that cannot be read.
pub fn run(args: Args) -> Result<(), Failure> {
    let Action::Show(show) = args.action;
    let config = super::settings(&show.config)?;
    let mut left = show.count.unwrap_or(u64::MAX);
    let mut printed = Ok(());
    let after = Sequence(show.from.saturating_sub(1));
    let scanned = visit(&Layout::of(&config).journal(), after, |position, payload| {
        if left == 0 {
            return ControlFlow::Break(());
        }
        left -= 1;
        printed = print(&show, position, payload);
        if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    printed.and(scanned.map(drop))
}

/// Identity and place of every entry of the journal in `directory`.
///
/// # Errors
/// A journal that cannot be read, or an entry in it that cannot.
pub fn stored(directory: &Path) -> Result<Vec<Stored>, Failure> {
    let (mut entries, mut bad) = (Vec::new(), None);
    visit(directory, Sequence(0), |position, payload| match decode::<Row>(payload) {
        Ok(entry) => {
            entries.push(Stored {
                epoch: position.epoch.0,
                sequence: position.sequence.0,
                terminal_id: entry.record.terminal_id.0,
                command_id: command_id_of(entry.record.command_id.0),
            });
            ControlFlow::Continue(())
        }
        Err(damaged) => {
            bad = Some(format!("{}: record {}: {damaged}", directory.display(), position.sequence.0));
            ControlFlow::Break(())
        }
    })?;
    bad.map_or(Ok(entries), |bad| Err(Failure::failed(bad)))
}

/// Epoch and sequence of every entry of the journal in `directory`, also while a server writes it.
///
/// # Errors
/// A journal that cannot be read.
pub(super) fn places(directory: &Path) -> Result<Vec<(u64, u64)>, Failure> {
    let mut places = Vec::new();
    visit(directory, Sequence(0), |position, _| {
        places.push((position.epoch.0, position.sequence.0));
        ControlFlow::Continue(())
    })?;
    Ok(places)
}

fn visit(directory: &Path, after: Sequence, each: impl FnMut(Position, &[u8]) -> ControlFlow<()>) -> Result<Scanned, Failure> {
    let failed = |error: JournalError| Failure::failed(error.to_string());
    let files = Directory::open(directory).map_err(failed)?;
    let scanned = scan(&files, after, each).map_err(failed)?;
    scanned.ok_or_else(|| Failure::failed(format!("{} holds no journal", directory.display())))
}

/// One entry as it is printed.
#[derive(Serialize)]
struct Shown<'a> {
    epoch: u64,
    sequence: u64,
    digest: String,
    terminal_id: &'a str,
    command_id: String,
    day: Option<i32>,
    /// As the terminal was answered; `null` if it cannot be read.
    answer: Option<Response>,
    images: &'a [Image<Row>],
}

/// What cannot be decoded keeps its place.
#[derive(Serialize)]
struct Unreadable {
    epoch: u64,
    sequence: u64,
    unreadable: String,
}

fn print(show: &Show, position: Position, payload: &[u8]) -> Result<(), Failure> {
    let (epoch, sequence) = (position.epoch.0, position.sequence.0);
    match decode::<Row>(payload) {
        Ok(entry) => {
            let shown = Shown::of(position, &entry);
            if show.json { super::print_json(&shown) } else { super::print_line(&shown.to_string()) }
        }
        Err(damaged) if show.json => super::print_json(&Unreadable { epoch, sequence, unreadable: damaged.to_string() }),
        Err(damaged) => super::print_line(&format!("{sequence} epoch {epoch}: {damaged}")),
    }
}

impl<'a> Shown<'a> {
    fn of(position: Position, entry: &'a Entry<Row>) -> Self {
        Self {
            epoch: position.epoch.0,
            sequence: position.sequence.0,
            digest: blake3::Hash::from_bytes(position.digest.0).to_hex().to_string(),
            terminal_id: &entry.record.terminal_id.0,
            command_id: command_id_of(entry.record.command_id.0),
            day: entry.record.day,
            answer: postcard::from_bytes(&entry.record.response).ok(),
            images: &entry.images,
        }
    }
}

/// Place, command, outcome, and the rows that it left.
impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, sequence, digest, terminal_id, command_id, .. } = self;
        write!(f, "{sequence} epoch {epoch} ({}) {terminal_id} {command_id} ", &digest[..16])?;
        match &self.answer {
            Some(Response { status: Status::Ok, .. }) => f.write_str("ok")?,
            Some(Response { code, .. }) => f.write_str(code)?,
            None => f.write_str("an answer that cannot be read")?,
        }
        self.images.iter().try_for_each(|image| match image {
            Image::Put(row) => write!(f, "; {} {:?}", Row::table_of(&row.key()), row.key()),
            Image::Delete(key) => write!(f, "; deleted {} {key:?}", Row::table_of(key)),
        })
    }
}
