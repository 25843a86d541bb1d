//! `duplex serve`: one server of the pair.

use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use crate::run;

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
/// A bad configuration, or a file, key or address that cannot be opened: one line that names it. A server that left its pair in
/// distress fails with an empty line: its log has said why.
pub fn run(args: Args) -> Result<(), Failure> {
    super::keep_private();
    let config = super::settings(&args.config)?;
    let opened = run::open(config).map_err(|e| Failure::failed(format!("{}: {e}", args.config.display())))?;
    match run::serve(opened) {
        ExitCode::SUCCESS => Ok(()),
        _ => Err(Failure::failed(String::new())),
    }
}
