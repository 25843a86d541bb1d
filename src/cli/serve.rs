//! `duplex serve`: one server of the pair.

use std::path::PathBuf;

use super::Failure;
use crate::config::Config;

/// Run one server of the pair until SIGTERM or Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file of this server, as `duplex init` wrote it.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Reads the configuration and serves.
///
/// # Errors
/// A bad configuration, in one line that names file and key.
pub fn run(args: Args) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(|e| Failure::failed(e.0))?;
    Err(Failure::failed(format!("cannot serve as {}: this build has no server half", config.server.name)))
}
