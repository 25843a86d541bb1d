//! `duplex import`: records from an earlier system, and sample files to try it with.

use clap::Subcommand;

use super::Failure;

mod batch;
mod check;
mod columns;
mod members;
mod progress;
mod row;
pub mod sample;
mod source;

pub use check::{BadRow, Checked, Rules, check};
pub use columns::Columns;
pub use source::Source;

/// Bring in records from files.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Import members, cards and opening balances from a CSV file.
    Members(members::Args),
    /// Write a member file with made-up people to standard output.
    Sample(sample::Args),
}

/// Runs the asked import.
///
/// # Errors
/// What is wrong with the file, or what the service refused.
pub fn run(args: Args) -> Result<(), Failure> {
    match args.what {
        What::Members(args) => members::run(&args),
        What::Sample(args) => sample::run(&args),
    }
}
