//! The register under one key of an etcd cluster that is there already, for as many pairs as it has keys.
//!
//! etcd compares and sets, and knows nothing of pairs. So each asker is its own witness: it reads what is kept (through the cluster's
//! leader, never from one member's memory), applies the witness's rules to it, and puts the new text in the place of exactly the old
//! one, in one transaction. Who reported, and in which cluster, stands in the text: a cluster that was restored under another id grants
//! nothing before both servers have reported to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Certificate, Client, Compare, CompareOp, ConnectOptions, Error, Identity, KvClient, TlsOptions, Txn, TxnOp};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::model::{Register, UnixMs};
use crate::wire::first_register::verify_register;
use crate::wire::names::ServerNames;

use super::register_text;
use super::witness_file::PairId;
use super::witness_rules::{Kept, Question, Ruling, decide};
use super::{Answer, Arbiter, ArbiterError, Asker, CasOutcome};

/// A member that has not answered for so long is joined by the next one: two round trips and a sync of a busy disk.
const NEXT_MEMBER_AFTER: Duration = Duration::from_millis(150);
/// Between reading and writing somebody else wrote. There are two servers, and each asks one question at a time.
const RACES_MAX: u32 = 4;
/// A text has 1 KiB; whatever is much larger is something else.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// How a cluster is reached.
pub struct Reach {
    /// Addresses of members for clients.
    pub members: Vec<SocketAddr>,
    /// Keys of this project begin with it.
    pub prefix: String,
    /// `None`: plain.
    pub tls: Option<Tls>,
}

/// PEM texts.
pub struct Tls {
    pub authority: String,
    /// Certificate and key, where the cluster asks for them.
    pub identity: Option<(String, String)>,
}

impl Tls {
    fn options(self) -> TlsOptions {
        let trusting = TlsOptions::new().ca_certificate(Certificate::from_pem(self.authority));
        match self.identity {
            Some((certificate, key)) => trusting.identity(Identity::from_pem(certificate, key)),
            None => trusting,
        }
    }
}

/// Asks one cluster about one pair.
pub struct EtcdArbiter {
    key: String,
    pair: PairId,
    authority: CertificateDer<'static>,
    names: ServerNames,
    members: Vec<Member>,
    options: ConnectOptions,
    /// Index of the member that answered last.
    first: AtomicUsize,
}

struct Member {
    url: String,
    /// Taken out while in use: one that fails, is late or is given up is never used again.
    client: Mutex<Option<KvClient>>,
}

/// Tells a text from a copy of it in another cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Birthplace {
    /// As `etcdctl` prints it.
    cluster: String,
}

/// What stands under the key now.
struct Found {
    text: Option<Vec<u8>>,
    kept: Option<Kept>,
    here: Birthplace,
}

impl EtcdArbiter {
    /// Connects at the first question. `authority` is the pair's own, which signs its first register and names its key.
    pub fn new(reach: Reach, authority: CertificateDer<'static>, names: ServerNames) -> Self {
        let pair = PairId::of(&authority);
        let key = format!("{}/pairs/{pair}", reach.prefix);
        let scheme = if reach.tls.is_some() { "https" } else { "http" };
        let member = |address| Member { url: format!("{scheme}://{address}"), client: Mutex::new(None) };
        let members = reach.members.into_iter().map(member).collect();
        let options = match reach.tls {
            Some(tls) => ConnectOptions::new().with_tls(tls.options()),
            None => ConnectOptions::new(),
        };
        Self { key, pair, authority, names, members, options, first: AtomicUsize::new(0) }
    }

