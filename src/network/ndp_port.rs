//! The one place where neighbour solicitations and advertisements leave and arrive: for IPv6 what [`super::ArpPort`] is for IPv4.

use std::net::Ipv6Addr;

use pnet::packet::{
    ethernet::EtherTypes,
    icmpv6::Icmpv6Types::{NeighborAdvert, NeighborSolicit},
    ip::IpNextHeaderProtocols,
};
use socket2::SockFilter;

use super::{
    Mac, NdpFrame, NetworkError,
    ethernet::{EthernetPort, Protocols},
    ndp::HOP_LIMIT,
};

/// A socket that sends and hears NDP's two messages about neighbours, and nothing else, on one interface. Needs CAP_NET_RAW.
pub struct NdpPort {
    port: EthernetPort,
}

impl NdpPort {
    /// As [`super::ArpPort::open`].
    ///
    /// # Errors
    /// `NoInterface`, `NotEthernet`, `Failed`.
    pub fn open(interface: &str) -> Result<Self, NetworkError> {
        let ndp = Protocols { name: "ndp", ethertype: EtherTypes::Ipv6, filter: only_neighbours() };
        Ok(Self { port: EthernetPort::open(interface, &ndp)? })
    }

    /// The Ethernet address that frames are sent from.
    pub fn mac(&self) -> Mac {
        self.port.mac()
    }

    /// As [`super::ArpPort::follow_interface`].
    ///
    /// # Errors
    /// `NoInterface`, `NotEthernet`, `Failed`.
    pub fn follow_interface(&self) -> Result<(), NetworkError> {
        self.port.follow_interface()
    }

    /// Tells everybody that `address` is here: an unsolicited advertisement that overrides what they know.
    ///
    /// # Errors
    /// As [`Self::follow_interface`]; `Failed` too while the interface is switched off.
    pub fn announce(&self, address: Ipv6Addr) -> Result<(), NetworkError> {
        self.follow_interface()?;
        self.send(NdpFrame::announcement(self.mac(), address))
    }

    /// Tells one neighbour that `address` is here.
    ///
    /// # Errors
    /// `Failed`.
    pub fn reply_to(&self, (ip, mac): (Ipv6Addr, Mac), address: Ipv6Addr) -> Result<(), NetworkError> {
        self.send(NdpFrame::answer(self.mac(), address, mac, ip))
    }

    /// Asks `target` for its Ethernet address on behalf of `address`, which `target` then knows, whatever it does with advertisements.
    ///
    /// # Errors
    /// As [`Self::announce`].
    pub fn ask(&self, target: Ipv6Addr, address: Ipv6Addr) -> Result<(), NetworkError> {
        self.follow_interface()?;
        self.send(NdpFrame::question(self.mac(), address, target))
    }

    /// Asks whether anybody has `address`, without claiming it.
    ///
    /// Under the interface's own address, where it has one: the owner then answers to this server alone. A question under no
    /// address (RFC 4862) would make it tell everybody, and a frozen old owner would draw all neighbours back to itself.
    ///
    /// # Errors
    /// As [`Self::announce`].
    pub fn probe(&self, address: Ipv6Addr) -> Result<(), NetworkError> {
        self.follow_interface()?;
        let own = self.port.link_local().unwrap_or(Ipv6Addr::UNSPECIFIED);
        self.send(NdpFrame::question(self.mac(), own, address))
    }

    /// The next frame of another station. A cancelled wait loses nothing. It waits on while the interface is off or
    /// gone, and hears a re-created one after [`Self::follow_interface`].
    ///
    /// # Errors
    /// `Failed` when the socket is of no more use.
    pub async fn next(&self) -> Result<NdpFrame, NetworkError> {
        self.port.next(|bytes| NdpFrame::decode(bytes).map(|frame| (frame.source_mac, frame))).await
    }

    fn send(&self, frame: NdpFrame) -> Result<(), NetworkError> {
        self.port.send(&frame.encode(), frame.target)
    }
}

/// Without it every IPv6 packet of every client would wake the thread that sends the heartbeats.
fn only_neighbours() -> Vec<SockFilter> {
    // Bytes of the frame: 20 next header, 21 hop limit, 54 type of the ICMPv6 message.
    const NEXT_HEADER: u32 = 20;
    const HOPS: u32 = 21;
    const TYPE: u32 = 54;
    // BPF's codes, as linux/filter.h composes them.
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let load = |at| SockFilter::new(LOAD_BYTE, 0, 0, at);
    // Otherwise to the end, which drops the frame: so many statements further on.
    let equal_or_skip = |value: u8, skip| SockFilter::new(JUMP_IF_EQUAL, 0, skip, value.into());
    vec![
        load(NEXT_HEADER),
        equal_or_skip(IpNextHeaderProtocols::Icmpv6.0, 6),
        load(HOPS),
        equal_or_skip(HOP_LIMIT, 4),
        load(TYPE),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, NeighborSolicit.0.into()),
        equal_or_skip(NeighborAdvert.0, 1),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}
