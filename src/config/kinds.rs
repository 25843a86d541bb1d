//! Choices between kinds. Each is read as plain fields first: serde's own tagged enums lose which key and line an error is about.

use std::net::{IpAddr, SocketAddr};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

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
    address: SocketAddr,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ArbiterKind {
    Witness,
}

impl TryFrom<WrittenArbiter> for Arbiter {
    type Error = String;

    fn try_from(WrittenArbiter { kind: ArbiterKind::Witness, address }: WrittenArbiter) -> Result<Self, String> {
        Ok(Self::Witness { address })
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
