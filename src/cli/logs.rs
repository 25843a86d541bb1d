//! `duplex logs`: a thin shell over the log reader.

use std::path::PathBuf;

use super::Failure;

/// Read a server's logs, of one actor or of all of them merged by time.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file of the server.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Only this actor's stream, e.g. `failover-coordinator`.
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Go on with new lines until Ctrl-C.
    #[arg(long)]
    pub follow: bool,
    /// Print the lines as JSON objects.
    #[arg(long)]
    pub json: bool,
}

/// Prints the asked lines.
///
/// # Errors
/// A log that cannot be read.
pub fn run(args: Args) -> Result<(), Failure> {
    Err(Failure::failed(format!("cannot read the logs of {}: this build has no log reader", args.config.display())))
}
