//! The third opinion: who may acknowledge, decided once for both servers. One trait for every kind of arbiter.
//!
//! **Invariant:** nothing here decides what a *server* does; that is the failover machine's. Nothing here keeps time or retries for
//! longer than the caller's limit.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{DataId, Epoch, Register, ServerId, UnixMs};

#[cfg(feature = "etcd")]
pub mod etcd;
pub mod operator;
mod register_text;
pub mod witness_account;
pub mod witness_client;
mod witness_desk;
pub mod witness_file;
pub mod witness_frames;
mod witness_pairs;
pub mod witness_rules;
pub mod witness_server;

pub use witness_account::{Accounts, PairAccount};
pub use witness_client::WitnessClient;
pub use witness_server::{Witness, WitnessError};

/// What an arbiter will have answered within the caller's limit. Boxed, so that a coordinator can hold any kind of arbiter.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ArbiterError>> + Send + 'a>>;

/// Who asks, by its own disk. An arbiter that was lost and restored learns from it that it knows too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    pub server: ServerId,
    pub data_id: DataId,
    /// Highest epoch that this disk ever *held*; epochs that were only spent on asking do not count.
    pub held: Epoch,
}

/// What became of a compare-and-set that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CasOutcome {
    /// The register is this now, durably.
    Landed(Register),
    /// The register is this and was not touched. It may be the very value asked for, if an earlier sending of the ask landed.
    Differs(Register),
}

/// No answer that counts. **Either way it is unknown whether the ask landed**, for an earlier sending of it may still be under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArbiterError {
    /// Nobody answered within the limit.
    Unreachable(String),
    /// It answered that it will not decide; the text is for a person.
    Refused(String),
}

impl fmt::Display for ArbiterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the arbiter did not answer: {why}"),
            Self::Refused(why) => write!(f, "the arbiter refuses: {why}"),
        }
    }
}

impl std::error::Error for ArbiterError {}

/// The keeper of the register. Dropping an answer before it came leaves the ask unanswered, like any error.
pub trait Arbiter: Send + Sync {
    /// The register; `None` while it was never given one.
    ///
    /// # Errors
    /// [`ArbiterError`]
    fn read(&self, asker: Asker, limit: Duration) -> Answer<'_, Option<Register>>;

    /// Puts `new` in the place of `expected`, if that is the whole present value.
    ///
    /// # Errors
    /// [`ArbiterError`]: unknown whether it landed.
    fn compare_and_set(&self, asker: Asker, expected: &Register, new: &Register, limit: Duration) -> Answer<'_, CasOutcome>;

    /// The same by a person's word: `asker` alone is the holder from now on, whoever was, and though it may lack what was recorded. Only
    /// the whole value, the disk and the epoch still count.
    ///
    /// # Errors
    /// [`ArbiterError`]: unknown whether it landed.
    fn overrule(&self, asker: Asker, expected: &Register, new: &Register, limit: Duration) -> Answer<'_, CasOutcome> {
        self.compare_and_set(asker, expected, new, limit)
    }

    /// When the register's holder came to hold it, if the arbiter noted that: for people.
    ///
    /// # Errors
    /// [`ArbiterError`]
    fn since(&self, _limit: Duration) -> Answer<'_, Option<UnixMs>> {
        Box::pin(async { Ok(None) })
    }

    /// Gives an empty arbiter its first register: the text of the file that `duplex init` signed. One that has a register keeps it.
    ///
    /// # Errors
    /// [`ArbiterError`]: unknown whether it landed.
    fn introduce(&self, asker: Asker, first: &str, limit: Duration) -> Answer<'_, CasOutcome>;
}
