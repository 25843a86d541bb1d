//! A server's side of the witness: one connection, kept open and made anew on demand, one question at a time.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::model::{Register, UnixMs};
use crate::wire::identity::Identity;
use crate::wire::names::ServerNames;
use crate::wire::pki::CertificateRole;
use crate::wire::tls;
use crate::wire::trust::named;

use super::witness_file::PairId;
use super::witness_frames::{Ask, Line, Reply, Request, VERSION, WitnessStatus};
use super::{Answer, Arbiter, ArbiterError, Asker, CasOutcome, witness_pairs};

/// Asks one witness.
pub struct WitnessClient {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    /// Says to a witness of many pairs whose keys to show.
    called: ServerName<'static>,
    /// A witness knows none.
    names: Option<ServerNames>,
    /// Taken out while in use: an exchange that fails, is late or is dropped never leaves half a reply for the next one.
    line: Mutex<Option<Line>>,
}

impl fmt::Debug for WitnessClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessClient({})", self.address)
    }
}

impl WitnessClient {
    /// Connects at the first question.
    ///
    /// # Errors
    /// [`rustls::Error`] if the authority cannot be used.
    pub fn new(address: SocketAddr, identity: &Identity) -> Result<Self, rustls::Error> {
        let tls = tls::mutual_client(identity, CertificateRole::Witness)?;
        let called = witness_pairs::called(&PairId::of(identity.authority()));
        let called = ServerName::try_from(called).map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { address, tls, called, names: None, line: Mutex::new(None) })
    }

    /// Puts these names into what the witness refuses.
    #[must_use]
    pub fn calling(self, names: ServerNames) -> Self {
        Self { names: Some(names), ..self }
    }

    /// What the witness says about itself; also for the holder of a witness's own certificate.
    ///
    /// # Errors
    /// [`ArbiterError`]
    pub async fn status(&self, limit: Duration) -> Result<WitnessStatus, ArbiterError> {
        match self.ask(Ask::Status, limit).await? {
            Reply::Status(status) => Ok(status),
            other => Err(unfitting(&other)),
        }
    }

    async fn ask(&self, ask: Ask, limit: Duration) -> Result<Reply, ArbiterError> {
        let unreachable = |why: &dyn fmt::Display| ArbiterError::Unreachable(format!("witness {}: {why}", self.address));
        match timeout(limit, self.exchange(&Request { version: VERSION, ask })).await {
            Ok(Ok(Reply::Refused(why))) => Err(ArbiterError::Refused(self.in_words(why))),
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(unreachable(&self.in_words(named(error).to_string()))),
            Err(_) => Err(unreachable(&format_args!("no answer within {} ms", limit.as_millis()))),
        }
    }

    fn in_words(&self, text: String) -> String {
        match &self.names {
            Some(names) => names.put_into(&text),
            None => text,
        }
    }

    async fn exchange(&self, request: &Request) -> io::Result<Reply> {
        let mut kept = self.line.lock().await;
        if let Some(line) = kept.take() {
            // The witness may have restarted since: the same question once more on a new connection. If it landed the first time,
            // the second answer is `Differs` with the very value asked for.
            if let Ok((line, reply)) = exchange_on(line, request).await {
                *kept = Some(line);
                return Ok(reply);
            }
        }
        let (line, reply) = exchange_on(self.connect().await?, request).await?;
        *kept = Some(line);
        Ok(reply)
    }

    async fn connect(&self) -> io::Result<Line> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        // Role and authority are what is checked; the name chooses only.
        Ok(Line::new(TlsConnector::from(self.tls.clone()).connect(self.called.clone(), tcp).await?))
    }
}

async fn exchange_on(mut line: Line, request: &Request) -> io::Result<(Line, Reply)> {
    line.say(request).await?;
    let reply = line.hear().await?;
    Ok((line, reply))
}

fn unfitting(reply: &Reply) -> ArbiterError {
    ArbiterError::Unreachable(format!("the witness answered another question: {reply:?}"))
}

fn outcome(reply: Reply) -> Result<CasOutcome, ArbiterError> {
    match reply {
        Reply::Landed(register) => Ok(CasOutcome::Landed(register)),
        Reply::Differs(register) => Ok(CasOutcome::Differs(register)),
        other => Err(unfitting(&other)),
    }
}

impl Arbiter for WitnessClient {
    fn read(&self, asker: Asker, limit: Duration) -> Answer<'_, Option<Register>> {
        Box::pin(async move {
            match self.ask(Ask::Read { asker }, limit).await? {
                Reply::Holds(register) => Ok(register),
                other => Err(unfitting(&other)),
            }
        })
    }

    fn compare_and_set(&self, asker: Asker, expected: &Register, new: &Register, limit: Duration) -> Answer<'_, CasOutcome> {
        let ask = Ask::CompareAndSet { asker, expected: *expected, new: *new };
        Box::pin(async move { outcome(self.ask(ask, limit).await?) })
    }

    fn overrule(&self, asker: Asker, expected: &Register, new: &Register, limit: Duration) -> Answer<'_, CasOutcome> {
        let ask = Ask::Overrule { asker, expected: *expected, new: *new };
        Box::pin(async move { outcome(self.ask(ask, limit).await?) })
    }

    fn since(&self, limit: Duration) -> Answer<'_, Option<UnixMs>> {
        Box::pin(async move {
            match self.ask(Ask::Since, limit).await? {
                Reply::Since(since) => Ok(since),
                other => Err(unfitting(&other)),
            }
        })
    }

    fn introduce(&self, asker: Asker, first: &str, limit: Duration) -> Answer<'_, CasOutcome> {
        let ask = Ask::Introduce { asker, first: first.to_owned() };
        Box::pin(async move { outcome(self.ask(ask, limit).await?) })
    }
}
