//! `duplex serve`: one server of the pair.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Failure;
use crate::config;
use crate::run::{self, Unopened, Why};

/// Run one server of the pair until SIGTERM, SIGHUP or Ctrl-C.
///
/// A store that is away or locked when it starts is waited for.
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
    match run::serve(config) {
        Ok(ExitCode::SUCCESS) => Ok(()),
        Ok(_) => Err(Failure::failed(String::new())),
        Err(unopened) => ended(&unopened, &args.config),
    }
}

fn ended(unopened: &Unopened, file: &Path) -> Result<(), Failure> {
    match unopened.why {
        Why::Mistaken => Err(Failure::usage(told(unopened, file))),
        Why::Hindered => Err(Failure::failed(told(unopened, file))),
        Why::ToldToEnd => Ok(()),
    }
}

fn told(unopened: &Unopened, file: &Path) -> String {
    match &unopened.key {
        Some(key) => config::unusable(file, key, &unopened.reason),
        None => format!("{}: {unopened}", file.display()),
    }
}
