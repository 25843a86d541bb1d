//! A terminal's way to the service: one command at a time, sent again under the same id until it is answered.
//!
//! The service may be a moving address, or, on one machine, both servers' own addresses. Whatever goes wrong (refused, closed, silent,
//! `retry`) has one reaction: the next address, the same bytes. So a command has one identity however often it is sent.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::Failure;
use crate::model::Status;
use crate::wire::{identity, tls};

mod desk;
mod link;
mod request;

pub use desk::{Desk, Greeting, Heard, NotAdmitted};
pub use request::{CommandIds, Terminal, command_id_of, new_command_id};

use link::{Link, Trouble};

/// A switched network answers a SYN within 1 ms; a taken-over address within one ARP exchange. Longer means nobody is there.
const CONNECT_LIMIT: Duration = Duration::from_millis(250);
/// Twenty times the slowest p99 asked of the service (a takeover is to take under 300 ms), short enough that a dead server costs one wait.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// The first pause: a restarted listener or a moved address is there within a few milliseconds.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
/// Adds at most a third to the shortest takeover (300 ms), while 50 terminals make at most 1,000 attempts a second.
const BACKOFF_MAX: Duration = Duration::from_millis(100);
/// A terminal gives up and calls staff after this long (60 s, then a proof slip).
const PATIENCE: Duration = Duration::from_secs(60);

/// How long this client waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connect: Duration,
    pub handshake: Duration,
    pub answer: Duration,
    pub backoff_max: Duration,
    /// From the first sending of a command until it is given up as unsettled.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: CONNECT_LIMIT,
            // A server that is too busy to shake hands is as good as one that is too busy to answer.
            handshake: ANSWER_LIMIT,
            answer: ANSWER_LIMIT,
            backoff_max: BACKOFF_MAX,
            patience: PATIENCE,
        }
    }
}

/// Options of every subcommand that talks to the service.
#[derive(Clone, Debug, clap::Args)]
pub struct Reach {
    /// Service address, HOST:PORT; several (separated by commas) where addresses do not move.
    #[arg(long = "address", value_name = "HOST:PORT", required = true, value_delimiter = ',')]
    pub addresses: Vec<String>,
    /// TLS: the pair's CA certificate, as `duplex init` wrote it.
    #[arg(long, value_name = "FILE", required_unless_present = "plain")]
    pub ca: Option<PathBuf>,
    /// No encryption (only if the servers' configuration says `tls = "plain"`).
    #[arg(long, conflicts_with = "ca")]
    pub plain: bool,
    /// Seconds until an unanswered command is given up as unsettled.
    #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE.as_secs())]
    pub patience: u64,
}

impl Reach {
    /// Resolves names and reads the CA, once.
    ///
    /// # Errors
    /// The address or file that is wrong.
    pub fn service(&self) -> Result<Service, Failure> {
        let mut addresses = Vec::with_capacity(self.addresses.len());
        for text in &self.addresses {
            let mut found = text.to_socket_addrs().map_err(|e| Failure::usage(format!("--address {text}: {e}")))?;
            addresses.push(found.next().ok_or_else(|| Failure::usage(format!("--address {text}: no address of that name")))?);
        }
        let tls = self.ca.as_deref().map(trusting).transpose()?;
        let limits = Limits { patience: Duration::from_secs(self.patience), ..Limits::default() };
        Ok(Service { addresses, tls, limits })
    }
}

/// TLS that believes the authority in `file` and nobody else.
fn trusting(file: &Path) -> Result<Arc<ClientConfig>, Failure> {
    let authority = identity::load_authority(file).map_err(|e| Failure::usage(format!("--ca: {e}")))?;
    tls::terminal_client(authority).map_err(|e| Failure::usage(format!("--ca {}: {e}", file.display())))
}

/// Where the service is and how to talk to it; cheap to clone, shared by all terminals of a process.
#[derive(Clone, Debug)]
pub struct Service {
    /// Never empty.
    pub addresses: Vec<SocketAddr>,
    /// `None` is plain TCP. One configuration for all terminals of the process: reconnecting resumes instead of signing anew.
    pub tls: Option<Arc<ClientConfig>>,
    pub limits: Limits,
}

/// What the pair says in an answer. Texts and body stay in [`Client::answer_line`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Answer {
    #[serde(default)]
    pub command_id: Option<String>,
    pub status: Status,
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    pub stored_on: Option<StoredOn>,
    #[serde(default)]
    pub epoch: Option<u64>,
    #[serde(default)]
    pub sequence: Option<u64>,
    #[serde(default)]
    pub repeated: bool,
}

/// On how many disks the answer's effect was when it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredOn {
    Both,
    One,
}

/// A final answer, and how often the command was sent for it.
#[derive(Clone, Debug)]
pub struct Settled {
    pub answer: Answer,
    pub tries: u32,
}

