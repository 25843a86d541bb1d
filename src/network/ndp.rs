//! Neighbour solicitations and advertisements of IPv6: built for sending, read with suspicion. No socket here.

use std::net::Ipv6Addr;

use pnet::packet::{
    Packet,
    ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket},
    icmpv6::{
        Icmpv6Packet, Icmpv6Types, MutableIcmpv6Packet, checksum,
        ndp::{
            Icmpv6Codes::NoCode, MutableNeighborAdvertPacket, MutableNeighborSolicitPacket, NdpOptionTypes, NeighborAdvertFlags,
            NeighborAdvertPacket, NeighborSolicitPacket,
        },
    },
    ip::IpNextHeaderProtocols,
    ipv6::{Ipv6Packet, MutableIpv6Packet},
};

use super::Mac;

/// A router would have made it less: nobody outside the segment can send these frames.
pub(super) const HOP_LIMIT: u8 = 255;
const ETHERNET_HEADER_LEN: usize = 14;
const IPV6_HEADER_LEN: usize = 40;
/// Both messages: type, code, checksum, flags, target.
const MESSAGE_LEN: usize = 24;
/// Type, length in units of eight bytes, Ethernet address.
const OPTION_LEN: usize = 8;
const OPTION_UNIT: usize = 8;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What an NDP frame does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdpMessage {
    /// "Who has the target?"
    Solicitation,
    /// "The target is here."
    Advertisement { solicited: bool, overrides: bool },
}

/// One solicitation or advertisement over Ethernet, sent or sighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NdpFrame {
    /// Whom the Ethernet frame goes to, and whom it comes from.
    pub destination: Mac,
    pub source_mac: Mac,
    /// `::` while the sender asks whether it may have the target (RFC 4862).
    pub source: Ipv6Addr,
    pub receiver: Ipv6Addr,
    pub message: NdpMessage,
    pub target: Ipv6Addr,
    /// The Ethernet address of the source of a solicitation, of the target of an advertisement, where it says one.
    pub link_layer: Option<Mac>,
}

impl NdpFrame {
    /// "`address` is here", to everybody, whatever they knew before.
    pub(super) fn announcement(mac: Mac, address: Ipv6Addr) -> Self {
        Self::advertisement(mac, address, group_mac(ALL_NODES), ALL_NODES)
    }

    /// The same to one neighbour.
    pub(super) fn answer(mac: Mac, address: Ipv6Addr, neighbour_mac: Mac, neighbour_ip: Ipv6Addr) -> Self {
        Self::advertisement(mac, address, neighbour_mac, neighbour_ip)
    }

    fn advertisement(mac: Mac, address: Ipv6Addr, destination: Mac, receiver: Ipv6Addr) -> Self {
        Self {
            destination,
            source_mac: mac,
            source: address,
            receiver,
            message: NdpMessage::Advertisement { solicited: false, overrides: true },
            target: address,
            link_layer: Some(mac),
        }
    }

