//! `duplex logs`: a thin shell over the log reader.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Failure;
use crate::config::Config;
use crate::model::UnixMs;
use crate::telemetry::read::{FOLLOW_EVERY, LogReader, since};

/// Read a server's logs, of one actor or of several, merged by time.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file of the server.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Only this actor's stream, e.g. `failover-coordinator`; repeat for more.
    #[arg(long, value_name = "NAME", num_args = 1)]
    pub actor: Vec<String>,
    /// Only lines from then on: a moment (`2026-04-01T09:00:00Z`) or so long ago (`90s`, `15m`, `2h`, `3d`).
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
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
    let config = super::settings(&args.config)?;
    let from = args.since.as_deref().map(|text| since(text, now())).transpose();
    let from = from.map_err(|reason| Failure::usage(format!("--since: {reason}")))?.unwrap_or(UnixMs(0));
    let reader = LogReader::open(&config.server.data, &args.actor, from);
    let mut reader = reader.map_err(|e| Failure::failed(hint(&config, &e)))?;
    print_all(&args, &mut reader)?;
    if !args.follow {
        return Ok(());
    }
    super::block_on(async {
        loop {
            tokio::time::sleep(FOLLOW_EVERY).await;
            print_all(&args, &mut reader)?;
        }
    })
}

fn print_all(args: &Args, reader: &mut LogReader) -> Result<(), Failure> {
    while let Some(line) = reader.next_line().map_err(|e| Failure::failed(e.to_string()))? {
        if args.json { super::print_line(&line.text)? } else { super::print_line(&line.to_string())? }
    }
    Ok(())
}

fn hint(config: &Config, error: &std::io::Error) -> String {
    match config.log.streams {
        true => error.to_string(),
        false => format!("{error} (log.streams is false in this server's configuration)"),
    }
}

fn now() -> UnixMs {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}