/// No final answer within the patience: the outcome is unknown, unless nothing ever left.
#[derive(Clone, Debug)]
pub struct Unsettled {
    pub tries: u32,
    /// The command may have reached a server.
    pub sent: bool,
    /// What the last attempt met.
    pub last: String,
}

/// One terminal's connection, made when needed and kept.
pub struct Client {
    service: Service,
    /// Index into `service.addresses`.
    at: usize,
    link: Option<Link>,
    line: Vec<u8>,
    jitter: Jitter,
}

impl Client {
    /// `first` chooses the address tried first, modulo their number.
    pub fn new(service: Service, first: usize) -> Self {
        let at = first % service.addresses.len().max(1);
        Self { service, at, link: None, line: Vec::new(), jitter: Jitter::new() }
    }

    /// Sends `request` (one line with its newline, carrying `command_id`) until a final answer comes.
    ///
    /// # Errors
    /// [`Unsettled`] once the patience is over, or at once where trying again cannot help and nothing was sent.
    pub async fn settle(&mut self, command_id: &str, request: &[u8]) -> Result<Settled, Unsettled> {
        let begun = Instant::now();
        let (mut tries, mut sent) = (0, false);
        loop {
            tries += 1;
            let trouble = match self.attempt(command_id, request, &mut sent).await {
                Ok(answer) if answer.status != Status::Retry => return Ok(Settled { answer, tries }),
                // The right server, only full: leaving it would cost it a handshake more.
                Ok(answer) if answer.code == "BUSY" => Trouble::Retry(answer.code),
                Ok(answer) => self.leave(Trouble::Retry(answer.code)),
                Err(trouble) => self.leave(trouble),
            };
            let hopeless = matches!(trouble, Trouble::Mismatch(_)) && !sent;
            if hopeless || begun.elapsed() >= self.service.limits.patience {
                return Err(Unsettled { tries, sent, last: trouble.to_string() });
            }
            sleep(self.jitter.pause(tries, self.service.limits.backoff_max)).await;
        }
    }

    /// The last answer as it came, without its newline.
    pub fn answer_line(&self) -> &[u8] {
        &self.line
    }

    async fn attempt(&mut self, command_id: &str, request: &[u8], sent: &mut bool) -> Result<Answer, Trouble> {
        let limits = self.service.limits;
        if self.link.is_none() {
            self.link = Some(Link::open(&self.service, self.at).await?);
        }
        let Some(link) = self.link.as_mut() else { return Err(Trouble::NoConnection) };
        let before = std::mem::replace(sent, true);
        let exchange = exchange(link, command_id, request, &mut self.line);
        let answer = timeout(limits.answer, exchange).await.map_err(|_| Trouble::Silent)?;
        // A server that took it for a broken handshake has read no command.
        *sent = before || !matches!(answer, Err(Trouble::Mismatch(_)));
        answer
    }

    fn leave(&mut self, trouble: Trouble) -> Trouble {
        self.link = None;
        self.at = (self.at + 1) % self.service.addresses.len();
        trouble
    }
}

async fn exchange(link: &mut Link, command_id: &str, request: &[u8], line: &mut Vec<u8>) -> Result<Answer, Trouble> {
    link.send(request).await?;
    loop {
        link.receive(line).await?;
        let answer: Answer = serde_json::from_slice(line).map_err(|e| Trouble::NoAnswer(e.to_string()))?;
        // A refusal to read the line at all carries no id; one with another id answers something that is no longer waited for.
        if answer.command_id.as_deref().is_none_or(|id| id.is_empty() || id == command_id) {
            return Ok(answer);
        }
    }
}

/// Doubling pauses, each drawn from its upper half, so that terminals cut off together do not come back together.
struct Jitter {
    state: u64,
}

impl Jitter {
    fn new() -> Self {
        // Randomness only spreads load here: a source that fails costs evenness, nothing else.
        Self { state: getrandom::u64().unwrap_or(0x9E37_79B9_7F4A_7C15) }
    }

    fn pause(&mut self, tries: u32, longest: Duration) -> Duration {
        // 2^10 first pauses are 10 s, above every cap in use.
        let doubled = BACKOFF_FIRST * (1 << (tries - 1).min(10));
        let whole = doubled.min(longest);
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        whole / 2 + whole.mul_f64((self.state >> 33) as f64 / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_below_the_cap() {
        let mut jitter = Jitter { state: 7 };
        let longest = Duration::from_millis(100);
        assert!(jitter.pause(1, longest) <= BACKOFF_FIRST);
        for tries in 2..100 {
            let pause = jitter.pause(tries, longest);
            assert!(pause <= longest, "{pause:?}");
            assert!(pause >= BACKOFF_FIRST, "{pause:?}");
        }
    }
}
