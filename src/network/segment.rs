//! The segment behind an interface, in IPv4 and IPv6 alike: addresses told, asked for, and heard of.

use std::{future::pending, net::IpAddr};

use super::{ArpPort, Mac, NdpPort, Neighbours, NetworkError, Sighting};

/// One port for each kind of address that is held. Needs CAP_NET_RAW.
pub struct Segment {
    arp: Option<ArpPort>,
    ndp: Option<NdpPort>,
}

impl Segment {
    /// Opens the ports that `addresses` need, once and for long, as [`ArpPort::open`].
    ///
    /// # Errors
    /// `NoInterface`, `NotEthernet`, `Failed`.
    pub fn open(interface: &str, addresses: &[IpAddr]) -> Result<Self, NetworkError> {
        let arp = addresses.iter().any(IpAddr::is_ipv4).then(|| ArpPort::open(interface)).transpose()?;
        let ndp = addresses.iter().any(IpAddr::is_ipv6).then(|| NdpPort::open(interface)).transpose()?;
        Ok(Self { arp, ndp })
    }

    /// The Ethernet address that frames are sent from.
    pub fn mac(&self) -> Option<Mac> {
        self.arp.as_ref().map(ArpPort::mac).or(self.ndp.as_ref().map(NdpPort::mac))
    }

    /// As [`ArpPort::follow_interface`].
    ///
    /// # Errors
    /// `NoInterface`, `NotEthernet`, `Failed`.
    pub fn follow_interface(&self) -> Result<(), NetworkError> {
        self.arp.as_ref().map_or(Ok(()), ArpPort::follow_interface)?;
        self.ndp.as_ref().map_or(Ok(()), NdpPort::follow_interface)
    }

    /// Tells everybody that `address` is here, then by name those who were seen, then asks the gateways of its kind under its name.
    ///
    /// # Errors
    /// As [`ArpPort::announce`].
    pub fn announce(&self, address: IpAddr, neighbours: &Neighbours, gateways: &[IpAddr]) -> Result<(), NetworkError> {
        match (address, &self.arp, &self.ndp) {
            (IpAddr::V4(address), Some(arp), _) => {
                arp.announce(address)?;
                neighbours.ipv4().try_for_each(|neighbour| arp.reply_to(neighbour, address))?;
                gateways.iter().try_for_each(|gateway| match gateway {
                    IpAddr::V4(gateway) => arp.ask(*gateway, address),
                    IpAddr::V6(_) => Ok(()),
                })
            }
            (IpAddr::V6(address), _, Some(ndp)) => {
                ndp.announce(address)?;
                neighbours.ipv6().try_for_each(|neighbour| ndp.reply_to(neighbour, address))?;
                gateways.iter().try_for_each(|gateway| match gateway {
                    IpAddr::V4(_) => Ok(()),
                    IpAddr::V6(gateway) => ndp.ask(*gateway, address),
                })
            }
            // Of a kind that it was not opened for.
            (IpAddr::V4(_) | IpAddr::V6(_), _, _) => Ok(()),
        }
    }

    /// Asks whether anybody has `address`, without claiming it.
    ///
    /// # Errors
    /// As [`ArpPort::announce`].
    pub fn probe(&self, address: IpAddr) -> Result<(), NetworkError> {
        match (address, &self.arp, &self.ndp) {
            (IpAddr::V4(address), Some(arp), _) => arp.probe(address),
            (IpAddr::V6(address), _, Some(ndp)) => ndp.probe(address),
            (IpAddr::V4(_) | IpAddr::V6(_), _, _) => Ok(()),
        }
    }

    /// The next that another station says. A cancelled wait loses nothing.
    ///
    /// # Errors
    /// `Failed` when a socket is of no more use.
    pub async fn next(&self) -> Result<Sighting, NetworkError> {
        let heard_by_arp = async {
            match &self.arp {
                Some(arp) => arp.next().await.map(|frame| Sighting::from(&frame)),
                None => pending().await,
            }
        };
        let heard_by_ndp = async {
            match &self.ndp {
                Some(ndp) => ndp.next().await.map(|frame| Sighting::from(&frame)),
                None => pending().await,
            }
        };
        tokio::select! {
            sighting = heard_by_arp => sighting,
            sighting = heard_by_ndp => sighting,
        }
    }
}
