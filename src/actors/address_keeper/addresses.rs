//! Which addresses move, and what the kernel calls them.

use std::net::IpAddr;

use crate::config::limits;
use crate::machines::failover::AddressSet;

/// The pair's service addresses and where they live.
#[derive(Clone, Debug)]
pub struct ServiceAddresses {
    pub interface: String,
    pub main: Vec<IpAddr>,
    pub sub: Vec<IpAddr>,
    pub gateways: Vec<IpAddr>,
}

impl ServiceAddresses {
    pub fn of(&self, set: AddressSet) -> Vec<IpAddr> {
        match set {
            AddressSet::None => vec![],
            AddressSet::Main => self.main.clone(),
            AddressSet::Sub => self.sub.clone(),
            AddressSet::Both => [&self.main[..], &self.sub[..]].concat(),
        }
    }

    pub(super) fn label(&self, address: IpAddr) -> String {
        // The kernel wants labels that begin with the interface's name; 15 bytes in all.
        let suffix = if self.main.contains(&address) { ":m" } else { ":s" };
        let is_short = self.interface.len() + suffix.len() <= limits::INTERFACE_NAME_LEN_MAX;
        if is_short { format!("{}{suffix}", self.interface) } else { self.interface.clone() }
    }
}
