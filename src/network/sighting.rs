//! What other stations say of addresses, whichever protocol they say it in.

use std::net::IpAddr;

use super::{ArpFrame, Mac, NdpFrame};

/// A station that was heard, and the address that it spoke of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub mac: Mac,
    pub address: IpAddr,
    pub said: Said,
    /// All neighbours heard it too.
    pub to_everybody: bool,
}

/// What it said of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It has it.
    Mine,
    /// It is about to take it, if nobody defends it.
    Wanted,
}

impl From<&ArpFrame> for Sighting {
    fn from(frame: &ArpFrame) -> Self {
        let (address, said) =
            if frame.sender_ip.is_unspecified() { (frame.target_ip, Said::Wanted) } else { (frame.sender_ip, Said::Mine) };
        let to_everybody = !frame.destination.is_one_station();
        Self { mac: frame.sender_mac, address: address.into(), said, to_everybody }
    }
}

impl From<&NdpFrame> for Sighting {
    fn from(frame: &NdpFrame) -> Self {
        let (address, said) = frame.owned().map_or((frame.target, Said::Wanted), |owned| (owned, Said::Mine));
        let to_everybody = !frame.destination.is_one_station();
        Self { mac: frame.station(), address: address.into(), said, to_everybody }
    }
}
