//! `duplex switchover`: the roles change hands while both servers are well.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::config::limits;
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
    let outcome = give(Order::SwitchOver, &Layout::of(&config).control())?;
    if args.json {
        super::print_json(&outcome)?;
    }
    match outcome {
        Outcome::SwitchedOver { .. } if args.json => Ok(()),
        Outcome::SwitchedOver { epoch, took_ms } => super::print_line(&format!(
            "The other server is main now (epoch {epoch}), and this one follows. It took {took_ms} ms."
        )),
        Outcome::Refused { reason } => Err(Failure::refused(format!("{}: {reason}", config.server.name))),
    }
}

fn give(order: Order, socket: &Path) -> Result<Outcome, Failure> {
    let stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            Failure::failed(format!("{}: no server runs there", socket.display()))
        }
        _ => Failure::failed(format!("{}: {error}", socket.display())),
    })?;
    let talk = || {
        stream.set_read_timeout(Some(limits::ORDER_LIMIT))?;
        let mut line = serde_json::to_vec(&order)?;
        line.push(b'\n');
        (&stream).write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer)?;
        if answer.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&answer)?)
    };
    talk().map_err(|error: std::io::Error| {
        let why = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("the server gave no answer within {} s", limits::ORDER_LIMIT.as_secs())
            }
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => "the server ended before it answered".to_owned(),
            _ => format!("the server's answer cannot be read: {error}"),
        };
        Failure::unsettled(format!("{why}; `duplex status` tells who is main"))
    })
}
