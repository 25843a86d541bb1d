//! `duplex switchover`: the roles change hands while both servers are well.

use std::path::PathBuf;

use super::Failure;
use super::order::give;
use crate::layout::Layout;
use crate::wire::orders::{Order, Outcome};

/// Make the other server main. Nothing that was accepted is lost; clients are cut off for a moment, connect again, and go on.
///
/// To be run on the server that is main, as the user that it runs as.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file of this server.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Gives the order and waits for what becomes of it.
///
/// # Errors
/// No server runs there, or it refuses: one line that says why.
pub fn run(args: Args) -> Result<(), Failure> {
    let config = super::settings(&args.config)?;
    let outcome = give(&Order::SwitchOver, &Layout::of(&config).control())?;
    if args.json {
        super::print_json(&outcome)?;
    }
    match outcome {
        Outcome::SwitchedOver { .. } if args.json => Ok(()),
        Outcome::SwitchedOver { epoch, took_ms } => super::print_line(&format!(
            "The other server is main now (epoch {epoch}), and this one follows. It took {took_ms} ms."
        )),
        other @ Outcome::Alone { .. } => Err(Failure::unsettled(format!("the server answered another order: {other:?}"))),
        Outcome::Refused { reason } => Err(Failure::refused(format!("{}: {reason}", config.server.name))),
    }
}
