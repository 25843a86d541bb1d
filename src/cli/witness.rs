//! `duplex witness`: the third opinion.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Failure;

/// Run the third opinion: one small fsynced file that says who may acknowledge.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where both servers reach the witness.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Directory of the witness's file.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Directory of CA, certificate and key, as `duplex init` wrote it for the witness.
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
}

/// Serves the register until SIGTERM or Ctrl-C.
///
/// # Errors
/// What keeps it from serving, in one line.
pub fn run(args: Args) -> Result<(), Failure> {
    Err(Failure::failed(format!("cannot listen at {}: this build has no witness", args.listen)))
}
