//! Giving an order to the server of this box, over the socket in its data directory.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::Failure;
use crate::config::limits;
use crate::wire::orders::{Order, Outcome};

/// Waits for what becomes of it.
///
/// # Errors
/// No server runs there, or nobody knows what became of it.
pub(super) fn give(order: &Order, socket: &Path) -> Result<Outcome, Failure> {
    let stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            Failure::failed(format!("{}: no server runs there", socket.display()))
        }
        _ => Failure::failed(format!("{}: {error}", socket.display())),
    })?;
    let talk = || {
        stream.set_read_timeout(Some(limits::ORDER_LIMIT))?;
        let mut line = serde_json::to_vec(order)?;
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
