//! The third opinion, of the kind that is configured.

use std::sync::{Arc, PoisonError};

use super::open::{KEYS, Unopened, at_keys, mistaken};
use crate::actors::failover_coordinator::Notes;
use crate::arbiter::operator::Operator;
use crate::arbiter::{Arbiter, WitnessClient};
use crate::config::{self, Config};
use crate::handover::Shown;
use crate::layout::Layout;
use crate::wire::first_register::verify_register;
use crate::wire::identity::{Identity, load_authority};
use crate::wire::names::ServerNames;

/// What this server knows by itself, for an arbiter that is nobody else.
pub(super) struct Own<'a> {
    pub(super) notes: &'a Notes,
    pub(super) shown: &'a Arc<Shown>,
    /// The signed first register.
    pub(super) first: &'a str,
}

/// Connects to nobody yet.
pub(super) fn open(
    config: &Config,
    layout: &Layout,
    identity: &Identity,
    names: &ServerNames,
    own: &Own<'_>,
) -> Result<Arc<dyn Arbiter>, Unopened> {
    match &config.arbiter {
        config::Arbiter::Witness { address } => {
            Ok(Arc::new(WitnessClient::new(*address, identity).map_err(at_keys)?.calling(names.clone())))
        }
        config::Arbiter::Etcd(etcd) => open_etcd(etcd, layout, names),
        config::Arbiter::Operator => open_operator(config, layout, own),
    }
}

fn open_operator(config: &Config, layout: &Layout, own: &Own<'_>) -> Result<Arc<dyn Arbiter>, Unopened> {
    let authority = load_authority(&layout.authority()).map_err(mistaken(KEYS))?;
    let file = layout.first_register();
    let first = verify_register(&authority, own.first);
    let first = first.map_err(|refused| mistaken(KEYS)(format!("{}: {refused}", file.display())))?;
    let (notes, shown) = (Arc::clone(own.notes), Arc::clone(own.shown));
    let disk = move || *notes.lock().unwrap_or_else(PoisonError::into_inner).current();
    let peer = config.name_of(config.id().peer()).to_owned();
    Ok(Arc::new(Operator::new(first, Box::new(disk), Box::new(move || shown.heard_peer()), peer)))
}

#[cfg(not(feature = "etcd"))]
fn open_etcd(_: &config::Etcd, _: &Layout, _: &ServerNames) -> Result<Arc<dyn Arbiter>, Unopened> {
    Err(mistaken("arbiter.kind")("this program was built without etcd (cargo's feature `etcd`)"))
}

#[cfg(feature = "etcd")]
fn open_etcd(etcd: &config::Etcd, layout: &Layout, names: &ServerNames) -> Result<Arc<dyn Arbiter>, Unopened> {
    use crate::arbiter::etcd::{EtcdArbiter, Reach, Tls};

    let read = |key: &str, file: &std::path::Path| {
        std::fs::read_to_string(file)
            .map_err(|error| mistaken(format!("arbiter.{key}"))(format_args!("{}: {error}", file.display())))
    };
    let tls = |files: &config::EtcdTls| {
        let identity = match (&files.certificate, &files.key) {
            (Some(certificate), Some(key)) => Some((read("certificate", certificate)?, read("key", key)?)),
            _ => None,
        };
        Ok(Tls { authority: read("ca", &files.ca)?, identity })
    };
    let tls = etcd.tls.as_ref().map(tls).transpose()?;
    let authority = load_authority(&layout.authority()).map_err(mistaken(KEYS))?;
    let reach = Reach { members: etcd.endpoints.clone(), prefix: etcd.prefix.clone(), tls };
    Ok(Arc::new(EtcdArbiter::new(reach, authority, names.clone())))
}
