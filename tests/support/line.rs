//! A terminal's connection, spoken by hand.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;

/// Command ids that nobody used before.
pub struct CommandIds;

impl CommandIds {
    pub fn draw() -> String {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).unwrap();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A terminal's connection, in plain.
pub struct Line {
    read: BufReader<TcpStream>,
}

impl Line {
    /// # Errors
    /// [`io::Error`] of the connection.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { read: BufReader::new(stream) })
    }

    pub fn stream(&self) -> &TcpStream {
        self.read.get_ref()
    }

    /// # Errors
    /// [`io::Error`] of the connection.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.read.get_mut().write_all(bytes)
    }

    /// The next answer; `None` if the server has closed.
    ///
    /// # Errors
    /// [`io::Error`] of the connection, a deadline among them.
    pub fn hear(&mut self) -> io::Result<Option<Value>> {
        let mut line = String::new();
        match self.read.read_line(&mut line)? {
            0 => Ok(None),
            _ => serde_json::from_str(&line).map(Some).map_err(|error| io::Error::other(format!("{error}: {line}"))),
        }
    }

    /// # Errors
    /// [`io::Error`] of the connection.
    pub fn ask(&mut self, request: &Value) -> io::Result<Value> {
        self.send(format!("{request}\n").as_bytes())?;
        self.hear()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Waits for the server's close, however it looks, and throws away what comes before.
    #[must_use]
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        self.stream().set_read_timeout(Some(limit)).unwrap();
        let deadline = Instant::now() + limit;
        let mut rest = [0; 64 << 10];
        loop {
            match self.read.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) if Instant::now() < deadline => {}
                Ok(_) => return false,
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }
}
