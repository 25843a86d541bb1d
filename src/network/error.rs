//! What can go wrong with an address or an interface, in words for the person on call.

use std::{error::Error, fmt, io, net::IpAddr};

/// A request to the network that was not carried out.
#[derive(Debug)]
pub enum NetworkError {
    /// No interface has this name now. It may come back: asking again later can succeed.
    NoInterface { interface: String },
    /// The interface exists but has no Ethernet address, so ARP and NDP mean nothing on it.
    NotEthernet { interface: String },
    /// The setting cannot work; asking again does not help.
    BadAlias { address: IpAddr, interface: String, reason: String },
    /// The kernel refused, or did not answer in time. `action` reads like `add 10.0.0.1`.
    Failed { action: String, interface: String, cause: io::Error },
}

impl NetworkError {
    pub(super) fn failed(action: impl Into<String>, interface: &str, cause: impl Into<io::Error>) -> Self {
        Self::Failed { action: action.into(), interface: interface.to_owned(), cause: cause.into() }
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface { interface } => write!(f, "there is no interface {interface}"),
            Self::NotEthernet { interface } => {
                write!(f, "interface {interface} has no ethernet address")
            }
            Self::BadAlias { address, interface, reason } => write!(f, "cannot hold {address} on {interface}: {reason}"),
            Self::Failed { action, interface, cause } => write!(f, "cannot {action} on {interface}: {cause}"),
        }
    }
}

impl Error for NetworkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed { cause, .. } => Some(cause),
            Self::NoInterface { .. } | Self::NotEthernet { .. } | Self::BadAlias { .. } => None,
        }
    }
}
