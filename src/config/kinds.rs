//! Choices between kinds. Each is read as plain fields first: serde's own tagged enums lose which key and line an error is about.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::limits;
use super::lines::{Refusal, refuse};
use super::one_or_more::OneOrMore;

/// An array of two would leave out a third name without a word.
pub(super) fn two_names<'de, D: Deserializer<'de>>(names: D) -> Result<[String; 2], D::Error> {
    let names = Vec::<String>::deserialize(names)?;
    let found = names.len();
    names
        .try_into()
        .map_err(|_| D::Error::custom(format!("names {found} server{}; a pair has two", if found == 1 { "" } else { "s" })))
}

/// The third opinion.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "WrittenArbiter", tag = "kind", rename_all = "lowercase")]
pub enum Arbiter {
    /// `duplex witness` on a third machine.
    Witness { address: SocketAddr },
    /// A key in an etcd cluster.
    Etcd(Etcd),
    /// No third machine: a person says that the other server is off.
    Operator,
}

/// An etcd cluster that is there already.
#[derive(Clone, Debug, Serialize)]
pub struct Etcd {
    /// Client addresses of its members; numbers, so that nobody has to resolve a name when a server dies.
    pub endpoints: Vec<SocketAddr>,
    /// The pair's key is `<prefix>/pairs/<id of the pair>`.
    pub prefix: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub tls: Option<EtcdTls>,
}

/// PEM files.
#[derive(Clone, Debug, Serialize)]
pub struct EtcdTls {
    pub ca: PathBuf,
    /// With the key, where the cluster asks its clients for a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

impl Arbiter {
    /// Word for the kind, as configured.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Witness { .. } => "witness",
            Self::Etcd(_) => "etcd",
            Self::Operator => "operator",
        }
    }

    pub(super) fn validate(&self) -> Result<(), Refusal> {
        match self {
            Self::Witness { address } => reachable("arbiter.address", address),
            Self::Etcd(etcd) => etcd.validate(),
            Self::Operator => Ok(()),
        }
    }
}

impl Etcd {
    fn validate(&self) -> Result<(), Refusal> {
        let key = "arbiter.endpoints";
        let count = self.endpoints.len();
        if count == 0 || count > limits::ETCD_ENDPOINTS_MAX {
            return refuse(
                key,
                format!("names {count} members of the cluster; 1 to {} are possible", limits::ETCD_ENDPOINTS_MAX),
            );
        }
        self.endpoints.iter().try_for_each(|endpoint| reachable(key, endpoint))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if self.prefix.is_empty() || self.prefix.len() > limits::ETCD_PREFIX_LEN_MAX || !self.prefix.chars().all(plain) {
            return refuse("arbiter.prefix", format!("{:?} is not made of letters, digits and '-_./' (1 to 128)", self.prefix));
        }
        Ok(())
    }
}

pub(super) fn reachable(key: &'static str, address: &SocketAddr) -> Result<(), Refusal> {
    match address.port() {
        0 => refuse(key, format!("{address}: nobody can be reached at port 0")),
        _ => Ok(()),
    }
}

/// The service addresses of both roles.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "WrittenAddresses", tag = "manage", rename_all = "lowercase")]
pub enum Addresses {
    /// Added to `interface` as aliases by whoever serves them.
    Alias {
        interface: String,
        main: OneOrMore<IpAddr>,
        sub: OneOrMore<IpAddr>,
        #[serde(skip_serializing_if = "OneOrMore::is_empty")]
        gateway: OneOrMore<IpAddr>,
    },
    /// Not moved by duplex: clients know both servers' own addresses (trials on one machine).
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenArbiter {
    kind: ArbiterKind,
    address: Option<SocketAddr>,
    endpoints: Option<Vec<SocketAddr>>,
    prefix: Option<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ArbiterKind {
    Witness,
    Etcd,
    Operator,
}

impl ArbiterKind {
    fn word(self) -> &'static str {
        match self {
            Self::Witness => "witness",
            Self::Etcd => "etcd",
            Self::Operator => "operator",
        }
    }
}

impl WrittenArbiter {
    /// The first key that stands there and belongs to another kind.
    fn stray(&self) -> Option<&'static str> {
        let of_etcd = [
            ("endpoints", self.endpoints.is_some()),
            ("prefix", self.prefix.is_some()),
            ("ca", self.ca.is_some()),
            ("certificate", self.certificate.is_some()),
            ("key", self.key.is_some()),
        ];
        let of_witness = [("address", self.address.is_some())];
        let strays = match self.kind {
            ArbiterKind::Witness => of_etcd.to_vec(),
            ArbiterKind::Etcd => of_witness.to_vec(),
            ArbiterKind::Operator => [&of_witness[..], &of_etcd].concat(),
        };
        strays.into_iter().find(|(_, is_there)| *is_there).map(|(key, _)| key)
    }
}

impl TryFrom<WrittenArbiter> for Arbiter {
    type Error = String;

    fn try_from(written: WrittenArbiter) -> Result<Self, String> {
        let kind = written.kind.word();
        if let Some(stray) = written.stray() {
            return Err(format!("kind = {kind:?} takes no {stray}"));
        }
        let needs = |key: &str| format!("kind = {kind:?} needs {key}");
        match written.kind {
            ArbiterKind::Witness => Ok(Self::Witness { address: written.address.ok_or_else(|| needs("address"))? }),
            ArbiterKind::Operator => Ok(Self::Operator),
            ArbiterKind::Etcd => Ok(Self::Etcd(Etcd {
                endpoints: written.endpoints.ok_or_else(|| needs("endpoints"))?,
                prefix: written.prefix.unwrap_or_else(|| "duplex".to_owned()),
                tls: match (written.ca, written.certificate, written.key) {
                    (None, None, None) => None,
                    (Some(ca), None, None) => Some(EtcdTls { ca, certificate: None, key: None }),
                    (Some(ca), certificate @ Some(_), key @ Some(_)) => Some(EtcdTls { ca, certificate, key }),
                    (None, _, _) => return Err("certificate and key need ca, the authority of the cluster".into()),
                    (Some(_), _, _) => return Err("certificate and key belong together".into()),
                },
            })),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAddresses {
    manage: Manage,
    interface: Option<String>,
    #[serde(default)]
    main: OneOrMore<IpAddr>,
    #[serde(default)]
    sub: OneOrMore<IpAddr>,
    #[serde(default)]
    gateway: OneOrMore<IpAddr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Manage {
    Alias,
    None,
}

impl TryFrom<WrittenAddresses> for Addresses {
    type Error = String;

    fn try_from(written: WrittenAddresses) -> Result<Self, String> {
        let WrittenAddresses { manage, interface, main, sub, gateway } = written;
        let needs = |key: &str| Err(format!("manage = \"alias\" needs {key}"));
        match (manage, interface) {
            (Manage::Alias, None) => needs("interface"),
            (Manage::Alias, Some(_)) if main.is_empty() => needs("main"),
            (Manage::Alias, Some(_)) if sub.is_empty() => needs("sub"),
            (Manage::Alias, Some(interface)) => Ok(Self::Alias { interface, main, sub, gateway }),
            (Manage::None, Some(_)) => Err("manage = \"none\" takes no interface".into()),
            (Manage::None, None) if [&main, &sub, &gateway].iter().any(|given| !given.is_empty()) => {
                Err("manage = \"none\" takes no addresses".into())
            }
            (Manage::None, None) => Ok(Self::None),
        }
    }
}
