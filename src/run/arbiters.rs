//! The third opinion, of the kind that is configured.

use std::sync::Arc;

use super::open::{Unopened, at_keys, mistaken};
use crate::arbiter::{Arbiter, WitnessClient};
use crate::config::{self, Config};
use crate::layout::Layout;
use crate::wire::identity::Identity;
use crate::wire::names::ServerNames;

/// Connects to nobody yet.
pub(super) fn open(
    config: &Config,
    layout: &Layout,
    identity: &Identity,
    names: &ServerNames,
) -> Result<Arc<dyn Arbiter>, Unopened> {
    match &config.arbiter {
        config::Arbiter::Witness { address } => {
            Ok(Arc::new(WitnessClient::new(*address, identity).map_err(at_keys)?.calling(names.clone())))
        }
        config::Arbiter::Etcd(etcd) => open_etcd(etcd, layout, names),
    }
}

#[cfg(not(feature = "etcd"))]
fn open_etcd(_: &config::Etcd, _: &Layout, _: &ServerNames) -> Result<Arc<dyn Arbiter>, Unopened> {
    Err(mistaken("arbiter.kind")("this program was built without etcd (cargo's feature `etcd`)"))
}

#[cfg(feature = "etcd")]
fn open_etcd(etcd: &config::Etcd, layout: &Layout, names: &ServerNames) -> Result<Arc<dyn Arbiter>, Unopened> {
    use crate::arbiter::etcd::{EtcdArbiter, Reach, Tls};
    use crate::wire::identity::load_authority;

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
    let authority = load_authority(&layout.authority()).map_err(mistaken(super::open::KEYS))?;
    let reach = Reach { members: etcd.endpoints.clone(), prefix: etcd.prefix.clone(), tls };
    Ok(Arc::new(EtcdArbiter::new(reach, authority, names.clone())))
}
