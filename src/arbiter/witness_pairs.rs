//! The pairs of one witness. Each has its own authority, certificate, file and desk; whose connection it is, the client says by the name
//! that it calls in the first packet of TLS.
//!
//! **Invariant:** a name opens nothing. It chooses the pair *and* the authority that the client must then be of.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use slog::{Logger, error, info, o, warn};

use crate::model::ServerId;
use crate::wire::identity::Identity;
use crate::wire::pki::CertificateRole;
use crate::wire::tls;

use super::witness_desk::Desk;
use super::witness_file::{PairFile, PairId};
use super::witness_server::WitnessError;

/// Who may connect. A witness's own certificate serves `status` on its machine; the rules grant it nothing.
pub(super) const ROLES: [CertificateRole; 3] =
    [CertificateRole::Server(ServerId::A), CertificateRole::Server(ServerId::B), CertificateRole::Witness];
/// A label of a DNS name has 63 characters at most, an id 64; half of it is enough to choose by.
const LABEL_LEN: usize = 32;

/// The name that a client of `pair` calls.
pub(super) fn called(pair: &PairId) -> String {
    format!("{pair:.LABEL_LEN$}.{}", CertificateRole::Witness.dns_name())
}

pub(super) struct Pair {
    called: String,
    pub(super) tls: Arc<ServerConfig>,
    pub(super) desk: Arc<Desk>,
    pub(super) log: Logger,
}

/// All of them, in the order that they were given.
#[derive(Clone)]
pub(super) struct Pairs(Arc<[Pair]>);

impl Pairs {
    /// A file that cannot be used refuses for its own pair; without any that can, there is nothing to serve.
    pub(super) fn open(data: &Path, identities: &[Identity], log: &Logger) -> Result<Self, WitnessError> {
        let mut pairs: Vec<Pair> = Vec::new();
        let (mut serves_one, mut damaged) = (false, None);
        for identity in identities {
            let id = PairId::of(identity.authority());
            let called = called(&id);
            if pairs.iter().any(|other| other.called == called) {
                return Err(WitnessError::Twice(id));
            }
            let tls = tls::mutual_server(identity, &ROLES).map_err(WitnessError::Tls)?;
            let log = log.new(o!("pair" => identity.authority_fingerprint()));
            let file = PairFile::open(data, &id);
            match &file {
                Ok(file) => {
                    serves_one = true;
                    tell_of(file, &log);
                }
                Err(why) => {
                    error!(log, "nothing is granted to this pair: its file cannot be used"; "file.error" => %why);
                    damaged = damaged.or(Some(why.clone()));
                }
            }
            let desk = Desk::new(id, identity.authority().clone(), file, log.clone());
            pairs.push(Pair { called, tls, desk: Arc::new(desk), log });
        }
        match damaged {
            Some(why) if !serves_one => Err(WitnessError::File(why)),
            _ => Ok(Self(pairs.into())),
        }
    }

    pub(super) fn all(&self) -> &[Pair] {
        &self.0
    }

    /// The pair that a client calls. Servers before this call none of them: they, and whoever is of no pair here, meet the first one,
    /// and either its authority or the stranger says in words what does not fit.
    pub(super) fn choose(&self, name: Option<&str>) -> usize {
        name.and_then(|name| self.0.iter().position(|pair| pair.called == name)).unwrap_or(0)
    }
}

/// Later refusals say only that it is one or the other.
fn tell_of(file: &PairFile, log: &Logger) {
    let path = file.path().display().to_string();
    if file.is_copy() {
        warn!(log, "this file is whole, but not as a witness wrote it here: it was copied, restored or saved by an editor; nothing is \
                    granted on it until both servers have reported again"; "file" => path);
    } else if matches!(file.kept(), Ok(None)) {
        info!(log, "nothing is kept of this pair yet; its servers bring the first register"; "file" => path);
    }
}