    /// "Who has `target`? Tell `source`", to the group of those whose address ends alike.
    pub(super) fn question(mac: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Self {
        let receiver = solicited_node(target);
        Self {
            destination: group_mac(receiver),
            source_mac: mac,
            source,
            receiver,
            message: NdpMessage::Solicitation,
            target,
            // Forbidden where there is no source that it could belong to.
            link_layer: (!source.is_unspecified()).then_some(mac),
        }
    }

    /// Whether the sender says that `address` is its own: of the target it says so in an advertisement, of its source always.
    pub fn claims(&self, address: Ipv6Addr) -> bool {
        self.owned() == Some(address)
    }

    /// Whether the sender is about to take `address`, if nobody defends it (RFC 4862).
    pub fn probes(&self, address: Ipv6Addr) -> bool {
        self.message == NdpMessage::Solicitation && self.source.is_unspecified() && self.target == address
    }

    /// The address that the sender says to have; `None` in a probe.
    pub(super) fn owned(&self) -> Option<Ipv6Addr> {
        match self.message {
            NdpMessage::Advertisement { .. } => Some(self.target),
            NdpMessage::Solicitation => Some(self.source).filter(|source| !source.is_unspecified()),
        }
    }

    /// The station that the frame is about.
    pub(super) fn station(&self) -> Mac {
        self.link_layer.unwrap_or(self.source_mac)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let message = self.encode_message();
        let mut bytes = vec![0; ETHERNET_HEADER_LEN + IPV6_HEADER_LEN];
        let (header, rest) = bytes.split_at_mut(ETHERNET_HEADER_LEN);
        let mut ethernet = MutableEthernetPacket::new(header).expect("the header has its own 14 bytes");
        ethernet.set_destination(self.destination.into());
        ethernet.set_source(self.source_mac.into());
        ethernet.set_ethertype(EtherTypes::Ipv6);
        let mut ipv6 = MutableIpv6Packet::new(rest).expect("the header has its own 40 bytes");
        ipv6.set_version(6);
        ipv6.set_payload_length(u16::try_from(message.len()).expect("a message and one option"));
        ipv6.set_next_header(IpNextHeaderProtocols::Icmpv6);
        ipv6.set_hop_limit(HOP_LIMIT);
        ipv6.set_source(self.source);
        ipv6.set_destination(self.receiver);
        bytes.extend(message);
        bytes
    }

    fn encode_message(&self) -> Vec<u8> {
        let mut bytes = vec![0; MESSAGE_LEN];
        const ROOM: &str = "the message has its own 24 bytes";
        let option = match self.message {
            NdpMessage::Solicitation => {
                let mut message = MutableNeighborSolicitPacket::new(&mut bytes).expect(ROOM);
                message.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
                message.set_target_addr(self.target);
                NdpOptionTypes::SourceLLAddr
            }
            NdpMessage::Advertisement { solicited, overrides } => {
                let mut message = MutableNeighborAdvertPacket::new(&mut bytes).expect(ROOM);
                message.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
                let flag = |is_set, flag| if is_set { flag } else { 0 };
                message
                    .set_flags(flag(solicited, NeighborAdvertFlags::Solicited) | flag(overrides, NeighborAdvertFlags::Override));
                message.set_target_addr(self.target);
                NdpOptionTypes::TargetLLAddr
            }
        };
        if let Some(Mac(mac)) = self.link_layer {
            bytes.extend([option.0, (OPTION_LEN / OPTION_UNIT) as u8]);
            bytes.extend(mac);
        }
        let mut message = MutableIcmpv6Packet::new(&mut bytes).expect(ROOM);
        message.set_checksum(checksum(&message.to_immutable(), &self.source, &self.receiver));
        bytes
    }

    /// Reads what came from the network; `None` if it is damaged, came from elsewhere, or is neither of the two messages.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let ethernet = EthernetPacket::new(bytes)?;
        let ipv6 = Ipv6Packet::new(ethernet.payload())?;
        let understood = ethernet.get_ethertype() == EtherTypes::Ipv6
            && ipv6.get_version() == 6
            && ipv6.get_next_header() == IpNextHeaderProtocols::Icmpv6
            && ipv6.get_hop_limit() == HOP_LIMIT;
        // Behind it Ethernet may pad.
        let message = ethernet.payload().get(IPV6_HEADER_LEN..)?.get(..ipv6.get_payload_length().into())?;
        let icmpv6 = Icmpv6Packet::new(message)?;
        let (source, receiver) = (ipv6.get_source(), ipv6.get_destination());
        let is_whole = checksum(&icmpv6, &source, &receiver) == icmpv6.get_checksum();
        if !understood || !is_whole || icmpv6.get_icmpv6_code() != NoCode {
            return None;
        }
        let (said, target, option) = match icmpv6.get_icmpv6_type() {
            Icmpv6Types::NeighborSolicit => {
                let target = NeighborSolicitPacket::new(message)?.get_target_addr();
                (NdpMessage::Solicitation, target, NdpOptionTypes::SourceLLAddr)
            }
            Icmpv6Types::NeighborAdvert => {
                let advert = NeighborAdvertPacket::new(message)?;
                let has = |flag| advert.get_flags() & flag != 0;
                let (solicited, overrides) = (has(NeighborAdvertFlags::Solicited), has(NeighborAdvertFlags::Override));
                (NdpMessage::Advertisement { solicited, overrides }, advert.get_target_addr(), NdpOptionTypes::TargetLLAddr)
            }
            _ => return None,
        };
        let (destination, source_mac) = (ethernet.get_destination().into(), ethernet.get_source().into());
        let link_layer = find_option(message.get(MESSAGE_LEN..)?, option.0);
        Some(Self { destination, source_mac, source, receiver, message: said, target, link_layer })
    }
}

/// By hand: pnet multiplies an option's length in a byte, and a stranger's length would overflow it.
fn find_option(mut options: &[u8], wanted: u8) -> Option<Mac> {
    while let [kind, units, ..] = *options {
        let option = options.get(..usize::from(units) * OPTION_UNIT).filter(|option| !option.is_empty())?;
        if kind == wanted {
            return option[2..].first_chunk().copied().map(Mac);
        }
        options = &options[option.len()..];
    }
    None
}

/// The group that an address listens to for questions about itself (RFC 4291).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// Where Ethernet sends what goes to a group of IPv6 (RFC 2464).
fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
#[path = "ndp_tests.rs"]
mod tests;