    /// Members are asked one after the other, each a little later; the first answer counts. An ask that is given up may still land,
    /// as any ask without an answer.
    async fn ask(&self, asker: Asker, question: Question, limit: Duration) -> Result<Ruling, ArbiterError> {
        let count = self.members.len();
        let first = self.first.load(Ordering::Relaxed);
        let mut waiting = (0..count).map(|turn| (first + turn) % count).peekable();
        let mut asked = FuturesUnordered::new();
        let mut failures = Vec::new();
        let answered = timeout(limit, async {
            loop {
                asked.extend(waiting.next().map(|at| self.ask_member(at, &asker, &question)));
                tokio::select! {
                    ended = asked.next() => match ended {
                        Some(Err(ArbiterError::Unreachable(why))) => failures.push(why),
                        Some(answer) => break Some(answer),
                        None => break None,
                    },
                    () = sleep(NEXT_MEMBER_AFTER), if waiting.peek().is_some() => {}
                }
            }
        });
        match answered.await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(ArbiterError::Unreachable(failures.join("; "))),
            Err(_) => {
                failures.push(format!("no answer within {} ms", limit.as_millis()));
                Err(ArbiterError::Unreachable(format!("etcd: {}", failures.join("; "))))
            }
        }
    }

    async fn ask_member(&self, at: usize, asker: &Asker, question: &Question) -> Result<Ruling, ArbiterError> {
        let member = &self.members[at];
        let unreachable = |error: Error| ArbiterError::Unreachable(format!("etcd {}: {}", member.url, in_words(&error)));
        let kept = member.client.lock().await.take();
        let mut client = match kept {
            Some(client) => client,
            None => self.connect(member).await.map_err(unreachable)?,
        };
        for _ in 0..RACES_MAX {
            let found = self.find(&mut client).await.map_err(unreachable)?.map_err(ArbiterError::Refused)?;
            let decision = decide(found.kept.as_ref(), asker, question);
            let is_settled = match decision.keep {
                None => true,
                Some(keep) => self
                    .replace(&mut client, &found, &keep.dated(found.kept.as_ref(), clock::unix_now()))
                    .await
                    .map_err(unreachable)?,
            };
            if is_settled {
                *member.client.lock().await = Some(client);
                self.first.store(at, Ordering::Relaxed);
                return Ok(decision.ruling);
            }
        }
        Err(ArbiterError::Unreachable(format!("etcd {}: {} was changed {RACES_MAX} times meanwhile", member.url, self.key)))
    }

    async fn connect(&self, member: &Member) -> Result<KvClient, Error> {
        Ok(Client::connect([&member.url], Some(self.options.clone())).await?.kv_client())
    }

    /// Inner error: what stands there is not ours, or damaged.
    async fn find(&self, client: &mut KvClient) -> Result<Result<Found, String>, Error> {
        let mut read = client.get(self.key.as_str(), None).await?;
        let cluster = read.header().map_or(0, |header| header.cluster_id());
        let here = Birthplace { cluster: format!("{cluster:x}") };
        let text = read.take_kvs().pop().map(|pair| pair.into_key_value().1);
        let Some(text) = text else { return Ok(Ok(Found { text: None, kept: None, here })) };
        let kept = self.understand(&text, &here).map_err(|why| format!("etcd key {}: {why}", self.key));
        Ok(kept.map(|kept| Found { text: Some(text), kept: Some(kept), here }))
    }

    fn understand(&self, text: &[u8], here: &Birthplace) -> Result<Kept, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("{} bytes are no register", text.len()));
        }
        let text = std::str::from_utf8(text).map_err(|_| "what stands there is no text".to_owned())?;
        let (noted, kept) = register_text::read::<Birthplace>(&self.pair, text)?;
        Ok(if noted == *here { kept } else { Kept { reported: [None; 2], ..kept } })
    }

    /// Whether it was still as found.
    async fn replace(&self, client: &mut KvClient, found: &Found, keep: &Kept) -> Result<bool, Error> {
        let unchanged = match &found.text {
            Some(text) => Compare::value(self.key.as_str(), CompareOp::Equal, text.clone()),
            None => Compare::version(self.key.as_str(), CompareOp::Equal, 0),
        };
        let text = register_text::write(&self.pair, &found.here, keep);
        let put = TxnOp::put(self.key.as_str(), text, None);
        Ok(client.txn(Txn::new().when([unchanged]).and_then([put])).await?.succeeded())
    }

    async fn outcome(&self, asker: Asker, question: Question, limit: Duration) -> Result<CasOutcome, ArbiterError> {
        match self.ask(asker, question, limit).await? {
            Ruling::Outcome(outcome) => Ok(outcome),
            ruling => Err(self.unfitting(ruling)),
        }
    }

    fn unfitting(&self, ruling: Ruling) -> ArbiterError {
        match ruling {
            Ruling::Refused(refusal) => ArbiterError::Refused(self.names.put_into(&refusal.to_string())),
            Ruling::Holds(_) | Ruling::Outcome(_) => unreachable!("the rules answer what was asked: {ruling:?}"),
        }
    }
}

/// Without what the client's library puts around it.
fn in_words(error: &Error) -> String {
    match error {
        Error::GRpcStatus(status) => status.message().to_owned(),
        other => other.to_string(),
    }
}

impl Arbiter for EtcdArbiter {
    fn read(&self, asker: Asker, limit: Duration) -> Answer<'_, Option<Register>> {
        Box::pin(async move {
            match self.ask(asker, Question::Read, limit).await? {
                Ruling::Holds(register) => Ok(register),
                ruling => Err(self.unfitting(ruling)),
            }
        })
    }

    fn compare_and_set(&self, asker: Asker, expected: &Register, new: &Register, limit: Duration) -> Answer<'_, CasOutcome> {
        let question = Question::CompareAndSet { expected: *expected, new: *new };
        Box::pin(self.outcome(asker, question, limit))
    }

    fn overrule(&self, asker: Asker, expected: &Register, new: &Register, limit: Duration) -> Answer<'_, CasOutcome> {
        let question = Question::Overrule { expected: *expected, new: *new };
        Box::pin(self.outcome(asker, question, limit))
    }

    fn since(&self, limit: Duration) -> Answer<'_, Option<UnixMs>> {
        Box::pin(async move {
            let member = &self.members[self.first.load(Ordering::Relaxed)];
            let late = || ArbiterError::Unreachable(format!("etcd {}: no date within {} ms", member.url, limit.as_millis()));
            let found = timeout(limit, async { self.find(&mut self.connect(member).await?).await }).await.map_err(|_| late())?;
            let found = found.map_err(|error| ArbiterError::Unreachable(in_words(&error)))?.map_err(ArbiterError::Refused)?;
            Ok(found.kept.and_then(|kept| kept.since))
        })
    }

    fn introduce(&self, asker: Asker, first: &str, limit: Duration) -> Answer<'_, CasOutcome> {
        let first = verify_register(&self.authority, first).map_err(|refused| ArbiterError::Refused(refused.to_string()));
        Box::pin(async move { self.outcome(asker, Question::Introduce { first: first? }, limit).await })
    }
}
