//! `duplex journal`: what a server's journal holds.

use std::path::PathBuf;

use clap::Subcommand;

use super::Failure;

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
    /// Print JSON objects with `epoch`, `sequence`, `terminal_id` and `command_id` (what `duplex demo` compares with its history).
    #[arg(long)]
    pub json: bool,
}

/// Runs the asked action.
///
/// # Errors
/// A journal that cannot be read.
pub fn run(args: Args) -> Result<(), Failure> {
    let Action::Show(show) = args.action;
    Err(Failure::failed(format!("cannot read the journal of {}: this build has no journal", show.config.display())))
}
