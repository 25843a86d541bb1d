//! Choices between kinds. Each is read as plain fields first: serde's own tagged enums lose which key and line an error is about.

use std::net::{Ipv4Addr, SocketAddr};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

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

/// The two service addresses.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "WrittenAddresses", tag = "manage", rename_all = "lowercase")]
pub enum Addresses {
    /// Added to `interface` as aliases by whoever serves them.
    Alias {
        interface: String,
        main: Ipv4Addr,
        sub: Ipv4Addr,
        #[serde(skip_serializing_if = "Option::is_none")]
        gateway: Option<Ipv4Addr>,
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
    main: Option<Ipv4Addr>,
    sub: Option<Ipv4Addr>,
    gateway: Option<Ipv4Addr>,
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
        let needs = |key: &str| format!("manage = \"alias\" needs {key}");
        match manage {
            Manage::Alias => Ok(Self::Alias {
                interface: interface.ok_or_else(|| needs("interface"))?,
                main: main.ok_or_else(|| needs("main"))?,
                sub: sub.ok_or_else(|| needs("sub"))?,
                gateway,
            }),
            Manage::None if interface.is_some() => Err("manage = \"none\" takes no interface".into()),
            Manage::None if main.or(sub).or(gateway).is_some() => Err("manage = \"none\" takes no addresses".into()),
            Manage::None => Ok(Self::None),
        }
    }
}
