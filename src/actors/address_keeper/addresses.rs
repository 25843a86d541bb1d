//! Which addresses move, and what the kernel calls them.

use std::net::Ipv4Addr;

use crate::config::limits;
use crate::machines::failover::AddressSet;

/// The pair's service addresses and where they live.
#[derive(Clone, Debug)]
pub struct ServiceAddresses {
    pub interface: String,
    pub main: Ipv4Addr,
    pub sub: Ipv4Addr,
    pub gateway: Option<Ipv4Addr>,
}

impl ServiceAddresses {
    pub(super) fn of(&self, set: AddressSet) -> Vec<Ipv4Addr> {
        match set {
            AddressSet::None => vec![],
            AddressSet::Main => vec![self.main],
            AddressSet::Sub => vec![self.sub],
            AddressSet::Both => vec![self.main, self.sub],
        }
    }

    pub(super) fn label(&self, address: Ipv4Addr) -> String {
        // The kernel wants labels that begin with the interface's name; 15 bytes in all.
        let suffix = if address == self.main { ":m" } else { ":s" };
        let room = limits::INTERFACE_NAME_LEN_MAX.saturating_sub(suffix.len());
        let name: String = self.interface.chars().take(room).collect();
        if name.len() == self.interface.len() { format!("{name}{suffix}") } else { self.interface.clone() }
    }
}
